//! What items hold: chips, and the sum of them all, which never changes.

use phaselab_core::view::AccountView;

use super::table::{foremost, members, shard};
use crate::scene::Scene;

/// The name of the rule that the sum stands for.
pub const RULE: &str = "conservation";

/// What all clusters hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// In accounts, as those know that are foremost.
    pub held: u64,
    /// On its way: held for an item whose cluster does not know yet that the transfer is committed.
    pub on_its_way: u64,
    /// In the beginning.
    pub first: u64,
    /// Whether the rule is known to be broken.
    pub is_broken: bool,
}

impl Sum {
    /// Whether it is what it was, as far as is seen.
    pub fn is_even(&self) -> bool {
        !self.is_broken && self.held + self.on_its_way == self.first
    }

    /// As the badge shows it: `Σ 150 = 150`.
    pub fn text(&self) -> String {
        let way = match self.on_its_way {
            0 => String::new(),
            way => format!(" + {way} on its way"),
        };
        let sign = if self.held + self.on_its_way == self.first {
            "="
        } else {
            "≠"
        };
        format!("Σ {}{way} {sign} {}", self.held, self.first)
    }

    /// What it means.
    pub fn meaning(&self) -> &'static str {
        match (self.is_broken, self.is_even()) {
            (true, _) => "Money was made or lost: what items hold is not what they held.",
            (false, true) => {
                "What the items that were touched hold together, and what they held in the beginning."
            }
            (false, false) => "Not all that is known in the clusters is seen here yet.",
        }
    }
}

/// The clusters of a scene, in order.
fn groups(scene: &Scene) -> Vec<u16> {
    let mut groups: Vec<u16> = scene.nodes.iter().map(|node| node.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The sum of what is seen; `None` before anything is.
///
/// Balances, and what is held for an item by a transfer whose C is in the coordinator's log: between the two C the amount
/// is in neither balance.
pub fn sum(scene: &Scene) -> Option<Sum> {
    let groups = groups(scene);
    let is_committed = |account: &&AccountView| {
        let hold = account.hold.as_ref().filter(|hold| hold.comes);
        hold.is_some_and(|hold| {
            let shards = scene.nodes.iter().filter_map(shard);
            let mut sides = shards.flat_map(|shard| &shard.sides);
            sides.any(|side| side.transfer == hold.transfer && side.decides && side.commits)
        })
    };
    let mut sum = Sum {
        is_broken: scene.broken.contains(&RULE),
        ..Sum::default()
    };
    let mut is_seen = false;
    for shard in groups.iter().filter_map(|group| foremost(scene, *group)) {
        is_seen = true;
        sum.held += shard.sum;
        sum.first += shard.first;
        let ways = shard.accounts.iter().filter(is_committed);
        sum.on_its_way += ways
            .filter_map(|account| Some(account.hold.as_ref()?.amount))
            .sum::<u64>();
    }
    is_seen.then_some(sum)
}

/// The items of a cluster, as the member knows that is foremost: held ones first. And how many more there are.
pub fn items(scene: &Scene, group: u16) -> (Vec<&AccountView>, u64) {
    let Some(shard) = foremost(scene, group) else {
        return (Vec::new(), 0);
    };
    let (held, free): (Vec<_>, Vec<_>) = shard
        .accounts
        .iter()
        .partition(|account| account.hold.is_some());
    (held.into_iter().chain(free).collect(), shard.more)
}

/// What a chip says: `1001 100, 10 held, lock 2pc-1-1`.
pub fn item_text(account: &AccountView) -> String {
    let balance = account
        .balance
        .map_or_else(|| "moved away".to_owned(), |held| held.to_string());
    let hold = account.hold.as_ref().map_or_else(String::new, |hold| {
        let verb = if hold.comes { "to come" } else { "held" };
        format!(", {} {verb}, lock {}", hold.amount, hold.name)
    });
    format!("{} {balance}{hold}", account.item)
}

/// Whether every member of a cluster that is seen agrees with the foremost on what an item holds.
pub fn is_equal(scene: &Scene, group: u16, account: &AccountView) -> bool {
    let mut others = members(scene, group).filter_map(shard);
    others.all(|shard| {
        let own = shard.accounts.iter().find(|own| own.item == account.item);
        own.map(|own| own.balance) == Some(account.balance)
    })
}
