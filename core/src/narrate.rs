//! Sentences: one pure function from event to words, for the page, the terminal and screen readers alike.
//!
//! Actor, verb, object, count, consequence; present tense; at most [`SENTENCE_CHARS_MAX`] characters.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::event::{Event, EventKind};
use crate::scenario::{Act, CrashPoint, DiskFault, Selector};
use crate::sim::log::Told;
use crate::types::{NodeId, Round, Time};
use crate::view::{Meter, Spec};

mod grouped;
mod sampled;

/// The longest sentence, in characters.
pub const SENTENCE_CHARS_MAX: usize = 90;

/// Names of event kinds, as expectations and captions use them.
pub const EVENT_NAMES: [&str; 26] = [
    "phase",
    "round",
    "proposed",
    "vote",
    "quorum",
    "locked",
    "signed",
    "decided",
    "withdrew",
    "abandoned",
    "fast-forwarded",
    "evidence",
    "deferred",
    "recovered",
    "refused",
    "sent",
    "delivered",
    "dropped",
    "timer",
    "crashed",
    "restarted",
    "partitioned",
    "healed",
    "fault",
    "elected",
    "preferred",
];

/// The name of an event's kind.
pub fn event_name(kind: EventKind) -> &'static str {
    let index = match kind {
        EventKind::PhaseEntered(_) => 0,
        EventKind::RoundEntered => 1,
        EventKind::Proposed => 2,
        EventKind::VoteCounted(_) => 3,
        EventKind::QuorumReached(_) => 4,
        EventKind::Locked => 5,
        EventKind::Signed => 6,
        EventKind::Decided => 7,
        EventKind::Withdrew => 8,
        EventKind::Abandoned => 9,
        EventKind::FastForwarded => 10,
        EventKind::Evidence => 11,
        EventKind::Deferred => 12,
        EventKind::Recovered => 13,
        EventKind::Refused => 14,
        EventKind::MessageSent(_) => 15,
        EventKind::MessageDelivered(_) => 16,
        EventKind::MessageDropped(_) => 17,
        EventKind::TimerFired => 18,
        EventKind::Crashed => 19,
        EventKind::Restarted => 20,
        EventKind::Partitioned => 21,
        EventKind::Healed => 22,
        EventKind::FaultInjected => 23,
        EventKind::Elected => 24,
        EventKind::Preferred => 25,
    };
    EVENT_NAMES[index]
}

/// Whether the event belongs into the story, or only into the full list.
pub fn is_told(kind: EventKind) -> bool {
    !matches!(
        kind,
        EventKind::MessageSent(_)
            | EventKind::MessageDelivered(_)
            | EventKind::TimerFired
            | EventKind::VoteCounted(_)
            | EventKind::QuorumReached(_)
            | EventKind::RoundEntered
            | EventKind::PhaseEntered(_)
    )
}

/// The same of an event: that an entry of a log is chosen is not worth telling beside what it comes to.
pub fn is_worth_telling(spec: &Spec, event: &Event) -> bool {
    is_told(event.kind) && !(spec.has_nested() && grouped::is_end_of_entry(event))
}

