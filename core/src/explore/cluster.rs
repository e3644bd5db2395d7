//! A cluster of the nodes that ship, as a model: the very code of [`Protocol::handle`], under every schedule.
//!
//! What is abstracted, and what that means:
//! - *Untimed.* Any armed timer may fire next. Bounds say which: see [`Bounds`].
//! - *The network is the set of all messages ever sent.* Any of them may arrive anywhere it is addressed to, at any
//!   time, again and again. Loss is a message that never arrives, delay one that arrives late, so that neither needs a
//!   budget.
//! - *Envelopes are stripped*; replay windows and counters with them. Inner signatures stay: a keyed hash per member.
//! - *Crashes lose what is not in tables.* A node that stays down is one that nothing happens to any more; a crash is
//!   therefore a restart: between two steps, or after a step is durable and before it has sent. A crash before handling
//!   is one between steps, since the message can arrive again.
//! - *The world outside* shows each node its view at the start of every life, and then the views that the scenario
//!   says, in that order and at any time. What nodes report to it changes nothing.
//! - Random draws give the number of the node's life: those of the protocols here only spread load and time.
//!
//! Two things make it fast. A step of one node depends on its own state and the input alone, and far fewer of these
//! pairs exist than states of the cluster: each is computed once. And a step that sends nothing and says nothing is
//! *quiet*: nobody but the node can tell when it happens, and nothing that others do takes it away, so that it is only
//! ever taken together with a step of the same node that somebody hears. What is checked is what was sent and said;
//! no quiet step changes that, so that no violation is missed. (Layers count moves: any quiet steps and one heard one.)

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use serde::Serialize;

use super::fingerprint::Fingerprint;
use super::memo::Memo;
use super::{Model, Property, Visitor};
use crate::codec;
use crate::crypto::{Crypto, Signer};
use crate::engine::{Context, Effects, Env, Input, MessageInfo, Opened, Protocol, Timers, To};
use crate::entropy::Entropy;
use crate::environment::Environment;
use crate::event::{Level, RecordKind};
use crate::oracle::Oracle;
use crate::ordered::{Map, Set};
use crate::protocol::{Simulated, simulated_genesis, with_protocol};
use crate::replica;
use crate::scenario::{Act, At, CrashPoint, Scenario, Selector, member_seed, script};
use crate::store::{Rows, TableId, WriteBatch};
use crate::types::{ClientId, Hash32, Incarnation, InstanceId, NodeId, Time};

/// How much of a cluster's behaviour is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// Timers of rounds from this one on do not fire.
    pub rounds: u32,
    /// How often nodes crash, all together.
    pub crashes: u8,
    /// How often timers fire that belong to no round, such as the tick of anti-entropy, all together.
    pub housekeeping: u8,
    /// How often a node is asked again what it was asked before, all together.
    pub repeats: u8,
    /// Whether a request may arrive after messages did. Without it every node is asked at the very start.
    pub late_requests: bool,
    /// Whether a node goes on hearing of an instance that it decided. Without it a decided instance is at rest there,
    /// and how it came to its decision is forgotten; that decisions never change is then for smaller searches to show.
    pub beyond_decisions: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            rounds: 2,
            crashes: 1,
            housekeeping: 0,
            repeats: 0,
            late_requests: false,
            beyond_decisions: false,
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rounds below {}, {} crashes, {} housekeeping timers, {} repeated requests",
            self.rounds, self.crashes, self.housekeeping, self.repeats
        )?;
        if !self.late_requests {
            write!(f, ", requests come first")?;
        }
        if !self.beyond_decisions {
            write!(f, ", a decided instance is at rest")?;
        }
        Ok(())
    }
}

/// What a node said that counts, in any of its lives.
type Said = (RecordKind, InstanceId, Option<Hash32>);

/// One node: its protocol's state, and what the checker must know besides.
pub struct Local<P: Protocol> {
    state: P,
    armed: Set<P::Timer>,
    life: u8,
    /// Which of its views it was shown last.
    view: u8,
    said: Set<Said>,
    /// Of all of the above.
    print: Fingerprint,
    /// What tells it apart in a state of the cluster: of an instance at rest, only how it ended.
    face: Fingerprint,
    said_print: Fingerprint,
    /// Whether recovering from the tables gives the live durable state.
    recovers: bool,
    /// Whether everything that was asked is decided here, and that is the end of it.
    at_rest: bool,
}

impl<P: Protocol> Local<P> {
    /// The protocol's state.
    pub fn state(&self) -> &P {
        &self.state
    }

