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
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec;
use crate::engine::{Context, Effects, Env, Input, Lie, Opened, Protocol, TimerInfo, Timers, To};
use crate::entropy::Prng;
use crate::envelope::{self, Header, Refusal, ReplayWindow};
use crate::event::{Event, EventKind, Level};
use crate::ordered::Map;
use crate::store::{AnyTable, META, RecoverError, Rows, WriteBatch};
use crate::types::{ClientId, Incarnation, InstanceId, NodeId, Round, Time};
use crate::view::{Glance, NodeView, Spec, ViewScope};

mod build;
mod outbox;
mod output;

pub use build::{BuildError, env};
pub use outbox::{GROUP_COMMIT_WRITES_MAX, GroupCommits, Outbox};
pub use output::{Outgoing, Output, Released};

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
    /// The same of one instance; `None` where the node has not heard of it.
    fn glance_of(&self, instance: InstanceId) -> Option<Glance>;
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
    /// When the last timer that is armed for a round of an instance is due: until then the round goes on by itself.
    fn round_ends(&self, instance: InstanceId) -> Option<Time>;
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
        Output::new(writes, held, self.batch)
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
        let held = Released {
            events,
            ..Released::default()
        };
        Output::new(writes, held, self.batch)
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

    fn glance_of(&self, instance: InstanceId) -> Option<Glance> {
        self.state.glance_of(instance)
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

    fn round_ends(&self, instance: InstanceId) -> Option<Time> {
        let is_meant = |timer: &P::Timer| {
            let info = P::timer_info(timer);
            info.instance == Some(instance) && info.round.is_some()
        };
        let due = self.timers.times().filter(|(timer, _)| is_meant(timer));
        due.map(|(_, at)| *at).max()
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
    Opened {
        from,
        incarnation: Incarnation(u32::MAX),
        counter: 1,
        info: crate::engine::MessageInfo::default(),
        message: Arc::new(message),
    }
}
