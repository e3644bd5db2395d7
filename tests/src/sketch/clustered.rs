//! `clustered`: transfers between groups, each group a replicated log with a fixed leader, after sharded two-phase commit.
//!
//! Upon a transfer at a node that does not lead its group: redirect the client.
//! Upon a transfer at the leader of the paying group: log a hold; once chosen, ask the other group to prepare.
//! Upon logging: send the entry to the group, and again until a majority stored it: chosen.
//! Upon prepare at the leader of the receiving group: log it; once chosen, answer.
//! Upon the answer: log the commit; once chosen, the money has left here, the client is told, and the other group is told
//! until it says that the money has arrived.
//!
//! What of the engine it takes: groups (`To::Group`, the own one and a foreign one, and `Keyring::group_of`); two kinds of
//! instance, a slot nested in its transfer, each message naming the one that it is about; a reply that is not an answer but
//! says whom to ask; entries and balances in tables, so that one step writes both in one batch; timers that repeat what
//! may be lost; links that come and go as facts, so that a peer that is back is told at once. A fixed leader makes it block when that one is down: a sketch, not a protocol.

use std::collections::{BTreeMap, BTreeSet};

use phaselab_core::crypto::{Member, Transcript};
use phaselab_core::engine::{
    Context, Env, Input, MessageInfo, Never, Protocol, RuleSet, TimerInfo, To,
};
use phaselab_core::event::{Record, RecordKind};
use phaselab_core::flaw::FlawSet;
use phaselab_core::quorum::Quorum;
use phaselab_core::store::{AnyTable, RecoverError, Rows, Table, TableId, TableSpec};
use phaselab_core::types::{ClientId, Duration, GroupId, Hash32, InstanceId, NodeId, Round};
use phaselab_core::view::{
    Field, Glance, InstanceKind, MessageKind, NodeView, Phase, Shape, Spec, ViewScope,
};
use serde::{Deserialize, Serialize};

/// Money goes from one group's account to another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transfer {
    /// Distinguishes transfers that are otherwise alike.
    pub number: u64,
    /// The paying group.
    pub from: GroupId,
    /// The receiving group.
    pub to: GroupId,
    /// How much.
    pub amount: u64,
}

impl Transfer {
    /// The instance.
    pub fn id(&self) -> InstanceId {
        let mut transcript = Transcript::new("phaselab-tests clustered transfer");
        transcript.bytes(&phaselab_core::codec::encode(self));
        InstanceId(transcript.finish())
    }
}

/// The link to a peer came or went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Whose.
    pub peer: NodeId,
    /// Which of the two.
    pub up: bool,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// Ask this node instead.
    Redirect(NodeId),
    /// The money has left.
    Done,
    /// The account does not hold as much.
    Refused,
}

/// A step of a transfer, as a group's log holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// The paying group puts the money aside.
    Hold,
    /// The receiving group is ready.
    Prepare,
    /// The money has left.
    Commit,
    /// The money has arrived.
    Receive,
}

/// An entry of a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    stage: Stage,
    transfer: Transfer,
    chosen: bool,
}

/// What nodes say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// To the own group: store this; `chosen` once a majority did.
    Accept(u64, Entry),
    /// To the own leader: stored.
    Accepted(u64, Entry),
    /// To the other group, of which the leader acts: log this stage.
    Ask(Stage, Transfer),
    /// To the asking leader: that stage is chosen here.
    Answer(Stage, Transfer),
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clustered {
    log: Table<u64, Entry>,
    balance: Table<u8, u64>,
    /// Who stored what the leader sent, until it is chosen.
    stored: BTreeMap<u64, BTreeSet<NodeId>>,
    /// What the other group has not answered.
    asked: BTreeMap<InstanceId, (Stage, Transfer)>,
    waiting: BTreeMap<InstanceId, (ClientId, u64)>,
}

const LOG: TableSpec = TableSpec {
    id: TableId(1),
    name: "log",
};
const BALANCE: TableSpec = TableSpec {
    id: TableId(2),
    name: "balance",
};
/// A group has one account.
const ACCOUNT: u8 = 0;
/// What each group owns at first.
pub const FIRST_BALANCE: u64 = 100;

