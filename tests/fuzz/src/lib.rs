//! How fuzz targets read their data: edits of a sound value, so that no corpus is needed to get past the first check.

use phaselab_core::certificate::Certificate;
use phaselab_core::codec::{decode, encode};
use phaselab_core::crypto::Crypto;
use phaselab_core::engine::Env;
use phaselab_core::protocol::two_phase::message::{Message, Proposal, Pskt, partial_preimage};
use phaselab_core::protocol::two_phase::{TwoPhase, message::SigningEvent};
use phaselab_core::types::{Hash32, NodeId};
use phaselab_core::votes::{Ballot, Vote};
use phaselab_tests::fixture;

/// Takes fuzz data from the front.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a>(pub &'a [u8]);

impl<'a> Data<'a> {
    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next number; 0 at the end.
    pub fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// Up to so many bytes.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count.min(self.0.len()));
        self.0 = tail;
        head
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A value's bytes with some edits, or bytes that are nobody's.
    pub fn edit(&mut self, base: &[u8]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        for _ in 0..self.byte() % 8 {
            let (what, at) = (self.byte(), self.number());
            let at = at % bytes.len().max(1);
            match what % 6 {
                0 | 1 => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = self.byte();
                    }
                }
                2 => bytes.insert(at.min(bytes.len()), self.byte()),
                3 => drop(bytes.drain(at..(at + usize::from(self.byte() % 32)).min(bytes.len()))),
                4 => {
                    let count = usize::from(self.byte());
                    let with = self.bytes(count);
                    bytes.splice(at..at, with.iter().copied());
                }
                _ => {
                    let count = self.number();
                    bytes = self.bytes(count).to_vec();
                }
            }
        }
        bytes
    }
}

/// One of the messages of a signer.
pub fn message(data: &mut Data<'_>, env: &Env<TwoPhase>) -> Message {
    let mut messages = fixture::messages(env);
    let which = usize::from(data.byte()) % messages.len();
    messages.swap_remove(which).1
}

/// Makes a message consistent as far as two liars can who share their keys: hashes, ids and signatures fit.
pub fn lie(message: &mut Message, liars: &[Env<TwoPhase>; 2], from: NodeId) {
    let by = |id: NodeId| liars.iter().find(|env| env.id == id);
    let own = by(from).unwrap_or(&liars[0]);
    let sign = |vote: &mut Vote| {
        if let Some(env) = by(vote.signer) {
            *vote = vote.ballot.sign(env);
        }
    };
    let certify = |certificate: &mut Certificate| {
        for env in liars {
            let signature = certificate.ballot.sign(env).signature;
            let known = certificate
                .signatures
                .iter_mut()
                .find(|(id, _)| *id == env.id);
            match known {
                Some(entry) => entry.1 = signature,
                None => certificate.signatures.push((env.id, signature)),
            }
        }
        // Others' signatures cannot be made.
        certificate
            .signatures
            .retain(|(id, _)| liars.iter().any(|env| env.id == *id));
        certificate.signatures.sort_unstable_by_key(|(id, _)| *id);
    };
    match message {
        Message::ProposalBroadcast(proposal) => propose(proposal, own, &certify),
        Message::NoProposal {
            vote,
            signing_material,
        } => {
            (vote.signer, vote.ballot.instance) = (own.id, signing_material.id());
            sign(vote);
        }
        Message::Lock(vote) => {
            vote.signer = own.id;
            sign(vote);
        }
        Message::EventStateBroadcast(commit) => {
            let (hash, blob) = fit(&commit.state.signing_material, &commit.state.kpsbt_blob);
            commit.event_id = commit.state.signing_material.id();
            (commit.tx_template_hash, commit.state.kpsbt_blob) = (hash, blob);
            commit.sender_peer_id = own.id;
            commit.certificate.ballot.instance = commit.event_id;
            commit.certificate.ballot.value = Some(hash);
            commit.phase_context.round = commit.certificate.ballot.round;
            certify(&mut commit.certificate);
            let preimage = partial_preimage(&own.genesis, commit.event_id, &hash);
            let signed = liars.iter().map(|env| (env.id, env.signer.sign(&preimage)));
            commit.state.signatures = signed.collect();
        }
        Message::Abandon {
            certificate,
            signing_material,
        } => {
            certificate.ballot.instance = signing_material.id();
            certify(certificate);
        }
        Message::Equivocation(evidence) => {
            evidence.second.signer = evidence.first.signer;
            sign(&mut evidence.first);
            sign(&mut evidence.second);
        }
        Message::StateSyncRequest { .. } => {}
        Message::StateSyncResponse {
            proposals, locks, ..
        } => {
            for proposal in proposals {
                let by = by(proposal.proposer_peer_id).unwrap_or(own);
                propose(proposal, by, &certify);
            }
            locks.iter_mut().for_each(sign);
        }
        Message::Valid {
            certificate,
            signing_material,
            ..
        } => {
            certificate.ballot.instance = signing_material.id();
            certify(certificate);
        }
    }
}

fn propose(proposal: &mut Proposal, by: &Env<TwoPhase>, certify: &dyn Fn(&mut Certificate)) {
    let (hash, blob) = fit(&proposal.signing_material, &proposal.kpsbt_blob);
    if let Ok(pskt) = decode::<Pskt>(&blob) {
        (proposal.utxos_used, proposal.outputs) = (pskt.inputs, pskt.outputs);
    }
    proposal.event_id = proposal.signing_material.id();
    (proposal.tx_template_hash, proposal.kpsbt_blob) = (hash, blob);
    proposal.proposer_peer_id = by.id;
    if let Some(proof) = &mut proposal.valid_proof {
        let round = proposal.valid_round.unwrap_or_default();
        let (instance, value) = (proposal.event_id, Some(hash));
        proof.ballot = Ballot {
            instance,
            round,
            value,
            ..proof.ballot
        };
        certify(proof);
    }
    proposal.signature = proposal.vote().ballot.sign(by).signature;
}

/// Makes a template pay its event.
fn fit(event: &SigningEvent, blob: &[u8]) -> (Hash32, Vec<u8>) {
    let mut pskt: Pskt = decode(blob).unwrap_or_else(|_| fixture::template());
    pskt.event_id = event.id();
    if let Some(output) = pskt.outputs.first_mut() {
        output.amount = event.amount;
        output.script = event.destination.clone();
    }
    let spent = pskt.transaction().total_input_amount().unwrap_or(0);
    let paid = event.amount.saturating_add(1);
    pskt.outputs.truncate(1);
    if spent > paid {
        let script = fixture::template().inputs[0].script_public_key.clone();
        let amount = spent - paid;
        pskt.outputs
            .push(phaselab_core::ledger::Output { amount, script });
    }
    (pskt.template_hash(), encode(&pskt))
}

/// Signers with simulated signatures, by number.
pub fn signer(id: u16) -> Env<TwoPhase> {
    fixture::env(Crypto::Simulated, id)
}
