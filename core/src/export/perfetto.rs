//! Trace events in JSON, as ui.perfetto.dev and chrome://tracing open them: a process for each node and one for the network.
//!
//! In a node's process a track shows its messages, and one track for each instance its phases, with locks, decisions and
//! faults as instants and meters as counters. Flows lead from a message's sending to its arrival or its loss. What is sent
//! or received in one moment stands a microsecond apart, so that no slice hides another.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::Run;
use crate::event::EventKind;
use crate::ordered::Map;
use crate::sim::log::Logged;
use crate::types::{InstanceId, NodeId};

/// The track of messages and faults; those of instances follow.
const MESSAGES: usize = 1;

/// How long the slice of a message's end is, in nanoseconds.
const END_NS: u64 = 1_000;

pub(super) fn text(run: &Run<'_>) -> String {
    let mut tracks = Tracks {
        run,
        instances: run.instances(),
        events: Vec::new(),
        ends: Map::new(),
        next: Map::new(),
    };
    tracks.name();
    tracks.phases();
    for (place, entry) in run.events.iter().enumerate() {
        tracks.event(place, entry);
    }
    let (sim, scenario) = (run.sim, run.sim.scenario());
    let all = json!({
        "displayTimeUnit": "ms",
        "otherData": {
            "scenario": scenario.name,
            "protocol": scenario.protocol.name(),
            "rules": scenario.rules.name(),
            "flaws": scenario.flaws.join(", "),
            "seed": if sim.is_live() { Value::Null } else { format!("{}", scenario.seed).into() },
            "steps": format!("{}", sim.steps()),
            "trace_hash": format!("{}", sim.trace_hash()),
        },
        "traceEvents": tracks.events,
    });
    format!("{all}\n")
}

struct Tracks<'a> {
    run: &'a Run<'a>,
    instances: Vec<InstanceId>,
    events: Vec<Value>,
    /// When the slice of each sending stands.
    ends: Map<usize, u64>,
    /// Where the next slice of a process's messages may stand.
    next: Map<u16, u64>,
}

