//! The rules that a flaw of seeds/004 answers otherwise: each flaw that can be restored alone is asked about in exactly
//! one function here. What the flaws are stands in [`table`]; what a flaw does to accounts, in `machine/flawed.rs`.

use crate::flaw::FlawSet;
use crate::paxos::Slot;
use crate::types::{Duration, NodeId};

pub(super) mod slot_reuse;
mod table;

pub(super) use table::FLAWS;

/// The flaws that can be restored, by their places in [`FLAWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Switch {
    StaticLeader = 0,
    SlotReused = 1,
    NobodyTakesUp = 2,
    MovesAtPrepare = 3,
    LocksInMemory = 4,
    ImageAtAccept = 5,
    UndoAtAccept = 6,
    ReleasedEarly = 7,
    AbortAfterCommit = 8,
    UnknownToTheNext = 9,
    NoTombstone = 10,
    LabelOfItsOwn = 11,
    FirstOfTwo = 12,
    LastReplyForAll = 13,
    RepliesInMemory = 14,
    SameClientPasses = 15,
    ExecutedTwice = 16,
    UndoneTwice = 17,
    AcksAtOnce = 20,
    ReadsAlone = 22,
    NoJitter = 24,
    SaidOnce = 25,
    LastOutcomeCounts = 30,
}

const fn has(flaws: FlawSet, switch: Switch) -> bool {
    flaws.has(switch as usize)
}

/// Whose unfinished work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Of this leader.
    Own,
    /// Of whoever led before.
    Inherited,
    /// Of the other cluster, which decides.
    Theirs,
}

/// The label of an A that names no P; what it names nothing undoes.
pub(super) const NO_LABEL: Slot = Slot::MAX;

/// S4-F1: whom to ask in another cluster, of the leader that is known and the one that the configuration names; `None`
/// is everybody.
pub(super) fn whom(
    flaws: FlawSet,
    known: Option<NodeId>,
    configured: Option<NodeId>,
) -> Option<NodeId> {
    if has(flaws, Switch::StaticLeader) {
        configured
    } else {
        known
    }
}

/// S4-F2: whether C and A are logged in the slot of their P.
pub(super) fn reuses_the_slot(flaws: FlawSet) -> bool {
    has(flaws, Switch::SlotReused)
}

/// S4-F3: whether a leader sees to the end of what it did not begin.
pub(super) fn takes_up(flaws: FlawSet, work: Work) -> bool {
    work == Work::Own || !has(flaws, Switch::NobodyTakesUp)
}

/// S4-F4: whether money moves at P already, and back at A.
pub(super) fn moves_at_prepare(flaws: FlawSet) -> bool {
    has(flaws, Switch::MovesAtPrepare)
}

/// S4-F5: whether locks are part of what the log makes, and A has nothing to restore; without, the next leader knows of
/// no lock, and A restores what the item held.
pub(super) fn keeps_locks(flaws: FlawSet) -> bool {
    !has(flaws, Switch::LocksInMemory)
}

/// S4-F6: whether A restores what the item held when P was accepted.
pub(super) fn restores_what_was_accepted(flaws: FlawSet) -> bool {
    has(flaws, Switch::ImageAtAccept)
}

/// S4-F7: whether an A takes effect where it is accepted, before it is chosen.
pub(super) fn undoes_at_accept(flaws: FlawSet) -> bool {
    has(flaws, Switch::UndoAtAccept)
}

/// S4-F8: whether a leader lets go of an item when it proposes C, before that is chosen.
pub(super) fn releases_at_proposal(flaws: FlawSet) -> bool {
    has(flaws, Switch::ReleasedEarly)
}

/// S4-F9: whether the participant is told to abort when a C that was proposed is not chosen in time.
pub(super) fn aborts_an_open_commit(flaws: FlawSet) -> bool {
    has(flaws, Switch::AbortAfterCommit)
}

/// S4-F10: whether a participant's leader knows a transaction that is not its own when it is told the outcome.
pub(super) fn knows(flaws: FlawSet, work: Work) -> bool {
    work == Work::Own || !has(flaws, Switch::UnknownToTheNext)
}

/// S4-F11: whether the abort of an unknown transaction is logged before it is answered.
pub(super) fn leaves_a_tombstone(flaws: FlawSet) -> bool {
    !has(flaws, Switch::NoTombstone)
}

