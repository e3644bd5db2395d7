//! A live node without its surroundings: replica, outbox and the packets that wait for a slow store.
//!
//! Each input returns what may leave at once. The shell takes a batch whenever [`Host::begin_commit`] has one, and hands
//! the proof back to [`Host::committed`]; what comes out may leave then.

use std::collections::{BTreeSet, VecDeque};

use phaselab_core::codec::CodecError;
use phaselab_core::engine::Genesis;
use phaselab_core::envelope::{PACKET_BYTES_MAX, Refusal};
use phaselab_core::protocol;
use phaselab_core::recording::Input;
use phaselab_core::replica::{BuildError, Outbox, Output, Released, Replica};
use phaselab_core::store::{Durable, Rows, WriteBatch};
use phaselab_core::types::{ClientId, NodeId, Time};

use super::faults::Broken;
use super::room::Secret;
use super::tape::Tape;

/// The most packets that wait for the store; what comes beyond is lost, as networks lose packets.
pub const PACKETS_WAITING_MAX: usize = 4096;

/// The most timers that fire in one call, so that a late node still hears its packets.
const TIMERS_PER_TICK_MAX: usize = 64;

/// A node of any protocol with its outbox.
pub struct Host {
    replica: Box<dyn Replica>,
    outbox: Outbox,
    is_committing: bool,
    waiting: VecDeque<Vec<u8>>,
    heard: BTreeSet<NodeId>,
    broken: Broken,
    tape: Option<Tape>,
}