/// What happened, as a sentence. `letter` is the value's letter, where it has one.
pub fn sentence(spec: &Spec, node: NodeId, event: &Event, letter: Option<&str>) -> String {
    if let Some(sentence) = grouped::sentence(spec, node, event) {
        return sentence;
    }
    let who = format!("Node {}", node.0);
    let value = value_text(event, letter);
    if let Some(sentence) = sampled::sentence(spec, node, event, &value) {
        return sentence;
    }
    let round = event.round.0;
    let of = |index: u8| {
        spec.meters
            .get(usize::from(index))
            .map_or("votes", |meter| meter.unit)
    };
    let message = |kind: u8| message_name(spec, kind);
    let peer = event
        .peer
        .map_or_else(String::new, |peer| format!(" {}", peer.0));
    let count = |unit: &str| {
        format!(
            "{} of {} {unit} for {value} (needs {})",
            event.have, event.total, event.need
        )
    };
    match event.kind {
        EventKind::PhaseEntered(phase) => {
            let name = spec
                .phases
                .get(usize::from(phase))
                .map_or("another phase", |phase| phase.name);
            format!("{who} is {name} in round {round}.")
        }
        EventKind::RoundEntered => format!("{who} enters round {round}."),
        EventKind::Proposed if event.value.is_none() => {
            format!("{who} votes for nothing in round {round}.")
        }
        EventKind::Proposed => format!("{who} proposes {value} in round {round}."),
        EventKind::VoteCounted(meter) => {
            format!("{who} counts {} from node{peer}.", count(of(meter)))
        }
        EventKind::QuorumReached(meter) => format!("{who} counts {}.", count(of(meter))),
        EventKind::Locked => format!("{who} counts {} and locks {value}.", count(of(0))),
        EventKind::Signed => format!("{who} signs {value}, once."),
        // Without a threshold there is no proof, but somebody's word or count.
        EventKind::Decided if event.need == 0 => {
            format!("{who} saw enough {} for {value} and commits it.", of(0))
        }
        EventKind::Decided => format!("{who} counts {}, commits.", count(of(1))),
        EventKind::Withdrew => {
            format!("{who} withdraws: its retries are over and it never locked.")
        }
        EventKind::Abandoned if event.need == 0 => {
            format!("{who} gives up: its retries are over; abandoned.")
        }
        EventKind::Abandoned => {
            format!(
                "{who} holds {} of {} withdrawals (needs {}): abandoned.",
                event.have, event.total, event.need
            )
        }
        EventKind::FastForwarded if event.need == 0 => {
            format!("{who} believes that {value} is committed and commits it.")
        }
        EventKind::FastForwarded => {
            format!(
                "{who} takes a certificate of {} locks and commits {value}.",
                event.have
            )
        }
        EventKind::Evidence => {
            format!("{who} holds proof that node{peer} voted twice in round {round}.")
        }
        EventKind::Deferred => format!("{who} puts off {value}: it is not valid in its view."),
        EventKind::Recovered => format!("{who} comes back and finds round {round} in its store."),
        EventKind::Refused => format!("{who} refuses a packet."),
        EventKind::MessageSent(kind) => format!("{who} sends {}.", message(kind)),
        EventKind::MessageDelivered(kind) => {
            format!("{who} receives {} from node{peer}.", message(kind))
        }
        EventKind::MessageDropped(kind) => format!(
            "Lost: {} from node{peer} to node {}.",
            message(kind),
            node.0
        ),
        EventKind::TimerFired => format!("A timer of node {} fires.", node.0),
        EventKind::Crashed => format!("Fault: node {} crashes.", node.0),
        EventKind::Restarted => format!("{who} restarts from its store."),
        EventKind::Partitioned => String::from("Fault: the network is cut."),
        EventKind::Healed => String::from("The network heals."),
        EventKind::FaultInjected if node.0 == 0 => {
            String::from("Fault: messages are interfered with.")
        }
        EventKind::FaultInjected => format!("Fault: node {} or its links misbehave.", node.0),
        EventKind::Elected => format!("{who} comes to lead in round {round}."),
        EventKind::Preferred => format!("{who} prefers {value} from now on."),
    }
}

fn message_name(spec: &Spec, kind: u8) -> &'static str {
    let message = spec.messages.get(usize::from(kind));
    message.map_or("message", |message| message.name)
}

fn value_text(event: &Event, letter: Option<&str>) -> String {
    match (letter, event.value) {
        (Some(letter), _) => String::from(letter),
        (None, Some(value)) => format!("{}", value.short()),
        (None, None) => String::from("nil"),
    }
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(|node| format!("{}", node.0)).collect();
    names.join(", ")
}

/// `node 1`, `nodes 1, 2`.
fn nodes_text(nodes: &[NodeId]) -> String {
    let plural = if nodes.len() == 1 { "" } else { "s" };
    format!("node{plural} {}", list(nodes))
}

/// What a node was told: its name, and a sentence.
pub(crate) fn told(spec: &Spec, node: NodeId, what: &Told) -> (&'static str, String) {
    let who = node.0;
    match what {
        Told::Start => ("start", format!("Node {who} starts.")),
        Told::Request => ("request", format!("A client asks node {who}.")),
        Told::Fact => ("fact", format!("Node {who} sees another world.")),
        Told::Timer(timer) => {
            let round = timer
                .round
                .map_or_else(String::new, |round| format!(" of round {}", round.0));
            let sentence = format!("Node {who}: its {} timer{round} fires.", timer.name);
            ("timer", sentence)
        }
        Told::Message { from, info, .. } => {
            let kind = message_name(spec, info.kind);
            let sentence = format!("Node {who} receives {kind} from node {}.", from.0);
            ("delivered", sentence)
        }
    }
}

