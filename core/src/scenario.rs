//! One file describes a run: protocol, rules, topology, network, workload, interventions and expectations.
//!
//! The CLI, the page, the tests and the lessons read the same TOML. [`parse`] refuses unknown keys, wrong types and
//! impossible values with the line and what was expected; past it, a [`Scenario`] is valid.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto::Crypto;
use crate::engine::{Protocol, RuleSet};
use crate::protocol::{ProtocolKind, simulated_genesis};
use crate::types::{ClientId, GroupId, Hash32, NodeId, Round, Time};
use crate::view::Spec;

mod builtin;
mod script;
mod text;

pub use builtin::{Builtin, builtin, find};
pub use script::{keep, script};
pub use text::{from_toml, parse, parse_part};

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
    /// Groups by node, in node order; all 0 where the protocol has one group.
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
            groups: vec![GroupId(0); usize::from(nodes)],
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

    /// The same; of an impossible intervention the place is told too.
    fn check_at(&self) -> Result<(), (Option<usize>, String)> {
        self.check_setup().map_err(|message| (None, message))?;
        self.check_interventions()
            .map_err(|(place, message)| (Some(place), message))?;
        self.expectations
            .iter()
            .try_for_each(|entry| entry.check(self))
            .and_then(|()| self.check_invariants())
            .map_err(|message| (None, message))
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
        let spec = self.protocol.spec();
        let entries = || self.interventions.iter().enumerate();
        for (place, entry) in entries() {
            let possible = entry.act.check(self.nodes, spec);
            possible.map_err(|message| (place, message))?;
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

    /// Refuses invariants that nobody watches.
    fn check_invariants(&self) -> Result<(), String> {
        let mut named = self
            .expectations
            .iter()
            .filter_map(|entry| entry.invariant.as_deref())
            .peekable();
        if named.peek().is_none() {
            return Ok(());
        }
        let cluster = self
            .protocol
            .cluster(&simulated_genesis(self))
            .map_err(|error| error.to_string())?;
        let oracle = cluster.oracle();
        let verdicts = oracle.verdicts().into_iter().chain(oracle.liveness());
        let known: Vec<&str> = verdicts.map(|verdict| verdict.name).collect();
        match named.find(|name| !known.contains(name)) {
            Some(name) => Err(format!(
                "expect: {}",
                text::unknown_word("invariant", name, &known)
            )),
            None => Ok(()),
        }
    }
}

/// The longest run: 366 days.
const UNTIL_MS_MAX: u64 = 366 * 86_400_000;

/// The longest time that a message or a write may take: a day.
const SPAN_MS_MAX: u64 = 86_400_000;

fn check_span(key: &str, low: u64, high: u64, most: u64) -> Result<(), String> {
    if low > high {
        return Err(format!(
            "{key} = [{low}, {high}]: expected the lower bound first"
        ));
    }
    if high > most {
        return Err(format!("{key} = [{low}, {high}]: expected at most {most}"));
    }
    Ok(())
}

/// How messages travel. Times are drawn uniformly, per message and link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Travel time in milliseconds, from and to.
    pub latency_ms: [u64; 2],
    /// Lost messages of a thousand.
    pub loss_permille: u16,
    /// Messages of a thousand that arrive twice.
    pub duplicate_permille: u16,
    /// Messages of a thousand that are held up for `delay_ms`.
    pub delay_permille: u16,
    /// How long a held-up message is late, in milliseconds, from and to.
    pub delay_ms: [u64; 2],
    /// Messages of a thousand with a flipped bit.
    pub corrupt_permille: u16,
    /// Links that differ.
    pub link: Vec<Link>,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            latency_ms: [5, 40],
            loss_permille: 0,
            duplicate_permille: 0,
            delay_permille: 0,
            delay_ms: [1_000, 10_000],
            corrupt_permille: 0,
            link: Vec::new(),
        }
    }
}

impl Network {
    fn check(&self) -> Result<(), String> {
        for (key, [low, high]) in [("latency_ms", self.latency_ms), ("delay_ms", self.delay_ms)] {
            check_span(&format!("network.{key}"), low, high, SPAN_MS_MAX)?;
        }
        for link in &self.link {
            link.check("network.link")?;
        }
        let shares = [
            ("loss_permille", self.loss_permille),
            ("duplicate_permille", self.duplicate_permille),
            ("delay_permille", self.delay_permille),
            ("corrupt_permille", self.corrupt_permille),
        ];
        match shares.iter().find(|(_, share)| *share > 1000) {
            Some((key, share)) => Err(format!("network.{key} = {share}: expected 0 to 1000")),
            None => Ok(()),
        }
    }
}

