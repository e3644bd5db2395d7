//! What a block's creator is paid: `floor(10^8 * (1 + ln height))`, exactly, in integers.
//!
//! Floats fork chains: libraries differ in the last digit of `ln` at some heights, and one digit is another block
//! (S3-F15). Here every step rounds down, and the sum of all that rounding loses is bounded, so that the result is either
//! certain or computed again with more bits.
//!
//! **Series.** With `2^k <= h < 2^(k+1)`, `p = h - 2^k` and `q = h + 2^k`:
//! `ln h = 2 (k atanh(1/3) + atanh(p/q))`, and `atanh z = z + z^3/3 + z^5/5 + ...` with `0 <= z <= 1/3`.
//!
//! **Error of one `atanh`,** in units of the last of `B` bits. The power `z^(2i+1)` starts as a floor, `e_0 < 1`, and
//! each next one is two products with `z`, each rounded down: `e_(i+1) < e_i/9 + 1/3 + 1`, hence `e_i < 3/2` for all i.
//! Dividing by `2i + 1` adds less than 1, so that each term is too small by less than 5/2. The sum ends at the first
//! power that rounds to 0: that one is below 3/2, and with all later ones below `(3/2)(9/8) < 2`. There are at most
//! `B/3 + 1` terms, because the i-th power is at most `2^B / 3^(2i+1)` and `2 log2(3) > 3`. In sum: less than
//! `(5/2)(B/3 + 1) + 2 <= B` for `B >= 32`, and never too large.
//!
//! **Error of the result.** `S = k atanh(1/3) + atanh(p/q)` is too small by less than `(k + 1) B` units. If `S` and
//! `S + (k + 1) B` units give the same floor of `2 * 10^8 * S`, then that is the floor of the exact value. With 128 bits
//! the two are less than `2^-87` apart. That settles every height: a search over all integers in question finds
//! `10^8 ln h` nearest to one at h = 14360191024985300621, at `2^-63.8` from it. Nothing rests on that search.
//!
//! **It ends.** `ln h` is transcendental for `h >= 2` (Lindemann), so that `10^8 ln h` is no integer, and enough bits
//! tell on which side of the next one it lies. For `h = 1` the sum is 0 without any error.

use alloc::vec;
use alloc::vec::Vec;

/// One TIME in the smallest unit.
pub const COIN: u64 = 100_000_000;

/// Fraction limbs of the first attempt: 128 bits.
const LIMBS: usize = 4;

/// What the block at this height mints: `floor(10^8 * (1 + ln height))`; `None` at height 0, which has no block.
pub fn subsidy(height: u64) -> Option<u64> {
    if height == 0 {
        return None;
    }
    let mut limbs = LIMBS;
    loop {
        if let Some(amount) = attempt(height, limbs) {
            return Some(amount);
        }
        limbs *= 2;
    }
}

/// The subsidy with so many fraction limbs; `None` if they leave it open.
fn attempt(height: u64, limbs: usize) -> Option<u64> {
    let log = height.ilog2();
    let power = 1u64 << log;
    let mut low = Fixed::atanh(1, 3, limbs);
    low.multiply(log.into());
    low.add(&Fixed::atanh(
        height - power,
        u128::from(height) + u128::from(power),
        limbs,
    ));
    let mut high = low.clone();
    high.add_units((log + 1) * 32 * limbs as u32);
    low.multiply(2 * COIN);
    high.multiply(2 * COIN);
    (low.floor() == high.floor()).then(|| COIN + low.floor())
}

/// A number below 2^64 in fixed point: limbs of 32 bits, the least first, of which the last two are the integer part.
#[derive(Clone)]
struct Fixed(Vec<u32>);

impl Fixed {
    /// `atanh(p/q)` for `p/q <= 1/3` and `q < 2^66`; too small by less than as many units as there are fraction bits.
    fn atanh(p: u64, q: u128, limbs: usize) -> Fixed {
        let mut sum = Fixed(vec![0; limbs + 2]);
        let mut power = sum.clone();
        power.0[limbs] = 1;
        power.multiply(p);
        power.divide(q);
        let mut odd = 1;
        while power.0.iter().any(|&limb| limb != 0) {
            let mut term = power.clone();
            term.divide(odd);
            sum.add(&term);
            for _ in 0..2 {
                power.multiply(p);
                power.divide(q);
            }
            odd += 2;
        }
        sum
    }

    fn add(&mut self, other: &Fixed) {
        let mut carry = 0;
        for (limb, more) in self.0.iter_mut().zip(&other.0) {
            carry += u64::from(*limb) + u64::from(*more);
            *limb = carry as u32;
            carry >>= 32;
        }
        assert_eq!(carry, 0, "a sum fits");
    }

