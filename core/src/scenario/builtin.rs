//! The scenarios that come with the core: the same files that the tests run.

use alloc::string::String;
use alloc::vec::Vec;

/// A scenario that comes with the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Protocol and name, such as `two-phase/three-signers`.
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
}

macro_rules! builtin {
    ($($name:literal),* $(,)?) => {
        &[$(Builtin {
            name: $name,
            text: include_str!(concat!("../../../tests/scenarios/", $name, ".toml")),
        }),*]
    };
}

/// All of them, in the order in which they are shown.
pub fn builtin() -> &'static [Builtin] {
    builtin![
        "two-phase/three-signers",
        "two-phase/same-proposal",
        "two-phase/divergent-views",
        "two-phase/late-joiner",
        "two-phase/timeout-then-retry",
        "two-phase/max-retries",
        "two-phase/silent-decider",
        "two-phase/equivocator",
        "sharded-2pc/reference-transfer",
        "sharded-2pc/reference-prepared",
        "sharded-2pc/reference-timing",
        "sharded-2pc/static-leader",
        "sharded-2pc/static-leaders-all",
        "sharded-2pc/course",
        "sharded-2pc/insufficient-balance",
        "sharded-2pc/abort-flow",
        "sharded-2pc/leaders-killed",
        "sharded-2pc/no-majority",
        "sharded-2pc/same-item",
        "sharded-2pc/cyclic",
        "sharded-2pc/coordinator-killed-before-p",
        "sharded-2pc/coordinator-killed-after-p",
        "sharded-2pc/coordinator-killed-before-c",
        "sharded-2pc/coordinator-killed-after-c",
        "sharded-2pc/coordinator-killed-before-ack",
        "sharded-2pc/participant-killed-before-p",
        "sharded-2pc/participant-killed-after-p",
        "sharded-2pc/participant-killed-before-c",
        "sharded-2pc/participant-killed-after-c",
        "sharded-2pc/two-commands",
        "sharded-2pc/two-pairs",
        "snowball/payment",
        "snowball/double-spend",
        "snowball/two-spends",
        "snowball/three-way",
        "snowball/reopened",
        "snowball/chain",
        "snowball/rejected-unlocks",
        "snowball/restart",
        "snowball/late-node",
        "snowball/finalize-anyway",
        "snowball/slow-voters",
        "snowball/as-written-ten-rounds",
        "snowball/as-written-reject",
        "snowball/opposing-voters",
        "snowball/equivocating-voters",
        "snowball/silent-voters",
        "snowball/sybils",
        "snowball/late-replies",
    ]
}

/// The scenario with this name; the part after the slash is enough where it is unique.
///
/// # Errors
/// The names that come nearest.
pub fn find(name: &str) -> Result<Builtin, Vec<String>> {
    let name = name.strip_suffix(".toml").unwrap_or(name);
    let short =
        |entry: &&Builtin| entry.name == name || entry.name.rsplit('/').next() == Some(name);
    let mut found = builtin().iter().filter(short);
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(*entry),
        (Some(_), Some(_)) => Err(builtin()
            .iter()
            .filter(short)
            .map(|entry| String::from(entry.name))
            .collect()),
        (None, _) => Err(builtin()
            .iter()
            .map(|entry| String::from(entry.name))
            .collect()),
    }
}
