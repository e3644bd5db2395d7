//! Numbers, limits and names of the document that no other test would miss.

use super::super::config::{self, QuorumRule};
use super::super::message::{Proposal, check};
use super::super::{EVENT_CERTIFICATE, EVENT_PHASE, SIGNATURE};
use super::*;
use crate::ledger::Script;
use crate::retry::RetryConfig;
use crate::store::TableId;
use crate::votes::{Vote, VoteKind};

fn env(lab: &Lab, id: u16) -> crate::engine::Env<TwoPhase> {
    let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(id)));
    replica::env(&lab.genesis, NodeId(id), signer).unwrap()
}

fn proposal(lab: &Lab, id: u16) -> Proposal {
    match lab.waiting(id, "proposal").remove(0) {
        Message::ProposalBroadcast(proposal) => proposal,
        other => panic!("{other:?}"),
    }
}

/// S0-11 to S0-20, S0-22, S0-27, S0-81.
#[test]
fn the_documents_constants_and_defaults() {
    assert_eq!(config::MAX_UTXOS_PER_PROPOSAL, 100);
    assert_eq!(config::MAX_OUTPUTS_PER_PROPOSAL, 16);
    assert_eq!(config::MAX_KPSBT_SIZE, 64 * 1024);
    assert_eq!(config::DEFAULT_MIN_INPUT_SCORE_DEPTH, 300);
    assert_eq!(config::MAX_SYNC_EVENTS_PER_TICK, 64);
    assert_eq!(config::MAX_PROPOSALS_PER_EVENT_PER_RESPONSE, 20);
    assert_eq!(config::STATE_SYNC_COOLDOWN_MS, 2_000);
    assert_eq!(config::TICK_MS, 1_000);
    let expected = TwoPhaseConfig {
        proposal_timeout_ms: 5_000,
        commit_quorum: 0,
        min_input_score_depth: 0,
        revalidate_inputs_on_commit: true,
        retry: RetryConfig {
            max_retries: 3,
            base_delay_ms: 5_000,
            max_delay_ms: 30_000,
            backoff_multiplier_permille: 2_000,
            jitter_ms: 250,
        },
        ..TwoPhaseConfig::default()
    };
    assert_eq!(TwoPhaseConfig::default(), expected);
    use EventPhase::{Abandoned, Committed, Completed, Failed, Proposing, Unknown};
    let phases = [Unknown, Proposing, Committed, Completed, Failed, Abandoned];
    assert_eq!(phases.map(|phase| phase as u8), [0, 1, 2, 3, 4, 5]);
    assert_eq!(EventPhase::default(), Unknown);
}

/// S0-05, S0-23: the quorum as the document derives it, and S0-F25: as it takes whatever stands there.
#[test]
fn the_documents_quorum() {
    let config = |threshold_m, commit_quorum| TwoPhaseConfig {
        threshold_m,
        commit_quorum,
        ..TwoPhaseConfig::default()
    };
    let need = |rule, m, explicit, n| config(m, explicit).quorum_under(rule, n).need();
    assert_eq!(need(QuorumRule::AsWritten, 2, 0, 4), 2);
    assert_eq!(need(QuorumRule::AsWritten, 2, 1, 4), 1);
    assert_eq!(need(QuorumRule::AsWritten, 2, 9, 4), 5, "out of reach");
    assert_eq!(need(QuorumRule::ThresholdM, 2, 0, 4), 2);
    assert_eq!(need(QuorumRule::Majority, 2, 0, 4), 3);
    assert_eq!(need(QuorumRule::AsGiven, 2, 0, 4), 5, "out of reach");
    let nobody = config(2, 0).quorum_under(QuorumRule::AsGiven, 4);
    assert!(!nobody.is_reached(4) && nobody.blocking().need() == 1);
}

/// S0-14, S0-F26: a template may be as large as the document's limit; the proposal around it has a limit of its own.
#[test]
fn a_proposal_has_a_limit_beside_its_templates() {
    let mut lab = Lab::three();
    lab.submit(1, "withdraw-1");
    let good = proposal(&lab, 1);
    let env = env(&lab, 1);
    let with_script = |bytes: usize| {
        let mut pskt = good.pskt();
        pskt.inputs[0].script_public_key = Script {
            version: 0,
            bytes: vec![7; bytes],
        };
        let mut changed = good.clone();
        changed.tx_template_hash = pskt.template_hash();
        changed.kpsbt_blob = codec::encode(&pskt);
        changed.utxos_used = pskt.inputs;
        changed.signature = changed.vote().ballot.sign(&env).signature;
        check(&env, NodeId(1), &Message::ProposalBroadcast(changed))
    };
    assert_eq!(with_script(60_000), Ok(()));
    assert_eq!(with_script(65_390), Err("proposal_too_large"));
    assert_eq!(with_script(66_000), Err("proposal_kpsbt_too_large"));
}

