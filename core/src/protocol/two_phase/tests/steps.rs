//! The rules, one by one.

use super::*;
use crate::votes::{Ballot, VoteKind};

/// Two of three propose alike, both lock, everyone commits: the phases after each delivery.
#[test]
fn propose_lock_commit_complete() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    assert_eq!(lab.event(2, event).unwrap().meters[0].have, 1);
    assert_eq!(lab.deliver(1, 2, "proposal"), 1);
    let view = lab.event(2, event).unwrap();
    assert_eq!(
        (view.meters[0].have, view.meters[1].have),
        (2, 1),
        "locked: its own lock counts in the same step"
    );
    assert!(
        view.locked.is_some() && view.signed.is_none(),
        "a lock is no signature"
    );
    assert_eq!(lab.phase(2, event), EventPhase::Proposing);
    lab.deliver(2, 1, "proposal");
    lab.deliver(1, 2, "lock");
    assert_eq!(lab.phase(2, event), EventPhase::Committed);
    assert_eq!(
        lab.event(2, event).unwrap().signed,
        lab.event(2, event).unwrap().value
    );
    assert_eq!(
        lab.count(2, "two_phase_canonical_selection_total{method=\"quorum\"}"),
        1
    );
    // Node 3 never heard of the event: the certificate alone moves it, and it signs.
    lab.deliver(2, 3, "commit");
    assert_eq!(lab.phase(3, event), EventPhase::Committed);
    assert_eq!(lab.count(3, "two_phase_fast_forwards_total"), 1);
    assert!(lab.reports > 0, "two signatures are enough for the chain");
    lab.deliver(2, 1, "commit");
    lab.confirm();
    for id in 1..=3 {
        assert_eq!(lab.phase(id, event), EventPhase::Completed, "node {id}");
    }
    assert!(matches!(
        lab.replies.last(),
        Some(super::super::Reply::Decided { locks: 2, .. })
    ));
}

/// S0-F4: hearing of an event from a peer first must not keep a node from proposing.
#[test]
fn a_node_that_hears_of_an_event_proposes_too() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    assert_eq!(lab.waiting(2, "proposal").len(), 1);
    assert!(
        lab.event(2, event).unwrap().locked.is_some(),
        "A and its own A are a quorum"
    );
    lab.submit(2, "withdraw-1");
    assert_eq!(
        lab.waiting(2, "proposal").len(),
        1,
        "in progress: no second proposal"
    );
    assert!(lab.replies.contains(&super::super::Reply::InProgress));
}

/// S0-F18: a quorum of proposals for a template that is not valid here locks nothing, until it is valid.
#[test]
fn what_is_not_valid_here_is_not_locked() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.hide_inputs(3, event, 1);
    lab.deliver(1, 3, "proposal");
    lab.deliver(2, 3, "proposal");
    let view = lab.event(3, event).unwrap();
    assert_eq!(view.meters[0].have, 2);
    assert_eq!(view.locked, None);
    let fact = lab.chain.full_view(lab.now, NodeId(3)).unwrap();
    lab.with(3, |node, now| node.fact(now, &fact));
    assert!(lab.event(3, event).unwrap().locked.is_some());
}

/// S0-F1, the crash version: the lock survives, and the next round respects it.
#[test]
fn a_lock_survives_a_restart_and_binds_the_next_rounds() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    let locked = lab.event(2, event).unwrap().locked;
    assert!(locked.is_some());
    lab.restart(2);
    assert_eq!(lab.event(2, event).unwrap().locked, locked);
    lab.pass(2, 12_000);
    let view = lab.event(2, event).unwrap();
    assert!(view.round > Round(0), "its round ended");
    let own: Vec<_> = lab
        .waiting(2, "proposal")
        .into_iter()
        .filter_map(|message| match message {
            Message::ProposalBroadcast(proposal) if proposal.round > Round(0) => {
                Some(proposal.tx_template_hash)
            }
            _ => None,
        })
        .collect();
    assert!(
        !own.is_empty()
            && own
                .iter()
                .all(|hash| Some(*hash) == locked.map(|(_, hash)| hash)),
        "{own:?}"
    );
}

