//! Randomness as an input: drawn from a seeded stream in a run, a branch of the search in the checker.

use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::crypto::Transcript;

/// Where a protocol's random choices come from.
pub trait Entropy {
    /// A number below `bound`, which must not be 0.
    fn below(&mut self, bound: u64) -> u64;
}

/// A seeded ChaCha stream: a node's own entropy in one incarnation.
#[derive(Clone, Debug)]
pub struct Prng(ChaCha8Rng);

impl Prng {
    /// A stream that is a function of all arguments.
    pub fn new(seed: u64, purpose: &str, node: u64, incarnation: u32) -> Prng {
        let mut transcript = Transcript::new("phaselab 2026-11 entropy stream");
        transcript
            .u64(seed)
            .bytes(purpose.as_bytes())
            .u64(node)
            .u32(incarnation);
        Prng::from_seed(transcript.finish().0)
    }

    /// A stream from 32 bytes of entropy, as a live node draws them from its system once.
    pub fn from_seed(seed: [u8; 32]) -> Prng {
        Prng(ChaCha8Rng::from_seed(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl Entropy for Prng {
    fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw needs at least one outcome");
        scale(self.0.next_u64(), bound)
    }
}

/// Every outcome in turn: the checker replays one prefix of choices and reads which branches it left open.
#[derive(Clone, Debug, Default)]
pub struct Exhaustive {
    chosen: Vec<(u64, u64)>,
    next: usize,
}

impl Exhaustive {
    /// Starts the next pass over the same choices.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// Moves to the next combination of outcomes; `false` once all were visited.
    pub fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((choice, bound)) = self.chosen.pop() {
            if choice + 1 < bound {
                self.chosen.push((choice + 1, bound));
                return true;
            }
        }
        false
    }
}

impl Entropy for Exhaustive {
    fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw needs at least one outcome");
        if self.next == self.chosen.len() {
            self.chosen.push((0, bound));
        }
        let (choice, seen) = self.chosen[self.next];
        assert_eq!(
            seen, bound,
            "the same prefix of choices asks the same question"
        );
        self.next += 1;
        choice
    }
}

/// One draw that depends on nothing but its arguments, so that dropping one message changes no other latency.
///
/// A counter-based generator (the SplitMix64 finaliser over each word): statistical quality for simulated networks,
/// never for keys.
pub fn draw(seed: u64, purpose: Purpose, place: u64, counter: u64) -> u64 {
    let mut word = mix(seed ^ 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(purpose as u64 + 1));
    word = mix(word ^ place.wrapping_mul(0xd6e8_feb8_6659_fd93));
    mix(word ^ counter.wrapping_mul(0xa076_1d64_78bd_642f))
}

/// What a [`draw`] is for: each purpose has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// A message's travel time.
    Latency,
    /// Whether a message is lost.
    Loss,
    /// Whether a message arrives twice.
    Duplicate,
    /// Whether a message is held up.
    Delay,
    /// Which bits of a corrupted message flip.
    Corrupt,
    /// How long a disk takes.
    Disk,
    /// What a client does next.
    Client,
    /// A scenario drawn by the swarm.
    Swarm,
}

/// Maps 64 random bits onto `0..bound` (multiply-shift; the bias is below 2^-32 for every bound in use).
pub fn scale(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhaustive_visits_every_combination_once() {
        let mut entropy = Exhaustive::default();
        let mut seen = Vec::new();
        loop {
            let first = entropy.below(2);
            let second = if first == 0 { entropy.below(3) } else { 9 };
            seen.push((first, second));
            if !entropy.advance() {
                break;
            }
        }
        assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 9)]);
    }

    #[test]
    fn draws_of_one_purpose_do_not_move_another() {
        let all: Vec<u64> = (0..1000)
            .map(|n| scale(draw(7, Purpose::Latency, 3, n), 100))
            .collect();
        assert!(all.iter().all(|&d| d < 100));
        let mean = all.iter().sum::<u64>() / 1000;
        assert!(
            (40..60).contains(&mean),
            "mean {mean} of a uniform draw below 100"
        );
        assert_ne!(
            draw(7, Purpose::Latency, 3, 1),
            draw(7, Purpose::Loss, 3, 1)
        );
        assert_ne!(
            draw(7, Purpose::Latency, 3, 1),
            draw(8, Purpose::Latency, 3, 1)
        );
    }
}
