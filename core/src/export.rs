//! Runs in the formats of other tools: pure functions from a run to text.
//!
//! Everything is read off the run's log at [`Level::Full`], with its causes, so that what is drawn is what happened. A run
//! is given before its first step and played to its end here. Runs that are too large for what reads a format are refused
//! with the numbers, before memory is spent on them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

use crate::event::{EventKind, Level};
use crate::history::{self, Form};
use crate::narrate;
use crate::ordered::{Map, Set};
use crate::sim::Sim;
use crate::sim::log::{CauseId, Logged, Told};
use crate::trace::Trace;
use crate::types::{InstanceId, NodeId, Round, Time};

mod itf;
mod perfetto;
mod shiviz;
mod svg;
mod toml;

/// What a run can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A picture of nodes, messages and phases over time.
    Svg,
    /// States in the Informal Trace Format, which Apalache and Quint read.
    Itf,
    /// A log with vector clocks, for ShiViz.
    Shiviz,
    /// Trace events in JSON, for ui.perfetto.dev.
    Perfetto,
    /// The scenario, with what was done by hand.
    Toml,
    /// The run's trace, which replays.
    Trace,
    /// What clients asked and were told, as Jepsen keeps it, in EDN.
    JepsenEdn,
    /// The same in JSON.
    JepsenJson,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 8] = [
        Format::Svg,
        Format::Itf,
        Format::Shiviz,
        Format::Perfetto,
        Format::Toml,
        Format::Trace,
        Format::JepsenEdn,
        Format::JepsenJson,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Svg => "svg",
            Format::Itf => "itf",
            Format::Shiviz => "shiviz",
            Format::Perfetto => "perfetto",
            Format::Toml => "toml",
            Format::Trace => "trace",
            Format::JepsenEdn => "jepsen-edn",
            Format::JepsenJson => "jepsen-json",
        }
    }

    /// The format with this name.
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// How the names of its files end.
    pub const fn ending(self) -> &'static str {
        match self {
            Format::Svg => "svg",
            Format::Itf => "itf.json",
            Format::Shiviz => "shiviz.log",
            Format::Perfetto => "perfetto.json",
            Format::Toml => "toml",
            Format::Trace => "trace",
            Format::JepsenEdn => "history.edn",
            Format::JepsenJson => "history.json",
        }
    }

    /// The most events of a run that is written so; what reads the format is of no use beyond.
    const fn events_max(self) -> usize {
        match self {
            Format::Svg => 20_000,
            Format::Itf => 50_000,
            Format::Shiviz | Format::Perfetto => 500_000,
            Format::Toml | Format::Trace | Format::JepsenEdn | Format::JepsenJson => usize::MAX,
        }
    }

    /// The most nodes of such a run.
    const fn nodes_max(self) -> u16 {
        match self {
            Format::Svg | Format::Itf | Format::Shiviz | Format::Perfetto => 100,
            Format::Toml | Format::Trace | Format::JepsenEdn | Format::JepsenJson => u16::MAX,
        }
    }
}

