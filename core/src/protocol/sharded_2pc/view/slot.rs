//! A slot of a cluster's log as an instance: the same under both rule sets, but for what is known of it.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::words;
use crate::engine::Env;
use crate::paxos::{LogEntry, Slot};
use crate::protocol::sharded_2pc::command::Command;
use crate::protocol::sharded_2pc::config::Place;
use crate::protocol::sharded_2pc::message::{round, slot_id, slot_name};
use crate::protocol::sharded_2pc::{ACCEPTANCES_METER, SLOT, Sharded2pc};
use crate::quorum::Quorum;
use crate::types::NodeId;
use crate::view::{Field, InstanceView, Meter, Segment, SegmentVote};

/// A slot, its entry, and what a member knows of them.
pub(in crate::protocol::sharded_2pc) struct Known<'a> {
    pub(in crate::protocol::sharded_2pc) slot: Slot,
    pub(in crate::protocol::sharded_2pc) entry: &'a LogEntry<Command>,
    /// The phase that people see.
    pub(in crate::protocol::sharded_2pc) phase: u8,
    /// `LogEntry.Status`: A accepted, C chosen, E executed. (S4-36)
    pub(in crate::protocol::sharded_2pc) status: &'static str,
}

impl Known<'_> {
    /// The instance that it is.
    pub(in crate::protocol::sharded_2pc) fn view(
        &self,
        place: &Place<'_>,
        acceptances: Meter,
    ) -> InstanceView {
        let entry = self.entry;
        InstanceView {
            id: slot_id(place.cluster, self.slot),
            name: slot_name(place.cluster, self.slot),
            kind: SLOT,
            phase: self.phase,
            round: round(entry.ballot),
            value: entry.chosen.then(|| Command::hash(entry.req.as_ref())),
            locked: None,
            signed: None,
            meters: Vec::from([acceptances]),
            choices: Vec::new(),
            fields: self.fields(),
        }
    }

    fn fields(&self) -> Vec<Field> {
        let (slot, entry) = (self.slot, self.entry);
        let mut fields = Vec::from([
            Field::new("SeqNum", slot.to_string()),
            Field::new(
                "Ballot",
                format!("{}.{}", entry.ballot.round, entry.ballot.node.0),
            ),
            Field::new("Status", self.status),
            Field::new("command", words(entry.req.as_ref())),
        ]);
        if let Some(command) = &entry.req {
            fields.push(Field::new("Phase", command.marker()));
            // S4-43. Where a slot is always new, what carries a seq again stands in another one.
            fields.push(match command.seq() {
                Some(seq) if seq == slot => Field::new("log", format!("REUSING seq={seq}")),
                Some(seq) => Field::new("log", format!("REUSING seq={seq} in slot {slot}")),
                None => Field::new("log", format!("Allocated NEW seq={slot}")),
            });
        }
        fields
    }
}

/// Who accepted an entry, as far as this member knows: a leader knows of all, others of themselves.
pub(in crate::protocol::sharded_2pc) fn acceptances(
    env: &Env<Sharded2pc>,
    place: &Place<'_>,
    entry: &LogEntry<Command>,
    is_counted: impl Fn(NodeId) -> bool,
) -> Meter {
    let hash = Command::hash(entry.req.as_ref());
    let members: Vec<NodeId> = env.keyring.group(place.cluster).collect();
    let need = Quorum::crash_majority(members.len().max(1) as u16).need() as u64;
    let has = |node: NodeId| node == env.id || node == entry.ballot.node || is_counted(node);
    let segment = |node: &NodeId| Segment {
        node: *node,
        weight: 1,
        vote: if has(*node) {
            SegmentVote::For(hash)
        } else {
            SegmentVote::Awaiting
        },
    };
    let counted = members.iter().filter(|node| has(**node)).count() as u64;
    Meter {
        kind: ACCEPTANCES_METER,
        round: round(entry.ballot),
        value: Some(hash),
        // Of a chosen entry a majority accepted, whoever that was.
        have: if entry.chosen {
            counted.max(need)
        } else {
            counted
        },
        need,
        total: members.len() as u64,
        segments: members.iter().map(segment).collect(),
    }
}
