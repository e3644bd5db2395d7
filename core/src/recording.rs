//! A live node's life as a file: what it began with, and what happened to it, in handling order.
//!
//! ```text
//! magic, format, then records:  Head  Row*  ( Signed* Input | Durable )*  End?
//!                                 |    |         |       |       |          '- none if the node was killed
//!                                 |    |         |       |       '- a batch reached the disk: what it held back left
//!                                 |    |         |       '- time, input, and a digest of all that the node did so far
//!                                 |    |         '- a signature, by what was signed
//!                                 |    '- the store as it was
//!                                 '- genesis, node, incarnation, entropy, time of day
//! ```
//!
//! That is all that a node depends on, so that it runs again anywhere and does the same ([`Rerun`]); the lives of a
//! cluster's nodes make one run ([`Script`]) that the simulator plays. Several lives may stand in one file, one after
//! another.
//!
//! *The secret key is not in it.* A node that runs again is asked for the same signatures, and finds them by what is
//! signed. Each is verified against the public key of genesis, so that finding one proves that the node once signed
//! these very bytes.
//!
//! *Each record stands for those before it*: its check covers them too. A file that ends in the middle of a record, as
//! when its node was killed, is read up to there and says so; one that was changed is refused with the place.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::crypto::Signature;
use crate::engine::Genesis;
use crate::ordered::Map;
use crate::replica::{Output, Replica};
use crate::store::{Rows, TableId};
use crate::trace::CORE_VERSION;
use crate::types::{ClientId, Hash32, Incarnation, NodeId, Time};

mod cluster;
mod digest;
mod error;
mod records;
mod rerun;
mod script;

pub use cluster::cluster;
pub use digest::Digest;
pub use error::RecordingError;
pub use records::{RECORD_BYTES_MAX, Writer};
pub use rerun::{Difference, Rerun, compare_stores};
pub use script::{Played, Script, ScriptError, Step};

use records::{Next, Records};

/// The format that this core writes and reads.
pub const FORMAT: u16 = 1;

/// How a file begins.
const MAGIC: &[u8; 8] = b"phaserec";

/// Whether a file begins as recordings do.
pub fn is_recording(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// What a life began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The core that ran it.
    pub core_version: String,
    /// The cluster.
    pub genesis: Genesis,
    /// The member.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// The seed of the life's entropy.
    pub entropy: [u8; 32],
    /// When its clock stood at zero, in nanoseconds since 1970 by its machine's time of day. For laying lives side by
    /// side; what a node received orders them wherever the two contradict each other.
    pub began_unix_ns: u64,
    /// How many rows its store had.
    pub rows: u64,
}

impl Head {
    /// The head of a life that this core runs.
    pub fn new(
        genesis: Genesis,
        node: NodeId,
        incarnation: Incarnation,
        entropy: [u8; 32],
        began_unix_ns: u64,
        rows: &Rows,
    ) -> Head {
        Head {
            core_version: CORE_VERSION.to_string(),
            genesis,
            node,
            incarnation,
            entropy,
            began_unix_ns,
            rows: rows.tables().map(|id| rows.table(id).count() as u64).sum(),
        }
    }

    /// Where a life stands among others: by node, and then in order.
    pub fn order(&self) -> (NodeId, Incarnation, u64) {
        (self.node, self.incarnation, self.began_unix_ns)
    }
}

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// It started: first, and once.
    Start,
    /// Bytes came from a peer, unopened.
    Packet(#[serde(with = "records::bytes")] Vec<u8>),
    /// A client asked.
    Request {
        /// Who.
        client: ClientId,
        /// Its request number.
        number: u64,
        /// The bytes of the protocol's `Request`.
        #[serde(with = "records::bytes")]
        request: Vec<u8>,
    },
    /// The world outside pushed a fact: the bytes of the protocol's `Fact`.
    Fact(#[serde(with = "records::bytes")] Vec<u8>),
    /// Time passed: the one timer that was due first fired.
    Tick,
}

impl Input {
    /// Hands it to a node.
    pub fn hand_to(&self, replica: &mut dyn Replica, now: Time) -> Output {
        match self {
            Input::Start => replica.start(now),
            Input::Packet(packet) => {
                let opened = replica.open(packet);
                replica.receive(now, opened.as_ref().map_err(|why| *why))
            }
            Input::Request {
                client,
                number,
                request,
            } => replica.request(now, *client, *number, request),
            Input::Fact(fact) => replica.fact(now, fact),
            Input::Tick => replica.tick(now),
        }
    }

    /// In one word.
    pub const fn name(&self) -> &'static str {
        match self {
            Input::Start => "start",
            Input::Packet(_) => "packet",
            Input::Request { .. } => "request",
            Input::Fact(_) => "fact",
            Input::Tick => "tick",
        }
    }
}

/// A record of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// First.
    Head(Head),
    /// One row of the store, before anything happened.
    Row {
        /// The table's number.
        table: u8,
        /// The key's bytes.
        #[serde(with = "records::bytes")]
        key: Vec<u8>,
        /// The value's bytes.
        #[serde(with = "records::bytes")]
        value: Vec<u8>,
    },
    /// The node signed; before the input that made it.
    Signed {
        /// The transcript.
        preimage: Hash32,
        /// The signature under it.
        signature: Signature,
    },
    /// The node handled an input.
    Input {
        /// When, by the node's clock.
        now: Time,
        /// What.
        input: Input,
        /// Of this and everything before: see [`Digest`].
        digest: u64,
    },
    /// Writes became durable, and what waited for them left.
    Durable {
        /// When, by the node's clock.
        now: Time,
        /// The last batch that is.
        batch: u64,
    },
    /// Nothing more was recorded.
    End(Ending),
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// With its node, which stopped.
    Stopped,
    /// Where the file was cut off: the node was killed, or runs still.
    Cut,
    /// At its size limit; the node went on.
    Full,
    /// Where the recorder could not keep up; the node went on.
    Behind,
    /// Where the disk failed; the node went on.
    Unwritten,
}

