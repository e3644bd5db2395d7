//! Strategies: any value of each wire type, valid or not.

use phaselab_core::certificate::Certificate;
use phaselab_core::crypto::{Crypto, Signature};
use phaselab_core::ledger::{OutPoint, Output, Script};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::two_phase::message::{
    EventCrdtState, EventStateBroadcast, KaspaAnchorRef, Message, PhaseContext, Proposal,
    SigningEvent, UtxoInput,
};
use phaselab_core::protocol::two_phase::phase::EventPhase;
use phaselab_core::protocol::two_phase::template::ChainFact;
use phaselab_core::protocol::two_phase::{
    ChainChange, ChainSetting, Reply, SignedTransaction, SubmitEvent, TwoPhaseConfig,
};
use phaselab_core::retry::RetryConfig;
use phaselab_core::scenario::{
    Act, At, Behaviour, CrashPoint, DiskFault, Expectation, Intervention, Link, Scenario, Selector,
};
use phaselab_core::trace::Trace;
use phaselab_core::types::{Hash32, InstanceId, NodeId, Round, Time};
use phaselab_core::votes::{Ballot, Evidence, Vote, VoteKind};
use proptest::array::{uniform2, uniform32};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn hash() -> impl Strategy<Value = Hash32> + Clone {
    uniform32(any::<u8>()).prop_map(Hash32)
}

fn instance() -> impl Strategy<Value = InstanceId> {
    hash().prop_map(InstanceId)
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u16>().prop_map(NodeId)
}

fn round() -> impl Strategy<Value = Round> {
    any::<u32>().prop_map(Round)
}

fn signature() -> impl Strategy<Value = Signature> {
    uniform2(uniform32(any::<u8>())).prop_map(|[low, high]| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        Signature(bytes)
    })
}

fn script() -> impl Strategy<Value = Script> {
    (any::<u16>(), vec(any::<u8>(), 0..20)).prop_map(|(version, bytes)| Script { version, bytes })
}

pub(crate) fn outpoint() -> impl Strategy<Value = OutPoint> {
    (hash(), any::<u32>()).prop_map(|(txid, index)| OutPoint { txid, index })
}

pub(crate) fn output() -> impl Strategy<Value = Output> {
    (any::<u64>(), script()).prop_map(|(amount, script)| Output { amount, script })
}

fn utxo() -> impl Strategy<Value = UtxoInput> {
    (outpoint(), any::<u64>(), script(), any::<u64>()).prop_map(
        |(outpoint, amount, script_public_key, block_daa_score)| UtxoInput {
            outpoint,
            amount,
            script_public_key,
            block_daa_score,
        },
    )
}

fn event() -> impl Strategy<Value = SigningEvent> {
    (".{0,12}", any::<u64>(), script(), option::of(instance())).prop_map(
        |(name, amount, destination, supersedes)| SigningEvent {
            name,
            amount,
            destination,
            supersedes,
        },
    )
}

fn ballot() -> impl Strategy<Value = Ballot> {
    let kind = select(vec![
        VoteKind::Prevote,
        VoteKind::Precommit,
        VoteKind::Abandon,
    ]);
    (instance(), round(), kind, option::of(hash())).prop_map(|(instance, round, kind, value)| {
        Ballot {
            instance,
            round,
            kind,
            value,
        }
    })
}

fn vote() -> impl Strategy<Value = Vote> {
    (ballot(), node(), signature()).prop_map(|(ballot, signer, signature)| Vote {
        ballot,
        signer,
        signature,
    })
}

fn signatures() -> impl Strategy<Value = Vec<(NodeId, Signature)>> {
    vec((node(), signature()), 0..4)
}

fn certificate() -> impl Strategy<Value = Certificate> {
    (ballot(), signatures()).prop_map(|(ballot, signatures)| Certificate { ballot, signatures })
}

