//! What people see of a validator: conflict keys with their polls and strengths, the pools, the chain.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::conflict::{Conflict, ConflictKey, height_name, output_name};
use super::poll::Voting;
use super::{CONFIDENCE_METER, Snowball, Standing, VOTES_METER, config, flaws, phase};
use crate::engine::Env;
use crate::ledger::OutPoint;
use crate::ordered::Set;
use crate::types::{Hash32, InstanceId, NodeId, Round};
use crate::view::{
    Choice, Field, Glance, InstanceView, Meter, NodeView, Segment, SegmentVote, ViewScope,
};

pub(super) fn glance(state: &Snowball) -> Glance {
    let spends = |row: &Conflict| matches!(row.key, ConflictKey::Spend(_) | ConflictKey::Alone(..));
    let rows = || state.conflicts.iter();
    let open = rows()
        .find(|(_, row)| spends(row))
        .or_else(|| rows().next());
    if let Some((id, row)) = open {
        return open_glance(state, *id, row);
    }
    let Some((outpoint, txid)) = state.spent.iter().next_back() else {
        return Glance::default();
    };
    spent_glance(state, ConflictKey::Spend(*outpoint).id(), *txid)
}

pub(super) fn glance_of(state: &Snowball, id: InstanceId) -> Option<Glance> {
    if let Some(row) = state.conflicts.get(&id) {
        return Some(open_glance(state, id, row));
    }
    let is_meant = |outpoint: &OutPoint| ConflictKey::Spend(*outpoint).id() == id;
    let spent = state.spent.iter().find(|(outpoint, _)| is_meant(outpoint));
    if let Some((_, txid)) = spent {
        return Some(spent_glance(state, id, *txid));
    }
    let is_meant = |height: u64| ConflictKey::Height(height).id() == id;
    let block = state.blocks.iter().find(|(height, _)| is_meant(**height));
    block.map(|(_, block)| Glance {
        instance: Some(id),
        phase: phase::IN_BLOCK,
        value: Some(block.id()),
        ..Glance::default()
    })
}

fn open_glance(state: &Snowball, id: InstanceId, row: &Conflict) -> Glance {
    let voting = state.voting.get(&id);
    Glance {
        instance: Some(id),
        phase: phase_of(row, voting),
        round: Round(voting.map_or(0, |voting| voting.round)),
        value: Some(row.preference),
        have: voting.map_or(0, |voting| u64::from(voting.snow.confidence())),
        need: 0,
    }
}

fn spent_glance(state: &Snowball, id: InstanceId, txid: Hash32) -> Glance {
    Glance {
        instance: Some(id),
        phase: state.phase_at_rest(&txid),
        value: Some(txid),
        ..Glance::default()
    }
}

fn phase_of(row: &Conflict, voting: Option<&Voting>) -> u8 {
    match voting {
        _ if row.decided => phase::FINALIZED,
        Some(voting) if voting.poll.is_some() => phase::QUERYING,
        Some(voting) if voting.round > 0 => phase::TALLYING,
        _ => phase::SUBMITTED,
    }
}

