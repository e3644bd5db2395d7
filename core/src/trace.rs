//! A recorded run: what it takes to make it again, and digests that tell where another core differs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::replica::BuildError;
use crate::scenario::{Intervention, Scenario};
use crate::sim::Sim;
use crate::types::Hash32;

/// The trace format that this core writes and reads.
pub const FORMAT: u16 = 3;

/// The core's version, recorded in each trace.
pub const CORE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Steps between two digests.
pub const DIGEST_STEPS: u64 = 1_024;

const MAGIC: &[u8; 8] = b"phaselab";

/// The length of the digest at the end of a file.
const SEAL_BYTES: usize = 32;

/// A run as an input journal. Events are not in it: they are derived by running it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The version of the core that recorded it.
    pub core_version: String,
    /// The scenario, with its seed.
    pub scenario: Scenario,
    /// What a person did, by step.
    pub by_hand: Vec<Intervention>,
    /// The trace hash after every [`DIGEST_STEPS`] steps.
    pub digests: Vec<Hash32>,
    /// How many steps there are.
    pub steps: u64,
    /// The trace hash at the end.
    pub trace_hash: Hash32,
}

impl Trace {
    /// Runs a scenario to its end and records it. The finished run comes along.
    ///
    /// # Errors
    /// When a node cannot be built.
    pub fn record(mut sim: Sim) -> (Trace, Sim) {
        let scenario = sim.scenario().clone();
        let mut digests = Vec::new();
        while sim.step().is_some() {
            if sim.steps().is_multiple_of(DIGEST_STEPS) {
                digests.push(sim.trace_hash());
            }
        }
        let trace = Trace {
            core_version: CORE_VERSION.to_string(),
            scenario,
            by_hand: sim.interventions_by_hand().to_vec(),
            digests,
            steps: sim.steps(),
            trace_hash: sim.trace_hash(),
        };
        (trace, sim)
    }

    /// The file's bytes: magic, format, the journal, and a digest of all of them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend(codec::encode(self));
        let seal = seal(&bytes);
        bytes.extend_from_slice(&seal);
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `NotATrace`, `OtherFormat`, or `Damaged`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Trace, TraceError> {
        let after = bytes.strip_prefix(MAGIC).ok_or(TraceError::NotATrace)?;
        let (format, _) = after.split_first_chunk().ok_or(TraceError::Damaged)?;
        let format = u16::from_le_bytes(*format);
        if format != FORMAT {
            return Err(TraceError::OtherFormat(format));
        }
        let (sealed, found) = bytes
            .split_last_chunk::<SEAL_BYTES>()
            .ok_or(TraceError::Damaged)?;
        // The trace hash covers the run only; titles, captions and expectations are told as the recorder's too.
        if *found != seal(sealed) {
            return Err(TraceError::Damaged);
        }
        let body = sealed
            .get(MAGIC.len() + size_of::<u16>()..)
            .ok_or(TraceError::Damaged)?;
        let (trace, rest): (Trace, _) =
            postcard::take_from_bytes(body).map_err(|_| TraceError::Damaged)?;
        if !rest.is_empty() {
            return Err(TraceError::Damaged);
        }
        trace.scenario.check().map_err(TraceError::Impossible)?;
        let mut by_hand = trace.by_hand.iter();
        by_hand
            .try_for_each(|entry| trace.scenario.check_act(&entry.act))
            .map_err(TraceError::Impossible)?;
        Ok(trace)
    }

    /// The scenario with everything a person did in it.
    pub fn whole_scenario(&self) -> Scenario {
        let mut scenario = self.scenario.clone();
        scenario.interventions.extend(self.by_hand.iter().cloned());
        scenario
    }

    /// Runs it again and compares.
    ///
    /// # Errors
    /// `Differs` names the first steps in which this core does something else.
    pub fn replay(&self, prepare: impl FnOnce(&mut Sim)) -> Result<Sim, TraceError> {
        let mut sim = Sim::new(&self.whole_scenario()).map_err(TraceError::Build)?;
        prepare(&mut sim);
        let mut digests = self.digests.iter();
        let differs = |to: u64| TraceError::Differs {
            from: to.saturating_sub(1) / DIGEST_STEPS * DIGEST_STEPS,
            to,
            core_version: self.core_version.clone(),
        };
        while sim.step().is_some() {
            if sim.steps().is_multiple_of(DIGEST_STEPS) && digests.next() != Some(&sim.trace_hash())
            {
                return Err(differs(sim.steps()));
            }
        }
        if sim.steps() != self.steps || sim.trace_hash() != self.trace_hash {
            return Err(differs(sim.steps().min(self.steps)));
        }
        Ok(sim)
    }
}

/// The digest of a file's bytes that stands behind them.
fn seal(bytes: &[u8]) -> [u8; SEAL_BYTES] {
    blake3::derive_key("phaselab 2026-11 trace file v2", bytes)
}

/// Why a trace cannot be read or does not replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceError {
    /// Some other file.
    NotATrace,
    /// Made by another trace format.
    OtherFormat(u16),
    /// Cut off or changed.
    Damaged,
    /// It describes a run that cannot be.
    Impossible(String),
    /// A node cannot be built.
    Build(BuildError),
    /// This core does something else.
    Differs {
        /// The runs are alike up to this step.
        from: u64,
        /// And differ before this one.
        to: u64,
        /// The core that recorded it.
        core_version: String,
    },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::NotATrace => write!(
                f,
                "not a trace; expected a file that `phaselab sim --trace` wrote"
            ),
            TraceError::OtherFormat(found) => {
                write!(
                    f,
                    "made by trace format {found}; this version reads {FORMAT}"
                )
            }
            TraceError::Damaged => write!(f, "the file is damaged: it was cut off or changed"),
            TraceError::Impossible(what) => {
                write!(f, "the trace describes an impossible run: {what}")
            }
            TraceError::Build(error) => error.fmt(f),
            TraceError::Differs {
                from,
                to,
                core_version,
            } if core_version == CORE_VERSION => write!(
                f,
                "the run differs between steps {from} and {to}: recorded by core {core_version} as well, but not by the code that replays it"
            ),
            TraceError::Differs {
                from,
                to,
                core_version,
            } => write!(
                f,
                "the run differs between steps {from} and {to}: recorded by core {core_version}, replayed by {CORE_VERSION}"
            ),
        }
    }
}

impl core::error::Error for TraceError {}