    fn decided(&self, instance: InstanceId) -> bool {
        let from = (RecordKind::Decided, instance, None);
        let said = self.said.range(from..).next();
        said.is_some_and(|(kind, of, _)| (*kind, *of) == (RecordKind::Decided, instance))
    }
}

/// A message on its way.
pub struct Packet<P: Protocol> {
    /// Sent by.
    pub from: NodeId,
    /// Addressed to.
    pub to: To,
    /// What it says.
    pub message: Arc<P::Message>,
    /// How it is drawn.
    pub info: MessageInfo,
    print: Fingerprint,
    /// Whether receivers accept it.
    valid: bool,
}

/// All messages ever sent, by fingerprint.
struct Sent<P: Protocol> {
    packets: Vec<Arc<Packet<P>>>,
    /// The sum of their fingerprints.
    sum: [u64; 2],
}

impl<P: Protocol> Sent<P> {
    fn has(&self, packet: &Packet<P>) -> bool {
        let order = |held: &Arc<Packet<P>>| held.print.cmp(&packet.print);
        self.packets.binary_search_by(order).is_ok()
    }

    fn add(&mut self, packet: &Arc<Packet<P>>) {
        let order = |held: &Arc<Packet<P>>| held.print.cmp(&packet.print);
        if let Err(at) = self.packets.binary_search_by(order) {
            self.packets.insert(at, packet.clone());
            for (sum, part) in self.sum.iter_mut().zip(packet.print.0) {
                *sum = sum.wrapping_add(part);
            }
        }
    }
}

impl<P: Protocol> Clone for Sent<P> {
    fn clone(&self) -> Self {
        Sent {
            packets: self.packets.clone(),
            sum: self.sum,
        }
    }
}

/// A state of the whole cluster.
pub struct World<P: Protocol> {
    nodes: Vec<Arc<Local<P>>>,
    sent: Arc<Sent<P>>,
    used: Used,
    judged: Judged,
}

impl<P: Protocol> World<P> {
    /// The nodes, in id order.
    pub fn nodes(&self) -> impl Iterator<Item = &Local<P>> {
        self.nodes.iter().map(AsRef::as_ref)
    }
}

impl<P: Protocol> Clone for World<P> {
    fn clone(&self) -> Self {
        World {
            nodes: self.nodes.clone(),
            sent: self.sent.clone(),
            used: self.used,
            judged: self.judged,
        }
    }
}

impl<P: Protocol> Hash for World<P> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for node in &self.nodes {
            node.face.hash(state);
        }
        self.sent.sum.hash(state);
        self.used.hash(state);
    }
}

/// What was used up of the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Used {
    crashes: u8,
    housekeeping: u8,
    repeats: u8,
    /// One bit per request and node.
    asked: u64,
}

/// What the oracle says of what was sent and said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judged {
    broken: Option<&'static str>,
    ended: bool,
}

/// What may happen: quiet steps of a node, and then one that is heard.
pub struct Action<P: Protocol> {
    /// To which node.
    pub node: NodeId,
    /// What, in order.
    pub steps: Arc<[What<P>]>,
    /// Whether the node crashes when the last step is durable, before it has sent.
    pub crash: bool,
    /// Where it leads.
    step: Arc<Step<P>>,
}

/// What may happen to a node.
pub enum What<P: Protocol> {
    /// A client asks; the number of the request in the scenario.
    Submit(usize),
    /// A message arrives.
    Deliver(Arc<Packet<P>>),
    /// A timer fires.
    Fire(P::Timer),
    /// It is shown the next of its views of the world.
    See(u8),
    /// It crashes between two steps, and starts again.
    Restart,
}

impl<P: Protocol> Clone for Action<P> {
    fn clone(&self) -> Self {
        Action {
            node: self.node,
            steps: self.steps.clone(),
            crash: self.crash,
            step: self.step.clone(),
        }
    }
}

impl<P: Protocol> Clone for What<P> {
    fn clone(&self) -> Self {
        match self {
            What::Submit(request) => What::Submit(*request),
            What::Deliver(packet) => What::Deliver(packet.clone()),
            What::Fire(timer) => What::Fire(*timer),
            What::See(view) => What::See(*view),
            What::Restart => What::Restart,
        }
    }
}

impl<P: Protocol> fmt::Debug for Action<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}: ", self.node.0)?;
        for (index, what) in self.steps.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{what}")?;
        }
        if self.crash {
            write!(f, ", crashes before it sends, and restarts")?;
        }
        Ok(())
    }
}

