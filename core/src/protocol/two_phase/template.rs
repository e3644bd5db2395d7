//! Building a template from a node's own view of the chain, and judging another's by it.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::config::{MAX_UTXOS_PER_PROPOSAL, TRANSACTION_FEE};
use super::message::{Pskt, SigningEvent, UtxoInput};
use super::reserve::Reservations;
use crate::ledger::{OutPoint, Output, Script};
use crate::ordered::{Map, Set};
use crate::types::{Hash32, InstanceId};

/// A fact: what changed on the chain as this node's own chain node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChainFact {
    /// Whether this replaces all that was known.
    pub full: bool,
    /// The tip's score.
    pub tip_score: u64,
    /// Outputs that appeared.
    pub added: Vec<UtxoInput>,
    /// Outputs that are no longer in view, for whatever reason.
    pub removed: Vec<OutPoint>,
    /// Outputs that were spent for good, and by which transaction: said of what is final, never of what is hidden.
    pub spent: Vec<(OutPoint, Hash32)>,
    /// Transactions that took effect, by template hash.
    pub confirmed: Vec<Hash32>,
}

/// A node's view of the chain. Volatile: the shell pushes it in full after each start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChainView {
    tip_score: u64,
    utxos: Map<OutPoint, UtxoInput>,
    /// What was spent, and by which transaction. Such news is never taken back: the newest are remembered.
    spent: Map<OutPoint, Hash32>,
    /// The same outputs in the order in which they were told.
    spent_order: VecDeque<OutPoint>,
    /// Confirmed transactions that no event here has claimed yet.
    unclaimed: Set<Hash32>,
}

/// The most confirmed transactions that are remembered for events this node has not decided yet.
const UNCLAIMED_MAX: usize = 4_096;

/// The most spent outputs that are remembered. Of what was spent before, a node no longer knows that it was: it refuses to
/// replace the event that wanted it.
const SPENT_MAX: usize = 4_096;

impl ChainView {
    /// Takes a fact in.
    pub fn update(&mut self, fact: &ChainFact) {
        if fact.full {
            self.utxos.clear();
        }
        self.tip_score = fact.tip_score;
        for outpoint in &fact.removed {
            self.utxos.remove(outpoint);
        }
        for (outpoint, by) in &fact.spent {
            self.utxos.remove(outpoint);
            if self.spent.insert(*outpoint, *by).is_none() {
                self.spent_order.push_back(*outpoint);
            }
        }
        while self.spent_order.len() > SPENT_MAX {
            if let Some(oldest) = self.spent_order.pop_front() {
                self.spent.remove(&oldest);
            }
        }
        for utxo in &fact.added {
            self.utxos.insert(utxo.outpoint, utxo.clone());
        }
        self.unclaimed.extend(fact.confirmed.iter().copied());
        while self.unclaimed.len() > UNCLAIMED_MAX {
            self.unclaimed.pop_first();
        }
    }

    /// The tip's score.
    pub fn tip_score(&self) -> u64 {
        self.tip_score
    }

    /// How many outputs the node sees.
    pub fn len(&self) -> usize {
        self.utxos.len()
    }

    /// Whether it sees none.
    pub fn is_empty(&self) -> bool {
        self.utxos.is_empty()
    }

    /// Takes note that a transaction took effect, once.
    pub fn claim(&mut self, template: &Hash32) -> bool {
        self.unclaimed.remove(template)
    }

    /// Whether every input exists as the template says.
    pub fn has_inputs(&self, pskt: &Pskt) -> bool {
        pskt.inputs
            .iter()
            .all(|input| self.utxos.get(&input.outpoint) == Some(input))
    }

    /// Whether an input was seen spent by another transaction: the template can never take effect. An input that is
    /// merely not in view says nothing.
    pub fn is_dead(&self, pskt: &Pskt, template: &Hash32) -> bool {
        pskt.inputs.iter().any(|input| {
            let spender = self.spent.get(&input.outpoint);
            spender.is_some_and(|spender| spender != template)
        })
    }

    /// Whether every input exists, lies deep enough, and is not promised to another event. (S0-24, S0-80)
    pub fn validates(&self, pskt: &Pskt, depth: u64, reserved: &Reservations) -> bool {
        self.has_inputs(pskt)
            && pskt.inputs.iter().all(|input| {
                self.is_deep(input, depth) && reserved.is_free_for(&input.outpoint, pskt.event_id)
            })
    }

    fn is_deep(&self, utxo: &UtxoInput, depth: u64) -> bool {
        self.tip_score.saturating_sub(utxo.block_daa_score) >= depth
    }

