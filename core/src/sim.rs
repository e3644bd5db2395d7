//! The simulator: nodes, network, disks, clients and the world outside on one virtual clock.
//!
//! ```text
//! Scenario -> Sim::new -> step, step, ... -> Report
//!                          |- queue (time, order) -> deliver | wake | persist | intervene | world
//!                          |- replica -> Output -> disk -> Released -> network, clients, world, oracle, log
//! ```
//!
//! One thread, no clock, no global: the same scenario gives the same trace hash natively, in Node.js and in a browser.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::engine::MessageInfo;
use crate::environment::Environment;
use crate::event::{Level, Record, RecordKind};
use crate::oracle::{Oracle, Verdict};
use crate::ordered::{Map, Set};
use crate::protocol::{Cluster, simulated_genesis};
use crate::replica::{BuildError, Replica};
use crate::scenario::{Act, At, CrashPoint, Intervention, Scenario};
use crate::store::Rows;
use crate::types::{ClientId, Hash32, InstanceId, NodeId, Time};
use crate::view::{Glance, NodeView, Spec, ViewScope};

mod acts;
mod disk;
mod faulty;
mod live;
pub mod log;
mod network;
pub mod report;
mod steps;
pub mod swarm;
pub mod timeline;

use disk::Disk;
use faulty::Lies;
use live::Live;
use log::Log;
use network::{Net, Queue, What};

/// The most steps of a run, so that a run that feeds itself ends.
pub const STEPS_MAX: u64 = 200_000_000;

/// A node's place in the simulator: its replica while it is alive, and what survives it.
struct Slot {
    replica: Option<Box<dyn Replica>>,
    disk: Disk,
    lies: Lies,
    wake: Option<Time>,
    crash: Option<CrashPoint>,
    rate_permille: u32,
    last_view: Option<Arc<NodeView>>,
    last_glance: Glance,
    /// Counters of lives that are over.
    past: Map<Cow<'static, str>, u64>,
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Slot {
            replica: self.replica.as_ref().map(|replica| replica.clone_box()),
            disk: self.disk.clone(),
            lies: self.lies,
            wake: self.wake,
            crash: self.crash,
            rate_permille: self.rate_permille,
            last_view: self.last_view.clone(),
            last_glance: self.last_glance,
            past: self.past.clone(),
        }
    }
}

/// A run in progress.
pub struct Sim {
    scenario: Arc<Scenario>,
    cluster: Arc<dyn Cluster>,
    environment: Box<dyn Environment>,
    oracle: Box<dyn Oracle>,
    slots: Vec<Slot>,
    queue: Queue,
    net: Net,
    now: Time,
    steps: u64,
    level: Level,
    /// Interventions of the scenario by step, and those made by hand, in order.
    by_step: Vec<Intervention>,
    by_hand: Vec<Intervention>,
    /// What was done by hand after the point to which a run was rewound; the earliest last.
    by_hand_ahead: Vec<Intervention>,
    environment_wake: Option<Time>,
    hash: blake3::Hasher,
    decisions: Vec<Decision>,
    told: Set<(NodeId, InstanceId, RecordKind, Option<Hash32>)>,
    replies: Vec<ClientReply>,
    log: Log,
    watch: report::Watch,
    check_recovery: bool,
    faults: Map<&'static str, u64>,
    requests: u64,
    /// Hashes of the requests that were submitted, to tell those that come again.
    submitted: Set<[u8; 32]>,
    /// What happens, if it happened already.
    live: Option<Live>,
}

impl Clone for Sim {
    fn clone(&self) -> Self {
        Sim {
            scenario: self.scenario.clone(),
            cluster: self.cluster.clone(),
            environment: self.environment.clone_box(),
            oracle: self.oracle.clone_box(),
            slots: self.slots.clone(),
            queue: self.queue.clone(),
            net: self.net.clone(),
            now: self.now,
            steps: self.steps,
            level: self.level,
            by_step: self.by_step.clone(),
            by_hand: self.by_hand.clone(),
            by_hand_ahead: self.by_hand_ahead.clone(),
            environment_wake: self.environment_wake,
            hash: self.hash.clone(),
            decisions: self.decisions.clone(),
            told: self.told.clone(),
            replies: self.replies.clone(),
            log: self.log.clone(),
            watch: self.watch.clone(),
            check_recovery: self.check_recovery,
            faults: self.faults.clone(),
            requests: self.requests,
            submitted: self.submitted.clone(),
            live: self.live.clone(),
        }
    }
}

/// Something that a node decided, signed, completed or gave up, with when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Time,
    /// In which step.
    pub step: u64,
    /// Which node.
    pub node: NodeId,
    /// What.
    pub record: Record,
}

