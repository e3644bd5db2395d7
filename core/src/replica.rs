//! A protocol wrapped into a node: envelope check, timers, write batch, and effects held until they may leave.
//!
//! ```text
//! bytes -> open -> Opened -> receive -> Protocol::handle -> Output { writes, held }
//!       -> the shell makes the writes durable -> Durable -> after_persist -> Released { sends, replies, ... }
//! ```
//!
//! *Getters* are `id`, `incarnation`, `deadline`, `revision`, `glance`, `view`, `counters`. *Inputs* are `start`,
//! `receive`, `request`, `fact`, `tick`: each is one step and returns an [`Output`]. Call `start` first and once; call
//! `tick` when `deadline` has passed, until it lies ahead.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::codec;
use crate::crypto::{Keyring, KeyringError, Signer};
use crate::engine::{
    Context, Effects, Env, Genesis, Input, Lie, MessageInfo, Opened, Protocol, TimerInfo, Timers,
    To,
};
use crate::entropy::Prng;
use crate::envelope::{self, Header, Refusal, ReplayWindow};
use crate::event::{Event, EventKind, Level, Record};
use crate::flaw;
use crate::ordered::Map;
use crate::store::{AnyTable, Durable, META, RecoverError, Rows, WriteBatch};
use crate::types::{ClientId, Incarnation, NodeId, Round, Time};
use crate::view::{Glance, NodeView, Spec, ViewScope};

/// A node of any protocol. Implemented once, by [`Node`].
pub trait Replica: Send + Sync {
    /// Which member this is.
    fn id(&self) -> NodeId;
    /// Which life this is.
    fn incarnation(&self) -> Incarnation;
    /// The protocol's shape.
    fn spec(&self) -> &'static Spec;
    /// When the next timer is due.
    fn deadline(&self) -> Option<Time>;
    /// Rises with every step.
    fn revision(&self) -> u64;
    /// The node at a glance.
    fn glance(&self) -> Glance;
    /// The node in full.
    fn view(&self, scope: ViewScope) -> NodeView;
    /// Counters since the start of this life, by name; refusals as `refused_<why>`.
    fn counters(&self) -> &Map<Cow<'static, str>, u64>;
    /// How many packets, requests and facts were refused since the start of this life.
    fn refused(&self) -> u64;
    /// How much observers want to hear.
    fn set_level(&mut self, level: Level);

    /// The first step of a life.
    fn start(&mut self, now: Time) -> Output;
    /// Decodes and verifies a packet. A pure function of genesis and bytes: one call serves every receiver.
    ///
    /// # Errors
    /// Why it is refused.
    fn open(&self, packet: &[u8]) -> Result<Opened, Refusal>;
    /// Handles a packet that was opened, or counts the refusal.
    fn receive(&mut self, now: Time, packet: Result<&Opened, Refusal>) -> Output;
    /// Handles a packet that may have been handled before, as if it had been sent again.
    fn receive_again(&mut self, now: Time, packet: &Opened) -> Output;
    /// The timer that is due first.
    fn due(&self) -> Option<TimerInfo>;
    /// The timers that are armed, in the order in which [`Replica::fire`] numbers them.
    fn armed(&self) -> Vec<TimerInfo>;
    /// Fires an armed timer, due or not.
    fn fire(&mut self, now: Time, armed: usize) -> Output;
    /// Handles a client's request: the bytes of the protocol's `Request`.
    fn request(&mut self, now: Time, client: ClientId, number: u64, request: &[u8]) -> Output;
    /// Handles a fact: the bytes of the protocol's `Fact`.
    fn fact(&mut self, now: Time, fact: &[u8]) -> Output;
    /// Fires the one timer that is due first, if one is.
    fn tick(&mut self, now: Time) -> Output;

    /// Another version of one of this node's packets, signed by its own key, as a liar sends it.
    fn lie(&mut self, packet: &[u8], lie: Lie) -> Option<Arc<[u8]>>;
    /// Checks that recovering from `rows` gives this node's durable state.
    ///
    /// # Errors
    /// What differs.
    fn check_recovery(&self, rows: &Rows) -> Result<(), String>;
    /// A copy, for checkpoints.
    fn clone_box(&self) -> Box<dyn Replica>;
}

/// A step's result: what must be written, and what may leave once it is.
#[must_use = "a node whose output is dropped loses messages"]
#[derive(Clone, Debug)]
pub struct Output {
    /// What this step changed; empty if nothing. Belongs to the node's store.
    pub writes: WriteBatch,
    held: Released,
    needs: u64,
}

