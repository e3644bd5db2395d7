//! What a protocol is: a state machine that is told inputs and answers with effects.
//!
//! The core never asks. The outside world — time, entropy, messages, facts about a chain — comes in as [`Input`] and
//! through [`Context`]; what should happen goes out as effects, held back until the step's writes are durable.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt::Debug;
use core::hash::Hash;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::crypto::{Crypto, Keyring, Member, Signer, Transcript};
use crate::entropy::Entropy;
use crate::event::{Event, Level, Record};
use crate::flaw::{Flaw, FlawSet};
use crate::ordered::{Map, Set};
use crate::store::{AnyTable, RecoverError, Rows, TableSpec};
use crate::types::{ClientId, Duration, GroupId, Hash32, InstanceId, NodeId, Round, Time};
use crate::view::{Glance, NodeView, Spec, ViewScope};

/// A value that crosses a boundary as bytes.
pub trait Wire:
    Clone + Debug + PartialEq + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static
{
}
impl<
    T: Clone + Debug + PartialEq + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static,
> Wire for T
{
}

/// Nothing: for a protocol that has no facts, reports, requests or replies. No value of it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Never {}

/// A consensus protocol as a deterministic state machine.
///
/// Configuration, genesis and identity live in the [`Context`], never in the state. Time is never compared in a
/// decision; only timers decide.
pub trait Protocol: Clone + Debug + Eq + Hash + Send + Sync + Sized + 'static {
    /// What nodes send one another.
    type Message: Wire;
    /// What a timer is for. Carries the round, and is cancelled on leaving it.
    type Timer: Copy + Ord + Hash + Debug + Send + Sync + 'static;
    /// What a client asks.
    type Request: Wire;
    /// What a client is told.
    type Reply: Wire;
    /// What the shell pushes in: a chain view, a peer's state. Volatile; pushed in full after `Start`.
    type Fact: Wire;
    /// What goes out to the world outside: a signed transaction.
    type Report: Wire;
    /// The protocol's parameters, with the names of its source document. Part of the genesis.
    type Config: Wire + Default;

    /// The protocol's tag in envelopes and genesis.
    const TAG: u8;
    /// The protocol's name in files and on the command line.
    const NAME: &'static str;
    /// Its tables.
    const TABLES: &'static [TableSpec];
    /// The flaws of its source document, in the order of their ids.
    const FLAWS: &'static [Flaw] = &[];
    /// Whether the rules of the source document can be had.
    const HAS_AS_WRITTEN: bool = false;

    /// Instance kinds, phases, legal transitions and message kinds, for drawing and for asserting.
    fn spec() -> &'static Spec;

    /// Whether the parameters make sense for this membership under these rules. Called before a node is built.
    ///
    /// # Errors
    /// A sentence that says which key is wrong and what was expected.
    fn check_config(
        config: &Self::Config,
        members: &[Member],
        rules: RuleSet,
        flaws: FlawSet,
    ) -> Result<(), String>;

    /// Rebuilds the state from a node's rows; an empty store gives the initial state.
    ///
    /// # Errors
    /// When rows do not decode or contradict one another.
    fn recover(env: &Env<Self>, rows: &Rows) -> Result<Self, RecoverError>;

    /// One step: all that a node ever does.
    fn handle(&mut self, cx: &mut Context<'_, Self>, input: Input<Self>);

    /// Verifies what a message carries besides its envelope: inner signatures, certificates, limits.
    ///
    /// A pure function of genesis and message, so that a packet is checked once however many receive it.
    ///
    /// # Errors
    /// What is wrong with it, in two or three words.
    fn check(env: &Env<Self>, from: NodeId, message: &Self::Message) -> Result<(), &'static str>;

    /// Visits every table, always in the same order.
    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable));

    /// How a message is drawn in flight.
    fn describe(message: &Self::Message) -> MessageInfo;

    /// What a timer is for: how it is told, and whether a round bounds it.
    fn timer_info(timer: &Self::Timer) -> TimerInfo;

    /// What one node shows at a glance; small enough for 10,000 of them.
    fn glance(&self) -> Glance;

    /// The same of one instance; `None` where the node has not heard of it.
    fn glance_of(&self, instance: InstanceId) -> Option<Glance> {
        Some(self.glance()).filter(|glance| glance.instance == Some(instance))
    }

    /// What the inspector shows.
    fn view(&self, env: &Env<Self>, scope: ViewScope) -> NodeView;

    /// Asserted after every step of hardened rules.
    ///
    /// # Panics
    /// If the state contradicts itself: a bug.
    fn invariants(&self, _env: &Env<Self>) {}

    /// What this node is told when the link to a peer comes or goes, for a protocol that cares: a failure detector is a
    /// hint, never a proof. All links are down at `Start`. `None` if it does not.
    fn peer_fact(_peer: NodeId, _up: bool) -> Option<Self::Fact> {
        None
    }

    /// What a liar makes of a message of its own, properly signed. `None` if this kind of message has no such version.
    fn lie(&self, _env: &Env<Self>, _message: &Self::Message, _lie: Lie) -> Option<Self::Message> {
        None
    }
}