fn anchor() -> impl Strategy<Value = KaspaAnchorRef> {
    (any::<u64>(), option::of(hash())).prop_map(|(tip_score, tip_hash)| KaspaAnchorRef {
        tip_score,
        tip_hash,
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    let value = (
        instance(),
        round(),
        hash(),
        vec(any::<u8>(), 0..60),
        vec(utxo(), 0..3),
        vec(output(), 0..3),
    );
    let rest = (
        event(),
        node(),
        any::<u64>(),
        option::of(anchor()),
        option::of((round(), certificate())),
        signature(),
    );
    (value, rest).prop_map(|(value, rest)| {
        let (event_id, round, tx_template_hash, kpsbt_blob, utxos_used, outputs) = value;
        let (signing_material, proposer_peer_id, timestamp_ns, kaspa_anchor, valid, signature) =
            rest;
        let (valid_round, valid_proof) = valid.unzip();
        Proposal {
            event_id,
            round,
            tx_template_hash,
            kpsbt_blob,
            utxos_used,
            outputs,
            signing_material,
            proposer_peer_id,
            timestamp_ns,
            kaspa_anchor,
            valid_round,
            valid_proof,
            signature,
        }
    })
}

fn commit() -> impl Strategy<Value = EventStateBroadcast> {
    let phase = select(vec![
        EventPhase::Unknown,
        EventPhase::Proposing,
        EventPhase::Committed,
        EventPhase::Completed,
        EventPhase::Failed,
        EventPhase::Abandoned,
    ]);
    let state = (event(), vec(any::<u8>(), 0..60), signatures());
    let context = (round(), phase, option::of(anchor()));
    (instance(), hash(), state, node(), context, certificate()).prop_map(
        |(event_id, tx_template_hash, state, sender_peer_id, context, certificate)| {
            let (signing_material, kpsbt_blob, signatures) = state;
            let (round, phase, kaspa_anchor) = context;
            EventStateBroadcast {
                event_id,
                tx_template_hash,
                state: EventCrdtState {
                    signing_material,
                    kpsbt_blob,
                    signatures,
                },
                sender_peer_id,
                phase_context: PhaseContext {
                    round,
                    phase,
                    kaspa_anchor,
                },
                certificate,
            }
        },
    )
}

/// Any message of two-phase.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        proposal().prop_map(Message::ProposalBroadcast),
        (vote(), event()).prop_map(|(vote, signing_material)| Message::NoProposal {
            vote,
            signing_material
        }),
        vote().prop_map(Message::Lock),
        commit().prop_map(Message::EventStateBroadcast),
        (certificate(), event()).prop_map(|(certificate, signing_material)| Message::Abandon {
            certificate,
            signing_material
        }),
        (vote(), vote())
            .prop_map(|(first, second)| Message::Equivocation(Evidence { first, second })),
        (vec(instance(), 0..5), any::<(u64, u64)>())
            .prop_map(|(events, since)| Message::StateSyncRequest { events, since }),
        (
            vec(instance(), 0..3),
            any::<(u64, u64)>(),
            vec(proposal(), 0..2),
            vec(vote(), 0..3)
        )
            .prop_map(|(learned, cursor, proposals, locks)| {
                Message::StateSyncResponse {
                    learned,
                    cursor,
                    proposals,
                    locks,
                }
            }),
        (certificate(), event(), vec(any::<u8>(), 0..40)).prop_map(
            |(certificate, signing_material, kpsbt_blob)| Message::Valid {
                certificate,
                signing_material,
                kpsbt_blob,
            }
        ),
    ]
}

/// Any fact about the chain.
pub(crate) fn fact() -> impl Strategy<Value = ChainFact> {
    (
        any::<bool>(),
        any::<u64>(),
        vec(utxo(), 0..4),
        vec(outpoint(), 0..4),
        vec((outpoint(), hash()), 0..4),
        vec(hash(), 0..4),
    )
        .prop_map(
            |(full, tip_score, added, removed, spent, confirmed)| ChainFact {
                full,
                tip_score,
                added,
                removed,
                spent,
                confirmed,
            },
        )
}

/// Any request.
pub(crate) fn request() -> impl Strategy<Value = SubmitEvent> {
    (".{0,70}", any::<u64>(), option::of(".{0,70}")).prop_map(|(event, amount, destination)| {
        SubmitEvent {
            event,
            amount,
            destination,
            supersedes: None,
        }
    })
}

