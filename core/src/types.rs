//! Identifiers and quantities that every layer shares.
//!
//! Each is a newtype of fixed width, so that a round is never passed where a height is meant and nothing on the wire
//! depends on the width of `usize`.

use core::cmp::Ordering;
use core::fmt;
use core::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// A registered member. Numbered from 1, as scenarios and pictures count them.
    NodeId(u16), "n");
number!(
    /// A group of members: a cluster of `sharded-2pc`, or group 0 where a protocol has only one.
    GroupId(u16), "g");
number!(
    /// A client of the cluster. Its requests are numbered monotonically.
    ClientId(u64), "c");
number!(
    /// An attempt at one instance, from 0.
    Round(u32), "r");
number!(
    /// A position in a chain of blocks, from 0.
    Height(u64), "h");
number!(
    /// Voting weight. Sums are taken in `u128`.
    Weight(u64), "w");
number!(
    /// A node's life: raised durably once before the first send after each start.
    Incarnation(u32), "i");
number!(
    /// Monotonic nanoseconds since genesis.
    Time(u64), "t");
number!(
    /// A span in nanoseconds.
    Duration(u64), "d");

impl Round {
    /// The round after this one; `None` at the end of the number space, so that a round never wraps to 0.
    pub fn next(self) -> Option<Round> {
        self.0.checked_add(1).map(Round)
    }
}

impl Time {
    /// The start of the run.
    pub const ZERO: Time = Time(0);

    /// A time in milliseconds since genesis.
    pub const fn from_ms(ms: u64) -> Time {
        Time(ms.saturating_mul(1_000_000))
    }

    /// Whole milliseconds since genesis, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The span since `earlier`, zero if that lies ahead.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// A span in milliseconds.
    pub const fn from_ms(ms: u64) -> Duration {
        Duration(ms.saturating_mul(1_000_000))
    }

    /// A span in microseconds.
    pub const fn from_us(us: u64) -> Duration {
        Duration(us.saturating_mul(1_000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

impl Sub for Duration {
    type Output = Duration;
    fn sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
}

/// A BLAKE3 hash.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hash32(pub [u8; 32]);

// The order of the bytes, eight at a time: hashes are the keys of most maps, and their first word nearly always tells.
impl Ord for Hash32 {
    fn cmp(&self, other: &Self) -> Ordering {
        let words = |hash: &Hash32| {
            let (words, _) = hash.0.as_chunks::<8>();
            [0, 1, 2, 3].map(|at| u64::from_be_bytes(words[at]))
        };
        words(self).cmp(&words(other))
    }
}

impl PartialOrd for Hash32 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash32 {
    /// The first four hex digits: what a card or a log line shows.
    pub fn short(&self) -> ShortHash {
        ShortHash([self.0[0], self.0[1]])
    }
}

impl Hash32 {
    /// A hash from 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Hash32> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Hash32(bytes))
    }
}

// Text formats show 64 hex digits; binary ones hold the 32 bytes.
impl Serialize for Hash32 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Hash32);
        }
        let text = alloc::string::String::deserialize(deserializer)?;
        Hash32::from_hex(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hex digits"))
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.short())
    }
}

/// Four hex digits of a hash, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHash([u8; 2]);

impl fmt::Display for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}", self.0[0], self.0[1])
    }
}

/// One thing that a protocol decides: a signing event, a conflict key, a height, a transfer, a slot.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct InstanceId(pub Hash32);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_ordered_as_their_bytes_are() {
        let with = |place: usize, byte: u8| {
            let mut bytes = [7; 32];
            bytes[place] = byte;
            Hash32(bytes)
        };
        for place in 0..32 {
            for (one, two) in [(1, 9), (0, 255), (7, 7), (200, 100)] {
                let (one, two) = (with(place, one), with(place, two));
                assert_eq!(one.cmp(&two), one.0.cmp(&two.0), "byte {place}");
            }
        }
        assert_eq!(
            Hash32::from_hex(&alloc::format!("{}", with(3, 0xab))),
            Some(with(3, 0xab))
        );
        assert_eq!(Hash32::from_hex("7f"), None);
    }
}