/// A client was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientReply {
    /// When.
    pub at: Time,
    /// By which node.
    pub node: NodeId,
    /// Which client.
    pub client: ClientId,
    /// To which of its requests.
    pub number: u64,
    /// The bytes of the protocol's `Reply`.
    pub reply: Vec<u8>,
}

/// What one step did, for stepping through a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// The step's number, from 0.
    pub step: u64,
    /// When.
    pub at: Time,
    /// At which node; `None` for the world and the network.
    pub node: Option<NodeId>,
}

/// A message on its way, for drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Sender.
    pub from: NodeId,
    /// Receiver.
    pub to: NodeId,
    /// When it left.
    pub sent: Time,
    /// When it arrives.
    pub arrives: Time,
    /// The step in which it left: what is done before that step can still catch it.
    pub step: u64,
    /// How it is drawn.
    pub info: MessageInfo,
}

impl Sim {
    /// A run of a scenario, before its first step.
    ///
    /// # Errors
    /// When a node cannot be built, which a checked scenario's nodes can.
    pub fn new(scenario: &Scenario) -> Result<Sim, BuildError> {
        let cluster = scenario.protocol.cluster(&simulated_genesis(scenario))?;
        Self::with_parts(
            scenario.clone(),
            cluster,
            scenario.protocol.environment(scenario),
        )
    }

    /// A run of any cluster in any world: for protocols that are not in the list, as benches and sketches have them.
    ///
    /// # Errors
    /// When a node cannot be built.
    pub fn with_parts(
        scenario: Scenario,
        cluster: Arc<dyn Cluster>,
        environment: Box<dyn Environment>,
    ) -> Result<Sim, BuildError> {
        let oracle = cluster.oracle();
        let mut hash = blake3::Hasher::new_derive_key("phaselab 2026-11 trace v1");
        hash.update(&scenario.seed.to_le_bytes());
        let mut sim = Sim {
            net: Net::new(&scenario),
            watch: report::Watch::new(&scenario),
            scenario: Arc::new(scenario),
            cluster,
            environment,
            oracle,
            slots: Vec::new(),
            queue: Queue::default(),
            now: Time::ZERO,
            steps: 0,
            level: Level::default(),
            by_step: Vec::new(),
            by_hand: Vec::new(),
            by_hand_ahead: Vec::new(),
            environment_wake: None,
            hash,
            decisions: Vec::new(),
            told: Set::new(),
            replies: Vec::new(),
            log: Log::default(),
            check_recovery: cfg!(debug_assertions),
            faults: Map::new(),
            requests: 0,
            submitted: Set::new(),
            live: None,
        };
        for id in sim.scenario.ids() {
            let slot = Slot {
                replica: None,
                disk: Disk::default(),
                lies: Lies::default(),
                wake: None,
                crash: None,
                rate_permille: 1000,
                last_view: None,
                last_glance: Glance::default(),
                past: Map::new(),
            };
            sim.slots.push(slot);
            // Fails here rather than in the middle of the run.
            sim.cluster.node(id, &Rows::default(), sim.scenario.seed)?;
        }
        let scenario = sim.scenario.clone();
        // A node that crashes at 0 ms never ran: it is offline from the start.
        let offline: Vec<NodeId> = scenario
            .interventions
            .iter()
            .filter_map(offline_from_start)
            .collect();
        for id in scenario.ids().filter(|id| !offline.contains(id)) {
            sim.queue.push(Time::ZERO, What::Start { node: id });
        }
        for (index, entry) in scenario.interventions.iter().enumerate() {
            match entry.at {
                At::Time(_) if offline_from_start(entry).is_some() => {}
                At::Time(at) => sim.queue.push(
                    at,
                    What::Intervene {
                        index: index as u32,
                    },
                ),
                At::Step(_) => sim.by_step.push(entry.clone()),
            }
        }
        // Taken from the end: the latest first, and of one step the last one first.
        sim.by_step.reverse();
        sim.by_step
            .sort_by_key(|entry| core::cmp::Reverse(entry.at));
        Ok(sim)
    }

    /// Sets how much observers hear; [`Level::Protocol`] unless told. Never changes the run.
    pub fn set_level(&mut self, level: Level) {
        self.level = level.max(self.watch.level());
        let level = self.level;
        for replica in self
            .slots
            .iter_mut()
            .filter_map(|slot| slot.replica.as_mut())
        {
            replica.set_level(level);
        }
    }

    /// How much observers hear.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether recovery is compared with the live state after every step; on in debug builds. Never changes the run.
    pub fn set_check_recovery(&mut self, check: bool) {
        self.check_recovery = check;
    }

