//! What a cluster logs, and what a transaction is made of.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::machine::Client;
use crate::codec::Key;
use crate::crypto::Transcript;
use crate::paxos::Slot;
use crate::types::{ClientId, GroupId, Hash32, InstanceId};

/// An account. (S4-62)
pub type Item = u32;

/// A transaction's name: `2pc-{client}-{number}`, which attempt, and who decides. (S4-09)
///
/// The number is the client's own, raised with each request, so that two requests never share a name. (S4-F27) An
/// attempt that met a lock is over for good; the next one has a name of its own, and so has one that another cluster
/// makes, where the sender lives by then.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct TxnId {
    /// Whose request.
    pub client: ClientId,
    /// The cluster that decides.
    pub home: GroupId,
    /// Which of the client's.
    pub number: u64,
    /// Which attempt at it, from 0.
    pub attempt: u32,
}

impl TxnId {
    /// The transfer as an instance: what people follow.
    pub fn instance(self) -> InstanceId {
        let mut transcript = Transcript::new("phaselab 2026-11 sharded-2pc transaction v1");
        transcript
            .u64(self.client.0)
            .u32(u32::from(self.home.0))
            .u64(self.number)
            .u64(u64::from(self.attempt));
        InstanceId(transcript.finish())
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2pc-{}-{}", self.client.0, self.number)?;
        if self.attempt > 0 {
            write!(f, ".{}", self.attempt)?;
        }
        Ok(())
    }
}

impl Key for TxnId {
    fn write(&self, out: &mut alloc::vec::Vec<u8>) {
        ((self.client, self.home), self.number, self.attempt).write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let ((client, home), number, attempt) = Key::read(bytes)?;
        Some(TxnId {
            client,
            home,
            number,
            attempt,
        })
    }
}

/// What a transaction does to one item of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Part {
    /// The amount leaves the item.
    Debit {
        /// The sender.
        item: Item,
        /// How much.
        amount: u64,
    },
    /// The amount reaches the item.
    Credit {
        /// The receiver.
        item: Item,
        /// How much.
        amount: u64,
    },
    /// The item, with what it holds, goes to another cluster. (S4-54)
    Leave {
        /// Which.
        item: Item,
        /// Where to.
        to: GroupId,
    },
    /// The item comes from another cluster.
    Arrive {
        /// Which.
        item: Item,
        /// What it holds.
        balance: u64,
    },
}

impl Part {
    /// Whether it makes sense on its own. (S4-F22)
    pub const fn is_sound(self) -> bool {
        match self {
            Part::Debit { amount, .. } | Part::Credit { amount, .. } => amount > 0,
            Part::Leave { .. } | Part::Arrive { .. } => true,
        }
    }

    /// The item that is locked.
    pub const fn item(self) -> Item {
        match self {
            Part::Debit { item, .. }
            | Part::Credit { item, .. }
            | Part::Leave { item, .. }
            | Part::Arrive { item, .. } => item,
        }
    }
}

/// Which side of a transaction a cluster is on, and who is on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The cluster that the sender lives in decides. (S4-01)
    Coordinator {
        /// The other cluster.
        participant: GroupId,
        /// What happens there, where it is known before the own part is prepared: of an item that moves, what it holds
        /// is known only then.
        part: Option<Part>,
    },
    /// The cluster that the receiver lives in.
    Participant {
        /// The other cluster.
        coordinator: GroupId,
    },
}

impl Side {
    /// The cluster on the other side.
    pub const fn other(self) -> GroupId {
        match self {
            Side::Coordinator { participant, .. } => participant,
            Side::Participant { coordinator } => coordinator,
        }
    }

    /// Whether the outcome is decided here.
    pub const fn coordinates(self) -> bool {
        matches!(self, Side::Coordinator { .. })
    }
}