impl Host {
    /// Opens a node from its rows; a store without rows is a new node. `entropy` is fresh for each life. A life that is
    /// recorded comes with its tape, and when the room was made, in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn open(
        genesis: &Genesis,
        id: NodeId,
        secret: &Secret,
        rows: &Rows,
        entropy: [u8; 32],
        recorded: Option<(Tape, u64)>,
    ) -> Result<Host, BuildError> {
        let signer = secret.signer(genesis.crypto);
        let signer = match &recorded {
            Some((tape, _)) => tape.witness(signer),
            None => signer,
        };
        let replica = protocol::build(genesis, id, signer, rows, entropy)?;
        if let Some((tape, created_ms)) = &recorded {
            tape.begin(genesis, replica.as_ref(), rows, entropy, *created_ms);
        }
        let members = genesis.members.iter().map(|member| member.id);
        let seed = entropy
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok(Host {
            replica,
            outbox: Outbox::new(),
            is_committing: false,
            waiting: VecDeque::new(),
            heard: BTreeSet::new(),
            broken: Broken::new(id, members, seed),
            tape: recorded.map(|(tape, _)| tape),
        })
    }

    /// What this node knows is broken.
    pub fn broken(&self) -> &Broken {
        &self.broken
    }

    /// The same, for changing it and for sending.
    pub fn broken_mut(&mut self) -> &mut Broken {
        &mut self.broken
    }

    /// The node.
    pub fn replica(&self) -> &dyn Replica {
        self.replica.as_ref()
    }

    /// The node, for setting what observers hear.
    pub fn replica_mut(&mut self) -> &mut dyn Replica {
        self.replica.as_mut()
    }

    /// How many other members were heard in this life.
    pub fn peers(&self) -> usize {
        self.heard.len()
    }

    /// The first step of this life.
    pub fn start(&mut self, now: Time) -> Vec<Released> {
        let output = self.replica.start(now);
        self.push(now, || Input::Start, output)
    }

    /// A packet came, from anyone.
    pub fn packet(&mut self, now: Time, bytes: &[u8]) -> Vec<Released> {
        if bytes.len() > PACKET_BYTES_MAX {
            return self.junk(now, bytes.len());
        }
        if self.outbox.is_full() {
            if self.waiting.len() < PACKETS_WAITING_MAX {
                self.waiting.push_back(bytes.to_vec());
            }
            return Vec::new();
        }
        let output = match self.replica.open(bytes) {
            // Cut off on purpose: as if it had never come.
            Ok(opened) if self.broken.is_deaf_to(opened.from) => return Vec::new(),
            Ok(opened) => {
                self.heard.insert(opened.from);
                self.replica.receive(now, Ok(&opened))
            }
            Err(why) => self.replica.receive(now, Err(why)),
        };
        self.push(now, || Input::Packet(bytes.to_vec()), output)
    }

    /// Something came that is not even a packet: counted.
    pub fn junk(&mut self, now: Time, bytes: usize) -> Vec<Released> {
        let why = if bytes > PACKET_BYTES_MAX {
            CodecError::TooLong { bytes }
        } else {
            CodecError::Malformed
        };
        let output = self.replica.receive(now, Err(Refusal::Malformed(why)));
        // What it was does not matter: no packet is empty, and it is refused again.
        self.push(now, || Input::Packet(Vec::new()), output)
    }

    /// A client asks.
    pub fn request(
        &mut self,
        now: Time,
        client: ClientId,
        number: u64,
        request: &[u8],
    ) -> Vec<Released> {
        let output = self.replica.request(now, client, number, request);
        let input = || Input::Request {
            client,
            number,
            request: request.to_vec(),
        };
        self.push(now, input, output)
    }

    /// The world outside changed.
    pub fn fact(&mut self, now: Time, fact: &[u8]) -> Vec<Released> {
        let output = self.replica.fact(now, fact);
        self.push(now, || Input::Fact(fact.to_vec()), output)
    }

    /// Time passed: fires what is due.
    pub fn tick(&mut self, now: Time) -> Vec<Released> {
        let mut released = Vec::new();
        for _ in 0..TIMERS_PER_TICK_MAX {
            if self.deadline().is_none_or(|deadline| deadline > now) {
                break;
            }
            let output = self.replica.tick(now);
            released.extend(self.push(now, || Input::Tick, output));
        }
        released
    }

    /// When the next timer is due.
    pub fn deadline(&self) -> Option<Time> {
        self.replica.deadline()
    }

    /// The writes to commit now, in one transaction; nothing while another is on its way.
    pub fn begin_commit(&mut self) -> Option<WriteBatch> {
        if self.is_committing {
            return None;
        }
        let batch = self.outbox.take_batch()?;
        self.is_committing = true;
        Some(batch)
    }

    /// The writes are durable.
    pub fn committed(&mut self, now: Time, durable: Durable) -> Vec<Released> {
        self.is_committing = false;
        if let Some(tape) = &self.tape {
            tape.durable(now, &durable);
        }
        let mut released = self.outbox.durable(durable);
        while !self.outbox.is_full()
            && let Some(bytes) = self.waiting.pop_front()
        {
            released.extend(self.packet(now, &bytes));
        }
        released
    }

    fn push(&mut self, now: Time, input: impl FnOnce() -> Input, output: Output) -> Vec<Released> {
        if let Some(tape) = &self.tape {
            tape.input(now, input, &output);
        }
        if output.is_empty() {
            return Vec::new();
        }
        self.outbox.push(output).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::protocol::ProtocolKind;
    use phaselab_core::types::Incarnation;

    use super::*;
    use crate::live::room::{Room, tests::counting_entropy};

    fn room() -> Room {
        Room::create(
            ProtocolKind::TwoPhase,
            "test",
            3,
            None,
            0,
            &mut counting_entropy(),
        )
        .unwrap()
    }

    fn open(room: &Room, node: u16, rows: &Rows) -> Host {
        let secret = &room.secrets[usize::from(node) - 1];
        Host::open(&room.genesis, NodeId(node), secret, rows, [9; 32], None).unwrap()
    }

    #[test]
    fn nothing_leaves_before_the_first_write_is_durable() {
        let room = room();
        let mut host = open(&room, 1, &Rows::default());
        assert!(host.start(Time::ZERO).is_empty());
        let batch = host
            .begin_commit()
            .expect("a life is written down before it speaks");
        assert!(host.begin_commit().is_none(), "one commit at a time");
        let mut rows = Rows::default();
        rows.apply(&batch);
        host.committed(Time::ZERO, batch.durable());
        assert_eq!(
            open(&room, 1, &rows).replica().incarnation(),
            Incarnation(2)
        );
    }

    #[test]
    fn junk_is_counted_and_changes_nothing() {
        let room = room();
        let mut host = open(&room, 2, &Rows::default());
        host.start(Time::ZERO);
        let before = host.replica().glance();
        host.packet(Time::ZERO, &[1, 2, 3]);
        host.packet(Time::ZERO, &vec![7; PACKET_BYTES_MAX + 1]);
        host.junk(Time::ZERO, 0);
        assert_eq!(host.replica().refused(), 3);
        assert_eq!(host.replica().glance(), before);
    }

    #[test]
    fn another_members_key_is_refused() {
        let room = room();
        let secret = &room.secrets[0];
        let opened = Host::open(
            &room.genesis,
            NodeId(2),
            secret,
            &Rows::default(),
            [9; 32],
            None,
        );
        assert!(matches!(
            opened.err(),
            Some(BuildError::NotAMember { node: NodeId(2) })
        ));
    }
}
