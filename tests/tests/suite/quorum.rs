//! Properties of thresholds.

use phaselab_core::protocol::two_phase::TwoPhaseConfig;
use phaselab_core::quorum::Quorum;
use phaselab_core::types::NodeId;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_majorities_share_a_member(members in 1..=u16::MAX) {
        let quorum = Quorum::crash_majority(members);
        prop_assert!(2 * quorum.need() > quorum.total());
        prop_assert!(2 * (quorum.need() - 1) <= quorum.total(), "and no more than is needed");
    }

    /// Strictly more than two thirds, and the least such weight; two of them share more than a third.
    #[test]
    fn more_than_two_thirds_is_exact(total in 1..=u128::from(u64::MAX) * 100_000) {
        let quorum = Quorum::more_than_two_thirds(total);
        prop_assert!(3 * quorum.need() > 2 * total);
        prop_assert!(3 * (quorum.need() - 1) <= 2 * total);
        let shared = 2 * quorum.need() - total;
        prop_assert!(Quorum::more_than_one_third(total).is_reached(shared));
    }

    #[test]
    fn more_than_one_third_is_exact(total in 1..=u128::from(u64::MAX) * 100_000) {
        let third = Quorum::more_than_one_third(total);
        prop_assert!(3 * third.need() > total);
        prop_assert!(3 * (third.need() - 1) <= total);
    }

    /// With a blocking set withdrawn no quorum is left, and with one member less a quorum is.
    #[test]
    fn a_blocking_set_is_the_least_that_blocks(need in 1..1_000u128, more in 0..1_000u128) {
        let quorum = Quorum::at_least(need, need + more).expect("a threshold that can be reached");
        let blocking = quorum.blocking();
        prop_assert!(!quorum.is_reached(quorum.total() - blocking.need()));
        prop_assert!(quorum.is_reached(quorum.total() - (blocking.need() - 1)));
        prop_assert_eq!(blocking.blocking(), quorum);
    }

    #[test]
    fn a_threshold_lies_within_the_total(need in any::<u128>(), total in any::<u128>()) {
        let made = Quorum::at_least(need, total);
        prop_assert_eq!(made.is_some(), need > 0 && need <= total);
    }

    #[test]
    fn members_count_one_each(members in 1..200u16, present in 0..200u16) {
        let quorum = Quorum::crash_majority(members);
        let present = present.min(members);
        let ids = (1..=present).map(NodeId);
        prop_assert_eq!(quorum.is_reached_by(ids), present > members / 2);
    }

    /// Whatever parameters two-phase accepts, two quorums of locks share a member and suffice to sign.
    #[test]
    fn every_quorum_that_is_accepted_is_safe(n in 1..40u16, m in 0..50u16, explicit in 0..50u16) {
        let groups = vec![phaselab_core::types::GroupId(0); usize::from(n)];
        let members = phaselab_core::protocol::members(phaselab_core::crypto::Crypto::Simulated, &groups);
        let config = TwoPhaseConfig { threshold_m: m, commit_quorum: explicit, ..TwoPhaseConfig::default() };
        if config.check(&members).is_ok() {
            let quorum = config.quorum(usize::from(n));
            prop_assert!(2 * quorum.need() > u128::from(n));
            prop_assert!(quorum.need() >= u128::from(m) && quorum.need() <= u128::from(n));
        }
    }
}
