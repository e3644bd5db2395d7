//! Where a conflict key stands at a node, as people see it.

use crate::view::Phase;

/// A choice is known; no poll was made.
pub const SUBMITTED: u8 = 0;
/// A poll is under way.
pub const QUERYING: u8 = 1;
/// A poll has ended; the next one follows after a pause.
pub const TALLYING: u8 = 2;
/// A choice is final here.
pub const FINALIZED: u8 = 3;
/// It stands in a block.
pub const IN_BLOCK: u8 = 4;
/// Every choice lost elsewhere.
pub const REJECTED: u8 = 5;

/// The phases by number.
pub(super) static PHASES: [Phase; 6] = [
    of("submitted", "a choice is known, and preferred", false),
    of("querying", "a sample of peers was asked", false),
    of("tallying", "the poll has ended and was counted", false),
    of(
        "finalized",
        "confident enough: it will not change here",
        true,
    ),
    of("in block", "and written into a block", true),
    of("rejected", "every choice lost another of its inputs", true),
];

const fn of(name: &'static str, meaning: &'static str, terminal: bool) -> Phase {
    Phase {
        name,
        meaning,
        instance: 0,
        terminal,
    }
}

/// What may follow what.
pub(super) static TRANSITIONS: [(u8, u8); 15] = [
    (SUBMITTED, QUERYING),
    (SUBMITTED, FINALIZED),
    (SUBMITTED, REJECTED),
    (QUERYING, TALLYING),
    (TALLYING, QUERYING),
    (QUERYING, FINALIZED),
    (TALLYING, FINALIZED),
    (QUERYING, REJECTED),
    (TALLYING, REJECTED),
    (FINALIZED, IN_BLOCK),
    // What won one input of several, and lost another: the input is open again.
    (FINALIZED, SUBMITTED),
    (FINALIZED, REJECTED),
    // A later choice.
    (REJECTED, SUBMITTED),
    (TALLYING, SUBMITTED),
    (QUERYING, SUBMITTED),
];
