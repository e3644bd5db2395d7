//! Bytes on the wire and in tables: postcard, with a limit before decoding and one accepted form per value.
//!
//! A message that carries trailing bytes or does not re-encode to the very same bytes is refused: two byte strings must
//! never mean the same message, or one node's "duplicate" is another node's "new".

use alloc::vec::Vec;
use core::fmt;

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message or table value, in bytes, that is decoded.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

const TYPICAL_BYTES: usize = 512;

/// Encodes a value. Lengths are varints; integers are little-endian varints; no map order is left open.
///
/// # Panics
/// If the value's own `Serialize` fails, which derived ones do not.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Appends a value's encoding, see [`encode`].
pub(crate) fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) {
    // Most messages and rows fit, so that most encodings take one allocation.
    bytes.reserve(TYPICAL_BYTES);
    postcard::serialize_with_flavor(value, Append(bytes))
        .expect("derived serialisation into memory does not fail");
}

struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Takes an encoding as long as it is these bytes.
struct Expect<'a>(&'a [u8]);

impl Flavor for Expect<'_> {
    type Output = bool;

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        match self.0.split_first() {
            Some((first, rest)) if *first == data => {
                self.0 = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        match self.0.strip_prefix(data) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

/// Decodes a value from exactly these bytes.
///
/// # Errors
/// `TooLong` over [`MESSAGE_BYTES_MAX`], `Malformed` if the bytes are not a value of this type, `Trailing` if bytes are
/// left over, `NotCanonical` if another byte string is the value's encoding.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLong { bytes: bytes.len() });
    }
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| CodecError::Malformed)?;
    if !rest.is_empty() {
        return Err(CodecError::Trailing { bytes: rest.len() });
    }
    if !matches!(
        postcard::serialize_with_flavor(&value, Expect(bytes)),
        Ok(true)
    ) {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// Why bytes were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    TooLong {
        /// Length found.
        bytes: usize,
    },
    /// Not a value of the expected type.
    Malformed,
    /// A value, and then more.
    Trailing {
        /// Bytes left over.
        bytes: usize,
    },
    /// A value, but not in its one accepted form.
    NotCanonical,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::TooLong { bytes } => {
                write!(f, "{bytes} bytes, at most {MESSAGE_BYTES_MAX} are decoded")
            }
            CodecError::Malformed => write!(f, "the bytes are not a message of this protocol"),
            CodecError::Trailing { bytes } => write!(f, "{bytes} bytes follow the message"),
            CodecError::NotCanonical => write!(f, "the message is not in canonical form"),
        }
    }
}

impl core::error::Error for CodecError {}

/// Table keys: fixed width and big-endian, so that the order of bytes is the order of values.
pub trait Key: Ord + Clone {
    /// Appends the key's bytes.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes the key from the front of `bytes` and moves past it; `None` if they are too few.
    fn read(bytes: &mut &[u8]) -> Option<Self>;

    /// The key's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// A key from exactly these bytes.
    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let key = Self::read(&mut bytes)?;
        bytes.is_empty().then_some(key)
    }
}

macro_rules! integer_key {
    ($($int:ty),*) => {$(
        impl Key for $int {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(bytes: &mut &[u8]) -> Option<Self> {
                let (head, tail) = bytes.split_first_chunk()?;
                *bytes = tail;
                Some(<$int>::from_be_bytes(*head))
            }
        }
    )*};
}
integer_key!(u8, u16, u32, u64);

macro_rules! newtype_key {
    ($($name:path),*) => {$(
        impl Key for $name {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }
            fn read(bytes: &mut &[u8]) -> Option<Self> {
                Key::read(bytes).map($name)
            }
        }
    )*};
}
newtype_key!(
    crate::types::NodeId,
    crate::types::GroupId,
    crate::types::ClientId,
    crate::types::Round,
    crate::types::Height,
    crate::types::InstanceId
);

impl Key for crate::types::Hash32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (head, tail) = bytes.split_first_chunk()?;
        *bytes = tail;
        Some(Self(*head))
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read(bytes)?, B::read(bytes)?))
    }
}

impl<A: Key, B: Key, C: Key> Key for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some((A::read(bytes)?, B::read(bytes)?, C::read(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Hash32, NodeId, Round};
    use alloc::vec;

    #[test]
    fn one_value_has_one_encoding() {
        let bytes = encode(&(7u32, true));
        assert_eq!(decode::<(u32, bool)>(&bytes), Ok((7, true)));
        assert_eq!(
            decode::<(u32, bool)>(&[7, 1, 0]),
            Err(CodecError::Trailing { bytes: 1 })
        );
        // 0x87 0x00 is the varint 7 with a needless second byte.
        assert_eq!(
            decode::<(u32, bool)>(&[0x87, 0x00, 1]),
            Err(CodecError::NotCanonical)
        );
        assert_eq!(decode::<(u32, bool)>(&[7]), Err(CodecError::Malformed));
        assert_eq!(decode::<(u32, bool)>(&[7, 2]), Err(CodecError::Malformed));
    }

    #[test]
    fn a_length_is_refused_before_memory_is_taken() {
        let huge = vec![0u8; MESSAGE_BYTES_MAX + 1];
        assert_eq!(
            decode::<Vec<u8>>(&huge),
            Err(CodecError::TooLong {
                bytes: MESSAGE_BYTES_MAX + 1
            })
        );
        // A length prefix of four gigabytes in front of nothing.
        assert_eq!(
            decode::<Vec<u8>>(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            Err(CodecError::Malformed)
        );
    }

    #[test]
    fn key_order_is_byte_order() {
        let low = (Hash32([1; 32]), Round(2), NodeId(3));
        let high = (Hash32([1; 32]), Round(256), NodeId(1));
        assert!(low < high && low.to_bytes() < high.to_bytes());
        assert_eq!(Key::from_bytes(&high.to_bytes()), Some(high));
        assert_eq!(<(Hash32, Round, NodeId)>::from_bytes(&[0; 37]), None);
        assert_eq!(<(Hash32, Round, NodeId)>::from_bytes(&[0; 39]), None);
    }
}
