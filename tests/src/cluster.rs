//! A simulated cluster in the words of its users: `cluster.crash(2); cluster.submit("x"); cluster.expect_agreement()`.
//!
//! Everything done to it is an intervention as the page records them, so that whatever a test finds replays. What it
//! expects panics with the run's story.

use std::collections::BTreeMap;
use std::fmt::Write;

use phaselab_core::codec::{self, encode};
use phaselab_core::crypto::Crypto;
use phaselab_core::event::EventKind;
use phaselab_core::narrate;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::two_phase::{
    ChainChange, ChainSetting, SubmitEvent, TwoPhase, TwoPhaseConfig,
};
use phaselab_core::scenario::{Act, Behaviour, CrashPoint, Link, Scenario, Selector};
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::Logged;
use phaselab_core::sim::report::Report;
use phaselab_core::types::{Duration, Hash32, NodeId, Time};
use phaselab_core::view::{InstanceView, ViewScope};

/// A cluster of two-phase signers.
#[derive(Clone)]
pub struct Cluster {
    sim: Sim,
    /// Until when time was let pass; the run's own clock stands at its last step.
    clock: Time,
}

/// What a cluster is made of before it runs.
#[derive(Clone, Debug)]
pub struct Builder {
    scenario: Scenario,
    config: TwoPhaseConfig,
    chain: ChainSetting,
}

impl Builder {
    /// Another seed.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.scenario.seed = seed;
        self
    }

    /// A longer run, in virtual milliseconds.
    pub fn until_ms(mut self, ms: u64) -> Builder {
        self.scenario.until = Time::from_ms(ms);
        self
    }

    /// Other parameters.
    pub fn config(mut self, change: impl FnOnce(&mut TwoPhaseConfig)) -> Builder {
        change(&mut self.config);
        self
    }

    /// Another chain.
    pub fn chain(mut self, change: impl FnOnce(&mut ChainSetting)) -> Builder {
        change(&mut self.chain);
        self
    }

    /// Another network or disk, or real signatures.
    pub fn scenario(mut self, change: impl FnOnce(&mut Scenario)) -> Builder {
        change(&mut self.scenario);
        self
    }

    /// The scenario as it stands.
    ///
    /// # Panics
    /// If it is impossible.
    pub fn build(mut self) -> Scenario {
        self.scenario.set_config::<TwoPhase>(&self.config);
        self.scenario.environment = encode(&self.chain);
        self.scenario.check().expect("a possible scenario");
        self.scenario
    }

    /// The cluster, whose nodes have just started.
    ///
    /// # Panics
    /// If it is impossible.
    pub fn start(self) -> Cluster {
        Cluster::of(&self.build())
    }
}

impl Cluster {
    /// Signers with simulated signatures and default parameters.
    pub fn new(nodes: u16) -> Cluster {
        Cluster::builder(nodes).start()
    }

    /// The same, with something changed.
    pub fn builder(nodes: u16) -> Builder {
        let scenario = Scenario {
            crypto: Crypto::Simulated,
            ..Scenario::new(ProtocolKind::TwoPhase, nodes)
        };
        Builder {
            scenario,
            config: TwoPhaseConfig::default(),
            chain: ChainSetting::default(),
        }
    }

    /// A scenario's cluster, whose nodes have just started.
    ///
    /// # Panics
    /// If a node cannot be built.
    pub fn of(scenario: &Scenario) -> Cluster {
        let mut sim = Sim::new(scenario).expect("nodes that can be built");
        sim.run_until(Time::ZERO);
        Cluster::from(sim)
    }

    /// The run.
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// The run, to be changed in ways that have no word here.
    pub fn sim_mut(&mut self) -> &mut Sim {
        &mut self.sim
    }

    // --- what happens -----------------------------------------------------------------------------------------------

    /// Lets virtual time pass.
    pub fn run_ms(&mut self, ms: u64) {
        self.clock = self.clock + Duration::from_ms(ms);
        self.sim.run_until(self.clock);
    }

