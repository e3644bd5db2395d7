//! Evidence: members that contradict themselves, and the contradiction that a simulated liar makes.

use alloc::vec::Vec;

use super::message::{Message, Pskt, partial_preimage};
use super::template::ChainView;
use super::{Cx, TwoPhase};
use crate::codec;
use crate::engine::{Env, To};
use crate::event::{Event, EventKind, Level};
use crate::types::{Hash32, Round};
use crate::votes::{Ballot, Evidence, VoteKind};

/// The most events whose accusations are remembered; what is not remembered is not told either, or it would be told in
/// circles.
const ACCUSED_EVENTS_MAX: usize = 4_096;

impl TwoPhase {
    /// A member contradicted itself: keep the proof, tell everyone, once per member and event. (S0-74, S0-F22)
    pub(super) fn accuse(&mut self, cx: Cx<'_, '_>, evidence: Evidence) {
        let ballot = evidence.first.ballot;
        let member = evidence.first.signer;
        if self.accused.len() >= ACCUSED_EVENTS_MAX && !self.accused.contains_key(&ballot.instance)
        {
            return cx.count("two_phase_equivocations_untold_total");
        }
        let accused = self.accused.get_or_default(ballot.instance);
        if accused.contains(&member) {
            return;
        }
        accused.push(member);
        cx.count("two_phase_equivocations_total");
        cx.emit(Level::Decisions, || {
            Event::new(EventKind::Evidence, Some(ballot.instance), ballot.round)
                .value(ballot.value)
                .peer(member)
        });
        cx.send(To::All, Message::Equivocation(evidence));
    }

    /// Another member's proof came.
    pub(super) fn on_evidence(&mut self, cx: Cx<'_, '_>, evidence: &Evidence) {
        if self.events.contains(&evidence.first.ballot.instance) {
            self.accuse(cx, *evidence);
        }
    }

    /// What a member sends to carry others off into a round that never ends: a prevote of the last one there is. (S0-F15)
    pub(super) fn of_the_last_round(env: &Env<TwoPhase>, message: &Message) -> Option<Message> {
        let (event, signing_material) = match message {
            Message::ProposalBroadcast(proposal) => {
                (proposal.event_id, proposal.signing_material.clone())
            }
            Message::NoProposal {
                vote,
                signing_material,
            } => (vote.ballot.instance, signing_material.clone()),
            _ => return None,
        };
        let ballot = Ballot {
            instance: event,
            round: Round(u32::MAX),
            kind: VoteKind::Prevote,
            value: None,
        };
        Some(Message::NoProposal {
            vote: ballot.sign(env),
            signing_material,
        })
    }

    /// What an equivocator sends to the other half: the same kind of vote for another valid template.
    pub(super) fn second_version(&self, env: &Env<TwoPhase>, message: &Message) -> Option<Message> {
        match message {
            Message::ProposalBroadcast(proposal) if proposal.valid_round.is_none() => {
                let pskt: Pskt = codec::decode(&proposal.kpsbt_blob).ok()?;
                let other = ChainView::variant(&pskt)?;
                let mut second = proposal.clone();
                second.tx_template_hash = other.template_hash();
                second.kpsbt_blob = codec::encode(&other);
                second.utxos_used = other.inputs;
                second.outputs = other.outputs;
                second.signature = second.vote().ballot.sign(env).signature;
                Some(Message::ProposalBroadcast(second))
            }
            Message::EventStateBroadcast(commit) => {
                // A bare claim: no member locked this template. (S0-F7)
                let event = commit.event_id;
                let pskt: Pskt = codec::decode(&commit.state.kpsbt_blob).ok()?;
                let other = ChainView::variant(&pskt)?;
                let hash = other.template_hash();
                let partial = partial_preimage(&env.genesis, event, &hash);
                let mut second = commit.clone();
                second.tx_template_hash = hash;
                second.state.kpsbt_blob = codec::encode(&other);
                second.state.signatures = Vec::from([(env.id, env.signer.sign(&partial))]);
                second.certificate.ballot.value = Some(hash);
                second.certificate.signatures = Vec::new();
                Some(Message::EventStateBroadcast(second))
            }
            Message::Lock(vote) => {
                let event = vote.ballot.instance;
                let other = self
                    .templates
                    .range((event, Hash32::default())..)
                    .map(|((of, hash), _)| (*of, *hash));
                let mut other = other
                    .take_while(|(of, _)| *of == event)
                    .filter(|(_, hash)| Some(*hash) != vote.ballot.value);
                let (_, hash) = other.next()?;
                Some(Message::Lock(
                    Ballot {
                        value: Some(hash),
                        ..vote.ballot
                    }
                    .sign(env),
                ))
            }
            _ => None,
        }
    }
}
