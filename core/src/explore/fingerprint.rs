//! 128-bit fingerprints of states: the same natively and in wasm.
//!
//! Two lanes of folded multiplication with different keys. Every integer counts as 64 bits, lengths and discriminants
//! too, so that the width of `usize` makes no difference. Not for input that an adversary chooses: states are ours.

use core::hash::{Hash, Hasher};

/// A state's fingerprint. Two states of one search are taken for the same if theirs are equal; among n states that
/// happens by chance with about n^2 / 2^129.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u64; 2]);

impl Fingerprint {
    /// The fingerprint of a value.
    pub fn of<T: Hash + ?Sized>(value: &T) -> Fingerprint {
        let mut hasher = Lanes::new();
        value.hash(&mut hasher);
        hasher.fingerprint()
    }
}

// Digits of pi, as good as any.
const KEYS: [u64; 4] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
];

/// The hasher behind [`Fingerprint`].
#[derive(Clone, Debug)]
pub struct Lanes {
    a: u64,
    b: u64,
}

/// High and low half of the product, folded.
fn fold(x: u64, y: u64) -> u64 {
    let product = u128::from(x) * u128::from(y);
    (product >> 64) as u64 ^ product as u64
}

impl Lanes {
    /// Starts anew.
    pub fn new() -> Lanes {
        Lanes {
            a: KEYS[0],
            b: KEYS[1],
        }
    }

    fn word(&mut self, word: u64) {
        self.a = fold(self.a ^ word, KEYS[2] | 1).rotate_left(23) ^ self.b;
        self.b = fold(self.b.rotate_left(32) ^ word, KEYS[3] | 1).wrapping_add(word);
    }

    /// What was hashed so far.
    pub fn fingerprint(&self) -> Fingerprint {
        let a = fold(self.a ^ KEYS[1], self.b | 1) ^ self.a.rotate_left(32);
        let b = fold(self.b ^ KEYS[0], self.a | 1) ^ self.b.rotate_left(32);
        Fingerprint([
            fold(a ^ KEYS[2], KEYS[3]) ^ a,
            fold(b ^ KEYS[3], KEYS[2]) ^ b,
        ])
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Lanes::new()
    }
}

impl Hasher for Lanes {
    fn finish(&self) -> u64 {
        self.fingerprint().0[0]
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last));
        }
        // Without the length, trailing zeros would not count.
        self.word(bytes.len() as u64);
    }

    fn write_u8(&mut self, word: u8) {
        self.word(u64::from(word));
    }

    fn write_u16(&mut self, word: u16) {
        self.word(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.word(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.word(word);
    }

    fn write_u128(&mut self, word: u128) {
        self.word(word as u64);
        self.word((word >> 64) as u64);
    }

    fn write_usize(&mut self, word: usize) {
        self.word(word as u64);
    }

    fn write_i8(&mut self, word: i8) {
        self.word(word as u64);
    }

    fn write_i16(&mut self, word: i16) {
        self.word(word as u64);
    }

    fn write_i32(&mut self, word: i32) {
        self.word(word as u64);
    }

    fn write_i64(&mut self, word: i64) {
        self.word(word as u64);
    }

    // A discriminant is an isize, which is 32 bits wide in wasm.
    fn write_isize(&mut self, word: isize) {
        self.word(word as i64 as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Fingerprints, low halves and high halves of many values that differ in few bits.
    fn lanes_of(values: impl Iterator<Item = Vec<u8>>) -> [Vec<u64>; 2] {
        let mut lanes = [Vec::new(), Vec::new()];
        for value in values {
            let Fingerprint([a, b]) = Fingerprint::of(&value);
            lanes[0].push(a);
            lanes[1].push(b);
        }
        lanes
    }

    #[test]
    fn values_that_differ_in_few_bits_have_nothing_in_common() {
        let small = (0..200_000_u32).map(|n| n.to_le_bytes().to_vec());
        let sparse = (0..64 * 64 * 8_usize).map(|n| {
            let mut bytes = alloc::vec![0; 64];
            bytes[n / 512] |= 1 << (n % 8);
            bytes[n / 8 % 64] |= 0x80 >> (n % 8);
            bytes.push((n % 512) as u8);
            bytes.push((n / 512) as u8);
            bytes
        });
        for lane in lanes_of(small.chain(sparse)) {
            let count = lane.len() as u64;
            let mut whole = lane.clone();
            whole.sort_unstable();
            whole.dedup();
            assert_eq!(
                whole.len() as u64,
                count,
                "64 bits of 232,768 values differ"
            );
            for shift in [0, 16, 32] {
                let mut cut: Vec<u32> = lane.iter().map(|word| (word >> shift) as u32).collect();
                cut.sort_unstable();
                cut.dedup();
                // By chance about n^2 / 2^33 pairs share 32 bits: 6 of these.
                let shared = count - cut.len() as u64;
                assert!(shared < 25, "{shared} share 32 bits from bit {shift} on");
            }
        }
    }

    #[test]
    fn the_width_of_an_integer_does_not_count_and_the_end_of_a_string_does() {
        assert_eq!(Fingerprint::of(&7_usize), Fingerprint::of(&7_u64));
        assert_eq!(Fingerprint::of(&7_isize), Fingerprint::of(&7_u32));
        assert_ne!(Fingerprint::of(&("ab", "c")), Fingerprint::of(&("a", "bc")));
        assert_ne!(
            Fingerprint::of([0_u8; 3].as_slice()),
            Fingerprint::of([0_u8; 4].as_slice())
        );
    }

    /// Frozen: counterexamples and saved searches of other machines depend on it.
    #[test]
    fn the_fingerprint_of_a_known_value_is_known() {
        let Fingerprint([a, b]) = Fingerprint::of(&(Some(3_u8), "three", [1_u64, 2]));
        assert_eq!((a, b), (0xfb8a_f089_4072_4b11, 0xe218_0d31_ba92_aff1));
    }
}
