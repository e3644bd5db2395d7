//! One file describes a run: protocol, rules, topology, network, workload, interventions and expectations.
//!
//! The CLI, the page, the tests and the lessons read the same TOML. [`parse`] refuses unknown keys, wrong types and
//! impossible values with the line and what was expected; past it, a [`Scenario`] is valid.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto::Crypto;
use crate::engine::{Protocol, RuleSet};
use crate::protocol::{ProtocolKind, simulated_genesis};
use crate::types::{GroupId, Hash32, NodeId, Time};

mod act;
mod builtin;
mod complaint;
mod expectation;
mod network;
mod script;
mod text;

pub use act::{Act, At, Behaviour, CrashPoint, DiskFault, Intervention, NAMED_CLIENTS, Selector};
pub use builtin::{Builtin, builtin, find};
pub use expectation::{Expectation, InForce};
pub use network::{Disk, Link, Network};
use network::{SPAN_MS_MAX, check_span};
pub use script::{keep, script};
pub use text::{ACTS, from_toml, parse, parse_act, parse_part};

/// The most nodes that a scenario may have.
pub const NODES_MAX: u16 = 10_000;

/// A run, described completely: with the same core, the same scenario gives the same run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Short name: the file's, without folder and ending.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Which protocol.
    pub protocol: ProtocolKind,
    /// Which rules.
    pub rules: RuleSet,
    /// Single flaws restored on top of hardened rules, by id.
    pub flaws: Vec<String>,
    /// How many nodes; they are numbered from 1.
    pub nodes: u16,
    /// Groups by node, in node order; where nobody says what they are, the protocol does.
    pub groups: Vec<GroupId>,
    /// The seed of every draw.
    pub seed: u64,
    /// When the run ends.
    pub until: Time,
    /// Who says what happens next.
    pub schedule: Schedule,
    /// How messages are signed.
    pub crypto: Crypto,
    /// How messages travel.
    pub network: Network,
    /// How disks behave.
    pub disk: Disk,
    /// The protocol's parameters: `codec::encode` of its `Config`.
    pub config: Vec<u8>,
    /// The world outside: `codec::encode` of the protocol's environment settings.
    pub environment: Vec<u8>,
    /// What is done to the run, in order.
    pub interventions: Vec<Intervention>,
    /// What should come of it.
    pub expectations: Vec<Expectation>,
    /// How it is shown.
    pub view: ViewHints,
    /// The file that it was read from, for showing; empty if it was made otherwise.
    pub source: String,
}

impl Scenario {
    /// An empty run of a protocol with its default parameters.
    pub fn new(protocol: ProtocolKind, nodes: u16) -> Scenario {
        Scenario {
            name: protocol.name().to_string(),
            title: String::new(),
            protocol,
            rules: RuleSet::Hardened,
            flaws: Vec::new(),
            nodes,
            groups: protocol.groups(nodes),
            seed: 7,
            until: Time::from_ms(60_000),
            schedule: Schedule::default(),
            crypto: Crypto::Ed25519,
            network: Network::default(),
            disk: Disk::default(),
            config: protocol.default_config(),
            environment: protocol.default_environment(),
            interventions: Vec::new(),
            expectations: Vec::new(),
            view: ViewHints::default(),
            source: String::new(),
        }
    }

    /// The rules of this run.
    pub fn in_force(&self) -> InForce {
        match self.rules {
            RuleSet::AsWritten => InForce::AsWritten,
            RuleSet::Hardened if self.flaws.is_empty() => InForce::Hardened,
            RuleSet::Hardened => InForce::Flawed,
        }
    }