/// The persisted vote is the only vote of its round, whatever happens between two lives.
#[test]
fn a_restart_repeats_the_same_proposal() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    let before = lab.waiting(1, "proposal");
    lab.restart(1);
    lab.hide_inputs(1, event, 1);
    lab.pass(1, 1_500);
    let after = lab.waiting(1, "proposal");
    assert!(
        !after.is_empty() && after.iter().all(|message| *message == before[0]),
        "the same bytes again"
    );
}

/// S0-F5, S0-82, S0-103: every retry is made, then a node that never locked withdraws, once.
#[test]
fn retries_end_in_one_withdrawal_which_is_not_the_end_of_the_event() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    let mut rounds = Vec::new();
    for _ in 0..120 {
        lab.pass(1, 1_000);
        let view = lab.event(1, event).unwrap();
        if rounds.last() != Some(&view.round) {
            rounds.push(view.round);
        }
    }
    assert_eq!(
        rounds,
        [0, 1, 2, 3, 4].map(Round),
        "four attempts; the last round is never entered"
    );
    assert_eq!(lab.phase(1, event), EventPhase::Abandoned);
    assert_eq!(lab.count(1, "two_phase_proposal_timeouts_total"), 4);
    assert_eq!(lab.count(1, "two_phase_events_abandoned_total"), 1);
    assert!(
        !lab.replies
            .iter()
            .any(|reply| matches!(reply, super::super::Reply::Abandoned { .. })),
        "no proof yet"
    );
    // A second withdrawal of three ends it: n - q + 1 = 2.
    lab.deliver(1, 2, "abandon");
    assert_eq!(
        lab.phase(2, event),
        EventPhase::Proposing,
        "one withdrawal is not enough"
    );
    lab.pass(2, 120_000);
    assert_eq!(lab.phase(2, event), EventPhase::Abandoned);
    lab.deliver(2, 1, "abandon");
    assert!(
        lab.replies
            .iter()
            .any(|reply| matches!(reply, super::super::Reply::Abandoned { withdrawals: 2 }))
    );
}

/// A node that locked never withdraws: it may have decided the event for others.
#[test]
fn a_node_that_locked_goes_on() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.pass(2, 300_000);
    let view = lab.event(2, event).unwrap();
    assert!(view.round > Round(6), "round {}", view.round);
    assert_ne!(lab.phase(2, event), EventPhase::Abandoned);
    assert!(lab.waiting(2, "abandon").is_empty());
}

/// With one node down for good, a second one that never locked must not leave the third alone with its lock.
#[test]
fn a_node_that_knows_of_a_lock_stays_while_a_quorum_votes() {
    let mut config = TwoPhaseConfig::default();
    config.retry.max_retries = 0;
    for hears_of_the_lock in [true, false] {
        let mut lab = Lab::new(3, config.clone());
        let event = lab.submit(1, "withdraw-1");
        lab.submit(2, "withdraw-1");
        lab.deliver(2, 1, "proposal");
        assert!(lab.event(1, event).unwrap().locked.is_some());
        lab.crash(2);
        lab.hide_inputs(3, event, 1);
        lab.deliver(1, 3, "proposal");
        if hears_of_the_lock {
            lab.deliver(1, 3, "lock");
        }
        lab.pass(3, 5_100);
        let withdrew = lab.node(3).state().phases.get(&event).unwrap().withdrawn;
        assert_eq!(withdrew, !hears_of_the_lock);
        if withdrew {
            continue;
        }
        for _ in 0..200 {
            for kind in ["proposal", "lock", "valid", "commit"] {
                lab.deliver(1, 3, kind);
                lab.deliver(3, 1, kind);
            }
            lab.mail.clear();
            for id in [1, 3] {
                let now = lab.now;
                lab.pass(id, 500);
                lab.now = now;
            }
            lab.now = lab.now + crate::types::Duration::from_ms(500);
        }
        let decided = [1, 3].map(|id| lab.event(id, event).unwrap().value.is_some());
        assert_eq!(decided, [true; 2]);
    }
}

