//! What observers read off a run as it stands.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::live::Live;
use super::log::Log;
use super::network::What;
use super::{ClientReply, ClientRequest, Decision, Flight, STEPS_MAX, Sim, global_time};
use crate::oracle::Verdict;
use crate::ordered::Map;
use crate::replica::Replica;
use crate::scenario::{At, Intervention, Scenario};
use crate::store::Rows;
use crate::types::{Hash32, InstanceId, NodeId, Time};
use crate::view::{Glance, NodeView, Spec, ViewScope};

impl Sim {
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

    /// What clients asked nodes that ran, in order.
    pub fn requests(&self) -> &[ClientRequest] {
        &self.requests
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

    /// The same of one instance; `None` where the node has not heard of it.
    pub fn glance_of(&self, node: NodeId, instance: InstanceId) -> Option<Glance> {
        let slot = self.slot(node);
        match &slot.replica {
            Some(replica) => replica.glance_of(instance),
            None => Some(slot.last_glance).filter(|glance| glance.instance == Some(instance)),
        }
    }

    /// A node in full; as last seen if it is down.
    pub fn view(&self, node: NodeId, scope: ViewScope) -> NodeView {
        let slot = self.slot(node);
        match (&slot.replica, &slot.last_view) {
            (Some(replica), _) => replica.view(scope),
            (None, Some(view)) => {
                let mut view = view.as_ref().clone();
                if let ViewScope::Instance(only) = scope {
                    view.instances.retain(|instance| instance.id == only);
                }
                view
            }
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
}
