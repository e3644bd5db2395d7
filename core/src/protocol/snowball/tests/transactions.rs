//! Taking up, locking, winning, losing, and coming back.

use super::*;

/// S1-22, S1-47: signatures, amounts and inputs are looked at before anything is locked.
#[test]
fn what_is_wrong_is_refused_with_a_reason() {
    let base = Payment::new("alice", "bob", 25);
    let cases = [
        (
            Payment {
                signed_by: Some("mallory".into()),
                ..base.clone()
            },
            "key",
        ),
        (
            Payment {
                spend: Vec::from(["alice:9".into()]),
                ..base.clone()
            },
            "no output of a final transaction",
        ),
        (
            Payment {
                holds: Vec::from([101]),
                ..base
            },
            "101",
        ),
    ];
    for (payment, expected) in cases {
        let mut lab = Lab::new(4);
        lab.submit(1, &payment.sign().unwrap());
        let told = lab.told();
        let [Reply::Refused(why)] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert!(why.contains(expected), "{why}");
        assert!(lab.state().locks.is_empty() && lab.state().pool.is_empty());
        assert!(lab.said().is_empty());
    }
}

/// What people write wrong, and what they are told.
#[test]
fn a_payment_that_cannot_be_signed_says_why() {
    let base = Payment::new("alice", "bob", 25);
    let cases = [
        (
            Payment {
                amount: 101,
                ..base.clone()
            },
            "expected at most what is spent holds, 100",
        ),
        (
            Payment {
                amount: 0,
                ..base.clone()
            },
            "expected at least 1",
        ),
        (
            Payment {
                spend: Vec::from(["alice".into()]),
                ..base.clone()
            },
            "expected a coin of genesis",
        ),
        (
            Payment {
                holds: Vec::from([1, 2]),
                ..base
            },
            "expected one for each",
        ),
    ];
    for (payment, expected) in cases {
        let why = payment.sign().unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

/// S1-47: the first lock stands; the same transaction again attaches to it.
#[test]
fn an_input_is_locked_for_one_transaction() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["alice:0"]));
    lab.submit(1, &one);
    lab.submit(2, &two);
    lab.submit(3, &one);
    let told = lab.told();
    assert!(matches!(
        told.as_slice(),
        [
            Reply::Accepted { .. },
            Reply::Locked { .. },
            Reply::Accepted { .. }
        ]
    ));
    lab.answers(&key(&one, 0), one.signed.id(), 2);
    let told = lab.told();
    assert!(matches!(
        told.as_slice(),
        [Reply::Finalized { .. }, Reply::Finalized { .. }]
    ));
    assert!(lab.state().locks.is_empty());
}

/// S1-F4, S1-F20: what is in conflict with a final transaction is rejected, unlocked, and never final.
#[test]
fn what_loses_is_rejected_and_unlocked() {
    let mut lab = Lab::new(4);
    let mine = payment("T2", &["alice:0", "alice:1"]);
    let winner = payment("T1", &["alice:0"]);
    lab.submit(1, &mine);
    lab.hear(2, tell(&winner));
    lab.told();
    lab.answers(&key(&winner, 0), winner.signed.id(), 2);
    let (txid, by) = (mine.signed.id(), winner.signed.id());
    assert_eq!(lab.told(), [Reply::Rejected { txid, by }]);
    assert!(lab.state().locks.is_empty());
    assert_eq!(lab.state().rejected.get(&txid), Some(&by));
    // Its other input is free for others.
    assert!(!lab.state().conflicts.contains(&key(&mine, 1).id()));
    let next = payment("T3", &["alice:1"]);
    lab.submit(2, &next);
    assert!(matches!(lab.told().as_slice(), [Reply::Accepted { .. }]));
}

/// Outpoint finality is provisional: a key that a dead transaction had won opens again, at zero, for every live choice.
#[test]
fn a_key_that_a_dead_transaction_won_opens_again() {
    let mut lab = Lab::new(4);
    let both = payment("T1", &["alice:0", "alice:1"]);
    let (first, second) = (payment("T2", &["alice:0"]), payment("T3", &["alice:1"]));
    lab.submit(1, &both);
    lab.hear(2, tell(&first));
    lab.hear(3, tell(&second));
    lab.answers(&key(&both, 0), both.signed.id(), 2);
    let won = lab.state().conflicts.get(&key(&both, 0).id()).unwrap();
    assert!(
        won.decided,
        "and final only once the other input is won too"
    );
    assert!(lab.state().spent.is_empty());
    lab.answers(&key(&both, 1), second.signed.id(), 2);
    let again = *lab.state().conflicts.get(&key(&both, 0).id()).unwrap();
    assert!(!again.decided);
    assert_eq!(again.preference, first.signed.id());
    assert_eq!(lab.confidence(&again.key), 0);
    lab.answers(&key(&first, 0), first.signed.id(), 2);
    assert_eq!(lab.state().spent.len(), 2);
}

/// Inputs are outputs of final transactions: what comes early waits, and its parent is fetched.
#[test]
fn a_child_waits_for_its_parent() {
    let mut lab = Lab::new(4);
    let parent = payment("T1", &["alice:0"]);
    let child = Payment {
        memo: "T2".into(),
        spend: Vec::from([format!("{}:0", parent.signed.id())]),
        holds: Vec::from([25]),
        ..Payment::new("carol", "dave", 25)
    };
    let child = child.sign().unwrap();
    lab.hear(2, tell(&child));
    let said = lab.said();
    assert!(
        matches!(said.as_slice(), [(NodeId(2), Message::Fetch(of))] if *of == parent.signed.id())
    );
    lab.hear(2, tell(&parent));
    assert!(!lab.state().pool.contains(&child.signed.id()));
    lab.answers(&key(&parent, 0), parent.signed.id(), 2);
    assert!(lab.state().pool.contains(&child.signed.id()));
    lab.answers(&key(&child, 0), child.signed.id(), 2);
    assert_eq!(lab.state().spent.len(), 2);
}

