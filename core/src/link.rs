//! A run in an address: what a share link carries, and how it is written and read.
//!
//! ```text
//! token = base64url( format u16 | check [4] | name length u8 | name | seed u64 | body )
//! body  = codec::encode( rest of the scenario, what was done by hand, where its sharer stood )
//! ```
//!
//! What stands before the body is the same in every format, so that a link of another one still tells its scenario.
//! A scenario that is built in is told by its name and by what differs; any other goes along whole.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::engine::RuleSet;
use crate::replica::BuildError;
use crate::scenario::{At, Intervention, Scenario};
use crate::sim::Sim;
use crate::trace::FORMAT;

/// The longest token, in characters: what messengers and mail pass on unharmed.
pub const CHARS_MAX: usize = 8_000;

/// What stands before the token in an address.
pub const ROUTE: &str = "#/run/";

const CHECK_BYTES: usize = 4;

/// Finds a built-in scenario, and its whole name. The page has them without their text.
pub type Find<'a> = &'a dyn Fn(&str) -> Option<(&'static str, Scenario)>;

/// A run to share: how it begins, what was done to it by hand, and where its sharer stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// How it begins.
    pub scenario: Shared,
    /// What a person did to it, by step.
    pub by_hand: Vec<Intervention>,
    /// Where its sharer stood.
    pub seen: Seen,
}

/// The scenario of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shared {
    /// One that is built in, with what differs.
    Builtin {
        /// Its whole name.
        name: String,
        /// The seed.
        seed: u64,
        /// The rules.
        rules: RuleSet,
        /// The flaws that are restored.
        flaws: Vec<String>,
    },
    /// Any other.
    Whole(Box<Scenario>),
}

/// A moment of a run, and what was seen there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How many steps were made.
    pub step: u64,
    /// The first bytes of the trace hash there.
    pub hash: [u8; 4],
}

/// What the head does not tell.
#[derive(Serialize, Deserialize)]
struct Body {
    scenario: BodyScenario,
    by_hand: Vec<Intervention>,
    seen: Seen,
}

#[derive(Serialize, Deserialize)]
enum BodyScenario {
    Builtin(RuleSet, Vec<String>),
    Whole(Box<Scenario>),
}

impl Link {
    /// What it takes to make this run again, up to where it stands and on.
    ///
    /// # Errors
    /// `Live` for a run that happened.
    pub fn of(sim: &Sim, find: Find<'_>) -> Result<Link, LinkError> {
        if sim.is_live() {
            return Err(LinkError::Live);
        }
        let mut seen = Seen {
            step: sim.steps(),
            ..Seen::default()
        };
        seen.hash.copy_from_slice(&sim.trace_hash().0[..4]);
        Ok(Link {
            scenario: Shared::of(sim.scenario(), find),
            by_hand: sim.whole_by_hand(),
            seen,
        })
    }

    /// The run, before its first step; what was done by hand is done when its step comes.
    ///
    /// # Errors
    /// When this core has no such scenario, or the run cannot be.
    pub fn to_sim(&self, find: Find<'_>) -> Result<Sim, LinkError> {
        let scenario = self.scenario(find)?;
        let mut sim = Sim::new(&scenario).map_err(LinkError::Build)?;
        sim.plan_by_hand(&self.by_hand);
        Ok(sim)
    }

    /// The scenario, in which what was done by hand can be done.
    ///
    /// # Errors
    /// `UnknownScenario`, `Impossible`.
    pub fn scenario(&self, find: Find<'_>) -> Result<Scenario, LinkError> {
        let scenario = self.scenario.resolve(find)?;
        let mut acts = self.by_hand.iter();
        acts.try_for_each(|entry| scenario.check_act(&entry.act))
            .map_err(LinkError::Impossible)?;
        Ok(scenario)
    }

    /// Whether a run that stands where the sharer stood came to the same; `None` anywhere else.
    pub fn is_as_seen(&self, sim: &Sim) -> Option<bool> {
        (sim.steps() == self.seen.step).then(|| sim.trace_hash().0[..4] == self.seen.hash)
    }

