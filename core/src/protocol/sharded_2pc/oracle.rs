//! What sharded-2pc promises, watched from outside: logs are executed anew, by rules written a second time.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::command::{Command, Reason};
use super::message::{Message, committed_value_of, slot_id};
use super::{Reply, Request, Sharded2pc};
use crate::codec::decode;
use crate::crypto::Keyring;
use crate::engine::{Env, Opened};
use crate::event::{Record, RecordKind};
use crate::oracle::{Agreement, Oracle, Promises, Verdict};
use crate::ordered::{Map, Set};
use crate::paxos::{self, Slot};
use crate::types::{ClientId, Duration, GroupId, Hash32, InstanceId, NodeId, Time};

mod replay;
mod told;

use replay::Ledger;

/// The name of the liveness property.
pub(super) const EVERY_TRANSFER_ENDS: &str = "every transfer ends";

const ANSWERS: &str = "answers";
const READS: &str = "reads";
const CONSERVATION: &str = "conservation";

/// What is judged by when something happened anywhere: by all members, or not at all.
const NEEDS_ALL: [&str; 3] = [ANSWERS, READS, CONSERVATION];

const PROMISES: [(&str, &str); 8] = [
    ("log", "no slot holds two commands that were told as chosen"),
    (
        "execution",
        "every replica did to the accounts what the log says",
    ),
    ("replicas", "every replica did the same to the accounts"),
    (
        "atomicity",
        "no transfer was committed in one place and aborted in another",
    ),
    ("exactly once", "no request moved money twice"),
    (ANSWERS, "what clients were told is what the logs say"),
    (
        READS,
        "every balance that was told stood in the log while the client waited",
    ),
    (
        CONSERVATION,
        "what accounts hold, and what is on its way to a held item, was always what there was",
    ),
];

/// For how long a member is silent that is down: one that runs answers its leader every `heartbeat_ms`.
const SILENT: Duration = Duration::from_ms(2_000);

/// Watches a run.
#[derive(Clone, Debug)]
pub(super) struct ShardedOracle {
    keyring: Arc<Keyring>,
    agreement: Agreement,
    /// Every command that was heard, by hash.
    commands: Map<Hash32, Option<Command>>,
    /// Which slot an instance is, of those that were heard of.
    slots: Map<InstanceId, (GroupId, Slot)>,
    /// What was told as chosen.
    told: Map<(GroupId, Slot), Hash32>,
    /// What nodes say that they applied, before the slot is known or reached.
    applied: Map<InstanceId, Hash32>,
    /// What nodes say that an entry left of the accounts.
    effects: Map<InstanceId, Vec<(NodeId, Hash32)>>,
    ledger: Ledger,
    /// The transfers that some member committed, and those that some member aborted.
    committed: Map<InstanceId, NodeId>,
    aborted: Map<InstanceId, NodeId>,
    asked: Map<(ClientId, u64), (Request, Time)>,
    /// What clients were told and no log says yet.
    unproven: VecDeque<(ClientId, u64, Reply)>,
    answers: Map<(ClientId, u64), bool>,
    /// Requests that are refused without a trace: of a client that moved on, or that make no sense.
    refused: Set<(ClientId, u64)>,
    /// When each member was heard last, and how far it was.
    heard: Map<NodeId, (Time, Slot)>,
    promises: Promises,
    /// What the sum lacks in the moment that is still going on: what happens in one is heard one after another.
    unbalanced: Option<(Time, String)>,
}

impl ShardedOracle {
    pub(super) fn new(env: &Env<Sharded2pc>) -> ShardedOracle {
        ShardedOracle {
            keyring: env.keyring.clone(),
            agreement: Agreement::default(),
            commands: Map::new(),
            slots: Map::new(),
            told: Map::new(),
            applied: Map::new(),
            effects: Map::new(),
            ledger: Ledger::new(env),
            committed: Map::new(),
            aborted: Map::new(),
            asked: Map::new(),
            unproven: VecDeque::new(),
            answers: Map::new(),
            refused: Set::new(),
            heard: Map::new(),
            promises: Promises::new(&PROMISES),
            unbalanced: None,
        }
    }

    fn fail(&mut self, promise: &'static str, detail: impl FnOnce() -> String) {
        self.promises.fail(promise, detail);
    }

