//! What is promised, watched from outside while the document's rules are in force: what nodes say that they hold, whose
//! words clients hear, and how transactions end. The names are those of the hardened oracle.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::account::{Holding, Why};
use super::{Ballot, Command, Item, Message, Reason, Reply, Request, Sharded2pc, Slot, paxos};
use crate::codec::decode;
use crate::crypto::Keyring;
use crate::engine::{Env, Opened};
use crate::event::{Record, RecordKind};
use crate::oracle::{Agreement, Oracle, Promises, Verdict};
use crate::ordered::{Map, Set};
use crate::protocol::sharded_2pc::config::{Clusters, Place, ShardedConfig};
use crate::protocol::sharded_2pc::oracle::EVERY_TRANSFER_ENDS;
use crate::types::{ClientId, Duration, GroupId, Hash32, InstanceId, NodeId, Time};

const PROMISES: [(&str, &str); 6] = [
    (
        "log",
        "no seq was told as committed with two requests, or with C and A",
    ),
    (
        "execution",
        "members of a cluster that run hold the same, soon after",
    ),
    ("exactly once", "no member executed a request twice"),
    ("answers", "nobody was told two ways, or of another request"),
    (
        "reads",
        "no balance was told that was put back, or that the leader does not hold",
    ),
    (
        "conservation",
        "what the leaders hold together never stayed another sum",
    ),
];

/// What is judged by what leaders hold: by all members, or not at all.
const NEEDS_ALL: [&str; 3] = ["execution", "reads", "conservation"];

/// For how long a member is silent that is down.
const SILENT: Duration = Duration::from_ms(2_000);

/// What a slot was told as.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    request: Option<Hash32>,
    outcome: Option<&'static str>,
}

/// A difference, and since when it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Since<T> {
    what: T,
    at: Time,
}

/// Watches a run.
#[derive(Clone, Debug)]
pub(in super::super) struct WrittenOracle {
    keyring: Arc<Keyring>,
    config: ShardedConfig,
    clusters: Clusters,
    /// How long a difference may last: two calls that are not answered, and one more.
    patience: Duration,
    agreement: Agreement,
    now: Time,
    holdings: Map<NodeId, Map<Item, u64>>,
    /// Who leads, by the heartbeats that were heard.
    leaders: Map<GroupId, Ballot>,
    heard: Map<NodeId, Time>,
    told: Map<(GroupId, Slot), Told>,
    /// What each member executed of each request and did not put back.
    executed: Set<(NodeId, InstanceId, Item)>,
    /// Balances that were told: by whom, of what.
    reads: Set<(NodeId, Item, InstanceId)>,
    last_writer: Map<(NodeId, Item), InstanceId>,
    /// Transactions that were logged and have not ended, by cluster and member.
    open: Set<(GroupId, InstanceId)>,
    ended: Set<(GroupId, InstanceId)>,
    asked: Map<(ClientId, u64), Request>,
    answers: Map<(ClientId, u64), bool>,
    off: Option<Since<i128>>,
    apart: Map<(NodeId, Item), Since<u64>>,
    promises: Promises,
}

impl WrittenOracle {
    pub(in super::super) fn new(env: &Env<Sharded2pc>) -> WrittenOracle {
        let config = env.config.as_ref().clone();
        let patience = 3 * config.prepare_timeout_ms + 2 * config.election_timeout_ms;
        WrittenOracle {
            keyring: env.keyring.clone(),
            clusters: Place::of(env).clusters,
            patience: Duration::from_ms(patience),
            config,
            agreement: Agreement::default(),
            now: Time::ZERO,
            holdings: Map::new(),
            leaders: Map::new(),
            heard: Map::new(),
            told: Map::new(),
            executed: Set::new(),
            reads: Set::new(),
            last_writer: Map::new(),
            open: Set::new(),
            ended: Set::new(),
            asked: Map::new(),
            answers: Map::new(),
            off: None,
            apart: Map::new(),
            promises: Promises::new(&PROMISES),
        }
    }

    fn fail(&mut self, promise: &'static str, detail: impl FnOnce() -> String) {
        self.promises.fail(promise, detail);
    }

    fn cluster_of(&self, node: NodeId) -> GroupId {
        self.keyring.group_of(node).unwrap_or_default()
    }

    fn held(&self, node: NodeId, item: Item) -> u64 {
        let held = self.holdings.get(&node).and_then(|held| held.get(&item));
        held.copied()
            .unwrap_or_else(|| self.config.first_balance(item))
    }

