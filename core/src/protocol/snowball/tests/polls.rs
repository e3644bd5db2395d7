//! Who is asked, whose vote counts, and what it makes of the confidence.

use super::*;
use crate::protocol::snowball::poll::Voting;

/// S1-F7: a poll has an id, and only who was asked in it counts, once.
#[test]
fn a_vote_counts_once_and_in_its_own_poll() {
    let mut lab = Lab::new(4);
    let pay = payment("T1", &["alice:0"]);
    let (spend, id) = (key(&pay, 0), pay.signed.id());
    lab.submit(1, &pay);
    let (poll_id, asked) = lab.poll(&spend).unwrap();
    assert_eq!(
        asked,
        [2, 3, 4].map(NodeId),
        "all others, where there are few"
    );
    let count = |lab: &Lab| {
        let voting: Option<&Voting> = lab.state().voting.get(&spend.id());
        voting.unwrap().poll.as_ref().unwrap().votes.count(id)
    };
    lab.hear(2, vote(poll_id + 1, spend, Some(id)));
    assert_eq!(count(&lab), 0, "of another poll");
    lab.hear(2, vote(poll_id, spend, Some(id)));
    lab.hear(2, vote(poll_id, spend, Some(id)));
    assert_eq!(count(&lab), 1, "once");
    assert_eq!(
        lab.node.counters().get("snowball_votes_late_total"),
        Some(&2)
    );
}

/// S1-F1, S1-F9: polls in a row; one without success begins anew, and there is no last round.
#[test]
fn finality_takes_successful_polls_in_a_row() {
    let mut lab = Lab::new(4);
    let pay = payment("T1", &["alice:0"]);
    let (spend, id) = (key(&pay, 0), pay.signed.id());
    lab.submit(1, &pay);
    for _ in 0..12 {
        lab.answers(&spend, id, 1);
        assert_eq!(lab.confidence(&spend), 1);
        lab.tick();
        lab.answer(&spend, None);
        assert_eq!(lab.confidence(&spend), 0, "nobody voted");
        while lab.poll(&spend).is_none() {
            lab.tick();
        }
        // Nobody answers at all.
        while lab.poll(&spend).is_some() {
            lab.tick();
        }
        assert_eq!(lab.confidence(&spend), 0);
    }
    assert!(lab.state().spent.is_empty());
    lab.answers(&spend, id, 2);
    assert_eq!(lab.state().spent.iter().next().unwrap().1, &id);
    assert!(
        lab.state().voting.get(&spend.id()).is_none(),
        "S1-28: no leak"
    );
    assert!(lab.state().conflicts.get(&spend.id()).is_none());
}

/// S1-F5: fewer than alpha of the sample are no success, however unanimous.
#[test]
fn silence_is_no_vote() {
    let mut lab = Lab::new(4);
    let pay = payment("T1", &["alice:0"]);
    let (spend, id) = (key(&pay, 0), pay.signed.id());
    lab.submit(1, &pay);
    let (poll_id, _) = lab.poll(&spend).unwrap();
    for from in [2, 3] {
        lab.hear(from, vote(poll_id, spend, Some(id)));
    }
    while lab.poll(&spend).is_some() {
        lab.tick();
    }
    assert_eq!(lab.confidence(&spend), 0, "2 of 3, which needs 3");
}

/// S1-F10: what won most polls is preferred, and polls are answered with it.
#[test]
fn the_strongest_choice_is_preferred() {
    let config = SnowballConfig {
        finality_confidence: 20,
        ..SnowballConfig::default()
    };
    let preferred = |flaws: &[&str]| {
        let mut lab = Lab::with(4, config.clone(), flaws);
        let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["alice:0"]));
        let spend = key(&one, 0);
        lab.submit(1, &one);
        lab.hear(2, tell(&two));
        lab.answers(&spend, one.signed.id(), 9);
        lab.answers(&spend, two.signed.id(), 1);
        lab.said();
        lab.hear(3, ask(spend, one.signed.id()));
        let said = lab.said();
        let [(_, Message::TransactionVoteResponse { preference, .. })] = said.as_slice() else {
            panic!("{said:?}");
        };
        let names = [(one.signed.id(), "T1"), (two.signed.id(), "T2")];
        names
            .iter()
            .find(|(id, _)| Some(*id) == *preference)
            .unwrap()
            .1
    };
    assert_eq!(preferred(&[]), "T1", "9 polls against 1");
    assert_eq!(preferred(&["S1-F10"]), "T2", "the last one");
}