/// Any reply.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Accepted),
        Just(Reply::InProgress),
        (hash(), any::<u16>()).prop_map(|(tx_template_hash, locks)| Reply::Decided {
            tx_template_hash,
            locks
        }),
        any::<u16>().prop_map(|withdrawals| Reply::Abandoned { withdrawals }),
        ".{0,20}".prop_map(Reply::Refused),
    ]
}

/// Any report to the chain.
pub(crate) fn report() -> impl Strategy<Value = SignedTransaction> {
    let inputs = vec((outpoint(), any::<u64>()), 0..3);
    (
        instance(),
        inputs,
        vec(output(), 0..3),
        hash(),
        signatures(),
    )
        .prop_map(
            |(event_id, inputs, outputs, payload, signatures)| SignedTransaction {
                event_id,
                transaction: phaselab_core::ledger::Transaction {
                    inputs,
                    outputs,
                    payload,
                },
                signatures,
            },
        )
}

/// Any change of the chain.
pub(crate) fn change() -> impl Strategy<Value = ChainChange> {
    let numbers = || vec(prop_oneof![0..10u32, any::<u32>()], 0..4);
    (numbers(), numbers(), numbers(), vec(any::<u64>(), 0..4)).prop_map(
        |(hide, show, spend, pay)| ChainChange {
            hide,
            show,
            spend,
            pay,
        },
    )
}

/// Any parameters.
pub(crate) fn config() -> impl Strategy<Value = TwoPhaseConfig> {
    let retry = (any::<[u64; 3]>(), any::<u32>(), any::<u32>());
    (any::<[u64; 4]>(), any::<[u16; 2]>(), any::<bool>(), retry).prop_map(
        |(times, counts, revalidate, retry)| {
            let ([base_delay_ms, max_delay_ms, jitter_ms], max_retries, multiplier) = retry;
            TwoPhaseConfig {
                threshold_m: counts[0],
                finality_blue_score_threshold: times[0],
                proposal_timeout_ms: times[1],
                commit_quorum: counts[1],
                min_input_score_depth: times[2],
                revalidate_inputs_on_commit: revalidate,
                retry: RetryConfig {
                    max_retries,
                    base_delay_ms,
                    max_delay_ms,
                    backoff_multiplier_permille: multiplier,
                    jitter_ms,
                },
                gc_after_ms: times[3],
            }
        },
    )
}

fn selector() -> impl Strategy<Value = Selector> {
    let kind = select(vec!["proposal", "lock", "commit", "nonsense"]).prop_map(String::from);
    (
        option::of(node()),
        option::of(node()),
        option::of(kind),
        option::of("[a-z-]{0,9}"),
        option::of(round()),
        option::of(any::<u32>()),
    )
        .prop_map(|(from, to, kind, instance, round, nth)| Selector {
            from,
            to,
            kind,
            instance,
            round,
            nth,
        })
}

/// Any intervention, possible or not.
pub(crate) fn act() -> impl Strategy<Value = Act> {
    let point = select(vec![
        CrashPoint::BetweenSteps,
        CrashPoint::BeforeHandling,
        CrashPoint::AfterPersist,
    ]);
    let bytes = || vec(any::<u8>(), 0..12);
    let link = (
        option::of(node()),
        option::of(node()),
        option::of(any::<[u64; 2]>()),
        option::of(any::<u16>()),
    )
        .prop_map(|(from, to, latency_ms, loss_permille)| Link {
            from,
            to,
            latency_ms,
            loss_permille,
        });
    prop_oneof![
        (vec(node(), 0..3), bytes()).prop_map(|(to, request)| Act::Submit { to, request }),
        (node(), point).prop_map(|(node, when)| Act::Crash { node, when }),
        node().prop_map(|node| Act::Restart { node }),
        vec(vec(node(), 0..3), 0..3).prop_map(|groups| Act::Partition { groups }),
        Just(Act::Heal),
        link.prop_map(Act::Link),
        selector().prop_map(Act::Drop),
        (selector(), any::<u64>()).prop_map(|(select, by_ms)| Act::Delay { select, by_ms }),
        selector().prop_map(Act::Duplicate),
        selector().prop_map(Act::Corrupt),
        (node(), select(Behaviour::ALL.to_vec()))
            .prop_map(|(node, behaviour)| Act::Byzantine { node, behaviour }),
        (option::of(node()), bytes()).prop_map(|(node, change)| Act::Fact { node, change }),
        (option::of(node()), change()).prop_map(|(node, change)| Act::Fact {
            node,
            change: phaselab_core::codec::encode(&change),
        }),
        (node(), select(vec![DiskFault::Lose, DiskFault::Fail]))
            .prop_map(|(node, fault)| Act::Disk { node, fault }),
        (node(), any::<u32>()).prop_map(|(node, rate_permille)| Act::Skew {
            node,
            rate_permille
        }),
    ]
}

