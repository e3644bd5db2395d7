//! A state of the whole cluster: its nodes, every message ever sent, and what was used up of the bounds.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::engine::{Env, MessageInfo, Protocol, To};
use crate::event::RecordKind;
use crate::explore::fingerprint::Fingerprint;
use crate::ordered::Set;
use crate::types::{Hash32, InstanceId, NodeId, Round};

/// What a node said that counts, in any of its lives. The round is the one of a decision; in which round a node was when
/// it said anything else is nobody's concern.
pub(super) type Said = (RecordKind, InstanceId, Option<Hash32>, Round);

/// One node: its protocol's state, and what the checker must know besides.
pub struct Local<P: Protocol> {
    pub(super) state: P,
    pub(super) armed: Set<P::Timer>,
    pub(super) life: u8,
    /// Which of its views it was shown last.
    pub(super) view: u8,
    pub(super) said: Set<Said>,
    /// What arrived and changed something, where each message arrives once.
    pub(super) heard: Set<Fingerprint>,
    /// Of all of the above but what was heard.
    pub(super) bare: Fingerprint,
    /// Of all of the above.
    pub(super) print: Fingerprint,
    /// What tells it apart in a state of the cluster: of an instance at rest, only how it ended.
    pub(super) face: Fingerprint,
    pub(super) said_print: Fingerprint,
    /// Whether recovering from the tables gives the live durable state.
    pub(super) recovers: bool,
    /// Whether everything that was asked is decided here, and that is the end of it.
    pub(super) at_rest: bool,
}

impl<P: Protocol> Local<P> {
    /// The protocol's state.
    pub fn state(&self) -> &P {
        &self.state
    }

    pub(super) fn decided(&self, instance: InstanceId) -> bool {
        let from = (RecordKind::Decided, instance, None, Round(0));
        let said = self.said.range(from..).next();
        said.is_some_and(|(kind, of, ..)| (*kind, *of) == (RecordKind::Decided, instance))
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
    pub(super) print: Fingerprint,
    /// Whether receivers accept it.
    pub(super) valid: bool,
}

/// All messages ever sent, by fingerprint.
pub(super) struct Sent<P: Protocol> {
    pub(super) packets: Vec<Arc<Packet<P>>>,
    /// The sum of their fingerprints.
    pub(super) sum: [u64; 2],
}

impl<P: Protocol> Sent<P> {
    pub(super) fn has(&self, packet: &Packet<P>) -> bool {
        let order = |held: &Arc<Packet<P>>| held.print.cmp(&packet.print);
        self.packets.binary_search_by(order).is_ok()
    }

    pub(super) fn add(&mut self, packet: &Arc<Packet<P>>) {
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
    pub(super) nodes: Vec<Arc<Local<P>>>,
    pub(super) sent: Arc<Sent<P>>,
    pub(super) used: Used,
    pub(super) judged: Judged,
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
pub(super) struct Used {
    pub(super) crashes: u8,
    pub(super) housekeeping: u8,
    pub(super) repeats: u8,
    /// Counted only where there is a bound.
    pub(super) timeouts: u8,
    /// One bit per request and node.
    pub(super) asked: u64,
}

/// What the oracle says of what was sent and said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) broken: Option<&'static str>,
    pub(super) ended: bool,
}

impl<P: Protocol> Packet<P> {
    pub(super) fn is_for(&self, env: &Env<P>) -> bool {
        let is_meant = match self.to {
            To::All => true,
            To::Node(node) => node == env.id,
            To::Group(group) => env.keyring.group_of(env.id) == Some(group),
        };
        is_meant && self.from != env.id
    }
}
