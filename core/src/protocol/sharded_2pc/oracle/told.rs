//! What replicas tell of their accounts. Under hardened rules it is what the logs say; where it is not, it is what counts.

use alloc::vec::Vec;

use super::super::command::Item;
use super::super::machine::left::{Left, unpack};
use crate::ordered::{Map, Set};
use crate::paxos::Slot;
use crate::types::{GroupId, Hash32};

/// What a replica's word says beside what the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Whether another replica said something else of the same slot.
    pub(super) is_apart: bool,
    /// Whether an account changed by more than the log says, in the same direction.
    pub(super) is_more: bool,
    /// Whether an account changed that the log leaves alone.
    pub(super) is_uncalled: bool,
}

/// What is known of an item at a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    balance: Option<u64>,
    lock: u32,
    /// The last entry that is about it, and what it held before.
    at: Slot,
    before: Option<u64>,
}

/// What replicas tell of their accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    accounts: Map<(GroupId, Item), Account>,
    /// What was told of each slot, every version once.
    words: Map<(GroupId, Slot), Vec<Hash32>>,
}

impl Told {
    /// What an entry should leave, by the log: in the log's terms an item held `before`, and at first `begun`.
    pub(super) fn expect(
        &mut self,
        (cluster, at): (GroupId, Slot),
        begun: Option<u64>,
        before: Option<u64>,
        new: Left,
    ) {
        let held = self.balance(cluster, new.item, begun);
        let balance = match (held, before, new.balance) {
            // The same amount comes or goes, whatever the account holds.
            (Some(held), Some(before), Some(after)) => {
                let sum = i128::from(held) + i128::from(after) - i128::from(before);
                Some(u64::try_from(sum).unwrap_or(0))
            }
            (_, _, after) => after,
        };
        let account = Account {
            balance,
            lock: new.lock,
            at,
            before: held,
        };
        self.accounts.insert((cluster, new.item), account);
    }

    /// A replica tells what an entry left; of each slot the first word counts.
    pub(super) fn hear(&mut self, cluster: GroupId, slot: Slot, value: Hash32) -> Word {
        let words = self.words.get_or_default((cluster, slot));
        if words.contains(&value) {
            return Word::default();
        }
        words.push(value);
        let mut word = Word {
            is_apart: words.len() > 1,
            ..Word::default()
        };
        if word.is_apart {
            return word;
        }
        for left in unpack(value) {
            let known = self.accounts.get(&(cluster, left.item)).copied();
            if known.is_some_and(|known| known.at > slot) {
                continue;
            }
            // Of an entry that is not about the item, by the log, nothing is due.
            let known = known.map(|known| {
                let before = if known.at == slot {
                    known.before
                } else {
                    known.balance
                };
                (before, known.balance)
            });
            let (before, due) = known.unwrap_or((left.balance, left.balance));
            let change = |to: Option<u64>| {
                let number = |held: Option<u64>| held.map_or(0, i128::from);
                number(to) - number(before)
            };
            let (due, done) = (change(due), change(left.balance));
            let is_further = done.signum() == due.signum() && done.abs() > due.abs();
            word.is_more |= due != 0 && is_further;
            word.is_uncalled |= due == 0 && done != 0;
            let account = Account {
                balance: left.balance,
                lock: left.lock,
                at: slot,
                before,
            };
            self.accounts.insert((cluster, left.item), account);
        }
        word
    }

    /// What an item holds at a cluster, of which it held `begun` at first.
    pub(super) fn balance(&self, cluster: GroupId, item: Item, begun: Option<u64>) -> Option<u64> {
        let known = self.accounts.get(&(cluster, item));
        known.map_or(begun, |known| known.balance)
    }

    /// Every item that an entry was about.
    pub(super) fn items(&self) -> Set<Item> {
        let mut items = Set::new();
        items.extend(self.accounts.iter().map(|((_, item), _)| *item));
        items
    }

    /// The items that are locked.
    pub(super) fn locked(&self) -> Vec<Item> {
        let locked = self.accounts.iter().filter(|(_, known)| known.lock != 0);
        locked.map(|((_, item), _)| *item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::machine::left::pack;
    use super::*;

    const ONE: GroupId = GroupId(1);

    fn holds(item: Item, balance: u64) -> Left {
        Left {
            item,
            balance: Some(balance),
            lock: 0,
        }
    }

    /// By the log 30 leave an item that held 100; replicas tell other things.
    #[test]
    fn what_is_told_beside_the_log_is_seen() {
        let after = |told: &[u64]| {
            let mut accounts = Told::default();
            accounts.expect((ONE, 2), Some(100), Some(100), holds(7, 70));
            let word = |balance: &u64| accounts.hear(ONE, 2, pack(&[holds(7, *balance)]));
            let last = told.iter().map(word).last();
            (last.unwrap_or_default(), accounts.balance(ONE, 7, None))
        };
        assert_eq!(after(&[70, 70]), (Word::default(), Some(70)));
        let (apart, held) = after(&[70, 80]);
        assert!(apart.is_apart && !apart.is_more && held == Some(70));
        let (more, held) = after(&[40]);
        assert!(more.is_more && !more.is_apart && held == Some(40));
    }

    #[test]
    fn what_the_log_leaves_alone_and_changes_all_the_same_is_seen() {
        let mut accounts = Told::default();
        accounts.expect((ONE, 2), Some(100), Some(100), holds(7, 70));
        accounts.hear(ONE, 2, pack(&[holds(7, 70)]));
        let word = accounts.hear(ONE, 3, pack(&[holds(7, 40)]));
        assert!(word.is_uncalled && !word.is_more);
        // What comes next goes on from there, and a late word of an earlier entry takes nothing back.
        accounts.expect((ONE, 4), Some(100), Some(70), holds(7, 75));
        assert_eq!(accounts.balance(ONE, 7, None), Some(45));
        accounts.hear(ONE, 3, pack(&[holds(7, 1)]));
        assert_eq!(accounts.balance(ONE, 7, None), Some(45));
    }

    #[test]
    fn locks_are_told() {
        let mut accounts = Told::default();
        let lock = 5;
        let locked = Left {
            lock,
            ..holds(7, 1)
        };
        accounts.hear(ONE, 2, pack(&[locked, holds(8, 1)]));
        assert_eq!(accounts.locked(), [7]);
        assert_eq!(accounts.items().iter().count(), 2);
    }
}