    fn runs(&self, node: NodeId) -> bool {
        self.heard
            .get(&node)
            .is_some_and(|at| *at + SILENT >= self.now)
    }

    fn leader(&self, cluster: GroupId) -> Option<NodeId> {
        self.leaders.get(&cluster).map(|ballot| ballot.node)
    }

    /// What the leaders hold above what there was at first.
    fn gained(&self) -> i128 {
        let leaders = self
            .clusters
            .all()
            .filter_map(|cluster| self.leader(cluster));
        let held = leaders.filter_map(|node| self.holdings.get(&node));
        let gains = held
            .flatten()
            .map(|(item, held)| i128::from(*held) - i128::from(self.config.first_balance(*item)));
        gains.sum()
    }

    /// Looks at what differs, and for how long it has.
    fn look(&mut self, now: Time) {
        self.now = now;
        let gained = self.gained();
        self.off = match self.off {
            Some(since) if since.what == gained => Some(since),
            _ => (gained != 0).then_some(Since {
                what: gained,
                at: now,
            }),
        };
        if let Some(since) = self.off
            && since.at + self.patience < now
        {
            self.fail("conservation", || {
                format!(
                    "since {} ms the leaders hold {gained:+} against the beginning",
                    since.at.as_ms()
                )
            });
        }
        self.look_apart(now);
    }

    fn look_apart(&mut self, now: Time) {
        let mut apart: Map<(NodeId, Item), Since<u64>> = Map::new();
        let mut broken = None;
        for (node, held) in self.holdings.iter() {
            let Some(leader) = self.leader(self.cluster_of(*node)) else {
                continue;
            };
            let theirs = self.holdings.get(&leader);
            let items = held.keys().chain(theirs.into_iter().flat_map(Map::keys));
            for item in items {
                let (own, theirs) = (self.held(*node, *item), self.held(leader, *item));
                if own == theirs || !self.runs(*node) || !self.runs(leader) {
                    continue;
                }
                let key = (*node, *item);
                let known = self.apart.get(&key).copied();
                let since = known
                    .filter(|since| since.what == own)
                    .unwrap_or(Since { what: own, at: now });
                if since.at + self.patience < now {
                    broken = Some((*node, *item, own, leader, theirs));
                }
                apart.insert(key, since);
            }
        }
        self.apart = apart;
        if let Some((node, item, own, leader, theirs)) = broken {
            self.fail("execution", || {
                format!("{node} holds {own} of item {item}, its leader {leader} {theirs}")
            });
        }
    }

    fn on_committed(&mut self, now: Time, from: NodeId, slot: Slot, req: Option<&Command>) {
        let key = (self.cluster_of(from), slot);
        let told = self.told.get_or_default(key);
        let (is_two, what) = match req {
            Some(command @ (Command::Commit { .. } | Command::Abort { .. })) => {
                let marker = command.marker();
                let first = *told.outcome.get_or_insert(marker);
                (first != marker, "C and A")
            }
            _ => {
                let hash = Command::hash(req);
                let first = *told.request.get_or_insert(hash);
                (first != hash, "two requests")
            }
        };
        if is_two {
            self.fail("log", || {
                format!("{} ms: seq {slot} of {} holds {what}", now.as_ms(), key.0)
            });
        }
    }

    fn on_holding(&mut self, now: Time, node: NodeId, id: InstanceId, holding: Holding) {
        let Holding { item, balance, why } = holding;
        self.holdings.get_or_default(node).insert(item, balance);
        let key = (node, id, item);
        match why {
            Why::Executed => {
                if !self.executed.insert(key) {
                    self.fail("exactly once", || {
                        format!(
                            "{} ms: {node} executes a request on item {item} a second time",
                            now.as_ms()
                        )
                    });
                }
                self.last_writer.insert((node, item), id);
                let cluster = self.cluster_of(node);
                if !self.ended.contains(&(cluster, id)) {
                    self.open.insert((cluster, id));
                }
            }
            Why::RolledBack => {
                self.executed.remove(&key);
                if self.reads.contains(&(node, item, id)) {
                    self.fail("reads", || {
                        format!(
                            "{} ms: {node} puts item {item} back, of which it told a client",
                            now.as_ms()
                        )
                    });
                }
            }
            Why::Found => {}
        }
        self.look(now);
    }

    fn on_balance(&mut self, now: Time, node: NodeId, item: Item, balance: u64) {
        let leader = self.leader(self.cluster_of(node));
        if let Some(leader) = leader.filter(|leader| *leader != node)
            && self.held(leader, item) != balance
        {
            self.fail("reads", || {
                format!(
                    "{} ms: {node} tells {balance} of item {item}; {leader} leads",
                    now.as_ms()
                )
            });
        }
        if let Some(id) = self.last_writer.get(&(node, item)) {
            self.reads.insert((node, item, *id));
        }
    }
}

