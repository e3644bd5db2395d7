//! Rounds with a lock: the possibly decided value is carried forward.
//!
//! Shared by two-phase, phased-bft and tsdc. [TM] is Buchman, Kwon, Milosevic, *The latest gossip on BFT consensus*,
//! arXiv 1807.04938, Algorithm 1. Pure: the caller counts votes, verifies, persists and sends.
//!
//! Upon entering round r: step := propose. ([TM] l.11)
//! Upon a proposal (v, vr) in round r while step = propose: prevote v if v is valid and the node is unlocked, or locked
//! on v, or locked in a round <= vr < r with q prevotes for v at vr. ([TM] l.22, l.28)
//! Upon q prevotes for a valid v in round r, step >= prevote: valid := (r, v); if step = prevote, also
//! lock := (r, v), precommit v, step := precommit. ([TM] l.36)
//! Upon q precommits for v in any round: decide v. ([TM] l.49)
//! Upon enough votes of a higher round: enter it. ([TM] l.55)
//!
//! *Why it is safe.* Two quorums share a member. Suppose q members precommitted v in round r. Each locked v there, so
//! each prevotes another value in a later round r' only with q prevotes for it at some vr, r <= vr < r'. Take the least
//! r' > r with q prevotes for another value: it shares a member with the q lockers, and that member would have needed q
//! prevotes for that value in a round between, contradicting that r' is the least. Hence no other value is ever locked,
//! or precommitted, after r.
//!
//! Round numbers use checked arithmetic: a round never wraps to one that was used.

use serde::{Deserialize, Serialize};

use crate::types::{Hash32, NodeId, Round};

/// How far a node is in its round.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Step {
    /// Waits for a proposal.
    #[default]
    Propose,
    /// Prevoted.
    Prevote,
    /// Precommitted.
    Precommit,
}

/// What one node must remember of one instance. Durable before anything that follows from it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoundState {
    /// The current round.
    pub round: Round,
    /// How far it is.
    pub step: Step,
    /// The value that this node precommitted last, and where.
    pub locked: Option<(Round, Hash32)>,
    /// The value for which this node saw q prevotes last, and where.
    pub valid: Option<(Round, Hash32)>,
    /// Its own prevote of this round, once it is cast: `Some(None)` is nil.
    pub prevoted: Option<Option<Hash32>>,
}

/// What q prevotes for a valid value mean here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPolka {
    /// Nothing new.
    Nothing,
    /// The value is known to be safe to propose; it is too late to lock it in this round.
    Valid,
    /// Lock it, and precommit it.
    LockAndPrecommit,
}

/// How far ahead one member's word is enough to follow it, under crash faults.
pub const JUMP_ROUNDS_MAX: u32 = 64;

impl RoundState {
    /// Enters a higher round.
    ///
    /// # Panics
    /// If the round is not higher: rounds never go back.
    pub fn enter(&mut self, round: Round) {
        assert!(round > self.round, "rounds never go back");
        self.round = round;
        self.step = Step::Propose;
        self.prevoted = None;
    }

    /// Whether this node may still prevote in its round.
    pub fn can_prevote(&self) -> bool {
        self.step == Step::Propose && self.prevoted.is_none()
    }

    /// Whether the lock allows a prevote for `value`, proposed with `valid_round`. `has_polka` tells whether q prevotes
    /// for the value were seen in that round. Validity is the caller's to judge.
    pub fn lock_allows(&self, value: &Hash32, valid_round: Option<Round>, has_polka: bool) -> bool {
        let backed = match valid_round {
            Some(round) => round < self.round && has_polka,
            None => false,
        };
        if valid_round.is_some() && !backed {
            return false;
        }
        match &self.locked {
            None => true,
            Some((_, locked)) if locked == value => true,
            Some((round, _)) => {
                backed && valid_round.is_some_and(|valid_round| *round <= valid_round)
            }
        }
    }

    /// Casts the prevote of this round; `None` is nil.
    ///
    /// # Panics
    /// If one was cast, which would be a second vote.
    pub fn prevote(&mut self, value: Option<Hash32>) {
        assert!(self.can_prevote(), "one prevote per round");
        self.prevoted = Some(value);
        self.step = Step::Prevote;
    }

    /// Takes note of q prevotes for a valid value in a round.
    #[must_use]
    pub fn on_polka(&mut self, round: Round, value: Hash32) -> OnPolka {
        if round != self.round {
            // A polka of an older round may still tell what is safe to propose.
            if round < self.round && self.valid.is_none_or(|(known, _)| known < round) {
                self.valid = Some((round, value));
                return OnPolka::Valid;
            }
            return OnPolka::Nothing;
        }
        match self.step {
            Step::Propose => OnPolka::Nothing,
            Step::Prevote => {
                assert!(
                    self.locked.is_none_or(|(locked, _)| locked < round),
                    "one lock per round"
                );
                self.valid = Some((round, value));
                self.locked = Some((round, value));
                self.step = Step::Precommit;
                OnPolka::LockAndPrecommit
            }
            Step::Precommit => {
                // The lock was taken in this very round, so this is the same value.
                debug_assert!(
                    self.locked
                        .is_none_or(|(at, locked)| at != round || locked == value)
                );
                OnPolka::Nothing
            }
        }
    }

    /// What this node prevotes when no proposal came in time: the locked value, else the fresh one, else nil.
    pub fn on_propose_timeout(&self, fresh: Option<Hash32>) -> Option<Hash32> {
        self.locked.map(|(_, value)| value).or(fresh)
    }

