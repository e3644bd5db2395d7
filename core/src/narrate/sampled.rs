//! Sentences of protocols that poll samples: a round is a poll, and a decision is so many successful polls in a row.

use alloc::format;
use alloc::string::String;

use crate::event::{Event, EventKind};
use crate::types::NodeId;
use crate::view::Spec;

/// What happened, where it reads otherwise than of a protocol whose nodes ask everybody. `value` is the value's letter,
/// or the beginning of its digits.
pub(super) fn sentence(spec: &Spec, node: NodeId, event: &Event, value: &str) -> Option<String> {
    if !spec.is_sampled() {
        return None;
    }
    let (who, poll) = (node.0, event.round.0);
    let Event {
        have, need, total, ..
    } = *event;
    let (votes, polls) = (0, 1);
    Some(match event.kind {
        EventKind::RoundEntered if total == 0 => {
            format!("Node {who} begins poll {poll} and prefers {value}.")
        }
        EventKind::RoundEntered => {
            format!("Node {who} begins poll {poll}: it asks {total} nodes and prefers {value}.")
        }
        EventKind::VoteCounted(meter) if meter == votes => {
            let from = event.peer.map_or(0, |peer| peer.0);
            match event.value {
                Some(_) => format!(
                    "Node {who} counts {have} of {total} votes for {value} in poll {poll} (needs {need})."
                ),
                None => {
                    format!("Node {who} hears from node {from}, without a vote, in poll {poll}.")
                }
            }
        }
        EventKind::QuorumReached(meter) if meter == votes => {
            format!(
                "Node {who} ends poll {poll} with {have} of {total} votes for {value} (needs {need})."
            )
        }
        EventKind::VoteCounted(meter) if meter == polls => {
            format!(
                "Node {who}: preference {value}, confidence {have} of {need}, after poll {poll}."
            )
        }
        EventKind::Preferred => {
            format!(
                "Node {who}: preference -> {value}, confidence {have} of {need}, after poll {poll}."
            )
        }
        EventKind::Decided => {
            format!("Node {who} finalizes {value}: confidence {have} of {need}.")
        }
        EventKind::Proposed => {
            let plural = if have == 1 { "" } else { "s" };
            format!("Node {who} builds block {value} of {have} transaction{plural}.")
        }
        EventKind::Deferred => {
            format!("Node {who} rejects {value}: another spends an input of it, and is final.")
        }
        EventKind::Abandoned => {
            format!("Node {who} rejects every choice: each lost another of its inputs.")
        }
        EventKind::Recovered => {
            format!("Node {who} comes back, prefers {value} as its store has it, and polls anew.")
        }
        EventKind::PhaseEntered(phase) => {
            let phase = spec.phases.get(usize::from(phase))?;
            match poll {
                0 => format!("Node {who}: {value} is {}.", phase.name),
                poll => format!("Node {who}: {value} is {} in poll {poll}.", phase.name),
            }
        }
        _ => return None,
    })
}

/// How an instance ended at a node.
pub(super) fn because(spec: &Spec, node: NodeId, event: &Event, value: &str) -> Option<String> {
    if !spec.is_sampled() {
        return None;
    }
    let (who, have) = (node.0, event.have);
    Some(match event.kind {
        EventKind::Decided => {
            format!("Node {who} decided {value} because of {have} successful polls in a row.")
        }
        EventKind::Abandoned => {
            format!("Node {who} gave it up because every choice lost another of its inputs.")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{SENTENCE_CHARS_MAX, sentence};
    use super::*;
    use crate::protocol::ProtocolKind;
    use crate::types::{Hash32, InstanceId, Round};

    fn told(
        kind: EventKind,
        round: u32,
        value: bool,
        (have, need, total): (u64, u64, u64),
    ) -> String {
        let spec = ProtocolKind::Snowball.spec();
        let event = Event::new(kind, Some(InstanceId::default()), Round(round))
            .value(value.then_some(Hash32([0xab; 32])))
            .peer(NodeId(2))
            .count(have, need, total);
        sentence(spec, NodeId(1), &event, value.then_some("A"))
    }

    #[test]
    fn polls_are_told_in_their_own_words() {
        let cases = [
            (
                told(EventKind::RoundEntered, 7, true, (0, 15, 20)),
                "Node 1 begins poll 7: it asks 20 nodes and prefers A.",
            ),
            (
                told(EventKind::VoteCounted(0), 7, true, (12, 15, 20)),
                "Node 1 counts 12 of 20 votes for A in poll 7 (needs 15).",
            ),
            (
                told(EventKind::VoteCounted(0), 7, false, (0, 15, 20)),
                "Node 1 hears from node 2, without a vote, in poll 7.",
            ),
            (
                told(EventKind::QuorumReached(0), 7, true, (15, 15, 20)),
                "Node 1 ends poll 7 with 15 of 20 votes for A (needs 15).",
            ),
            (
                told(EventKind::VoteCounted(1), 7, true, (7, 20, 20)),
                "Node 1: preference A, confidence 7 of 20, after poll 7.",
            ),
            (
                told(EventKind::Preferred, 8, true, (1, 20, 20)),
                "Node 1: preference -> A, confidence 1 of 20, after poll 8.",
            ),
            (
                told(EventKind::Decided, 0, true, (20, 20, 20)),
                "Node 1 finalizes A: confidence 20 of 20.",
            ),
            (
                told(EventKind::Proposed, 0, true, (3, 0, 0)),
                "Node 1 builds block A of 3 transactions.",
            ),
            (
                told(EventKind::Deferred, 0, true, (0, 0, 0)),
                "Node 1 rejects A: another spends an input of it, and is final.",
            ),
        ];
        for (said, expected) in cases {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn every_sentence_is_short_and_a_story_has_no_polls() {
        let spec = ProtocolKind::Snowball.spec();
        let phases = (0..spec.phases.len() as u8).map(EventKind::PhaseEntered);
        let kinds = [
            EventKind::RoundEntered,
            EventKind::Proposed,
            EventKind::VoteCounted(0),
            EventKind::VoteCounted(1),
            EventKind::QuorumReached(0),
            EventKind::Decided,
            EventKind::Abandoned,
            EventKind::Deferred,
            EventKind::Recovered,
            EventKind::Preferred,
        ];
        for kind in kinds.into_iter().chain(phases) {
            let event = Event::new(kind, Some(InstanceId::default()), Round(99_999))
                .value(Some(Hash32([0xab; 32])))
                .peer(NodeId(10_000))
                .count(1_000, 1_000, 1_000);
            let said = sentence(spec, NodeId(10_000), &event, None);
            assert!(said.chars().count() <= SENTENCE_CHARS_MAX, "{said}");
            let is_poll = matches!(
                kind,
                EventKind::RoundEntered
                    | EventKind::VoteCounted(_)
                    | EventKind::QuorumReached(_)
                    | EventKind::PhaseEntered(_)
            );
            assert_eq!(super::super::is_told(kind), !is_poll, "{said}");
        }
    }

    #[test]
    fn other_protocols_keep_their_words() {
        let event = Event::new(EventKind::Decided, None, Round(0)).count(2, 2, 3);
        let spec = ProtocolKind::TwoPhase.spec();
        assert_eq!(super::sentence(spec, NodeId(1), &event, "A"), None);
    }
}