/// Plays a run, given before its first step, and writes it. `until` ends it earlier; the trace and the scenario are always
/// of the whole run.
///
/// # Errors
/// `TooLarge`, `Happened`, or `Unwritable`.
pub fn export(mut sim: Sim, format: Format, until: Option<Time>) -> Result<Vec<u8>, ExportError> {
    let (nodes, most) = (sim.scenario().nodes, format.nodes_max());
    if nodes > most {
        return Err(ExportError::TooLarge {
            format,
            what: format!("{nodes} nodes; expected at most {most}"),
        });
    }
    match format {
        // Recordings tell what nodes were asked, and not when clients heard of it.
        Format::Toml | Format::Trace | Format::JepsenEdn | Format::JepsenJson if sim.is_live() => {
            return Err(ExportError::Happened(format));
        }
        Format::Toml => return toml::text(&sim).map(String::into_bytes),
        Format::Trace => return Ok(Trace::record(sim).0.to_bytes()),
        Format::JepsenEdn => return clients(sim, Form::Edn, until),
        Format::JepsenJson => return clients(sim, Form::Json, until),
        _ => {}
    }
    sim.set_level(Level::Full);
    let mut states = itf::States::new(&sim, format == Format::Itf);
    let until = until.unwrap_or(Time(u64::MAX));
    while sim.next_at().is_some_and(|at| at <= until) && sim.step().is_some() {
        if sim.log().len() > format.events_max() {
            return Err(ExportError::TooLarge {
                format,
                what: format!(
                    "more than {} events up to {} ms",
                    format.events_max(),
                    sim.now().as_ms()
                ),
            });
        }
        states.look(&sim);
    }
    let text = match format {
        Format::Svg => svg::text(&Run::new(&sim)),
        Format::Shiviz => shiviz::text(&Run::new(&sim)),
        Format::Perfetto => perfetto::text(&Run::new(&sim)),
        _ => states.text(&sim),
    };
    Ok(text.into_bytes())
}

fn clients(sim: Sim, form: Form, until: Option<Time>) -> Result<Vec<u8>, ExportError> {
    match history::of_run(sim, until) {
        Ok(history) => Ok(history::write(&history, form).into_bytes()),
        Err(error) => Err(ExportError::Empty(error.what)),
    }
}

/// Why a run is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportError {
    /// What reads the format cannot take so much.
    TooLarge {
        /// The format.
        format: Format,
        /// Of what there is too much.
        what: String,
    },
    /// The run happened: no scenario and no seed make it again.
    Happened(Format),
    /// It cannot be put into words.
    Unwritable(String),
    /// It has nothing that the format is for.
    Empty(String),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportError::TooLarge { format, what } => {
                write!(f, "The run is too large for {}: {what}.", format.name())
            }
            ExportError::Happened(format) => write!(
                f,
                "This run happened: there is no {} of it, only its recordings.",
                format.name()
            ),
            ExportError::Empty(what) => write!(f, "{what}"),
            ExportError::Unwritable(what) => write!(f, "{what} Take the trace instead."),
        }
    }
}

impl core::error::Error for ExportError {}

/// A finished run as it is drawn.
struct Run<'a> {
    sim: &'a Sim,
    events: Vec<Logged>,
    /// Of each event that a message brought first, and of each loss: the event of its sending.
    sources: Vec<Option<usize>>,
    names: Map<InstanceId, String>,
}

/// A node in a phase of an instance.
struct Span {
    node: NodeId,
    instance: InstanceId,
    phase: u8,
    round: Round,
    from: Time,
    /// `None` if it lasts beyond the end of the run.
    to: Option<Time>,
}

