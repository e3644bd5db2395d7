//! What two-phase promises, watched from outside: by what members sign and send, never by what a replica believes.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::TwoPhase;
use super::message::{EventStateBroadcast, Message, describe, partial_preimage};
use crate::certificate::Certificate;
use crate::crypto::Keyring;
use crate::engine::{Env, Opened, RuleSet};
use crate::event::{Record, RecordKind};
use crate::oracle::{Agreement, Oracle, Promises, Verdict};
use crate::ordered::{Map, Set};
use crate::types::{Duration, Hash32, InstanceId, NodeId, Round, Time};
use crate::votes::{Vote, VoteKind};

/// Watches a run of two-phase.
#[derive(Clone, Debug)]
pub(super) struct TwoPhaseOracle {
    keyring: Arc<Keyring>,
    genesis: Hash32,
    rules: RuleSet,
    quorum: usize,
    agreement: Agreement,
    /// What each member voted, by event, round and kind.
    votes: Map<(NodeId, InstanceId, Round, VoteKind), Option<Hash32>>,
    /// Who ever locked, and who ever withdrew.
    locked: Set<(NodeId, InstanceId)>,
    withdrew: Set<(NodeId, InstanceId)>,
    signed: Map<(NodeId, InstanceId), Hash32>,
    proposed: Set<(InstanceId, Hash32)>,
    /// Who proposed what in which round, where a decision is nobody's proof but what the document counts.
    proposers: Map<(InstanceId, Round, Hash32), Set<NodeId>>,
    certified: Set<(InstanceId, Hash32)>,
    /// Whose lock on what was heard, by event, round and template.
    locks: Map<(InstanceId, Round, Hash32), Set<NodeId>>,
    events: Set<InstanceId>,
    /// Which event replaces which, and which took effect.
    replaced: Set<(InstanceId, InstanceId)>,
    completed: Set<InstanceId>,
    ended: Set<(InstanceId, NodeId)>,
    /// When each member was heard last, and which events it spoke of.
    heard: Map<NodeId, Time>,
    spoke_of: Set<(InstanceId, NodeId)>,
    members: usize,
    promises: Promises,
}

/// The promise that something was said before: that nobody heard it breaks it, unless not everything was heard.
const VALIDITY: &str = "validity";

const PROMISES: [(&str, &str); 4] = [
    (
        VALIDITY,
        "every decided template was proposed and certified, and no event took effect beside the one that it replaces",
    ),
    (
        "one signature",
        "no member signed two templates of an event",
    ),
    ("one vote", "no member voted twice in a round"),
    ("withdrawal", "no member both locked and withdrew"),
];

/// For how long a member is silent that is down: one that runs asks a peer every second, by its own clock.
const SILENT: Duration = Duration::from_ms(30_000);

/// The name of the liveness property: every member that told the truth and runs knows how every event ended. Under hardened
/// rules f members may be down.
pub(super) const EVERY_EVENT_ENDS: &str = "every event ends";

impl TwoPhaseOracle {
    pub(super) fn new(env: &Env<TwoPhase>) -> TwoPhaseOracle {
        TwoPhaseOracle {
            keyring: env.keyring.clone(),
            genesis: env.genesis,
            rules: env.rules,
            // Counted anew from the parameters, not asked of the protocol. A flaw that is restored promises nothing: a
            // run with one is held to what hardened rules promise, a run as written to what the document does.
            quorum: {
                let (m, explicit) = (env.config.threshold_m, env.config.commit_quorum);
                let majority = env.members().len() / 2 + 1;
                usize::from(match env.rules {
                    RuleSet::AsWritten if explicit == 0 => m,
                    RuleSet::AsWritten => explicit,
                    RuleSet::Hardened => m.max(explicit).max(majority as u16),
                })
            },
            agreement: Agreement::default(),
            votes: Map::new(),
            locked: Set::new(),
            withdrew: Set::new(),
            signed: Map::new(),
            proposed: Set::new(),
            proposers: Map::new(),
            certified: Set::new(),
            locks: Map::new(),
            events: Set::new(),
            replaced: Set::new(),
            completed: Set::new(),
            ended: Set::new(),
            heard: Map::new(),
            spoke_of: Set::new(),
            members: env.members().len(),
            promises: Promises::new(&PROMISES),
        }
    }

    /// Whether part of the run is not heard.
    fn has_gaps(&self) -> bool {
        self.promises.is_limited(VALIDITY)
    }

    fn fail(&mut self, promise: &'static str, detail: impl FnOnce() -> String) {
        self.promises.fail(promise, detail);
    }