impl Output {
    /// Whether the step left neither writes nor effects.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.held.is_empty()
    }

    /// What is held back, for whoever compares it.
    pub(crate) fn held(&self) -> &Released {
        &self.held
    }

    /// What may leave, once the store has proved that this step's writes, and all before them, are durable.
    ///
    /// # Panics
    /// If the proof is of another node, another life or an earlier batch: the shell has a bug.
    pub fn after_persist(self, durable: &Durable) -> Released {
        assert_eq!(
            durable.node,
            self.writes.node(),
            "the proof is of another node"
        );
        assert_eq!(
            durable.incarnation,
            self.writes.incarnation(),
            "the proof is of another life"
        );
        assert!(
            durable.number >= self.needs,
            "the proof is of an earlier batch"
        );
        self.held
    }
}

/// What leaves a node: taken out of an [`Output`] only with the proof that its writes are durable.
#[derive(Clone, Debug, Default)]
pub struct Released {
    /// Packets, sealed.
    pub sends: Vec<Outgoing>,
    /// Answers to clients: (client, request number, the bytes of the protocol's `Reply`).
    pub replies: Vec<(ClientId, u64, Vec<u8>)>,
    /// What the world outside is told: the bytes of the protocol's `Report`.
    pub reports: Vec<Vec<u8>>,
    /// What became true in this step.
    pub records: Vec<Record>,
    /// What observers are told.
    pub events: Vec<Event>,
}

impl Released {
    /// Whether nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.replies.is_empty()
            && self.reports.is_empty()
            && self.records.is_empty()
            && self.events.is_empty()
    }
}

/// A sealed packet and whom it goes to.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Whom it goes to.
    pub to: To,
    /// The sealed packet; one however many receive it.
    pub packet: Arc<[u8]>,
    /// How it is drawn.
    pub info: MessageInfo,
}

/// Outputs in order, and the writes that they wait for: the part of a shell that is easy to get wrong.
///
/// A shell pushes every output, takes the merged batch whenever its store is idle, and hands back the proof; what comes
/// out may leave. The node goes on handling input meanwhile.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Output>,
    batch: Option<WriteBatch>,
    durable: Option<Durable>,
    commits: GroupCommits,
}

/// How well steps share commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCommits {
    /// Batches that were taken to be committed.
    pub commits: u64,
    /// Steps that wrote; those of a batch share its commit.
    pub steps: u64,
}

/// The most writes that are merged into one commit.
pub const GROUP_COMMIT_WRITES_MAX: usize = 4096;

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Adds a step's output; returns what may leave at once, which is something only when no write is waiting.
    pub fn push(&mut self, mut output: Output) -> Option<Released> {
        if !output.writes.is_empty() {
            let writes = output.writes.clone();
            self.commits.steps += 1;
            match &mut self.batch {
                Some(batch) => batch.merge(writes),
                None => self.batch = Some(writes),
            }
        }
        match &self.durable {
            Some(durable) if self.waiting.is_empty() && durable.number >= output.needs => {
                Some(output.after_persist(durable))
            }
            _ => {
                output.writes.forget_writes();
                self.waiting.push_back(output);
                None
            }
        }
    }

    /// The writes to commit next, merged; the caller commits them in one transaction.
    pub fn take_batch(&mut self) -> Option<WriteBatch> {
        let batch = self.batch.take();
        self.commits.commits += u64::from(batch.is_some());
        batch
    }

    /// How many steps wrote so far, and how many commits they made.
    pub fn group_commits(&self) -> GroupCommits {
        self.commits
    }

    /// Whether the next batch is at its limit, so that the shell should commit before it handles more input.
    pub fn is_full(&self) -> bool {
        self.batch
            .as_ref()
            .is_some_and(|batch| batch.writes().len() >= GROUP_COMMIT_WRITES_MAX)
    }

    /// Notes that a batch is durable; returns what may leave now, in order.
    pub fn durable(&mut self, durable: Durable) -> Vec<Released> {
        self.durable = Some(durable);
        let ready = self
            .waiting
            .iter()
            .take_while(|output| output.needs <= durable.number)
            .count();
        self.waiting
            .drain(..ready)
            .map(|output| output.after_persist(&durable))
            .collect()
    }
}

/// A protocol's state machine as a node.
#[derive(Clone)]
pub struct Node<P: Protocol> {
    env: Arc<Env<P>>,
    state: P,
    timers: Timers<P::Timer>,
    windows: Map<NodeId, ReplayWindow>,
    counters: Map<Cow<'static, str>, u64>,
    refused: u64,
    entropy: Prng,
    incarnation: Incarnation,
    counter: u64,
    batch: u64,
    revision: u64,
    level: Level,
}