    /// Adds so many units of the last bit.
    fn add_units(&mut self, units: u32) {
        let mut carry = u64::from(units);
        for limb in &mut self.0 {
            carry += u64::from(*limb);
            *limb = carry as u32;
            carry >>= 32;
        }
        assert_eq!(carry, 0, "a sum fits");
    }

    fn multiply(&mut self, factor: u64) {
        let mut carry = 0;
        for limb in &mut self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        assert_eq!(carry, 0, "a product fits");
    }

    /// Divides by less than 2^96, and rounds down.
    fn divide(&mut self, divisor: u128) {
        let mut rest = 0;
        for limb in self.0.iter_mut().rev() {
            rest = rest << 32 | u128::from(*limb);
            *limb = (rest / divisor) as u32;
            rest %= divisor;
        }
    }

    fn floor(&self) -> u64 {
        let at = self.0.len() - 2;
        u64::from(self.0[at + 1]) << 32 | u64::from(self.0[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Prng;

    /// Of all heights, those where `10^8 ln h` comes nearest to an integer, and one per eight octaves.
    const HARDEST: [(u64, u64); 15] = [
        (14_360_191_024_985_300_621, 4_511_099_154),
        (4_881_707_157_797_234_527, 4_403_202_666),
        (8_420_646_157_513_827_459, 4_457_721_824),
        (7_853_144_745_587_448_728, 4_450_744_573),
        (7_216_680_308_537_884_321, 4_442_292_673),
        (17_757_111_012_325_142_759, 4_532_331_773),
        (8_480_086_041_089_042_301, 4_458_425_226),
        (18_445_136_217_907_734_938, 4_536_133_238),
        (216_223_936_801_961_356, 4_091_509_100),
        (778_974_969_730_484, 3_528_900_002),
        (3_501_371_062_991, 2_988_417_573),
        (13_352_095_423, 2_431_493_917),
        (45_907_999, 1_864_214_992),
        (182_085, 1_311_222_889),
        (772, 764_898_455),
    ];

    #[test]
    fn the_values_that_are_known() {
        assert_eq!(subsidy(0), None);
        let known = [
            (1, COIN),
            (2, 169_314_718),
            (3, 209_861_228),
            (7, 294_591_014),
            (100, 560_517_018),
            (144, 596_981_329),
            (1000, 790_775_527),
            (52_560, 1_186_971_065),
            (699_148_672, 2_136_537_396), // S3-F15: floats say 397 where the libm is fdlibm
            (1 << 63, 4_466_827_237),
            (u64::MAX, 4_536_141_955),
        ];
        for (height, amount) in known.into_iter().chain(HARDEST) {
            assert_eq!(subsidy(height), Some(amount), "height {height}");
        }
    }

    #[test]
    fn powers_of_two_are_multiples_of_one_logarithm() {
        // ln 2 to 30 digits.
        const LN_2: u128 = 693_147_180_559_945_309_417_232_121_458;
        for exponent in 0..64u8 {
            let log = u128::from(exponent) * LN_2 / 10u128.pow(22);
            assert_eq!(subsidy(1 << exponent), Some(COIN + log as u64));
        }
    }

    #[test]
    fn it_never_falls() {
        let assert_rises = |heights: &mut dyn Iterator<Item = u64>| {
            let mut last = 0;
            for height in heights {
                let amount = subsidy(height).unwrap();
                assert!(amount >= last, "height {height}");
                last = amount;
            }
        };
        assert_rises(&mut (1..1000));
        for power in [20, 40, 63] {
            assert_rises(&mut ((1 << power) - 20..(1 << power) + 20));
        }
        assert_rises(&mut (1..64).flat_map(|power| [(1 << power) - 1, 1 << power]));
        assert_rises(&mut (u64::MAX - 20..=u64::MAX));
    }

    #[test]
    fn too_few_bits_are_noticed_and_more_agree() {
        let mut random = Prng::from_seed([6; 32]);
        let drawn = (0..500).map(|at| (random.next_u64() >> (at % 64)).max(1));
        let mut open = [0; 3];
        for height in drawn.chain(HARDEST.map(|(height, _)| height)) {
            let amount = subsidy(height);
            assert_eq!(attempt(height, LIMBS), amount, "128 bits settle {height}");
            assert_eq!(attempt(height, 2 * LIMBS), amount);
            for limbs in 1..LIMBS {
                match attempt(height, limbs) {
                    None => open[limbs - 1] += 1,
                    certain => assert_eq!(certain, amount, "{height} with {limbs} limbs"),
                }
            }
        }
        assert!(open[0] > open[1] && open[1] > open[2], "{open:?}");
        assert!(open[2] >= 8, "96 bits leave the hardest open");
    }

    #[test]
    fn rounding_loses_less_than_the_bound() {
        let mut random = Prng::from_seed([7; 32]);
        const FINE: usize = 12;
        for at in 0..300 {
            let q = u128::from(random.next_u64() >> (at % 60)) + 3;
            let p = match at % 3 {
                0 => q / 3,
                _ => u128::from(random.next_u64()) % (q / 3 + 1),
            } as u64;
            let fine = Fixed::atanh(p, q, FINE);
            for limbs in 1..8 {
                let mut rough = Fixed::atanh(p, q, limbs);
                let exact = &fine.0[FINE - limbs..];
                assert!(rough.0.iter().rev().le(exact.iter().rev()), "too large");
                rough.add_units(32 * limbs as u32);
                assert!(rough.0.iter().rev().gt(exact.iter().rev()), "too small");
            }
        }
    }

    #[test]
    fn the_logarithm_of_two_is_right_to_256_bits() {
        let known = Fixed(vec![
            0x8baa_fa2b,
            0x8a0d_175b,
            0x7298_b62d,
            0x40f3_4326,
            0x03f2_f6af,
            0xc9e3_b398,
            0xd1cf_79ab,
            0xb172_17f7,
            0,
            0,
        ]);
        let mut log = Fixed::atanh(1, 3, 8);
        log.multiply(2);
        assert!(log.0.iter().rev().le(known.0.iter().rev()));
        log.add_units(2 * 256);
        assert!(log.0.iter().rev().gt(known.0.iter().rev()));
    }

    /// The inverse is another series in other arithmetic: the amount is right if
    /// `exp((amount - 10^8) / 10^8) <= h < exp((amount + 1 - 10^8) / 10^8)`.
    #[test]
    fn the_exponential_function_agrees() {
        let mut random = Prng::from_seed([8; 32]);
        let drawn = (0..2500).map(|at| (random.next_u64() >> (at % 64)).max(1));
        let hardest = HARDEST.map(|(height, _)| height);
        let near = |height: u64| [height - 1, height, height + 1];
        let edges = (1..=63).flat_map(|power| [(1 << power) - 1, 1 << power]);
        for height in (1..300)
            .chain(drawn)
            .chain(hardest.into_iter().flat_map(near))
            .chain(edges)
            .chain([u64::MAX])
        {
            let log = subsidy(height).unwrap() - COIN;
            // `exp` of a rational other than 0 is no integer, so that floors tell.
            let low = if log == 0 { 0 } else { exp_floor(log) };
            assert!(low < height.into(), "too large at {height}");
            assert!(exp_floor(log + 1) >= height.into(), "too small at {height}");
        }
    }

    const FRACTION: usize = 8;
    type Big = [u32; FRACTION + 3];

    /// `floor(exp(numerator / 10^8))` with 256 bits after the point.
    fn exp_floor(numerator: u64) -> u128 {
        const SQUARINGS: u32 = 7;
        let mut term: Big = [0; FRACTION + 3];
        term[FRACTION] = 1;
        let mut sum = term;
        for n in 1..80u128 {
            let mut carry = 0;
            for limb in &mut term {
                carry += u128::from(*limb) * u128::from(numerator);
                *limb = carry as u32;
                carry >>= 32;
            }
            let divisor = (u128::from(COIN) << SQUARINGS) * n;
            let mut rest = 0;
            for limb in term.iter_mut().rev() {
                rest = rest << 32 | u128::from(*limb);
                *limb = (rest / divisor) as u32;
                rest %= divisor;
            }
            let mut carry = 0;
            for (limb, more) in sum.iter_mut().zip(term) {
                carry += u64::from(*limb) + u64::from(more);
                *limb = carry as u32;
                carry >>= 32;
            }
        }
        assert_eq!(term, [0; FRACTION + 3], "the series ended");
        for _ in 0..SQUARINGS {
            sum = square(&sum);
        }
        let fraction = &sum[3..FRACTION];
        assert!(fraction.iter().any(|limb| *limb != 0), "too near to tell");
        assert!(fraction.iter().any(|limb| *limb != u32::MAX));
        let integer = sum[FRACTION..].iter().rev();
        integer.fold(0, |value, limb| value << 32 | u128::from(*limb))
    }

    fn square(value: &Big) -> Big {
        let mut product = [0u32; 2 * (FRACTION + 3)];
        for (at, one) in value.iter().enumerate() {
            let mut carry = 0;
            for (other_at, other) in value.iter().enumerate() {
                carry += u64::from(*one) * u64::from(*other);
                carry += u64::from(product[at + other_at]);
                product[at + other_at] = carry as u32;
                carry >>= 32;
            }
            product[at + value.len()] = carry as u32;
        }
        core::array::from_fn(|at| product[FRACTION + at])
    }
}