/// A withdrawn node takes a certificate all the same, and it never locks.
#[test]
fn a_withdrawn_node_never_locks_but_takes_a_certificate() {
    let mut lab = Lab::three();
    let event = lab.submit(3, "withdraw-1");
    lab.pass(3, 120_000);
    assert_eq!(lab.phase(3, event), EventPhase::Abandoned);
    lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 3, "proposal");
    lab.deliver(2, 3, "proposal");
    assert_eq!(lab.event(3, event).unwrap().locked, None);
    assert!(lab.waiting(3, "lock").is_empty());
    lab.deliver(1, 2, "proposal");
    lab.deliver(2, 1, "proposal");
    lab.deliver(2, 1, "lock");
    lab.deliver(1, 3, "commit");
    assert_eq!(lab.phase(3, event), EventPhase::Committed);
}

/// S0-F8: a certificate moves a node from every phase.
#[test]
fn a_certificate_moves_a_node_from_any_phase() {
    let commit = |lab: &mut Lab| {
        lab.submit(1, "withdraw-1");
        lab.submit(2, "withdraw-1");
        lab.deliver(1, 2, "proposal");
        lab.deliver(2, 1, "proposal");
        lab.deliver(2, 1, "lock");
    };
    let mut unknown = Lab::three();
    commit(&mut unknown);
    let mut proposing = Lab::three();
    proposing.submit(3, "withdraw-1");
    commit(&mut proposing);
    let mut failed = Lab::three();
    let event = failed.submit(3, "withdraw-1");
    failed.pass(3, 5_100);
    assert_eq!(failed.phase(3, event), EventPhase::Failed);
    commit(&mut failed);
    for mut lab in [unknown, proposing, failed] {
        assert!(lab.deliver(1, 3, "commit") > 0);
        assert_eq!(lab.phase(3, event), EventPhase::Committed);
        assert!(lab.event(3, event).unwrap().signed.is_some());
    }
}

/// S0-F11, S0-90: an event that ended is answered from its tombstone, also after garbage collection and a restart.
#[test]
fn a_tombstone_answers_resubmission_for_good() {
    let mut lab = Lab::new(
        3,
        TwoPhaseConfig {
            gc_after_ms: 1_000,
            ..TwoPhaseConfig::default()
        },
    );
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.deliver(2, 1, "proposal");
    lab.deliver(2, 1, "lock");
    lab.deliver(1, 2, "commit");
    lab.deliver(2, 1, "commit");
    lab.confirm();
    assert_eq!(lab.phase(1, event), EventPhase::Completed);
    let signed = lab.event(1, event).unwrap().signed;
    lab.pass(1, 2_500);
    assert!(
        lab.event(1, event).unwrap().choices.is_empty(),
        "its proposals are gone"
    );
    lab.restart(1);
    lab.mail.clear();
    lab.replies.clear();
    lab.submit(1, "withdraw-1");
    assert!(matches!(
        lab.replies[..],
        [super::super::Reply::Decided { .. }]
    ));
    assert_eq!(lab.event(1, event).unwrap().signed, signed);
    assert!(lab.waiting(1, "proposal").is_empty());
}

/// S0-F31: a late vote about an ended event is answered with its certificate, at most once per cooldown.
#[test]
fn a_late_vote_is_answered_with_the_certificate() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.deliver(2, 1, "proposal");
    lab.deliver(2, 1, "lock");
    lab.deliver(1, 2, "commit");
    lab.deliver(2, 1, "commit");
    lab.crash(3);
    lab.confirm();
    lab.start(3);
    assert_eq!(lab.phase(1, event), EventPhase::Completed);
    lab.pass(1, 2_500);
    lab.mail.clear();
    lab.submit(3, "withdraw-1");
    lab.deliver(3, 1, "proposal");
    lab.pass(3, 1_100);
    lab.deliver(3, 1, "proposal");
    assert_eq!(lab.waiting(1, "commit").len(), 1, "once per cooldown");
    lab.deliver(1, 3, "commit");
    assert_eq!(
        lab.phase(3, event),
        EventPhase::Completed,
        "the chain has it already"
    );
}