impl<P: Protocol> fmt::Display for What<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Submit(request) => write!(f, "is asked (request {request})"),
            What::Deliver(packet) => {
                let name = kind_name::<P>(packet.info);
                let (round, from) = (packet.info.round.0, packet.from.0);
                write!(f, "receives {name} of round {round} from node {from}")
            }
            What::Fire(timer) => {
                let info = P::timer_info(timer);
                write!(f, "hears its {} timer", info.name)?;
                info.round
                    .map_or(Ok(()), |round| write!(f, " in round {}", round.0))
            }
            What::See(_) => write!(f, "sees the world change"),
            What::Restart => write!(f, "crashes and restarts"),
        }
    }
}

fn kind_name<P: Protocol>(info: MessageInfo) -> &'static str {
    let kinds = P::spec().messages;
    kinds
        .get(usize::from(info.kind))
        .map_or("a message", |kind| kind.name)
}

/// What the nodes see of the world, and the act that made it so.
struct View<P: Protocol> {
    seen: Vec<Option<P::Fact>>,
    act: Option<Act>,
}

/// What a node's state does not hold of its past.
struct History {
    life: u8,
    view: u8,
    said: Set<Said>,
}

impl Default for History {
    fn default() -> Self {
        History {
            life: 1,
            view: 0,
            said: Set::new(),
        }
    }
}

/// What a step of one node gives.
struct Step<P: Protocol> {
    local: Arc<Local<P>>,
    sends: Vec<Arc<Packet<P>>>,
}

/// A cluster of one protocol within bounds.
pub struct Cluster<P: Protocol> {
    envs: Vec<Env<P>>,
    oracle: fn(&Env<P>) -> Box<dyn Oracle>,
    /// What it was made of.
    scenario: Scenario,
    /// What each node is shown: at first, and then with each change, which the act says.
    views: Vec<View<P>>,
    requests: Vec<(Vec<NodeId>, P::Request)>,
    liars: Set<NodeId>,
    promise: Option<&'static str>,
    /// Whether quiet steps are left for later; always, but where a test compares.
    defers: bool,
    bounds: Bounds,
    properties: Vec<Property<Cluster<P>>>,
    steps: Memo<(Fingerprint, Fingerprint), Option<Arc<Step<P>>>>,
    moves: Memo<(Fingerprint, Fingerprint), Arc<[Action<P>]>>,
    verdicts: Memo<Fingerprint, Judged>,
}

/// Draws for the checker.
struct Least(u8);

impl Entropy for Least {
    fn below(&mut self, bound: u64) -> u64 {
        u64::from(self.0) % bound
    }
}

impl<P: Simulated> Cluster<P> {
    /// The cluster that a scenario describes. Of what is done to a run, requests, changes of views and liars are taken;
    /// their times are not.
    ///
    /// # Errors
    /// What the checker cannot do with it.
    pub fn new(scenario: &Scenario, bounds: Bounds) -> Result<Cluster<P>, String> {
        let given = scenario;
        let mut scenario = given.clone();
        // Signatures are symbols here: a keyed hash says who signed what, and nobody computes another's.
        scenario.crypto = Crypto::Simulated;
        scenario.check()?;
        let genesis = simulated_genesis(&scenario);
        let build = |id| {
            let signer = Signer::from_seed(genesis.crypto, &member_seed(id));
            replica::env::<P>(&genesis, id, signer).map_err(|error| format!("{error}"))
        };
        let envs = scenario.ids().map(build).collect::<Result<Vec<_>, _>>()?;
        let mut world = scenario.protocol.environment(&scenario);
        let (mut requests, mut liars) = (Vec::new(), Set::new());
        let (mut views, mut change_act) = (Vec::new(), None);
        let see = |world: &mut dyn Environment, id| {
            let fact = world.full_view(Time::ZERO, id)?;
            Some(codec::decode(&fact).expect("the world tells facts of this protocol"))
        };
        for entry in &scenario.interventions {
            match &entry.act {
                Act::Submit { to, request } => {
                    let request = codec::decode(request)
                        .map_err(|_| String::from("a request is not of this protocol"))?;
                    requests.push((to.clone(), request));
                }
                Act::Fact { node, change } => {
                    let at_first = entry.at == At::Time(Time::ZERO);
                    if !at_first && node.is_none() {
                        return Err(String::from(
                            "fact: the checker shows changes to one node at a time; expected node",
                        ));
                    }
                    if !at_first {
                        let seen = scenario.ids().map(|id| see(world.as_mut(), id)).collect();
                        views.push(View {
                            seen,
                            act: change_act.take(),
                        });
                        change_act = Some(entry.act.clone());
                    }
                    world.change(Time::ZERO, *node, change)?;
                }
                Act::Byzantine { node, .. } => {
                    liars.insert(*node);
                }
                Act::Disk { .. } => {
                    return Err(String::from(
                        "disk: the checker's disks neither fail nor lose",
                    ));
                }
                // When nodes crash and which messages arrive when is what the checker tries out.
                _ => {}
            }
        }
        if requests.len() * envs.len() > 64 {
            return Err(format!(
                "{} requests to {} nodes: expected at most 64 pairs",
                requests.len(),
                envs.len()
            ));
        }
        let seen = scenario.ids().map(|id| see(world.as_mut(), id)).collect();
        views.push(View {
            seen,
            act: change_act,
        });
        Ok(Cluster {
            envs,
            oracle: P::oracle,
            scenario: given.clone(),
            views,
            requests,
            liars,
            promise: None,
            defers: true,
            bounds,
            properties: Vec::new(),
            steps: Memo::new(),
            moves: Memo::new(),
            verdicts: Memo::new(),
        })
    }