/// S0-17, S0-18.
#[test]
fn synchronisation_is_bounded() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    let env = env(&lab, 1);
    let asked = |count: usize| {
        let events = vec![event; count];
        let since = (0, 0);
        check(
            &env,
            NodeId(1),
            &Message::StateSyncRequest { events, since },
        )
    };
    assert_eq!((asked(64), asked(65)), (Ok(()), Err("too_many_events")));
    let told = |count: usize| {
        let message = Message::StateSyncResponse {
            learned: Vec::new(),
            cursor: (0, 0),
            proposals: vec![proposal(&lab, 1); count],
            locks: Vec::new(),
        };
        check(&env, NodeId(1), &message)
    };
    assert_eq!((told(20), told(21)), (Ok(()), Err("too_many_events")));
}

/// S0-45: what a proposal spends, and how much.
#[test]
fn a_proposal_tells_what_it_spends() {
    let mut lab = Lab::three();
    lab.submit(1, "withdraw-1");
    let mut proposal = proposal(&lab, 1);
    let inputs: Vec<_> = proposal.utxos_used.iter().map(|u| u.outpoint).collect();
    assert_eq!(proposal.outpoints().collect::<Vec<_>>(), inputs);
    assert_eq!(proposal.total_input_amount(), Some(100));
    proposal.utxos_used = vec![proposal.utxos_used[0].clone(); 2];
    proposal.utxos_used[0].amount = u64::MAX;
    assert_eq!(proposal.total_input_amount(), None, "S0-F27");
}

/// S0-36, S0-F20: signers that see different tips cast the same vote for the same template.
#[test]
fn the_anchor_is_no_part_of_the_vote() {
    let mut lab = Lab::three();
    lab.submit(1, "withdraw-1");
    let fact = ChainFact {
        tip_score: 1_777,
        ..ChainFact::default()
    };
    lab.with(2, |node, now| node.fact(now, &codec::encode(&fact)));
    lab.submit(2, "withdraw-1");
    let (one, two) = (proposal(&lab, 1), proposal(&lab, 2));
    assert_ne!(one.kaspa_anchor, two.kaspa_anchor);
    let ballot = |proposal: &Proposal| -> Vote { proposal.vote() };
    assert_eq!(ballot(&one).ballot, ballot(&two).ballot);
    assert_eq!(ballot(&one).ballot.kind, VoteKind::Prevote);
}

/// S0-54, S0-F10, S0-F12: phase, template, certificate and signature are written by one batch, or not at all.
#[test]
fn a_decision_is_one_batch() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.deliver(2, 1, "proposal");
    let mut tables: Vec<TableId> = Vec::new();
    let lock = lab.waiting(2, "lock").remove(0);
    let opened = crate::replica::opened_for_tests(NodeId(2), lock);
    lab.with(1, |node, now| {
        let output = node.receive(now, Ok(&opened));
        tables.extend(output.writes.writes().iter().map(|write| write.table));
        output
    });
    assert_eq!(lab.phase(1, event), EventPhase::Committed);
    for spec in [EVENT_PHASE, SIGNATURE, EVENT_CERTIFICATE] {
        assert!(
            tables.contains(&spec.id),
            "{} is not in the batch",
            spec.name
        );
    }
}

/// S0-25, S0-80: inputs are looked up again before signing; a failed look puts the signature off.
#[test]
fn signing_looks_again_and_waits() {
    for (revalidate_inputs_on_commit, signs_at_once) in [(true, false), (false, true)] {
        let mut lab = Lab::new(
            3,
            TwoPhaseConfig {
                revalidate_inputs_on_commit,
                ..TwoPhaseConfig::default()
            },
        );
        let event = lab.submit(1, "withdraw-1");
        lab.submit(2, "withdraw-1");
        lab.hide_inputs(3, event, 1);
        lab.deliver(1, 2, "proposal");
        lab.deliver(2, 1, "proposal");
        lab.deliver(2, 1, "lock");
        lab.deliver(1, 3, "commit");
        assert_eq!(lab.phase(3, event), EventPhase::Committed);
        let signed = |lab: &Lab| lab.event(3, event).unwrap().signed.is_some();
        assert_eq!(signed(&lab), signs_at_once);
        let fact = lab.chain.full_view(lab.now, NodeId(3)).unwrap();
        lab.with(3, |node, now| node.fact(now, &fact));
        assert!(signed(&lab));
    }
}

/// S0-89: what is received and what is refused is counted.
#[test]
fn received_proposals_are_counted() {
    let mut lab = Lab::three();
    lab.submit(1, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    assert_eq!(lab.count(2, "session_stage_proposal_received_total"), 1);
}
