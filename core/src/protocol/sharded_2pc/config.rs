//! The parameters: the shape of the shards and the timers. Part of the genesis.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Sharded2pc;
use super::command::Item;
use crate::crypto::Member;
use crate::engine::Env;
use crate::flaw::FlawSet;
use crate::types::{Duration, GroupId};

/// The parameters of `sharded-2pc`. (S4-03, S4-49)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardedConfig {
    /// How many items each cluster owns at first: 1 to 3000 in the first, 3001 to 6000 in the second. The clusters are
    /// the groups of members.
    pub items_per_cluster: u32,
    /// What each item holds at first.
    pub initial_balance: u64,
    /// Items that hold something else at first.
    pub balances: Vec<(Item, u64)>,
    /// A leader says that it is alive this often, in ms.
    pub heartbeat_ms: u64,
    /// A member that hears no leader for so long, or up to twice as long, seeks to lead, in ms.
    pub election_timeout_ms: u64,
    /// A coordinator that hears no vote for so long aborts, in ms.
    pub prepare_timeout_ms: u64,
    /// What was not acknowledged is sent again this often, in ms.
    pub resend_ms: u64,
    /// How often a transaction that met a lock is tried again before its client is told.
    pub lock_retries: u32,
    /// The shortest pause before such a retry, in ms; up to twice as long by jitter.
    pub lock_retry_ms: u64,
    /// A log longer than this is cut once a snapshot stands for it.
    pub snapshot_every: u64,
}

impl Default for ShardedConfig {
    fn default() -> Self {
        ShardedConfig {
            items_per_cluster: 3_000,
            initial_balance: 10,
            balances: Vec::new(),
            heartbeat_ms: 50,
            election_timeout_ms: 200,
            prepare_timeout_ms: 1_000,
            resend_ms: 100,
            lock_retries: 5,
            lock_retry_ms: 20,
            snapshot_every: 128,
        }
    }
}

impl ShardedConfig {
    /// What an item holds at first.
    pub fn first_balance(&self, item: Item) -> u64 {
        let named = self.balances.iter().find(|(named, _)| *named == item);
        named.map_or(self.initial_balance, |(_, balance)| *balance)
    }

    /// Whether the parameters make sense for these members.
    ///
    /// # Errors
    /// Which key is wrong and what was expected.
    pub fn check(&self, members: &[Member]) -> Result<(), String> {
        let ranges = [
            (
                "items_per_cluster",
                u64::from(self.items_per_cluster),
                1,
                1_000_000,
            ),
            ("initial_balance", self.initial_balance, 0, 1 << 40),
            ("heartbeat_ms", self.heartbeat_ms, 1, 60_000),
            ("election_timeout_ms", self.election_timeout_ms, 2, 600_000),
            ("prepare_timeout_ms", self.prepare_timeout_ms, 1, 600_000),
            ("resend_ms", self.resend_ms, 1, 600_000),
            ("lock_retries", u64::from(self.lock_retries), 0, 1_000),
            ("lock_retry_ms", self.lock_retry_ms, 1, 600_000),
            ("snapshot_every", self.snapshot_every, 1, 1 << 20),
        ];
        for (key, given, least, most) in ranges {
            if !(least..=most).contains(&given) {
                return Err(format!("{key} = {given}: expected {least} to {most}"));
            }
        }
        if self.heartbeat_ms >= self.election_timeout_ms {
            return Err(format!(
                "heartbeat_ms = {}: expected less than election_timeout_ms = {}",
                self.heartbeat_ms, self.election_timeout_ms
            ));
        }
        let clusters = Clusters::of(members.iter().map(|member| member.group));
        for cluster in clusters.all() {
            if !members.iter().any(|member| member.group == cluster) {
                return Err(format!(
                    "group {}: expected members in every group from {} to {}",
                    cluster.0,
                    clusters.first,
                    clusters.first + clusters.count - 1
                ));
            }
        }
        for (index, (item, balance)) in self.balances.iter().enumerate() {
            let again = self
                .balances
                .iter()
                .take(index)
                .any(|(other, _)| other == item);
            if again || clusters.owner(self, *item).is_none() || *balance > 1 << 40 {
                return Err(format!(
                    "balances: [{item}, {balance}]: expected each item once, from 1 to {}, with at most {}",
                    u64::from(clusters.count) * u64::from(self.items_per_cluster),
                    1u64 << 40
                ));
            }
        }
        Ok(())
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_ms(self.heartbeat_ms)
    }

    pub(super) fn resend(&self) -> Duration {
        Duration::from_ms(self.resend_ms)
    }

    pub(super) fn prepare_timeout(&self) -> Duration {
        Duration::from_ms(self.prepare_timeout_ms)
    }
}

/// The clusters: the groups of members, numbered in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clusters {
    first: u16,
    count: u16,
}

impl Clusters {
    /// The clusters of these groups.
    pub fn of(groups: impl Iterator<Item = GroupId> + Clone) -> Clusters {
        let first = groups.clone().map(|group| group.0).min().unwrap_or(0);
        let last = groups.map(|group| group.0).max().unwrap_or(0);
        Clusters {
            first,
            count: (last - first).saturating_add(1),
        }
    }

    /// All of them, in order.
    pub fn all(self) -> impl Iterator<Item = GroupId> {
        (self.first..=self.first + (self.count - 1)).map(GroupId)
    }

    /// Whether there is such a cluster.
    pub fn has(self, cluster: GroupId) -> bool {
        (self.first..=self.first + (self.count - 1)).contains(&cluster.0)
    }

    /// The cluster that owns an item at first; `None` for one that does not exist. (S4-03 `GetClusterForDataItem`)
    pub fn owner(self, config: &ShardedConfig, item: Item) -> Option<GroupId> {
        let index = item.checked_sub(1)? / config.items_per_cluster.max(1);
        let index = u16::try_from(index).ok()?;
        (index < self.count).then_some(GroupId(self.first + index))
    }
}

/// A cluster among the others, with the parameters of all.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The parameters.
    pub config: &'a ShardedConfig,
    /// All clusters.
    pub clusters: Clusters,
    /// This one.
    pub cluster: GroupId,
    /// Flaws that are restored.
    pub flaws: FlawSet,
}

impl<'a> Place<'a> {
    /// The place of a node.
    pub fn of(env: &'a Env<Sharded2pc>) -> Place<'a> {
        let groups = env.members().iter();
        let groups = groups.filter_map(|id| env.keyring.group_of(*id));
        Place {
            config: &env.config,
            clusters: Clusters::of(groups),
            cluster: env.keyring.group_of(env.id).unwrap_or_default(),
            flaws: env.flaws,
        }
    }

    /// The cluster that owns an item at first; `None` for one that does not exist.
    pub fn owner(&self, item: Item) -> Option<GroupId> {
        self.clusters.owner(self.config, item)
    }
}
