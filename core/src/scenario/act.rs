//! What can be done to a run, and when.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use serde::{Deserialize, Serialize};

use super::complaint;
use super::network::{Link, SPAN_MS_MAX};
use crate::types::{ClientId, NodeId, Round, Time};
use crate::view::Spec;

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
    /// Sends everybody the other version.
    Oppose,
}

impl Behaviour {
    /// Every behaviour.
    pub const ALL: [Behaviour; 8] = [
        Behaviour::Equivocate,
        Behaviour::Mute,
        Behaviour::Delay,
        Behaviour::Withhold,
        Behaviour::Amnesia,
        Behaviour::Forge,
        Behaviour::Rush,
        Behaviour::Oppose,
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
    pub(super) fn check(&self, spec: &Spec) -> Result<(), String> {
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
        Err(complaint::unknown_word("kind", kind, &known))
    }
}