/// A link that differs from the others, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The sending end; absent means every node.
    pub from: Option<NodeId>,
    /// The receiving end; absent means every node.
    pub to: Option<NodeId>,
    /// Travel time in milliseconds, from and to.
    pub latency_ms: Option<[u64; 2]>,
    /// Lost messages of a thousand.
    pub loss_permille: Option<u16>,
}

impl Link {
    fn check(&self, key: &str) -> Result<(), String> {
        if let Some(share) = self.loss_permille.filter(|share| *share > 1000) {
            return Err(format!(
                "{key}: loss_permille = {share}; expected 0 to 1000"
            ));
        }
        match self.latency_ms {
            Some([low, high]) => check_span(&format!("{key}: latency_ms"), low, high, SPAN_MS_MAX),
            None => Ok(()),
        }
    }

    /// Whether this link is meant.
    pub fn covers(&self, from: NodeId, to: NodeId) -> bool {
        self.from.is_none_or(|id| id == from) && self.to.is_none_or(|id| id == to)
    }
}

/// How disks behave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Time until a write is durable, in microseconds, from and to.
    pub latency_us: [u64; 2],
}

/// When an intervention happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum At {
    /// At a time.
    Time(Time),
    /// Before the step with this number, which is how a paused run is changed by hand.
    Step(u64),
}

/// Something done to a run from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intervention {
    /// When.
    pub at: At,
    /// What.
    pub act: Act,
}

/// What can be done to a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A client submits a request to each of these nodes; to none means wherever the client finds an answer.
    Submit {
        /// The nodes.
        to: Vec<NodeId>,
        /// The bytes of the protocol's `Request`.
        request: Vec<u8>,
    },
    /// A node stops.
    Crash {
        /// Which.
        node: NodeId,
        /// At which point of a step.
        when: CrashPoint,
    },
    /// A node starts again from its store.
    Restart {
        /// Which.
        node: NodeId,
    },
    /// Only nodes of one group reach each other. A node in no group is alone.
    Partition {
        /// The groups.
        groups: Vec<Vec<NodeId>>,
    },
    /// Every link works again as the scenario's network says.
    Heal,
    /// One direction of a link changes.
    Link(Link),
    /// Messages that match are lost.
    Drop(Selector),
    /// Messages that match are late.
    Delay {
        /// Which.
        select: Selector,
        /// By how many milliseconds.
        by_ms: u64,
    },
    /// Messages that match arrive twice.
    Duplicate(Selector),
    /// Messages that match arrive with a flipped bit.
    Corrupt(Selector),
    /// A message that was sent arrives. In manual schedules only.
    Deliver(Selector),
    /// An armed timer fires. In manual schedules only.
    Fire {
        /// Whose.
        node: NodeId,
        /// Its name, as the protocol tells it.
        timer: String,
        /// Its round.
        round: Option<Round>,
        /// Its instance, by name.
        instance: Option<String>,
    },
    /// A node lies from now on.
    Byzantine {
        /// Which.
        node: NodeId,
        /// How.
        behaviour: Behaviour,
    },
    /// The world outside changes, for one node's view or for all.
    Fact {
        /// Whose view; `None` for the world itself.
        node: Option<NodeId>,
        /// The bytes of the environment's change.
        change: Vec<u8>,
    },
    /// A node's disk misbehaves.
    Disk {
        /// Which.
        node: NodeId,
        /// How.
        fault: DiskFault,
    },
    /// A node's clock runs fast or slow.
    Skew {
        /// Which.
        node: NodeId,
        /// Its speed: 1000 is right.
        rate_permille: u32,
    },
    /// A client that is named submits a request with its number: again, if it had that number before.
    SubmitAs {
        /// The nodes; to none means wherever the client finds an answer.
        to: Vec<NodeId>,
        /// Who.
        client: ClientId,
        /// Which of its requests.
        number: u64,
        /// The bytes of the protocol's `Request`.
        request: Vec<u8>,
    },
}

