//! A cluster that records itself as live nodes do: real inputs, group commit, kills and restarts, without processes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use phaselab_core::crypto::{Crypto, Signature, Signer, Witness};
use phaselab_core::engine::{Genesis, To};
use phaselab_core::environment::Environment;
use phaselab_core::protocol::{self, ProtocolKind, simulated_genesis};
use phaselab_core::recording::{Digest, Ending, Entry, Head, Input, Writer};
use phaselab_core::replica::{Outbox, Released, Replica};
use phaselab_core::scenario::{Scenario, member_seed};
use phaselab_core::store::Rows;
use phaselab_core::types::{ClientId, Hash32, NodeId, Time};

use crate::cluster::request;

/// Signatures that were made and not yet written.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<Entry>>);

impl Witness for Heard {
    fn signed(&self, preimage: &Hash32, signature: &Signature) {
        let (preimage, signature) = (*preimage, *signature);
        let entry = Entry::Signed {
            preimage,
            signature,
        };
        self.0.lock().expect("no one panics here").push(entry);
    }
}

/// A node that runs, with what it writes about itself.
struct Life {
    replica: Box<dyn Replica>,
    outbox: Outbox,
    heard: Arc<Heard>,
    digest: Digest,
    writer: Writer,
    bytes: Vec<u8>,
    /// When it began, by the cluster's clock.
    began_ms: u64,
}

/// The cluster. A step takes a millisecond.
pub struct Recorded {
    genesis: Genesis,
    world: Box<dyn Environment>,
    lives: Vec<Option<Life>>,
    stores: Vec<Rows>,
    /// Packets on their way.
    sent: VecDeque<(NodeId, Vec<u8>)>,
    now_ms: u64,
    requests: u64,
    /// By how much each node's time of day is wrong.
    skew_ms: Vec<u64>,
    /// The files of lives that are over, and how each node's machine ended it.
    files: Vec<(NodeId, Vec<u8>)>,
}

impl Recorded {
    /// A cluster whose nodes run, with clocks that are wrong by so much.
    ///
    /// # Panics
    /// If a node cannot be built.
    pub fn start(protocol: ProtocolKind, crypto: Crypto, skew_ms: &[u64]) -> Recorded {
        let mut scenario = Scenario::new(protocol, skew_ms.len() as u16);
        scenario.crypto = crypto;
        let mut cluster = Recorded {
            genesis: simulated_genesis(&scenario),
            world: protocol.environment(&scenario),
            lives: scenario.ids().map(|_| None).collect(),
            stores: scenario.ids().map(|_| Rows::default()).collect(),
            sent: VecDeque::new(),
            now_ms: 0,
            requests: 0,
            skew_ms: skew_ms.to_vec(),
            files: Vec::new(),
        };
        for node in scenario.ids() {
            cluster.revive(node);
        }
        cluster
    }

    /// The genesis.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The secret keys of all members.
    pub fn secrets(&self) -> Vec<[u8; 32]> {
        let ids = self.genesis.members.iter();
        ids.map(|member| member_seed(member.id)).collect()
    }

    /// Starts a node from its store.
    ///
    /// # Panics
    /// If its store does not give a state back.
    pub fn revive(&mut self, node: NodeId) {
        let heard = Arc::new(Heard::default());
        let signer = Signer::from_seed(self.genesis.crypto, &member_seed(node));
        let signer = signer.witnessed(heard.clone());
        let place = place(node);
        // No life draws as another did.
        let before = self.files.iter().filter(|(of, _)| *of == node).count();
        let entropy = [node.0 as u8 + 64 * before as u8; 32];
        let rows = &self.stores[place];
        let replica =
            protocol::build(&self.genesis, node, signer, rows, entropy).expect("its store");
        let began_ns = (1_000_000 + self.now_ms + self.skew_ms[place]) * 1_000_000;
        let life = replica.incarnation();
        let head = Head::new(self.genesis.clone(), node, life, entropy, began_ns, rows);
        let mut bytes = Vec::new();
        let writer = Writer::begin(&head, rows, &mut bytes).expect("a short head");
        self.lives[place] = Some(Life {
            digest: Digest::new(&self.genesis.hash(), node, life),
            replica,
            outbox: Outbox::new(),
            heard,
            writer,
            bytes,
            began_ms: self.now_ms,
        });
        self.hand(node, Input::Start);
        if let Some(view) = self.world.full_view(self.now(), node) {
            self.hand(node, Input::Fact(view));
        }
    }

    /// Asks a node to pay for an event.
    pub fn submit(&mut self, node: NodeId, event: &str, amount: u64) {
        self.requests += 1;
        self.ask(node, self.requests, request(event, amount));
    }

    /// Asks a node for something, as the client that asks for all.
    pub fn ask(&mut self, node: NodeId, number: u64, request: Vec<u8>) {
        let input = Input::Request {
            client: ClientId(9),
            number,
            request,
        };
        self.hand(node, input);
    }