impl Ending {
    /// Whether the node may have gone on for long without being recorded.
    pub const fn is_early(self) -> bool {
        matches!(self, Ending::Full | Ending::Behind | Ending::Unwritten)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ending::Stopped => "stopped",
            Ending::Cut => "cut off",
            Ending::Full => "not recorded further: size limit",
            Ending::Behind => "not recorded further: the recorder fell behind",
            Ending::Unwritten => "not recorded further: the disk failed",
        })
    }
}

/// Something that happened in a life, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// An input was handled.
    Input {
        /// When.
        now: Time,
        /// What.
        input: Input,
        /// The digest after it.
        digest: u64,
    },
    /// Writes became durable.
    Durable {
        /// When.
        now: Time,
        /// The last batch that is.
        batch: u64,
    },
}

impl Moment {
    /// When, by the node's clock.
    pub fn now(&self) -> Time {
        match self {
            Moment::Input { now, .. } | Moment::Durable { now, .. } => *now,
        }
    }
}

/// A life, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// What it began with.
    pub head: Head,
    /// Its store as it was.
    pub rows: Rows,
    /// What it signed, by transcript.
    pub signatures: Arc<Map<Hash32, Signature>>,
    /// What happened to it. The first is its start.
    pub moments: Vec<Moment>,
    /// How the recording ends.
    pub ending: Ending,
    /// Its length in the file, in bytes.
    pub bytes: u64,
}

/// Reads the lives of a file, in order.
///
/// # Errors
/// See [`RecordingError`].
pub fn read(bytes: &[u8]) -> Result<Vec<Recording>, RecordingError> {
    let mut lives = Vec::new();
    let mut at = 0;
    while at < bytes.len() || lives.is_empty() {
        let life = Recording::read_at(bytes, at)?;
        at += life.bytes as usize;
        lives.push(life);
    }
    Ok(lives)
}

impl Recording {
    fn read_at(bytes: &[u8], from: usize) -> Result<Recording, RecordingError> {
        let mut records = Records::open(bytes, from)?;
        let head = match records.next()? {
            Next::Entry(Entry::Head(head)) => head,
            Next::Entry(_) => return Err(records.impossible("it does not begin with a head")),
            Next::Cut => return Err(RecordingError::Empty),
        };
        let mut rows = Rows::default();
        for _ in 0..head.rows {
            match records.next()? {
                Next::Entry(Entry::Row { table, key, value }) => {
                    rows.insert(TableId(table), &key, &value);
                }
                Next::Entry(_) => return Err(records.impossible("a row is missing")),
                Next::Cut => return Err(RecordingError::Empty),
            }
        }
        let (mut signatures, mut moments) = (Map::new(), Vec::<Moment>::new());
        let ending = loop {
            let moment = match records.next()? {
                Next::Cut => break Ending::Cut,
                Next::Entry(Entry::End(ending)) => break ending,
                Next::Entry(Entry::Signed {
                    preimage,
                    signature,
                }) => {
                    signatures.insert(preimage, signature);
                    continue;
                }
                Next::Entry(Entry::Input { now, input, digest }) => {
                    if (input == Input::Start) != moments.is_empty() {
                        return Err(records.impossible("a life starts first, and once"));
                    }
                    records.inputs += 1;
                    Moment::Input { now, input, digest }
                }
                Next::Entry(Entry::Durable { now, batch }) => {
                    if moments.is_empty() {
                        return Err(records.impossible("a life starts first, and once"));
                    }
                    Moment::Durable { now, batch }
                }
                Next::Entry(Entry::Head(_) | Entry::Row { .. }) => {
                    return Err(records.impossible("it begins twice"));
                }
            };
            if moments.last().is_some_and(|last| moment.now() < last.now()) {
                return Err(records.impossible("its clock goes back"));
            }
            moments.push(moment);
        };
        // What follows a life that was cut off is the rest of a record.
        let end = match ending {
            Ending::Cut if !records.has_ended => bytes.len(),
            _ => records.at(),
        };
        Ok(Recording {
            head,
            rows,
            signatures: Arc::new(signatures),
            moments,
            ending,
            bytes: (end - from) as u64,
        })
    }

    /// The file's bytes. What was cut off within a record is left away, and the end says that it was.
    ///
    /// # Panics
    /// If a part is longer than a record may be, which none is that was read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer =
            Writer::begin(&self.head, &self.rows, &mut bytes).expect("its records were read");
        let mut push = |entry: &Entry| {
            let pushed = writer.push(entry, &mut bytes);
            pushed.expect("its records were read");
        };
        for (preimage, signature) in self.signatures.iter() {
            let (preimage, signature) = (*preimage, *signature);
            let entry = Entry::Signed {
                preimage,
                signature,
            };
            push(&entry);
        }
        for moment in &self.moments {
            let entry = match moment.clone() {
                Moment::Input { now, input, digest } => Entry::Input { now, input, digest },
                Moment::Durable { now, batch } => Entry::Durable { now, batch },
            };
            push(&entry);
        }
        push(&Entry::End(self.ending));
        bytes
    }

    /// How many inputs it has.
    pub fn inputs(&self) -> u64 {
        let is_input = |moment: &&Moment| matches!(moment, Moment::Input { .. });
        self.moments.iter().filter(is_input).count() as u64
    }

    /// When it ends, by its node's clock.
    pub fn last(&self) -> Time {
        self.moments.last().map_or(Time::ZERO, Moment::now)
    }
}
