//! The whole ledger under random histories: money is made by subsidies alone (S3-F16).

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::crypto::{Signer, Transcript};
use crate::entropy::{Entropy, Prng};
use crate::types::{Hash32, NodeId};

const OWNERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

struct World {
    random: Prng,
    owners: Vec<Signer>,
    utxos: UtxoSet,
    pool: Mempool,
    height: u64,
    tip: Hash32,
    /// Genesis and all subsidies.
    minted: u128,
    /// Of transactions that no block holds yet.
    waiting_fees: u64,
}

impl World {
    fn new(seed: u8) -> World {
        let owners: Vec<Signer> = OWNERS.map(wallet).into();
        let genesis = Transcript::new("test genesis").u8(seed).finish();
        let mut utxos = UtxoSet::new();
        let mut minted = 0;
        for (index, owner) in owners.iter().enumerate() {
            let outpoint = OutPoint {
                txid: genesis,
                index: index as u32,
            };
            let output = Output {
                amount: COIN,
                script: Script::key(&owner.public()),
            };
            utxos.add(outpoint, Entry { output, score: 0 }).unwrap();
            minted += u128::from(COIN);
        }
        World {
            random: Prng::from_seed([seed; 32]),
            owners,
            utxos,
            pool: Mempool::new(),
            height: 0,
            tip: genesis_parent(&genesis),
            minted,
            waiting_fees: 0,
        }
    }

    fn any_owner(&mut self) -> usize {
        self.random.below(OWNERS.len() as u64) as usize
    }

    /// Coins of any owners, spent to any owners by whoever signs.
    fn payment(&mut self, honest: bool) -> Signed {
        let mut coins: Vec<(OutPoint, Output)> = self
            .utxos
            .iter()
            .map(|(outpoint, entry)| (*outpoint, entry.output.clone()))
            .collect();
        let mut inputs = Vec::new();
        let mut signers = Vec::new();
        for _ in 0..=self.random.below(3) {
            let at = self.random.below(coins.len() as u64) as usize;
            let (outpoint, output) = coins.swap_remove(at);
            let owns = |owner: &usize| {
                let key = self.owners[*owner].public();
                output.script == Script::key(&key)
            };
            let owner = (0..OWNERS.len()).find(owns).unwrap();
            signers.push(if honest { owner } else { (owner + 1) % 4 });
            inputs.push((outpoint, output.amount));
        }
        let mut left: u64 = inputs.iter().map(|(_, amount)| amount).sum();
        left -= self.random.below(left.min(1000));
        let mut outputs = Vec::new();
        for _ in 0..self.random.below(3) {
            if left > 1 {
                let amount = 1 + self.random.below(left - 1);
                left -= amount;
                let owner = self.any_owner();
                outputs.push(self.output(amount, owner));
            }
        }
        let owner = self.any_owner();
        outputs.push(self.output(left, owner));
        let signers: Vec<&Signer> = signers.iter().map(|at| &self.owners[*at]).collect();
        let transaction = Transaction {
            inputs,
            outputs,
            payload: Hash32::default(),
        };
        Signed::sign(transaction, "a payment", &signers)
    }

    fn output(&self, amount: u64, owner: usize) -> Output {
        let script = Script::key(&self.owners[owner].public());
        Output { amount, script }
    }

    fn spent(&self, signed: &Signed) -> Vec<Output> {
        let inputs = signed.transaction.inputs.iter();
        inputs
            .map(|(outpoint, _)| self.utxos.get(outpoint).unwrap().output.clone())
            .collect()
    }

    fn pay(&mut self) {
        let payment = Arc::new(self.payment(true));
        assert_eq!(payment.check(), Ok(()));
        assert_eq!(payment.spends(&self.spent(&payment)), Ok(()));
        assert_eq!(self.pool.insert(payment.clone()), Ok(()));
        self.waiting_fees += payment.transaction.fee().unwrap();
        let made = self.utxos.apply(&payment.transaction, self.height).unwrap();
        assert_eq!(made.len(), payment.transaction.outputs.len());
    }

