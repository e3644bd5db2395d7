//! The museum's room of two-phase: how each flaw of the document that can be restored is found.

use crate::explore::cluster::Bounds;
use crate::museum::{Exhibit, How};

const BOUNDS: Bounds = Bounds {
    rounds: 1,
    timeouts: None,
    crashes: 0,
    housekeeping: 0,
    repeats: 0,
    late_requests: false,
    beyond_decisions: false,
    once: false,
};

const fn search(rounds: u32, states: u64) -> How {
    How::Search {
        bounds: Bounds { rounds, ..BOUNDS },
        states,
    }
}

macro_rules! exhibits {
    ($($flaw:literal, $file:literal: $how:expr;)*) => {
        &[$(Exhibit {
            flaw: $flaw,
            start: include_str!(concat!("../../../../tests/scenarios/two-phase/flaws/", $file, ".toml")),
            found: include_str!(concat!("../../../../tests/scenarios/two-phase/museum/", $file, ".toml")),
            how: $how,
        }),*]
    };
}

/// In the order of the document's flaws.
pub(super) const EXHIBITS: &[Exhibit] = exhibits! {
    "S0-F1", "s0-f1": search(2, 8_000_000);
    "S0-F3", "s0-f3": search(1, 1_000_000);
    "S0-F4", "s0-f4": How::Minimize;
    "S0-F5", "s0-f5": How::Minimize;
    "S0-F7", "s0-f7": How::Minimize;
    "S0-F8", "s0-f8": How::Minimize;
    "S0-F9", "s0-f9": How::Minimize;
    "S0-F11", "s0-f11": How::Minimize;
    "S0-F13", "s0-f13": How::Minimize;
    "S0-F14", "s0-f14": How::Minimize;
    "S0-F15", "s0-f15": How::Minimize;
    "S0-F16", "s0-f16": How::Minimize;
    "S0-F17", "s0-f17": search(1, 1_000_000);
    "S0-F18", "s0-f18": How::Minimize;
    "S0-F21", "s0-f21": How::Minimize;
    "S0-F23", "s0-f23": How::Minimize;
    "S0-F25", "s0-f25": How::Minimize;
    "S0-F31", "s0-f31": How::Minimize;
    "S0-F33", "s0-f33": How::Minimize;
    "S0-F36", "s0-f36": How::Minimize;
};
