//! One node without a simulator: its store is memory, and what it says is handed back.

use phaselab_core::engine::{Env, Protocol};
use phaselab_core::entropy::Prng;
use phaselab_core::replica::{Node, Output, Released, Replica};
use phaselab_core::store::Rows;
use phaselab_core::types::{ClientId, Time};

/// A node and its store.
pub struct Machine {
    replica: Box<dyn Replica>,
    rows: Rows,
}

impl Machine {
    /// A new node, started at time zero.
    ///
    /// # Panics
    /// If it does not start from an empty store.
    pub fn start<P: Protocol>(env: &Env<P>) -> Machine {
        Machine::resume(env, Rows::default())
    }

    /// A node in its next life, started at time zero.
    ///
    /// # Panics
    /// If the rows do not give a state back.
    pub fn resume<P: Protocol>(env: &Env<P>, rows: Rows) -> Machine {
        let entropy = |life: phaselab_core::types::Incarnation| Prng::new(7, "machine", 0, life.0);
        let node = Node::open(env.clone(), &rows, entropy).expect("rows of this node");
        let mut machine = Machine {
            replica: Box::new(node),
            rows,
        };
        let output = machine.replica.start(Time::ZERO);
        machine.absorb(output);
        machine
    }

    /// The node.
    pub fn replica(&self) -> &dyn Replica {
        self.replica.as_ref()
    }

    /// Its store.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Hands it a packet, as a network does.
    pub fn packet(&mut self, now: Time, packet: &[u8]) -> Released {
        let opened = self.replica.open(packet);
        let output = self
            .replica
            .receive(now, opened.as_ref().map_err(|why| *why));
        self.absorb(output)
    }

    /// Hands it a client's request.
    pub fn request(&mut self, now: Time, number: u64, request: &[u8]) -> Released {
        let output = self.replica.request(now, ClientId(1), number, request);
        self.absorb(output)
    }

    /// Hands it a fact.
    pub fn fact(&mut self, now: Time, fact: &[u8]) -> Released {
        let output = self.replica.fact(now, fact);
        self.absorb(output)
    }

    /// Fires the timer that is due first, if one is.
    pub fn tick(&mut self, now: Time) -> Released {
        let output = self.replica.tick(now);
        self.absorb(output)
    }

    /// How many packets, requests and facts it refused for this reason.
    pub fn refused(&self, why: &str) -> u64 {
        let name = format!("refused_{why}");
        self.replica
            .counters()
            .get(name.as_str())
            .copied()
            .unwrap_or(0)
    }

    fn absorb(&mut self, output: Output) -> Released {
        self.rows.apply(&output.writes);
        let durable = output.writes.durable();
        output.after_persist(&durable)
    }
}