/// Why something was not done. (S4-37)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The sender does not hold as much.
    InsufficientBalance,
    /// Another transaction holds an item.
    Locked,
    /// An item does not live where the request was sent, or nowhere.
    NotHere,
    /// The receiver would hold more than can be counted.
    Overflow,
    /// Nothing is to be moved, or from an item to itself, or an item does not exist. (S4-F22)
    Invalid,
    /// The client asked for something newer already.
    Old,
    /// The other cluster did not answer in time.
    Timeout,
    /// The outcome was asked for before there was a transaction: it never will be one.
    Unknown,
}

impl Reason {
    /// In the document's words.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::InsufficientBalance => "INSUFFICIENT_BALANCE",
            Reason::Locked => "LOCKED",
            Reason::NotHere => "NOT_HERE",
            Reason::Overflow => "OVERFLOW",
            Reason::Invalid => "INVALID",
            Reason::Old => "OLD",
            Reason::Timeout => "TIMEOUT",
            Reason::Unknown => "UNKNOWN",
        }
    }

    /// What it means, for whoever asked.
    pub const fn words(self) -> &'static str {
        match self {
            Reason::InsufficientBalance => "the sender holds less than that",
            Reason::Locked => "another transaction holds an item",
            Reason::NotHere => "an item lives in another cluster, or nowhere",
            Reason::Overflow => "the receiver would hold more than can be counted",
            Reason::Invalid => {
                "expected items that exist, another one to pay to, and at least 1 to pay"
            }
            Reason::Old => "the client was answered a newer request already",
            Reason::Timeout => "not enough members answered in time",
            Reason::Unknown => "its outcome was asked for before it was known",
        }
    }
}

/// An entry of a cluster's log. (S4-30: the phase markers P, C, A and none)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// A transfer within the cluster: plain Multi-Paxos. (S4-45)
    Transfer {
        /// Its name.
        id: TxnId,
        /// From.
        sender: Item,
        /// To.
        receiver: Item,
        /// How much.
        amount: u64,
        /// Whether a lock in the way ends the request; else another attempt follows.
        last: bool,
    },
    /// "P": this cluster holds its part.
    Prepare {
        /// Its name.
        id: TxnId,
        /// What happens here.
        part: Part,
        /// On which side this is.
        side: Side,
    },
    /// "C": the part takes effect.
    Commit {
        /// Its name.
        id: TxnId,
        /// The transaction's label: the slot of its P, carried again. (S4-23 "REUSING seq")
        seq: Slot,
        /// With an item that arrives, how far clients are where it comes from.
        clients: Vec<(ClientId, Client)>,
    },
    /// "A": the hold is dropped; of an unknown transaction, a tombstone.
    Abort {
        /// Its name.
        id: TxnId,
        /// The label; 0 for a tombstone.
        seq: Slot,
        /// Why.
        reason: Reason,
        /// On which side this is.
        side: Side,
        /// Whether the request ends with it; else another attempt follows.
        last: bool,
    },
    /// The other cluster has applied the outcome: nobody will ask again. (S4-51)
    Acked {
        /// The transaction.
        id: TxnId,
    },
}

impl Command {
    /// The transaction that it is about.
    pub const fn id(&self) -> TxnId {
        match self {
            Command::Transfer { id, .. }
            | Command::Prepare { id, .. }
            | Command::Commit { id, .. }
            | Command::Abort { id, .. }
            | Command::Acked { id } => *id,
        }
    }

    /// Its hash: the value of its slot.
    pub fn hash(command: Option<&Command>) -> Hash32 {
        let mut transcript = Transcript::new("phaselab 2026-11 sharded-2pc command v1");
        transcript.bytes(&crate::codec::encode(&command));
        transcript.finish()
    }

    /// The label that it carries, if it carries one. (S4-23)
    pub const fn seq(&self) -> Option<Slot> {
        match self {
            Command::Commit { seq, .. } | Command::Abort { seq, .. } if *seq > 0 => Some(*seq),
            _ => None,
        }
    }

    /// The phase marker. (S4-30)
    pub const fn marker(&self) -> &'static str {
        match self {
            Command::Prepare { .. } => "P",
            Command::Commit { .. } => "C",
            Command::Abort { .. } => "A",
            Command::Transfer { .. } | Command::Acked { .. } => "",
        }
    }
}