impl Run<'_> {
    fn new(sim: &Sim) -> Run<'_> {
        let events: Vec<Logged> = sim.log().iter().collect();
        let sources = sources(sim, &events);
        Run {
            sim,
            events,
            sources,
            names: sim.names(),
        }
    }

    /// What happened, in words; of a run about several things, also to which.
    fn sentence(&self, entry: &Logged) -> String {
        let event = &entry.event;
        let letter = self.letter(entry);
        let sentence = narrate::sentence(self.sim.spec(), entry.node, event, letter.as_deref());
        match event.instance.and_then(|id| self.names.get(&id)) {
            Some(name) if self.names.len() > 1 => format!("{name}: {sentence}"),
            _ => sentence,
        }
    }

    fn letter(&self, entry: &Logged) -> Option<String> {
        let (instance, value) = entry.event.instance.zip(entry.event.value)?;
        self.sim.log().letter(instance, value)
    }

    fn name(&self, instance: InstanceId) -> String {
        let name = self.names.get(&instance);
        name.map_or_else(|| instance.0.short().to_string(), String::clone)
    }

    fn phase(&self, phase: u8) -> &'static str {
        let phase = self.sim.spec().phases.get(usize::from(phase));
        phase.map_or("another phase", |phase| phase.name)
    }

    fn message(&self, kind: u8) -> &'static str {
        let kind = self.sim.spec().messages.get(usize::from(kind));
        kind.map_or("message", |kind| kind.name)
    }

    /// The instances that appear, in order.
    fn instances(&self) -> Vec<InstanceId> {
        let mut known = Vec::new();
        for id in self.events.iter().filter_map(|entry| entry.event.instance) {
            if !known.contains(&id) {
                known.push(id);
            }
        }
        known
    }

    /// Which phases nodes were in, and when. A node that is down is in none.
    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut open: Map<(NodeId, InstanceId), usize> = Map::new();
        let mut last: Map<(NodeId, InstanceId), u8> = Map::new();
        for entry in &self.events {
            let phase = match (entry.event.kind, entry.event.instance) {
                (EventKind::Crashed, _) => {
                    for ((node, _), place) in open.iter() {
                        if *node == entry.node {
                            spans[*place].to = Some(entry.at);
                        }
                    }
                    open.retain(|(node, _), _| *node != entry.node);
                    continue;
                }
                (EventKind::PhaseEntered(phase), Some(instance)) => Some((instance, phase)),
                (EventKind::Recovered, Some(instance)) => {
                    let phase = last.get(&(entry.node, instance));
                    phase.map(|phase| (instance, *phase))
                }
                _ => None,
            };
            let Some((instance, phase)) = phase else {
                continue;
            };
            last.insert((entry.node, instance), phase);
            if let Some(before) = open.insert((entry.node, instance), spans.len()) {
                spans[before].to = Some(entry.at);
            }
            spans.push(Span {
                node: entry.node,
                instance,
                phase,
                round: entry.event.round,
                from: entry.at,
                to: None,
            });
        }
        spans
    }
}

/// The sending that each event rests on by a message: that of the first event which it brought, and that of a loss.
fn sources(sim: &Sim, events: &[Logged]) -> Vec<Option<usize>> {
    let mut sent: Map<(NodeId, CauseId), Vec<usize>> = Map::new();
    let mut heard: Set<CauseId> = Set::new();
    let mut sources = vec![None; events.len()];
    for (place, entry) in events.iter().enumerate() {
        let Some(cause) = entry.cause else { continue };
        let (from, upon) = match entry.event.kind {
            EventKind::MessageSent(_) => {
                sent.get_or_default((entry.node, cause)).push(place);
                continue;
            }
            EventKind::MessageDropped(_) => (entry.event.peer, Some(cause)),
            _ if heard.insert(cause) => match sim.log().cause(cause).map(|told| told.what) {
                Some(Told::Message { from, sent, .. }) => (Some(from), sent),
                _ => (None, None),
            },
            _ => continue,
        };
        let sendings = from.zip(upon).and_then(|key| sent.get(&key));
        sources[place] = sendings.and_then(|sendings| source(events, entry, sendings));
    }
    sources
}

/// Which of the messages that left in one step is meant: the most alike. A liar's second version is none of them quite.
fn source(events: &[Logged], entry: &Logged, sendings: &[usize]) -> Option<usize> {
    let kind = match entry.event.kind {
        EventKind::MessageDelivered(kind) | EventKind::MessageDropped(kind) => Some(kind),
        _ => None,
    };
    let likeness = |place: &usize| {
        let (sent, got) = (&events[*place].event, &entry.event);
        let is_kind = kind.is_some_and(|kind| sent.kind == EventKind::MessageSent(kind));
        let is_for = sent.peer.is_none_or(|peer| peer == entry.node);
        let is_about =
            (sent.instance, sent.round, sent.value) == (got.instance, got.round, got.value);
        (is_kind, is_for, is_about, core::cmp::Reverse(*place))
    };
    sendings.iter().copied().max_by_key(likeness)
}

/// `122.8 ms`, as precise as the clock.
fn ms(at: Time) -> String {
    let (whole, rest) = (at.0 / 1_000_000, at.0 % 1_000_000 / 1_000);
    format!("{whole}.{rest:03} ms")
}
