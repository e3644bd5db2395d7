//! What many requests came to: how many a second, and how long each took. (`Performance`, S4-53)

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::router::Told;
use crate::terminal::{Ink, Screen};

/// Of some requests, this part was not slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    pub(super) min: u64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p95: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency {
            min,
            p50,
            p90,
            p95,
            p99,
            max,
        } = self;
        write!(
            f,
            "{min} ms at least, half in {p50}, 90% in {p90}, 95% in {p95}, 99% in {p99}, all in {max} ms"
        )
    }
}

/// The nearest-rank percentile of sorted values.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The nearest-rank percentiles.
pub(crate) fn latency(mut ms: Vec<u64>) -> Option<Latency> {
    ms.sort_unstable();
    let at = |percent| percentile(&ms, percent);
    Some(Latency {
        min: *ms.first()?,
        p50: at(50)?,
        p90: at(90)?,
        p95: at(95)?,
        p99: at(99)?,
        max: *ms.last()?,
    })
}

/// What the requests came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Performance {
    /// All of them.
    pub(crate) requests: usize,
    /// Transfers and moves that took effect.
    pub(crate) committed: usize,
    /// Reads that were answered.
    pub(crate) read: usize,
    /// Those that never will take effect.
    pub(crate) aborted: usize,
    /// And why, as often.
    pub(crate) reasons: BTreeMap<String, usize>,
    /// Without an end in time.
    pub(crate) undecided: usize,
    /// From the first request to the last answer; virtual in a simulation.
    pub(crate) elapsed_ms: u64,
    /// Requests with an end in a thousand seconds.
    pub(crate) per_kilosecond: u64,
    /// How long those took that have an end.
    pub(crate) latency_ms: Option<Latency>,
}

impl Performance {
    /// Sums ends up.
    pub(crate) fn of(ends: &[Told], elapsed: Duration) -> Performance {
        let with = |outcome: &str| ends.iter().filter(|end| end.outcome == outcome).count();
        let (committed, read, aborted) = (with("committed"), with("read"), with("aborted"));
        let ended = ends.iter().filter(|end| end.outcome != "undecided");
        let ms: Vec<u64> = ended.clone().map(|end| end.ms).collect();
        let mut reasons = BTreeMap::new();
        for reason in ended.filter_map(|end| end.reason.clone()) {
            *reasons.entry(reason).or_insert(0) += 1;
        }
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        Performance {
            requests: ends.len(),
            committed,
            read,
            aborted,
            reasons,
            undecided: ends.len() - committed - read - aborted,
            elapsed_ms,
            per_kilosecond: ms.len() as u64 * 1_000_000 / elapsed_ms.max(1),
            latency_ms: latency(ms),
        }
    }

    /// Shows it.
    pub(crate) fn show(&self, screen: &mut Screen) {
        let mut parts = vec![format!("{} committed", self.committed)];
        for (count, word) in [
            (self.read, "read"),
            (self.aborted, "aborted"),
            (self.undecided, "undecided"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        let text = format!(
            "{} requests in {} ms: {}",
            self.requests,
            self.elapsed_ms,
            parts.join(", ")
        );
        let ink = match self.undecided {
            0 => Ink::Good,
            _ => Ink::Warn,
        };
        screen.entry("all        ", Some(ink), &text);
        let reasons = self.reasons.iter();
        let reasons: Vec<String> = reasons
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        if !reasons.is_empty() {
            screen.entry("aborted    ", None, &reasons.join(", "));
        }
        let (whole, tenths) = (self.per_kilosecond / 1_000, self.per_kilosecond / 100 % 10);
        screen.entry("throughput ", None, &format!("{whole}.{tenths} per second"));
        if let Some(latency) = self.latency_ms {
            screen.entry("latency    ", None, &latency.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(latency(Vec::new()), None);
        let of = |ms: Vec<u64>| {
            let Latency {
                min,
                p50,
                p90,
                p95,
                p99,
                max,
            } = latency(ms).unwrap();
            [min, p50, p90, p95, p99, max]
        };
        assert_eq!(of(vec![7]), [7; 6]);
        assert_eq!(of((1..=100).rev().collect()), [1, 50, 90, 95, 99, 100]);
        assert_eq!(of(vec![10, 20]), [10, 10, 20, 20, 20, 20]);
    }

    #[test]
    fn only_what_has_an_end_counts_for_speed() {
        let told = |outcome, reason: Option<&str>, ms| Told {
            request: String::new(),
            outcome,
            transaction: None,
            balance: None,
            reason: reason.map(str::to_owned),
            node: None,
            cluster: None,
            asked: 1,
            ms,
            heard: true,
        };
        let ends = [
            told("committed", None, 10),
            told("read", None, 2),
            told("aborted", Some("INSUFFICIENT_BALANCE"), 8),
            told("undecided", Some("accepted"), 9_000),
        ];
        let all = Performance::of(&ends, Duration::from_millis(1_500));
        assert_eq!(
            (
                all.requests,
                all.committed,
                all.read,
                all.aborted,
                all.undecided
            ),
            (4, 1, 1, 1, 1)
        );
        assert_eq!(all.per_kilosecond, 2_000);
        assert_eq!(all.latency_ms.unwrap().max, 10);
        assert_eq!(
            all.reasons,
            BTreeMap::from([("INSUFFICIENT_BALANCE".to_owned(), 1)])
        );
    }
}