    /// The round after this one; `None` at the end of the number space.
    pub fn next_round(&self) -> Option<Round> {
        self.round.next()
    }
}

/// Whether to follow members into a higher round, under crash faults: any member's word up to [`JUMP_ROUNDS_MAX`]
/// rounds ahead; further only if `many` members are there.
pub fn may_jump(own: Round, seen: Round, members_there: usize, many: u128) -> bool {
    seen > own && (seen.0 - own.0 <= JUMP_ROUNDS_MAX || members_there as u128 >= many)
}

/// The leader of a round: the members take turns, starting at a place that the instance's hash gives.
///
/// # Panics
/// If there are no members.
pub fn leader(members: &[NodeId], instance: &Hash32, round: Round) -> NodeId {
    let mut head = [0; 8];
    head.copy_from_slice(&instance.0[..8]);
    let start = u64::from_le_bytes(head) % members.len() as u64;
    let turn = (start + u64::from(round.0)) % members.len() as u64;
    members[turn as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(byte: u8) -> Hash32 {
        Hash32([byte; 32])
    }

    fn locked_at(round: u32, byte: u8, now: u32) -> RoundState {
        RoundState {
            round: Round(now),
            locked: Some((Round(round), value(byte))),
            ..RoundState::default()
        }
    }

    /// The lock rule as a table: (locked in, proposed value, its valid round, q prevotes seen there) at round 5.
    #[test]
    fn the_lock_rule() {
        let cases = [
            (None, 1, None, false, true),
            (None, 1, Some(3), true, true),
            (None, 1, Some(3), false, false), // A claimed quorum that was not seen.
            (Some((2, 1)), 1, None, false, true),
            (Some((2, 1)), 9, None, false, false),
            (Some((2, 1)), 9, Some(1), true, false), // Older than the lock.
            (Some((2, 1)), 9, Some(2), true, true),
            (Some((2, 1)), 9, Some(4), true, true),
            (Some((2, 1)), 9, Some(4), false, false),
            (Some((2, 1)), 9, Some(5), true, false), // Not an earlier round.
            (Some((2, 1)), 1, Some(4), false, false),
        ];
        for (index, (lock, proposed, valid_round, polka, allowed)) in cases.into_iter().enumerate()
        {
            let state = match lock {
                None => RoundState {
                    round: Round(5),
                    ..RoundState::default()
                },
                Some((round, byte)) => locked_at(round, byte, 5),
            };
            assert_eq!(
                state.lock_allows(&value(proposed), valid_round.map(Round), polka),
                allowed,
                "case {index}"
            );
        }
    }

    #[test]
    fn a_quorum_of_prevotes_locks_once_and_only_after_the_own_prevote() {
        let mut state = RoundState::default();
        assert_eq!(
            state.on_polka(Round(0), value(1)),
            OnPolka::Nothing,
            "not before the own prevote"
        );
        state.prevote(None);
        assert_eq!(
            state.on_polka(Round(0), value(1)),
            OnPolka::LockAndPrecommit,
            "whatever it prevoted itself"
        );
        assert_eq!(state.locked, Some((Round(0), value(1))));
        assert_eq!(state.on_polka(Round(0), value(1)), OnPolka::Nothing);
        state.enter(Round(4));
        assert_eq!(
            state.on_polka(Round(2), value(2)),
            OnPolka::Valid,
            "an older quorum never moves the lock"
        );
        assert_eq!(
            (state.locked, state.valid),
            (Some((Round(0), value(1))), Some((Round(2), value(2))))
        );
        assert_eq!(
            state.on_polka(Round(1), value(3)),
            OnPolka::Nothing,
            "nor does it undo a newer one"
        );
        assert_eq!(
            state.on_polka(Round(9), value(3)),
            OnPolka::Nothing,
            "a round not entered"
        );
    }

    #[test]
    #[should_panic(expected = "one prevote per round")]
    fn a_second_prevote_is_a_bug() {
        let mut state = RoundState::default();
        state.prevote(Some(value(1)));
        state.prevote(Some(value(2)));
    }

    #[test]
    fn without_a_proposal_the_locked_value_comes_first() {
        assert_eq!(
            locked_at(0, 1, 2).on_propose_timeout(Some(value(7))),
            Some(value(1))
        );
        assert_eq!(
            RoundState::default().on_propose_timeout(Some(value(7))),
            Some(value(7))
        );
        assert_eq!(RoundState::default().on_propose_timeout(None), None);
    }

    #[test]
    fn one_member_is_followed_a_little_and_many_are_followed_far() {
        assert!(may_jump(Round(3), Round(4), 1, 2));
        assert!(may_jump(Round(3), Round(67), 1, 2));
        assert!(
            !may_jump(Round(3), Round(68), 1, 2),
            "S0-F15: one poisoned round number"
        );
        assert!(may_jump(Round(3), Round(u32::MAX), 2, 2));
        assert!(!may_jump(Round(3), Round(3), 9, 2));
        assert_eq!(
            RoundState {
                round: Round(u32::MAX),
                ..RoundState::default()
            }
            .next_round(),
            None
        );
    }

    #[test]
    fn every_member_leads_in_turn() {
        let members = [NodeId(1), NodeId(2), NodeId(3)];
        let mut led: Vec<NodeId> = (0..3)
            .map(|round| leader(&members, &value(200), Round(round)))
            .collect();
        led.sort_unstable();
        assert_eq!(led, members);
        let wrapped = leader(&members, &value(255), Round(u32::MAX));
        assert!(members.contains(&wrapped));
    }

    use alloc::vec::Vec;
}
