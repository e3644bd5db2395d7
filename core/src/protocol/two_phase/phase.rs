//! Phases of a signing event, and the row that remembers where one stands.

use serde::{Deserialize, Serialize};

use crate::rounds::RoundState;
use crate::types::Hash32;
use crate::view::Phase;

/// Where a signing event stands at one node. (S0-27; numbers are the document's)
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum EventPhase {
    /// Not heard of.
    #[default]
    Unknown = 0,
    /// In a round.
    Proposing = 1,
    /// Decided; signing.
    Committed = 2,
    /// The transaction took effect.
    Completed = 3,
    /// Between two rounds.
    Failed = 4,
    /// Withdrawn here, or ended without a value.
    Abandoned = 5,
}

impl EventPhase {
    /// Legal transitions. The document's seven (S0-28), and what its flaws call for: Failed -> Committed (S0-F8),
    /// Abandoned -> Committed by a certificate, Unknown -> Abandoned by one.
    pub const TRANSITIONS: [(EventPhase, EventPhase); 10] = {
        use EventPhase::{Abandoned, Committed, Completed, Failed, Proposing, Unknown};
        [
            (Unknown, Proposing),
            (Unknown, Committed),
            (Proposing, Committed),
            (Proposing, Failed),
            (Committed, Completed),
            (Failed, Proposing),
            (Failed, Abandoned),
            (Failed, Committed),
            (Abandoned, Committed),
            (Unknown, Abandoned),
        ]
    };

    /// Whether a node may go from this phase to another.
    pub fn can_transition_to(self, to: EventPhase) -> bool {
        Self::TRANSITIONS.contains(&(self, to))
    }

    /// Whether nothing follows, or nothing but a certificate. (S0-29)
    pub fn is_terminal(self) -> bool {
        matches!(self, EventPhase::Completed | EventPhase::Abandoned)
    }

    /// Whether this node votes in its round. (S0-30)
    pub fn accepts_proposals(self) -> bool {
        self == EventPhase::Proposing
    }

    /// Whether a value is decided.
    pub fn is_decided(self) -> bool {
        matches!(self, EventPhase::Committed | EventPhase::Completed)
    }
}

/// The phases as people see them, by number.
pub const PHASES: [Phase; 6] = [
    Phase {
        name: "unknown",
        meaning: "not heard of",
        instance: 0,
        terminal: false,
    },
    Phase {
        name: "proposing",
        meaning: "collecting proposals; nobody signs",
        instance: 0,
        terminal: false,
    },
    Phase {
        name: "committed",
        meaning: "decided by a quorum of locks; signing",
        instance: 0,
        terminal: false,
    },
    Phase {
        name: "completed",
        meaning: "the transaction took effect",
        instance: 0,
        terminal: true,
    },
    Phase {
        name: "failed",
        meaning: "no quorum in this round; waiting to try again",
        instance: 0,
        terminal: false,
    },
    Phase {
        name: "abandoned",
        meaning: "withdrawn, or ended without a value",
        instance: 0,
        terminal: true,
    },
];

/// A node's row of an event. (S0-31; times are timers, not state: S0-F16)
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventPhaseState {
    /// Where it stands.
    pub phase: EventPhase,
    /// Round, step, lock and valid value.
    pub rounds: RoundState,
    /// The decided template.
    pub canonical_hash: Option<Hash32>,
    /// What this node proposed in its round.
    pub own_proposal_hash: Option<Hash32>,
    /// Rounds of its own that ended without a decision.
    pub retry_count: u32,
    /// Whether it signed an Abandon: it never locks again.
    pub withdrawn: bool,
}

impl EventPhaseState {
    /// Moves to another phase.
    ///
    /// # Panics
    /// If the transition is not legal: a bug.
    pub fn transition(&mut self, to: EventPhase) {
        assert!(
            self.phase.can_transition_to(to),
            "{:?} -> {to:?} is not a transition",
            self.phase
        );
        self.phase = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventPhase::{Abandoned, Committed, Completed, Failed, Proposing, Unknown};

    /// S0-95, `test_phase_transitions_valid`.
    #[test]
    fn the_documents_transitions_are_legal() {
        let valid = [
            (Unknown, Proposing),
            (Unknown, Committed),
            (Proposing, Committed),
            (Proposing, Failed),
            (Committed, Completed),
            (Failed, Proposing),
            (Failed, Abandoned),
        ];
        assert!(valid.iter().all(|(from, to)| from.can_transition_to(*to)));
    }

    /// S0-95, `test_phase_transitions_invalid`; S0-F17.
    #[test]
    fn what_must_not_happen_is_not_legal() {
        let invalid = [
            (Completed, Proposing),
            (Completed, Committed),
            (Abandoned, Proposing),
            (Unknown, Completed),
            (Proposing, Abandoned),
            (Committed, Abandoned),
            (Committed, Failed),
            (Abandoned, Completed),
            (Completed, Abandoned),
        ];
        assert!(
            invalid
                .iter()
                .all(|(from, to)| !from.can_transition_to(*to))
        );
    }

    #[test]
    #[should_panic(expected = "is not a transition")]
    fn an_illegal_transition_is_a_bug() {
        EventPhaseState {
            phase: Committed,
            ..EventPhaseState::default()
        }
        .transition(Failed);
    }
}
