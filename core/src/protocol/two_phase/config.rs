//! The document's parameters, and what they become once.

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::crypto::Member;
use crate::quorum::Quorum;
use crate::retry::RetryConfig;
use crate::types::{Duration, Round};

/// The most inputs that a proposal may spend. (S0-11)
pub const MAX_UTXOS_PER_PROPOSAL: usize = 100;
/// The most outputs that a proposal may make. (S0-12)
pub const MAX_OUTPUTS_PER_PROPOSAL: usize = 16;
/// The largest template, in bytes. (S0-13)
pub const MAX_KPSBT_SIZE: usize = 64 * 1024;
/// The largest proposal, in bytes: more than a template, since it contains one. (S0-14; S0-F26 has the document's 64 KiB
/// for both.)
pub const MAX_PROPOSAL_SIZE_BYTES: usize = 128 * 1024;
/// The most events that one synchronisation asks about. (S0-17)
pub const MAX_SYNC_EVENTS_PER_TICK: usize = 64;
/// The most proposals that one answer carries per event. (S0-18)
pub const MAX_PROPOSALS_PER_EVENT_PER_RESPONSE: usize = 20;
/// A peer is told about an event at most this often. (S0-19)
pub const STATE_SYNC_COOLDOWN_MS: u64 = 2_000;
/// The least depth of inputs unless the group asks for more. (S0-16)
pub const DEFAULT_MIN_INPUT_SCORE_DEPTH: u64 = 300;
/// The document's background tick. (S0-81)
pub const TICK_MS: u64 = 1_000;
/// What a transaction pays to the chain.
pub const TRANSACTION_FEE: u64 = 1;

/// Parameters of two-phase, with the names of seeds/000, section 8. Part of the genesis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwoPhaseConfig {
    /// Partial signatures that make a transaction valid: the group's `threshold_m`.
    pub threshold_m: u16,
    /// The group's own finality depth; `min_input_score_depth = 0` takes the larger of this and 300.
    pub finality_blue_score_threshold: u64,
    /// How long a round lasts, in milliseconds, from entering it. Each later round lasts a tenth longer.
    pub proposal_timeout_ms: u64,
    /// Locks that decide; 0 derives it: the larger of `threshold_m` and a majority. (S0-23)
    pub commit_quorum: u16,
    /// Depth of inputs; 0 derives it. (S0-24)
    pub min_input_score_depth: u64,
    /// Look the inputs up again before signing. (S0-25)
    pub revalidate_inputs_on_commit: bool,
    /// Backoff between rounds.
    pub retry: RetryConfig,
    /// How long proposals of ended events are kept, in milliseconds.
    pub gc_after_ms: u64,
}

impl Default for TwoPhaseConfig {
    fn default() -> Self {
        TwoPhaseConfig {
            threshold_m: 2,
            finality_blue_score_threshold: 0,
            proposal_timeout_ms: 5_000,
            commit_quorum: 0,
            min_input_score_depth: 0,
            revalidate_inputs_on_commit: true,
            retry: RetryConfig::default(),
            gc_after_ms: 3_600_000,
        }
    }
}

/// Which quorums are accepted, and which is derived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuorumRule {
    /// At least `threshold_m` and a majority, whether derived or explicit.
    #[default]
    Majority,
    /// `threshold_m`, or what is explicit, from there up to all members.
    ThresholdM,
    /// `threshold_m`, or what is explicit, whatever it is.
    AsWritten,
    /// `commit_quorum` as it stands, also 0.
    AsGiven,
}

impl TwoPhaseConfig {
    /// Whether the parameters make sense for this group under hardened rules. (S0-26, S0-F3, S0-F25)
    ///
    /// # Errors
    /// Which key is wrong, and what was expected.
    pub fn check(&self, members: &[Member]) -> Result<(), String> {
        self.check_under(QuorumRule::Majority, members)
    }

    /// The same with another rule for quorums.
    ///
    /// # Errors
    /// Which key is wrong, and what was expected.
    pub fn check_under(&self, rule: QuorumRule, members: &[Member]) -> Result<(), String> {
        let n = u16::try_from(members.len())
            .map_err(|_| format!("nodes = {}: expected at most 65535", members.len()))?;
        if n == 0 {
            return Err(String::from("nodes = 0: expected at least one member"));
        }
        if self.threshold_m == 0 || self.threshold_m > n {
            return Err(format!(
                "threshold_m = {}: expected 1 to {n}, the number of members",
                self.threshold_m
            ));
        }
        self.check_quorum(rule, n)?;
        if !(3..=86_400_000).contains(&self.proposal_timeout_ms) {
            return Err(format!(
                "proposal_timeout_ms = {}: expected 3 to 86400000",
                self.proposal_timeout_ms
            ));
        }
        if self.retry.max_delay_ms > 86_400_000 || self.retry.jitter_ms > 86_400_000 {
            return Err(String::from(
                "max_delay_ms and jitter_ms: expected at most 86400000",
            ));
        }
        if self.retry.base_delay_ms > self.retry.max_delay_ms {
            return Err(format!(
                "base_delay_ms = {}: expected at most max_delay_ms = {}",
                self.retry.base_delay_ms, self.retry.max_delay_ms
            ));
        }
        Ok(())
    }

