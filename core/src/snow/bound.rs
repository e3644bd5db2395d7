//! How likely it is at most that two correct nodes decide differently, and under which assumptions.
//!
//! Of `n` nodes at most `f` are faulty and `c = n - f` are correct. The first correct node to decide decides the *right*
//! choice, and every other choice is *wrong*. An error is a correct node that decides a wrong one.
//!
//! **One poll.** Let at most half of the correct be about to answer it with a wrong choice, and all `f` faulty. So
//! `w = c / 2 + f` of the `n - 1` others err, at most, and a sample of `k` without replacement has at least
//! `alpha_confidence` of them with probability at most
//!
//! ```text
//! p = sum over i from alpha_confidence to min(k, w) of  C(w, i) C(n - 1 - w, k - i) / C(n - 1, k)
//! ```
//!
//! since this tail grows with `w`. Who does not answer, or answers without a vote, only makes it less likely.
//!
//! **In a row.** A wrong decision ends `beta` such polls of one node in a row. Each is drawn afresh, so whatever
//! happened before, the next one succeeds with probability at most `p`; all of them with at most `p^beta`. Nothing is
//! said of how preferences depend on each other: only the samples are independent.
//!
//! **Which choice is right** is known only later. If `c` is odd, at most one choice has at least half of the correct
//! behind it as such a row begins; if `c` is even, two may have exactly half each, and both have to be counted.
//!
//! **Anywhere.** A row of a node with `polls` polls begins at one of `polls - beta + 1` places. By the union bound
//!
//! ```text
//! P(an error, and the assumptions hold) <= c * (polls - beta + 1) * (2 if c is even, else 1) * p^beta
//! ```
//!
//! This is for one conflict; several have at most the sum of their bounds. The half is an assumption and no theorem: a
//! majority may still swing after the first decision, however unlikely that is.
//! [`chance`](crate::explore::chance) computes small clusters without it. Where fewer than `k` others
//! exist, `k` and `alpha` are those of [`Parameters::scaled_to`].
//!
//! Only + - * / of `f64` are used, which every executor rounds alike, so that a page and a report print the same digits.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use super::Parameters;

/// What the bound is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// All nodes.
    pub nodes: u16,
    /// How they poll.
    pub parameters: Parameters,
    /// How many of the nodes may be faulty, at most.
    pub byzantine: u16,
    /// How often a node polls about this conflict, at most.
    pub polls: u64,
}

/// What can be said.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// The error is at most this likely, if the assumptions hold.
    AtMost {
        /// That some correct node decides differently than the first one.
        probability: f64,
        /// That one poll counts towards a wrong choice.
        per_poll: f64,
        /// What has to hold.
        assumptions: &'static [&'static str],
    },
    /// Nothing can be said.
    Unknown {
        /// A sentence.
        why: String,
    },
}

/// What every bound assumes.
pub const ASSUMPTIONS: &[&str] = &[
    "every poll samples uniformly and without replacement from a fixed registry of equal weights",
    "samples are independent of each other, and of what those who are asked would answer",
    "at most f nodes are faulty, and they may all vote for the wrong choice",
    "in every poll from beta before the first decision on, at most half of the correct prefer another choice",
    "no node polls more often than the horizon says",
];

/// What the sums may be too small by, relatively, for all the rounding in them.
const SLACK: f64 = 1e-9;

impl Question {
    /// The bound, or why there is none.
    pub fn bound(&self) -> Bound {
        match self.try_bound() {
            Ok((probability, per_poll)) => Bound::AtMost {
                probability,
                per_poll,
                assumptions: ASSUMPTIONS,
            },
            Err(why) => Bound::Unknown { why },
        }
    }

    /// The bound in one line, with what it was asked about.
    pub fn line(&self) -> String {
        match self.bound() {
            Bound::AtMost { probability, .. } if probability > 0.0 => {
                let most = Digits(probability);
                format!("error <= {most} for {self}, if half agree")
            }
            Bound::AtMost { .. } => format!("error 0 under these assumptions for {self}"),
            unknown @ Bound::Unknown { .. } => unknown.to_string(),
        }
    }

