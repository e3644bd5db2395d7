//! How the simulator runs sharded-2pc: no world outside, its oracle, its swarm, and what clients are told.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::Reason;
use super::message::committed_value;
use super::{Reply, Request, Sharded2pc, as_written, oracle, swarm};
use crate::engine::{Env, Genesis, Never, RuleSet};
use crate::environment::{Environment, Void};
use crate::oracle::Oracle;
use crate::protocol::{ReplyView, Simulated};
use crate::scenario::Scenario;
use crate::types::GroupId;

/// There is no world outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nowhere {}

impl Simulated for Sharded2pc {
    type Setting = Nowhere;
    type Change = Never;

    fn environment(_: &Nowhere, _: &Genesis, _: u64) -> Box<dyn Environment> {
        Box::new(Void)
    }

    fn oracle(env: &Env<Self>) -> Box<dyn Oracle> {
        match env.rules {
            RuleSet::Hardened => Box::new(oracle::ShardedOracle::new(env)),
            RuleSet::AsWritten => Box::new(as_written::WrittenOracle::new(env)),
        }
    }

    fn check_setting(_: &Nowhere) -> Result<(), String> {
        Ok(())
    }

    /// Clusters of three; the last has one or two more where threes do not come out even. (S4-03)
    fn groups(nodes: u16) -> Vec<GroupId> {
        let clusters = nodes / 3;
        let cluster = |node: u16| match clusters {
            0 | 1 => GroupId(0),
            _ => GroupId((node / 3).min(clusters - 1) + 1),
        };
        (0..nodes).map(cluster).collect()
    }

    fn swarm(seed: u64) -> Scenario {
        swarm::draw(seed)
    }

    fn request_name(request: &Request) -> String {
        match request {
            Request::Transfer {
                sender,
                receiver,
                amount,
            } => format!("{sender} -> {receiver}, {amount}"),
            Request::Read { item } => format!("read {item}"),
            Request::Move { item, to } => format!("move {item} to {}", to.0),
        }
    }

    fn read_reply(reply: &Reply) -> ReplyView {
        let view = |outcome, last, text: String| ReplyView {
            outcome,
            value: None,
            certificate: 0,
            last,
            text,
        };
        match reply {
            Reply::Accepted => view("accepted", false, "accepted; an answer follows".to_string()),
            Reply::Success { txn } => ReplyView {
                value: Some(committed_value(*txn)),
                ..view("SUCCESS", true, format!("{txn} is committed"))
            },
            Reply::Failed { reason } => {
                let outcome = match reason {
                    Reason::InsufficientBalance => "INSUFFICIENT_BALANCE",
                    _ => "FAILED",
                };
                view(outcome, true, reason.name().to_string())
            }
            Reply::Balance { item, balance } => {
                view("SUCCESS", true, format!("item {item} holds {balance}"))
            }
            Reply::NotLeader { hint, ballot } => {
                let whom = hint.map_or_else(
                    || "nobody is known to lead".to_string(),
                    |node| format!("node {} leads since round {ballot}", node.0),
                );
                view("not-leader", false, whom)
            }
            Reply::WrongCluster { cluster } => {
                view("wrong-cluster", true, format!("ask cluster {}", cluster.0))
            }
        }
    }
}