    fn cluster_of(&self, node: NodeId) -> GroupId {
        self.keyring.group_of(node).unwrap_or_default()
    }

    fn on_entry(&mut self, now: Time, from: NodeId, slot: Slot, command: Option<Command>) {
        let cluster = self.cluster_of(from);
        let hash = Command::hash(command.as_ref());
        self.commands.insert(hash, command);
        let instance = slot_id(cluster, slot);
        if self.slots.insert(instance, (cluster, slot)).is_none() {
            self.execute(now, cluster);
        }
    }

    fn on_chosen(&mut self, now: Time, from: NodeId, slot: Slot, command: Option<Command>) {
        let key = (self.cluster_of(from), slot);
        let hash = Command::hash(command.as_ref());
        let first = *self.told.get_or_insert_with(key, || hash);
        if first != hash {
            self.fail("log", || {
                format!(
                    "{} ms: {from} tells {hash:?} in slot {slot}, which is {first:?}",
                    now.as_ms()
                )
            });
        }
    }

    /// Executes what is known to be chosen, in the order of slots.
    fn execute(&mut self, now: Time, cluster: GroupId) {
        loop {
            let slot = self.ledger.executed(cluster) + 1;
            let instance = slot_id(cluster, slot);
            let hash = self.applied.get(&instance);
            let command = hash.and_then(|hash| self.commands.get(hash)).cloned();
            let (Some(command), Some(hash)) = (command, hash.copied()) else {
                return;
            };
            if self
                .told
                .get(&(cluster, slot))
                .is_some_and(|told| *told != hash)
            {
                self.fail("log", || {
                    format!(
                        "{} ms: slot {slot} of {cluster} was applied as {hash:?}",
                        now.as_ms()
                    )
                });
            }
            if let Some(twice) = self.ledger.execute(now, cluster, slot, command.as_ref()) {
                self.fail("exactly once", || {
                    format!("{} ms: {twice} takes effect a second time", now.as_ms())
                });
            }
            let effects = self.effects.remove(&instance).unwrap_or_default();
            for (node, effect) in effects {
                self.on_effect(now, node, cluster, slot, effect);
            }
            self.prove_answers();
        }
    }

    /// A slot that was executed holds another command: what a cluster chose takes effect, also where it must not.
    fn execute_again(&mut self, now: Time, cluster: GroupId, slot: Slot, value: Hash32) {
        let instance = slot_id(cluster, slot);
        let is_other = self
            .applied
            .get(&instance)
            .is_some_and(|first| *first != value);
        let is_executed = slot <= self.ledger.executed(cluster);
        if let (true, true, Some(Some(command))) =
            (is_other, is_executed, self.commands.get(&value).cloned())
        {
            self.applied.insert(instance, value);
            self.ledger.execute(now, cluster, slot, Some(&command));
        }
    }

    fn on_effect(&mut self, now: Time, node: NodeId, cluster: GroupId, slot: Slot, effect: Hash32) {
        let at = now.as_ms();
        let word = self.ledger.told.hear(cluster, slot, effect);
        if word.is_apart {
            self.fail("replicas", || {
                format!("{at} ms: {node} did something else in slot {slot} of {cluster}")
            });
        }
        let told = self.told_in(cluster, slot);
        let moves = matches!(
            told,
            Some(Command::Transfer { .. } | Command::Commit { .. })
        );
        if let Some(id) = told.map(|command| command.id())
            && moves
            && (word.is_more || word.is_uncalled && self.ledger.has_moved(id))
        {
            self.fail("exactly once", || {
                format!("{at} ms: {node} lets {id} take effect a second time")
            });
        }
        self.weigh(now);
        if self
            .ledger
            .effect(cluster, slot)
            .is_some_and(|known| known != effect)
        {
            self.fail("execution", || {
                format!(
                    "{} ms: {node} did something else in slot {slot}",
                    now.as_ms()
                )
            });
        }
    }

    /// Looks at the sum of all money. What it lacked when a moment was over stays said.
    fn weigh(&mut self, now: Time) {
        if self.promises.is_limited(CONSERVATION) {
            return;
        }
        if let Some((_, lack)) = self.unbalanced.take_if(|(at, _)| *at < now) {
            self.fail(CONSERVATION, || lack);
        }
        let broken = self.ledger.conservation().err();
        self.unbalanced = broken.map(|lack| (now, format!("{} ms: {lack}", now.as_ms())));
    }