    /// Runs to the end.
    pub fn run(&mut self) {
        self.sim.run();
    }

    /// A client asks every node that runs to sign an event.
    pub fn submit(&mut self, event: &str) {
        let ids = self.sim.scenario().ids();
        let to: Vec<u16> = ids
            .filter(|id| self.sim.is_alive(*id))
            .map(|id| id.0)
            .collect();
        self.submit_to(&to, event);
    }

    /// A client asks these nodes to sign an event.
    pub fn submit_to(&mut self, nodes: &[u16], event: &str) {
        self.act(Act::Submit {
            to: ids(nodes),
            request: request(event, 25),
        });
    }

    /// A node stops.
    pub fn crash(&mut self, node: u16) {
        let when = CrashPoint::BetweenSteps;
        self.act(Act::Crash {
            node: NodeId(node),
            when,
        });
    }

    /// A node starts again.
    pub fn restart(&mut self, node: u16) {
        self.act(Act::Restart { node: NodeId(node) });
    }

    /// The network falls apart into groups.
    pub fn partition(&mut self, groups: &[&[u16]]) {
        let groups = groups.iter().map(|group| ids(group)).collect();
        self.act(Act::Partition { groups });
    }

    /// The network is whole again.
    pub fn heal(&mut self) {
        self.act(Act::Heal);
    }

    /// One direction of a link loses everything.
    pub fn cut(&mut self, from: u16, to: u16) {
        self.act(Act::Link(Link {
            from: Some(NodeId(from)),
            to: Some(NodeId(to)),
            latency_ms: None,
            loss_permille: Some(1_000),
        }));
    }

    /// Messages of a kind to a node are lost from now on.
    pub fn drop_kind_to(&mut self, kind: &str, node: u16) {
        self.act(Act::Drop(Selector {
            kind: Some(kind.into()),
            to: Some(NodeId(node)),
            ..Selector::default()
        }));
    }

    /// A node lies from now on.
    pub fn lie(&mut self, node: u16, behaviour: Behaviour) {
        self.act(Act::Byzantine {
            node: NodeId(node),
            behaviour,
        });
    }

    /// A node no longer sees some of the group's outputs.
    pub fn hide(&mut self, node: u16, outputs: &[u32]) {
        self.change_view(node, |change| change.hide = outputs.to_vec());
    }

    /// A node sees some of the group's outputs again.
    pub fn show(&mut self, node: u16, outputs: &[u32]) {
        self.change_view(node, |change| change.show = outputs.to_vec());
    }

    fn change_view(&mut self, node: u16, fill: impl FnOnce(&mut ChainChange)) {
        let mut change = ChainChange::default();
        fill(&mut change);
        self.act(Act::Fact {
            node: Some(NodeId(node)),
            change: encode(&change),
        });
    }

    /// Anything else.
    ///
    /// # Panics
    /// If it is impossible.
    pub fn act(&mut self, act: Act) {
        self.sim.intervene(act).expect("a possible intervention");
    }

    // --- what came of it --------------------------------------------------------------------------------------------

    /// The run's summary.
    pub fn report(&self) -> Report {
        self.sim.report()
    }

    /// A node's view of an event, if it knows it.
    pub fn event(&self, node: u16, event: &str) -> Option<InstanceView> {
        let view = self.sim.view(NodeId(node), ViewScope::Full);
        view.instances
            .into_iter()
            .find(|instance| instance.name == event)
    }

