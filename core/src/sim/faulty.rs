//! Liars: what leaves a faulty node differs from what its replica said.
//!
//! The replica inside is the honest one; lies are made of its own outputs and its own key, so that a liar can do no more
//! than a real one could.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Sim;
use crate::engine::{Lie, To};
use crate::envelope::PACKET_BYTES_MAX;
use crate::event::EventKind;
use crate::replica::{Outgoing, Replica};
use crate::scenario::Behaviour;
use crate::types::{Duration, NodeId};

/// How late a delaying liar sends.
const LIE_DELAY: Duration = Duration::from_ms(4_000);

/// How a node lies: nothing for an honest one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lies {
    behaviour: Option<Behaviour>,
}

/// One version of a message that leaves a node, and whom it reaches.
pub(super) struct Version {
    pub(super) outgoing: Outgoing,
    /// Whether the node's key signed it: forgeries are nobody's word.
    pub(super) is_own: bool,
    pub(super) late: Duration,
    audience: Audience,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Audience {
    All,
    Odd,
    Even,
    LowerHalf,
}

impl Version {
    fn honest(outgoing: Outgoing) -> Version {
        Version {
            outgoing,
            is_own: true,
            late: Duration::ZERO,
            audience: Audience::All,
        }
    }

    /// Whether this version is meant for a node.
    pub(super) fn reaches(&self, to: NodeId, nodes: u16) -> bool {
        match self.audience {
            Audience::All => true,
            Audience::Odd => to.0 % 2 == 1,
            Audience::Even => to.0.is_multiple_of(2),
            Audience::LowerHalf => to.0 <= nodes / 2,
        }
    }
}

impl Lies {
    pub(super) fn is_liar(&self) -> bool {
        self.behaviour.is_some()
    }

    /// What leaves the node in place of an honest message.
    pub(super) fn versions(&self, outgoing: Outgoing, replica: &mut dyn Replica) -> Vec<Version> {
        match self.behaviour {
            None | Some(Behaviour::Amnesia) => alloc::vec![Version::honest(outgoing)],
            Some(Behaviour::Mute) => Vec::new(),
            Some(Behaviour::Delay) => alloc::vec![Version {
                late: LIE_DELAY,
                ..Version::honest(outgoing)
            }],
            Some(Behaviour::Withhold) => {
                alloc::vec![Version {
                    audience: Audience::LowerHalf,
                    ..Version::honest(outgoing)
                }]
            }
            Some(Behaviour::Rush) => told_otherwise(outgoing, replica, Lie::Round),
            Some(Behaviour::Oppose) => told_otherwise(outgoing, replica, Lie::Value),
            Some(Behaviour::Equivocate) => match replica.lie(&outgoing.packet, Lie::Value) {
                None => alloc::vec![Version::honest(outgoing)],
                Some(other) => {
                    let second = Outgoing {
                        packet: other,
                        ..outgoing.clone()
                    };
                    alloc::vec![
                        Version {
                            audience: Audience::Odd,
                            ..Version::honest(outgoing)
                        },
                        Version {
                            audience: Audience::Even,
                            ..Version::honest(second)
                        },
                    ]
                }
            },
            Some(Behaviour::Forge) => {
                let forged = Outgoing {
                    packet: forged(&outgoing.packet),
                    ..outgoing.clone()
                };
                alloc::vec![
                    Version::honest(outgoing),
                    Version {
                        is_own: false,
                        ..Version::honest(Outgoing {
                            to: To::All,
                            ..forged
                        })
                    },
                ]
            }
        }
    }
}

/// The lie to everybody; the honest message where there is none to tell.
fn told_otherwise(outgoing: Outgoing, replica: &mut dyn Replica, lie: Lie) -> Vec<Version> {
    let packet = replica.lie(&outgoing.packet, lie);
    let packet = packet.unwrap_or_else(|| outgoing.packet.clone());
    alloc::vec![Version::honest(Outgoing { packet, ..outgoing })]
}

/// The same packet under the next member's name. Nobody's key signed it.
fn forged(packet: &[u8]) -> Arc<[u8]> {
    debug_assert!(packet.len() <= PACKET_BYTES_MAX);
    let mut bytes = packet.to_vec();
    // The sender's number, little-endian, at its place in the header.
    let sender = u16::from_le_bytes([bytes[34], bytes[35]]);
    let other = if sender == 1 { 2 } else { sender - 1 };
    bytes[34..36].copy_from_slice(&u16::to_le_bytes(other));
    bytes.into()
}

impl Sim {
    /// Makes a node lie from now on.
    pub(super) fn become_liar(&mut self, node: NodeId, behaviour: Behaviour) {
        self.slot_mut(node).lies.behaviour = Some(behaviour);
        if behaviour == Behaviour::Amnesia && self.is_alive(node) {
            self.crash(node);
            self.slot_mut(node).disk.forget_votes();
            self.note_fault(node, EventKind::Restarted);
            self.start(node);
        }
    }
}