    /// The probability of an error, and that of a poll that counts towards a wrong choice.
    fn try_bound(&self) -> Result<(f64, f64), String> {
        self.parameters.check()?;
        let Question {
            nodes, byzantine, ..
        } = *self;
        if nodes < 2 {
            return Err(format!("nodes = {nodes}: there is nobody to ask"));
        }
        if byzantine >= nodes.div_ceil(2) {
            return Err(format!(
                "{byzantine} faulty nodes of {nodes} are at least half"
            ));
        }
        let others = nodes - 1;
        let parameters = self.parameters.scaled_to(others);
        let correct = nodes - byzantine;
        let wrong = (correct / 2 + byzantine).min(others);
        let per_poll = tail(others, wrong, parameters.k, parameters.alpha_confidence);
        let beta = u64::from(parameters.beta);
        let places = self.polls.saturating_sub(beta - 1) as f64;
        let sides = if correct.is_multiple_of(2) { 2.0 } else { 1.0 };
        let rows = f64::from(correct) * places * sides;
        let probability = times(rows, power(per_poll, parameters.beta));
        if probability >= 1.0 {
            return Err(format!(
                "one poll may err with probability {}, too often for {beta} in a row within {} polls",
                Digits(per_poll),
                self.polls
            ));
        }
        Ok((probability, per_poll))
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parameters {
            k,
            alpha_confidence,
            beta,
            ..
        } = self.parameters.scaled_to(self.nodes.saturating_sub(1));
        let Question {
            nodes,
            byzantine,
            polls,
            ..
        } = self;
        write!(
            f,
            "n {nodes}, k {k}, alpha {alpha_confidence}, beta {beta}, f {byzantine}, {polls} polls"
        )
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost { probability, .. } if *probability > 0.0 => {
                write!(
                    f,
                    "error <= {}, if at least half agree",
                    Digits(*probability)
                )
            }
            Bound::AtMost { .. } => f.write_str("error 0 under these assumptions"),
            Bound::Unknown { why } => write!(f, "error unknown: {why}"),
        }
    }
}

/// The 95 % interval of a probability that was seen to happen so often (Wilson's score).
pub fn wilson(successes: u64, trials: u64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if trials == 0 {
        return (0.0, 1.0);
    }
    let n = trials as f64;
    let share = successes.min(trials) as f64 / n;
    let square = Z * Z / n;
    let middle = share + square / 2.0;
    let half = Z * root((share * (1.0 - share) + square / 4.0) / n);
    let low = (middle - half) / (1.0 + square);
    let high = (middle + half) / (1.0 + square);
    (
        if successes == 0 { 0.0 } else { low.max(0.0) },
        if successes >= trials {
            1.0
        } else {
            high.min(1.0)
        },
    )
}

/// The probability that `k` of `all`, drawn without replacement, include at least `least` of the `marked`; rounded up.
fn tail(all: u16, marked: u16, k: u16, least: u16) -> f64 {
    let (all, marked, k, least) = (
        i64::from(all),
        i64::from(marked),
        i64::from(k),
        i64::from(least),
    );
    let (low, high) = ((k - (all - marked)).max(0), k.min(marked));
    if least <= low {
        return 1.0;
    }
    if least > high {
        return 0.0;
    }
    // The probabilities of i and i + 1 relate as (marked - i)(k - i) to (i + 1)(all - marked - k + i + 1). From the
    // likeliest on, which counts 1, they only shrink: nothing overflows, and what underflows is nothing beside the sum.
    let step = |i: i64| {
        let up = (marked - i) as f64 * (k - i) as f64;
        up / ((i + 1) as f64 * (all - marked - k + i + 1) as f64)
    };
    let mode = ((k + 1) * (marked + 1) / (all + 2)).clamp(low, high);
    let (mut sum, mut beyond) = (0.0, 0.0);
    let mut take = |i: i64, term: f64| {
        sum += term;
        if i >= least {
            beyond += term;
        }
    };
    take(mode, 1.0);
    let mut term = 1.0;
    for i in mode..high {
        term *= step(i);
        take(i + 1, term);
    }
    term = 1.0;
    for i in (low..mode).rev() {
        term /= step(i);
        take(i, term);
    }
    let share: f64 = beyond / sum * (1.0 + SLACK);
    share.clamp(f64::MIN_POSITIVE, 1.0)
}

/// A product that is 0 only if a factor is.
fn times(a: f64, b: f64) -> f64 {
    let product = a * b;
    if product == 0.0 && a != 0.0 && b != 0.0 {
        return f64::MIN_POSITIVE;
    }
    product
}

/// A power by squaring.
fn power(base: f64, mut exponent: u32) -> f64 {
    let (mut power, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = times(power, square);
        }
        square = times(square, square);
        exponent /= 2;
    }
    power
}

