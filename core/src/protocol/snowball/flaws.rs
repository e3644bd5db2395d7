//! The rules that a flaw of seeds/001 answers otherwise: each flaw that can be restored alone is asked about in exactly
//! one function here. What the flaws are stands in [`table`].

use alloc::vec::Vec;

use super::conflict::ConflictKey;
use crate::flaw::FlawSet;
use crate::ledger::Signed;
use crate::snow::{self, Parameters};
use crate::types::{Hash32, NodeId};

mod table;

pub(super) use table::FLAWS;

/// The flaws that can be restored, by their places in [`FLAWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Switch {
    NeverThere = 0,
    FinalizeAnyway = 1,
    VotesAlone = 2,
    RejectedToo = 3,
    MajorityOfReceived = 4,
    AsksEverybody = 5,
    NoPollIds = 6,
    TieKeeps = 8,
    LastMajority = 9,
    HasItAccepts = 10,
    OneAsks = 11,
    ForgetsDecision = 12,
    DynamicBeta = 15,
    FixedWindow = 16,
    StaysLocked = 19,
}

const fn has(flaws: FlawSet, switch: Switch) -> bool {
    flaws.has(switch as usize)
}

/// What follows a poll that decided nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastRound {
    /// There is no last round.
    None,
    /// It was the last one.
    Stop,
    /// It was the last one, and whatever is preferred has won.
    Finalize,
}

/// S1-F1, S1-F2: whether the last of `max_rounds` polls is the end.
pub(super) const fn after_round(flaws: FlawSet, is_last: bool) -> LastRound {
    if !is_last {
        LastRound::None
    } else if has(flaws, Switch::FinalizeAnyway) {
        LastRound::Finalize
    } else if has(flaws, Switch::NeverThere) {
        LastRound::Stop
    } else {
        LastRound::None
    }
}

/// S1-F3: what a transaction is a choice for: each of its inputs, or nothing but itself.
pub(super) fn keys(flaws: FlawSet, signed: &Signed) -> Vec<ConflictKey> {
    let txid = signed.id();
    let inputs = signed.transaction.inputs.iter();
    let key = |outpoint| {
        if has(flaws, Switch::VotesAlone) {
            ConflictKey::Alone(outpoint, txid)
        } else {
            ConflictKey::Spend(outpoint)
        }
    };
    inputs.map(|(outpoint, _)| key(*outpoint)).collect()
}

/// S1-F3: whether a final transaction excludes those in conflict with it.
pub(super) const fn excludes(flaws: FlawSet) -> bool {
    !has(flaws, Switch::VotesAlone)
}

/// S1-F4: whether what lost is moved to the finalized pool too, since its polls are over.
pub(super) const fn moves_losers(flaws: FlawSet) -> bool {
    has(flaws, Switch::RejectedToo)
}

/// S1-F5: what has most votes, if that is anything; by a majority of those that came, however few.
pub(super) fn winner(
    flaws: FlawSet,
    poll: &snow::Poll<NodeId, Hash32>,
    parameters: &Parameters,
) -> Option<(Hash32, u16)> {
    let (choice, count) = poll.leading()?;
    if has(flaws, Switch::MajorityOfReceived) {
        let votes = poll.votes().filter(|(_, vote)| vote.is_some()).count();
        return (usize::from(count) * 2 > votes).then_some((choice, parameters.k.max(count)));
    }
    (count >= parameters.alpha_preference).then_some((choice, count))
}

/// S1-F5: whether more votes change nothing; with that flaw, only once everybody has answered.
pub(super) fn is_over(
    flaws: FlawSet,
    poll: &snow::Poll<NodeId, Hash32>,
    parameters: &Parameters,
) -> bool {
    if has(flaws, Switch::MajorityOfReceived) {
        return poll.outstanding() == 0;
    }
    poll.is_over(parameters)
}

/// S1-F6: how many peers are asked; everybody with `None`, so that the first who answer decide.
pub(super) const fn sample_size(flaws: FlawSet, k: u16) -> Option<u16> {
    if has(flaws, Switch::AsksEverybody) {
        None
    } else {
        Some(k)
    }
}

/// S1-F7: whether a vote is of the poll that runs.
pub(super) const fn is_of_poll(flaws: FlawSet, running: u64, poll_id: u64) -> bool {
    running == poll_id || has(flaws, Switch::NoPollIds)
}

/// S1-F9: whether a poll without success clears the confidence.
pub(super) const fn clears(flaws: FlawSet) -> bool {
    !has(flaws, Switch::TieKeeps)
}

/// S1-F10: what is preferred: the choice that won most polls, or the last one.
pub(super) fn preference(
    flaws: FlawSet,
    snow: &snow::Snowball<Hash32>,
    winner: Option<(Hash32, u16)>,
) -> Hash32 {
    match winner {
        Some((last, _)) if has(flaws, Switch::LastMajority) => last,
        _ => snow.preference(),
    }
}

/// S1-F11: the vote about a choice that somebody prefers: the own preference, or yes to whatever is in the pool.
pub(super) fn vote(
    flaws: FlawSet,
    own: Option<Hash32>,
    asked: Hash32,
    knows: bool,
) -> Option<Hash32> {
    if knows && has(flaws, Switch::HasItAccepts) {
        Some(asked)
    } else {
        own
    }
}

/// S1-F12: whether this node polls about a transaction that no client gave it.
pub(super) const fn polls(flaws: FlawSet, is_own: bool) -> bool {
    is_own || !has(flaws, Switch::OneAsks)
}

/// S1-F13: whether a decision and what it spent are kept.
pub(super) const fn remembers(flaws: FlawSet) -> bool {
    !has(flaws, Switch::ForgetsDecision)
}

/// S1-F16: how polls are judged after so many of them ran out of time: with a smaller beta each.
pub(super) fn judge(flaws: FlawSet, parameters: Parameters, timed_out: u32) -> Parameters {
    if !has(flaws, Switch::DynamicBeta) {
        return parameters;
    }
    Parameters {
        beta: parameters.beta.saturating_sub(timed_out).max(1),
        ..parameters
    }
}

/// S1-F17: how many times longer polls wait.
pub(super) const fn patience(flaws: FlawSet, learned: u32) -> u32 {
    if has(flaws, Switch::FixedWindow) {
        0
    } else {
        learned
    }
}

/// S1-F20: whether what lost gives its inputs free.
pub(super) const fn unlocks(flaws: FlawSet) -> bool {
    !has(flaws, Switch::StaysLocked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let switches = [
            (Switch::NeverThere, "S1-F1"),
            (Switch::FinalizeAnyway, "S1-F2"),
            (Switch::VotesAlone, "S1-F3"),
            (Switch::RejectedToo, "S1-F4"),
            (Switch::MajorityOfReceived, "S1-F5"),
            (Switch::AsksEverybody, "S1-F6"),
            (Switch::NoPollIds, "S1-F7"),
            (Switch::TieKeeps, "S1-F9"),
            (Switch::LastMajority, "S1-F10"),
            (Switch::HasItAccepts, "S1-F11"),
            (Switch::OneAsks, "S1-F12"),
            (Switch::ForgetsDecision, "S1-F13"),
            (Switch::DynamicBeta, "S1-F16"),
            (Switch::FixedWindow, "S1-F17"),
            (Switch::StaysLocked, "S1-F20"),
        ];
        let switches = switches.map(|(switch, id)| (switch as usize, id));
        crate::flaw::assert_table(1, FLAWS, &switches);
    }
}
