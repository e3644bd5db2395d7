//! The parameters: how peers are sampled, when a poll succeeds, and the coins of genesis. Part of the genesis.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Snowball;
use crate::crypto::{Member, Transcript};
use crate::engine::{Env, RuleSet};
use crate::ledger::{Coin, OutPoint, Output, Script, is_wallet_name, wallet};
use crate::ordered::Map;
use crate::snow::Parameters;
use crate::types::{Duration, Hash32, NodeId};

/// The parameters of `snowball`, with the names of seeds/001 where it has one. (S1-08 to S1-12)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnowballConfig {
    /// How many peers a poll asks; all others where there are fewer. The document asks everybody. (S1-11)
    pub sample_size: u16,
    /// How many votes of a poll for one choice count for its strength. Scaled down with the sample where there are fewer
    /// peers than `sample_size`.
    pub alpha_preference: u16,
    /// How many votes of a poll for one choice count for the confidence in it; scaled likewise.
    pub alpha_confidence: u16,
    /// How many successful polls in a row finalize. (S1-10)
    pub finality_confidence: u32,
    /// How long a poll waits for votes, in ms; longer once votes came later than that. (S1-08)
    pub vote_timeout_ms: u64,
    /// The pause between polls, in ms. (S1-12)
    pub inter_round_delay_ms: u64,
    /// After so many polls the document's rules finalize whatever is preferred. Hardened rules have no such end. (S1-09)
    pub max_rounds: u32,
    /// How long finalized transactions wait for others before a block is built, in ms.
    pub block_interval_ms: u64,
    /// How often a node compares notes with a peer, in ms.
    pub sync_ms: u64,
    /// Registered weights other than 1.
    pub weights: Vec<(NodeId, u32)>,
    /// The coins of genesis: who owns one, and its amount. The n-th coin of alice, from 0, is called `alice:n`.
    pub coins: Vec<(String, u64)>,
}

impl Default for SnowballConfig {
    fn default() -> Self {
        let owners = ["alice", "bob", "carol", "dave"];
        let coins = owners
            .iter()
            .flat_map(|owner| (0..4).map(|_| (owner.to_string(), FIRST_AMOUNT)));
        let Parameters {
            k,
            alpha_preference,
            alpha_confidence,
            beta,
        } = Parameters::MAINNET;
        SnowballConfig {
            sample_size: k,
            alpha_preference,
            alpha_confidence,
            finality_confidence: beta,
            vote_timeout_ms: 500,
            inter_round_delay_ms: 100,
            max_rounds: 10,
            block_interval_ms: 1_000,
            sync_ms: 5_000,
            weights: Vec::new(),
            coins: coins.collect(),
        }
    }
}

/// What a coin of genesis holds where nobody says otherwise.
pub const FIRST_AMOUNT: u64 = 100;

/// The most coins that genesis may have.
const COINS_MAX: usize = 1_024;

impl SnowballConfig {
    /// How polls are judged, where a node has so many peers.
    pub fn parameters(&self, others: u16) -> Parameters {
        self.unscaled().scaled_to(others)
    }

    pub(super) fn unscaled(&self) -> Parameters {
        Parameters {
            k: self.sample_size,
            alpha_preference: self.alpha_preference,
            alpha_confidence: self.alpha_confidence,
            beta: self.finality_confidence,
        }
    }