static SPEC: Spec = Spec {
    name: "clustered",
    title: "Transfers between groups",
    instances: &[
        InstanceKind {
            name: "transfer",
            parent: None,
        },
        InstanceKind {
            name: "slot",
            parent: Some(0),
        },
    ],
    phases: &[
        Phase {
            name: "accepted",
            meaning: "stored here",
            instance: 1,
            terminal: false,
        },
        Phase {
            name: "chosen",
            meaning: "stored by a majority",
            instance: 1,
            terminal: true,
        },
    ],
    transitions: &[(0, 1)],
    messages: &[
        MessageKind {
            name: "accept",
            shape: Shape::Propose,
        },
        MessageKind {
            name: "accepted",
            shape: Shape::Vote,
        },
        MessageKind {
            name: "ask",
            shape: Shape::Lock,
        },
        MessageKind {
            name: "answer",
            shape: Shape::Certificate,
        },
    ],
    meters: &[],
    fields: &["balance"],
    fault_model: "A minority of each group may crash, but not its leader.",
};

type Cx<'a, 'b> = &'a mut Context<'b, Clustered>;

impl Clustered {
    /// What the group owns, as this member knows.
    pub fn balance(&self) -> u64 {
        self.balance.get(&ACCOUNT).copied().unwrap_or(FIRST_BALANCE)
    }

    fn group(env: &Env<Self>) -> GroupId {
        env.keyring.group_of(env.id).unwrap_or_default()
    }

    fn leader(env: &Env<Self>, group: GroupId) -> NodeId {
        env.keyring.group(group).next().unwrap_or(env.id)
    }

    fn leads(env: &Env<Self>) -> bool {
        Self::leader(env, Self::group(env)) == env.id
    }

    /// The place of a stage in the log, if it is there.
    fn slot(&self, stage: Stage, transfer: &Transfer) -> Option<(u64, bool)> {
        let mut entries = self.log.iter();
        let found =
            entries.find(|(_, entry)| entry.stage == stage && entry.transfer == *transfer)?;
        Some((*found.0, found.1.chosen))
    }

    fn held(&self) -> u64 {
        let holds = self
            .log
            .iter()
            .filter(|(_, entry)| entry.stage == Stage::Hold);
        let open = holds.filter(|(_, hold)| self.slot(Stage::Commit, &hold.transfer).is_none());
        open.map(|(_, hold)| hold.transfer.amount).sum()
    }

    fn on_request(&mut self, cx: Cx<'_, '_>, client: ClientId, number: u64, transfer: &Transfer) {
        let leader = Self::leader(cx.env(), transfer.from);
        if leader != cx.id() {
            return cx.reply(client, number, Reply::Redirect(leader));
        }
        if self
            .slot(Stage::Commit, transfer)
            .is_some_and(|(_, chosen)| chosen)
        {
            return cx.reply(client, number, Reply::Done);
        }
        if self.slot(Stage::Hold, transfer).is_none()
            && self.balance() - self.held() < transfer.amount
        {
            return cx.reply(client, number, Reply::Refused);
        }
        self.waiting.insert(transfer.id(), (client, number));
        self.append(cx, Stage::Hold, transfer);
    }

    /// The leader logs a stage, once.
    fn append(&mut self, cx: Cx<'_, '_>, stage: Stage, transfer: &Transfer) {
        if self.slot(stage, transfer).is_some() {
            return;
        }
        let slot = self.log.len() as u64;
        let transfer = transfer.clone();
        let chosen = false;
        self.log.put(
            slot,
            Entry {
                stage,
                transfer,
                chosen,
            },
        );
        self.stored.insert(slot, BTreeSet::from([cx.id()]));
        self.offer(cx, slot);
    }

    fn offer(&mut self, cx: Cx<'_, '_>, slot: u64) {
        if let Some(entry) = self.log.get(&slot) {
            let group = Self::group(cx.env());
            cx.send(To::Group(group), Message::Accept(slot, entry.clone()));
        }
    }