/// Why an instance ended: of whose votes, or by whose word.
pub(crate) fn because(
    spec: &Spec,
    (event, node): (&Event, NodeId),
    name: &str,
    letter: Option<&str>,
    voters: &[NodeId],
    from: Option<NodeId>,
) -> String {
    let (who, value, round) = (node.0, value_text(event, letter), event.round.0);
    if let Some(sentence) = sampled::because(spec, node, event, &value) {
        return sentence;
    }
    if spec.has_nested() && (voters.is_empty() || event.kind == EventKind::FastForwarded) {
        return grouped::because(node, event, name, from);
    }
    let by = from.map_or_else(|| String::from("itself"), |from| format!("node {}", from.0));
    let unnamed = match event.have.saturating_sub(voters.len() as u64) {
        0 => String::new(),
        more => format!(", and {more} more that the log does not name"),
    };
    let what = match (event.kind, event.need) {
        (EventKind::FastForwarded, 0) => format!("decided {value} because of the word of {by}"),
        (EventKind::FastForwarded, _) => {
            let count = event.have;
            return format!(
                "Node {who} decided {value} because of a certificate of {count} locks of round {round} from {by}."
            );
        }
        (EventKind::Abandoned, 0) => {
            format!("gave {name} up because its retries are over")
        }
        (EventKind::Abandoned, _) => {
            let from = nodes_text(voters);
            format!("gave {name} up because of withdrawals from {from}{unnamed}")
        }
        (_, need) => {
            let unit = spec.meters.get(usize::from(need > 0));
            let unit = unit.map_or("votes", |meter| meter.unit);
            let from = nodes_text(voters);
            format!("decided {value} because of {unit} of round {round} from {from}{unnamed}")
        }
    };
    format!("Node {who} {what}.")
}

/// That an instance ended, where nothing was told of it.
pub(crate) fn ended_unheard(node: NodeId, name: &str) -> String {
    format!("Node {} has ended {name}.", node.0)
}