/// How a liar changes a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It says another value: what an equivocator sends to the other half.
    Value,
    /// It says a round that no honest node reaches.
    Round,
}

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<P: Protocol> {
    /// The first step of each life.
    Start,
    /// A verified message.
    Message {
        /// The member that signed it.
        from: NodeId,
        /// What it says.
        message: Arc<P::Message>,
    },
    /// A timer fired.
    Timeout(P::Timer),
    /// A client asks.
    Request {
        /// Who.
        client: ClientId,
        /// Its request number; monotone per client.
        number: u64,
        /// What.
        request: P::Request,
    },
    /// The world outside changed.
    Fact(P::Fact),
}

/// Whom a message goes to. A node never sends to itself: its own votes count in the same step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    /// One member.
    Node(NodeId),
    /// Every other member of a group.
    Group(GroupId),
    /// Every other member.
    All,
}

/// How a message is drawn and selected: kind, instance, round and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageInfo {
    /// Index into `Spec::messages`.
    pub kind: u8,
    /// The instance it is about, if any.
    pub instance: Option<InstanceId>,
    /// Its round; 0 where it has none.
    pub round: Round,
    /// The value it speaks for, if any.
    pub value: Option<Hash32>,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInfo {
    /// In one or two words, such as `round` or `retry`.
    pub name: &'static str,
    /// The instance it belongs to, if any.
    pub instance: Option<InstanceId>,
    /// The round it belongs to; `None` for housekeeping, such as the tick of anti-entropy.
    pub round: Option<Round>,
}

/// Which rules are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSet {
    /// Correct under its stated fault model.
    #[default]
    Hardened,
    /// The rules of the source document: unsafe.
    AsWritten,
}

impl RuleSet {
    /// The name in scenarios and output.
    pub const fn name(self) -> &'static str {
        match self {
            RuleSet::Hardened => "hardened",
            RuleSet::AsWritten => "as-written",
        }
    }
}

/// What all members agree on before the first message; its hash is in every envelope and every vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// [`Protocol::TAG`].
    pub protocol: u8,
    /// Rules.
    pub rules: RuleSet,
    /// Flaws of the source document that are restored on top of hardened rules, by id; none in a network that means it.
    pub flaws: Vec<String>,
    /// How messages are signed.
    pub crypto: Crypto,
    /// Separates clusters that are otherwise alike.
    pub name: String,
    /// Who may speak.
    pub members: Vec<Member>,
    /// The protocol's parameters: `codec::encode` of [`Protocol::Config`].
    pub config: Vec<u8>,
}

impl Genesis {
    /// The hash that binds every signature to this cluster.
    pub fn hash(&self) -> Hash32 {
        Transcript::new("phaselab 2026-11 genesis v2")
            .bytes(&crate::codec::encode(self))
            .finish()
    }
}

/// Genesis, configuration and identity of one node: what is the same in every step.
#[derive(Debug)]
pub struct Env<P: Protocol> {
    /// This node.
    pub id: NodeId,
    /// Rules in force.
    pub rules: RuleSet,
    /// Flaws that are restored.
    pub flaws: FlawSet,
    /// Hash of the genesis.
    pub genesis: Hash32,
    /// The members.
    pub keyring: Arc<Keyring>,
    /// The protocol's parameters.
    pub config: Arc<P::Config>,
    /// This node's key.
    pub signer: Signer,
}

impl<P: Protocol> Clone for Env<P> {
    fn clone(&self) -> Self {
        Env {
            id: self.id,
            rules: self.rules,
            flaws: self.flaws,
            genesis: self.genesis,
            keyring: self.keyring.clone(),
            config: self.config.clone(),
            signer: self.signer.clone(),
        }
    }
}

impl<P: Protocol> Env<P> {
    /// All members in id order.
    pub fn members(&self) -> &[NodeId] {
        self.keyring.ids()
    }

    /// Whether the rules are hardened, with no flaw restored: only then does a protocol assert its invariants.
    pub fn is_hardened(&self) -> bool {
        self.rules == RuleSet::Hardened && self.flaws.is_empty()
    }

    /// The members but this one.
    pub fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members().iter().copied().filter(|&id| id != self.id)
    }
}

/// What a step wants to happen. Collected in order; released when the step's writes are durable.
#[derive(Debug)]
pub(crate) struct Effects<P: Protocol> {
    pub(crate) sends: Vec<(To, P::Message)>,
    pub(crate) replies: Vec<(ClientId, u64, P::Reply)>,
    pub(crate) reports: Vec<P::Report>,
    pub(crate) records: Vec<Record>,
    pub(crate) events: Vec<Event>,
}