impl Oracle for WrittenOracle {
    fn on_send(&mut self, now: Time, from: NodeId, opened: &Opened) {
        let Some(message) = opened.message::<Sharded2pc>() else {
            return;
        };
        let Message::Paxos(message) = message.as_ref() else {
            return;
        };
        self.heard.insert(from, now);
        match message {
            paxos::Message::CommitRequest { seq, req, .. } => {
                self.on_committed(now, from, *seq, req.as_ref());
            }
            paxos::Message::Heartbeat { ballot, .. } => {
                let cluster = self.cluster_of(from);
                let known = self.leaders.get_or_default(cluster);
                *known = (*known).max(*ballot);
                self.look(now);
            }
            _ => {}
        }
    }

    fn on_record(&mut self, now: Time, node: NodeId, record: &Record) {
        self.agreement.on_record(now, node, record);
        let cluster = self.cluster_of(node);
        match (record.kind, record.value.and_then(Holding::read)) {
            (RecordKind::Completed, Some(holding)) => {
                self.on_holding(now, node, record.instance, holding);
            }
            (RecordKind::Decided | RecordKind::Abandoned, _) => {
                self.ended.insert((cluster, record.instance));
                self.open.remove(&(cluster, record.instance));
            }
            _ => {}
        }
    }

    fn on_byzantine(&mut self, node: NodeId) {
        self.agreement.on_byzantine(node);
    }

    fn on_request(&mut self, _: Time, _: NodeId, client: ClientId, number: u64, request: &[u8]) {
        if let Ok(request) = decode::<Request>(request) {
            self.asked.get_or_insert_with((client, number), || request);
        }
    }

    fn on_reply(&mut self, now: Time, node: NodeId, client: ClientId, number: u64, reply: &[u8]) {
        let is_success = match decode::<Reply>(reply) {
            Ok(Reply::Success { txn }) => {
                if txn.number != number {
                    self.fail("answers", || {
                        format!(
                            "{} ms: {client} asks for request {number} and is told of {txn}",
                            now.as_ms()
                        )
                    });
                }
                true
            }
            Ok(Reply::Failed {
                reason: Reason::Invalid,
            }) => {
                self.asked.remove(&(client, number));
                return;
            }
            Ok(Reply::Failed { .. }) => false,
            Ok(Reply::Balance { item, balance }) => {
                return self.on_balance(now, node, item, balance);
            }
            _ => return,
        };
        let first = *self
            .answers
            .get_or_insert_with((client, number), || is_success);
        if first != is_success {
            self.fail("answers", || {
                format!(
                    "{} ms: {client} was told two ways of request {number}",
                    now.as_ms()
                )
            });
        }
    }

    fn on_gap(&mut self) {
        self.promises.leave(&NEEDS_ALL);
    }

    fn on_absent(&mut self, _: NodeId) {
        self.promises.leave(&NEEDS_ALL);
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::from([self.agreement.verdict()]);
        verdicts.extend(self.promises.verdicts());
        verdicts
    }

    fn liveness(&self) -> Vec<Verdict> {
        let unanswered = self.asked.iter().filter(|((client, number), request)| {
            let later = self
                .asked
                .range((*client, number + 1)..=(*client, u64::MAX));
            !matches!(request, Request::Read { .. })
                && later.count() == 0
                && !self.answers.contains_key(&(*client, *number))
        });
        let mut open: Vec<String> = unanswered
            .map(|((client, number), _)| format!("{client}, request {number}"))
            .collect();
        let unsettled = self.open.iter();
        open.extend(unsettled.map(|(cluster, id)| format!("{id} is open in {cluster}")));
        let apart = self.apart.keys();
        open.extend(apart.map(|(node, item)| format!("{node} holds another item {item}")));
        let detail = match open.as_slice() {
            [] => format!(
                "{} requests ended, nothing is open, replicas are equal",
                self.asked.len()
            ),
            open => format!("still open: {}", open.join(", ")),
        };
        Vec::from([Verdict {
            name: EVERY_TRANSFER_ENDS,
            holds: open.is_empty(),
            detail,
        }])
    }

    fn holds(&self) -> bool {
        self.agreement.holds() && self.promises.hold()
    }

    fn clone_box(&self) -> Box<dyn Oracle> {
        Box::new(self.clone())
    }
}