/// S1-F13: what was said and what was decided outlive a restart; confidence does not.
#[test]
fn a_restart_changes_no_vote_and_no_decision() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["alice:0"]));
    let spend = key(&one, 0);
    lab.hear(2, tell(&one));
    lab.hear(3, tell(&two));
    lab.answers(&spend, one.signed.id(), 1);
    lab.restart();
    assert_eq!(lab.confidence(&spend), 0);
    assert_eq!(lab.state().preference(&spend), Some(one.signed.id()));
    lab.answers(&spend, one.signed.id(), 2);
    lab.restart();
    assert_eq!(lab.state().preference(&spend), Some(one.signed.id()));
    let third = payment("T3", &["alice:0"]);
    lab.submit(1, &third);
    let (txid, by) = (third.signed.id(), one.signed.id());
    assert_eq!(lab.told(), [Reply::Rejected { txid, by }]);
}

/// With the flaw, a decision is forgotten with its polls.
#[test]
fn without_the_tombstone_a_coin_is_spent_twice() {
    let config = SnowballConfig {
        finality_confidence: 2,
        ..SnowballConfig::default()
    };
    let mut lab = Lab::with(4, config, &["S1-F13"]);
    for memo in ["T1", "T2"] {
        let pay = payment(memo, &["alice:0"]);
        lab.hear(2, tell(&pay));
        lab.answers(&key(&pay, 0), pay.signed.id(), 2);
    }
    let decided = lab.released.records.iter();
    let values: Set<Hash32> = decided.filter_map(|record| record.value).collect();
    assert_eq!(values.len(), 2, "one key, two decisions");
}

/// A peer that invents conflicts, orphans or choices takes a bounded part of the memory.
#[test]
fn what_peers_say_is_bounded() {
    let mut lab = Lab::new(4);
    for number in 0..40 {
        lab.hear(2, tell(&payment(&format!("T{number}"), &["alice:0"])));
    }
    assert!(lab.state().pool.len() <= 16);
    for number in 0..100u8 {
        let parent = Hash32([number; 32]);
        let orphan = Payment {
            spend: Vec::from([format!("{parent}:0")]),
            ..Payment::new("carol", "dave", 25)
        };
        lab.hear(2, tell(&orphan.sign().unwrap()));
    }
    assert!(lab.state().orphans.len() <= 64);
    for number in 0..1_000u32 {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        lab.hear(2, Message::Known(Vec::from([Hash32(bytes)])));
    }
    assert!(lab.state().wanted.len() <= 256);
}

/// A vote is durable before it leaves: the step that changes a preference writes it.
#[test]
fn a_preference_is_written_in_the_step_that_changes_it() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["alice:0"]));
    let spend = key(&one, 0);
    lab.hear(2, tell(&one));
    lab.hear(2, tell(&two));
    lab.answers(&spend, two.signed.id(), 1);
    let row: Conflict = {
        let mut key_bytes = Vec::new();
        crate::codec::Key::write(&spend.id(), &mut key_bytes);
        decode(lab.disk.get(CONFLICTS.id, &key_bytes).unwrap()).unwrap()
    };
    assert_eq!(row.preference, two.signed.id());
}

/// More spends of one coin than are kept: the one that wins elsewhere is kept here, too.
#[test]
fn many_spends_of_a_coin_do_not_keep_the_winner_out() {
    let mut lab = Lab::new(4);
    let spends: Vec<Request> = (0..20)
        .map(|n| payment(&format!("T{n}"), &["alice:0"]))
        .collect();
    lab.submit(1, &spends[0]);
    for spend in &spends {
        lab.hear(2, tell(spend));
    }
    let (own, last) = (spends[0].signed.id(), spends[19].signed.id());
    let state = lab.state();
    assert_eq!(state.pool.len(), 16);
    assert!(state.pool.contains(&own) && state.pool.contains(&last));
    lab.restart();
    lab.answers(&key(&spends[19], 0), last, 2);
    assert_eq!(
        lab.state().transactions.get(&last).unwrap().standing,
        Standing::Final
    );
    assert!(lab.state().pool.is_empty() && lab.state().locks.is_empty());
}

/// A vote for what does not spend the output is no vote about it.
#[test]
fn a_vote_for_something_else_moves_nothing() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["bob:0"]));
    lab.hear(2, tell(&one));
    lab.hear(2, tell(&two));
    lab.answers(&key(&one, 0), two.signed.id(), 3);
    assert_eq!(lab.confidence(&key(&one, 0)), 0);
    lab.answers(&key(&one, 0), one.signed.id(), 2);
    assert_eq!(
        lab.state()
            .transactions
            .get(&one.signed.id())
            .unwrap()
            .standing,
        Standing::Final
    );
}

/// However often a client asks, it is told the end of each request once.
#[test]
fn a_request_that_comes_again_is_answered_once_at_the_end() {
    let mut lab = Lab::new(4);
    let one = payment("T1", &["alice:0"]);
    for _ in 0..5 {
        lab.submit(1, &one);
    }
    lab.told();
    lab.answers(&key(&one, 0), one.signed.id(), 2);
    assert_eq!(lab.told().len(), 1);
}
