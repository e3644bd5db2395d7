//! The lives of a cluster's nodes as one run on one clock: a script that the simulator plays.
//!
//! Machines' clocks differ. Lives are laid side by side by the time of day at which each began, and where that puts a
//! packet before its sending, its receiver waits: within a life the order is as recorded, and between lives a packet
//! that a recorded node sent comes after the step that let it go. Time on the script's clock never goes back.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::rerun::hash;
use super::{Input, Moment, Recording, Rerun, cluster};
use crate::engine::Genesis;
use crate::ordered::Map;
use crate::protocol::{Cluster, ProtocolKind};
use crate::replica::BuildError;
use crate::scenario::{NODES_MAX, Scenario};
use crate::types::{Hash32, NodeId, Time};

/// A live run: what each node did, in one order.
pub struct Script {
    /// The run as a scenario: its cluster, with nothing to be done.
    pub scenario: Scenario,
    /// The lives, by node and then in order.
    pub lives: Vec<Arc<Recording>>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Whether part of what recorded nodes did is missing.
    pub has_gaps: bool,
    pub(crate) cluster: Arc<dyn Cluster>,
    /// Who receives a packet after it was sent, by its hash.
    pub(crate) receipts: Map<Hash32, Vec<Receipt>>,
}

/// A step of a live run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, on the script's clock.
    pub at: Time,
    /// In which life, by its place in the script.
    pub life: usize,
    /// What.
    pub what: Played,
    /// The packet that is received, by its hash.
    pub(crate) packet: Option<Hash32>,
}

/// What happens in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// The moment of the life with this place.
    Moment(usize),
    /// The life is over, and another one of the same node follows.
    Over,
}

/// A packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) to: NodeId,
    pub(crate) step: u64,
    pub(crate) at: Time,
}

/// The steps of one node in order, and how far they are laid.
struct Lane {
    steps: Vec<Step>,
    next: usize,
}

impl Script {
    /// Lays lives side by side: those that ran again, as far as they came the same.
    ///
    /// # Errors
    /// See [`ScriptError`].
    pub fn new(reruns: &[Rerun]) -> Result<Script, ScriptError> {
        let mut reruns: Vec<&Rerun> = reruns.iter().collect();
        reruns.sort_by_key(|rerun| rerun.life.head.order());
        let first = reruns.first().ok_or(ScriptError::Nothing)?;
        let genesis = &first.life.head.genesis;
        let mut others = reruns.iter().map(|rerun| &rerun.life.head.genesis);
        if let Some(other) = others.find(|other| *other != genesis) {
            let names = [genesis.name.clone(), other.name.clone()];
            return Err(ScriptError::TwoClusters(names));
        }
        let cluster = cluster(genesis).map_err(ScriptError::Build)?;
        let mut script = Script {
            scenario: scenario(genesis)?,
            lives: reruns.iter().map(|rerun| rerun.life.clone()).collect(),
            steps: Vec::new(),
            has_gaps: has_gaps(&reruns),
            cluster,
            receipts: Map::new(),
        };
        script.lay(&reruns);
        let last = script.steps.last().map_or(Time::ZERO, |step| step.at);
        script.scenario.until = last;
        Ok(script)
    }

    fn lay(&mut self, reruns: &[&Rerun]) {
        let began = reruns.iter().map(|rerun| rerun.life.head.began_unix_ns);
        let base = began.min().unwrap_or(0);
        let mut lanes: Map<NodeId, Lane> = Map::new();
        // Where each packet leaves: lane, and place in it.
        let mut sent: Map<Hash32, Vec<(NodeId, usize)>> = Map::new();
        for (life, rerun) in reruns.iter().enumerate() {
            let head = &rerun.life.head;
            let began = head.began_unix_ns - base;
            let lane = lanes.get_or_insert_with(head.node, || Lane {
                steps: Vec::new(),
                next: 0,
            });
            if let Some(last) = lane.steps.last().copied() {
                lane.steps.push(Step {
                    what: Played::Over,
                    packet: None,
                    ..last
                });
            }
            let from = lane.steps.len();
            for (place, moment) in rerun.life.moments[..rerun.same].iter().enumerate() {
                lane.steps.push(Step {
                    at: Time(began.saturating_add(moment.now().0)),
                    life,
                    what: Played::Moment(place),
                    packet: match moment {
                        Moment::Input {
                            input: Input::Packet(packet),
                            ..
                        } => Some(hash(packet)),
                        _ => None,
                    },
                });
            }
            for (place, packet) in &rerun.sent {
                sent.get_or_default(*packet).push((head.node, from + place));
            }
        }
        let mut now = Time::ZERO;
        while let Some(node) = next_lane(&lanes, &sent) {
            let lane = lanes.get_mut(&node).expect("it has a step");
            let mut step = lane.steps[lane.next];
            lane.next += 1;
            now = now.max(step.at);
            step.at = now;
            if let Some(packet) = step.packet
                && is_gone(&lanes, &sent, &packet)
            {
                self.receipts.get_or_default(packet).push(Receipt {
                    to: node,
                    step: self.steps.len() as u64,
                    at: now,
                });
            }
            self.steps.push(step);
        }
    }
}

