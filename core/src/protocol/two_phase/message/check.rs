//! What is verified of a message before a handler sees it, besides its envelope.

use super::super::TwoPhase;
use super::super::config::{
    MAX_PROPOSAL_SIZE_BYTES, MAX_PROPOSALS_PER_EVENT_PER_RESPONSE, MAX_SYNC_EVENTS_PER_TICK,
};
use super::super::flaws::{self, Evidence as Proof};
use super::{
    EventStateBroadcast, Message, Proposal, ProposalValidationError, check_template,
    partial_preimage,
};
use crate::codec;
use crate::engine::Env;
use crate::types::{NodeId, Round};
use crate::votes::{Ballot, Vote, VoteKind};

/// Verifies everything that a message carries besides its envelope. (S0-70, S0-71)
pub fn check(env: &Env<TwoPhase>, from: NodeId, message: &Message) -> Result<(), &'static str> {
    match message {
        Message::ProposalBroadcast(proposal) => {
            if proposal.proposer_peer_id != from {
                return Err("proposer_is_not_sender");
            }
            check_proposal(env, proposal)
        }
        Message::NoProposal {
            vote,
            signing_material,
        } => {
            signing_material.check()?;
            let ballot = &vote.ballot;
            if ballot.kind != VoteKind::Prevote
                || ballot.value.is_some()
                || ballot.instance != signing_material.id()
            {
                return Err("vote_shape");
            }
            check_own_vote(env, from, vote)
        }
        Message::Lock(vote) => {
            if vote.ballot.kind != VoteKind::Precommit || vote.ballot.value.is_none() {
                return Err("vote_shape");
            }
            check_own_vote(env, from, vote)
        }
        Message::EventStateBroadcast(commit) => check_commit(env, from, commit),
        Message::Abandon {
            certificate,
            signing_material,
        } => {
            signing_material.check()?;
            let ballot = &certificate.ballot;
            let empty = ballot.round == Round(0)
                && ballot.value.is_none()
                && ballot.kind == VoteKind::Abandon;
            if !empty || ballot.instance != signing_material.id() {
                return Err("vote_shape");
            }
            let any = crate::quorum::Quorum::at_least(1, env.members().len() as u128)
                .ok_or("no_members")?;
            if !certificate.verify(env, any) {
                return Err("certificate");
            }
            Ok(())
        }
        Message::Equivocation(evidence) => {
            let holds = evidence.verify(&env.genesis, TwoPhase::TAG_BYTE, &env.keyring);
            if holds { Ok(()) } else { Err("evidence") }
        }
        Message::StateSyncRequest { events, .. } => {
            if events.len() > MAX_SYNC_EVENTS_PER_TICK {
                Err("too_many_events")
            } else {
                Ok(())
            }
        }
        Message::StateSyncResponse {
            learned,
            proposals,
            locks,
            ..
        } => {
            if learned.len() > MAX_SYNC_EVENTS_PER_TICK
                || proposals.len() > MAX_PROPOSALS_PER_EVENT_PER_RESPONSE
                || locks.len() > env.members().len()
            {
                return Err("too_many_events");
            }
            proposals
                .iter()
                .try_for_each(|proposal| check_proposal(env, proposal))?;
            let is_lock = |vote: &Vote| {
                vote.ballot.kind == VoteKind::Precommit
                    && vote.ballot.value.is_some()
                    && vote.verify(&env.genesis, TwoPhase::TAG_BYTE, &env.keyring)
            };
            if locks.iter().all(is_lock) {
                Ok(())
            } else {
                Err("vote_signature")
            }
        }
        Message::Valid {
            certificate,
            signing_material,
            kpsbt_blob,
        } => {
            let ballot = &certificate.ballot;
            let hash = ballot.value.ok_or("vote_shape")?;
            if ballot.kind != VoteKind::Prevote {
                return Err("vote_shape");
            }
            check_template(kpsbt_blob, signing_material, ballot.instance, &hash)
                .map_err(ProposalValidationError::name)?;
            if certificate.verify(env, TwoPhase::quorum(env)) {
                Ok(())
            } else {
                Err("certificate")
            }
        }
    }
}

fn check_own_vote(env: &Env<TwoPhase>, from: NodeId, vote: &Vote) -> Result<(), &'static str> {
    if vote.signer != from {
        return Err("voter_is_not_sender");
    }
    if vote.verify(&env.genesis, TwoPhase::TAG_BYTE, &env.keyring) {
        Ok(())
    } else {
        Err("vote_signature")
    }
}

fn check_proposal(env: &Env<TwoPhase>, proposal: &Proposal) -> Result<(), &'static str> {
    proposal
        .validate_structure()
        .map_err(ProposalValidationError::name)?;
    // All else in a proposal is bounded by counts: only a large template can make it too large.
    if proposal.kpsbt_blob.len() > MAX_PROPOSAL_SIZE_BYTES / 4
        && codec::encode(proposal).len() > MAX_PROPOSAL_SIZE_BYTES
    {
        return Err(ProposalValidationError::ProposalTooLarge.name());
    }
    if !proposal
        .vote()
        .verify(&env.genesis, TwoPhase::TAG_BYTE, &env.keyring)
    {
        return Err("vote_signature");
    }
    match (&proposal.valid_round, &proposal.valid_proof) {
        (None, None) => Ok(()),
        (Some(round), Some(proof)) => {
            let ballot = Ballot {
                round: *round,
                ..proposal.vote().ballot
            };
            let quorum = TwoPhase::quorum(env);
            let holds =
                *round < proposal.round && proof.ballot == ballot && proof.verify(env, quorum);
            if holds { Ok(()) } else { Err("valid_proof") }
        }
        _ => Err("valid_proof"),
    }
}

fn check_commit(
    env: &Env<TwoPhase>,
    from: NodeId,
    commit: &EventStateBroadcast,
) -> Result<(), &'static str> {
    if commit.sender_peer_id != from {
        return Err("sender_is_not_sender");
    }
    let (state, hash) = (&commit.state, &commit.tx_template_hash);
    check_template(
        &state.kpsbt_blob,
        &state.signing_material,
        commit.event_id,
        hash,
    )
    .map_err(ProposalValidationError::name)?;
    let expected = Ballot {
        instance: commit.event_id,
        round: commit.phase_context.round,
        kind: VoteKind::Precommit,
        value: Some(*hash),
    };
    let is_proven = match flaws::evidence(env.rules, env.flaws) {
        Proof::Certificate => commit.certificate.verify(env, TwoPhase::quorum(env)),
        Proof::Claim => true,
    };
    if commit.certificate.ballot != expected || !is_proven {
        return Err("certificate");
    }
    let in_order = state
        .signatures
        .windows(2)
        .all(|pair| pair[0].0 < pair[1].0);
    let preimage = partial_preimage(&env.genesis, commit.event_id, hash);
    let signed = state
        .signatures
        .iter()
        .all(|(signer, part)| env.keyring.verify(*signer, &preimage, part));
    if in_order && signed {
        Ok(())
    } else {
        Err("partial_signature")
    }
}