    /// The phase of an event at a node.
    pub fn phase(&self, node: u16, event: &str) -> &'static str {
        let index = self.event(node, event).map_or(0, |instance| instance.phase);
        self.sim.spec().phases[usize::from(index)].name
    }

    /// The values that nodes decided for an event, each with who did.
    pub fn decided(&self, event: &str) -> BTreeMap<Hash32, Vec<NodeId>> {
        let of = |report: Report| report.decisions.into_iter();
        of(self.report())
            .filter(|decision| decision.instance == event)
            .map(|decision| (decision.value, decision.nodes))
            .collect()
    }

    /// A counter of one node over all its lives.
    pub fn counter(&self, node: u16, name: &str) -> u64 {
        self.sim
            .counters(NodeId(node))
            .get(name)
            .copied()
            .unwrap_or(0)
    }

    /// All counters of refusals of one node together.
    pub fn refused(&self, node: u16) -> u64 {
        let counters = self.sim.counters(NodeId(node));
        let refused = counters
            .iter()
            .filter(|(name, _)| name.starts_with("refused_"));
        refused.map(|(_, count)| count).sum()
    }

    /// Events of a kind, in order.
    pub fn events(&self, kind: EventKind) -> Vec<Logged> {
        let log = self.sim.log().iter();
        log.filter(|entry| entry.event.kind == kind).collect()
    }

    /// What clients were told, in the words of the protocol, in order.
    pub fn replies(&self) -> Vec<&'static str> {
        let protocol = self.sim.scenario().protocol;
        let replies = self.sim.replies().iter();
        replies
            .map(|reply| {
                let view = protocol.read_reply(&reply.reply);
                view.expect("a reply of this protocol").outcome
            })
            .collect()
    }

    // --- what is expected -------------------------------------------------------------------------------------------

    /// Every invariant holds.
    ///
    /// # Panics
    /// If one is broken.
    pub fn expect_agreement(&self) {
        let broken: Vec<_> = self
            .sim
            .verdicts()
            .into_iter()
            .filter(|verdict| !verdict.holds)
            .collect();
        assert!(broken.is_empty(), "{broken:#?}\n{}", self.story());
    }

    /// These invariants are broken, and no other one.
    ///
    /// # Panics
    /// If others are.
    pub fn expect_broken(&self, names: &[&str]) {
        let broken: Vec<_> = self
            .sim
            .verdicts()
            .into_iter()
            .filter(|verdict| !verdict.holds)
            .map(|verdict| verdict.name)
            .collect();
        assert_eq!(broken, names, "{}", self.story());
    }

    /// The event stands in this phase at every node that runs.
    ///
    /// # Panics
    /// If it does not.
    pub fn expect_phase(&self, event: &str, phase: &str) {
        for id in self
            .sim
            .scenario()
            .ids()
            .filter(|id| self.sim.is_alive(*id))
        {
            let found = self.phase(id.0, event);
            assert_eq!(found, phase, "{event} at {id}\n{}", self.story());
        }
    }

    /// What happened, as sentences.
    pub fn story(&self) -> String {
        story(&self.sim)
    }
}

impl From<Sim> for Cluster {
    fn from(sim: Sim) -> Cluster {
        let clock = sim.now();
        Cluster { sim, clock }
    }
}

/// The events of a run as sentences, one per line, each with its time.
pub fn story(sim: &Sim) -> String {
    story_of(sim, |_| true)
}

/// The same of some kinds of events.
pub fn story_of(sim: &Sim, is_told: impl Fn(EventKind) -> bool) -> String {
    let mut story = String::new();
    let told = |entry: &Logged| is_told(entry.event.kind);
    for entry in sim.log().iter().filter(told) {
        let letter = entry
            .event
            .instance
            .zip(entry.event.value)
            .and_then(|(instance, value)| sim.log().letter(instance, value));
        let sentence = narrate::sentence(sim.spec(), entry.node, &entry.event, letter.as_deref());
        let (ms, us) = (entry.at.as_ms(), entry.at.0 / 1_000 % 1_000);
        writeln!(story, "{ms:>6}.{us:03} ms  {sentence}").expect("writing to a string");
    }
    story
}

/// The bytes of a request.
pub fn request(event: &str, amount: u64) -> Vec<u8> {
    let request = SubmitEvent {
        event: event.into(),
        amount,
        destination: None,
        supersedes: None,
    };
    debug_assert_eq!(codec::decode(&encode(&request)), Ok(request.clone()));
    encode(&request)
}

fn ids(nodes: &[u16]) -> Vec<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}