    /// Looks for a breach of this invariant alone: a flaw often breaks another on the way.
    pub fn only(mut self, promise: &'static str) -> Cluster<P> {
        self.promise = Some(promise);
        self
    }

    /// Asks besides that every instance ends at every node, on every fair path that the bound on rounds does not cut.
    pub fn and_ends(mut self) -> Cluster<P> {
        self.properties = Vec::from([Property::eventually(
            "every event ends",
            |cluster: &Cluster<P>, world: &World<P>| world.judged.ended || cluster.is_cut(world),
        )]);
        self
    }
}

impl<P: Protocol> Cluster<P> {
    /// Its bounds.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn env(&self, node: NodeId) -> &Env<P> {
        &self.envs[usize::from(node.0) - 1]
    }

    /// Whether a timer is armed that the bounds forbid to fire.
    fn is_cut(&self, world: &World<P>) -> bool {
        let too_late = |timer: &P::Timer| {
            P::timer_info(timer)
                .round
                .is_some_and(|round| round.0 >= self.bounds.rounds)
        };
        world
            .nodes
            .iter()
            .any(|local| local.armed.iter().any(too_late))
    }

    fn view(&self, env: &Env<P>, view: u8) -> Option<&P::Fact> {
        let seen = &self.views[usize::from(view)].seen;
        seen[usize::from(env.id.0) - 1].as_ref()
    }

    /// The next of a node's views that differs from the one that it sees.
    fn next_view(&self, env: &Env<P>, local: &Local<P>) -> Option<u8> {
        let seen = self.view(env, local.view);
        (local.view + 1..self.views.len() as u8).find(|view| self.view(env, *view) != seen)
    }

    /// The first step of a life, from rows.
    fn start(&self, env: &Env<P>, rows: &Rows, history: History) -> Step<P> {
        let state = P::recover(env, rows).expect("a state's own rows give it back");
        let mut inputs = Vec::from([Input::Start]);
        inputs.extend(self.view(env, history.view).cloned().map(Input::Fact));
        self.run(env, state, Timers::new(), history, inputs)
    }

    fn step(&self, env: &Env<P>, local: &Local<P>, what: &What<P>) -> Option<Step<P>> {
        let mut history = History {
            life: local.life,
            view: local.view,
            said: local.said.clone(),
        };
        let mut timers = Timers::new();
        for timer in local.armed.iter() {
            timers.set(*timer, Time::ZERO);
        }
        let input = match what {
            What::Submit(request) => Input::Request {
                client: ClientId(1),
                number: *request as u64 + 1,
                request: self.requests[*request].1.clone(),
            },
            What::Deliver(packet) => {
                if !packet.valid {
                    return None;
                }
                Input::Message {
                    from: packet.from,
                    message: packet.message.clone(),
                }
            }
            What::Fire(timer) => {
                timers.cancel(timer);
                Input::Timeout(*timer)
            }
            What::See(view) => {
                history.view = *view;
                Input::Fact(self.view(env, *view)?.clone())
            }
            What::Restart => {
                history.life = history.life.saturating_add(1);
                return Some(self.start(env, &rows(&local.state), history));
            }
        };
        let state = local.state.clone();
        let step = self.run(env, state, timers, history, Vec::from([input]));
        (step.local.print != local.print || !step.sends.is_empty()).then_some(step)
    }

    fn run(
        &self,
        env: &Env<P>,
        mut state: P,
        mut timers: Timers<P::Timer>,
        history: History,
        inputs: Vec<Input<P>>,
    ) -> Step<P> {
        let History {
            life,
            view,
            mut said,
        } = history;
        let mut effects = Effects::default();
        let mut counters = Map::new();
        for input in inputs {
            let mut cx = Context {
                env,
                now: Time::ZERO,
                level: Level::None,
                entropy: &mut Least(life),
                timers: &mut timers,
                counters: &mut counters,
                effects: &mut effects,
            };
            state.handle(&mut cx, input);
        }
        if env.is_hardened() {
            state.invariants(env);
        }
        let mut written = WriteBatch::new(env.id, Incarnation(1), 1);
        state.tables(&mut |table| table.drain(&mut written));
        said.extend(
            effects
                .records
                .iter()
                .map(|record| (record.kind, record.instance, record.value)),
        );
        let mut sends = Vec::new();
        for (to, message) in effects.sends {
            let other = if self.liars.contains(&env.id) {
                state.equivocate(env, &message)
            } else {
                None
            };
            sends.push(self.packet(env, to, message));
            sends.extend(other.map(|other| self.packet(env, to, other)));
        }
        let armed: Set<P::Timer> = timers.armed().collect();
        let said_print = Fingerprint::of(&said);
        let at_rest = !self.bounds.beyond_decisions && self.has_decided_all(&said);
        let print = Fingerprint::of(&(env.id, &state, &armed, life, view, said_print));
        let face = if at_rest {
            Fingerprint::of(&(env.id, life, view, said_print))
        } else {
            print
        };
        let recovers = recovers(env, &state);
        let local = Local {
            state,
            armed,
            life,
            view,
            said,
            print,
            face,
            said_print,
            recovers,
            at_rest,
        };
        Step {
            local: Arc::new(local),
            sends,
        }
    }

    /// Whether each request's instance is decided.
    fn has_decided_all(&self, said: &Set<Said>) -> bool {
        let decided = said
            .iter()
            .filter(|(kind, ..)| *kind == RecordKind::Decided);
        decided.count() >= self.requests.len()
    }

    fn packet(&self, env: &Env<P>, to: To, message: P::Message) -> Arc<Packet<P>> {
        let bytes = codec::encode(&message);
        Arc::new(Packet {
            from: env.id,
            to,
            info: P::describe(&message),
            print: Fingerprint::of(&(env.id, to, bytes.as_slice())),
            valid: P::check(env, env.id, &message).is_ok(),
            message: Arc::new(message),
        })
    }

    fn step_once(&self, local: &Local<P>, node: NodeId, what: &What<P>) -> Option<Arc<Step<P>>> {
        let input = match what {
            What::Submit(request) => Fingerprint::of(&("submit", request)),
            What::Deliver(packet) => packet.print,
            What::Fire(timer) => Fingerprint::of(&("fire", timer)),
            What::See(view) => Fingerprint::of(&("see", view)),
            What::Restart => Fingerprint::of("restart"),
        };
        let key = (local.print, input);
        self.steps.get_or_make(&key, || {
            self.step(self.env(node), local, what).map(Arc::new)
        })
    }

    fn judge(&self, world: &mut World<P>) {
        if world.nodes.iter().any(|local| !local.recovers) {
            world.judged.broken = Some("recovery");
            return;
        }
        let said: Vec<Fingerprint> = world.nodes.iter().map(|local| local.said_print).collect();
        let key = Fingerprint::of(&(world.sent.sum, said));
        world.judged = self.verdicts.get_or_make(&key, || self.ask_oracle(world));
    }

    fn ask_oracle(&self, world: &World<P>) -> Judged {
        let mut oracle = (self.oracle)(&self.envs[0]);
        for liar in self.liars.iter() {
            oracle.on_byzantine(*liar);
        }
        for packet in &world.sent.packets {
            let opened = Opened {
                from: packet.from,
                incarnation: Incarnation(1),
                counter: 1,
                info: packet.info,
                message: packet.message.clone(),
            };
            oracle.on_send(Time::ZERO, packet.from, &opened);
        }
        for (env, local) in self.envs.iter().zip(&world.nodes) {
            for (kind, instance, value) in local.said.iter() {
                let record = crate::event::Record {
                    kind: *kind,
                    instance: *instance,
                    value: *value,
                    round: crate::types::Round(0),
                };
                oracle.on_record(Time::ZERO, env.id, &record);
            }
        }
        let verdicts = oracle.verdicts().into_iter();
        let mut asked =
            verdicts.filter(|verdict| self.promise.is_none_or(|promise| promise == verdict.name));
        let broken = asked.find(|verdict| !verdict.holds);
        Judged {
            broken: broken.map(|verdict| verdict.name),
            ended: oracle.liveness().iter().all(|verdict| verdict.holds),
        }
    }
}

