//! What a node holds is bounded, and what ended is not held.

use super::super::body::EVENTS_OPEN_MAX;
use super::super::message::Proposal;
use super::super::template::ChainView;
use super::super::{Reply, Superseded};
use super::*;

fn short(gc_after_ms: u64) -> TwoPhaseConfig {
    TwoPhaseConfig {
        threshold_m: 1,
        min_input_score_depth: 1,
        gc_after_ms,
        ..TwoPhaseConfig::default()
    }
}

fn request(name: &str, supersedes: Option<Superseded>) -> SubmitEvent {
    SubmitEvent {
        event: name.into(),
        amount: 1,
        destination: None,
        supersedes,
    }
}

fn ask(lab: &mut Lab, id: u16, number: u64, request: &SubmitEvent) -> (InstanceId, Reply) {
    lab.replies.clear();
    let bytes = codec::encode(request);
    lab.with(id, |node, now| {
        node.request(now, ClientId(1), number, &bytes)
    });
    let first = lab.replies.first().expect("every request is answered");
    (request.signing_material().id(), first.clone())
}

/// Completed events make room, long before they are forgotten.
#[test]
fn more_events_complete_than_may_be_open_at_a_time() {
    let mut lab = Lab::new(1, short(3_600_000));
    for number in 0..=EVENTS_OPEN_MAX as u64 {
        let (event, reply) = ask(
            &mut lab,
            1,
            number,
            &request(&format!("pay-{number}"), None),
        );
        assert_eq!(reply, Reply::Accepted, "event {number}");
        lab.confirm();
        assert_eq!(lab.phase(1, event), EventPhase::Completed, "event {number}");
    }
    assert_eq!(lab.node(1).state().live.len(), 0);
}

/// What does not fit is refused, in words, and leaves nothing behind, whoever tells of it.
#[test]
fn an_event_too_many_is_refused_and_not_remembered() {
    let mut lab = Lab::three();
    for number in 0..EVENTS_OPEN_MAX as u64 {
        let (_, reply) = ask(
            &mut lab,
            1,
            number,
            &request(&format!("pay-{number}"), None),
        );
        assert_eq!(reply, Reply::Accepted);
    }
    let (event, reply) = ask(&mut lab, 1, 1_000, &request("one-more", None));
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    assert_eq!(lab.phase(1, event), EventPhase::Unknown);
    let (_, again) = ask(&mut lab, 1, 1_001, &request("pay-0", None));
    assert_eq!(again, Reply::InProgress, "what is open is still answered");

    let (event, _) = ask(&mut lab, 2, 1, &request("theirs", None));
    lab.pass(2, 120_000);
    assert!(lab.deliver(2, 1, "abandon") > 0 && lab.deliver(2, 1, "proposal") > 0);
    assert_eq!(lab.phase(1, event), EventPhase::Unknown);
    assert_eq!(lab.node(1).state().live.len(), EVENTS_OPEN_MAX);
    lab.restart(1);
    assert_eq!(lab.node(1).state().live.len(), EVENTS_OPEN_MAX);
}

/// An event whose transaction takes effect only after its proposals were forgotten frees what it held all the same.
#[test]
fn an_event_that_completes_after_the_garbage_collection_is_freed() {
    let mut lab = Lab::new(1, short(1_000));
    let (event, _) = ask(&mut lab, 1, 1, &request("late", None));
    lab.pass(1, 3_000);
    assert_eq!(lab.phase(1, event), EventPhase::Committed);
    assert!(lab.event(1, event).unwrap().choices.is_empty(), "forgotten");
    assert_eq!(lab.node(1).state().live.len(), 1);
    lab.confirm();
    assert_eq!(lab.phase(1, event), EventPhase::Completed);
    assert_eq!(lab.node(1).state().live.len(), 0);
}

/// A liar's templates: of those that it proposes in one round, the first is kept.
#[test]
fn a_member_that_proposes_without_end_is_kept_one_template_of() {
    let mut lab = Lab::three();
    let event = lab.submit(3, "withdraw-1");
    let Message::ProposalBroadcast(first) = lab.waiting(3, "proposal").remove(0) else {
        panic!("a proposal")
    };
    lab.hide_inputs(1, event, 3);
    let key = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(3)));
    let mut pskt = first.pskt();
    let mut sent = 0;
    loop {
        let mut proposal = Proposal {
            tx_template_hash: pskt.template_hash(),
            kpsbt_blob: codec::encode(&pskt),
            utxos_used: pskt.inputs.clone(),
            outputs: pskt.outputs.clone(),
            ..first.clone()
        };
        let ballot = proposal.vote().ballot;
        let vote = ballot.sign_with(&lab.genesis.hash(), TwoPhase::TAG_BYTE, NodeId(3), &key);
        proposal.signature = vote.signature;
        let message = Message::ProposalBroadcast(proposal);
        let opened = crate::replica::opened_for_tests(NodeId(3), message);
        lab.with(1, |node, now| node.receive(now, Ok(&opened)));
        sent += 1;
        match ChainView::variant(&pskt) {
            Some(next) if sent < 10 => pskt = next,
            _ => break,
        }
    }
    assert_eq!(sent, 10);
    let templates = &lab.node(1).state().templates;
    let kept: Vec<_> = templates.iter().map(|((_, hash), _)| *hash).collect();
    assert!(kept.contains(&first.tx_template_hash));
    assert_eq!(kept.len(), 2, "the liar's first, and the own one");
}