pub(super) fn view(state: &Snowball, env: &Env<Snowball>, scope: ViewScope) -> NodeView {
    let in_full = scope != ViewScope::Summary;
    let wanted = |id: InstanceId| match scope {
        ViewScope::Instance(only) => id == only,
        ViewScope::Summary | ViewScope::Full => true,
    };
    let mut instances = Vec::new();
    let mut shown = Set::new();
    for (id, row) in state.conflicts.iter() {
        shown.insert(*id);
        if wanted(*id) {
            instances.push(open_view(state, env, *id, row, in_full));
        }
    }
    for (outpoint, txid) in state.spent.iter() {
        let key = ConflictKey::Spend(*outpoint);
        shown.insert(key.id());
        if wanted(key.id()) {
            let name = spend_name(env, outpoint);
            let phase = state.phase_at_rest(txid);
            instances.push(rest_view(
                state,
                key.id(),
                name,
                phase,
                Some(*txid),
                in_full,
            ));
        }
    }
    if !flaws::excludes(env.flaws) {
        // What is voted about alone ends under its own name.
        let at_rest = state.transactions.iter();
        for (txid, known) in at_rest.filter(|(_, known)| known.standing != Standing::Pending) {
            for key in flaws::keys(env.flaws, &known.signed) {
                let name = key_name(state, env, &key);
                let phase = state.phase_at_rest(txid);
                if wanted(key.id()) {
                    let value = Some(*txid);
                    instances.push(rest_view(state, key.id(), name, phase, value, in_full));
                }
            }
        }
    }
    for (height, block) in state.blocks.iter() {
        let id = ConflictKey::Height(*height).id();
        if wanted(id) {
            let value = Some(block.id());
            let mut view = rest_view(
                state,
                id,
                height_name(*height),
                phase::IN_BLOCK,
                value,
                false,
            );
            if in_full {
                view.choices.push(choice(state, block.id(), 0, Round(0)));
                view.fields = Vec::from([
                    Field::new("creator", block.creator.to_string()),
                    Field::new("transactions", block.transactions.len().to_string()),
                    Field::new("reward", coins(block.coinbase.amount)),
                ]);
            }
            instances.push(view);
        }
    }
    NodeView {
        instances,
        fields: if in_full {
            node_fields(state, env)
        } else {
            Vec::new()
        },
        shard: None,
    }
}

/// Units as coins, by integers.
fn coins(units: u64) -> String {
    let coin = crate::ledger::COIN;
    format!("{}.{:08} TIME", units / coin, units % coin)
}

fn spend_name(env: &Env<Snowball>, outpoint: &OutPoint) -> String {
    let coin = env.config.coin(outpoint);
    coin.map_or_else(|| output_name(outpoint), |(name, _)| name)
}

fn key_name(state: &Snowball, env: &Env<Snowball>, key: &ConflictKey) -> String {
    match key {
        ConflictKey::Spend(outpoint) => spend_name(env, outpoint),
        ConflictKey::Height(height) => height_name(*height),
        ConflictKey::Alone(outpoint, txid) => {
            format!("{} by {}", spend_name(env, outpoint), label(state, txid))
        }
    }
}

/// What a person calls a choice.
fn label(state: &Snowball, choice: &Hash32) -> String {
    let known = state.transactions.get(choice);
    match known.filter(|known| !known.signed.memo.is_empty()) {
        Some(known) => known.signed.memo.clone(),
        None => choice.short().to_string(),
    }
}

fn choice(state: &Snowball, value: Hash32, strength: u32, round: Round) -> Choice {
    let block = state.candidates.get(&value);
    let proposers = block.map_or_else(Vec::new, |block| Vec::from([block.creator]));
    Choice {
        value,
        round,
        proposers,
        amount: u64::from(strength),
        detail: label(state, &value),
    }
}

fn open_view(
    state: &Snowball,
    env: &Env<Snowball>,
    id: InstanceId,
    row: &Conflict,
    in_full: bool,
) -> InstanceView {
    let voting = state.voting.get(&id);
    let round = Round(voting.map_or(0, |voting| voting.round));
    let strength = |value: &Hash32| voting.map_or(0, |voting| voting.snow.strength(*value));
    let mut choices = Vec::new();
    let mut fields = Vec::new();
    let mut meters = Vec::new();
    if in_full {
        let alive = state.choices(&row.key).into_iter();
        choices.extend(alive.map(|value| choice(state, value, strength(&value), round)));
        fields.push(Field::new("preference", label(state, &row.preference)));
        fields.push(Field::new("sample", sample(env)));
        meters = voting.map_or_else(Vec::new, |voting| poll_meters(env, voting, row, round));
    }
    InstanceView {
        id,
        name: key_name(state, env, &row.key),
        kind: 0,
        phase: phase_of(row, voting),
        round,
        value: None,
        locked: None,
        signed: None,
        meters,
        choices,
        fields,
    }
}

