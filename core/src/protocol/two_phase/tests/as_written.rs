//! The document's own tests of its store and its selection, and each flaw of its rules that a step shows.

use super::super::as_written::{quorum_hash, select_winning_proposal};
use super::*;
use crate::quorum::Quorum;
use crate::types::Hash32;

fn lab() -> Lab {
    lab_with(TwoPhaseConfig::default())
}

fn lab_with(config: TwoPhaseConfig) -> Lab {
    Lab::under(3, config, RuleSet::AsWritten, &[])
}

/// S0-47, S0-48, S0-51: with a quorum, without, the tie, nothing; S0-F25: a quorum of nothing is none.
#[test]
fn the_documents_selection() {
    let (low, high) = (Hash32([1; 32]), Hash32([2; 32]));
    let votes = |hashes: &[Hash32]| -> Vec<(NodeId, Hash32)> {
        (1..).map(NodeId).zip(hashes.iter().copied()).collect()
    };
    let two = Quorum::at_least(2, 3).unwrap();
    assert_eq!(quorum_hash(&votes(&[low, high, high]), two), Some(high));
    assert_eq!(quorum_hash(&votes(&[low, high]), two), None);
    assert_eq!(quorum_hash(&votes(&[high, low, high, low]), two), Some(low));
    assert_eq!(quorum_hash(&[], two), None);
    assert_eq!(
        quorum_hash(&votes(&[low, low, low]), Quorum::out_of_reach(3)),
        None
    );
    // S0-49.
    let tied = votes(&[high, low, high, low]);
    assert_eq!(select_winning_proposal(&tied, low), Some(NodeId(2)));
    // S0-F23: entries, not members.
    assert_eq!(
        quorum_hash(&[(NodeId(1), low), (NodeId(1), low)], two),
        Some(low)
    );
}

/// S0-98: a proposal is stored once, a second one of the same peer is refused, a quorum commits at once.
#[test]
fn two_proposals_commit_and_no_lock_is_sent() {
    let mut lab = lab();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    assert_eq!(lab.phase(2, event), EventPhase::Proposing);
    lab.deliver(1, 2, "proposal");
    assert_eq!(lab.phase(2, event), EventPhase::Committed);
    let view = lab.event(2, event).unwrap();
    assert!(view.value.is_some() && view.signed == view.value);
    assert!(lab.waiting(2, "lock").is_empty());
    let Message::EventStateBroadcast(commit) = &lab.waiting(2, "commit")[0] else {
        panic!("a commit broadcast");
    };
    assert!(
        commit.certificate.signatures.is_empty(),
        "S0-F7: a bare claim"
    );
    lab.deliver(2, 1, "commit");
    assert_eq!(lab.phase(1, event), EventPhase::Committed, "believed");
    lab.deliver(1, 2, "commit");
    lab.confirm();
    assert_eq!(lab.phase(1, event), EventPhase::Completed);
    assert_eq!(lab.phase(2, event), EventPhase::Completed);
}

/// S0-F4: whoever is told by a peer first is "already in progress" and never proposes in that round.
#[test]
fn a_node_that_is_told_first_stays_silent() {
    let mut lab = lab();
    let event = lab.submit(1, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    assert_eq!(lab.phase(2, event), EventPhase::Proposing);
    lab.submit(2, "withdraw-1");
    assert_eq!(lab.replies.last(), Some(&super::super::Reply::InProgress));
    assert!(lab.waiting(2, "proposal").is_empty());
}

/// S0-98 fail and retry; S0-F5: the retry is published, never stored, and the event stays failed.
#[test]
fn a_failed_event_is_published_again_for_ever() {
    let mut lab = lab();
    let event = lab.submit(1, "withdraw-1");
    lab.pass(1, 6_500);
    let row = lab.event(1, event).unwrap();
    assert_eq!(
        (lab.phase(1, event), row.round),
        (EventPhase::Failed, Round(1))
    );
    assert_eq!(lab.count(1, "two_phase_proposal_timeouts_total"), 1);
    lab.mail.clear();
    lab.pass(1, 300_000);
    assert_eq!(lab.phase(1, event), EventPhase::Failed);
    assert!(lab.waiting(1, "proposal").len() > 200, "on every tick");
    // S0-F8: nor does a commit of round 0 move it.
    lab.submit(2, "withdraw-1");
    lab.submit(3, "withdraw-1");
    lab.deliver(2, 3, "proposal");
    lab.deliver(3, 1, "commit");
    assert_eq!(lab.phase(1, event), EventPhase::Failed);
}

/// S0-F8: a late joiner does not take a commit.
#[test]
fn a_late_joiner_stays_unknown() {
    let mut lab = lab();
    let event = lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.deliver(2, 3, "commit");
    assert_eq!(lab.phase(3, event), EventPhase::Unknown);
    // S0-F31: and nobody answers its late proposal.
    lab.submit(3, "withdraw-1");
    lab.mail.retain(|(from, _)| from.0 == 3);
    lab.deliver(3, 2, "proposal");
    assert!(lab.waiting(2, "commit").is_empty());
}

/// S0-F36: a node that knows the event from peers alone never proposes; S0-F9: a committed one is not looked at.
#[test]
fn who_did_not_ingest_never_proposes_and_who_committed_never_repeats() {
    let mut lab = lab();
    let event = lab.submit(1, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.pass(2, 120_000);
    assert_eq!(lab.phase(2, event), EventPhase::Failed);
    assert!(lab.waiting(2, "proposal").is_empty());

    let mut lab = self::lab();
    lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(1, 2, "proposal");
    lab.restart(2);
    lab.pass(2, 60_000);
    assert!(lab.waiting(2, "commit").is_empty());
    assert_eq!(lab.phase(2, event), EventPhase::Committed);
}

/// S0-F17: without a retry left the event is abandoned straight from proposing; S0-F11: and then forgotten.
#[test]
fn an_abandoned_event_is_forgotten_and_begins_anew() {
    let mut config = TwoPhaseConfig {
        gc_after_ms: 2_000,
        ..TwoPhaseConfig::default()
    };
    config.retry.max_retries = 0;
    let mut lab = lab_with(config);
    let event = lab.submit(1, "withdraw-1");
    lab.pass(1, 6_500);
    assert_eq!(lab.phase(1, event), EventPhase::Abandoned);
    assert_eq!(lab.count(1, "two_phase_events_abandoned_total"), 1);
    lab.pass(1, 3_000);
    assert_eq!(lab.phase(1, event), EventPhase::Unknown);
    lab.submit(1, "withdraw-1");
    assert_eq!(lab.phase(1, event), EventPhase::Proposing);
}