impl<P: Protocol> Node<P> {
    /// Opens a node from its rows; a store without rows is a new node.
    ///
    /// `entropy` makes the stream of this life, given its incarnation.
    ///
    /// # Errors
    /// When the rows do not give a state back.
    pub fn open(
        env: Env<P>,
        rows: &Rows,
        entropy: impl FnOnce(Incarnation) -> Prng,
    ) -> Result<Node<P>, RecoverError> {
        let Incarnation(last) = last_incarnation(rows)?;
        let incarnation = Incarnation(last.checked_add(1).ok_or(RecoverError::Exhausted)?);
        let state = P::recover(&env, rows)?;
        Ok(Node {
            env: Arc::new(env),
            state,
            timers: Timers::new(),
            windows: Map::new(),
            counters: Map::new(),
            refused: 0,
            entropy: entropy(incarnation),
            incarnation,
            counter: 0,
            batch: 0,
            revision: 0,
            level: Level::default(),
        })
    }

    /// The protocol's state.
    pub fn state(&self) -> &P {
        &self.state
    }

    fn step(&mut self, now: Time, input: Input<P>, events: Vec<Event>) -> Output {
        let env = self.env.clone();
        let mut effects = Effects {
            events,
            ..Effects::default()
        };
        let is_start = matches!(input, Input::Start);
        let mut cx = Context {
            env: &env,
            now,
            level: self.level,
            entropy: &mut self.entropy,
            timers: &mut self.timers,
            counters: &mut self.counters,
            effects: &mut effects,
        };
        self.state.handle(&mut cx, input);
        self.revision += 1;
        self.state.invariants(&env);

        let mut writes = WriteBatch::new(env.id, self.incarnation, self.batch);
        if is_start {
            // Raised before anything is sent: a life that was never written down cannot be told from its successor.
            writes.record(META, INCARNATION_KEY.to_vec(), Some(&self.incarnation.0));
        }
        self.state
            .tables(&mut |table: &mut dyn AnyTable| table.drain(&mut writes));
        if !writes.is_empty() {
            self.batch += 1;
            writes.close(self.batch);
        }
        let held = self.release(effects);
        Output {
            writes,
            held,
            needs: self.batch,
        }
    }

    fn release(&mut self, effects: Effects<P>) -> Released {
        let Effects {
            sends,
            replies,
            reports,
            records,
            mut events,
        } = effects;
        let mut outgoing = Vec::with_capacity(sends.len());
        for (to, message) in sends {
            let info = P::describe(&message);
            if self.level >= Level::Full {
                let mut event =
                    Event::new(EventKind::MessageSent(info.kind), info.instance, info.round)
                        .value(info.value);
                if let To::Node(peer) = to {
                    event = event.peer(peer);
                }
                events.push(event);
            }
            outgoing.push(Outgoing {
                to,
                packet: self.seal(&message),
                info,
            });
        }
        Released {
            sends: outgoing,
            replies: replies
                .into_iter()
                .map(|(client, number, reply)| (client, number, codec::encode(&reply)))
                .collect(),
            reports: reports.iter().map(codec::encode).collect(),
            records,
            events,
        }
    }

    fn seal(&mut self, message: &P::Message) -> Arc<[u8]> {
        self.counter += 1;
        let header = Header {
            protocol: P::TAG,
            genesis: self.env.genesis,
            sender: self.env.id,
            incarnation: self.incarnation,
            counter: self.counter,
        };
        envelope::seal(&header, &codec::encode(message), &self.env.signer).into()
    }

    fn heard(&self, packet: &Opened) -> Vec<Event> {
        let mut events = Vec::new();
        if self.level >= Level::Full {
            let info = &packet.info;
            let kind = EventKind::MessageDelivered(info.kind);
            let event = Event::new(kind, info.instance, info.round);
            events.push(event.value(info.value).peer(packet.from));
        }
        events
    }

    fn timeout(&mut self, now: Time, timer: P::Timer) -> Output {
        let mut events = Vec::new();
        if self.level >= Level::Full {
            events.push(Event::new(EventKind::TimerFired, None, Round(0)));
        }
        self.step(now, Input::Timeout(timer), events)
    }

    fn refuse(&mut self, why: &Refusal) -> Output {
        self.count_refusal(why.name());
        let mut events = Vec::new();
        if self.level >= Level::Protocol {
            events.push(Event::new(EventKind::Refused, None, Round(0)));
        }
        self.idle(events)
    }

    fn count_refusal(&mut self, why: &'static str) {
        self.refused += 1;
        *self
            .counters
            .get_or_default(Cow::Owned(format!("refused_{why}"))) += 1;
    }