    fn check_quorum(&self, rule: QuorumRule, n: u16) -> Result<(), String> {
        let (explicit, m) = (self.commit_quorum, self.threshold_m);
        let least = match rule {
            QuorumRule::Majority => Quorum::crash_majority(n).need() as u16,
            QuorumRule::ThresholdM => 1,
            QuorumRule::AsWritten | QuorumRule::AsGiven => return Ok(()),
        };
        if explicit != 0 && !(least..=n).contains(&explicit) {
            return Err(format!(
                "commit_quorum = {explicit}: expected {least} to {n} (more than half of {n} members), or 0 to derive it"
            ));
        }
        if explicit != 0 && explicit < m {
            return Err(format!(
                "commit_quorum = {explicit}: expected at least threshold_m = {m}, or 0 to derive it"
            ));
        }
        Ok(())
    }

    /// How many locks decide, among `n` members, under hardened rules: q = max(m, floor(n/2) + 1).
    ///
    /// # Panics
    /// If the parameters were not checked for this group.
    pub fn quorum(&self, n: usize) -> Quorum {
        self.quorum_under(QuorumRule::Majority, n)
    }

    /// The same with another rule for quorums.
    ///
    /// # Panics
    /// If the parameters were not checked for this group.
    pub fn quorum_under(&self, rule: QuorumRule, n: usize) -> Quorum {
        let (explicit, m) = (u128::from(self.commit_quorum), u128::from(self.threshold_m));
        let need = match (rule, explicit) {
            (QuorumRule::Majority, 0) => m.max(Quorum::crash_majority(n as u16).need()),
            (QuorumRule::ThresholdM | QuorumRule::AsWritten, 0) => m,
            (QuorumRule::AsGiven, 0) => return Quorum::out_of_reach(n as u128),
            (_, explicit) => explicit,
        };
        match rule {
            QuorumRule::Majority | QuorumRule::ThresholdM => {
                Quorum::at_least(need, n as u128).expect("checked parameters")
            }
            QuorumRule::AsWritten | QuorumRule::AsGiven => {
                Quorum::at_least(need, n as u128).unwrap_or(Quorum::out_of_reach(n as u128))
            }
        }
    }

    /// The depth that inputs need.
    pub fn input_depth(&self) -> u64 {
        match self.min_input_score_depth {
            0 => DEFAULT_MIN_INPUT_SCORE_DEPTH.max(self.finality_blue_score_threshold),
            explicit => explicit,
        }
    }

    /// How long a round lasts.
    pub fn round_timeout(&self, round: Round) -> Duration {
        let step = (self.proposal_timeout_ms / 10).max(1);
        Duration::from_ms(
            self.proposal_timeout_ms
                .saturating_add(step.saturating_mul(u64::from(round.0))),
        )
    }

    /// How long a node waits for the leader's proposal: a third of the round.
    pub fn propose_timeout(&self, round: Round) -> Duration {
        Duration(self.round_timeout(round).0 / 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Crypto;
    use crate::protocol::members;
    use crate::types::GroupId;

    fn check(n: usize, change: impl FnOnce(&mut TwoPhaseConfig)) -> Result<(), String> {
        let mut config = TwoPhaseConfig::default();
        change(&mut config);
        config.check(&members(Crypto::Simulated, &alloc::vec![GroupId(0); n]))
    }

    #[test]
    fn two_quorums_always_meet_whatever_m_is() {
        for n in 1..=9usize {
            for m in 1..=n {
                let config = TwoPhaseConfig {
                    threshold_m: m as u16,
                    ..TwoPhaseConfig::default()
                };
                let quorum = config.quorum(n);
                assert!(2 * quorum.need() > n as u128, "n={n} m={m}: S0-F3");
                assert!(quorum.need() >= m as u128, "n={n} m={m}");
            }
        }
    }

    #[test]
    fn a_quorum_that_cannot_be_safe_or_reached_is_refused() {
        assert!(
            check(4, |c| c.commit_quorum = 2)
                .unwrap_err()
                .contains("expected 3 to 4")
        );
        assert!(check(4, |c| c.commit_quorum = 5).is_err());
        assert!(check(4, |c| c.commit_quorum = 3).is_ok());
        assert!(check(5, |c| (c.threshold_m, c.commit_quorum) = (4, 3)).is_err());
        assert!(check(3, |c| c.threshold_m = 0).is_err());
        assert!(check(3, |c| c.threshold_m = 4).is_err());
        assert!(check(3, |c| c.proposal_timeout_ms = 0).is_err());
        assert!(check(3, |c| c.retry.base_delay_ms = 40_000).is_err());
    }

    /// S0-24.
    #[test]
    fn the_depth_is_derived_from_the_group() {
        let mut config = TwoPhaseConfig::default();
        assert_eq!(config.input_depth(), 300);
        config.finality_blue_score_threshold = 1_000;
        assert_eq!(config.input_depth(), 1_000);
        config.min_input_score_depth = 7;
        assert_eq!(config.input_depth(), 7);
    }
}
