//! Every exhibit is replayed: with its flaw it breaks what it is said to break, and hardened rules keep everything.

use phaselab_core::museum::{self, How};
use phaselab_core::protocol::ProtocolKind;

#[test]
fn every_exhibit_shows_its_flaw_and_hardened_rules_stop_it() {
    for (protocol, exhibit) in museum::exhibits() {
        let scenario = exhibit.scenario().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scenario.flaws, [exhibit.flaw], "{}", exhibit.flaw);
        assert_eq!(scenario.protocol, protocol);
        assert!(museum::shows(&scenario, exhibit.flaw), "{}", exhibit.flaw);
        assert!(exhibit.start().is_ok(), "{}", exhibit.flaw);
    }
}

#[test]
fn every_flaw_that_can_be_restored_has_an_exhibit() {
    for protocol in ProtocolKind::ALL.iter().copied() {
        let shown: Vec<_> = protocol
            .museum()
            .iter()
            .map(|exhibit| exhibit.flaw)
            .collect();
        let switchable = protocol.flaws().iter().filter(|flaw| flaw.is_switchable());
        let expected: Vec<_> = switchable.map(|flaw| flaw.id).collect();
        assert_eq!(shown, expected);
    }
}

/// Those that take long to search are found by `phaselab museum --verify`.
#[test]
fn the_quick_ones_are_found_again_from_scratch() {
    for (protocol, exhibit) in museum::exhibits() {
        let quick = match exhibit.how {
            How::Search { bounds, .. } => bounds.rounds == 1,
            How::Minimize => false,
        };
        if quick {
            let found = exhibit.search(protocol).unwrap().expect(exhibit.flaw);
            let known = exhibit.scenario().unwrap();
            assert_eq!(found.interventions, known.interventions, "{}", exhibit.flaw);
        }
    }
}
