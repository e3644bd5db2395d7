//! What an entry left of the items that it is about, told in the 32 bytes of a record: a replica that did otherwise tells
//! other bytes, and whoever hears them knows what it holds.

use alloc::vec::Vec;

use crate::protocol::sharded_2pc::command::{Item, TxnId};
use crate::types::Hash32;

/// What one item was left with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::protocol::sharded_2pc) struct Left {
    /// The item.
    pub(in crate::protocol::sharded_2pc) item: Item,
    /// What it holds; `None` if it does not live there.
    pub(in crate::protocol::sharded_2pc) balance: Option<u64>,
    /// A mark of the transaction that holds it; 0 of none.
    pub(in crate::protocol::sharded_2pc) lock: u32,
}

/// The bytes of one item.
const SIZE: usize = 16;

/// A balance that is none.
const ELSEWHERE: u64 = u64::MAX;

/// A transaction's mark; never 0.
pub(in crate::protocol::sharded_2pc) fn mark(id: TxnId) -> u32 {
    let [a, b, c, d, ..] = id.instance().0.0;
    u32::from_be_bytes([a, b, c, d]).max(1)
}

/// As one value; of more than two items the first two, which is as many as an entry is about.
pub(in crate::protocol::sharded_2pc) fn pack(left: &[Left]) -> Hash32 {
    let mut bytes = [0; 32];
    for (left, bytes) in left.iter().zip(bytes.chunks_exact_mut(SIZE)) {
        let balance = left.balance.unwrap_or(ELSEWHERE);
        bytes[..4].copy_from_slice(&left.item.to_be_bytes());
        bytes[4..12].copy_from_slice(&balance.to_be_bytes());
        bytes[12..].copy_from_slice(&left.lock.to_be_bytes());
    }
    Hash32(bytes)
}

/// The items of a value. Items are numbered from 1.
pub(in crate::protocol::sharded_2pc) fn unpack(value: Hash32) -> Vec<Left> {
    fn number<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
        core::array::from_fn(|index| bytes.get(from + index).copied().unwrap_or(0))
    }
    let items = value.0.chunks_exact(SIZE).map(|bytes| {
        let balance = u64::from_be_bytes(number(bytes, 4));
        Left {
            item: u32::from_be_bytes(number(bytes, 0)),
            balance: (balance != ELSEWHERE).then_some(balance),
            lock: u32::from_be_bytes(number(bytes, 12)),
        }
    });
    items.filter(|left| left.item > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_reads_back() {
        let one = Left {
            item: 1001,
            balance: Some(90),
            lock: mark(TxnId::default()),
        };
        let two = Left {
            item: 3001,
            balance: None,
            lock: 0,
        };
        for left in [&[][..], &[one], &[one, two], &[two, one]] {
            assert_eq!(unpack(pack(left)), left);
        }
        assert_ne!(pack(&[one]), pack(&[two]));
    }
}