    /// The node ids, from 1.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.nodes).map(NodeId)
    }

    /// Replaces the protocol's parameters.
    pub fn set_config<P: Protocol>(&mut self, config: &P::Config) {
        assert_eq!(
            P::TAG,
            self.protocol.tag(),
            "the configuration of this scenario's protocol"
        );
        self.config = crate::codec::encode(config);
    }

    /// Adds an intervention at a time.
    pub fn at_ms(&mut self, ms: u64, act: Act) {
        self.interventions.push(Intervention {
            at: At::Time(Time::from_ms(ms)),
            act,
        });
    }

    /// Checks what does not depend on where it was read from: ids, shares, groups, the protocol's parameters, and
    /// whether what is done and expected can be.
    ///
    /// # Errors
    /// What is impossible, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        self.check_at().map_err(|(_, message)| message)
    }

    /// The same; of an intervention, a way to break the run or an expectation that cannot be, its place among them all is
    /// told too.
    fn check_at(&self) -> Result<(), (Option<usize>, String)> {
        self.check_setup().map_err(|message| (None, message))?;
        self.check_interventions()
            .map_err(|(place, message)| (Some(place), message))?;
        let before = self.interventions.len() + self.view.breaks.len();
        for (place, entry) in (before..).zip(&self.expectations) {
            entry
                .check(self)
                .map_err(|message| (Some(place), message))?;
        }
        self.check_invariants()
            .map_err(|(place, message)| (place.map(|place| before + place), message))
    }

    fn check_setup(&self) -> Result<(), String> {
        if self.nodes == 0 || self.nodes > NODES_MAX {
            return Err(format!("nodes = {}: expected 1 to {NODES_MAX}", self.nodes));
        }
        if self.groups.len() != usize::from(self.nodes) {
            return Err(format!(
                "groups name {} of {} nodes",
                self.groups.len(),
                self.nodes
            ));
        }
        if self.until > Time::from_ms(UNTIL_MS_MAX) {
            return Err(format!(
                "until_ms: expected at most {UNTIL_MS_MAX}, 366 days of virtual time"
            ));
        }
        self.network.check()?;
        for link in &self.network.link {
            for (key, end) in [("from", link.from), ("to", link.to)] {
                if let Some(id) = end.filter(|id| id.0 == 0 || id.0 > self.nodes) {
                    return Err(format!(
                        "network.link: {key} = {}: expected 1 to {}",
                        id.0, self.nodes
                    ));
                }
            }
        }
        let [low, high] = self.disk.latency_us;
        check_span("disk.latency_us", low, high, SPAN_MS_MAX * 1_000)?;
        self.protocol.check(self)
    }

    /// Refuses what can never be done; the setup is sound.
    fn check_interventions(&self) -> Result<(), (usize, String)> {
        let entries = || self.interventions.iter().enumerate();
        for (place, entry) in entries() {
            let possible = self.check_act(&entry.act);
            possible.map_err(|message| (place, message))?;
        }
        for (number, entry) in self.view.breaks.iter().enumerate() {
            // Their lines follow those of what is done anyhow.
            let wrong = |message| (self.interventions.len() + number, message);
            if let BreakHow::Act(entry) = &entry.how {
                self.check_act(&entry.act).map_err(wrong)?;
            }
        }
        let lost: Vec<(At, usize, NodeId)> = entries()
            .filter_map(|(place, entry)| match entry.act {
                Act::Disk {
                    node,
                    fault: DiskFault::Lose,
                } => Some((entry.at, place, node)),
                _ => None,
            })
            .collect();
        // Which of a time and a step comes first is known only in the run.
        let is_alike = |a: At, b: At| core::mem::discriminant(&a) == core::mem::discriminant(&b);
        let mut world = None;
        for (place, entry) in entries() {
            match &entry.act {
                Act::Restart { node } => {
                    let is_gone = lost.iter().any(|(at, before, of)| {
                        of == node && is_alike(*at, entry.at) && (*at, *before) < (entry.at, place)
                    });
                    if is_gone {
                        let message = format!(
                            "restart: node {} lost its disk before, and its key with it; it cannot come back",
                            node.0
                        );
                        return Err((place, message));
                    }
                }
                // Asked of a world at genesis: whether a change is possible depends on its settings alone.
                Act::Fact { node, change } => world
                    .get_or_insert_with(|| self.protocol.environment(self))
                    .change(Time::ZERO, *node, change)
                    .map_err(|message| (place, message))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that something can be done to this run: see [`Act::check`]. What the clock does by itself nobody else does.
    ///
    /// # Errors
    /// What is impossible, and what was expected.
    pub fn check_act(&self, act: &Act) -> Result<(), String> {
        act.check(self.nodes, self.protocol.spec())?;
        match act {
            Act::Deliver(_) | Act::Fire { .. } if self.schedule == Schedule::Timed => Err(format!(
                "{}: needs schedule = \"manual\" in the scenario",
                act.name()
            )),
            _ => Ok(()),
        }
    }

    /// Refuses invariants that nobody watches.
    fn check_invariants(&self) -> Result<(), (Option<usize>, String)> {
        let mut named = (0..)
            .zip(&self.expectations)
            .filter_map(|(place, entry)| Some((place, entry.invariant.as_deref()?)))
            .peekable();
        if named.peek().is_none() {
            return Ok(());
        }
        let cluster = self
            .protocol
            .cluster(&simulated_genesis(self))
            .map_err(|error| (None, error.to_string()))?;
        let oracle = cluster.oracle();
        let verdicts = oracle.verdicts().into_iter().chain(oracle.liveness());
        let known: Vec<&str> = verdicts.map(|verdict| verdict.name).collect();
        match named.find(|(_, name)| !known.contains(name)) {
            Some((place, name)) => {
                let wrong = complaint::unknown_word("invariant", name, &known);
                Err((Some(place), format!("expect: {wrong}")))
            }
            None => Ok(()),
        }
    }
}

/// The longest run: 366 days.
const UNTIL_MS_MAX: u64 = 366 * 86_400_000;

/// Who says what happens next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The clock: messages arrive after their latency, timers fire when they are due.
    #[default]
    Timed,
    /// The scenario: a message arrives when it says `deliver`, a timer fires when it says `fire`, and not otherwise. A
    /// message can be delivered again and again, and the world outside stands still: as in the checker, whose
    /// counterexamples are such scenarios.
    Manual,
}

/// How a run is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewHints {
    /// The question that the page asks first.
    pub question: String,
    /// Virtual milliseconds per real second when it plays.
    pub pace_ms: Option<u64>,
    /// Captions at which playing stops.
    pub caption: Vec<Caption>,
    /// What a learner may do to the run once it was told.
    #[serde(rename = "break")]
    pub breaks: Vec<Break>,
}

/// A way to break the run, offered as a button.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    /// The button's words.
    pub label: String,
    /// What to know before.
    pub note: String,
    /// What it does.
    pub how: BreakHow,
}

/// What a button that breaks a run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BreakHow {
    /// Goes back, does this, and plays.
    Act(Intervention),
    /// Opens the museum's exhibit of a flaw.
    Exhibit(String),
}

/// A sentence shown when a node does something for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caption {
    /// At the first event of this kind.
    pub event: String,
    /// At this node; absent means anywhere.
    pub node: Option<NodeId>,
    /// The sentence.
    pub text: String,
}

/// Why a scenario was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl core::error::Error for ScenarioError {}

/// The secret of a simulated member: a function of its number, so that ids and hashes are alike in every run.
pub fn member_seed(node: NodeId) -> [u8; 32] {
    let Hash32(seed) = crate::crypto::Transcript::new("phaselab 2026-11 simulated member key")
        .u32(u32::from(node.0))
        .finish();
    seed
}
