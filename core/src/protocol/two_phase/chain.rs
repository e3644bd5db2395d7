//! The chain outside: it includes a transaction once m signatures reach it, and shows each node a view.
//!
//! An environment actor, not a blockchain: it never forks and is never down. What differs is what nodes *see* of it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::SignedTransaction;
use super::config::TwoPhaseConfig;
use super::message::{UtxoInput, partial_preimage};
use super::template::ChainFact;
use crate::codec;
use crate::crypto::{Keyring, Transcript};
use crate::engine::Genesis;
use crate::environment::Environment;
use crate::ledger::{Entry, OutPoint, Output, Script, UtxoSet};
use crate::ordered::{Map, Set};
use crate::types::{Duration, Hash32, NodeId, Time};

/// How the chain starts: a scenario's `[chain]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainSetting {
    /// How long until a reported transaction is included and shown, in milliseconds.
    pub delay_ms: u64,
    /// How many outputs the group owns at first.
    pub utxos: u32,
    /// How much each holds.
    pub amount: u64,
    /// The tip's score at first; the group's outputs are of score 0.
    pub tip_score: u64,
    /// By how much the score rises per second.
    pub blocks_per_second: u64,
}

impl Default for ChainSetting {
    fn default() -> Self {
        ChainSetting {
            delay_ms: 100,
            utxos: 8,
            amount: 100,
            tip_score: 1_000,
            blocks_per_second: 10,
        }
    }
}

impl ChainSetting {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// Which key is wrong, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        if self.utxos > 100_000 {
            return Err(format!("utxos = {}: expected at most 100000", self.utxos));
        }
        if self.amount == 0 || self.amount > u64::MAX >> 20 {
            return Err(format!(
                "amount = {}: expected 1 to {}",
                self.amount,
                u64::MAX >> 20
            ));
        }
        if self.blocks_per_second > 1_000 {
            return Err(format!(
                "blocks_per_second = {}: expected at most 1000",
                self.blocks_per_second
            ));
        }
        Ok(())
    }
}

/// What an intervention does to the chain: a scenario's `fact = { ... }`. Numbers are of the group's first outputs, from
/// 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainChange {
    /// The node no longer sees these outputs.
    pub hide: Vec<u32>,
    /// The node sees these again.
    pub show: Vec<u32>,
    /// Somebody else spends these, for everyone.
    pub spend: Vec<u32>,
    /// The group is paid new outputs of these amounts.
    pub pay: Vec<u64>,
}

/// How often nodes hear of the tip when nothing else happens.
const TIP: Duration = Duration::from_ms(10_000);

/// The chain.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    setting: ChainSetting,
    genesis: Hash32,
    keyring: Keyring,
    threshold_m: usize,
    state: State,
}

/// What survives a restart of the actor.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    utxos: UtxoSet,
    confirmed: Vec<Hash32>,
    /// The newest spent outputs, and by which transactions.
    spent: Vec<(OutPoint, Hash32)>,
    /// Reported transactions that wait to be included, with when, in the order of their reports.
    pending: Vec<(Time, SignedTransaction)>,
    views: Map<NodeId, View>,
    next_tip: Time,
    paid: u64,
}

/// What one node sees, and what it has not been told yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct View {
    hidden: Set<OutPoint>,
    news: Option<ChainFact>,
}

impl Chain {
    pub(super) fn new(setting: &ChainSetting, genesis: &Genesis, _seed: u64) -> Chain {
        let config: TwoPhaseConfig = codec::decode(&genesis.config).unwrap_or_default();
        let keyring = Keyring::new(genesis.crypto, &genesis.members)
            .expect("a checked genesis has a keyring");
        let mut utxos = UtxoSet::new();
        for number in 0..setting.utxos {
            let output = Output {
                amount: setting.amount,
                script: group_script(),
            };
            utxos
                .add(first_outpoint(number), Entry { output, score: 0 })
                .expect("first outputs differ");
        }
        let views = keyring
            .ids()
            .iter()
            .map(|id| (*id, View::default()))
            .collect();
        let state = State {
            utxos,
            confirmed: Vec::new(),
            spent: Vec::new(),
            pending: Vec::new(),
            views,
            next_tip: Time::ZERO + TIP,
            paid: 0,
        };
        Chain {
            setting: setting.clone(),
            genesis: genesis.hash(),
            threshold_m: usize::from(config.threshold_m),
            keyring,
            state,
        }
    }

    fn tip_score(&self, now: Time) -> u64 {
        let seconds_by_1000 = now.as_ms().saturating_mul(self.setting.blocks_per_second);
        self.setting
            .tip_score
            .saturating_add(seconds_by_1000 / 1_000)
    }