    /// The command of a slot that was executed.
    fn told_in(&self, cluster: GroupId, slot: Slot) -> Option<&Command> {
        let hash = self.applied.get(&slot_id(cluster, slot))?;
        self.commands.get(hash)?.as_ref()
    }

    /// A transfer ended at a member, in one of two ways.
    fn on_end(&mut self, now: Time, node: NodeId, instance: InstanceId, is_committed: bool) {
        let (same, other) = if is_committed {
            (&mut self.committed, &self.aborted)
        } else {
            (&mut self.aborted, &self.committed)
        };
        same.get_or_insert_with(instance, || node);
        if let Some(by) = other.get(&instance).copied() {
            let word = if is_committed { "commits" } else { "aborts" };
            self.fail("atomicity", || {
                format!(
                    "{} ms: {node} {word} {instance:?}, {by} did not",
                    now.as_ms()
                )
            });
        }
    }

    /// Settles answers that were told, as far as logs say.
    fn prove_answers(&mut self) {
        for _ in 0..self.unproven.len() {
            let Some((client, number, reply)) = self.unproven.pop_front() else {
                return;
            };
            match self.ledger.outcome(client, number) {
                None => self.unproven.push_back((client, number, reply)),
                Some(outcome) => {
                    let is_right = match reply {
                        Reply::Success { .. } => outcome.is_ok(),
                        Reply::Failed { reason } => outcome == Err(reason),
                        _ => true,
                    };
                    if !is_right {
                        self.fail(ANSWERS, || {
                            format!(
                                "{client}, request {number}: was told {reply:?}; is {outcome:?}"
                            )
                        });
                    }
                }
            }
        }
    }

    fn unended(&self) -> Vec<String> {
        let asked = self.asked.iter();
        let open = asked.filter(|((client, number), (request, _))| {
            let moves = !matches!(request, Request::Read { .. });
            // A client that asked for something newer gave this one up.
            let later = self
                .asked
                .range((*client, number + 1)..=(*client, u64::MAX));
            moves
                && later.count() == 0
                && !self.ledger.is_over(*client, *number)
                && !self.refused.contains(&(*client, *number))
        });
        open.map(|((client, number), _)| format!("{client}, request {number}"))
            .collect()
    }

    fn apart(&self) -> Vec<String> {
        let last = self
            .heard
            .values()
            .map(|(at, _)| *at)
            .max()
            .unwrap_or(Time::ZERO);
        let runs = |at: Time| at + SILENT >= last;
        let mut apart = Vec::new();
        for (node, (at, slot)) in self.heard.iter() {
            let cluster = self.cluster_of(*node);
            if runs(*at) && *slot < self.ledger.executed(cluster) {
                apart.push(format!(
                    "{node} is at slot {slot} of {}",
                    self.ledger.executed(cluster)
                ));
            }
        }
        apart
    }
}

impl Oracle for ShardedOracle {
    fn on_send(&mut self, now: Time, from: NodeId, opened: &Opened) {
        let Some(message) = opened.message::<Sharded2pc>() else {
            return;
        };
        let Message::Paxos(message) = message.as_ref() else {
            return;
        };
        match message {
            paxos::Message::AcceptRequest { seq, req, .. } => {
                self.on_entry(now, from, *seq, req.clone());
            }
            paxos::Message::CommitRequest { seq, req, .. } => {
                self.on_chosen(now, from, *seq, req.clone());
                self.on_entry(now, from, *seq, req.clone());
            }
            paxos::Message::Heartbeat { chosen, .. }
            | paxos::Message::HeartbeatReply { chosen, .. } => {
                self.heard.insert(from, (now, *chosen));
            }
            _ => {}
        }
    }