/// The square root of a number that is not negative, by Newton's iterations from above.
fn root(of: f64) -> f64 {
    if of <= 0.0 {
        return 0.0;
    }
    let mut root = of.max(1.0);
    loop {
        let next = (root + of / root) / 2.0;
        if next >= root {
            return root;
        }
        root = next;
    }
}

/// A positive number with two digits, rounded up, by the same operations everywhere.
struct Digits(f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the slack added is not shown.
        const SHOWN: f64 = 1e-5;
        let (mut value, mut exponent) = (self.0, 0);
        while value >= 10.0 {
            value /= 10.0;
            exponent += 1;
        }
        while value > 0.0 && value < 1.0 {
            value *= 10.0;
            exponent -= 1;
        }
        let tenths = (value * 10.0 - SHOWN).max(0.0);
        let mut digits = tenths as u32;
        digits += u32::from(tenths > f64::from(digits));
        if digits == 100 {
            (digits, exponent) = (10, exponent + 1);
        }
        match exponent {
            -1 => write!(f, "0.{digits}"),
            -2 => write!(f, "0.0{digits}"),
            0 => write!(f, "{}.{}", digits / 10, digits % 10),
            _ => write!(f, "{}.{}e{exponent}", digits / 10, digits % 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(nodes: u16, p: (u16, u16, u32), byzantine: u16, polls: u64) -> Question {
        let parameters = Parameters {
            k: p.0,
            alpha_preference: p.1,
            alpha_confidence: p.1,
            beta: p.2,
        };
        Question {
            nodes,
            parameters,
            byzantine,
            polls,
        }
    }

    fn close(a: f64, b: f64) -> bool {
        let difference = if a > b { a - b } else { b - a };
        difference <= 1e-7 * b
    }

    fn choose(n: u128, k: u128) -> u128 {
        (0..k).fold(1, |all, i| all * n.saturating_sub(i) / (i + 1))
    }

    #[test]
    fn a_tail_is_the_share_of_samples() {
        for all in 1..=16_u16 {
            for marked in 0..=all {
                for k in 1..=all {
                    for least in 0..=k {
                        let of = |i: u16| {
                            let rest = choose((all - marked).into(), (k - i).into());
                            choose(marked.into(), i.into()) * rest
                        };
                        let some: u128 = (least..=k).map(of).sum();
                        let every = choose(all.into(), k.into());
                        let exact = some as f64 / every as f64;
                        let found = tail(all, marked, k, least);
                        assert!(
                            found >= exact * (1.0 - 1e-12) && close(found, exact),
                            "{all} {marked} {k} {least}: {found}, exactly {exact}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn large_samples_neither_overflow_nor_vanish() {
        let most = u16::MAX;
        assert_eq!(tail(most, most / 4, most / 2, most / 4), f64::MIN_POSITIVE);
        let half = tail(most, most / 2, 10_001, 5_000);
        assert!(half > 0.5 && half < 0.51, "{half}");
        assert_eq!(power(0.5, u32::MAX), f64::MIN_POSITIVE);
        assert_eq!(
            (power(0.0, 3), power(1.0, u32::MAX), power(3.0, 5)),
            (0.0, 1.0, 243.0)
        );
    }

    #[test]
    fn a_bound_by_hand() {
        // 3 of 6 others may err, 3 are asked and have to: 1 of 20 samples. 7 nodes, 9 - 2 + 1 places, 7 is odd.
        let Bound::AtMost {
            probability,
            per_poll,
            assumptions,
        } = question(7, (3, 3, 2), 0, 9).bound()
        else {
            panic!("a bound");
        };
        assert!(close(per_poll, 0.05) && close(probability, 7.0 * 8.0 / 400.0));
        assert_eq!(assumptions, ASSUMPTIONS);
        // 8 - 2 correct: 5 of 7 may err, C(5, 3) of C(7, 3) samples; both halves count.
        let Bound::AtMost { probability, .. } = question(8, (3, 3, 5), 2, 5).bound() else {
            panic!("a bound");
        };
        let p = 10.0 / 35.0;
        assert!(close(probability, 6.0 * 2.0 * p * p * p * p * p));
    }

    #[test]
    fn a_line_says_what_it_is_about() {
        for (question, line) in [
            (
                question(100, (20, 15, 20), 10, 200),
                "error <= 9.6e-24 for n 100, k 20, alpha 15, beta 20, f 10, 200 polls, if half agree",
            ),
            (
                question(1000, (20, 15, 20), 200, 1000),
                "error <= 1.3e-12 for n 1000, k 20, alpha 15, beta 20, f 200, 1000 polls, if half agree",
            ),
            (
                question(7, (3, 3, 2), 0, 9),
                "error <= 0.14 for n 7, k 3, alpha 3, beta 2, f 0, 9 polls, if half agree",
            ),
            (
                question(5, (20, 15, 20), 0, 100),
                "error 0 under these assumptions for n 5, k 4, alpha 3, beta 20, f 0, 100 polls",
            ),
            (
                question(7, (3, 3, 20), 0, 19),
                "error 0 under these assumptions for n 7, k 3, alpha 3, beta 20, f 0, 19 polls",
            ),
            (
                question(5, (20, 15, 20), 1, 100),
                "error unknown: one poll may err with probability 1.0, too often for 20 in a row within 100 polls",
            ),
            (
                question(10, (5, 4, 3), 5, 100),
                "error unknown: 5 faulty nodes of 10 are at least half",
            ),
            (
                question(9, (5, 4, 3), 5, 100),
                "error unknown: 5 faulty nodes of 9 are at least half",
            ),
            (
                question(1, (1, 1, 1), 0, 100),
                "error unknown: nodes = 1: there is nobody to ask",
            ),
            (
                question(9, (5, 2, 3), 0, 100),
                "error unknown: alpha_preference = 2: expected 3 to 5, more than half of k = 5",
            ),
        ] {
            assert_eq!(question.line(), line);
            assert!(
                line.starts_with("error unknown") || line.len() <= 90,
                "{line}"
            );
        }
        let bound = question(7, (3, 3, 2), 0, 9).bound();
        assert_eq!(bound.to_string(), "error <= 0.14, if at least half agree");
        let never = question(5, (20, 15, 20), 0, 100).bound();
        assert_eq!(never.to_string(), "error 0 under these assumptions");
    }

    #[test]
    fn more_faults_and_more_polls_never_lower_it() {
        let value = |question: Question| match question.bound() {
            Bound::AtMost { probability, .. } => probability,
            Bound::Unknown { .. } => 1.0,
        };
        for nodes in 2..40 {
            let mut before = 0.0;
            for f in (0..nodes).step_by(2) {
                let now = value(question(nodes, (7, 6, 8), f, 100));
                assert!(now >= before, "n {nodes}, f {f}");
                before = now;
                let longer = value(question(nodes, (7, 6, 8), f, 101));
                let surer = value(question(nodes, (7, 6, 9), f, 100));
                assert!(longer >= now && surer <= now, "n {nodes}, f {f}");
            }
        }
    }

    #[test]
    fn digits_are_rounded_up() {
        for (value, digits) in [
            (1.0, "1.0"),
            (0.5, "0.50"),
            (0.101, "0.11"),
            (0.02, "0.020"),
            (0.001, "1.0e-3"),
            (0.002_01, "2.1e-3"),
            (9.99e-7, "1.0e-6"),
            (123.0, "1.3e2"),
            (f64::MIN_POSITIVE, "2.3e-308"),
        ] {
            assert_eq!(Digits(value).to_string(), digits, "{value}");
        }
    }

    #[test]
    fn an_interval_around_what_was_seen() {
        // Published: 0 of 10 gives 0 to 0.2775, 5 of 10 gives 0.2366 to 0.7634.
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| {
            let both = [a - c, c - a, b - d, d - b];
            assert!(both.iter().all(|x| *x < 1e-4), "{a} {b}, expected {c} {d}");
        };
        near(wilson(0, 10), (0.0, 0.2775));
        near(wilson(5, 10), (0.2366, 0.7634));
        near(wilson(10, 10), (0.7225, 1.0));
        near(wilson(0, 0), (0.0, 1.0));
        near(wilson(12, 10), (0.7225, 1.0));
        near(wilson(1, 1_000_000_000_000), (0.0, 0.0));
        assert!(wilson(1, 1_000_000_000_000).0 > 0.0);
    }

    #[test]
    fn a_root_by_iteration() {
        for of in [0.0, 1e-300, 1e-12, 0.25, 0.5, 1.0, 2.0, 1e6] {
            let found = root(of);
            assert!(
                close(found * found, of) || found * found == of,
                "{of}: {found}"
            );
        }
    }
}