    /// Turns the oracle's watching of messages and records on or off; benches turn it off. Never changes the run.
    pub fn set_oracle(&mut self, oracle: Box<dyn Oracle>) {
        self.oracle = oracle;
    }

    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The protocol's shape.
    pub fn spec(&self) -> &'static Spec {
        self.cluster.spec()
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// When the next step happens; `None` at the end of the run.
    pub fn next_at(&self) -> Option<Time> {
        if let Some(live) = &self.live {
            return live.at(self.steps);
        }
        let is_due = |entry: &Intervention| entry.at <= At::Step(self.steps);
        if self.by_step.last().is_some_and(is_due) || self.by_hand_ahead.last().is_some_and(is_due)
        {
            return Some(self.now);
        }
        self.queue
            .next_at()
            .filter(|&at| at <= self.scenario.until && self.steps < STEPS_MAX)
    }

    /// The hash of all that happened so far.
    pub fn trace_hash(&self) -> Hash32 {
        Hash32(*self.hash.finalize().as_bytes())
    }

    /// What observers heard.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What nodes decided, signed, completed and gave up, in order.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// What clients were answered, in order.
    pub fn replies(&self) -> &[ClientReply] {
        &self.replies
    }

    /// The oracle's verdicts so far.
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.oracle.verdicts()
    }

    /// What should hold once the run has come to rest.
    pub fn liveness(&self) -> Vec<Verdict> {
        self.oracle.liveness()
    }

    /// Whether every invariant held so far.
    pub fn holds(&self) -> bool {
        self.oracle.holds()
    }

    /// How often each kind of fault fired.
    pub fn faults(&self) -> Map<&'static str, u64> {
        let mut faults = self.faults.clone();
        for (name, count) in self.net.faults() {
            *faults.get_or_default(name) += count;
        }
        faults.retain(|_, count| *count > 0);
        faults
    }

    /// Packets handed to nodes.
    pub fn delivered(&self) -> u64 {
        self.net.delivered
    }

    /// Whether a node runs.
    pub fn is_alive(&self, node: NodeId) -> bool {
        self.slot(node).replica.is_some()
    }

    /// Whether what one node sends another is lost for certain, as the network stands.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.net.is_cut(from, to) || self.net.loss(from, to) >= 1_000
    }

    /// When a node's round of an instance ends by itself, by the run's clock; see [`Replica::round_ends`].
    pub fn round_ends(&self, node: NodeId, instance: InstanceId) -> Option<Time> {
        let slot = self.slot(node);
        let ends = slot.replica.as_ref()?.round_ends(instance)?;
        Some(global_time(ends, slot.rate_permille))
    }

    /// Whether a node lies.
    pub fn is_byzantine(&self, node: NodeId) -> bool {
        self.slot(node).lies.is_liar()
    }

    /// A node's life; `None` while it is down.
    pub fn replica(&self, node: NodeId) -> Option<&dyn Replica> {
        self.slot(node).replica.as_deref()
    }

    /// What a node's disk holds, as of the last write that is durable.
    pub fn rows(&self, node: NodeId) -> &Rows {
        self.slot(node).disk.rows()
    }

    /// A node at a glance; as last seen if it is down.
    pub fn glance(&self, node: NodeId) -> Glance {
        let slot = self.slot(node);
        slot.replica
            .as_ref()
            .map_or(slot.last_glance, |replica| replica.glance())
    }

    /// A node in full; as last seen if it is down.
    pub fn view(&self, node: NodeId, scope: ViewScope) -> NodeView {
        let slot = self.slot(node);
        match (&slot.replica, &slot.last_view) {
            (Some(replica), _) => replica.view(scope),
            (None, Some(view)) => view.as_ref().clone(),
            (None, None) => NodeView::default(),
        }
    }

    /// Counters of a node over all its lives.
    pub fn counters(&self, node: NodeId) -> Map<String, u64> {
        let slot = self.slot(node);
        let mut sum: Map<String, u64> = Map::new();
        let lives = slot.replica.as_ref().map(|replica| replica.counters());
        for (name, count) in slot.past.iter().chain(lives.into_iter().flatten()) {
            *sum.get_or_default(name.to_string()) += count;
        }
        sum
    }

    /// The messages on their way, in order of arrival.
    pub fn flights(&self) -> Vec<Flight> {
        let mut flights: Vec<Flight> = self
            .queue
            .iter()
            .filter_map(|entry| match entry.what {
                What::Deliver { packet, to } => Some((entry, self.net.packet(packet), to)),
                _ => None,
            })
            .map(|(entry, packet, to)| Flight {
                from: packet.from,
                to,
                sent: packet.sent,
                arrives: entry.at,
                step: packet.step,
                info: packet.info,
            })
            .collect();
        flights.extend(self.live.iter().flat_map(Live::flights));
        flights.sort_by_key(|flight| (flight.arrives, flight.from, flight.to));
        flights
    }

    /// Names of instances, as nodes know them.
    pub fn names(&self) -> Map<InstanceId, String> {
        let views = self
            .scenario
            .ids()
            .map(|id| self.view(id, ViewScope::Summary));
        views
            .flat_map(|view| view.instances)
            .map(|instance| (instance.id, instance.name))
            .collect()
    }

    /// What a person did to this run, in order: together with the scenario, all that a replay needs.
    pub fn interventions_by_hand(&self) -> &[Intervention] {
        &self.by_hand
    }

    /// The same, and of a run that was rewound also what it meets again on its way forward.
    pub fn whole_by_hand(&self) -> Vec<Intervention> {
        let ahead = self.by_hand_ahead.iter().rev();
        self.by_hand.iter().chain(ahead).cloned().collect()
    }

    /// Does these things by hand once their steps come, as another run of the same scenario had them. In order of their
    /// steps; what is impossible by then is counted as that.
    pub fn plan_by_hand(&mut self, by_hand: &[Intervention]) {
        self.by_hand_ahead = by_hand.iter().rev().cloned().collect();
    }

    /// Does what was planned by hand before the next step.
    fn meet_by_hand(&mut self) {
        let now = At::Step(self.steps);
        if self
            .by_hand_ahead
            .last()
            .is_some_and(|entry| entry.at <= now)
        {
            self.apply_due();
        }
    }

    /// Does something to the run before its next step, and records it.
    ///
    /// # Errors
    /// What is impossible.
    pub fn intervene(&mut self, act: Act) -> Result<(), String> {
        if self.live.is_some() {
            return Err(String::from(
                "this run happened: nothing can be done to it any more",
            ));
        }
        act.check(self.scenario.nodes, self.spec())?;
        self.apply_due();
        self.by_hand.push(Intervention {
            at: At::Step(self.steps),
            act: act.clone(),
        });
        self.apply(&act)
    }

    /// Runs to the end.
    pub fn run(&mut self) {
        while self.step().is_some() {}
    }

    /// Runs until virtual time passes `until`, the end of the run at the latest.
    pub fn run_until(&mut self, until: Time) {
        while self.next_at().is_some_and(|at| at <= until) {
            self.step();
        }
    }

    /// One step; `None` at the end of the run.
    pub fn step(&mut self) -> Option<Stepped> {
        if self.live.is_some() {
            return self.play();
        }
        self.apply_due();
        loop {
            self.next_at()?;
            let entry = self.queue.pop()?;
            debug_assert!(entry.at >= self.now, "time never goes back");
            self.now = entry.at;
            let step = self.steps;
            self.log.begin(step, self.now);
            let node = match entry.what {
                What::Deliver { packet, to } => self.deliver(packet, to),
                What::Wake { node } => self.wake(node, entry.at),
                What::Start { node } => self.start(node),
                What::Persisted { node } => self.persisted(node),
                What::Intervene { index } => {
                    let scenario = self.scenario.clone();
                    self.apply_or_log(&scenario.interventions[index as usize].act);
                    Some(None)
                }
                What::World => self.poll_environment(entry.at),
            };
            if let Some(node) = node {
                self.steps += 1;
                return Some(Stepped {
                    step,
                    at: self.now,
                    node,
                });
            }
        }
    }

    /// Applies the scenario's interventions of this step, then those by hand that a rewound run meets again.
    fn apply_due(&mut self) {
        let now = At::Step(self.steps);
        while let Some(entry) = self.by_step.pop_if(|entry| entry.at <= now) {
            self.apply_or_log(&entry.act);
        }
        while let Some(entry) = self.by_hand_ahead.pop_if(|entry| entry.at <= now) {
            self.apply_or_log(&entry.act);
            self.by_hand.push(entry);
        }
    }

    fn slot(&self, node: NodeId) -> &Slot {
        &self.slots[usize::from(node.0) - 1]
    }

    fn slot_mut(&mut self, node: NodeId) -> &mut Slot {
        &mut self.slots[usize::from(node.0) - 1]
    }
}

/// The client in whose name a scenario submits.
pub const SCENARIO_CLIENT: ClientId = ClientId(1);

fn offline_from_start(entry: &Intervention) -> Option<NodeId> {
    match entry {
        Intervention {
            at: At::Time(Time::ZERO),
            act:
                Act::Crash {
                    node,
                    when: CrashPoint::BetweenSteps,
                },
        } => Some(*node),
        _ => None,
    }
}

fn local_time(now: Time, rate_permille: u32) -> Time {
    if rate_permille == 1000 {
        return now;
    }
    Time((u128::from(now.0) * u128::from(rate_permille) / 1000) as u64)
}

fn global_time(local: Time, rate_permille: u32) -> Time {
    if rate_permille == 1000 {
        return local;
    }
    Time((u128::from(local.0) * 1000).div_ceil(u128::from(rate_permille)) as u64)
}