fn intervention() -> impl Strategy<Value = Intervention> {
    let at = prop_oneof![
        any::<u64>().prop_map(|ns| At::Time(Time(ns))),
        any::<u64>().prop_map(At::Step)
    ];
    (at, act()).prop_map(|(at, act)| Intervention { at, act })
}

/// Any scenario that passes its own check.
pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    let expectation = (option::of(1..=3u16), any::<bool>()).prop_map(|(node, never)| Expectation {
        node: node.map(NodeId),
        event: Some("signed".into()),
        never,
        ..Expectation::default()
    });
    (
        any::<u64>(),
        0..=366 * 86_400_000_000_000_u64,
        vec(intervention(), 0..6),
        vec(expectation, 0..3),
        ".{0,9}",
        any::<bool>(),
    )
        .prop_map(|(seed, until, interventions, expectations, title, real)| {
            let mut scenario = Scenario::new(ProtocolKind::TwoPhase, 3);
            scenario.seed = seed;
            scenario.until = Time(until);
            scenario.title = title;
            scenario.crypto = if real {
                Crypto::Ed25519
            } else {
                Crypto::Simulated
            };
            scenario.environment = phaselab_core::codec::encode(&ChainSetting::default());
            scenario.expectations = expectations;
            for entry in interventions {
                scenario.interventions.push(entry);
                if scenario.check().is_err() {
                    scenario.interventions.pop();
                }
            }
            scenario
        })
}

/// Any trace of such a scenario.
pub(crate) fn trace() -> impl Strategy<Value = Trace> {
    let by_hand = vec(intervention(), 0..3).prop_map(|entries| {
        let plain = Scenario::new(ProtocolKind::TwoPhase, 3);
        let possible = |entry: &Intervention| plain.check_act(&entry.act).is_ok();
        entries.into_iter().filter(possible).collect::<Vec<_>>()
    });
    (
        scenario(),
        by_hand,
        vec(hash(), 0..4),
        any::<u64>(),
        hash(),
        "[0-9.]{0,9}",
    )
        .prop_map(
            |(scenario, by_hand, digests, steps, trace_hash, core_version)| Trace {
                core_version,
                scenario,
                by_hand,
                digests,
                steps,
                trace_hash,
            },
        )
}

/// A change of some bytes: flipped, cut, doubled, inserted or overwritten.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, u8),
    Overwrite(usize, Vec<u8>),
    Append(Vec<u8>),
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let place = || any::<usize>();
    prop_oneof![
        (place(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        place().prop_map(Mutation::Cut),
        (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (place(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        vec(any::<u8>(), 1..6).prop_map(Mutation::Append),
    ]
}

impl Mutation {
    /// The bytes after the change.
    pub(crate) fn of(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let len = bytes.len().max(1);
        match self {
            Mutation::Flip(at, bits) => {
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte ^= bits;
                }
            }
            Mutation::Cut(at) => bytes.truncate(at % len),
            Mutation::Insert(at, byte) => bytes.insert(at % len, *byte),
            Mutation::Overwrite(at, with) => {
                for (byte, new) in bytes.iter_mut().skip(at % len).zip(with) {
                    *byte = *new;
                }
            }
            Mutation::Append(more) => bytes.extend(more),
        }
        bytes
    }
}