impl<P: Protocol> Model for Cluster<P> {
    type State = World<P>;
    type Action = Action<P>;

    fn init(&self) -> Vec<World<P>> {
        let mut sent = Sent {
            packets: Vec::new(),
            sum: [0; 2],
        };
        let mut nodes = Vec::new();
        let mut used = Used::default();
        for env in &self.envs {
            let step = self.start(env, &Rows::default(), History::default());
            let mut local = step.local;
            step.sends.iter().for_each(|packet| sent.add(packet));
            let asked = self.requests.iter().enumerate();
            let here =
                asked.filter(|(_, (to, _))| !self.bounds.late_requests && to.contains(&env.id));
            for (index, _) in here {
                used.asked |= self.bit(index, env.id);
                if let Some(step) = self.step(env, &local, &What::Submit(index)) {
                    step.sends.iter().for_each(|packet| sent.add(packet));
                    local = step.local;
                }
            }
            nodes.push(local);
        }
        let mut world = World {
            nodes,
            sent: Arc::new(sent),
            used,
            judged: Judged {
                broken: None,
                ended: false,
            },
        };
        self.judge(&mut world);
        Vec::from([world])
    }

    fn actions(&self, world: &World<P>, actions: &mut Vec<Action<P>>) {
        for (env, local) in self.envs.iter().zip(&world.nodes) {
            if local.at_rest {
                continue;
            }
            let inbox = Inbox {
                packets: world
                    .sent
                    .packets
                    .iter()
                    .filter(|packet| packet.is_for(env))
                    .collect(),
                asks: self.asks(world.used, env.id),
                may_crash: world.used.crashes < self.bounds.crashes,
                may_keep_house: world.used.housekeeping < self.bounds.housekeeping,
            };
            let key = (local.print, inbox.print());
            let moves = self
                .moves
                .get_or_make(&key, || self.moves(env, local, &inbox).into());
            actions.extend(moves.iter().cloned());
        }
    }

