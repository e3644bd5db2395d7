//! Records of a file: length, its complement, a check over this record and all before, and the entry.
//!
//! The complement tells a length that was changed from a file that was cut off. Lengths have a limit, so that reading
//! takes no more memory than the file has bytes.

use alloc::vec::Vec;

use super::{Entry, FORMAT, Head, MAGIC, RecordingError};
use crate::codec;
use crate::store::Rows;

/// The longest entry, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

const CHECK_BYTES: usize = 8;
const FRAME_BYTES: usize = 4 + 4 + CHECK_BYTES;
const FORMAT_BYTES: usize = size_of::<u16>();

/// What the checks of a file have covered so far.
#[derive(Clone, Debug)]
struct Chain([u8; 32]);

impl Chain {
    fn new() -> Chain {
        Chain(blake3::derive_key(
            "phaselab 2026-11 recording file v1",
            &FORMAT.to_le_bytes(),
        ))
    }

    fn cover(&mut self, body: &[u8]) -> [u8; CHECK_BYTES] {
        self.0 = *blake3::keyed_hash(&self.0, body).as_bytes();
        let (check, _) = self.0.split_first_chunk().expect("8 of 32");
        *check
    }
}

/// Writes the records of one life.
#[derive(Debug)]
pub struct Writer {
    chain: Chain,
    scratch: Vec<u8>,
}

impl Writer {
    /// Begins a life: appends magic, format, head and rows. `None` if one of them is longer than a record may be.
    pub fn begin(head: &Head, rows: &Rows, out: &mut Vec<u8>) -> Option<Writer> {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        let mut writer = Writer {
            chain: Chain::new(),
            scratch: Vec::new(),
        };
        writer.push(&Entry::Head(head.clone()), out)?;
        for table in rows.tables() {
            for (key, value) in rows.table(table) {
                let entry = Entry::Row {
                    table: table.0,
                    key: key.to_vec(),
                    value: value.to_vec(),
                };
                writer.push(&entry, out)?;
            }
        }
        Some(writer)
    }

    /// A writer that goes on from here, for whoever must take back what the first one writes next.
    pub fn fork(&self) -> Writer {
        Writer {
            chain: self.chain.clone(),
            scratch: Vec::new(),
        }
    }

    /// Appends one record, and returns how many bytes it takes; `None`, and nothing is appended, if the entry is longer
    /// than [`RECORD_BYTES_MAX`].
    pub fn push(&mut self, entry: &Entry, out: &mut Vec<u8>) -> Option<usize> {
        self.scratch.clear();
        codec::encode_into(entry, &mut self.scratch);
        if self.scratch.len() > RECORD_BYTES_MAX {
            return None;
        }
        let length = self.scratch.len() as u32;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(&self.chain.cover(&self.scratch));
        out.extend_from_slice(&self.scratch);
        Some(FRAME_BYTES + self.scratch.len())
    }
}

/// What stands at a place of a file.
pub(super) enum Next {
    Entry(Entry),
    /// The file ends, here or in the middle of a record.
    Cut,
}

/// Reads the records of one life.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    chain: Chain,
    /// Inputs before this place, for telling where damage is.
    pub(super) inputs: u64,
    /// Whether the end was read.
    pub(super) has_ended: bool,
}

impl<'a> Records<'a> {
    pub(super) fn open(bytes: &'a [u8], from: usize) -> Result<Records<'a>, RecordingError> {
        let rest = &bytes[from..];
        let Some(after) = rest.strip_prefix(MAGIC) else {
            return Err(match (from, MAGIC.starts_with(rest)) {
                (_, true) => RecordingError::Empty,
                (0, false) => RecordingError::NotARecording,
                (_, false) => RecordingError::Damaged {
                    offset: from as u64,
                    inputs: 0,
                },
            });
        };
        let Some((format, _)) = after.split_first_chunk::<FORMAT_BYTES>() else {
            return Err(RecordingError::Empty);
        };
        match u16::from_le_bytes(*format) {
            FORMAT => Ok(Records {
                bytes,
                at: from + MAGIC.len() + FORMAT_BYTES,
                chain: Chain::new(),
                inputs: 0,
                has_ended: false,
            }),
            other => Err(RecordingError::OtherFormat(other)),
        }
    }

    /// Where the next record begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn impossible(&self, what: &'static str) -> RecordingError {
        RecordingError::Impossible {
            offset: self.at as u64,
            what,
        }
    }

    pub(super) fn next(&mut self) -> Result<Next, RecordingError> {
        let damaged = RecordingError::Damaged {
            offset: self.at as u64,
            inputs: self.inputs,
        };
        let rest = &self.bytes[self.at..];
        let Some((frame, rest)) = rest.split_first_chunk::<FRAME_BYTES>() else {
            return Ok(Next::Cut);
        };
        let word = |from: usize| {
            let bytes = frame[from..from + 4].try_into().expect("4 bytes of 16");
            u32::from_le_bytes(bytes)
        };
        let length = word(0);
        if word(4) != !length || length as usize > RECORD_BYTES_MAX {
            return Err(damaged);
        }
        let Some(body) = rest.get(..length as usize) else {
            return Ok(Next::Cut);
        };
        if self.chain.cover(body) != frame[8..] {
            return Err(damaged);
        }
        let (entry, left): (Entry, _) =
            postcard::take_from_bytes(body).map_err(|_| damaged.clone())?;
        if !left.is_empty() {
            return Err(damaged);
        }
        self.at += FRAME_BYTES + body.len();
        self.has_ended = matches!(entry, Entry::End(_));
        Ok(Next::Entry(entry))
    }
}

/// Bytes as one run, not number by number; the same on the wire.
pub(super) mod bytes {
    use alloc::vec::Vec;
    use core::fmt;

    use serde::{Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_byte_buf(Run)
    }

    struct Run;

    impl de::Visitor<'_> for Run {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
}