    /// Whether the parameters make sense for these members.
    ///
    /// # Errors
    /// Which key is wrong and what was expected.
    pub fn check(&self, members: &[Member], rules: RuleSet) -> Result<(), String> {
        if members.len() < 2 {
            return Err("nodes = 1: expected at least 2, since nobody polls itself".to_string());
        }
        if rules == RuleSet::Hardened {
            self.unscaled().check().map_err(|what| {
                format!("{what} (k is sample_size, beta is finality_confidence)")
            })?;
        }
        let ranges = [
            ("vote_timeout_ms", self.vote_timeout_ms, 1, 600_000),
            (
                "inter_round_delay_ms",
                self.inter_round_delay_ms,
                1,
                600_000,
            ),
            (
                "finality_confidence",
                u64::from(self.finality_confidence),
                1,
                1_000_000,
            ),
            ("max_rounds", u64::from(self.max_rounds), 1, 1_000_000),
            ("block_interval_ms", self.block_interval_ms, 1, 86_400_000),
            ("sync_ms", self.sync_ms, 1, 86_400_000),
            ("sample_size", u64::from(self.sample_size), 1, 1_000),
        ];
        for (key, given, least, most) in ranges {
            if !(least..=most).contains(&given) {
                return Err(format!("{key} = {given}: expected {least} to {most}"));
            }
        }
        for (index, (node, weight)) in self.weights.iter().enumerate() {
            let again = self
                .weights
                .iter()
                .take(index)
                .any(|(other, _)| other == node);
            let is_member = members.iter().any(|member| member.id == *node);
            if again || !is_member || *weight == 0 {
                return Err(format!(
                    "weights: [{}, {weight}]: expected each node from 1 to {} at most once, with at least 1",
                    node.0,
                    members.len()
                ));
            }
        }
        if self.coins.len() > COINS_MAX {
            return Err(format!(
                "coins: {} of them; expected at most {COINS_MAX}",
                self.coins.len()
            ));
        }
        for (owner, amount) in &self.coins {
            if !is_wallet_name(owner) || *amount == 0 || *amount > 1 << 50 {
                return Err(format!(
                    "coins: [\"{owner}\", {amount}]: expected a name of at most 32 letters, digits and hyphens, and 1 to {}",
                    1u64 << 50
                ));
            }
        }
        Ok(())
    }

    /// The coin of genesis at an outpoint, with its name; `None` if it is not one.
    pub fn coin(&self, outpoint: &OutPoint) -> Option<(String, Output)> {
        let index = usize::try_from(outpoint.index).ok()?;
        let mut owners: Vec<&str> = Vec::new();
        for (owner, _) in &self.coins {
            if owners.contains(&owner.as_str()) {
                continue;
            }
            owners.push(owner);
            if coin_txid(owner) == outpoint.txid {
                let mut own = self.coins.iter().filter(|(of, _)| of == owner);
                let (_, amount) = own.nth(index)?;
                let script = Script::key(&wallet(owner).public());
                let output = Output {
                    amount: *amount,
                    script,
                };
                return Some((format!("{owner}:{index}"), output));
            }
        }
        None
    }

    /// All coins of genesis with their names, in the file's order.
    pub(super) fn named_coins(&self) -> Vec<Coin> {
        let mut counts: Map<&str, u32> = Map::new();
        let named = self.coins.iter().map(|(owner, amount)| {
            let count = counts.get_or_default(owner.as_str());
            let name = format!("{owner}:{count}");
            *count += 1;
            Coin {
                name,
                owner: owner.clone(),
                amount: *amount,
            }
        });
        named.collect()
    }

    /// What all coins of genesis hold.
    pub fn issued(&self) -> u128 {
        self.coins
            .iter()
            .map(|(_, amount)| u128::from(*amount))
            .sum()
    }

    pub(super) fn pause(&self) -> Duration {
        Duration::from_ms(self.inter_round_delay_ms)
    }

    pub(super) fn weight(&self, node: NodeId) -> u64 {
        let named = self.weights.iter().find(|(of, _)| *of == node);
        named.map_or(1, |(_, weight)| u64::from(*weight))
    }
}

/// The number of peers of a node.
pub(super) fn others(env: &Env<Snowball>) -> u16 {
    u16::try_from(env.members().len().saturating_sub(1)).unwrap_or(u16::MAX)
}

/// The transaction, which never was, that made the coins of an owner.
pub fn coin_txid(owner: &str) -> Hash32 {
    let mut transcript = Transcript::new("phaselab 2026-11 snowball coin v1");
    transcript.bytes(owner.as_bytes()).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_have_the_names_of_their_outputs() {
        let coin = |owner: &str, amount| (owner.to_string(), amount);
        let config = SnowballConfig {
            coins: Vec::from([coin("alice", 5), coin("bob", 7), coin("alice", 9)]),
            ..SnowballConfig::default()
        };
        let named = config.named_coins();
        let told = |coin: &Coin| (coin.name.clone(), coin.amount);
        let told: Vec<_> = named.iter().map(told).collect();
        assert_eq!(
            told,
            [coin("alice:0", 5), coin("bob:0", 7), coin("alice:1", 9)]
        );
        for known in &named {
            let (_, index) = known.name.rsplit_once(':').unwrap();
            let outpoint = OutPoint {
                txid: coin_txid(&known.owner),
                index: index.parse().unwrap(),
            };
            let (name, output) = config.coin(&outpoint).unwrap();
            assert_eq!((name, output.amount), (known.name.clone(), known.amount));
        }
    }
}