    fn next(&self, world: &World<P>, action: &Action<P>) -> Option<World<P>> {
        let at = usize::from(action.node.0) - 1;
        let local = &world.nodes[at];
        let step = &action.step;
        let mut used = world.used;
        match action.steps.last() {
            Some(What::Submit(request)) => {
                let bit = self.bit(*request, action.node);
                used.repeats += u8::from(used.asked & bit != 0);
                used.asked |= bit;
            }
            Some(What::Fire(timer)) if P::timer_info(timer).round.is_none() => {
                used.housekeeping += 1;
            }
            Some(What::Restart) => used.crashes += 1,
            _ => {}
        }
        used.crashes += u8::from(action.crash);
        let new: Vec<_> = step
            .sends
            .iter()
            .filter(|packet| !world.sent.has(packet))
            .collect();
        if step.local.print == local.print && new.is_empty() && used == world.used {
            return None;
        }
        let mut next = world.clone();
        next.used = used;
        let heard = step.local.said_print != local.said_print;
        next.nodes[at] = step.local.clone();
        if !new.is_empty() {
            let sent = Arc::make_mut(&mut next.sent);
            new.iter().for_each(|packet| sent.add(packet));
        }
        if heard || !new.is_empty() || !step.local.recovers {
            self.judge(&mut next);
        }
        Some(next)
    }

    fn properties(&self) -> &[Property<Self>] {
        &self.properties
    }

    fn broken(&self, world: &World<P>) -> Option<&'static str> {
        world.judged.broken
    }

    fn tell(&self, action: &Action<P>) -> Vec<String> {
        let tell = |what: &What<P>| format!("node {} {what}", action.node.0);
        let mut lines: Vec<String> = action.steps.iter().map(tell).collect();
        if let (true, Some(last)) = (action.crash, lines.last_mut()) {
            last.push_str(", crashes before it sends, and restarts");
        }
        lines
    }

    fn play(&self, steps: &[Action<P>]) -> Option<Scenario> {
        script(&self.scenario, &self.acts(steps))
    }

    fn class(&self, action: &Action<P>) -> Option<u8> {
        let is_fault = action.crash || matches!(action.steps.last(), Some(What::Restart));
        (!is_fault).then_some(action.node.0 as u8 % 64)
    }
}

