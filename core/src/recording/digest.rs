//! One number per input that stands for all that a node did until then.

use super::Input;
use crate::crypto::Transcript;
use crate::engine::To;
use crate::replica::Output;
use crate::types::{Hash32, Incarnation, NodeId, Time};

/// A running digest: of each step's time, input, writes, packets, replies, reports and records.
///
/// Two runs of a life have equal digests as long as they do the same, and after the first step in which they do not,
/// never again. Events are not in it: a life is the same however much observers hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(Hash32);

/// As many bytes at the end of a packet are a digest of the whole: its signature.
const SIGNATURE_BYTES: usize = 64;

impl Digest {
    /// The digest of a life to which nothing happened yet.
    pub fn new(genesis: &Hash32, node: NodeId, incarnation: Incarnation) -> Digest {
        let mut life = Transcript::new("phaselab 2026-11 recorded life v1");
        life.hash(genesis).u32(u32::from(node.0)).u32(incarnation.0);
        Digest(life.finish())
    }

    /// Adds a step, and returns the digest's first eight bytes.
    pub fn step(&mut self, now: Time, input: &Input, output: &Output) -> u64 {
        let mut step = Transcript::new("phaselab 2026-11 recorded step v1");
        step.hash(&self.0).u64(now.0);
        match input {
            Input::Start => step.u8(0),
            Input::Packet(packet) => step.u8(1).bytes(packet),
            Input::Request {
                client,
                number,
                request,
            } => step.u8(2).u64(client.0).u64(*number).bytes(request),
            Input::Fact(fact) => step.u8(3).bytes(fact),
            Input::Tick => step.u8(4),
        };
        for write in output.writes.writes() {
            step.u8(b'w').u8(write.table.0).bytes(&write.key);
            match &write.value {
                Some(value) => step.u8(1).bytes(value),
                None => step.u8(0),
            };
        }
        let held = output.held();
        for sent in &held.sends {
            let (kind, to) = match sent.to {
                To::Node(node) => (0, node.0),
                To::Group(group) => (1, group.0),
                To::All => (2, 0),
            };
            let signature = sent.packet.len().saturating_sub(SIGNATURE_BYTES);
            step.u8(b'm').u8(kind).u32(u32::from(to));
            step.bytes(&sent.packet[signature..]);
        }
        for (client, number, reply) in &held.replies {
            step.u8(b'a').u64(client.0).u64(*number).bytes(reply);
        }
        for report in &held.reports {
            step.u8(b'o').bytes(report);
        }
        for record in &held.records {
            step.u8(b'r').u8(record.kind as u8);
            step.hash(&record.instance.0)
                .option(record.value.as_ref())
                .u32(record.round.0);
        }
        self.0 = step.finish();
        let (head, _) = self.0.0.split_first_chunk().expect("8 of 32");
        u64::from_le_bytes(*head)
    }
}
