//! What is refused before a handler sees it, and under which name it is counted.

use super::super::config::{MAX_KPSBT_SIZE, MAX_OUTPUTS_PER_PROPOSAL, MAX_UTXOS_PER_PROPOSAL};
use super::super::message::{Proposal, ProposalValidationError as Bad, check};
use super::*;
use crate::certificate::Certificate;
use alloc::boxed::Box;

/// How a good proposal is made a bad one.
type Break = Box<dyn Fn(&mut Proposal)>;

fn proposal(lab: &mut Lab) -> Proposal {
    lab.submit(1, "withdraw-1");
    match lab.waiting(1, "proposal").remove(0) {
        Message::ProposalBroadcast(proposal) => proposal,
        other => panic!("{other:?}"),
    }
}

fn env(lab: &Lab, id: u16) -> crate::engine::Env<TwoPhase> {
    let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(id)));
    replica::env(&lab.genesis, NodeId(id), signer).unwrap()
}

/// S0-42, S0-43, S0-96, S0-F19, S0-F27: each rule of a proposal's structure, broken alone.
#[test]
fn a_proposal_is_refused_for_the_first_thing_that_is_wrong() {
    let good = proposal(&mut Lab::three());
    assert_eq!(good.validate_structure(), Ok(()));
    assert_eq!(good.total_input_amount(), Some(100));
    let utxo = good.utxos_used[0].clone();
    let output = good.outputs[0].clone();
    let cases: Vec<(Bad, Break)> = vec![
        (
            Bad::NoUtxos,
            Box::new(|p: &mut Proposal| p.utxos_used.clear()),
        ),
        (
            Bad::TooManyUtxos,
            Box::new(move |p: &mut Proposal| {
                p.utxos_used = vec![utxo.clone(); MAX_UTXOS_PER_PROPOSAL + 1]
            }),
        ),
        (
            Bad::NoOutputs,
            Box::new(|p: &mut Proposal| p.outputs.clear()),
        ),
        (
            Bad::TooManyOutputs,
            Box::new(move |p: &mut Proposal| {
                p.outputs = vec![output.clone(); MAX_OUTPUTS_PER_PROPOSAL + 1]
            }),
        ),
        (
            Bad::EmptyKpsbt,
            Box::new(|p: &mut Proposal| p.kpsbt_blob.clear()),
        ),
        (
            Bad::KpsbtTooLarge,
            Box::new(|p: &mut Proposal| p.kpsbt_blob = vec![0; MAX_KPSBT_SIZE + 1]),
        ),
        (
            Bad::HashMismatch,
            Box::new(|p: &mut Proposal| p.tx_template_hash.0[0] ^= 1),
        ),
        (
            Bad::HashMismatch,
            Box::new(|p: &mut Proposal| p.kpsbt_blob.push(0)),
        ),
        (
            Bad::MetadataMismatch,
            Box::new(|p: &mut Proposal| p.utxos_used[0].amount += 1),
        ),
        (
            Bad::MetadataMismatch,
            Box::new(|p: &mut Proposal| p.outputs[0].amount += 1),
        ),
        (
            Bad::EventMismatch,
            Box::new(|p: &mut Proposal| p.signing_material.amount += 1),
        ),
        (
            Bad::EventMismatch,
            Box::new(|p: &mut Proposal| p.event_id.0.0[0] ^= 1),
        ),
        (
            Bad::NotConserved,
            Box::new(|p: &mut Proposal| {
                let mut pskt = p.pskt();
                pskt.outputs[1].amount += 50;
                p.tx_template_hash = pskt.template_hash();
                p.kpsbt_blob = codec::encode(&pskt);
                p.outputs = pskt.outputs;
            }),
        ),
        (
            Bad::NotConserved,
            Box::new(|p: &mut Proposal| {
                let mut pskt = p.pskt();
                pskt.outputs[0].script.bytes = b"thief".to_vec();
                p.tx_template_hash = pskt.template_hash();
                p.kpsbt_blob = codec::encode(&pskt);
                p.outputs = pskt.outputs;
            }),
        ),
    ];
    for (index, (expected, change)) in cases.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(bad.validate_structure(), Err(*expected), "case {index}");
    }
}

