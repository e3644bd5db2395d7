//! What tools need of a protocol whose items live in clusters, without its types: which item lives where at first, what
//! it holds, what a client may wish, and what a reply says beyond its view.
//!
//! ```text
//! shards/mix.rs       requests drawn from a seed: shares of reads and of transfers between clusters, skew
//! shards/reshard.rs   where items should live, so that fewer transfers cross clusters
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::types::{GroupId, NodeId};

pub mod mix;
pub mod reshard;

/// An item, by number from 1.
pub type Item = u32;

/// Items that groups of members own, in ranges of the same length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    clusters: Vec<GroupId>,
    items_each: u32,
    first_balance: u64,
    others: Vec<(Item, u64)>,
}

impl Shards {
    /// `items_each` items for each cluster, in order. Each holds `first_balance`, but for `others`.
    pub fn new(
        clusters: Vec<GroupId>,
        items_each: u32,
        first_balance: u64,
        others: Vec<(Item, u64)>,
    ) -> Shards {
        Shards {
            clusters,
            items_each,
            first_balance,
            others,
        }
    }

    /// The clusters, in the order of their items.
    pub fn clusters(&self) -> &[GroupId] {
        &self.clusters
    }

    /// How many items each cluster owns at first.
    pub const fn items_each(&self) -> u32 {
        self.items_each
    }

    /// All items.
    pub fn items(&self) -> RangeInclusive<Item> {
        let clusters = u32::try_from(self.clusters.len()).unwrap_or(u32::MAX);
        1..=self.items_each.saturating_mul(clusters)
    }

    /// The items that a cluster owns at first.
    pub fn items_of(&self, cluster: GroupId) -> Option<RangeInclusive<Item>> {
        let place = self.clusters.iter().position(|known| *known == cluster)?;
        let before = u32::try_from(place).ok()?.checked_mul(self.items_each)?;
        Some(before + 1..=before + self.items_each)
    }

    /// Where an item lives at first; `None` for one that does not exist.
    pub fn home(&self, item: Item) -> Option<GroupId> {
        let place = item.checked_sub(1)?.checked_div(self.items_each)?;
        self.clusters.get(usize::try_from(place).ok()?).copied()
    }

    /// What an item holds at first.
    pub fn first_balance(&self, item: Item) -> u64 {
        let named = self.others.iter().find(|(named, _)| *named == item);
        named.map_or(self.first_balance, |(_, balance)| *balance)
    }

    /// What these items hold at first, together.
    pub fn first_sum(&self, items: impl Iterator<Item = Item>) -> u128 {
        items.map(|item| u128::from(self.first_balance(item))).sum()
    }
}

/// What a client may wish of a protocol with items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wish {
    /// To move money.
    Transfer {
        /// From.
        sender: Item,
        /// To.
        receiver: Item,
        /// How much.
        amount: u64,
    },
    /// To know what an item holds.
    Read {
        /// Which.
        item: Item,
    },
    /// To have an item live in another cluster.
    Move {
        /// Which.
        item: Item,
        /// Where.
        to: GroupId,
    },
}

impl Wish {
    /// The item whose cluster is asked.
    pub const fn item(self) -> Item {
        match self {
            Wish::Transfer { sender, .. } => sender,
            Wish::Read { item } | Wish::Move { item, .. } => item,
        }
    }
}

/// What a reply says beyond its view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyParts {
    /// Another member, who is the one to ask.
    pub ask_node: Option<NodeId>,
    /// Another cluster, which is the one to ask.
    pub ask_group: Option<GroupId>,
    /// What the transaction is called.
    pub transaction: Option<String>,
    /// What the item holds.
    pub balance: Option<u64>,
    /// The protocol's word for why it was not granted.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn ranges_are_the_documents() {
        let shards = Shards::new(
            vec![1, 2, 3].into_iter().map(GroupId).collect(),
            3_000,
            10,
            vec![(1_001, 100)],
        );
        assert_eq!(shards.items(), 1..=9_000);
        for (item, cluster) in [
            (1, 1),
            (3_000, 1),
            (3_001, 2),
            (6_000, 2),
            (6_001, 3),
            (9_000, 3),
        ] {
            assert_eq!(shards.home(item), Some(GroupId(cluster)), "{item}");
        }
        assert_eq!((shards.home(0), shards.home(9_001)), (None, None));
        assert_eq!(shards.items_of(GroupId(2)), Some(3_001..=6_000));
        assert_eq!(shards.items_of(GroupId(4)), None);
        assert_eq!(
            (shards.first_balance(1_001), shards.first_balance(1)),
            (100, 10)
        );
        assert_eq!(shards.first_sum(shards.items()), 9_000 * 10 + 90);
    }
}