    /// The group's address: outputs of it need m signatures.
    fn is_signed(&self, report: &SignedTransaction, hash: &Hash32) -> bool {
        let preimage = partial_preimage(&self.genesis, report.event_id, hash);
        let distinct = report
            .signatures
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0);
        distinct
            && report.transaction.payload == report.event_id.0
            && report.signatures.len() >= self.threshold_m
            && report
                .signatures
                .iter()
                .all(|(signer, part)| self.keyring.verify(*signer, &preimage, part))
    }

    fn include(&mut self, now: Time, report: &SignedTransaction) {
        let score = self.tip_score(now);
        // A transaction whose input was spent meanwhile is never included; its event stays committed.
        let Ok(made) = self.state.utxos.apply(&report.transaction, score) else {
            return;
        };
        let hash = report.transaction.id();
        self.state.confirmed.push(hash);
        let owned: Vec<UtxoInput> = made
            .iter()
            .filter_map(|outpoint| self.group_utxo(outpoint))
            .collect();
        let inputs = report.transaction.inputs.iter();
        self.note_spent(&inputs.map(|(input, _)| *input).collect::<Vec<_>>(), hash);
        for view in self.state.views.values_mut() {
            let news = view.news.get_or_insert_default();
            news.confirmed.push(hash);
            news.added.extend(owned.iter().cloned());
        }
    }

    fn group_utxo(&self, outpoint: &OutPoint) -> Option<UtxoInput> {
        let entry = self.state.utxos.get(outpoint)?;
        let script_public_key = entry.output.script.clone();
        (script_public_key == group_script()).then_some(UtxoInput {
            outpoint: *outpoint,
            amount: entry.output.amount,
            script_public_key,
            block_daa_score: entry.score,
        })
    }

    fn spend_elsewhere(&mut self, outpoint: OutPoint) {
        let Some(utxo) = self.group_utxo(&outpoint) else {
            return;
        };
        let thief = crate::ledger::Transaction {
            inputs: Vec::from([(outpoint, utxo.amount)]),
            outputs: Vec::from([Output {
                amount: utxo.amount,
                script: Script {
                    version: 0,
                    bytes: b"elsewhere".to_vec(),
                },
            }]),
            payload: Hash32::default(),
        };
        if self.state.utxos.apply(&thief, 0).is_ok() {
            self.note_spent(&[outpoint], thief.id());
        }
    }

    /// Everyone is told what was spent, and by what.
    fn note_spent(&mut self, outpoints: &[OutPoint], by: Hash32) {
        let spent = outpoints.iter().map(|outpoint| (*outpoint, by));
        for view in self.state.views.values_mut() {
            let news = view.news.get_or_insert_default();
            news.removed.extend(outpoints.iter().copied());
            news.spent.extend(spent.clone());
        }
        let known = &mut self.state.spent;
        known.extend(spent);
        known.drain(..known.len().saturating_sub(SPENT_TOLD));
    }

    fn pay(&mut self, now: Time, amount: u64) {
        self.state.paid += 1;
        let txid = Transcript::new("phaselab 2026-11 two-phase payment")
            .u64(self.state.paid)
            .finish();
        let outpoint = OutPoint { txid, index: 0 };
        let entry = Entry {
            output: Output {
                amount,
                script: group_script(),
            },
            score: self.tip_score(now),
        };
        if self.state.utxos.add(outpoint, entry).is_ok()
            && let Some(utxo) = self.group_utxo(&outpoint)
        {
            for view in self.state.views.values_mut() {
                view.news.get_or_insert_default().added.push(utxo.clone());
            }
        }
    }
}

/// The most confirmed transactions that a full view tells.
const CONFIRMED_TOLD: usize = 1_024;

/// The most spent outputs that a full view tells.
const SPENT_TOLD: usize = 1_024;

/// The most entries of each kind in one fact. What is more follows in the next: a fact that is longer than a message may
/// be is none.
const FACT_ENTRIES_MAX: usize = 1_024;

/// Cuts off what one fact has room for; the rest, if any, follows it.
fn split(mut fact: ChainFact) -> (ChainFact, Option<ChainFact>) {
    fn cut<T>(entries: &mut Vec<T>) -> Vec<T> {
        entries.split_off(entries.len().min(FACT_ENTRIES_MAX))
    }
    let rest = ChainFact {
        full: false,
        tip_score: fact.tip_score,
        removed: cut(&mut fact.removed),
        spent: cut(&mut fact.spent),
        added: cut(&mut fact.added),
        confirmed: cut(&mut fact.confirmed),
    };
    let is_more = !rest.removed.is_empty()
        || !rest.spent.is_empty()
        || !rest.added.is_empty()
        || !rest.confirmed.is_empty();
    (fact, is_more.then_some(rest))
}

impl Environment for Chain {
    fn report(&mut self, now: Time, from: NodeId, report: &[u8]) {
        let Ok(report) = codec::decode::<SignedTransaction>(report) else {
            return;
        };
        let pending = &self.state.pending;
        if pending
            .iter()
            .any(|(_, other)| other.event_id == report.event_id)
        {
            return;
        }
        let hash = report.transaction.id();
        let spent = report.transaction.inputs.first();
        if spent.and_then(|(input, _)| self.state.utxos.spent_by(input)) == Some(hash) {
            // It may have missed the news while it was down.
            if let Some(view) = self.state.views.get_mut(&from) {
                view.news.get_or_insert_default().confirmed.push(hash);
            }
            return;
        }
        if self.is_signed(&report, &hash) && self.state.utxos.check(&report.transaction).is_ok() {
            self.state
                .pending
                .push((now + Duration::from_ms(self.setting.delay_ms), report));
        }
    }