/// How many are asked, of how many. Samples that do not differ break no tie.
fn sample(env: &Env<Snowball>) -> String {
    let others = config::others(env);
    let asked = env.config.parameters(others).k;
    if asked < others {
        format!("{asked} of {others}")
    } else {
        format!("all {others}; an even split can last for ever")
    }
}

/// The votes of the poll that runs, and the confidence.
fn poll_meters(env: &Env<Snowball>, voting: &Voting, row: &Conflict, round: Round) -> Vec<Meter> {
    let parameters = env.config.parameters(config::others(env));
    let mut segments: Vec<Segment> = Vec::new();
    let mut have = 0;
    if let Some(running) = &voting.poll {
        let segment = |node: NodeId, vote| Segment {
            node,
            weight: 1,
            vote,
        };
        let voted = running.votes.votes();
        segments.extend(voted.map(|(node, vote)| {
            let vote = vote.map_or(SegmentVote::Nil, SegmentVote::For);
            segment(*node, vote)
        }));
        let silent = running.votes.waiting();
        segments.extend(silent.map(|node| segment(*node, SegmentVote::Awaiting)));
        segments.sort_by_key(|segment| segment.node);
        have = u64::from(running.votes.count(row.preference));
    }
    Vec::from([
        Meter {
            kind: VOTES_METER,
            round,
            value: Some(row.preference),
            have,
            need: u64::from(parameters.alpha_confidence),
            total: u64::from(parameters.k),
            segments,
        },
        Meter {
            kind: CONFIDENCE_METER,
            round,
            value: Some(voting.snow.candidate()),
            have: u64::from(voting.snow.confidence()),
            need: u64::from(parameters.beta),
            total: u64::from(parameters.beta),
            segments: Vec::new(),
        },
    ])
}

fn rest_view(
    state: &Snowball,
    id: InstanceId,
    name: String,
    phase: u8,
    value: Option<Hash32>,
    in_full: bool,
) -> InstanceView {
    let final_one = value.filter(|_| in_full);
    InstanceView {
        id,
        name,
        kind: 0,
        phase,
        round: Round(0),
        value,
        locked: None,
        signed: None,
        meters: Vec::new(),
        choices: final_one
            .map(|value| choice(state, value, 0, Round(0)))
            .into_iter()
            .collect(),
        fields: Vec::new(),
    }
}

fn node_fields(state: &Snowball, env: &Env<Snowball>) -> Vec<Field> {
    let of = |standing: fn(&Standing) -> bool| {
        let known = state.transactions.iter();
        known.filter(|(_, known)| standing(&known.standing)).count()
    };
    let count = |count: usize| count.to_string();
    let mut fields = Vec::from([
        Field::new("height", state.height().to_string()),
        Field::new("pending pool", count(state.pool.len())),
        Field::new(
            "finalized pool",
            count(of(|standing| *standing == Standing::Final)),
        ),
        Field::new("rejected pool", count(state.rejected.len())),
        Field::new("locked inputs", count(state.locks.len())),
        Field::new(
            "conserved",
            format!(
                "{} unspent + {} unpaid fees = {} issued + {} minted",
                state.unspent(env),
                state.unpaid_fees(),
                env.config.issued(),
                state.minted()
            ),
        ),
    ]);
    // Last, since they are many: what coins of genesis became, each with the key that may spend it.
    fields.extend(state.outputs.iter().map(|(outpoint, output)| {
        let key = output.script.as_key();
        let key = key.map_or_else(|| String::from("nobody"), |key| Hash32(key.0).to_string());
        let OutPoint { txid, index } = outpoint;
        Field::new(
            "unspent",
            format!("{txid}:{index}: {} for {key}", output.amount),
        )
    }));
    fields
}

impl Snowball {
    /// Where a final transaction stands.
    fn phase_at_rest(&self, txid: &Hash32) -> u8 {
        match self.transactions.get(txid).map(|known| known.standing) {
            Some(Standing::InBlock(_)) => phase::IN_BLOCK,
            _ => phase::FINALIZED,
        }
    }
}