    fn idle(&mut self, events: Vec<Event>) -> Output {
        self.revision += 1;
        let writes = WriteBatch::new(self.env.id, self.incarnation, self.batch);
        Output {
            writes,
            held: Released {
                events,
                ..Released::default()
            },
            needs: self.batch,
        }
    }

    fn admit(&mut self, opened: &Opened) -> Result<Arc<P::Message>, Refusal> {
        if opened.from == self.env.id {
            return Err(Refusal::OwnMessage);
        }
        self.windows
            .get_or_default(opened.from)
            .note(opened.incarnation, opened.counter)?;
        opened.message::<P>().ok_or(Refusal::WrongProtocol(0))
    }
}

const INCARNATION_KEY: &[u8] = b"incarnation";

/// The life in which these rows were written last; 0 if there was none.
///
/// # Errors
/// If the row does not decode.
pub fn last_incarnation(rows: &Rows) -> Result<Incarnation, RecoverError> {
    match rows.get(META, INCARNATION_KEY) {
        None => Ok(Incarnation(0)),
        Some(bytes) => codec::decode(bytes)
            .map(Incarnation)
            .map_err(|_| RecoverError::Corrupt { table: "meta" }),
    }
}

impl<P: Protocol> Replica for Node<P> {
    fn id(&self) -> NodeId {
        self.env.id
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn spec(&self) -> &'static Spec {
        P::spec()
    }

    fn deadline(&self) -> Option<Time> {
        self.timers.deadline()
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn glance(&self) -> Glance {
        self.state.glance()
    }

    fn view(&self, scope: ViewScope) -> NodeView {
        self.state.view(&self.env, scope)
    }

    fn counters(&self) -> &Map<Cow<'static, str>, u64> {
        &self.counters
    }

    fn refused(&self) -> u64 {
        self.refused
    }

    fn set_level(&mut self, level: Level) {
        self.level = level;
    }

    fn start(&mut self, now: Time) -> Output {
        assert_eq!(self.revision, 0, "a life starts once");
        self.step(now, Input::Start, Vec::new())
    }

    fn open(&self, packet: &[u8]) -> Result<Opened, Refusal> {
        let env = &self.env;
        let (header, payload) = envelope::open(packet, P::TAG, &env.genesis, &env.keyring)?;
        let message: P::Message = codec::decode(payload).map_err(Refusal::Malformed)?;
        P::check(env, header.sender, &message).map_err(Refusal::Invalid)?;
        Ok(Opened {
            from: header.sender,
            incarnation: header.incarnation,
            counter: header.counter,
            info: P::describe(&message),
            message: Arc::new(message),
        })
    }

    fn receive(&mut self, now: Time, packet: Result<&Opened, Refusal>) -> Output {
        let admitted = packet.and_then(|opened| Ok((opened, self.admit(opened)?)));
        match admitted {
            Err(why) => self.refuse(&why),
            Ok((opened, message)) => {
                let from = opened.from;
                self.step(now, Input::Message { from, message }, self.heard(opened))
            }
        }
    }

    fn receive_again(&mut self, now: Time, packet: &Opened) -> Output {
        let Some(message) = packet.message::<P>() else {
            return self.refuse(&Refusal::Malformed(codec::CodecError::Malformed));
        };
        let from = packet.from;
        self.step(now, Input::Message { from, message }, self.heard(packet))
    }

    fn due(&self) -> Option<TimerInfo> {
        self.timers.first().map(|timer| P::timer_info(&timer))
    }

    fn armed(&self) -> Vec<TimerInfo> {
        let armed = self.timers.armed();
        armed.map(|timer| P::timer_info(&timer)).collect()
    }

    fn fire(&mut self, now: Time, armed: usize) -> Output {
        let Some(timer) = self.timers.armed().nth(armed) else {
            return self.idle(Vec::new());
        };
        self.timers.cancel(&timer);
        self.timeout(now, timer)
    }

    fn request(&mut self, now: Time, client: ClientId, number: u64, request: &[u8]) -> Output {
        match codec::decode(request) {
            Ok(request) => self.step(
                now,
                Input::Request {
                    client,
                    number,
                    request,
                },
                Vec::new(),
            ),
            Err(error) => self.refuse(&Refusal::Malformed(error)),
        }
    }

    fn fact(&mut self, now: Time, fact: &[u8]) -> Output {
        match codec::decode(fact) {
            Ok(fact) => self.step(now, Input::Fact(fact), Vec::new()),
            Err(error) => self.refuse(&Refusal::Malformed(error)),
        }
    }

