//! One message of each kind, as three signers would send them, for frozen bytes, properties and fuzzing.

use phaselab_core::certificate::Certificate;
use phaselab_core::codec::encode;
use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::engine::{Env, Genesis, Protocol};
use phaselab_core::envelope::{Header, seal};
use phaselab_core::ledger::{OutPoint, Output, Script};
use phaselab_core::protocol::two_phase::message::{
    EventCrdtState, EventStateBroadcast, KaspaAnchorRef, Message, PhaseContext, Proposal, Pskt,
    SigningEvent, UtxoInput, partial_preimage,
};
use phaselab_core::protocol::two_phase::phase::EventPhase;
use phaselab_core::protocol::two_phase::template::ChainFact;
use phaselab_core::protocol::two_phase::{SignedTransaction, TwoPhase, TwoPhaseConfig};
use phaselab_core::quorum::Quorum;
use phaselab_core::replica;
use phaselab_core::scenario::member_seed;
use phaselab_core::types::{GroupId, Hash32, Incarnation, NodeId, Round};
use phaselab_core::votes::{Ballot, Evidence, Vote, VoteKind};

use crate::sketch;

pub mod sharded;
pub mod snowball;

/// How many signers there are.
pub const SIGNERS: u16 = 3;

/// The genesis of the three signers.
pub fn genesis(crypto: Crypto) -> Genesis {
    let groups = [GroupId(0); SIGNERS as usize];
    sketch::genesis::<TwoPhase>(crypto, &groups, &TwoPhaseConfig::default())
}

/// What one of the signers knows from the start.
///
/// # Panics
/// If there is no such signer.
pub fn env(crypto: Crypto, id: u16) -> Env<TwoPhase> {
    let signer = Signer::from_seed(crypto, &member_seed(NodeId(id)));
    replica::env(&genesis(crypto), NodeId(id), signer).expect("a signer of the three")
}

/// What is to be paid.
pub fn event() -> SigningEvent {
    SigningEvent {
        name: "withdraw-1".into(),
        amount: 25,
        destination: Script {
            version: 0,
            bytes: b"someone".to_vec(),
        },
        supersedes: None,
    }
}

/// The template that pays it.
pub fn template() -> Pskt {
    let group = Script {
        version: 0,
        bytes: b"group".to_vec(),
    };
    let input = UtxoInput {
        outpoint: OutPoint {
            txid: Hash32([7; 32]),
            index: 1,
        },
        amount: 100,
        script_public_key: group.clone(),
        block_daa_score: 12,
    };
    let pay = |amount, script| Output { amount, script };
    Pskt {
        inputs: vec![input],
        outputs: vec![pay(25, event().destination), pay(74, group)],
        event_id: event().id(),
    }
}

/// The second version of the template, which pays the same.
pub fn other_template() -> Pskt {
    let mut other = template();
    other.outputs[1].amount -= 1;
    let script = other.outputs[1].script.clone();
    other.outputs.push(Output { amount: 1, script });
    other
}

/// A signer's vote.
pub fn vote(env: &Env<TwoPhase>, kind: VoteKind, round: u32, value: Option<Hash32>) -> Vote {
    let instance = event().id();
    let round = Round(round);
    let ballot = Ballot {
        instance,
        round,
        kind,
        value,
    };
    ballot.sign(env)
}

/// Enough votes of the three.
///
/// # Panics
/// Never: two of three are a quorum.
pub fn certificate(
    crypto: Crypto,
    kind: VoteKind,
    round: u32,
    value: Option<Hash32>,
) -> Certificate {
    let votes: Vec<Vote> = (1..=SIGNERS)
        .map(|id| vote(&env(crypto, id), kind, round, value))
        .collect();
    let quorum = Quorum::crash_majority(SIGNERS);
    Certificate::collect(votes[0].ballot, votes.iter(), quorum).expect("three of three")
}

