//! What people see of a signer.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::phase::EventPhase;
use super::{Cx, LOCKS_METER, Outcome, PROPOSALS_METER, TwoPhase};
use crate::engine::Env;
use crate::event::{Event, EventKind, Level};
use crate::ordered::Map;
use crate::types::{Hash32, InstanceId, NodeId, Round};
use crate::view::{
    Choice, Field, Glance, InstanceView, Meter, NodeView, Segment, SegmentVote, ViewScope,
    WAITS_FOR,
};
use crate::votes::VoteKind;

pub(super) fn tell_phase(cx: Cx<'_, '_>, event: InstanceId, to: EventPhase, round: Round) {
    cx.emit(Level::Protocol, || {
        Event::new(EventKind::PhaseEntered(to as u8), Some(event), round)
    });
}

pub(super) fn glance(state: &TwoPhase) -> Glance {
    let open = [
        EventPhase::Proposing,
        EventPhase::Failed,
        EventPhase::Committed,
    ];
    let busy = open
        .iter()
        .find_map(|phase| state.events_in_phase(*phase).into_iter().next());
    let Some(event) = busy.or_else(|| state.sync.learned.last().copied()) else {
        return Glance::default();
    };
    let Some(row) = state.phases.get(&event) else {
        return Glance::default();
    };
    let round = row.rounds.round;
    let have = state.live.get(&event).map_or(0, |live| {
        live.votes
            .tally(round, VoteKind::Prevote)
            .first()
            .map_or(0, |(_, count)| *count as u64)
    });
    Glance {
        instance: Some(event),
        phase: row.phase as u8,
        round,
        value: row.canonical_hash.or(row.own_proposal_hash),
        have,
        need: 0,
    }
}

pub(super) fn view(state: &TwoPhase, env: &Env<TwoPhase>, scope: ViewScope) -> NodeView {
    let wanted = |event: &&InstanceId| match scope {
        ViewScope::Instance(only) => **event == only,
        ViewScope::Summary | ViewScope::Full => true,
    };
    let events = state.sync.learned.iter().filter(wanted);
    NodeView {
        instances: events
            .filter_map(|event| instance(state, env, *event, scope))
            .collect(),
        fields: Vec::from([
            Field::new("chain tip score", state.chain.tip_score().to_string()),
            Field::new("outputs in view", state.chain.len().to_string()),
            Field::new("commit_quorum", TwoPhase::quorum(env).need().to_string()),
            Field::new("threshold_m", env.config.threshold_m.to_string()),
        ]),
        shard: None,
    }
}

fn instance(
    state: &TwoPhase,
    env: &Env<TwoPhase>,
    event: InstanceId,
    scope: ViewScope,
) -> Option<InstanceView> {
    let body = state.events.get(&event)?;
    let row = state.phases.get(&event)?;
    let in_full = scope != ViewScope::Summary;
    Some(InstanceView {
        id: event,
        name: body.name.clone(),
        kind: 0,
        phase: row.phase as u8,
        round: row.rounds.round,
        value: row.canonical_hash,
        locked: row.rounds.locked,
        signed: state.signatures.get(&event).copied(),
        meters: Vec::from([
            meter(state, env, event, PROPOSALS_METER, VoteKind::Prevote),
            meter(state, env, event, LOCKS_METER, VoteKind::Precommit),
        ]),
        choices: if in_full {
            choices(state, event)
        } else {
            Vec::new()
        },
        fields: if in_full {
            fields(state, env, event)
        } else {
            Vec::new()
        },
    })
}

/// The votes of the round that matters most: the decision's, else the newest with votes.
fn meter(
    state: &TwoPhase,
    env: &Env<TwoPhase>,
    event: InstanceId,
    kind: u8,
    votes: VoteKind,
) -> Meter {
    let quorum = TwoPhase::quorum(env);
    let certificate = match state.outcomes.get(&event) {
        Some(Outcome::Lock(certificate)) => Some(certificate),
        _ => None,
    };
    let mut cast: Map<NodeId, Option<Hash32>> = Map::new();
    let decided = certificate.map(|certificate| certificate.ballot.round);
    let mut round = decided.unwrap_or(row_round(state, event));
    if let Some(live) = state.live.get(&event) {
        let newest = live
            .votes
            .rounds()
            .rev()
            .find(|round| live.votes.of(*round, votes).next().is_some());
        round = decided.or(newest).unwrap_or(round);
        cast.extend(
            live.votes
                .of(round, votes)
                .map(|vote| (vote.signer, vote.ballot.value)),
        );
    }
    // Rows outlive what a node holds in memory.
    if votes == VoteKind::Prevote && cast.is_empty() {
        round = decided.unwrap_or(row_round(state, event));
        let range = (event, round, NodeId(0))..=(event, round, NodeId(u16::MAX));
        cast.extend(
            state
                .proposals
                .range(range)
                .map(|((_, _, signer), stored)| (*signer, stored.value)),
        );
    }
    if let (VoteKind::Precommit, Some(certificate)) = (votes, certificate) {
        cast.extend(
            certificate
                .signers()
                .map(|signer| (signer, certificate.ballot.value)),
        );
    }
    let mut counts: Map<Hash32, u64> = Map::new();
    for value in cast.values().flatten() {
        *counts.get_or_default(*value) += 1;
    }
    let leading = counts
        .iter()
        .max_by_key(|(value, count)| (**count, core::cmp::Reverse(**value)));
    let segment = |node: &NodeId| Segment {
        node: *node,
        weight: 1,
        vote: match cast.get(node) {
            None => SegmentVote::Awaiting,
            Some(None) => SegmentVote::Nil,
            Some(Some(value)) => SegmentVote::For(*value),
        },
    };
    Meter {
        kind,
        round,
        value: leading.map(|(value, _)| *value),
        have: leading.map_or(0, |(_, count)| *count),
        need: quorum.need() as u64,
        total: quorum.total() as u64,
        segments: env.members().iter().map(segment).collect(),
    }
}