impl<P: Protocol> Default for Effects<P> {
    fn default() -> Self {
        Effects {
            sends: Vec::new(),
            replies: Vec::new(),
            reports: Vec::new(),
            records: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// The timers of one node: at most one deadline per timer.
#[derive(Clone, Debug)]
pub(crate) struct Timers<T> {
    at: Map<T, Time>,
    queue: Set<(Time, T)>,
}

impl<T: Copy + Ord> Timers<T> {
    pub(crate) fn new() -> Timers<T> {
        Timers {
            at: Map::new(),
            queue: Set::new(),
        }
    }

    pub(crate) fn set(&mut self, timer: T, at: Time) {
        self.cancel(&timer);
        self.at.insert(timer, at);
        self.queue.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, timer: &T) {
        if let Some(at) = self.at.remove(timer) {
            self.queue.remove(&(at, *timer));
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The timer that is due first.
    pub(crate) fn first(&self) -> Option<T> {
        self.queue.first().map(|(_, timer)| *timer)
    }

    pub(crate) fn pop_due(&mut self, now: Time) -> Option<T> {
        let (at, timer) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.remove(&(at, timer));
        self.at.remove(&timer);
        Some(timer)
    }

    /// The timers that are armed, in order.
    pub(crate) fn armed(&self) -> impl Iterator<Item = T> + '_ {
        self.at.iter().map(|(timer, _)| *timer)
    }

    /// The same, with when each is due.
    pub(crate) fn times(&self) -> impl Iterator<Item = (&T, &Time)> {
        self.at.iter()
    }

    pub(crate) fn is_set(&self, timer: &T) -> bool {
        self.at.contains_key(timer)
    }
}

/// What a handler sees of the world, and where it leaves its effects.
pub struct Context<'a, P: Protocol> {
    pub(crate) env: &'a Env<P>,
    pub(crate) now: Time,
    pub(crate) level: Level,
    pub(crate) entropy: &'a mut dyn Entropy,
    pub(crate) timers: &'a mut Timers<P::Timer>,
    pub(crate) counters: &'a mut Map<Cow<'static, str>, u64>,
    pub(crate) effects: &'a mut Effects<P>,
}

impl<'a, P: Protocol> Context<'a, P> {
    /// Genesis, configuration and identity. Outlives the context, so that it can be held while effects are pushed.
    pub fn env(&self) -> &'a Env<P> {
        self.env
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.env.id
    }

    /// Monotonic time since genesis. For arming timers and for logs; decisions never read it.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A random number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.entropy.below(bound)
    }

    /// Sends a message once the step is durable.
    pub fn send(&mut self, to: To, message: P::Message) {
        self.effects.sends.push((to, message));
    }

    /// Answers a client's request once the step is durable.
    pub fn reply(&mut self, client: ClientId, number: u64, reply: P::Reply) {
        self.effects.replies.push((client, number, reply));
    }

    /// Tells the world outside, once the step is durable.
    pub fn report(&mut self, report: P::Report) {
        self.effects.reports.push(report);
    }

    /// Arms a timer; an armed one moves.
    pub fn set_timer(&mut self, timer: P::Timer, after: Duration) {
        self.timers.set(timer, self.now + after);
    }

    /// Disarms a timer; nothing happens if it is not armed.
    pub fn cancel_timer(&mut self, timer: P::Timer) {
        self.timers.cancel(&timer);
    }

    /// Whether the timer is armed.
    pub fn is_timer_set(&self, timer: P::Timer) -> bool {
        self.timers.is_set(&timer)
    }

    /// States a fact of the run that is recorded at every level: a decision, a signature, a withdrawal.
    pub fn record(&mut self, record: Record) {
        self.effects.records.push(record);
    }

    /// Tells observers, at their level; costs nothing when they do not listen.
    pub fn emit(&mut self, level: Level, event: impl FnOnce() -> Event) {
        if self.level >= level {
            self.effects.events.push(event());
        }
    }

    /// Adds one to a counter. Volatile; named as in the source documents.
    pub fn count(&mut self, counter: &'static str) {
        *self.counters.get_or_default(Cow::Borrowed(counter)) += 1;
    }
}

/// A decoded and verified message, whatever its protocol: shared by all who receive the same packet.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Who signed it.
    pub from: NodeId,
    /// In which life.
    pub incarnation: crate::types::Incarnation,
    /// As which of that life's messages.
    pub counter: u64,
    /// How it is drawn.
    pub info: MessageInfo,
    pub(crate) message: Arc<dyn Any + Send + Sync>,
}

impl Opened {
    /// The message, if it is of this protocol.
    pub fn message<P: Protocol>(&self) -> Option<Arc<P::Message>> {
        self.message.clone().downcast().ok()
    }
}