    /// The link as bytes, however long.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (name, seed, scenario) = match &self.scenario {
            Shared::Builtin {
                name,
                seed,
                rules,
                flaws,
            } => (
                name.as_str(),
                *seed,
                BodyScenario::Builtin(*rules, flaws.clone()),
            ),
            Shared::Whole(scenario) => ("", scenario.seed, BodyScenario::Whole(scenario.clone())),
        };
        let body = codec::encode(&Body {
            scenario,
            by_hand: self.by_hand.clone(),
            seen: self.seen,
        });
        let mut rest = Vec::from([name.len() as u8]);
        rest.extend_from_slice(name.as_bytes());
        rest.extend_from_slice(&seed.to_le_bytes());
        rest.extend(body);
        let mut bytes = FORMAT.to_le_bytes().to_vec();
        bytes.extend(check(FORMAT, &rest));
        bytes.extend(rest);
        bytes
    }

    /// The token that goes behind [`ROUTE`].
    ///
    /// # Errors
    /// `TooLong` over [`CHARS_MAX`].
    pub fn token(&self) -> Result<String, LinkError> {
        let token = Base64UrlUnpadded::encode_string(&self.to_bytes());
        if token.len() <= CHARS_MAX {
            return Ok(token);
        }
        // A file's text is told by what was read from it: the run is the same without.
        if let Shared::Whole(scenario) = &self.scenario
            && !scenario.source.is_empty()
        {
            let mut bare = self.clone();
            let mut scenario = scenario.clone();
            scenario.source = String::new();
            bare.scenario = Shared::Whole(scenario);
            return bare.token();
        }
        Err(LinkError::TooLong { chars: token.len() })
    }

    /// Reads a token, or an address that ends with one.
    ///
    /// # Errors
    /// What is wrong with it; of a link of another format, the scenario that it names.
    pub fn parse(text: &str) -> Result<Link, LinkError> {
        let text = text.trim();
        let token = text.rsplit_once(ROUTE).map_or(text, |(_, token)| token);
        if token.len() > CHARS_MAX {
            return Err(LinkError::TooLong { chars: token.len() });
        }
        let bytes = Base64UrlUnpadded::decode_vec(token).map_err(|_| LinkError::NotALink)?;
        Link::from_bytes(&bytes)
    }

    /// Reads a link's bytes.
    ///
    /// # Errors
    /// As [`Link::parse`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Link, LinkError> {
        let (format, bytes) = take(bytes)?;
        let format = u16::from_le_bytes(format);
        let (found, rest) = take::<CHECK_BYTES>(bytes)?;
        if found != check(format, rest) {
            return Err(LinkError::Damaged);
        }
        let (&length, bytes) = rest.split_first().ok_or(LinkError::Damaged)?;
        let named = bytes.split_at_checked(usize::from(length));
        let (name, bytes) = named.ok_or(LinkError::Damaged)?;
        let name = core::str::from_utf8(name).map_err(|_| LinkError::Damaged)?;
        let (seed, body) = take(bytes)?;
        let (name, seed) = (name.to_string(), u64::from_le_bytes(seed));
        if format != FORMAT {
            let scenario = (!name.is_empty()).then_some((name, seed));
            return Err(LinkError::OtherFormat { format, scenario });
        }
        let body: Body = codec::decode(body).map_err(|_| LinkError::Damaged)?;
        let scenario = match body.scenario {
            BodyScenario::Builtin(rules, flaws) => Shared::Builtin {
                name,
                seed,
                rules,
                flaws,
            },
            BodyScenario::Whole(scenario) => Shared::Whole(scenario),
        };
        let is_by_step = |entry: &Intervention| matches!(entry.at, At::Step(_));
        if !body.by_hand.iter().all(is_by_step) || !body.by_hand.is_sorted_by_key(|entry| entry.at)
        {
            return Err(LinkError::Damaged);
        }
        Ok(Link {
            scenario,
            by_hand: body.by_hand,
            seen: body.seen,
        })
    }
}