/// S4-F12: the label of an A, of the label of its P where that is applied; `None` is not to log one yet.
pub(super) fn label_of_abort(flaws: FlawSet, prepared: Option<Slot>) -> Option<Slot> {
    prepared.or(has(flaws, Switch::LabelOfItsOwn).then_some(NO_LABEL))
}

/// S4-F13: whether C waits for the participant's word after the own P is applied.
pub(super) fn waits_for_both(flaws: FlawSet) -> bool {
    !has(flaws, Switch::FirstOfTwo)
}

/// S4-F14: whether a request before the last is told apart from the last.
pub(super) fn tells_requests_apart(flaws: FlawSet) -> bool {
    !has(flaws, Switch::LastReplyForAll)
}

/// S4-F15: whether replies are part of what the log makes; without, the next leader knows of none.
pub(super) fn keeps_replies(flaws: FlawSet) -> bool {
    !has(flaws, Switch::RepliesInMemory)
}

/// S4-F16: whether a request that comes again while it is under way joins it, and its own lock stops it.
pub(super) fn joins(flaws: FlawSet) -> bool {
    !has(flaws, Switch::SameClientPasses)
}

/// S4-F17: how often a part takes effect at C.
pub(super) fn executions(flaws: FlawSet) -> u32 {
    if has(flaws, Switch::ExecutedTwice) {
        2
    } else {
        1
    }
}

/// S4-F18: whether the clean-up after an A undoes again.
pub(super) fn undoes_at_cleanup(flaws: FlawSet) -> bool {
    has(flaws, Switch::UndoneTwice)
}

/// S4-F21: whether a participant acknowledges C before it is chosen.
pub(super) fn acks_at_once(flaws: FlawSet) -> bool {
    has(flaws, Switch::AcksAtOnce)
}

/// S4-F23: whether a read waits until a majority confirms who leads.
pub(super) fn confirms_reads(flaws: FlawSet) -> bool {
    !has(flaws, Switch::ReadsAlone)
}

/// S4-F25: what is added to the pause before another attempt.
pub(super) fn jitter(flaws: FlawSet, drawn: Duration) -> Duration {
    if has(flaws, Switch::NoJitter) {
        Duration::ZERO
    } else {
        drawn
    }
}

/// S4-F26: whether what nobody acknowledged is said again, and whoever waits for an outcome asks.
pub(super) fn repeats(flaws: FlawSet) -> bool {
    !has(flaws, Switch::SaidOnce)
}

/// S4-F31: whether the first outcome of a transaction stands.
pub(super) fn first_outcome_stands(flaws: FlawSet) -> bool {
    !has(flaws, Switch::LastOutcomeCounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCHES: [(Switch, &str); 23] = [
        (Switch::StaticLeader, "S4-F1"),
        (Switch::SlotReused, "S4-F2"),
        (Switch::NobodyTakesUp, "S4-F3"),
        (Switch::MovesAtPrepare, "S4-F4"),
        (Switch::LocksInMemory, "S4-F5"),
        (Switch::ImageAtAccept, "S4-F6"),
        (Switch::UndoAtAccept, "S4-F7"),
        (Switch::ReleasedEarly, "S4-F8"),
        (Switch::AbortAfterCommit, "S4-F9"),
        (Switch::UnknownToTheNext, "S4-F10"),
        (Switch::NoTombstone, "S4-F11"),
        (Switch::LabelOfItsOwn, "S4-F12"),
        (Switch::FirstOfTwo, "S4-F13"),
        (Switch::LastReplyForAll, "S4-F14"),
        (Switch::RepliesInMemory, "S4-F15"),
        (Switch::SameClientPasses, "S4-F16"),
        (Switch::ExecutedTwice, "S4-F17"),
        (Switch::UndoneTwice, "S4-F18"),
        (Switch::AcksAtOnce, "S4-F21"),
        (Switch::ReadsAlone, "S4-F23"),
        (Switch::NoJitter, "S4-F25"),
        (Switch::SaidOnce, "S4-F26"),
        (Switch::LastOutcomeCounts, "S4-F31"),
    ];

    #[test]
    fn the_table_is_in_the_order_of_ids_and_every_switch_is_in_its_place() {
        assert_eq!(FLAWS.len(), 31);
        let switches = SWITCHES.map(|(switch, id)| (switch as usize, id));
        crate::flaw::assert_table(4, FLAWS, &switches);
    }
}