impl Tracks<'_> {
    fn name(&mut self) {
        let nodes = self.run.sim.scenario().nodes;
        for pid in 0..=nodes {
            let name = match pid {
                0 => String::from("network"),
                node => format!("node {node}"),
            };
            self.meta("process_name", pid, 0, json!({ "name": name }));
            self.meta("process_sort_index", pid, 0, json!({ "sort_index": pid }));
            self.meta("thread_name", pid, MESSAGES, json!({ "name": "messages" }));
            for place in 0..if pid == 0 { 0 } else { self.instances.len() } {
                let name = self.run.name(self.instances[place]);
                self.meta(
                    "thread_name",
                    pid,
                    MESSAGES + 1 + place,
                    json!({ "name": name }),
                );
            }
        }
    }

    fn meta(&mut self, name: &str, pid: u16, tid: usize, args: Value) {
        self.events
            .push(json!({ "ph": "M", "name": name, "pid": pid, "tid": tid, "args": args }));
    }

    fn phases(&mut self) {
        let end = self.run.sim.now();
        for span in self.run.spans() {
            let to = span.to.unwrap_or(end);
            self.events.push(json!({
                "ph": "X",
                "cat": "phase",
                "name": self.run.phase(span.phase),
                "pid": span.node.0,
                "tid": self.track(Some(span.instance)),
                "ts": us(span.from.0),
                "dur": us(to.0.saturating_sub(span.from.0)),
                "args": { "round": span.round.0 },
            }));
        }
    }

    /// The track of an instance.
    fn track(&self, instance: Option<InstanceId>) -> usize {
        let place = self.instances.iter().position(|id| Some(*id) == instance);
        place.map_or(MESSAGES, |place| MESSAGES + 1 + place)
    }

    fn event(&mut self, place: usize, entry: &Logged) {
        let event = &entry.event;
        match event.kind {
            EventKind::MessageSent(kind) => {
                let at = self.end(entry.node, "send", kind, (place, entry));
                self.ends.insert(place, at);
            }
            EventKind::MessageDelivered(kind) => {
                let at = self.end(entry.node, "receive", kind, (place, entry));
                self.flow(place, entry.node, at);
            }
            EventKind::MessageDropped(kind) => {
                let at = self.end(NodeId(0), "lose", kind, (place, entry));
                self.flow(place, NodeId(0), at);
            }
            EventKind::VoteCounted(meter) | EventKind::QuorumReached(meter) => {
                let meter = self.run.sim.spec().meters.get(usize::from(meter));
                let unit = meter.map_or("votes", |meter| meter.unit);
                let about = event
                    .instance
                    .map_or_else(String::new, |id| self.run.name(id));
                self.events.push(json!({
                    "ph": "C",
                    "cat": "meter",
                    "name": format!("{unit} {about}"),
                    "pid": entry.node.0,
                    "ts": us(entry.at.0),
                    "args": { "have": event.have, "need": event.need },
                }));
            }
            EventKind::PhaseEntered(_) | EventKind::RoundEntered | EventKind::TimerFired => {}
            kind => self.instant(entry, kind),
        }
    }

    fn instant(&mut self, entry: &Logged, kind: EventKind) {
        let is_fault = matches!(
            kind,
            EventKind::Crashed | EventKind::Partitioned | EventKind::FaultInjected
        );
        let scope = match (entry.node.0, entry.event.instance) {
            (0, _) => "g",
            (_, None) => "p",
            _ => "t",
        };
        self.events.push(json!({
            "ph": "i",
            "cat": if is_fault { "fault" } else { "event" },
            "name": crate::narrate::event_name(kind),
            "s": scope,
            "pid": entry.node.0,
            "tid": self.track(entry.event.instance),
            "ts": us(entry.at.0),
            "args": { "what": self.run.sentence(entry), "step": entry.id.step },
        }));
    }

    /// The slice at one end of a message, not before its sending; tells where it stands.
    fn end(
        &mut self,
        process: NodeId,
        verb: &str,
        kind: u8,
        (place, entry): (usize, &Logged),
    ) -> u64 {
        let sent = self.run.sources[place].and_then(|source| self.ends.get(&source));
        let sent = sent.map_or(0, |sent| sent + END_NS);
        let next = self.next.get_or_default(process.0);
        let at = entry.at.0.max(*next).max(sent);
        *next = at + END_NS;
        let letter = self.run.letter(entry);
        let value = letter.map_or_else(String::new, |letter| format!(" {letter}"));
        self.events.push(json!({
            "ph": "X",
            "cat": "message",
            "name": format!("{verb} {}{value}", self.run.message(kind)),
            "pid": process.0,
            "tid": MESSAGES,
            "ts": us(at),
            "dur": us(END_NS),
            "args": { "what": self.run.sentence(entry), "step": entry.id.step },
        }));
        at
    }

    /// An arrow from a message's sending to here.
    fn flow(&mut self, place: usize, to: NodeId, at: u64) {
        let Some(source) = self.run.sources[place] else {
            return;
        };
        let Some(sent) = self.ends.get(&source).copied() else {
            return;
        };
        let from = self.run.events[source].node;
        for (ph, node, at) in [("s", from, sent), ("f", to, at)] {
            let mut end = json!({
                "ph": ph,
                "cat": "message",
                "name": "message",
                "id": place,
                "pid": node.0,
                "tid": MESSAGES,
                "ts": us(at),
            });
            if ph == "f" {
                // Bound to the slice around it, not to the next one.
                end["bp"] = "e".into();
            }
            self.events.push(end);
        }
    }
}

/// Nanoseconds as the format has them: microseconds, with a fraction where there is one.
fn us(ns: u64) -> Value {
    match ns % 1_000 {
        0 => (ns / 1_000).into(),
        _ => (ns as f64 / 1e3).into(),
    }
}
