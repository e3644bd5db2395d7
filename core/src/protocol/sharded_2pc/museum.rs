//! The museum's room of sharded-2pc: how each flaw of the document that can be restored is found. Its counterexamples
//! take six nodes and elections, which is more than every schedule of them: each is a run on the clock, made small.

use crate::museum::{Exhibit, How};

macro_rules! exhibits {
    ($($flaw:literal, $file:literal: $how:expr;)*) => {
        &[$(Exhibit {
            flaw: $flaw,
            start: include_str!(concat!("../../../../tests/scenarios/sharded-2pc/flaws/", $file, ".toml")),
            found: include_str!(concat!("../../../../tests/scenarios/sharded-2pc/museum/", $file, ".toml")),
            how: $how,
        }),*]
    };
}

/// In the order of the document's flaws.
pub(super) const EXHIBITS: &[Exhibit] = exhibits! {
    "S4-F1", "s4-f1": How::Minimize;
    "S4-F2", "s4-f2": How::Minimize;
    "S4-F3", "s4-f3": How::Minimize;
    "S4-F4", "s4-f4": How::Minimize;
    "S4-F5", "s4-f5": How::Minimize;
    "S4-F6", "s4-f6": How::Minimize;
    "S4-F7", "s4-f7": How::Minimize;
    "S4-F8", "s4-f8": How::Minimize;
    "S4-F9", "s4-f9": How::Minimize;
    "S4-F10", "s4-f10": How::Minimize;
    "S4-F11", "s4-f11": How::Minimize;
    "S4-F12", "s4-f12": How::Minimize;
    "S4-F13", "s4-f13": How::Minimize;
    "S4-F14", "s4-f14": How::Minimize;
    "S4-F15", "s4-f15": How::Minimize;
    "S4-F16", "s4-f16": How::Minimize;
    "S4-F17", "s4-f17": How::Minimize;
    "S4-F18", "s4-f18": How::Minimize;
    "S4-F21", "s4-f21": How::Minimize;
    "S4-F23", "s4-f23": How::Minimize;
    "S4-F25", "s4-f25": How::Minimize;
    "S4-F26", "s4-f26": How::Minimize;
    "S4-F31", "s4-f31": How::Minimize;
};