    fn on_accept(&mut self, cx: Cx<'_, '_>, from: NodeId, slot: u64, entry: &Entry) {
        if from != Self::leader(cx.env(), Self::group(cx.env())) {
            return;
        }
        let known = self.log.get(&slot);
        if known.is_some_and(|known| known.chosen) || known == Some(entry) {
            return cx.send(To::Node(from), Message::Accepted(slot, entry.clone()));
        }
        self.log.put(slot, entry.clone());
        if entry.chosen {
            self.apply(cx, entry);
        } else {
            cx.send(To::Node(from), Message::Accepted(slot, entry.clone()));
        }
    }

    fn on_accepted(&mut self, cx: Cx<'_, '_>, from: NodeId, slot: u64, stored: &Entry) {
        let group = Self::group(cx.env());
        if cx.env().keyring.group_of(from) != Some(group) || self.log.get(&slot) != Some(stored) {
            return;
        }
        let members = cx.env().keyring.group(group).count() as u16;
        let by = self.stored.entry(slot).or_default();
        by.insert(from);
        if stored.chosen || !Quorum::crash_majority(members).is_reached_by(by.iter().copied()) {
            return;
        }
        let entry = Entry {
            chosen: true,
            ..stored.clone()
        };
        self.log.put(slot, entry.clone());
        self.offer(cx, slot);
        self.apply(cx, &entry);
        self.advance(cx, &entry);
    }

    /// What a chosen entry does, at every member of its group.
    fn apply(&mut self, cx: Cx<'_, '_>, entry: &Entry) {
        let amount = entry.transfer.amount;
        match entry.stage {
            Stage::Commit => self.balance.put(ACCOUNT, self.balance() - amount),
            Stage::Receive => self.balance.put(ACCOUNT, self.balance() + amount),
            Stage::Hold | Stage::Prepare => return,
        }
        cx.record(Record {
            kind: RecordKind::Decided,
            instance: entry.transfer.id(),
            value: Some(Hash32([1; 32])),
            round: Round(0),
        });
    }

    /// What follows from a chosen entry, at the leader.
    fn advance(&mut self, cx: Cx<'_, '_>, entry: &Entry) {
        let (id, transfer) = (entry.transfer.id(), entry.transfer.clone());
        match entry.stage {
            Stage::Hold => self.ask(cx, Stage::Prepare, transfer),
            Stage::Commit => {
                if let Some((client, number)) = self.waiting.remove(&id) {
                    cx.reply(client, number, Reply::Done);
                }
                self.ask(cx, Stage::Receive, transfer);
            }
            Stage::Prepare | Stage::Receive => {
                let answer = Message::Answer(entry.stage, transfer.clone());
                cx.send(To::Node(Self::leader(cx.env(), transfer.from)), answer);
            }
        }
    }

    fn ask(&mut self, cx: Cx<'_, '_>, stage: Stage, transfer: Transfer) {
        self.asked.insert(transfer.id(), (stage, transfer.clone()));
        cx.send(To::Group(transfer.to), Message::Ask(stage, transfer));
    }

    fn on_message(&mut self, cx: Cx<'_, '_>, from: NodeId, message: &Message) {
        match message {
            Message::Accept(slot, entry) => self.on_accept(cx, from, *slot, entry),
            Message::Accepted(slot, entry) => self.on_accepted(cx, from, *slot, entry),
            Message::Ask(stage, transfer) if Self::leads(cx.env()) => {
                match self.slot(*stage, transfer) {
                    Some((_, true)) => {
                        cx.send(To::Node(from), Message::Answer(*stage, transfer.clone()));
                    }
                    _ => self.append(cx, *stage, transfer),
                }
            }
            Message::Ask(..) => {}
            Message::Answer(stage, transfer) => {
                let id = transfer.id();
                if self.asked.get(&id) == Some(&(*stage, transfer.clone())) {
                    self.asked.remove(&id);
                    if *stage == Stage::Prepare {
                        self.append(cx, Stage::Commit, transfer);
                    }
                }
            }
        }
    }

    /// Takes up what an earlier life had under way: what follows from chosen entries follows again.
    fn on_start(&mut self, cx: Cx<'_, '_>) {
        cx.set_timer((), TICK);
        if Self::leads(cx.env()) {
            let chosen = self.log.iter().filter(|(_, entry)| entry.chosen);
            let chosen: Vec<Entry> = chosen.map(|(_, entry)| entry.clone()).collect();
            chosen.iter().for_each(|entry| self.advance(cx, entry));
        }
    }

