//! How much is enough: the one place that turns weights into thresholds.
//!
//! A threshold of nothing, or of more than there is, cannot be made.

use crate::types::NodeId;

/// A threshold over registered weight. Sums are `u128`, so that weights never overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quorum {
    need: u128,
    total: u128,
}

impl Quorum {
    /// `need` of `total`; `None` unless 0 < need <= total.
    pub const fn at_least(need: u128, total: u128) -> Option<Quorum> {
        if need == 0 || need > total {
            None
        } else {
            Some(Quorum { need, total })
        }
    }

    /// A threshold that nobody reaches, as an unchecked parameter gives one. Any member blocks it.
    ///
    /// # Panics
    /// If there is no weight.
    pub const fn out_of_reach(total: u128) -> Quorum {
        assert!(total > 0, "a weight that exists");
        Quorum {
            need: total + 1,
            total,
        }
    }

    /// More than half of `members`: any two such quorums share a member. For crash faults.
    ///
    /// # Panics
    /// If there are no members.
    pub const fn crash_majority(members: u16) -> Quorum {
        assert!(members > 0, "a group has members");
        Quorum {
            need: members as u128 / 2 + 1,
            total: members as u128,
        }
    }

    /// Strictly more than two thirds of the weight: any two such quorums share an honest third. For lies.
    ///
    /// # Panics
    /// If there is no weight, or more than `u64::MAX` for each of 2^60 members.
    pub const fn more_than_two_thirds(total: u128) -> Quorum {
        assert!(total > 0 && total < u128::MAX / 2, "a weight that exists");
        Quorum {
            need: total * 2 / 3 + 1,
            total,
        }
    }

    /// Strictly more than one third of the weight: at least one honest member says so.
    ///
    /// # Panics
    /// If there is no weight.
    pub const fn more_than_one_third(total: u128) -> Quorum {
        assert!(total > 0, "a weight that exists");
        Quorum {
            need: total / 3 + 1,
            total,
        }
    }

    /// What blocks every other quorum from forming: with this much withdrawn, `need` can no longer be reached.
    pub const fn blocking(self) -> Quorum {
        let rest = self.total.saturating_sub(self.need - 1);
        Quorum {
            need: if rest == 0 { 1 } else { rest },
            total: self.total,
        }
    }

    /// The weight that is needed.
    pub const fn need(self) -> u128 {
        self.need
    }

    /// The registered weight.
    pub const fn total(self) -> u128 {
        self.total
    }

    /// Whether this weight is enough.
    pub const fn is_reached(self, weight: u128) -> bool {
        weight >= self.need
    }

    /// Whether these members, each of weight one, are enough. They must be distinct and registered.
    pub fn is_reached_by(self, members: impl Iterator<Item = NodeId>) -> bool {
        self.is_reached(members.count() as u128)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of ground-truth.md: Tendermint-class thresholds.
    #[test]
    fn strictly_more_than_two_thirds_and_one_third() {
        for (total, weight, enough) in [(3, 2, false), (3, 3, true), (10, 6, false), (10, 7, true)]
        {
            assert_eq!(
                Quorum::more_than_two_thirds(total).is_reached(weight),
                enough,
                "{weight} of {total}"
            );
        }
        for (weight, enough) in [(3, false), (4, true)] {
            assert_eq!(
                Quorum::more_than_one_third(10).is_reached(weight),
                enough,
                "{weight} of 10"
            );
        }
        let huge = u128::from(u64::MAX) * 1000;
        assert!(!Quorum::more_than_two_thirds(huge).is_reached(huge / 3 * 2));
    }

    /// The reference table of the audit, X2: strict > 2/3 of T.
    #[test]
    fn the_reference_table() {
        let table = [
            (3, 3),
            (4, 3),
            (5, 4),
            (6, 5),
            (7, 5),
            (9, 7),
            (10, 7),
            (12, 9),
            (100, 67),
        ];
        for (total, need) in table {
            assert_eq!(
                Quorum::more_than_two_thirds(total).need(),
                need,
                "of {total}"
            );
        }
        for (members, need) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            assert_eq!(Quorum::crash_majority(members).need(), need, "of {members}");
        }
    }

    #[test]
    fn a_quorum_and_its_blocking_set_always_meet() {
        for members in 1..=25u16 {
            let quorum = Quorum::crash_majority(members);
            assert!(quorum.need() + quorum.blocking().need() > quorum.total());
            assert!(quorum.need() + quorum.blocking().need() - 1 <= quorum.total());
        }
    }

    #[test]
    fn nothing_and_too_much_cannot_be_asked() {
        assert_eq!(Quorum::at_least(0, 3), None);
        assert_eq!(Quorum::at_least(4, 3), None);
        assert!(Quorum::at_least(3, 3).is_some());
    }
}