    fn on_record(&mut self, now: Time, node: NodeId, record: &Record) {
        self.agreement.on_record(now, node, record);
        let instance = record.instance;
        let slot = self.slots.get(&instance).copied();
        match (record.kind, record.value) {
            (RecordKind::Decided, Some(value)) if value == committed_value_of(instance) => {
                self.on_end(now, node, instance, true);
            }
            (RecordKind::Abandoned, _) => self.on_end(now, node, instance, false),
            (RecordKind::Decided, Some(value)) => {
                if let Some((cluster, slot)) = slot {
                    self.execute_again(now, cluster, slot, value);
                }
                self.applied.get_or_insert_with(instance, || value);
                self.execute(now, self.cluster_of(node));
            }
            (RecordKind::Completed, Some(effect)) => match slot {
                Some((cluster, slot)) if slot <= self.ledger.executed(cluster) => {
                    self.on_effect(now, node, cluster, slot, effect);
                }
                _ => self.effects.get_or_default(instance).push((node, effect)),
            },
            _ => {}
        }
    }

    fn on_byzantine(&mut self, node: NodeId) {
        self.agreement.on_byzantine(node);
    }

    fn on_gap(&mut self) {
        self.promises.leave(&NEEDS_ALL);
    }

    fn on_absent(&mut self, _: NodeId) {
        self.promises.leave(&NEEDS_ALL);
    }

    fn on_request(&mut self, now: Time, _: NodeId, client: ClientId, number: u64, request: &[u8]) {
        if let Ok(request) = decode::<Request>(request) {
            self.asked
                .get_or_insert_with((client, number), || (request, now));
        }
    }

    fn on_reply(&mut self, now: Time, node: NodeId, client: ClientId, number: u64, reply: &[u8]) {
        let Ok(reply) = decode::<Reply>(reply) else {
            return;
        };
        let asked = self.asked.get(&(client, number)).map(|(_, at)| *at);
        let is_success = match reply {
            Reply::Success { .. } => true,
            Reply::Failed {
                reason: Reason::Old | Reason::Invalid,
            } => {
                self.refused.insert((client, number));
                return;
            }
            Reply::Failed { .. } => false,
            Reply::Balance { item, balance } => {
                let cluster = self.cluster_of(node);
                let since = asked.unwrap_or(now);
                if !self.ledger.stood(cluster, item, balance, since, now) {
                    self.fail(READS, || {
                        format!("{} ms: {node} tells {balance} of item {item}", now.as_ms())
                    });
                }
                return;
            }
            Reply::Accepted | Reply::NotLeader { .. } | Reply::WrongCluster { .. } => return,
        };
        let first = *self
            .answers
            .get_or_insert_with((client, number), || is_success);
        if first != is_success {
            self.fail(ANSWERS, || {
                format!(
                    "{} ms: {client} was told two ways of request {number}",
                    now.as_ms()
                )
            });
        }
        self.unproven.push_back((client, number, reply));
        self.prove_answers();
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::from([self.agreement.verdict()]);
        verdicts.extend(self.promises.verdicts());
        for verdict in verdicts
            .iter_mut()
            .filter(|verdict| !self.promises.is_limited(verdict.name))
        {
            if let (CONSERVATION, true, Some((_, lack))) =
                (verdict.name, verdict.holds, &self.unbalanced)
            {
                verdict.holds = false;
                verdict.detail = lack.clone();
            }
            if let (ANSWERS, true, Some((client, number, reply))) =
                (verdict.name, verdict.holds, self.unproven.front())
            {
                verdict.holds = false;
                verdict.detail = format!("{client}, request {number}: no log says {reply:?}");
            }
        }
        verdicts
    }

    fn liveness(&self) -> Vec<Verdict> {
        let mut open = self.unended();
        let locked = self.ledger.told.locked();
        open.extend(locked.iter().map(|item| format!("item {item} is locked")));
        let unsettled = self.ledger.open();
        open.extend(unsettled.map(|(cluster, id)| format!("{id} is open in {cluster}")));
        let unmatched = self.ledger.unmatched();
        open.extend(
            unmatched
                .iter()
                .map(|id| format!("{id} is committed in one cluster")),
        );
        open.extend(self.apart());
        let detail = match open.as_slice() {
            [] => format!(
                "{} requests ended, nothing is held, replicas are equal",
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
        self.agreement.holds() && self.promises.hold() && self.unbalanced.is_none()
    }

    fn clone_box(&self) -> Box<dyn Oracle> {
        Box::new(self.clone())
    }
}