/// The lane whose next step is the earliest of those that wait for no packet. Where all wait for one another, as only
/// made-up lives do, the earliest.
fn next_lane(
    lanes: &Map<NodeId, Lane>,
    sent: &Map<Hash32, Vec<(NodeId, usize)>>,
) -> Option<NodeId> {
    let next = |(node, lane): (&NodeId, &Lane)| Some((*node, *lane.steps.get(lane.next)?));
    let waits = |step: &Step| {
        let packet = step.packet.as_ref();
        packet.is_some_and(|packet| sent.contains_key(packet) && !is_gone(lanes, sent, packet))
    };
    let next = || lanes.iter().filter_map(next);
    let free = next().filter(|(_, step)| !waits(step));
    let earliest = free.min_by_key(|(node, step)| (step.at, *node));
    let earliest = earliest.or_else(|| next().min_by_key(|(node, step)| (step.at, *node)));
    earliest.map(|(node, _)| node)
}

/// Whether a packet left a recorded node in a step that is laid.
fn is_gone(
    lanes: &Map<NodeId, Lane>,
    sent: &Map<Hash32, Vec<(NodeId, usize)>>,
    packet: &Hash32,
) -> bool {
    let mut places = sent.get(packet).into_iter().flatten();
    places.any(|(node, place)| lanes.get(node).is_some_and(|lane| *place < lane.next))
}

/// Whether part of what recorded nodes did is missing. What nodes did that are not recorded is known by what others
/// received of it.
fn has_gaps(reruns: &[&Rerun]) -> bool {
    let misses_end = |rerun: &&Rerun| {
        rerun.life.ending.is_early() || rerun.difference.is_some() || rerun.life.moments.is_empty()
    };
    let mut pairs = reruns.iter().zip(reruns.iter().skip(1));
    let begins_late = |rerun: &Rerun| !rerun.life.rows.is_empty();
    let misses_life = |(one, next): (&&Rerun, &&Rerun)| {
        let (one, next) = (&one.life.head, &next.life.head);
        if one.node == next.node {
            next.incarnation.0 > one.incarnation.0.saturating_add(1)
        } else {
            false
        }
    };
    let is_first = |place: usize| {
        let node = |place: usize| reruns[place].life.head.node;
        place == 0 || node(place - 1) != node(place)
    };
    let mut firsts = (0..reruns.len()).filter(|place| is_first(*place));
    reruns.iter().any(misses_end)
        || pairs.any(misses_life)
        || firsts.any(|place| begins_late(reruns[place]))
}

/// The cluster as a scenario.
fn scenario(genesis: &Genesis) -> Result<Scenario, ScriptError> {
    let unknown = ScriptError::Build(BuildError::UnknownProtocol(genesis.protocol));
    let protocol = ProtocolKind::from_tag(genesis.protocol).ok_or(unknown)?;
    let mut members: Vec<_> = genesis.members.iter().collect();
    members.sort_by_key(|member| member.id);
    let is_numbered = members
        .iter()
        .enumerate()
        .all(|(place, member)| usize::from(member.id.0) == place + 1);
    if !is_numbered || members.len() > usize::from(NODES_MAX) {
        return Err(ScriptError::Numbers);
    }
    Ok(Scenario {
        name: genesis.name.clone(),
        rules: genesis.rules,
        flaws: genesis.flaws.clone(),
        groups: members.iter().map(|member| member.group).collect(),
        seed: 0,
        crypto: genesis.crypto,
        config: genesis.config.clone(),
        ..Scenario::new(protocol, members.len() as u16)
    })
}

/// Why lives make no run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// There are none.
    Nothing,
    /// They are of more than one cluster: the names of two.
    TwoClusters([String; 2]),
    /// The members are not numbered from 1 without a gap, as a picture of them needs.
    Numbers,
    /// No node of this genesis can be.
    Build(BuildError),
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptError::Nothing => write!(f, "no life is recorded here"),
            ScriptError::TwoClusters([one, other]) => {
                write!(
                    f,
                    "recordings of two clusters, {one} and {other}; expected those of one"
                )
            }
            ScriptError::Numbers => {
                write!(
                    f,
                    "the members are not numbered 1 to n, of {NODES_MAX} at most"
                )
            }
            ScriptError::Build(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ScriptError {}