    fn steal(&mut self) {
        let theft = self.payment(false);
        assert_eq!(theft.check(), Ok(()), "the thief's own signature holds");
        assert_eq!(
            theft.spends(&self.spent(&theft)),
            Err(SignedError::WrongKey { input: 0 })
        );
    }

    /// The owner spends again what waits for a block.
    fn spend_twice(&mut self) {
        let waiting = self.pool.len() as u64;
        if waiting == 0 {
            return;
        }
        let at = self.random.below(waiting) as usize;
        let (txid, first) = self.pool.iter().nth(at).unwrap();
        let (txid, mut second) = (*txid, (**first).clone());
        second.transaction.payload = Hash32([1; 32]);
        let (outpoint, _) = second.transaction.inputs[0];
        assert!(self.pool.conflicts(&second.transaction).eq([txid]));
        assert_eq!(
            self.utxos.check(&second.transaction),
            Err(SpendError::Spent { outpoint, by: txid })
        );
        let conflict = Conflict { outpoint, by: txid };
        assert_eq!(self.pool.insert(Arc::new(second)), Err(conflict));
    }

    /// A block takes some of what waits.
    fn mine(&mut self) {
        let mut taken = Vec::new();
        let mut fees = 0;
        for (txid, waiting) in self.pool.iter() {
            if self.random.below(3) > 0 {
                taken.push(*txid);
                fees += waiting.transaction.fee().unwrap();
            }
        }
        let key = self.owners[0].public();
        let height = self.height + 1;
        let block = Block::build(height, self.tip, NodeId(1), key, taken, fees).unwrap();
        assert_eq!(block.check(), Ok(()));
        assert_eq!(block.follows(self.height, self.tip, fees), Ok(()));
        let mut greedy = block.clone();
        greedy.coinbase.amount += 1;
        assert!(greedy.follows(self.height, self.tip, fees).is_err());

        let (outpoint, output) = block.coinbase_output();
        let score = height;
        self.utxos.add(outpoint, Entry { output, score }).unwrap();
        for txid in &block.transactions {
            assert!(self.pool.remove(txid).is_some());
        }
        self.waiting_fees -= fees;
        self.minted += u128::from(subsidy(height).unwrap());
        (self.height, self.tip) = (height, block.id());
        assert!(block.follows(self.height, self.tip, fees).is_err(), "once");
    }
}

#[test]
fn money_is_made_by_subsidies_alone() {
    for seed in 0..6 {
        let mut world = World::new(seed);
        for step in 0..60 {
            match world.random.below(8) {
                0 | 1 => world.mine(),
                2 => world.steal(),
                3 => world.spend_twice(),
                _ => world.pay(),
            }
            assert_eq!(
                world.minted,
                world.utxos.total() + u128::from(world.waiting_fees),
                "seed {seed}, step {step}"
            );
        }
        while !world.pool.is_empty() {
            world.mine();
        }
        assert_eq!((world.minted, world.waiting_fees), (world.utxos.total(), 0));
        assert_eq!(world.pool, Mempool::new());
    }
}

#[test]
fn a_refusal_says_why_in_one_line() {
    let outpoint = OutPoint {
        txid: Hash32([0xab; 32]),
        index: 2,
    };
    let by = Hash32([0xcd; 32]);
    let said = vec![
        alloc::format!("{}", Conflict { outpoint, by }),
        alloc::format!("{}", SignedError::Invalid(TransactionError::NoInputs)),
        alloc::format!(
            "{}",
            BlockError::WrongParent {
                parent: by,
                tip: outpoint.txid
            }
        ),
    ];
    let expected = [
        "outpoint abab:2 is held by cdcd",
        "the transaction spends nothing",
        "its parent is cdcd, the tip abab",
    ];
    assert_eq!(said, expected);
}