/// S0-F13: a vote of a later round is followed, which counts as no retry; S0-F15: a poisoned number is not.
#[test]
fn a_later_round_is_followed_and_a_poisoned_one_is_not() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.pass(1, 29_000);
    let ahead = lab.event(1, event).unwrap().round;
    assert!(ahead >= Round(2));
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    assert_eq!(lab.event(2, event).unwrap().round, ahead);
    assert_eq!(lab.count(2, "two_phase_proposal_timeouts_total"), 0);
    let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(3)));
    let ballot = Ballot {
        instance: event,
        round: Round(u32::MAX),
        kind: VoteKind::Precommit,
        value: Some(event.0),
    };
    let vote = ballot.sign_with(&lab.genesis.hash(), TwoPhase::TAG_BYTE, NodeId(3), &signer);
    lab.with(2, |node, now| {
        let opened = crate::replica::opened_for_tests(NodeId(3), Message::Lock(vote));
        node.receive(now, Ok(&opened))
    });
    assert_eq!(lab.event(2, event).unwrap().round, ahead);
}

/// S0-F22, S0-74: two proposals of one member in one round are proof against it; the first one counts.
#[test]
fn an_equivocator_is_named_and_its_first_vote_counts() {
    let mut lab = Lab::three();
    let event = lab.submit(3, "withdraw-1");
    let packet = lab
        .mail
        .iter()
        .find(|(from, send)| from.0 == 3 && send.info.kind == 0)
        .unwrap()
        .1
        .packet
        .clone();
    let second = lab.nodes[2]
        .as_mut()
        .unwrap()
        .lie(&packet, Lie::Value)
        .expect("another version");
    lab.submit(1, "other");
    lab.receive(1, &packet);
    lab.receive(1, &second);
    assert_eq!(lab.count(1, "two_phase_equivocations_total"), 1);
    let evidence = lab.waiting(1, "equivocation");
    assert!(
        matches!(&evidence[..], [Message::Equivocation(proof)] if proof.first.signer == NodeId(3))
    );
    lab.deliver(1, 2, "equivocation");
    assert_eq!(
        lab.phase(2, event),
        EventPhase::Unknown,
        "proof about an event it never heard of"
    );
}

/// H's input was spent elsewhere at finality: the event stays committed, and a new one may replace it.
#[test]
fn an_event_whose_input_was_spent_elsewhere_is_superseded() {
    let mut lab = Lab::three();
    lab.submit(1, "withdraw-1");
    let event = lab.submit(2, "withdraw-1");
    let replace = |number| {
        let old = super::super::Superseded {
            event: "withdraw-1".into(),
            amount: 25,
            destination: None,
            supersedes: None,
        };
        let request = SubmitEvent {
            event: "withdraw-2".into(),
            amount: 25,
            destination: None,
            supersedes: Some(old),
        };
        move |node: &mut Node<TwoPhase>, now| {
            node.request(now, ClientId(1), number, &codec::encode(&request))
        }
    };
    lab.with(1, replace(7));
    assert!(
        matches!(lab.replies.last(), Some(super::super::Reply::Refused(_))),
        "not decided yet"
    );
    lab.hide_inputs(2, event, 1);
    lab.deliver(1, 2, "proposal");
    lab.deliver(2, 1, "proposal");
    // Node 2 lost sight of A's input and proposed another; bring the decision about with node 3.
    lab.deliver(1, 3, "proposal");
    lab.deliver(3, 1, "proposal");
    lab.deliver(3, 1, "lock");
    assert_eq!(lab.phase(1, event), EventPhase::Committed);
    lab.with(1, replace(8));
    assert!(
        matches!(lab.replies.last(), Some(super::super::Reply::Refused(_))),
        "its input is still there"
    );
    lab.hide_inputs(1, event, 1);
    lab.with(1, replace(9));
    assert!(
        matches!(lab.replies.last(), Some(super::super::Reply::Refused(_))),
        "its input is out of sight, not spent"
    );
    let template = lab.event(1, event).unwrap().value;
    lab.lose_inputs(1, event, 1, template);
    lab.with(1, replace(10));
    assert!(
        matches!(lab.replies.last(), Some(super::super::Reply::Refused(_))),
        "it took effect itself"
    );
    let elsewhere = Some(Hash32([7; 32]));
    lab.deliver(1, 3, "commit");
    lab.restart(1);
    lab.lose_inputs(1, event, 1, elsewhere);
    lab.with(1, replace(11));
    assert_eq!(lab.replies.last(), Some(&super::super::Reply::Accepted));
    assert_eq!(
        lab.phase(1, event),
        EventPhase::Committed,
        "never a second signature"
    );

    // Nobody takes node 1's word for it: whoever did not see the spending does not vote, whatever else it lacks.
    let new = lab
        .waiting(1, "proposal")
        .into_iter()
        .find_map(|message| match message {
            Message::ProposalBroadcast(proposal) if proposal.event_id != event => {
                Some(proposal.event_id)
            }
            _ => None,
        });
    let new = new.expect("node 1 proposes it");
    lab.hide_inputs(3, event, 1);
    lab.deliver(1, 3, "proposal");
    let row = lab.node(3).state().phases.get(&new).unwrap().clone();
    assert_eq!(row.own_proposal_hash, None);
    lab.lose_inputs(3, event, 1, elsewhere);
    let row = lab.node(3).state().phases.get(&new).unwrap();
    assert!(row.own_proposal_hash.is_some() && row.rounds.locked.is_some());
}

