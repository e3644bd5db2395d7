//! Properties of the ledger: money is conserved, and an output is spent once.

use std::collections::BTreeSet;

use phaselab_core::ledger::{Entry, OutPoint, Output, Script, SpendError, Transaction, UtxoSet};
use phaselab_core::types::Hash32;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// What somebody tries.
#[derive(Clone, Debug)]
enum Attempt {
    /// The group is paid.
    Pay(u64),
    /// An output that was made before is made again.
    PayAgain(Index),
    /// Outputs that are unspent are spent, into so many shares; the rest is the fee.
    Spend(Vec<Index>, Vec<u64>),
    /// Any outputs that ever were are spent, with an amount that may be a lie.
    Steal(Vec<Index>, u64, u64),
    /// A transaction that was applied is applied again.
    Replay(Index),
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let amount = prop_oneof![4 => 0..200u64, 1 => any::<u64>()];
    let places = || vec(any::<Index>(), 0..4);
    prop_oneof![
        amount.clone().prop_map(Attempt::Pay),
        any::<Index>().prop_map(Attempt::PayAgain),
        (places(), vec(1..60u64, 0..4)).prop_map(|(from, to)| Attempt::Spend(from, to)),
        (places(), amount.clone(), amount)
            .prop_map(|(from, claim, out)| Attempt::Steal(from, claim, out)),
        any::<Index>().prop_map(Attempt::Replay),
    ]
}

fn output(amount: u64) -> Output {
    let bytes = vec![1];
    let script = Script { version: 0, bytes };
    Output { amount, script }
}

#[derive(Default)]
struct World {
    set: UtxoSet,
    /// Every outpoint that ever was.
    known: Vec<OutPoint>,
    spent: BTreeSet<OutPoint>,
    applied: Vec<Transaction>,
    paid: u128,
    fees: u128,
}

impl World {
    fn pay(&mut self, outpoint: OutPoint, amount: u64) -> Result<(), SpendError> {
        let score = self.known.len() as u64;
        let entry = Entry {
            output: output(amount),
            score,
        };
        self.set.add(outpoint, entry)?;
        self.known.push(outpoint);
        self.paid += u128::from(amount);
        Ok(())
    }

    fn apply(&mut self, transaction: &Transaction) -> Result<(), TestCaseError> {
        let before = self.set.clone();
        match self.set.apply(transaction, 0) {
            Err(_) => prop_assert_eq!(&self.set, &before, "what is refused changes nothing"),
            Ok(made) => {
                self.fees += u128::from(transaction.fee().expect("applied, so sound"));
                for (outpoint, _) in &transaction.inputs {
                    prop_assert!(self.spent.insert(*outpoint), "{outpoint:?} spent twice");
                    prop_assert_eq!(self.set.spent_by(outpoint), Some(transaction.id()));
                }
                self.known.extend(made);
                self.applied.push(transaction.clone());
            }
        }
        Ok(())
    }

    fn step(&mut self, attempt: &Attempt) -> Result<(), TestCaseError> {
        let payload = Hash32([9; 32]);
        match attempt {
            Attempt::Pay(amount) => {
                let number = self.known.len() as u32;
                let txid = Hash32([1; 32]);
                let index = number;
                self.pay(OutPoint { txid, index }, *amount)
                    .expect("a new outpoint");
            }
            Attempt::PayAgain(place) if !self.known.is_empty() => {
                let again = *place.get(&self.known);
                prop_assert_eq!(self.pay(again, 5), Err(SpendError::Exists(again)));
            }
            Attempt::Spend(from, to) => {
                let unspent: Vec<(OutPoint, u64)> = self
                    .set
                    .iter()
                    .map(|(outpoint, entry)| (*outpoint, entry.output.amount))
                    .collect();
                if unspent.is_empty() {
                    return Ok(());
                }
                let chosen: BTreeSet<(OutPoint, u64)> =
                    from.iter().map(|place| *place.get(&unspent)).collect();
                let inputs = chosen.into_iter().collect();
                let outputs = to.iter().map(|amount| output(*amount)).collect();
                self.apply(&Transaction {
                    inputs,
                    outputs,
                    payload,
                })?;
            }
            Attempt::Steal(from, claim, out) if !self.known.is_empty() => {
                let inputs = from
                    .iter()
                    .map(|place| (*place.get(&self.known), *claim))
                    .collect();
                let outputs = vec![output(*out)];
                self.apply(&Transaction {
                    inputs,
                    outputs,
                    payload,
                })?;
            }
            Attempt::Replay(place) if !self.applied.is_empty() => {
                let again = place.get(&self.applied).clone();
                let count = self.applied.len();
                self.apply(&again)?;
                prop_assert_eq!(self.applied.len(), count, "applied twice");
            }
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_is_conserved_and_spent_once(attempts in vec(attempt(), 1..60)) {
        let mut world = World::default();
        for attempt in &attempts {
            world.step(attempt)?;
            prop_assert_eq!(world.set.total() + world.fees, world.paid, "after {:?}", attempt);
            let unspent: BTreeSet<OutPoint> = world.set.iter().map(|(outpoint, _)| *outpoint).collect();
            prop_assert!(unspent.is_disjoint(&world.spent));
            prop_assert_eq!(unspent.len() + world.spent.len(), world.known.len(), "nothing vanishes");
            prop_assert_eq!(world.set.len(), unspent.len());
        }
    }

    /// A fee is what inputs exceed outputs by, exactly; no sum wraps.
    #[test]
    fn a_fee_is_the_difference(
        spent in vec(prop_oneof![0..100u64, any::<u64>()], 0..5),
        made in vec(prop_oneof![0..100u64, any::<u64>()], 0..5),
    ) {
        let outpoint = |index| OutPoint { txid: Hash32([3; 32]), index };
        let inputs = spent.iter().enumerate().map(|(index, amount)| (outpoint(index as u32), *amount)).collect();
        let transaction = Transaction {
            inputs,
            outputs: made.iter().map(|amount| output(*amount)).collect(),
            payload: Hash32::default(),
        };
        let sum = |amounts: &[u64]| amounts.iter().map(|amount| u128::from(*amount)).sum::<u128>();
        let sound = !spent.is_empty() && !made.is_empty() && !made.contains(&0);
        let fits = sum(&spent) <= u128::from(u64::MAX) && sum(&made) <= u128::from(u64::MAX);
        let expected = sum(&spent).checked_sub(sum(&made)).filter(|_| sound && fits);
        prop_assert_eq!(transaction.fee().ok().map(u128::from), expected);
    }
}