/// S1-F11: no vote for what is unknown, which is fetched; else the own preference.
#[test]
fn a_vote_is_the_own_preference() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["alice:0"]));
    let spend = key(&one, 0);
    lab.hear(2, ask(spend, one.signed.id()));
    let said = lab.said();
    assert!(matches!(
        said.as_slice(),
        [
            (NodeId(2), Message::Fetch(_)),
            (
                NodeId(2),
                Message::TransactionVoteResponse {
                    preference: None,
                    ..
                }
            )
        ]
    ));
    lab.hear(2, tell(&one));
    lab.hear(3, tell(&two));
    lab.said();
    lab.hear(3, ask(spend, two.signed.id()));
    let said = lab.said();
    let [(NodeId(3), Message::TransactionVoteResponse { preference, .. })] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(*preference, Some(one.signed.id()), "the first valid one");
}

/// S1-F17: whoever answers late is waited for longer, up to a limit.
#[test]
fn polls_wait_longer_for_slow_voters() {
    let mut lab = Lab::new(4);
    let pay = payment("T1", &["alice:0"]);
    let (spend, id) = (key(&pay, 0), pay.signed.id());
    lab.submit(1, &pay);
    for expected in 1..=PATIENCE_MAX + 3 {
        while lab.poll(&spend).is_none() {
            lab.tick();
        }
        let (poll_id, _) = lab.poll(&spend).unwrap();
        while lab.poll(&spend).is_some() {
            lab.tick();
        }
        lab.hear(2, vote(poll_id, spend, Some(id)));
        lab.hear(3, vote(poll_id, spend, Some(id)));
        assert_eq!(lab.state().patience, expected.min(PATIENCE_MAX));
    }
}

/// Samples: distinct, without the asker, by weight, and independent of the membership's size.
#[test]
fn samples_are_drawn_by_registered_weight() {
    let drawn = |nodes: u16, config: SnowballConfig, polls: u32| {
        let mut lab = Lab::with(nodes, config, &[]);
        let pay = payment("T1", &["alice:0"]);
        let (spend, id) = (key(&pay, 0), pay.signed.id());
        lab.submit(1, &pay);
        let mut counts: Map<NodeId, u32> = Map::new();
        for _ in 0..polls {
            while lab.poll(&spend).is_none() {
                lab.tick();
            }
            let (_, asked) = lab.poll(&spend).unwrap();
            let distinct: Set<NodeId> = asked.iter().copied().collect();
            assert_eq!(distinct.len(), asked.len());
            assert!(!distinct.contains(&NodeId(1)));
            for node in asked {
                *counts.get_or_default(node) += 1;
            }
            lab.answer(&spend, Some(id));
        }
        counts
    };
    let patient = |sample_size| SnowballConfig {
        sample_size,
        alpha_preference: sample_size,
        alpha_confidence: sample_size,
        finality_confidence: 1_000_000,
        ..SnowballConfig::default()
    };
    // Few of many, and most of few: the two ways to draw.
    for (nodes, k) in [(41, 4), (11, 4)] {
        let counts = drawn(nodes, patient(k), 2_000);
        let mean = 2_000 * u32::from(k) / u32::from(nodes - 1);
        for (node, count) in counts.iter() {
            assert!(
                count.abs_diff(mean) * 4 < mean,
                "{node}: {count}, mean {mean}"
            );
        }
        assert_eq!(counts.len(), usize::from(nodes - 1));
    }
    let weighted = SnowballConfig {
        weights: Vec::from([(NodeId(5), 10)]),
        ..patient(1)
    };
    let counts = drawn(11, weighted, 2_000);
    let heavy = counts.get(&NodeId(5)).copied().unwrap_or(0);
    assert!((950..1_150).contains(&heavy), "10 of 19: {heavy}");
}
