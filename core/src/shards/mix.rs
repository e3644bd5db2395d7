//! A workload drawn from a seed, with the knobs of the document's benchmark. (S4-54)
//!
//! *Skew* tells how unevenly items are used: each half of a range, again and again, its lower half takes the share that
//! the skew says of what the upper one would have. At 0 every item is used alike; at 1000 only the first one of each
//! cluster is. No logarithm and no float is needed, so that every machine draws the same.

use alloc::vec::Vec;

use super::{Item, Shards, Wish};
use crate::entropy::{Entropy, Prng};

/// What requests are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// How many requests.
    pub requests: u32,
    /// How many of a thousand only read.
    pub read_only_permille: u16,
    /// How many of a thousand transfers go to another cluster.
    pub cross_shard_permille: u16,
    /// How unevenly items are used: 0 to 1000.
    pub skew_permille: u16,
    /// To how many items of other clusters an item sends; 0 for any.
    pub partners: u32,
    /// The most that a transfer moves.
    pub amount_max: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Mix {
            requests: 1_000,
            read_only_permille: 0,
            cross_shard_permille: 500,
            skew_permille: 0,
            partners: 0,
            amount_max: 2,
        }
    }
}

impl Mix {
    /// The requests of a seed.
    pub fn draw(&self, shards: &Shards, seed: u64) -> Vec<Wish> {
        let mut draws = Prng::new(seed, "workload", 0, 0);
        (0..self.requests)
            .map(|_| self.wish(shards, &mut draws))
            .collect()
    }

    fn wish(&self, shards: &Shards, draws: &mut Prng) -> Wish {
        let (clusters, items) = (
            shards.clusters().len() as u64,
            u64::from(shards.items_each()),
        );
        let item = |cluster: u64, rank: u64| (cluster * items + rank + 1) as Item;
        let cluster = draws.below(clusters);
        let rank = self.rank(draws, items);
        let sender = item(cluster, rank);
        if draws.below(1_000) < u64::from(self.read_only_permille) {
            return Wish::Read { item: sender };
        }
        let crosses = draws.below(1_000) < u64::from(self.cross_shard_permille);
        let receiver = if clusters > 1 && (crosses || items == 1) {
            let (steps, rank) = match u64::from(self.partners) {
                0 => (draws.below(clusters - 1), self.rank(draws, items)),
                partners => {
                    let which = draws.below(partners);
                    (
                        (rank + which) % (clusters - 1),
                        (rank + which / (clusters - 1)) % items,
                    )
                }
            };
            item((cluster + 1 + steps) % clusters, rank)
        } else {
            let other = self.rank(draws, items);
            // An item sends nothing to itself; of a single one there is no other, and the request is refused.
            item(
                cluster,
                if other == rank {
                    (rank + 1) % items
                } else {
                    other
                },
            )
        };
        let amount = 1 + draws.below(self.amount_max.max(1));
        Wish::Transfer {
            sender,
            receiver,
            amount,
        }
    }

    /// A place among so many, the first ones more often where there is skew.
    fn rank(&self, draws: &mut Prng, mut length: u64) -> u64 {
        let skew = u64::from(self.skew_permille.min(1_000));
        let mut first = 0;
        while length > 1 {
            let lower = length / 2;
            if draws.below(1_000 * length) < 1_000 * lower + (length - lower) * skew {
                length = lower;
            } else {
                first += lower;
                length -= lower;
            }
        }
        first
    }
}

/// How many of these wishes are transfers between clusters, and how many are transfers, where items live so.
pub fn crossing(
    wishes: &[Wish],
    home: impl Fn(Item) -> Option<crate::types::GroupId>,
) -> (u64, u64) {
    let ends = wishes.iter().filter_map(|wish| match wish {
        Wish::Transfer {
            sender, receiver, ..
        } => Some((home(*sender), home(*receiver))),
        Wish::Read { .. } | Wish::Move { .. } => None,
    });
    ends.fold((0, 0), |(crossing, all), (from, to)| {
        (crossing + u64::from(from != to), all + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::GroupId;
    use alloc::vec::Vec;

    fn shards() -> Shards {
        Shards::new((1..=3).map(GroupId).collect(), 3_000, 10, Vec::new())
    }

    #[test]
    fn a_seed_gives_its_requests_and_the_knobs_their_shares() {
        let mix = Mix {
            requests: 4_000,
            read_only_permille: 200,
            cross_shard_permille: 300,
            ..Mix::default()
        };
        let shards = shards();
        let wishes = mix.draw(&shards, 7);
        assert_eq!(wishes, mix.draw(&shards, 7));
        assert_ne!(wishes, mix.draw(&shards, 8));
        let reads = wishes
            .iter()
            .filter(|wish| matches!(wish, Wish::Read { .. }))
            .count();
        assert!((700..900).contains(&reads), "{reads}");
        let (crossing, transfers) = crossing(&wishes, |item| shards.home(item));
        assert_eq!(transfers as usize, 4_000 - reads);
        assert!(
            (250..350).contains(&(1_000 * crossing / transfers)),
            "{crossing} of {transfers}"
        );
        for wish in &wishes {
            let Wish::Transfer {
                sender,
                receiver,
                amount,
            } = *wish
            else {
                continue;
            };
            assert!(sender != receiver && (1..=2).contains(&amount));
            assert!(shards.items().contains(&sender) && shards.items().contains(&receiver));
        }
    }

    #[test]
    fn skew_concentrates_what_is_used() {
        let used = |skew_permille| {
            let mix = Mix {
                requests: 6_000,
                skew_permille,
                ..Mix::default()
            };
            let mut items: Vec<Item> = mix.draw(&shards(), 7).into_iter().map(Wish::item).collect();
            items.sort_unstable();
            items.dedup();
            items.len()
        };
        let counts = [0, 300, 600, 900, 1_000].map(used);
        assert!(
            counts.windows(2).all(|pair| pair[0] > pair[1]),
            "{counts:?}"
        );
        assert!(counts[0] > 4_000, "{counts:?}");
        assert_eq!(counts[4], 3, "the first item of each cluster");
    }

    #[test]
    fn partners_are_few() {
        let mix = Mix {
            requests: 6_000,
            cross_shard_permille: 1_000,
            partners: 1,
            skew_permille: 900,
            ..Mix::default()
        };
        let mut pairs: Vec<(Item, Item)> = Vec::new();
        for wish in mix.draw(&shards(), 7) {
            if let Wish::Transfer {
                sender, receiver, ..
            } = wish
            {
                pairs.push((sender, receiver));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        assert!(
            pairs.windows(2).all(|two| two[0].0 != two[1].0),
            "one receiver each"
        );
    }
}
