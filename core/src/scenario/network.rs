//! How messages and writes of a run travel.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::types::NodeId;

/// The longest time that a message or a write may take: a day.
pub(super) const SPAN_MS_MAX: u64 = 86_400_000;

pub(super) fn check_span(key: &str, low: u64, high: u64, most: u64) -> Result<(), String> {
    if low > high {
        return Err(format!(
            "{key} = [{low}, {high}]: expected the lower bound first"
        ));
    }
    if high > most {
        return Err(format!("{key} = [{low}, {high}]: expected at most {most}"));
    }
    Ok(())
}

/// How messages travel. Times are drawn uniformly, per message and link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Travel time in milliseconds, from and to.
    pub latency_ms: [u64; 2],
    /// Lost messages of a thousand.
    pub loss_permille: u16,
    /// Messages of a thousand that arrive twice.
    pub duplicate_permille: u16,
    /// Messages of a thousand that are held up for `delay_ms`.
    pub delay_permille: u16,
    /// How long a held-up message is late, in milliseconds, from and to.
    pub delay_ms: [u64; 2],
    /// Messages of a thousand with a flipped bit.
    pub corrupt_permille: u16,
    /// Links that differ.
    pub link: Vec<Link>,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            latency_ms: [5, 40],
            loss_permille: 0,
            duplicate_permille: 0,
            delay_permille: 0,
            delay_ms: [1_000, 10_000],
            corrupt_permille: 0,
            link: Vec::new(),
        }
    }
}

impl Network {
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, [low, high]) in [("latency_ms", self.latency_ms), ("delay_ms", self.delay_ms)] {
            check_span(&format!("network.{key}"), low, high, SPAN_MS_MAX)?;
        }
        for link in &self.link {
            link.check("network.link")?;
        }
        let shares = [
            ("loss_permille", self.loss_permille),
            ("duplicate_permille", self.duplicate_permille),
            ("delay_permille", self.delay_permille),
            ("corrupt_permille", self.corrupt_permille),
        ];
        match shares.iter().find(|(_, share)| *share > 1000) {
            Some((key, share)) => Err(format!("network.{key} = {share}: expected 0 to 1000")),
            None => Ok(()),
        }
    }
}

/// A link that differs from the others, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The sending end; absent means every node.
    pub from: Option<NodeId>,
    /// The receiving end; absent means every node.
    pub to: Option<NodeId>,
    /// Travel time in milliseconds, from and to.
    pub latency_ms: Option<[u64; 2]>,
    /// Lost messages of a thousand.
    pub loss_permille: Option<u16>,
}

impl Link {
    pub(super) fn check(&self, key: &str) -> Result<(), String> {
        if let Some(share) = self.loss_permille.filter(|share| *share > 1000) {
            return Err(format!(
                "{key}: loss_permille = {share}; expected 0 to 1000"
            ));
        }
        match self.latency_ms {
            Some([low, high]) => check_span(&format!("{key}: latency_ms"), low, high, SPAN_MS_MAX),
            None => Ok(()),
        }
    }

    /// Whether this link is meant.
    pub fn covers(&self, from: NodeId, to: NodeId) -> bool {
        self.from.is_none_or(|id| id == from) && self.to.is_none_or(|id| id == to)
    }
}

/// How disks behave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// Time until a write is durable, in microseconds, from and to.
    pub latency_us: [u64; 2],
}
