//! Where transfers and slots stand, as people see it. (S4-08, S4-30, S4-36)

use crate::view::Phase;

/// A client asked, and P is not applied here.
pub const ASKED: u8 = 0;
/// P is applied: the item is held.
pub const PREPARED: u8 = 1;
/// P is applied: the vote is no.
pub const REFUSED: u8 = 2;
/// C is applied.
pub const COMMITTED: u8 = 3;
/// A is applied.
pub const ABORTED: u8 = 4;
/// The other cluster acknowledged the outcome, or there is none.
pub const DONE: u8 = 5;
/// A slot's entry was accepted.
pub const ACCEPTED: u8 = 6;
/// A majority accepted it.
pub const CHOSEN: u8 = 7;
/// It is applied.
pub const EXECUTED: u8 = 8;

/// The phases by number.
pub(super) static PHASES: [Phase; 9] = [
    of_transfer("asked", "a client asked; nothing is held", false),
    of_transfer("prepared", "P: the item is held, nothing has moved", false),
    of_transfer("refused", "P: the vote is no, nothing is held", false),
    of_transfer("committed", "C: the money has moved here", true),
    of_transfer("aborted", "A: the hold is dropped, nothing has moved", true),
    of_transfer(
        "done",
        "the other cluster has applied the outcome too",
        true,
    ),
    of_slot("accepted", "stored here", false),
    of_slot("chosen", "stored by a majority", true),
    of_slot("executed", "applied to the accounts", true),
];

const fn of_transfer(name: &'static str, meaning: &'static str, terminal: bool) -> Phase {
    Phase {
        name,
        meaning,
        instance: super::TRANSFER,
        terminal,
    }
}

const fn of_slot(name: &'static str, meaning: &'static str, terminal: bool) -> Phase {
    Phase {
        name,
        meaning,
        instance: super::SLOT,
        terminal,
    }
}

/// What may follow what.
pub(super) static TRANSITIONS: [(u8, u8); 13] = [
    (ASKED, PREPARED),
    (ASKED, REFUSED),
    (ASKED, COMMITTED),
    (ASKED, ABORTED),
    (PREPARED, COMMITTED),
    (PREPARED, ABORTED),
    (REFUSED, ABORTED),
    (COMMITTED, DONE),
    (ABORTED, DONE),
    (ACCEPTED, CHOSEN),
    (CHOSEN, EXECUTED),
    (ACCEPTED, EXECUTED),
    // Another ballot, perhaps another command.
    (ACCEPTED, ACCEPTED),
];