impl Shared {
    /// A scenario by its name, if it is built in and no more differs than a name can carry.
    pub fn of(scenario: &Scenario, find: Find<'_>) -> Shared {
        let same = |(name, mut known): (&'static str, Scenario)| {
            known.seed = scenario.seed;
            known.rules = scenario.rules;
            known.flaws.clone_from(&scenario.flaws);
            let is_short = name.len() <= usize::from(u8::MAX);
            (is_short && codec::encode(&known) == codec::encode(scenario)).then_some(name)
        };
        match find(&scenario.name).and_then(same) {
            Some(name) => Shared::Builtin {
                name: name.to_string(),
                seed: scenario.seed,
                rules: scenario.rules,
                flaws: scenario.flaws.clone(),
            },
            None => Shared::Whole(Box::new(scenario.clone())),
        }
    }

    /// The scenario, checked.
    ///
    /// # Errors
    /// `UnknownScenario`, `Impossible`.
    pub fn resolve(&self, find: Find<'_>) -> Result<Scenario, LinkError> {
        let scenario = match self {
            Shared::Whole(scenario) => scenario.as_ref().clone(),
            Shared::Builtin {
                name,
                seed,
                rules,
                flaws,
            } => {
                let unknown = || LinkError::UnknownScenario(name.clone());
                let (_, mut scenario) = find(name).ok_or_else(unknown)?;
                (scenario.seed, scenario.rules) = (*seed, *rules);
                scenario.flaws.clone_from(flaws);
                scenario
            }
        };
        scenario.check().map_err(LinkError::Impossible)?;
        Ok(scenario)
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), LinkError> {
    let (head, tail) = bytes.split_first_chunk().ok_or(LinkError::NotALink)?;
    Ok((*head, tail))
}

/// The digest that tells a link that was cut off or mistyped.
fn check(format: u16, rest: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("phaselab 2026-11 link v1");
    hasher.update(&format.to_le_bytes()).update(rest);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK_BYTES]);
    check
}

/// Why a run cannot be shared, or a link not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// Longer than [`CHARS_MAX`].
    TooLong {
        /// How long.
        chars: usize,
    },
    /// The run happened: what it depended on is in its recordings.
    Live,
    /// Some other text.
    NotALink,
    /// Cut off or changed.
    Damaged,
    /// Made by another trace format.
    OtherFormat {
        /// Which.
        format: u16,
        /// The built-in scenario that it names, with its seed.
        scenario: Option<(String, u64)>,
    },
    /// Names a scenario that is not built in here.
    UnknownScenario(String),
    /// It describes a run that cannot be.
    Impossible(String),
    /// A node cannot be built.
    Build(BuildError),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::TooLong { chars } => {
                let (found, most) = (thousands(*chars), thousands(CHARS_MAX));
                write!(f, "Too long for a link ({found} of {most}). Download instead.")
            }
            LinkError::Live => {
                f.write_str("This run happened: a link cannot carry it. Download instead.")
            }
            LinkError::NotALink => f.write_str(
                "Not a link to a run. Expected what Share copies: #/run/ and letters, digits, - and _.",
            ),
            LinkError::Damaged => f.write_str("The link is damaged: it was cut off or changed."),
            LinkError::OtherFormat { format, scenario } => {
                write!(
                    f,
                    "Link made by trace format {format}; this page reads {FORMAT}."
                )?;
                match scenario {
                    Some(_) => f.write_str(" Open its scenario without the trace?"),
                    None => Ok(()),
                }
            }
            LinkError::UnknownScenario(name) => {
                write!(f, "The link names a scenario that is not here: {name}.")
            }
            LinkError::Impossible(what) => {
                write!(f, "The link describes an impossible run: {what}.")
            }
            LinkError::Build(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for LinkError {}

/// `9,412`
fn thousands(number: usize) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        more => format!("{},{:03}", thousands(more), number % 1_000),
    }
}
