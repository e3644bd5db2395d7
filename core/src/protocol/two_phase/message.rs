//! What signers send one another, with the document's names, and what is checked before a handler sees it.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::config::{
    MAX_KPSBT_SIZE, MAX_OUTPUTS_PER_PROPOSAL, MAX_UTXOS_PER_PROPOSAL, TRANSACTION_FEE,
};
use super::phase::EventPhase;
use crate::certificate::Certificate;
use crate::codec;
use crate::crypto::{Signature, Transcript};
use crate::engine::MessageInfo;
use crate::ledger::{OutPoint, Output, Script, Transaction};
use crate::types::{Hash32, InstanceId, NodeId, Round};
use crate::view::{MessageKind, Shape};
use crate::votes::{Ballot, Evidence, Vote, VoteKind};

mod check;

pub use check::check;

/// What is to be paid: the event's data (destination, amount, proof), of which its id is the hash. (S0-39
/// `signing_material`)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SigningEvent {
    /// A name, as a person gave it; at most [`NAME_BYTES_MAX`].
    pub name: String,
    /// How much.
    pub amount: u64,
    /// To whom.
    pub destination: Script,
    /// The event that this one replaces, whose input was spent elsewhere.
    pub supersedes: Option<InstanceId>,
}

/// The longest event name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

impl SigningEvent {
    /// The event's id: what every vote about it names, so that nobody can be made to vote about another body. (S0-F19)
    pub fn id(&self) -> InstanceId {
        InstanceId(
            Transcript::new("phaselab 2026-11 two-phase event v1")
                .bytes(&codec::encode(self))
                .finish(),
        )
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self { name, .. } if name.is_empty() || name.len() > NAME_BYTES_MAX => {
                Err("event_name")
            }
            Self { amount: 0, .. } => Err("event_amount"),
            Self { destination, .. } if destination.bytes.len() > 64 => Err("event_destination"),
            _ => Ok(()),
        }
    }
}

/// An output of the chain that a template spends. (S0-37)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UtxoInput {
    /// Where it stands. (S0-38 `OutpointRef`)
    pub outpoint: OutPoint,
    /// How much it holds.
    pub amount: u64,
    /// Who may spend it: `script_public_key_version` and `script_public_key_script`.
    pub script_public_key: Script,
    /// The chain's score when it was made.
    pub block_daa_score: u64,
}

/// A transaction template: the one thing that is hashed, proposed and signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pskt {
    /// What it spends.
    pub inputs: Vec<UtxoInput>,
    /// What it makes: the payment, then the change.
    pub outputs: Vec<Output>,
    /// The event that it is for.
    pub event_id: InstanceId,
}

impl Pskt {
    /// The transaction that will be signed.
    pub fn transaction(&self) -> Transaction {
        Transaction {
            inputs: self
                .inputs
                .iter()
                .map(|input| (input.outpoint, input.amount))
                .collect(),
            outputs: self.outputs.clone(),
            payload: self.event_id.0,
        }
    }

    /// `tx_template_hash`: over the signable transaction, never over the blob. (S0-40)
    pub fn template_hash(&self) -> Hash32 {
        self.transaction().id()
    }
}

/// What the chain looked like to the proposer; for audit, never part of the value. (S0-36, S0-F20)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KaspaAnchorRef {
    /// The tip's score.
    pub tip_score: u64,
    /// The tip's hash, where known.
    pub tip_hash: Option<Hash32>,
}

/// A proposal, which *is* the prevote: signed over the ballot that [`Proposal::vote`] gives. (S0-39)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// The event.
    pub event_id: InstanceId,
    /// The round.
    pub round: Round,
    /// The template's hash.
    pub tx_template_hash: Hash32,
    /// The template: an encoded [`Pskt`].
    pub kpsbt_blob: Vec<u8>,
    /// Its inputs.
    pub utxos_used: Vec<UtxoInput>,
    /// Its outputs.
    pub outputs: Vec<Output>,
    /// The event's data.
    pub signing_material: SigningEvent,
    /// Who proposes.
    pub proposer_peer_id: NodeId,
    /// The proposer's clock, for audit only; no decision reads it.
    pub timestamp_ns: u64,
    /// The proposer's view of the chain.
    pub kaspa_anchor: Option<KaspaAnchorRef>,
    /// The round in which a quorum proposed this template before, if the proposer leads with it.
    pub valid_round: Option<Round>,
    /// That quorum.
    pub valid_proof: Option<Certificate>,
    /// The proposer's signature.
    pub signature: Signature,
}

/// `ProposalValidationError` of the document, and what its checks leave out. (S0-43)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalValidationError {
    /// Spends nothing.
    NoUtxos,
    /// Spends too many outputs.
    TooManyUtxos,
    /// Makes nothing.
    NoOutputs,
    /// Makes too many outputs.
    TooManyOutputs,
    /// Without a template.
    EmptyKpsbt,
    /// The template is too large.
    KpsbtTooLarge,
    /// The proposal is too large. (S0-F26)
    ProposalTooLarge,
    /// The hash is not the template's.
    HashMismatch,
    /// Inputs or outputs are not the template's. (S0-F19)
    MetadataMismatch,
    /// The event's data is not what its id names.
    EventMismatch,
    /// It does not pay what the event asks for, or makes more than it spends. (S0-F27)
    NotConserved,
}

