//! The world outside a cluster: a chain that takes signed transactions and shows each node a view.
//!
//! One actor per cluster: the simulator, `phaselab cluster` and a live room each run one. It hears reports and pushes
//! facts; it never votes.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::types::{NodeId, Time};

/// The world outside.
pub trait Environment: Send + Sync {
    /// A node reports; bytes of the protocol's `Report`. What does not decode is ignored.
    fn report(&mut self, now: Time, from: NodeId, report: &[u8]);
    /// An intervention: bytes of the protocol's `Change`, for one node's view or for the world.
    ///
    /// # Errors
    /// What is impossible.
    fn change(&mut self, now: Time, node: Option<NodeId>, change: &[u8]) -> Result<(), String>;
    /// When something happens next of itself.
    fn deadline(&self) -> Option<Time>;
    /// Lets time pass; returns the facts to push now, bytes of the protocol's `Fact`.
    fn poll(&mut self, now: Time) -> Vec<(NodeId, Vec<u8>)>;
    /// The whole view of a node that starts; `None` if it is shown nothing.
    fn full_view(&mut self, now: Time, node: NodeId) -> Option<Vec<u8>>;
    /// The actor's state, for shells that keep it across restarts.
    fn save(&self) -> Vec<u8>;
    /// Takes a saved state back.
    ///
    /// # Errors
    /// If the bytes are not one.
    fn restore(&mut self, saved: &[u8]) -> Result<(), String>;
    /// A copy, for checkpoints.
    fn clone_box(&self) -> Box<dyn Environment>;
}

/// The settings of a protocol that has no world outside: there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nowhere {}

/// No world outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Void;

impl Environment for Void {
    fn report(&mut self, _: Time, _: NodeId, _: &[u8]) {}
    fn change(&mut self, _: Time, _: Option<NodeId>, _: &[u8]) -> Result<(), String> {
        Err(String::from("this protocol has no world outside"))
    }
    fn deadline(&self) -> Option<Time> {
        None
    }
    fn poll(&mut self, _: Time) -> Vec<(NodeId, Vec<u8>)> {
        Vec::new()
    }
    fn full_view(&mut self, _: Time, _: NodeId) -> Option<Vec<u8>> {
        None
    }
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    fn restore(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn clone_box(&self) -> Box<dyn Environment> {
        Box::new(*self)
    }
}