fn row_round(state: &TwoPhase, event: InstanceId) -> Round {
    state
        .phases
        .get(&event)
        .map_or(Round(0), |row| row.rounds.round)
}

fn choices(state: &TwoPhase, event: InstanceId) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::new();
    let range = (event, Round(0), NodeId(0))..=(event, Round(u32::MAX), NodeId(u16::MAX));
    for ((_, round, proposer), stored) in state.proposals.range(range) {
        let Some(value) = stored.value else { continue };
        match choices
            .iter_mut()
            .find(|choice| choice.value == value && choice.round == *round)
        {
            Some(choice) => choice.proposers.push(*proposer),
            None => choices.push(Choice {
                value,
                round: *round,
                proposers: Vec::from([*proposer]),
                amount: state.events.get(&event).map_or(0, |body| body.amount),
                detail: state
                    .templates
                    .get(&(event, value))
                    .map_or_else(String::new, |pskt| {
                        let inputs = pskt
                            .inputs
                            .iter()
                            .map(|input| input.outpoint.txid.short().to_string());
                        format!("spends {}", inputs.collect::<Vec<_>>().join(", "))
                    }),
            }),
        }
    }
    choices
}

fn fields(state: &TwoPhase, env: &Env<TwoPhase>, event: InstanceId) -> Vec<Field> {
    let Some(row) = state.phases.get(&event) else {
        return Vec::new();
    };
    let show = |value: Option<Hash32>| {
        value.map_or_else(|| "none".to_string(), |hash| hash.short().to_string())
    };
    let at = |value: Option<(Round, Hash32)>| {
        value.map_or_else(
            || "none".to_string(),
            |(round, hash)| format!("{} in round {}", hash.short(), round.0),
        )
    };
    let live = state.live.get(&event);
    let withdrawals = live.map_or(0, |live| live.votes.of(Round(0), VoteKind::Abandon).count());
    let mut fields = Vec::from([
        Field::new("event_id", event.to_string()),
        Field::new(
            "amount",
            state
                .events
                .get(&event)
                .map_or(0, |body| body.amount)
                .to_string(),
        ),
        Field::new(
            "step",
            format!("{:?}", row.rounds.step).to_ascii_lowercase(),
        ),
        Field::new("canonical_hash", show(row.canonical_hash)),
        Field::new("own_proposal_hash", show(row.own_proposal_hash)),
        Field::new("locked", at(row.rounds.locked)),
        Field::new("valid", at(row.rounds.valid)),
        Field::new("retry_count", row.retry_count.to_string()),
        Field::new("signed", show(state.signatures.get(&event).copied())),
        Field::new(
            "partial signatures",
            match live {
                Some(live) => live.partials.len().to_string(),
                None if row.phase == EventPhase::Completed => "enough".to_string(),
                None => "0".to_string(),
            },
        ),
        Field::new("withdrawals", withdrawals.to_string()),
    ]);
    if lacks_outputs(state, env, event) {
        let what = format!(
            "free outputs at a depth of {} that hold enough",
            env.config.input_depth()
        );
        fields.push(Field::new(WAITS_FOR, what));
    }
    fields
}

/// Whether this node has nothing to propose for an open event, and cannot make anything of the outputs that it sees.
fn lacks_outputs(state: &TwoPhase, env: &Env<TwoPhase>, event: InstanceId) -> bool {
    let (Some(row), Some(body)) = (state.phases.get(&event), state.events.get(&event)) else {
        return false;
    };
    let proven = row.own_proposal_hash.or(row.canonical_hash);
    let is_open = matches!(row.phase, EventPhase::Proposing | EventPhase::Failed);
    let depth = env.config.input_depth();
    is_open
        && proven.is_none()
        && row.rounds.valid.is_none()
        && state
            .chain
            .build_local_proposal(body, event, depth, &state.reserved)
            .is_none()
}
