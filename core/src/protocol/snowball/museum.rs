//! The museum's room of snowball: how each flaw of the document that can be restored is found. Confidence takes many polls,
//! which is more than every schedule of them: each is a run on the clock, made small.

use crate::museum::{Exhibit, How};

macro_rules! exhibits {
    ($($flaw:literal, $file:literal: $how:expr;)*) => {
        &[$(Exhibit {
            flaw: $flaw,
            start: include_str!(concat!("../../../../tests/scenarios/snowball/flaws/", $file, ".toml")),
            found: include_str!(concat!("../../../../tests/scenarios/snowball/museum/", $file, ".toml")),
            how: $how,
        }),*]
    };
}

/// In the order of the document's flaws.
pub(super) const EXHIBITS: &[Exhibit] = exhibits! {
    "S1-F1", "s1-f1": How::Minimize;
    "S1-F2", "s1-f2": How::Minimize;
    "S1-F3", "s1-f3": How::Minimize;
    "S1-F4", "s1-f4": How::Minimize;
    "S1-F5", "s1-f5": How::Minimize;
    "S1-F6", "s1-f6": How::Minimize;
    "S1-F7", "s1-f7": How::Minimize;
    "S1-F9", "s1-f9": How::Minimize;
    "S1-F10", "s1-f10": How::Minimize;
    "S1-F11", "s1-f11": How::Minimize;
    "S1-F12", "s1-f12": How::Minimize;
    "S1-F13", "s1-f13": How::Minimize;
    "S1-F16", "s1-f16": How::Minimize;
    "S1-F17", "s1-f17": How::Minimize;
    "S1-F20", "s1-f20": How::Minimize;
};