impl<P: Protocol> Cluster<P> {
    /// The same steps as a manual schedule of the simulator says them.
    fn acts(&self, steps: &[Action<P>]) -> Vec<Act> {
        let mut played = Played {
            sent: Vec::new(),
            acts: Vec::new(),
        };
        let mut locals = Vec::new();
        for env in &self.envs {
            let step = self.start(env, &Rows::default(), History::default());
            played.send(&step);
            locals.push(step.local);
        }
        let ask = |node, index: usize| Act::Submit {
            to: Vec::from([node]),
            request: codec::encode(&self.requests[index].1),
        };
        if !self.bounds.late_requests {
            for (env, local) in self.envs.iter().zip(&mut locals) {
                let asked = self.requests.iter().enumerate();
                for (index, _) in asked.filter(|(_, (to, _))| to.contains(&env.id)) {
                    played.acts.push(ask(env.id, index));
                    if let Some(step) = self.step(env, local, &What::Submit(index)) {
                        played.send(&step);
                        *local = step.local;
                    }
                }
            }
        }
        for action in steps {
            let (env, node) = (self.env(action.node), action.node);
            let local = &mut locals[usize::from(node.0) - 1];
            for (index, what) in action.steps.iter().enumerate() {
                let crash = action.crash && index + 1 == action.steps.len();
                if crash {
                    let when = CrashPoint::AfterPersist;
                    played.acts.push(Act::Crash { node, when });
                }
                match what {
                    What::Submit(request) => played.acts.push(ask(node, *request)),
                    What::Deliver(packet) => played.deliver(node, packet),
                    What::Fire(timer) => {
                        let info = P::timer_info(timer);
                        played.acts.push(Act::Fire {
                            node,
                            timer: String::from(info.name),
                            round: info.round,
                            instance: None,
                        });
                    }
                    What::See(view) => {
                        played
                            .acts
                            .extend(self.views[usize::from(*view)].act.clone());
                    }
                    What::Restart => {
                        let when = CrashPoint::BetweenSteps;
                        played.acts.push(Act::Crash { node, when });
                        played.acts.push(Act::Restart { node });
                    }
                }
                if let Some(step) = self.step(env, local, what) {
                    if !crash {
                        played.send(&step);
                    }
                    *local = step.local;
                }
                if crash {
                    played.acts.push(Act::Restart { node });
                    if let Some(step) = self.step(env, local, &What::Restart) {
                        played.send(&step);
                        *local = step.local;
                    }
                }
            }
        }
        played.acts
    }
}

/// A schedule while it is written down.
struct Played<P: Protocol> {
    /// Every message in the order of sending, those sent again included: what selectors count.
    sent: Vec<Arc<Packet<P>>>,
    acts: Vec<Act>,
}

impl<P: Protocol> Played<P> {
    fn send(&mut self, step: &Step<P>) {
        self.sent.extend(step.sends.iter().cloned());
    }

    fn deliver(&mut self, to: NodeId, packet: &Packet<P>) {
        let info = packet.info;
        let reaches = |sent: &Packet<P>| match (packet.to, sent.to) {
            (_, To::Node(node)) => node == to,
            _ => true,
        };
        let alike = self.sent.iter().filter(|sent| {
            let same_kind = (sent.info.kind, sent.info.round) == (info.kind, info.round);
            sent.from == packet.from && same_kind && reaches(sent)
        });
        let before = alike.take_while(|sent| sent.print != packet.print).count();
        self.acts.push(Act::Deliver(Selector {
            from: Some(packet.from),
            to: Some(to),
            kind: Some(String::from(kind_name::<P>(info))),
            round: Some(info.round),
            nth: (before > 0).then_some(before as u32 + 1),
            instance: None,
        }));
    }
}

/// What a node may be given in a state of the cluster.
struct Inbox<'a, P: Protocol> {
    packets: Vec<&'a Arc<Packet<P>>>,
    asks: Vec<usize>,
    may_crash: bool,
    may_keep_house: bool,
}

impl<P: Protocol> Inbox<'_, P> {
    fn print(&self) -> Fingerprint {
        let prints: Vec<Fingerprint> = self.packets.iter().map(|packet| packet.print).collect();
        Fingerprint::of(&(prints, &self.asks, self.may_crash, self.may_keep_house))
    }
}

impl<P: Protocol> Packet<P> {
    fn is_for(&self, env: &Env<P>) -> bool {
        let is_meant = match self.to {
            To::All => true,
            To::Node(node) => node == env.id,
            To::Group(group) => env.keyring.group_of(env.id) == Some(group),
        };
        is_meant && self.from != env.id
    }
}

impl<P: Protocol> Cluster<P> {
    /// The requests that a node may still be given.
    fn asks(&self, used: Used, node: NodeId) -> Vec<usize> {
        let asks = self.requests.iter().enumerate();
        let open = asks.filter(|(index, (to, _))| {
            let again = used.asked & self.bit(*index, node) != 0;
            to.contains(&node) && (!again || used.repeats < self.bounds.repeats)
        });
        open.map(|(index, _)| index).collect()
    }