/// S0-70, S0-F7, S0-F23: identity, signatures and certificates.
#[test]
fn nobody_speaks_for_another_and_a_bare_claim_is_refused() {
    let mut lab = Lab::three();
    let good = proposal(&mut lab);
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.deliver(2, 1, "proposal");
    lab.deliver(2, 1, "lock");
    let env = env(&lab, 3);
    let verdict = |from, message: &Message| check(&env, NodeId(from), message);
    let broadcast = Message::ProposalBroadcast(good.clone());
    assert_eq!(verdict(1, &broadcast), Ok(()));
    assert_eq!(verdict(2, &broadcast), Err("proposer_is_not_sender"));
    let renamed = Proposal {
        proposer_peer_id: NodeId(2),
        ..good.clone()
    };
    assert_eq!(
        verdict(2, &Message::ProposalBroadcast(renamed)),
        Err("vote_signature")
    );
    let later = Proposal {
        round: Round(1),
        ..good.clone()
    };
    assert_eq!(
        verdict(1, &Message::ProposalBroadcast(later)),
        Err("vote_signature")
    );
    let claimed = Proposal {
        valid_round: Some(Round(0)),
        ..good
    };
    assert_eq!(
        verdict(1, &Message::ProposalBroadcast(claimed)),
        Err("valid_proof")
    );

    let Message::EventStateBroadcast(commit) = lab.waiting(1, "commit").remove(0) else {
        panic!("a commit")
    };
    let wrap = |commit| Message::EventStateBroadcast(commit);
    assert_eq!(verdict(1, &wrap(commit.clone())), Ok(()));
    assert_eq!(
        verdict(2, &wrap(commit.clone())),
        Err("sender_is_not_sender")
    );
    let mut bare = commit.clone();
    bare.certificate.signatures.clear();
    assert_eq!(verdict(1, &wrap(bare)), Err("certificate"));
    let mut thin = commit.clone();
    thin.certificate.signatures.truncate(1);
    assert_eq!(verdict(1, &wrap(thin)), Err("certificate"));
    let mut doubled = commit.clone();
    doubled.certificate.signatures[1] = doubled.certificate.signatures[0];
    assert_eq!(verdict(1, &wrap(doubled)), Err("certificate"));
    let mut other_round = commit.clone();
    other_round.phase_context.round = Round(9);
    assert_eq!(verdict(1, &wrap(other_round)), Err("certificate"));
    let mut forged = commit.clone();
    forged.state.signatures[0].0 = NodeId(3);
    assert_eq!(verdict(1, &wrap(forged)), Err("partial_signature"));
    let mut stranger = commit;
    stranger.state.signing_material.amount += 1;
    assert_eq!(verdict(1, &wrap(stranger)), Err("proposal_event_mismatch"));
}

/// A withdrawal says nothing but "I withdraw", about an event whose body it carries.
#[test]
fn a_withdrawal_has_one_form() {
    let mut lab = Lab::three();
    lab.submit(1, "withdraw-1");
    lab.pass(1, 120_000);
    let Message::Abandon {
        certificate,
        signing_material,
    } = lab.waiting(1, "abandon").remove(0)
    else {
        panic!("a withdrawal")
    };
    let env = env(&lab, 2);
    let verdict = |certificate: Certificate, body: &super::super::message::SigningEvent| {
        check(
            &env,
            NodeId(1),
            &Message::Abandon {
                certificate,
                signing_material: body.clone(),
            },
        )
    };
    assert_eq!(verdict(certificate.clone(), &signing_material), Ok(()));
    let mut later = certificate.clone();
    later.ballot.round = Round(1);
    assert_eq!(verdict(later, &signing_material), Err("vote_shape"));
    let mut nobody = certificate.clone();
    nobody.signatures.clear();
    assert_eq!(verdict(nobody, &signing_material), Err("certificate"));
    let mut other = signing_material.clone();
    other.name.push('!');
    assert_eq!(verdict(certificate, &other), Err("vote_shape"));
}

/// A refused packet is counted by its reason, and nothing else happens.
#[test]
fn refusals_are_counted_by_reason() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    let packet = lab
        .mail
        .iter()
        .find(|(_, send)| send.info.kind == 0)
        .unwrap()
        .1
        .packet
        .clone();
    lab.receive(2, b"junk");
    let mut bent = packet.to_vec();
    bent[60] ^= 1;
    lab.receive(2, &bent);
    assert_eq!(lab.phase(2, event), EventPhase::Unknown);
    lab.receive(2, &packet);
    lab.receive(2, &packet);
    lab.receive(1, &packet);
    assert_eq!(lab.count(2, "refused_malformed"), 1);
    assert_eq!(lab.count(2, "refused_bad_signature"), 1);
    assert_eq!(lab.count(2, "refused_replayed"), 1);
    assert_eq!(lab.count(1, "refused_own_message"), 1);
    assert_eq!(lab.node(2).refused(), 3);
    lab.with(1, |node, now| {
        node.request(now, ClientId(1), 9, &[0xff; 40])
    });
    lab.with(1, |node, now| node.fact(now, &[0xff; 40]));
    assert_eq!(lab.count(1, "refused_malformed"), 2);
}