    /// Builds a template for an event: a function of event and view, so that equal views give equal templates. (S0-93,
    /// S0-94)
    ///
    /// Inputs are taken in the order of their ids from the event's id on, around the end, so that concurrent events
    /// rarely want the same one. `None` if the view does not hold enough.
    pub fn build_local_proposal(
        &self,
        event: &SigningEvent,
        event_id: InstanceId,
        depth: u64,
        reserved: &Reservations,
    ) -> Option<Pskt> {
        let wanted = event.amount.checked_add(TRANSACTION_FEE)?;
        let start = OutPoint {
            txid: event_id.0,
            index: 0,
        };
        let around = self
            .utxos
            .range(start..)
            .chain(self.utxos.range(..start))
            .map(|(_, utxo)| utxo);
        let usable = around
            .filter(|utxo| self.is_deep(utxo, depth))
            .filter(|utxo| reserved.is_free_for(&utxo.outpoint, event_id));
        let mut inputs = Vec::new();
        let mut sum = 0u64;
        for utxo in usable.take(MAX_UTXOS_PER_PROPOSAL) {
            sum = sum.checked_add(utxo.amount)?;
            inputs.push(utxo.clone());
            if sum >= wanted {
                break;
            }
        }
        let change = sum.checked_sub(wanted)?;
        inputs.sort_unstable();
        let mut outputs = vec![Output {
            amount: event.amount,
            script: event.destination.clone(),
        }];
        if change > 0 {
            outputs.push(Output {
                amount: change,
                script: inputs[0].script_public_key.clone(),
            });
        }
        Some(Pskt {
            inputs,
            outputs,
            event_id,
        })
    }

    /// Another valid template for the same event, as a liar makes one: it returns the change in two parts.
    pub fn variant(pskt: &Pskt) -> Option<Pskt> {
        let mut other = pskt.clone();
        let change = other
            .outputs
            .get_mut(1)
            .filter(|change| change.amount > 1)?;
        change.amount -= 1;
        let script: Script = change.script.clone();
        other.outputs.push(Output { amount: 1, script });
        Some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::reserve::Hold;
    use super::*;

    fn utxo(byte: u8, amount: u64, score: u64) -> UtxoInput {
        UtxoInput {
            outpoint: OutPoint {
                txid: Hash32([byte; 32]),
                index: 0,
            },
            amount,
            script_public_key: Script {
                version: 0,
                bytes: vec![1],
            },
            block_daa_score: score,
        }
    }

    fn view(utxos: Vec<UtxoInput>) -> ChainView {
        let mut view = ChainView::default();
        view.update(&ChainFact {
            full: true,
            tip_score: 1_000,
            added: utxos,
            ..ChainFact::default()
        });
        view
    }

    fn event(amount: u64) -> (SigningEvent, InstanceId) {
        let destination = Script {
            version: 0,
            bytes: vec![9],
        };
        let event = SigningEvent {
            name: "e".into(),
            amount,
            destination,
            supersedes: None,
        };
        let id = event.id();
        (event, id)
    }

    #[test]
    fn equal_views_give_equal_templates_and_money_is_conserved() {
        let (event, id) = event(25);
        let one = view(vec![utxo(1, 20, 0), utxo(2, 20, 0), utxo(3, 20, 0)]);
        let pskt = one
            .build_local_proposal(&event, id, 300, &Reservations::default())
            .unwrap();
        assert_eq!(
            Some(pskt.clone()),
            one.clone()
                .build_local_proposal(&event, id, 300, &Reservations::default())
        );
        assert_eq!(pskt.transaction().fee(), Ok(TRANSACTION_FEE));
        assert_eq!(pskt.outputs[0].amount, 25);
        assert!(one.validates(&pskt, 300, &Reservations::default()));
        let other = view(vec![utxo(1, 20, 0), utxo(2, 21, 0), utxo(3, 20, 0)]);
        assert!(
            !other.validates(&pskt, 300, &Reservations::default())
                || pskt.inputs.iter().all(|i| i.outpoint.txid.0[0] != 2)
        );
    }

    #[test]
    fn shallow_promised_and_missing_inputs_are_not_used() {
        let (event, id) = event(25);
        let shallow = view(vec![utxo(1, 100, 701)]);
        assert_eq!(
            shallow.build_local_proposal(&event, id, 300, &Reservations::default()),
            None
        );
        let deep = view(vec![utxo(1, 100, 700)]);
        let pskt = deep
            .build_local_proposal(&event, id, 300, &Reservations::default())
            .unwrap();
        assert!(!shallow.validates(&pskt, 300, &Reservations::default()));
        let mut promised = Reservations::default();
        let other = InstanceId::default();
        promised.hold(pskt.inputs[0].outpoint, other, Hold::Bound);
        assert_eq!(deep.build_local_proposal(&event, id, 300, &promised), None);
        assert!(!deep.validates(&pskt, 300, &promised));
        assert_eq!(
            view(vec![utxo(1, 25, 0)]).build_local_proposal(
                &event,
                id,
                300,
                &Reservations::default()
            ),
            None,
            "no fee"
        );
    }

    #[test]
    fn a_variant_is_another_template_that_pays_the_same() {
        let (event, id) = event(25);
        let pskt = view(vec![utxo(1, 100, 0)])
            .build_local_proposal(&event, id, 300, &Reservations::default())
            .unwrap();
        let other = ChainView::variant(&pskt).unwrap();
        assert_ne!(pskt.template_hash(), other.template_hash());
        assert_eq!(other.transaction().fee(), Ok(TRANSACTION_FEE));
    }
}