/// Clients that are named are numbered from here on: below are those whose requests name none.
pub const NAMED_CLIENTS: u64 = 1_000;

impl Act {
    /// The word in scenarios.
    pub const fn name(&self) -> &'static str {
        match self {
            Act::Submit { .. } | Act::SubmitAs { .. } => "submit",
            Act::Crash { .. } => "crash",
            Act::Restart { .. } => "restart",
            Act::Partition { .. } => "partition",
            Act::Heal => "heal",
            Act::Link(_) => "link",
            Act::Drop(_) => "drop",
            Act::Delay { .. } => "delay",
            Act::Duplicate(_) => "duplicate",
            Act::Corrupt(_) => "corrupt",
            Act::Deliver(_) => "deliver",
            Act::Fire { .. } => "fire",
            Act::Byzantine { .. } => "byzantine",
            Act::Fact { .. } => "fact",
            Act::Disk { .. } => "disk",
            Act::Skew { .. } => "skew",
        }
    }

    /// Checks that the nodes and messages that it names exist, and that its numbers make sense.
    ///
    /// # Errors
    /// What is impossible, and what was expected.
    pub fn check(&self, nodes: u16, spec: &Spec) -> Result<(), String> {
        let named: Vec<NodeId> = match self {
            Act::Submit { to, .. } | Act::SubmitAs { to, .. } => to.clone(),
            Act::Crash { node, .. }
            | Act::Restart { node }
            | Act::Byzantine { node, .. }
            | Act::Fire { node, .. }
            | Act::Disk { node, .. }
            | Act::Skew { node, .. } => vec![*node],
            Act::Fact { node, .. } => node.iter().copied().collect(),
            Act::Partition { groups } => groups.iter().flatten().copied().collect(),
            Act::Link(link) => link.from.into_iter().chain(link.to).collect(),
            Act::Drop(select)
            | Act::Delay { select, .. }
            | Act::Duplicate(select)
            | Act::Corrupt(select)
            | Act::Deliver(select) => select.from.into_iter().chain(select.to).collect(),
            Act::Heal => Vec::new(),
        };
        if let Some(unknown) = named.iter().find(|id| id.0 == 0 || id.0 > nodes) {
            return Err(format!(
                "{}: node {} does not exist; expected 1 to {nodes}",
                self.name(),
                unknown.0
            ));
        }
        match self {
            Act::SubmitAs { client, .. } if client.0 < NAMED_CLIENTS => Err(format!(
                "submit: client = {}: expected at least {NAMED_CLIENTS}",
                client.0
            )),
            Act::Skew { rate_permille, .. } if !(100..=10_000).contains(rate_permille) => Err(
                format!("skew: rate_permille = {rate_permille}; expected 100 to 10000"),
            ),
            Act::Link(link) => link.check("link"),
            Act::Partition { groups } => {
                let mut named: Vec<NodeId> = groups.iter().flatten().copied().collect();
                named.sort_unstable();
                if named.is_empty() {
                    return Err(
                        "partition: no group names a node; expected at least one".to_string()
                    );
                }
                match named.windows(2).find(|pair| pair[0] == pair[1]) {
                    Some(twice) => Err(format!(
                        "partition: node {} is named twice; expected it in one group",
                        twice[0].0
                    )),
                    None => Ok(()),
                }
            }
            Act::Delay { by_ms, .. } if *by_ms > SPAN_MS_MAX => Err(format!(
                "delay: by_ms = {by_ms}: expected at most {SPAN_MS_MAX}"
            )),
            Act::Drop(select)
            | Act::Delay { select, .. }
            | Act::Duplicate(select)
            | Act::Corrupt(select)
            | Act::Deliver(select) => select
                .check(spec)
                .map_err(|message| format!("{}: {message}", self.name())),
            _ => Ok(()),
        }
    }
}

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

/// The point of a step at which a node stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashPoint {
    /// Now, between two steps.
    #[default]
    BetweenSteps,
    /// When its next input arrives: the input is lost.
    BeforeHandling,
    /// When its next write is durable: what the step would have sent is lost.
    AfterPersist,
}