    /// What a node can do that is heard: each with the shortest quiet way to it.
    fn moves(&self, env: &Env<P>, local: &Arc<Local<P>>, inbox: &Inbox<'_, P>) -> Vec<Action<P>> {
        let mut moves = Vec::new();
        let mut known = Set::new();
        let mut add = |way: &[What<P>], last: What<P>, step: Arc<Step<P>>, crash: bool| {
            let sends: Vec<Fingerprint> = step.sends.iter().map(|packet| packet.print).collect();
            // Budgets tell outcomes apart that are otherwise alike.
            let cost = match &last {
                What::Submit(request) => (1, *request),
                What::Fire(timer) if P::timer_info(timer).round.is_none() => (2, 0),
                What::Restart => (3, 0),
                _ => (usize::from(crash) * 3, 0),
            };
            if known.insert(Fingerprint::of(&(step.local.face, sends, cost))) {
                let steps = way.iter().cloned().chain([last]).collect();
                let node = env.id;
                moves.push(Action {
                    node,
                    steps,
                    crash,
                    step,
                });
            }
        };
        let mut seen = Set::from([local.print]);
        let mut queue = VecDeque::from([(local.clone(), Vec::new())]);
        while let Some((local, way)) = queue.pop_front() {
            let is_heard = |instance: Option<InstanceId>| {
                self.bounds.beyond_decisions || !instance.is_some_and(|id| local.decided(id))
            };
            let fires = local.armed.iter().filter(|timer| {
                let info = P::timer_info(timer);
                let may = match info.round {
                    Some(round) => round.0 < self.bounds.rounds,
                    None => inbox.may_keep_house,
                };
                may && is_heard(info.instance)
            });
            let heard = inbox
                .packets
                .iter()
                .filter(|packet| is_heard(packet.info.instance));
            let inputs = (inbox.asks.iter().map(|request| What::Submit(*request)))
                .chain(self.next_view(env, &local).map(What::See))
                .chain(fires.map(|timer| What::Fire(*timer)))
                .chain(heard.map(|packet| What::Deliver((*packet).clone())));
            for what in inputs {
                let Some(step) = self.step_once(&local, env.id, &what) else {
                    continue;
                };
                let costs = match &what {
                    What::Submit(_) => true,
                    What::Fire(timer) => P::timer_info(timer).round.is_none(),
                    What::Deliver(_) | What::See(_) | What::Restart => false,
                };
                let is_heard = !step.sends.is_empty() || step.local.said_print != local.said_print;
                let is_quiet = self.defers && !is_heard;
                if is_quiet && !costs && step.local.recovers {
                    if seen.insert(step.local.print) {
                        let way = way.iter().cloned().chain([what]).collect();
                        queue.push_back((step.local.clone(), way));
                    }
                    continue;
                }
                if inbox.may_crash
                    && let Some(after) = self.step_once(&step.local, env.id, &What::Restart)
                {
                    add(&way, what.clone(), after, true);
                }
                add(&way, what, step, false);
            }
            if inbox.may_crash
                && let Some(after) = self.step_once(&local, env.id, &What::Restart)
            {
                add(&way, What::Restart, after, false);
            }
        }
        moves
    }

    fn bit(&self, request: usize, node: NodeId) -> u64 {
        1 << (request * self.envs.len() + usize::from(node.0) - 1)
    }
}

type Dumped = Vec<(TableId, Vec<u8>, Vec<u8>)>;

fn dump<P: Protocol>(state: &P) -> Dumped {
    let mut rows = Vec::new();
    state.clone().tables(&mut |table| table.dump(&mut rows));
    rows
}

fn rows<P: Protocol>(state: &P) -> Rows {
    let mut rows = Rows::default();
    for (table, key, value) in dump(state) {
        rows.insert(table, &key, &value);
    }
    rows
}

fn recovers<P: Protocol>(env: &Env<P>, state: &P) -> bool {
    P::recover(env, &rows(state)).is_ok_and(|recovered| dump(&recovered) == dump(state))
}

/// What is asked of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Every invariant.
    Safety,
    /// Every invariant, and that every instance ends.
    Ends,
    /// One invariant.
    Only(&'static str),
}

/// Does something with the cluster that a scenario describes, whatever its protocol.
///
/// # Errors
/// What the checker cannot do with the scenario.
pub fn visit<V: Visitor>(
    scenario: &Scenario,
    bounds: Bounds,
    asked: Asked,
    visitor: V,
) -> Result<V::Out, String> {
    with_protocol!(scenario.protocol, P => {
        let cluster = Cluster::<P>::new(scenario, bounds)?;
        Ok(visitor.visit(match asked {
            Asked::Safety => cluster,
            Asked::Ends => cluster.and_ends(),
            Asked::Only(promise) => cluster.only(promise),
        }))
    })
}

#[cfg(test)]
mod tests;