impl ProposalValidationError {
    /// The label of the counter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoUtxos => "proposal_no_utxos",
            Self::TooManyUtxos => "proposal_too_many_utxos",
            Self::NoOutputs => "proposal_no_outputs",
            Self::TooManyOutputs => "proposal_too_many_outputs",
            Self::EmptyKpsbt => "proposal_empty_kpsbt",
            Self::KpsbtTooLarge => "proposal_kpsbt_too_large",
            Self::ProposalTooLarge => "proposal_too_large",
            Self::HashMismatch => "proposal_hash_mismatch",
            Self::MetadataMismatch => "proposal_metadata_mismatch",
            Self::EventMismatch => "proposal_event_mismatch",
            Self::NotConserved => "proposal_not_conserved",
        }
    }
}

impl Proposal {
    /// The vote that this proposal is.
    pub fn vote(&self) -> Vote {
        let ballot = Ballot {
            instance: self.event_id,
            round: self.round,
            kind: VoteKind::Prevote,
            value: Some(self.tx_template_hash),
        };
        Vote {
            ballot,
            signer: self.proposer_peer_id,
            signature: self.signature,
        }
    }

    /// Cheap checks first, then the hash; pure. (S0-42, S0-71)
    ///
    /// # Errors
    /// The first that fails.
    pub fn validate_structure(&self) -> Result<(), ProposalValidationError> {
        use ProposalValidationError as Bad;
        if self.utxos_used.is_empty() {
            return Err(Bad::NoUtxos);
        }
        if self.utxos_used.len() > MAX_UTXOS_PER_PROPOSAL {
            return Err(Bad::TooManyUtxos);
        }
        if self.outputs.is_empty() {
            return Err(Bad::NoOutputs);
        }
        if self.outputs.len() > MAX_OUTPUTS_PER_PROPOSAL {
            return Err(Bad::TooManyOutputs);
        }
        let pskt = check_template(
            &self.kpsbt_blob,
            &self.signing_material,
            self.event_id,
            &self.tx_template_hash,
        )?;
        if pskt.inputs != self.utxos_used || pskt.outputs != self.outputs {
            return Err(Bad::MetadataMismatch);
        }
        Ok(())
    }

    /// The template, of a proposal that was checked.
    pub fn pskt(&self) -> Pskt {
        Pskt {
            inputs: self.utxos_used.clone(),
            outputs: self.outputs.clone(),
            event_id: self.event_id,
        }
    }

    /// What the proposal spends. (S0-45)
    pub fn outpoints(&self) -> impl Iterator<Item = OutPoint> + '_ {
        self.utxos_used.iter().map(|input| input.outpoint)
    }

    /// The sum of what it spends; `None` if it overflows. (S0-45, S0-F27)
    pub fn total_input_amount(&self) -> Option<u64> {
        self.utxos_used
            .iter()
            .try_fold(0u64, |sum, input| sum.checked_add(input.amount))
    }
}

/// Checks a template against the event that it is for and the hash that names it.
///
/// # Errors
/// What does not fit.
pub fn check_template(
    blob: &[u8],
    event: &SigningEvent,
    id: InstanceId,
    hash: &Hash32,
) -> Result<Pskt, ProposalValidationError> {
    use ProposalValidationError as Bad;
    if blob.is_empty() {
        return Err(Bad::EmptyKpsbt);
    }
    if blob.len() > MAX_KPSBT_SIZE {
        return Err(Bad::KpsbtTooLarge);
    }
    event.check().map_err(|_| Bad::EventMismatch)?;
    if event.id() != id {
        return Err(Bad::EventMismatch);
    }
    let pskt: Pskt = codec::decode(blob).map_err(|_| Bad::HashMismatch)?;
    if pskt.template_hash() != *hash {
        return Err(Bad::HashMismatch);
    }
    let pays = pskt
        .outputs
        .first()
        .is_some_and(|output| output.amount == event.amount && output.script == event.destination);
    let fee = pskt.transaction().fee().map_err(|_| Bad::NotConserved)?;
    if !pays || fee != TRANSACTION_FEE || pskt.event_id != id {
        return Err(Bad::NotConserved);
    }
    Ok(pskt)
}

/// What travels with a commit: enough for a signer that never heard of the event. (S0-76)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventCrdtState {
    /// The event's data.
    pub signing_material: SigningEvent,
    /// The decided template.
    pub kpsbt_blob: Vec<u8>,
    /// Partial signatures under it, in signer order: a set that only grows.
    pub signatures: Vec<(NodeId, Signature)>,
}

/// Attached to commit broadcasts. (S0-35)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PhaseContext {
    /// The round of the decision.
    pub round: Round,
    /// The sender's phase.
    pub phase: EventPhase,
    /// The sender's view of the chain.
    pub kaspa_anchor: Option<KaspaAnchorRef>,
}