    fn on_vote(&mut self, now: Time, vote: &Vote) {
        let (signer, ballot) = (vote.signer, vote.ballot);
        let event = ballot.instance;
        self.events.insert(event);
        if self.agreement.is_liar(signer) {
            return;
        }
        match ballot.kind {
            VoteKind::Precommit => {
                self.locked.insert((signer, event));
            }
            VoteKind::Abandon => {
                self.withdrew.insert((signer, event));
            }
            VoteKind::Prevote => {}
        }
        if self.locked.contains(&(signer, event)) && self.withdrew.contains(&(signer, event)) {
            self.fail("withdrawal", || {
                format!("{} ms: {signer} locked and withdrew", now.as_ms())
            });
        }
        let first = *self
            .votes
            .get_or_insert_with((signer, event, ballot.round, ballot.kind), || ballot.value);
        if first != ballot.value {
            let (kind, round) = (ballot.kind, ballot.round.0);
            self.fail("one vote", || {
                format!(
                    "{} ms: {signer} voted {first:?} and {:?} ({kind:?}, round {round})",
                    now.as_ms(),
                    ballot.value
                )
            });
        }
    }

    fn on_signature(&mut self, now: Time, signer: NodeId, event: InstanceId, value: Hash32) {
        if self.agreement.is_liar(signer) {
            return;
        }
        let first = *self.signed.get_or_insert_with((signer, event), || value);
        if first != value {
            self.fail("one signature", || {
                format!(
                    "{} ms: {signer} signed {first:?} and {value:?}",
                    now.as_ms()
                )
            });
        }
    }

    /// The members that are down for good, if the fault model allows for so many.
    fn down(&self) -> Set<NodeId> {
        let last = self.heard.values().copied().max().unwrap_or(Time::ZERO);
        let is_silent = |id: &&NodeId| {
            let heard = self.heard.get(*id).copied().unwrap_or(Time::ZERO);
            heard + SILENT < last
        };
        let silent: Set<NodeId> = self
            .keyring
            .ids()
            .iter()
            .filter(is_silent)
            .copied()
            .collect();
        let may_be = self.members.saturating_sub(self.quorum);
        if self.rules == RuleSet::Hardened && silent.len() <= may_be {
            silent
        } else {
            Set::new()
        }
    }

    /// Counts a lock, whoever passes it on.
    fn on_lock(&mut self, now: Time, vote: &Vote) {
        let (signer, ballot) = (vote.signer, vote.ballot);
        let preimage = ballot.preimage(&self.genesis, TwoPhase::TAG_BYTE);
        let is_lock = ballot.kind == VoteKind::Precommit;
        if !is_lock || !self.keyring.verify(signer, &preimage, &vote.signature) {
            return;
        }
        self.on_vote(now, vote);
        if let Some(hash) = ballot.value {
            let key = (ballot.instance, ballot.round, hash);
            self.locks.get_or_default(key).insert(signer);
        }
    }

    /// Whether a quorum stands behind a decision: a certificate of it was heard, or that many locks of one round. The
    /// lock of the member that decides may have been stored and not been sent.
    fn is_decidable(&self, node: NodeId, event: InstanceId, round: Round, hash: Hash32) -> bool {
        let heard = self.locks.get(&(event, round, hash));
        let others = heard.map_or(0, |who| who.iter().filter(|id| **id != node).count());
        self.certified.contains(&(event, hash)) || others + 1 >= self.quorum
    }

    /// Whether what a member says of a decision has behind it what its rules ask for.
    fn is_backed(&self, from: NodeId, commit: &EventStateBroadcast) -> bool {
        let (event, hash) = (commit.event_id, commit.tx_template_hash);
        match self.rules {
            RuleSet::Hardened => {
                commit.certificate.ballot.value == Some(hash)
                    && self.is_certified(&commit.certificate, self.quorum)
            }
            RuleSet::AsWritten => {
                // A proposal that was stored counts for its proposer, even if a crash kept it from being sent.
                let key = (event, commit.phase_context.round, hash);
                let proposers = self.proposers.get(&key);
                let others =
                    proposers.map_or(0, |who| who.iter().filter(|id| **id != from).count());
                others + 1 >= self.quorum || self.certified.contains(&(event, hash))
            }
        }
    }

    /// Whether enough distinct members signed; counted here.
    fn is_certified(&self, certificate: &Certificate, need: usize) -> bool {
        let preimage = certificate
            .ballot
            .preimage(&self.genesis, TwoPhase::TAG_BYTE);
        let good = certificate
            .signatures
            .iter()
            .filter(|(id, part)| self.keyring.verify(*id, &preimage, part));
        good.map(|(id, _)| *id).collect::<Set<_>>().len() >= need
    }
}