/// What is replaced is named by all that its id is made of.
#[test]
fn an_event_with_a_destination_or_a_predecessor_can_be_superseded() {
    let plain = SubmitEvent {
        event: "a".into(),
        amount: 5,
        destination: Some("elsewhere".into()),
        supersedes: None,
    };
    let old = super::super::Superseded {
        event: "a".into(),
        amount: 5,
        destination: Some("elsewhere".into()),
        supersedes: None,
    };
    let second = SubmitEvent {
        event: "b".into(),
        amount: 5,
        destination: None,
        supersedes: Some(old),
    };
    let first = plain.signing_material().id();
    assert_eq!(second.signing_material().supersedes, Some(first));
    let third = SubmitEvent {
        event: "c".into(),
        supersedes: Some(super::super::Superseded {
            event: "b".into(),
            amount: 5,
            destination: None,
            supersedes: Some(first),
        }),
        ..second.clone()
    };
    let replaced = third.signing_material().supersedes;
    assert_eq!(replaced, Some(second.signing_material().id()));
    let text = alloc::format!(
        "event = 'c'\namount = 5\n[supersedes]\nevent = 'b'\namount = 5\nsupersedes = '{first}'"
    );
    assert_eq!(toml::from_str::<SubmitEvent>(&text).unwrap(), third);
}

/// The highest quorum of proposals is sent again by whoever knows of it, whatever it voted itself.
#[test]
fn the_highest_quorum_of_proposals_is_told_again() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.submit(3, "withdraw-1");
    lab.pass(3, 5_100);
    lab.deliver(1, 3, "proposal");
    lab.deliver(2, 3, "proposal");
    let state = lab.node(3).state();
    let valid = state.phases.get(&event).and_then(|row| row.rounds.valid);
    assert_eq!(valid.map(|(round, _)| round), Some(Round(0)));
    lab.mail.clear();
    lab.pass(3, 1_000);
    assert_eq!(lab.deliver(3, 2, "valid"), 1);
    let heard = lab.node(2).state().phases.get(&event).unwrap();
    assert_eq!(heard.rounds.valid, valid, "from node 3 alone");
    lab.crash(1);
    let mut fresh = Lab::three();
    let packet = lab.mail.iter().find(|(_, send)| send.info.kind == 8);
    fresh.receive(1, &packet.unwrap().1.packet.clone());
    let state = fresh.node(1).state();
    assert!(state.templates.contains(&(event, valid.unwrap().1)));
}

/// Timers of a round that is over change nothing.
#[test]
fn stale_timers_are_ignored() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.pass(1, 11_000);
    let before = lab.event(1, event).unwrap();
    let env = replica::env::<TwoPhase>(
        &lab.genesis,
        NodeId(1),
        Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(1))),
    )
    .unwrap();
    for timer in [
        Timer::Round(event, Round(0)),
        Timer::Propose(event, Round(0)),
        Timer::Retry(event, Round(0)),
    ] {
        lab.with(1, |node, now| {
            node.step_for_tests(now, Input::Timeout(timer))
        });
    }
    assert_eq!(lab.event(1, event).unwrap(), before);
    assert_eq!(env.id, NodeId(1));
}