/// A commit broadcast. (S0-67) The certificate makes it a proof; a bare claim is refused (S0-F7).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventStateBroadcast {
    /// The event.
    pub event_id: InstanceId,
    /// The decided template's hash.
    pub tx_template_hash: Hash32,
    /// Data, template, signatures.
    pub state: EventCrdtState,
    /// Who sends it.
    pub sender_peer_id: NodeId,
    /// Round and phase.
    pub phase_context: PhaseContext,
    /// `LockCert`: q locks on this template.
    pub certificate: Certificate,
}

/// The messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// A proposal. (S0-46)
    ProposalBroadcast(Proposal),
    /// A prevote for nothing: no valid template in this round. Carries the event's data, so that others can propose.
    NoProposal {
        /// The nil prevote.
        vote: Vote,
        /// The event's data.
        signing_material: SigningEvent,
    },
    /// A precommit: the signer saw q proposals for this template and is locked on it.
    Lock(Vote),
    /// A decision with its proof. (S0-67)
    EventStateBroadcast(EventStateBroadcast),
    /// Withdrawals: one of the sender's own, or enough of them to end the event.
    Abandon {
        /// The withdrawals, of distinct members, in id order.
        certificate: Certificate,
        /// The event's data, for whoever never heard of it.
        signing_material: SigningEvent,
    },
    /// Two votes of one member that exclude each other.
    Equivocation(Evidence),
    /// "What do you know about these events, and which have you learned since?" (S0-66)
    StateSyncRequest {
        /// Events that the sender has open.
        events: Vec<InstanceId>,
        /// Where the last answer ended: (generation, place).
        since: (u64, u64),
    },
    /// An answer. (S0-66)
    StateSyncResponse {
        /// Events that the answering node learned since.
        learned: Vec<InstanceId>,
        /// Where this answer ends: (generation, place).
        cursor: (u64, u64),
        /// Proposals of one open event that was asked about.
        proposals: Vec<Proposal>,
        /// Locks of that event.
        locks: Vec<Vote>,
    },
    /// The highest quorum of proposals that the sender knows of, with all that it takes to propose their template again.
    Valid {
        /// The proposals of one round, as votes.
        certificate: Certificate,
        /// The event's data.
        signing_material: SigningEvent,
        /// The template: an encoded [`Pskt`].
        kpsbt_blob: Vec<u8>,
    },
}

/// Message kinds as people see them; the index is [`describe`]'s `kind`.
pub const MESSAGES: [MessageKind; 9] = [
    MessageKind {
        name: "proposal",
        shape: Shape::Propose,
    },
    MessageKind {
        name: "no-proposal",
        shape: Shape::Vote,
    },
    MessageKind {
        name: "lock",
        shape: Shape::Lock,
    },
    MessageKind {
        name: "commit",
        shape: Shape::Certificate,
    },
    MessageKind {
        name: "abandon",
        shape: Shape::Abort,
    },
    MessageKind {
        name: "equivocation",
        shape: Shape::Abort,
    },
    MessageKind {
        name: "sync-request",
        shape: Shape::Sync,
    },
    MessageKind {
        name: "sync-response",
        shape: Shape::Sync,
    },
    MessageKind {
        name: "valid",
        shape: Shape::Certificate,
    },
];

/// How a message is drawn.
pub fn describe(message: &Message) -> MessageInfo {
    let of_vote = |kind: u8, vote: &Vote| MessageInfo {
        kind,
        instance: Some(vote.ballot.instance),
        round: vote.ballot.round,
        value: vote.ballot.value,
    };
    match message {
        Message::ProposalBroadcast(proposal) => of_vote(0, &proposal.vote()),
        Message::NoProposal { vote, .. } => of_vote(1, vote),
        Message::Lock(vote) => of_vote(2, vote),
        Message::EventStateBroadcast(commit) => MessageInfo {
            kind: 3,
            instance: Some(commit.event_id),
            round: commit.phase_context.round,
            value: Some(commit.tx_template_hash),
        },
        Message::Abandon { certificate, .. } => MessageInfo {
            kind: 4,
            instance: Some(certificate.ballot.instance),
            round: Round(0),
            value: None,
        },
        Message::Equivocation(evidence) => of_vote(5, &evidence.first),
        Message::StateSyncRequest { .. } => MessageInfo {
            kind: 6,
            ..MessageInfo::default()
        },
        Message::StateSyncResponse { .. } => MessageInfo {
            kind: 7,
            ..MessageInfo::default()
        },
        Message::Valid { certificate, .. } => MessageInfo {
            kind: 8,
            instance: Some(certificate.ballot.instance),
            round: certificate.ballot.round,
            value: certificate.ballot.value,
        },
    }
}

/// The hash that a partial signature covers: context, genesis, event, template.
pub fn partial_preimage(genesis: &Hash32, event: InstanceId, template: &Hash32) -> Hash32 {
    Transcript::new("phaselab 2026-11 two-phase partial signature v1")
        .hash(genesis)
        .hash(&event.0)
        .hash(template)
        .finish()
}