    fn change(&mut self, now: Time, node: Option<NodeId>, change: &[u8]) -> Result<(), String> {
        let change: ChainChange =
            codec::decode(change).map_err(|error| format!("fact: {error}"))?;
        let number = change
            .hide
            .iter()
            .chain(&change.show)
            .chain(&change.spend)
            .find(|n| **n >= self.setting.utxos);
        if let Some(number) = number {
            return Err(format!(
                "fact: output {number} does not exist; expected 0 to {}",
                self.setting.utxos.saturating_sub(1)
            ));
        }
        if node.is_none() && !(change.hide.is_empty() && change.show.is_empty()) {
            return Err(String::from(
                "fact: hide and show need the node whose view is meant",
            ));
        }
        change
            .spend
            .iter()
            .for_each(|number| self.spend_elsewhere(first_outpoint(*number)));
        change.pay.iter().for_each(|amount| self.pay(now, *amount));
        let shown: Vec<UtxoInput> = change
            .show
            .iter()
            .filter_map(|number| self.group_utxo(&first_outpoint(*number)))
            .collect();
        if let Some(view) = node.and_then(|node| self.state.views.get_mut(&node)) {
            let hidden = change.hide.iter().map(|number| first_outpoint(*number));
            view.hidden.extend(hidden.clone());
            let news = view.news.get_or_insert_default();
            news.removed.extend(hidden);
            for utxo in shown {
                view.hidden.remove(&utxo.outpoint);
                news.removed.retain(|outpoint| *outpoint != utxo.outpoint);
                news.added.push(utxo);
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Time> {
        if self.state.views.values().any(|view| view.news.is_some()) {
            return Some(Time::ZERO);
        }
        let pending = self.state.pending.iter().map(|(at, _)| *at).min();
        Some(pending.map_or(self.state.next_tip, |at| at.min(self.state.next_tip)))
    }

    fn poll(&mut self, now: Time) -> Vec<(NodeId, Vec<u8>)> {
        let (due, later): (Vec<_>, Vec<_>) = core::mem::take(&mut self.state.pending)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.state.pending = later;
        for (_, report) in due {
            self.include(now, &report);
        }
        if now >= self.state.next_tip {
            self.state.next_tip = now + TIP;
            self.state.views.values_mut().for_each(|view| {
                view.news.get_or_insert_default();
            });
        }
        let tip_score = self.tip_score(now);
        let mut facts = Vec::new();
        let utxos = &self.state.utxos;
        for (node, view) in self.state.views.iter_mut() {
            if let Some(mut news) = view.news.take() {
                news.tip_score = tip_score;
                // What was to be shown may be hidden or spent by now.
                news.added.retain(|utxo| {
                    !view.hidden.contains(&utxo.outpoint) && utxos.get(&utxo.outpoint).is_some()
                });
                let (fact, rest) = split(news);
                view.news = rest;
                facts.push((*node, codec::encode(&fact)));
            }
        }
        facts
    }

    fn full_view(&mut self, now: Time, node: NodeId) -> Option<Vec<u8>> {
        let tip_score = self.tip_score(now);
        let visible: Vec<UtxoInput> = {
            let hidden = &self.state.views.get(&node)?.hidden;
            let outpoints = self.state.utxos.iter().map(|(outpoint, _)| outpoint);
            outpoints
                .filter(|outpoint| !hidden.contains(outpoint))
                .filter_map(|o| self.group_utxo(o))
                .collect()
        };
        let start = self.state.confirmed.len().saturating_sub(CONFIRMED_TOLD);
        let confirmed = self.state.confirmed[start..].to_vec();
        let fact = ChainFact {
            full: true,
            tip_score,
            added: visible,
            removed: Vec::new(),
            spent: self.state.spent.clone(),
            confirmed,
        };
        // The rest is news, which is told as soon as time passes.
        let (fact, rest) = split(fact);
        self.state.views.get_mut(&node)?.news = rest;
        Some(codec::encode(&fact))
    }

    fn save(&self) -> Vec<u8> {
        codec::encode(&self.state)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        let mut state: State =
            postcard::from_bytes(saved).map_err(|_| String::from("not the state of this chain"))?;
        // Times are of the actor's earlier life.
        state.next_tip = Time::ZERO + TIP;
        state
            .pending
            .iter_mut()
            .for_each(|(at, _)| *at = Time::ZERO);
        self.state = state;
        Ok(())
    }

    fn clone_box(&self) -> Box<dyn Environment> {
        Box::new(self.clone())
    }
}

fn group_script() -> Script {
    Script {
        version: 0,
        bytes: b"group".to_vec(),
    }
}

/// One of the group's first outputs.
fn first_outpoint(number: u32) -> OutPoint {
    let txid = Transcript::new("phaselab 2026-11 two-phase first output")
        .u32(number)
        .finish();
    OutPoint { txid, index: 0 }
}

#[cfg(test)]
mod tests;