/// A signer's proposal of a template.
pub fn proposal(env: &Env<TwoPhase>, pskt: &Pskt, round: u32) -> Proposal {
    let hash = pskt.template_hash();
    let crypto = env.keyring.crypto();
    // Later rounds carry the proof of a quorum in the round before.
    let valid_round = round.checked_sub(1);
    let proof = |before| certificate(crypto, VoteKind::Prevote, before, Some(hash));
    Proposal {
        event_id: event().id(),
        round: Round(round),
        tx_template_hash: hash,
        kpsbt_blob: encode(pskt),
        utxos_used: pskt.inputs.clone(),
        outputs: pskt.outputs.clone(),
        signing_material: event(),
        proposer_peer_id: env.id,
        timestamp_ns: 1_234_567_890,
        kaspa_anchor: Some(KaspaAnchorRef {
            tip_score: 1_000,
            tip_hash: None,
        }),
        valid_round: valid_round.map(Round),
        valid_proof: valid_round.map(proof),
        signature: vote(env, VoteKind::Prevote, round, Some(hash)).signature,
    }
}

/// One message of each kind, in the order of the protocol's list, as this signer sends them.
pub fn messages(env: &Env<TwoPhase>) -> Vec<(&'static str, Message)> {
    let crypto = env.keyring.crypto();
    let (pskt, id) = (template(), event().id());
    let hash = pskt.template_hash();
    let partial = env.signer.sign(&partial_preimage(&env.genesis, id, &hash));
    let commit = EventStateBroadcast {
        event_id: id,
        tx_template_hash: hash,
        state: EventCrdtState {
            signing_material: event(),
            kpsbt_blob: encode(&pskt),
            signatures: vec![(env.id, partial)],
        },
        sender_peer_id: env.id,
        phase_context: PhaseContext {
            round: Round(1),
            phase: EventPhase::Committed,
            kaspa_anchor: None,
        },
        certificate: certificate(crypto, VoteKind::Precommit, 1, Some(hash)),
    };
    let evidence = Evidence {
        first: vote(env, VoteKind::Prevote, 0, Some(hash)),
        second: vote(env, VoteKind::Prevote, 0, None),
    };
    let all = vec![
        Message::ProposalBroadcast(proposal(env, &pskt, 1)),
        Message::NoProposal {
            vote: vote(env, VoteKind::Prevote, 2, None),
            signing_material: event(),
        },
        Message::Lock(vote(env, VoteKind::Precommit, 1, Some(hash))),
        Message::EventStateBroadcast(commit),
        Message::Abandon {
            certificate: certificate(crypto, VoteKind::Abandon, 0, None),
            signing_material: event(),
        },
        Message::Equivocation(evidence),
        Message::StateSyncRequest {
            events: vec![id],
            since: (77, 3),
        },
        Message::StateSyncResponse {
            learned: vec![id],
            cursor: (77, 4),
            proposals: vec![proposal(env, &pskt, 0)],
            locks: vec![vote(env, VoteKind::Precommit, 1, Some(hash))],
        },
        Message::Valid {
            certificate: certificate(crypto, VoteKind::Prevote, 0, Some(hash)),
            signing_material: event(),
            kpsbt_blob: encode(&pskt),
        },
    ];
    let name = |message: Message| (TwoPhase::spec().messages[kind(&message)].name, message);
    all.into_iter().map(name).collect()
}

fn kind(message: &Message) -> usize {
    usize::from(TwoPhase::describe(message).kind)
}

/// A packet as this signer's first life sends it.
pub fn packet<P: Protocol>(env: &Env<P>, counter: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        protocol: P::TAG,
        genesis: env.genesis,
        sender: env.id,
        incarnation: Incarnation(1),
        counter,
    };
    seal(&header, payload, &env.signer)
}

/// A view of the chain in which the template is valid.
pub fn fact() -> ChainFact {
    ChainFact {
        full: true,
        tip_score: 1_000,
        added: template().inputs,
        ..ChainFact::default()
    }
}

/// What the signers report once two of them signed.
pub fn report(crypto: Crypto) -> SignedTransaction {
    let (event_id, hash) = (event().id(), template().template_hash());
    let sign = |id: u16| {
        let env = env(crypto, id);
        let preimage = partial_preimage(&env.genesis, event_id, &hash);
        (env.id, env.signer.sign(&preimage))
    };
    SignedTransaction {
        event_id,
        transaction: template().transaction(),
        signatures: vec![sign(1), sign(2)],
    }
}