/// Where a node is: the phase, whether nothing follows it, and the round.
pub(crate) type Place = (&'static str, bool, Round);

/// That an instance has not ended at a node. `down` says that the node is, and since which step.
pub(crate) fn open(
    node: NodeId,
    name: &str,
    down: Option<Option<u64>>,
    place: Option<Place>,
) -> String {
    let who = node.0;
    let down = down.map_or_else(String::new, |step| format!(" and {}", down_text(step)));
    match place {
        None => format!("Node {who} has not heard of {name}{down}."),
        Some((_, true, _)) => {
            format!("Node {who} withdrew from {name} and has no proof of its end{down}.")
        }
        Some((phase, false, round)) => {
            format!(
                "Node {who} has not decided {name}{down}: it is {phase} in round {}.",
                round.0
            )
        }
    }
}

fn down_text(step: Option<u64>) -> String {
    let since = step.map_or_else(String::new, |step| format!(" since step {step}"));
    format!("is down{since}")
}

/// That nothing about an instance has reached a node.
pub(crate) fn unheard(node: NodeId) -> String {
    format!("Nobody's word of it has reached node {}.", node.0)
}

/// A quorum that is not reached.
pub(crate) fn lack(spec: &Spec, node: NodeId, meter: &Meter, letter: Option<&str>) -> String {
    let unit = spec.meters.get(usize::from(meter.kind));
    let unit = unit.map_or("votes", |meter| meter.unit);
    let of = letter.map_or_else(String::new, |letter| format!(" for {letter}"));
    format!(
        "Node {} counts {} of {} {unit}{of} in round {} (needs {}).",
        node.0, meter.have, meter.total, meter.round.0, meter.need
    )
}

/// That a member's vote is for another value, or for none.
pub(crate) fn voted_otherwise(member: NodeId, letter: Option<&str>) -> String {
    format!(
        "Node {} voted for {}.",
        member.0,
        letter.unwrap_or("nothing")
    )
}

/// That a member has not voted, and where it is.
pub(crate) fn silent(member: NodeId, down: Option<Option<u64>>, place: Option<Place>) -> String {
    let rest = match (down, place) {
        (Some(step), _) => down_text(step),
        (None, None) => String::from("has not heard of it"),
        (None, Some((phase, _, round))) => format!("is {phase} in round {}", round.0),
    };
    format!("Node {} has not voted there: it {rest}.", member.0)
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on its way.
    InFlight {
        /// When it arrives.
        arrives: Time,
    },
    /// The schedule has not let it arrive.
    Held,
    /// It arrived.
    Arrived {
        /// In which step, the last time.
        step: u64,
    },
    /// It was lost.
    Lost {
        /// In which step, the last time.
        step: u64,
        /// How often.
        times: usize,
    },
    /// It was not sent.
    NotSent,
    /// The log does not tell.
    NotKnown,
}

/// What became of a member's vote.
pub(crate) fn fate(member: NodeId, node: NodeId, what: &str, fate: Fate) -> String {
    format!(
        "Node {}'s {what} to node {} {}.",
        member.0,
        node.0,
        fate_text(fate)
    )
}

fn fate_text(fate: Fate) -> String {
    match fate {
        Fate::InFlight { arrives } => {
            format!("is on its way and arrives at {} ms", arrives.as_ms())
        }
        Fate::Held => String::from("is on its way: the schedule holds it back"),
        Fate::Arrived { step } => format!("arrived in step {step} and does not count there"),
        Fate::Lost { step, times: 1 } => format!("was lost in step {step}"),
        Fate::Lost { step, times } => {
            format!("was lost {times} times, last in step {step}")
        }
        Fate::NotSent => String::from("was not sent"),
        Fate::NotKnown => String::from("is not accounted for: only the level full tells of losses"),
    }
}

/// That an instance ended at a member, and what became of its proof.
pub(crate) fn ended_there(member: NodeId, node: NodeId, step: u64, fate: Fate) -> String {
    let (who, proof) = (member.0, fate_text(fate));
    format!(
        "Node {who} ended it in step {step}; its proof to node {} {proof}.",
        node.0
    )
}

/// What is done to a run, as a sentence without its end.
pub fn act(act: &Act) -> String {
    let which = |select: &Selector| {
        let mut text = select
            .kind
            .clone()
            .unwrap_or_else(|| String::from("a message"));
        if let Some(round) = select.round {
            text.push_str(&format!(" of round {}", round.0));
        }
        if let Some(from) = select.from {
            text.push_str(&format!(" from node {}", from.0));
        }
        if let Some(to) = select.to {
            text.push_str(&format!(" to node {}", to.0));
        }
        if let Some(nth) = select.nth.filter(|nth| *nth > 1) {
            text.push_str(&format!(", number {nth} of them"));
        }
        text
    };
    match act {
        Act::SubmitAs {
            to, client, number, ..
        } => format!(
            "client {} asks node {} (request {number})",
            client.0,
            list(to)
        ),
        Act::Submit { to, .. } if to.is_empty() => String::from("a client asks"),
        Act::Submit { to, .. } => format!("a client asks node {}", list(to)),
        Act::Crash { node, when } => {
            let when = match when {
                CrashPoint::BetweenSteps => "now",
                CrashPoint::BeforeHandling => "when its next input arrives",
                CrashPoint::AfterPersist => "when its next write is durable, before it sends",
            };
            format!("node {} crashes {when}", node.0)
        }
        Act::Restart { node } => format!("node {} restarts from its store", node.0),
        Act::Partition { groups } => {
            let groups: Vec<String> = groups.iter().map(|group| list(group)).collect();
            format!("the network is cut: {}", groups.join(" | "))
        }
        Act::Heal => String::from("the network heals"),
        Act::Link(link) => {
            let end = |node: Option<NodeId>| {
                node.map_or_else(|| String::from("all"), |node| format!("node {}", node.0))
            };
            format!(
                "the link from {} to {} changes",
                end(link.from),
                end(link.to)
            )
        }
        Act::Drop(select) => format!("lost: {}", which(select)),
        Act::Delay { select, by_ms } => format!("late by {by_ms} ms: {}", which(select)),
        Act::Duplicate(select) => format!("twice: {}", which(select)),
        Act::Corrupt(select) => format!("corrupted: {}", which(select)),
        Act::Deliver(select) => format!("arrives: {}", which(select)),
        Act::Fire {
            node, timer, round, ..
        } => {
            let round = round.map_or_else(String::new, |round| format!(" of round {}", round.0));
            format!("node {}: its {timer} timer{round} fires", node.0)
        }
        Act::Byzantine { node, behaviour } => {
            format!("node {} lies from now on ({behaviour:?})", node.0)
        }
        Act::Fact {
            node: Some(node), ..
        } => format!("node {} sees another world", node.0),
        Act::Fact { node: None, .. } => String::from("the world changes"),
        Act::Disk { node, fault } => match fault {
            DiskFault::Lose => format!("node {} loses its disk", node.0),
            DiskFault::Fail => format!("node {}: writes fail from now on", node.0),
        },
        Act::Skew {
            node,
            rate_permille,
        } => format!(
            "node {}: its clock runs at {rate_permille} permille",
            node.0
        ),
    }
}
