//! A finished run for people: one header, the story, what was decided, what held, and a command to try next.

use phaselab_core::engine::RuleSet;
use phaselab_core::event::{Event, EventKind};
use phaselab_core::narrate;
use phaselab_core::oracle::{AS_HEARD, Verdict};
use phaselab_core::ordered::Map;
use phaselab_core::scenario::{self, At, Intervention, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::Logged;
use phaselab_core::sim::report::Report;
use phaselab_core::types::{Hash32, InstanceId, NodeId};
use phaselab_core::why::Why;

use super::choose::Choice;
use super::why;
use crate::terminal::{Ink, Screen};

/// How a run is told.
#[derive(Debug)]
pub(crate) struct Telling {
    /// The whole story, however long.
    pub(crate) all: bool,
    /// Rounds, votes and phases too.
    pub(crate) verbose: bool,
    /// What to try next.
    pub(crate) next: String,
    /// The answer to what was asked.
    pub(crate) why: Option<Why>,
}

/// Of events that only their node tells apart, these are told, and the last one.
const ALIKE_TOLD_MAX: usize = 4;
/// More lines than these are summed up.
const STORY_LINES_MAX: usize = 60;

/// Tells a finished run.
pub(crate) fn tell(sim: &Sim, report: &Report, telling: &Telling) {
    let mut screen = Screen::stdout();
    header(&mut screen, sim);
    events(&mut screen, sim, telling);
    outcomes(&mut screen, sim, report);
    verdicts(&mut screen, report);
    if let Some(why) = &telling.why {
        why::tell(&mut screen, why);
    }
    screen.entry("next      ", Some(Ink::Dim), &telling.next);
}

/// A command to try after this run.
pub(crate) fn next(choice: &Choice, report: &Report) -> String {
    if !report.is_as_expected() {
        return format!(
            "phaselab sim{} --seed {} --trace run.trace",
            choice.words(),
            report.seed
        );
    }
    let same_protocol = scenario::builtin().iter().filter(|known| {
        scenario::parse(known.name, known.text)
            .is_ok_and(|parsed| parsed.protocol.name() == report.protocol)
    });
    let mut after = same_protocol
        .skip_while(|known| !is_named(known.name, &report.scenario))
        .skip(1);
    match (&choice.scenario, after.next()) {
        (Some(_), Some(known)) => format!("phaselab sim {}", bare(known.name)),
        _ => format!(
            "phaselab sweep --protocol {} --seeds 0..1000",
            report.protocol
        ),
    }
}

fn bare(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn is_named(full: &str, name: &str) -> bool {
    full == name || bare(full) == name
}

/// Protocol, rules, nodes, crypto, and whether it was simulated, from which seed, or live; what is unsafe says so.
fn header(screen: &mut Screen, sim: &Sim) {
    let scenario = sim.scenario();
    let (seed, origin) = match sim.is_live() {
        true => (String::new(), "live"),
        false => (format!("seed {} · ", scenario.seed), "simulated"),
    };
    let facts = format!(
        "{} {}{} · {} · {seed}{} · {origin}",
        scenario.protocol.name(),
        scenario.rules.name(),
        unsafe_label(scenario),
        counted(u64::from(scenario.nodes), "node"),
        scenario.crypto.name(),
    );
    screen.entry(&format!("{}  ", scenario.name), Some(Ink::Bold), &facts);
    if !scenario.title.is_empty() {
        screen.entry("", None, &scenario.title);
    }
}

/// Says that a run's rules are unsafe.
pub(crate) fn unsafe_label(scenario: &Scenario) -> String {
    match (scenario.rules, scenario.flaws.as_slice()) {
        (RuleSet::AsWritten, _) => " (UNSAFE)".to_owned(),
        (_, []) => String::new(),
        (_, flaws) => format!(" with {} (UNSAFE)", flaws.join(", ")),
    }
}

/// What is done to a run, with when.
pub(super) fn intervention(entry: &Intervention) -> String {
    let act = narrate::act(&entry.act);
    match entry.at {
        At::Time(at) => format!("{} ms: {act}", at.as_ms()),
        At::Step(step) => format!("before step {step}: {act}"),
    }
}

fn events(screen: &mut Screen, sim: &Sim, telling: &Telling) {
    let names = sim.names();
    let mut told: Vec<Logged> = sim
        .log()
        .iter()
        .filter(|entry| {
            let kind = entry.event.kind;
            narrate::is_told(kind) || telling.verbose && !kind.is_of_full_level()
        })
        // An answer needs to hear of single messages; the story stays as it is.
        .filter(|entry| telling.why.is_none() || !entry.event.kind.is_of_full_level())
        .collect();
    let total = told.len();
    if !telling.all {
        if sim.spec().is_sampled() && !telling.verbose {
            told = without_the_many(told);
        }
        told.truncate(STORY_LINES_MAX);
    }
    for entry in &told {
        let event = &entry.event;
        let letter = event
            .instance
            .zip(event.value)
            .and_then(|(instance, value)| sim.log().letter(instance, value));
        let sentence = narrate::sentence(sim.spec(), entry.node, event, letter.as_deref());
        // A run about one thing need not name it in every line.
        let about = match event.instance.and_then(|id| names.get(&id)) {
            Some(name) if names.len() > 1 => format!("{name}: "),
            _ => String::new(),
        };
        let ink = ink_of(&sentence);
        screen.entry(
            &format!("{:>7} ms  ", entry.at.as_ms()),
            Some(ink),
            &format!("{about}{sentence}"),
        );
    }
    if told.len() < total {
        let more = format!(
            "... and {} more; --all tells them",
            counted((total - told.len()) as u64, "event")
        );
        screen.entry("            ", None, &more);
    }
}

/// Of what many nodes come to one after the other, the first few and the last.
fn without_the_many(told: Vec<Logged>) -> Vec<Logged> {
    let key = |entry: &Logged| {
        let Event {
            kind,
            instance,
            value,
            ..
        } = entry.event;
        (kind, instance, value)
    };
    let mut all: Map<(EventKind, Option<InstanceId>, Option<Hash32>), usize> = Map::new();
    for entry in &told {
        *all.get_or_default(key(entry)) += 1;
    }
    let mut seen = Map::new();
    told.into_iter()
        .filter(|entry| {
            let place: &mut usize = seen.get_or_default(key(entry));
            *place += 1;
            *place <= ALIKE_TOLD_MAX || Some(&*place) == all.get(&key(entry))
        })
        .collect()
}

fn ink_of(sentence: &str) -> Ink {
    if sentence.starts_with("Safety broken:") {
        Ink::Bad
    } else if sentence.starts_with("Fault:") || sentence.starts_with("Stalled:") {
        Ink::Warn
    } else {
        Ink::Dim
    }
}

/// A submission that was refused: when first, why, and by which nodes.
struct RefusedSubmission {
    first_ms: u64,
    why: String,
    nodes: Vec<NodeId>,
}

/// Tells which submissions were refused, once for each reason.
fn refusals(screen: &mut Screen, sim: &Sim) {
    let mut refused: Vec<RefusedSubmission> = Vec::new();
    for reply in sim.replies() {
        let read = sim.scenario().protocol.read_reply(&reply.reply);
        let Some(view) = read.filter(|view| view.refused) else {
            continue;
        };
        match refused.iter_mut().find(|known| known.why == view.text) {
            Some(known) => known.nodes.push(reply.node),
            None => refused.push(RefusedSubmission {
                first_ms: reply.at.as_ms(),
                why: view.text,
                nodes: Vec::from([reply.node]),
            }),
        }
    }
    for RefusedSubmission {
        first_ms,
        why,
        mut nodes,
    } in refused
    {
        nodes.sort_unstable();
        nodes.dedup();
        let text = format!("{why}  {}  {first_ms} ms", node_list(&nodes));
        screen.entry("refused   ", Some(Ink::Bad), &text);
    }
}

fn outcomes(screen: &mut Screen, sim: &Sim, report: &Report) {
    for decision in report.decisions.iter().take(STORY_LINES_MAX) {
        let label = decision
            .label
            .as_deref()
            .map_or_else(String::new, |label| format!("{label} "));
        let text = format!(
            "{} = {label}{}  {}  {}",
            decision.instance,
            decision.value.short(),
            node_list(&decision.nodes),
            span(decision.first_ms, decision.last_ms)
        );
        screen.entry("decided   ", Some(Ink::Good), &text);
    }
    if report.decisions.len() > STORY_LINES_MAX {
        let more = counted(
            (report.decisions.len() - STORY_LINES_MAX) as u64,
            "decision",
        );
        screen.entry(
            "          ",
            None,
            &format!("... and {more} more; --json lists them"),
        );
    }
    for end in &report.abandoned {
        let text = format!(
            "{}  {}  {} ms",
            end.instance,
            node_list(&end.nodes),
            end.first_ms
        );
        screen.entry("abandoned ", Some(Ink::Warn), &text);
    }
    refusals(screen, sim);
    if let Some(count) = report.faults.get("impossible") {
        let text = format!(
            "{} of the scenario could not be carried out as the run was then",
            counted(*count, "intervention")
        );
        screen.entry("impossible ", Some(Ink::Warn), &text);
    }
    if report.decisions.is_empty() && report.abandoned.is_empty() {
        screen.entry(
            "undecided ",
            Some(Ink::Warn),
            &format!("nothing was decided in {} ms", report.end_ms),
        );
    }
}

fn verdicts(screen: &mut Screen, report: &Report) {
    let holding = report.invariants.iter().filter(|verdict| verdict.holds);
    let (as_heard, proven): (Vec<&Verdict>, Vec<_>) =
        holding.partition(|verdict| verdict.detail == AS_HEARD);
    let names = |verdicts: &[&Verdict]| {
        let names: Vec<_> = verdicts.iter().map(|verdict| verdict.name).collect();
        names.join(", ")
    };
    if !proven.is_empty() {
        screen.entry("holds     ", Some(Ink::Good), &names(&proven));
    }
    if !as_heard.is_empty() {
        let text = format!("{}, {AS_HEARD}", names(&as_heard));
        screen.entry("unclear   ", Some(Ink::Warn), &text);
    }
    if !report.expectations.is_empty() {
        let met = report.expectations.iter().filter(|entry| entry.met).count();
        screen.entry(
            "expected  ",
            None,
            &format!("{met} of {}", report.expectations.len()),
        );
    }
    for verdict in report.invariants.iter().filter(|verdict| !verdict.holds) {
        screen.entry(
            "broken    ",
            Some(Ink::Bad),
            &format!("{}: {}", verdict.name, verdict.detail),
        );
    }
    for entry in report.expectations.iter().filter(|entry| !entry.met) {
        screen.entry("unmet     ", Some(Ink::Bad), &entry.text);
    }
}

/// `nodes 1 2 3`, and of many only how many.
fn node_list(nodes: &[NodeId]) -> String {
    const NAMED_MAX: usize = 12;
    if nodes.len() > NAMED_MAX {
        return format!("{} nodes", nodes.len());
    }
    let numbers: Vec<_> = nodes.iter().map(|node| node.0.to_string()).collect();
    format!(
        "{} {}",
        if nodes.len() == 1 { "node" } else { "nodes" },
        numbers.join(" ")
    )
}

fn span(first_ms: u64, last_ms: u64) -> String {
    if first_ms == last_ms {
        format!("{first_ms} ms")
    } else {
        format!("{first_ms}-{last_ms} ms")
    }
}

/// `1 node`, `3 nodes`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::sim::log::EventId;
    use phaselab_core::types::{Round, Time};

    #[test]
    fn of_many_alike_the_first_few_and_the_last_are_told() {
        let logged = |node: u16, kind| Logged {
            id: EventId { step: 0, index: 0 },
            at: Time::ZERO,
            node: NodeId(node),
            event: Event::new(kind, None, Round(0)),
            cause: None,
        };
        let mut all: Vec<Logged> = (1..=30)
            .map(|node| logged(node, EventKind::Decided))
            .collect();
        all.insert(20, logged(7, EventKind::Proposed));
        let left: Vec<u16> = without_the_many(all)
            .iter()
            .map(|entry| entry.node.0)
            .collect();
        assert_eq!(left, [1, 2, 3, 4, 7, 30]);
        let few: Vec<Logged> = (1..=5)
            .map(|node| logged(node, EventKind::Decided))
            .collect();
        assert_eq!(without_the_many(few).len(), 5);
    }

    #[test]
    fn lists_read_as_people_say_them() {
        assert_eq!(node_list(&[NodeId(1)]), "node 1");
        assert_eq!(node_list(&[NodeId(1), NodeId(3)]), "nodes 1 3");
        assert_eq!(
            node_list(&(1..=40).map(NodeId).collect::<Vec<_>>()),
            "40 nodes"
        );
        assert_eq!(
            (span(3, 3), span(3, 9)),
            ("3 ms".to_owned(), "3-9 ms".to_owned())
        );
        assert_eq!(
            (counted(1, "node"), counted(2, "node")),
            ("1 node".to_owned(), "2 nodes".to_owned())
        );
    }
}