    /// Lets so many milliseconds pass. Disks answer every third.
    pub fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.now_ms += 1;
            for (to, packet) in std::mem::take(&mut self.sent) {
                self.hand(to, Input::Packet(packet));
            }
            for (to, fact) in self.world.poll(self.now()) {
                self.hand(to, Input::Fact(fact));
            }
            for node in self.ids() {
                while self.is_due(node) {
                    self.hand(node, Input::Tick);
                }
                if self.now_ms.is_multiple_of(3) {
                    self.persist(node);
                }
            }
        }
    }

    /// Hands bytes of nobody's to a node.
    pub fn packet(&mut self, node: NodeId, bytes: &[u8]) {
        self.hand(node, Input::Packet(bytes.to_vec()));
    }

    /// Kills a node: what was not on its disk is gone, and its recording ends in the middle of a record.
    pub fn kill(&mut self, node: NodeId) {
        if let Some(life) = self.lives[place(node)].take() {
            let mut bytes = life.bytes;
            bytes.extend_from_slice(&[7, 0, 0]);
            self.files.push((node, bytes));
        }
    }

    /// Stops a node: what was written reaches its disk first.
    pub fn stop(&mut self, node: NodeId) {
        self.persist(node);
        if let Some(mut life) = self.lives[place(node)].take() {
            let end = Entry::End(Ending::Stopped);
            life.writer.push(&end, &mut life.bytes);
            self.files.push((node, life.bytes));
        }
    }

    /// Changes a node's store behind its back.
    pub fn tamper(&mut self, node: NodeId, change: impl FnOnce(&mut Rows)) {
        change(&mut self.stores[place(node)]);
    }

    /// Stops all; the files, by node and life.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        for node in self.ids() {
            self.stop(node);
        }
        self.files.sort_by_key(|(node, _)| *node);
        self.files.into_iter().map(|(_, bytes)| bytes).collect()
    }

    fn ids(&self) -> Vec<NodeId> {
        self.genesis
            .members
            .iter()
            .map(|member| member.id)
            .collect()
    }

    fn now(&self) -> Time {
        Time::from_ms(self.now_ms)
    }

    fn is_due(&self, node: NodeId) -> bool {
        self.lives[place(node)].as_ref().is_some_and(|life| {
            let now = Time::from_ms(self.now_ms - life.began_ms);
            life.replica.deadline().is_some_and(|at| at <= now)
        })
    }

    fn hand(&mut self, node: NodeId, input: Input) {
        let now_ms = self.now_ms;
        let Some(life) = &mut self.lives[place(node)] else {
            return;
        };
        let now = Time::from_ms(now_ms - life.began_ms);
        let replica = &mut life.replica;
        let output = input.hand_to(replica.as_mut(), now);
        let digest = life.digest.step(now, &input, &output);
        life.write(&Entry::Input { now, input, digest });
        let released = life.outbox.push(output);
        released
            .into_iter()
            .for_each(|what| self.release(node, what));
    }

    fn persist(&mut self, node: NodeId) {
        let now_ms = self.now_ms;
        let Some(life) = &mut self.lives[place(node)] else {
            return;
        };
        let Some(batch) = life.outbox.take_batch() else {
            return;
        };
        self.stores[place(node)].apply(&batch);
        let durable = batch.durable();
        let now = Time::from_ms(now_ms - life.began_ms);
        let batch = durable.number();
        life.write(&Entry::Durable { now, batch });
        let released = life.outbox.durable(durable);
        released
            .into_iter()
            .for_each(|what| self.release(node, what));
    }

    fn release(&mut self, node: NodeId, released: Released) {
        for outgoing in released.sends {
            let members = self.genesis.members.iter();
            let to = members.filter(|member| match outgoing.to {
                To::Node(id) => member.id == id,
                To::Group(group) => member.id != node && member.group == group,
                To::All => member.id != node,
            });
            let packets = to.map(|member| (member.id, outgoing.packet.to_vec()));
            self.sent.extend(packets);
        }
        for report in released.reports {
            self.world.report(Time::from_ms(self.now_ms), node, &report);
        }
    }
}

impl Life {
    fn write(&mut self, entry: &Entry) {
        let signed = std::mem::take(&mut *self.heard.0.lock().expect("no one panics here"));
        for entry in signed.iter().chain([entry]) {
            self.writer
                .push(entry, &mut self.bytes)
                .expect("a short record");
        }
    }
}

fn place(node: NodeId) -> usize {
    usize::from(node.0) - 1
}

/// Three nodes that decide three events while one is killed and comes back, another stops and comes back, and someone
/// sends noise: their files.
pub fn three_nodes(crypto: Crypto, skew_ms: [u64; 3]) -> Vec<Vec<u8>> {
    let mut cluster = Recorded::start(ProtocolKind::TwoPhase, crypto, &skew_ms);
    cluster.submit(NodeId(1), "withdraw-1", 25);
    cluster.run(40);
    cluster.submit(NodeId(2), "withdraw-2", 10);
    cluster.run(4);
    cluster.kill(NodeId(3));
    cluster.run(30);
    cluster.packet(NodeId(1), b"noise");
    cluster.revive(NodeId(3));
    cluster.run(1_500);
    cluster.stop(NodeId(2));
    cluster.run(20);
    cluster.revive(NodeId(2));
    cluster.submit(NodeId(3), "withdraw-3", 5);
    cluster.run(1_500);
    cluster.finish()
}
