//! How the simulator runs sharded-2pc: no world outside, its oracle, its swarm, and what clients are told.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::command::Reason;
use super::config::Clusters;
use super::message::committed_value;
use super::{Reply, Request, Sharded2pc, ShardedConfig, as_written, museum, oracle, swarm};
use crate::crypto::Member;
use crate::engine::{Env, Genesis, Never, RuleSet};
use crate::environment::{Environment, Nowhere, Void};
use crate::explore::cluster::Bounds;
use crate::history::{Call, End, MOVE};
use crate::museum::Exhibit;
use crate::oracle::Oracle;
use crate::protocol::{ReplyView, Simulated};
use crate::scenario::Scenario;
use crate::shards::{Item, ReplyParts, Shards, Wish};
use crate::types::GroupId;

impl Simulated for Sharded2pc {
    type Setting = Nowhere;
    type Change = Never;

    const MUSEUM: &'static [Exhibit] = museum::EXHIBITS;
    const OUTCOMES: &'static [&'static str] = &[
        "accepted",
        "SUCCESS",
        "FAILED",
        "INSUFFICIENT_BALANCE",
        "not-leader",
        "wrong-cluster",
    ];

    /// Nobody leads at the start, so that requests come later; a slot that is decided is not the end of anything.
    const BOUNDS: Bounds = Bounds {
        rounds: 1,
        timeouts: Some(2),
        crashes: 0,
        late_requests: true,
        beyond_decisions: true,
        once: true,
        ..Bounds::DEFAULT
    };
    const HAS_WORLD: bool = false;

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

    fn accounts(config: &ShardedConfig) -> Option<(i64, Vec<(u64, i64)>)> {
        let held = |held: u64| i64::try_from(held).unwrap_or(i64::MAX);
        let named = config.balances.iter();
        let named = named.map(|(item, balance)| (u64::from(*item), held(*balance)));
        Some((held(config.initial_balance), named.collect()))
    }

    fn call(request: &Request) -> Option<Call> {
        Some(match request {
            Request::Transfer {
                sender,
                receiver,
                amount,
            } => Call::Transfer {
                from: u64::from(*sender),
                to: u64::from(*receiver),
                amount: i64::try_from(*amount).unwrap_or(i64::MAX),
            },
            Request::Read { item } => Call::Read(Vec::from([(u64::from(*item), None)])),
            Request::Move { .. } => Call::Other(MOVE.to_string()),
        })
    }

    fn end(reply: &Reply) -> Option<End> {
        match reply {
            Reply::Success { .. } => Some(End::Ok(None)),
            Reply::Balance { item, balance } => {
                let held = i64::try_from(*balance).unwrap_or(i64::MAX);
                Some(End::Ok(Some(Vec::from([(u64::from(*item), Some(held))]))))
            }
            // Of an old number nobody knows any more.
            Reply::Failed {
                reason: Reason::Old,
            } => Some(End::Info(Reason::Old.name())),
            Reply::Failed { reason } => Some(End::Fail(reason.name())),
            // Somebody else may have done it, or may yet.
            Reply::Accepted | Reply::NotLeader { .. } | Reply::WrongCluster { .. } => None,
        }
    }

    fn read_reply(reply: &Reply) -> ReplyView {
        let view = |outcome, last, text: String| ReplyView {
            outcome,
            value: None,
            certificate: 0,
            last,
            refused: last && outcome != "SUCCESS",
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
                view(
                    outcome,
                    true,
                    format!("{}: {}", reason.name(), reason.words()),
                )
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

    fn shards(config: &ShardedConfig, members: &[Member]) -> Option<Shards> {
        let clusters = Clusters::of(members.iter().map(|member| member.group));
        Some(Shards::new(
            clusters.all().collect(),
            config.items_per_cluster,
            config.initial_balance,
            config.balances.clone(),
        ))
    }

    fn wish(wish: Wish) -> Option<String> {
        Some(match wish {
            Wish::Transfer {
                sender,
                receiver,
                amount,
            } => format!(
                "transfer = {{ sender = {sender}, receiver = {receiver}, amount = {amount} }}\n"
            ),
            Wish::Read { item } => format!("read = {{ item = {item} }}\n"),
            Wish::Move { item, to } => format!("move = {{ item = {item}, to = {} }}\n", to.0),
        })
    }

    fn request_item(request: &Request) -> Option<Item> {
        Some(request.item())
    }

    fn reply_parts(reply: &Reply) -> ReplyParts {
        let none = ReplyParts::default();
        match reply {
            Reply::Accepted => none,
            Reply::Failed { reason } => ReplyParts {
                reason: Some(reason.name().to_string()),
                ..none
            },
            Reply::Success { txn } => ReplyParts {
                transaction: Some(txn.to_string()),
                ..none
            },
            Reply::Balance { balance, .. } => ReplyParts {
                balance: Some(*balance),
                ..none
            },
            Reply::NotLeader { hint, .. } => ReplyParts {
                ask_node: *hint,
                ..none
            },
            Reply::WrongCluster { cluster } => ReplyParts {
                ask_group: Some(*cluster),
                ..none
            },
        }
    }
}