    /// Repeats what may have been lost.
    fn on_tick(&mut self, cx: Cx<'_, '_>) {
        cx.set_timer((), TICK);
        self.tell_again(cx);
    }

    /// A hint only: who is not told now is told at the next tick.
    fn on_link(&mut self, cx: Cx<'_, '_>, link: &Link) {
        if link.up {
            self.tell_again(cx);
        }
    }

    fn tell_again(&mut self, cx: Cx<'_, '_>) {
        if !Self::leads(cx.env()) {
            return;
        }
        let members = cx.env().keyring.group(Self::group(cx.env())).count();
        for slot in 0..self.log.len() as u64 {
            if self.stored.get(&slot).map_or(1, BTreeSet::len) < members {
                self.offer(cx, slot);
            }
        }
        for (stage, transfer) in self.asked.clone().into_values() {
            self.ask(cx, stage, transfer);
        }
    }
}

const TICK: Duration = Duration::from_ms(100);

impl Protocol for Clustered {
    type Message = Message;
    type Timer = ();
    type Request = Transfer;
    type Reply = Reply;
    type Fact = Link;
    type Report = Never;
    type Config = ();

    const TAG: u8 = 202;
    const NAME: &'static str = "clustered";
    const TABLES: &'static [TableSpec] = &[LOG, BALANCE];

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn check_config((): &(), _: &[Member], _: RuleSet, _: FlawSet) -> Result<(), String> {
        Ok(())
    }

    fn recover(_: &Env<Self>, rows: &Rows) -> Result<Self, RecoverError> {
        Ok(Clustered {
            log: Table::load(LOG, rows)?,
            balance: Table::load(BALANCE, rows)?,
            stored: BTreeMap::new(),
            asked: BTreeMap::new(),
            waiting: BTreeMap::new(),
        })
    }

    fn handle(&mut self, cx: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => self.on_start(cx),
            Input::Timeout(()) => self.on_tick(cx),
            Input::Message { from, message } => self.on_message(cx, from, &message),
            Input::Request {
                client,
                number,
                request,
            } => self.on_request(cx, client, number, &request),
            Input::Fact(link) => self.on_link(cx, &link),
        }
    }

    fn check(env: &Env<Self>, from: NodeId, message: &Message) -> Result<(), &'static str> {
        let group = env.keyring.group_of(from);
        match message {
            Message::Ask(_, transfer) if group != Some(transfer.from) => Err("not_the_payer"),
            Message::Answer(_, transfer) if group != Some(transfer.to) => Err("not_the_receiver"),
            _ => Ok(()),
        }
    }

    fn peer_fact(peer: NodeId, up: bool) -> Option<Link> {
        Some(Link { peer, up })
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        visit(&mut self.log);
        visit(&mut self.balance);
    }

    fn describe(message: &Message) -> MessageInfo {
        let (kind, instance) = match message {
            Message::Accept(slot, entry) => (0, slot_id(*slot, entry)),
            Message::Accepted(slot, entry) => (1, slot_id(*slot, entry)),
            Message::Ask(_, transfer) => (2, transfer.id()),
            Message::Answer(_, transfer) => (3, transfer.id()),
        };
        MessageInfo {
            kind,
            instance: Some(instance),
            ..MessageInfo::default()
        }
    }

    fn timer_info(_: &()) -> TimerInfo {
        TimerInfo {
            name: "never",
            instance: None,
            round: None,
        }
    }

    fn glance(&self) -> Glance {
        Glance {
            have: self.balance(),
            ..Glance::default()
        }
    }

    fn view(&self, _: &Env<Self>, _: ViewScope) -> NodeView {
        NodeView {
            instances: Vec::new(),
            fields: vec![Field::new("balance", self.balance().to_string())],
            shard: None,
        }
    }
}

/// A slot, nested in the transfer that it is for.
fn slot_id(slot: u64, entry: &Entry) -> InstanceId {
    let mut transcript = Transcript::new("phaselab-tests clustered slot");
    transcript.hash(&entry.transfer.id().0).u64(slot);
    InstanceId(transcript.finish())
}
