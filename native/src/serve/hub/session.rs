//! A member's connection as the hub sees it: what it may send, and to whom that goes.

use std::fmt::Display;
use std::sync::Arc;

use axum::body::Bytes;
use phaselab_core::envelope;
use phaselab_core::gateway::{FromGateway, Place};
use phaselab_core::types::NodeId;

use super::{Cluster, Hub, held};
use crate::serve::counts::Counts;
use crate::serve::limits::Queue;

/// Why a member's frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Forged {
    /// The envelope is not sealed by a member of this genesis.
    Seal(envelope::Refusal),
    /// Another member sealed it.
    Sender(NodeId),
}

impl Display for Forged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Forged::Seal(refusal) => refusal.fmt(f),
            Forged::Sender(node) => write!(f, "it is sealed by node {}", node.0),
        }
    }
}

/// A member's connection; it ends when this is dropped.
#[derive(Debug)]
pub(in crate::serve) struct Session {
    pub(super) hub: Arc<Hub>,
    /// Its cluster.
    pub(in crate::serve) cluster: Arc<Cluster>,
    /// The member.
    pub(in crate::serve) node: NodeId,
    pub(super) connection: u64,
    /// What it is to be told.
    pub(in crate::serve) queue: Arc<Queue>,
}

impl Session {
    /// Passes a packet on, if it is the member's own.
    ///
    /// # Errors
    /// Why it is not.
    pub(in crate::serve) fn route(
        &self,
        to: Option<NodeId>,
        packet: Vec<u8>,
    ) -> Result<(), Forged> {
        let file = &self.cluster.file;
        let (header, _) = envelope::open(
            &packet,
            file.genesis.protocol,
            &self.cluster.hash,
            &self.cluster.keyring,
        )
        .map_err(Forged::Seal)?;
        if header.sender != self.node {
            return Err(Forged::Sender(header.sender));
        }
        let frame = Bytes::from(FromGateway::Packet(packet).encode());
        let online = held(&self.cluster.online);
        let receivers = file
            .ids()
            .into_iter()
            .filter(|id| *id != self.node && to.is_none_or(|to| to == *id));
        for id in receivers {
            match online.get(&id) {
                Some(receiver) => {
                    Counts::add(&self.hub.counts.routed);
                    receiver.queue.push(frame.clone());
                }
                None => Counts::add(&self.hub.counts.undelivered),
            }
        }
        Ok(())
    }

    /// Shows the other members' observers something.
    pub(in crate::serve) fn show(&self, bytes: Vec<u8>) {
        let frame = Bytes::from(FromGateway::Watch(bytes).encode());
        let online = held(&self.cluster.online);
        // A terminal draws nothing.
        let watchers = online
            .iter()
            .filter(|(id, online)| **id != self.node && online.place == Place::Browser);
        watchers.for_each(|(_, watcher)| watcher.queue.push_lossy(frame.clone()));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        {
            let mut online = held(&self.cluster.online);
            // A newer connection of the member stays.
            let is_newest = online
                .get(&self.node)
                .is_some_and(|online| online.connection == self.connection);
            if is_newest {
                online.remove(&self.node);
            }
        }
        self.cluster.tell_online();
        self.hub.tell_change();
    }
}