    fn tick(&mut self, now: Time) -> Output {
        match self.timers.pop_due(now) {
            None => self.idle(Vec::new()),
            Some(timer) => self.timeout(now, timer),
        }
    }

    fn lie(&mut self, packet: &[u8], lie: Lie) -> Option<Arc<[u8]>> {
        let env = self.env.clone();
        let (_, payload) = envelope::open(packet, P::TAG, &env.genesis, &env.keyring).ok()?;
        let message: P::Message = codec::decode(payload).ok()?;
        let other = self.state.lie(&env, &message, lie)?;
        Some(self.seal(&other))
    }

    fn check_recovery(&self, rows: &Rows) -> Result<(), String> {
        let mut recovered = P::recover(&self.env, rows).map_err(|error| format!("{error}"))?;
        let mut live = self.state.clone();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        recovered.tables(&mut |table| table.dump(&mut found));
        live.tables(&mut |table| table.dump(&mut expected));
        match expected.iter().zip(&found).find(|(a, b)| a != b) {
            None if expected.len() == found.len() => Ok(()),
            None => Err(format!(
                "{} rows recovered, {} are live",
                found.len(),
                expected.len()
            )),
            Some((live, stored)) => Err(format!(
                "table {:?}: live {live:02x?}, recovered {stored:02x?}",
                live.0
            )),
        }
    }

    fn clone_box(&self) -> Box<dyn Replica> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
impl<P: Protocol> Node<P> {
    /// One step of any input, as a test sees fit.
    pub(crate) fn step_for_tests(&mut self, now: Time, input: Input<P>) -> Output {
        self.step(now, input, Vec::new())
    }
}

/// A message as if it had been opened: verified, of a life that no window knows.
#[cfg(test)]
pub(crate) fn opened_for_tests<M: Send + Sync + 'static>(from: NodeId, message: M) -> Opened {
    let info = MessageInfo::default();
    Opened {
        from,
        incarnation: Incarnation(u32::MAX),
        counter: 1,
        info,
        message: Arc::new(message),
    }
}

/// Prepares a node's environment from the genesis.
///
/// # Errors
/// See [`BuildError`].
pub fn env<P: Protocol>(
    genesis: &Genesis,
    id: NodeId,
    signer: Signer,
) -> Result<Env<P>, BuildError> {
    let keyring = Keyring::new(genesis.crypto, &genesis.members).map_err(BuildError::Keyring)?;
    let config: P::Config = codec::decode(&genesis.config)
        .map_err(|_| BuildError::Config("not of this protocol".into()))?;
    let flaws = flaw::check::<P>(genesis.rules, &genesis.flaws).map_err(BuildError::Config)?;
    P::check_config(&config, &genesis.members, genesis.rules, flaws).map_err(BuildError::Config)?;
    let shared = Env {
        id,
        rules: genesis.rules,
        flaws,
        genesis: genesis.hash(),
        keyring: Arc::new(keyring),
        config: Arc::new(config),
        signer,
    };
    shared.check_identity(genesis)
}

impl<P: Protocol> Env<P> {
    /// The same cluster as another member sees it.
    ///
    /// # Errors
    /// `NotAMember` if the key is not the one that genesis registers for this id.
    pub fn for_member(
        &self,
        genesis: &Genesis,
        id: NodeId,
        signer: Signer,
    ) -> Result<Env<P>, BuildError> {
        Env {
            id,
            signer,
            ..self.clone()
        }
        .check_identity(genesis)
    }

    fn check_identity(self, genesis: &Genesis) -> Result<Env<P>, BuildError> {
        let registered = genesis.members.iter().find(|member| member.id == self.id);
        match registered {
            Some(member) if member.key == self.signer.public() => Ok(self),
            _ => Err(BuildError::NotAMember { node: self.id }),
        }
    }
}

/// Why a node cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The members cannot be a keyring.
    Keyring(KeyringError),
    /// The parameters make no sense.
    Config(String),
    /// The key is not the one registered for this id.
    NotAMember {
        /// The id.
        node: NodeId,
    },
    /// The store does not give a state back.
    Recover(RecoverError),
    /// No protocol has this tag.
    UnknownProtocol(u8),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Keyring(error) => error.fmt(f),
            BuildError::Config(what) => f.write_str(what),
            BuildError::NotAMember { node } => write!(
                f,
                "the key is not the one that genesis registers for {node}"
            ),
            BuildError::Recover(error) => error.fmt(f),
            BuildError::UnknownProtocol(tag) => write!(f, "no protocol has the tag {tag}"),
        }
    }
}

impl core::error::Error for BuildError {}
