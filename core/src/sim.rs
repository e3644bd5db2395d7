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
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::engine::MessageInfo;
use crate::environment::Environment;
use crate::event::{Level, Record, RecordKind};
use crate::oracle::Oracle;
use crate::ordered::{Map, Set};
use crate::protocol::{Cluster, simulated_genesis};
use crate::replica::{BuildError, Replica};
use crate::scenario::{Act, At, CrashPoint, Intervention, Scenario};
use crate::store::Rows;
use crate::types::{ClientId, Hash32, InstanceId, NodeId, Time};
use crate::view::{Glance, NodeView};

mod acts;
mod by_hand;
mod disk;
mod faulty;
mod live;
pub mod log;
mod network;
mod reading;
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
    requests: Vec<ClientRequest>,
    replies: Vec<ClientReply>,
    log: Log,
    watch: report::Watch,
    check_recovery: bool,
    faults: Map<&'static str, u64>,
    /// The requests that were submitted, by hash, in the order in which they first came. A request that comes again is
    /// the same client's, with the same number; each other is a client's first.
    submitted: Map<[u8; 32], u64>,
    /// The requests that were submitted in the name of a client.
    numbered: Set<(ClientId, u64)>,
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
            requests: self.requests.clone(),
            replies: self.replies.clone(),
            log: self.log.clone(),
            watch: self.watch.clone(),
            check_recovery: self.check_recovery,
            faults: self.faults.clone(),
            submitted: self.submitted.clone(),
            numbered: self.numbered.clone(),
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

/// A client asked a node that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// When.
    pub at: Time,
    /// Which node.
    pub node: NodeId,
    /// Which client.
    pub client: ClientId,
    /// As which of its requests.
    pub number: u64,
    /// The bytes of the protocol's `Request`.
    pub request: Vec<u8>,
    /// How many replies had been given by then.
    pub told: usize,
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
            requests: Vec::new(),
            replies: Vec::new(),
            log: Log::default(),
            check_recovery: cfg!(debug_assertions),
            faults: Map::new(),
            submitted: Map::new(),
            numbered: Set::new(),
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
        let before = self.now;
        loop {
            // What is left may be nobody's concern any more: a run that is over stands where its last step was, so that
            // what is done to it by hand then happens at that time again.
            let due = self.next_at().and_then(|_| self.queue.pop());
            let Some(entry) = due else {
                self.now = before;
                return None;
            };
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