impl Oracle for TwoPhaseOracle {
    fn on_send(&mut self, now: Time, from: NodeId, opened: &Opened) {
        let Some(message) = opened.message::<TwoPhase>() else {
            return;
        };
        self.heard.insert(from, now);
        if let Some(event) = describe(message.as_ref()).instance {
            self.spoke_of.insert((event, from));
        }
        match message.as_ref() {
            Message::ProposalBroadcast(proposal) => {
                let (event, hash) = (proposal.event_id, proposal.tx_template_hash);
                self.proposed.insert((event, hash));
                if let Some(old) = proposal.signing_material.supersedes {
                    self.replaced.insert((old, event));
                }
                if self.rules == RuleSet::AsWritten {
                    let key = (event, proposal.round, hash);
                    self.proposers.get_or_default(key).insert(from);
                }
                self.on_vote(now, &proposal.vote());
            }
            Message::NoProposal { vote, .. } => self.on_vote(now, vote),
            Message::Lock(vote) => self.on_lock(now, vote),
            Message::StateSyncResponse { locks, .. } => {
                locks.iter().for_each(|vote| self.on_lock(now, vote));
            }
            Message::EventStateBroadcast(commit) => {
                let (event, hash) = (commit.event_id, commit.tx_template_hash);
                self.events.insert(event);
                if self.is_backed(from, commit) {
                    self.certified.insert((event, hash));
                } else if !self.agreement.is_liar(from)
                    // What proves it may have been said where nobody heard it; a certificate proves itself.
                    && (self.rules == RuleSet::Hardened || !self.has_gaps())
                {
                    self.fail(VALIDITY, || {
                        format!("{} ms: {from} tells {hash:?} without a quorum", now.as_ms())
                    });
                }
                let preimage = partial_preimage(&self.genesis, event, &hash);
                for (signer, part) in &commit.state.signatures {
                    if self.keyring.verify(*signer, &preimage, part) {
                        self.on_signature(now, *signer, event, hash);
                    }
                }
            }
            Message::Abandon { certificate, .. } => {
                certificate
                    .votes()
                    .for_each(|vote| self.on_vote(now, &vote));
            }
            Message::Equivocation(_) | Message::StateSyncRequest { .. } | Message::Valid { .. } => {
            }
        }
    }

    fn on_record(&mut self, now: Time, node: NodeId, record: &Record) {
        self.agreement.on_record(now, node, record);
        let event = record.instance;
        self.events.insert(event);
        self.spoke_of.insert((event, node));
        match (record.kind, record.value) {
            (RecordKind::Signed, Some(value)) => self.on_signature(now, node, event, value),
            (RecordKind::Decided, Some(value)) => {
                self.ended.insert((event, node));
                // Where one is a quorum, a template that its only proposer never sent is decided all the same.
                let is_alone = self.rules == RuleSet::AsWritten && self.quorum <= 1;
                let is_known = is_alone || self.proposed.contains(&(event, value));
                if !is_known && !self.has_gaps() && !self.agreement.is_liar(node) {
                    self.fail(VALIDITY, || {
                        format!(
                            "{} ms: {node} decided {value:?}, which nobody proposed",
                            now.as_ms()
                        )
                    });
                }
                let is_backed = self.rules == RuleSet::AsWritten
                    || self.is_decidable(node, event, record.round, value);
                if !is_backed && !self.has_gaps() && !self.agreement.is_liar(node) {
                    self.fail(VALIDITY, || {
                        format!(
                            "{} ms: {node} decided {value:?} without a quorum of locks",
                            now.as_ms()
                        )
                    });
                }
            }
            (RecordKind::Abandoned, _) => {
                self.ended.insert((event, node));
            }
            (RecordKind::Completed, _) => {
                self.completed.insert(event);
                let paid = |(old, new): &&(InstanceId, InstanceId)| {
                    self.completed.contains(old) && self.completed.contains(new)
                };
                let twice = self.replaced.iter().find(paid).copied();
                if let Some((old, new)) = twice {
                    self.fail(VALIDITY, || {
                        format!(
                            "{} ms: {} replaces {}, and both took effect",
                            now.as_ms(),
                            new.0.short(),
                            old.0.short()
                        )
                    });
                }
            }
            _ => {}
        }
    }

    fn on_byzantine(&mut self, node: NodeId) {
        self.agreement.on_byzantine(node);
    }

    fn on_gap(&mut self) {
        self.promises.limit(&[VALIDITY]);
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::from([self.agreement.verdict()]);
        verdicts.extend(self.promises.verdicts());
        verdicts
    }

    fn liveness(&self) -> Vec<Verdict> {
        let down = self.down();
        let truthful = || {
            let is_meant = |id: &&NodeId| !self.agreement.is_liar(**id) && !down.contains(*id);
            self.keyring.ids().iter().filter(is_meant)
        };
        // What only members know that are down, nobody else can end.
        let is_known =
            |event: &&InstanceId| truthful().any(|id| self.spoke_of.contains(&(**event, *id)));
        let open: Vec<String> = self
            .events
            .iter()
            .filter(|event| down.is_empty() || is_known(event))
            .flat_map(|event| truthful().map(move |node| (*event, *node)))
            .filter(|pair| !self.ended.contains(pair))
            .map(|(event, node)| format!("{} at {node}", event.0.short()))
            .collect();
        let detail = match open.as_slice() {
            [] => format!(
                "{} events, each decided or abandoned at every member",
                self.events.len()
            ),
            open => format!("still open: {}", open.join(", ")),
        };
        Vec::from([Verdict {
            name: EVERY_EVENT_ENDS,
            holds: open.is_empty(),
            detail,
        }])
    }

    fn holds(&self) -> bool {
        self.agreement.holds() && self.promises.hold()
    }

    fn clone_box(&self) -> Box<dyn Oracle> {
        Box::new(self.clone())
    }
}