/// How a node lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behaviour {
    /// Sends one version to odd-numbered nodes and another to even-numbered ones.
    Equivocate,
    /// Sends nothing.
    Mute,
    /// Sends everything four seconds late.
    Delay,
    /// Sends to the lower half of the members only.
    Withhold,
    /// Forgets everything but its key, and starts again.
    Amnesia,
    /// Sends each message a second time under another member's name.
    Forge,
    /// Says that it is in a round which no honest node reaches.
    Rush,
}

impl Behaviour {
    /// Every behaviour.
    pub const ALL: [Behaviour; 7] = [
        Behaviour::Equivocate,
        Behaviour::Mute,
        Behaviour::Delay,
        Behaviour::Withhold,
        Behaviour::Amnesia,
        Behaviour::Forge,
        Behaviour::Rush,
    ];
}

/// How a disk misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFault {
    /// Everything is lost, votes and key together: the node stops and can never come back as this member.
    Lose,
    /// Writes fail from now on: the node stops at its next write.
    Fail,
}

/// Which messages are meant. What is absent matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Sent by.
    pub from: Option<NodeId>,
    /// Sent to.
    pub to: Option<NodeId>,
    /// Of this kind, by its name in the protocol's `Spec`.
    pub kind: Option<String>,
    /// About this instance, by name.
    pub instance: Option<String>,
    /// In this round.
    pub round: Option<Round>,
    /// Only the n-th that matches, from 1.
    pub nth: Option<u32>,
}

impl Selector {
    fn check(&self, spec: &Spec) -> Result<(), String> {
        if self.nth == Some(0) {
            return Err("nth = 0: expected at least 1".to_string());
        }
        let Some(kind) = self.kind.as_deref() else {
            return Ok(());
        };
        let known: Vec<&str> = spec.messages.iter().map(|known| known.name).collect();
        if known.contains(&kind) {
            return Ok(());
        }
        Err(text::unknown_word("kind", kind, &known))
    }
}

/// What should come of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    /// At this node; absent means at every node that is alive at the end.
    pub node: Option<NodeId>,
    /// About this instance, by name.
    pub instance: Option<String>,
    /// It ends in this phase, or with `within_ms` enters it in time.
    pub phase: Option<String>,
    /// An event of this kind happens.
    pub event: Option<String>,
    /// Exactly this often.
    pub count: Option<u64>,
    /// Never.
    pub never: bool,
    /// Not later than this.
    pub within_ms: Option<u64>,
    /// This invariant is meant.
    pub invariant: Option<String>,
    /// Whether it holds.
    pub holds: Option<bool>,
    /// Only under these rules.
    pub rules: Option<InForce>,
}

/// The rules of a run, as expectations tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InForce {
    /// Hardened rules, with no flaw restored.
    Hardened,
    /// The rules of the source document.
    AsWritten,
    /// Hardened rules with a flaw restored.
    Flawed,
}

impl Expectation {
    fn check(&self, scenario: &Scenario) -> Result<(), String> {
        if let Some(node) = self.node
            && (node.0 == 0 || node.0 > scenario.nodes)
        {
            return Err(format!(
                "expect: node {} does not exist; expected 1 to {}",
                node.0, scenario.nodes
            ));
        }
        let spec = scenario.protocol.spec();
        if let Some(phase) = &self.phase
            && !spec.phases.iter().any(|known| known.name == phase)
        {
            let known: Vec<_> = spec.phases.iter().map(|phase| phase.name).collect();
            return Err(format!(
                "expect: no phase \"{phase}\"; expected one of {}",
                known.join(", ")
            ));
        }
        if let Some(event) = &self.event
            && !crate::narrate::EVENT_NAMES.contains(&event.as_str())
        {
            return Err(format!(
                "expect: no event \"{event}\"; expected one of {}",
                crate::narrate::EVENT_NAMES.join(", ")
            ));
        }
        match (&self.phase, &self.event, &self.invariant) {
            (Some(_), None, None) if self.instance.is_some() => Ok(()),
            (Some(_), None, None) => {
                Err("expect: a phase needs the instance that is meant".to_string())
            }
            (None, Some(_), None) => Ok(()),
            (None, None, Some(_)) if self.holds.is_some() => Ok(()),
            (None, None, Some(_)) => {
                Err("expect: an invariant needs holds = true or false".to_string())
            }
            _ => Err("expect: expected exactly one of phase, event and invariant".to_string()),
        }
    }
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
