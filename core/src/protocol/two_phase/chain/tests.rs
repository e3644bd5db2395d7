//! The chain, and what it tells.

use super::*;
use crate::crypto::{Crypto, Signer};
use crate::engine::RuleSet;
use crate::ledger::Transaction;
use crate::protocol::members;
use crate::scenario::member_seed;
use crate::types::{GroupId, InstanceId};
use alloc::vec;

fn chain() -> Chain {
    chain_of(&ChainSetting::default())
}

fn chain_of(setting: &ChainSetting) -> Chain {
    let genesis = Genesis {
        protocol: 1,
        rules: RuleSet::Hardened,
        flaws: Vec::new(),
        crypto: Crypto::Simulated,
        name: "test".into(),
        members: members(Crypto::Simulated, &[GroupId(0); 3]),
        config: codec::encode(&TwoPhaseConfig::default()),
    };
    Chain::new(setting, &genesis, 7)
}

fn signed(chain: &Chain, input: u32, signers: &[u16]) -> SignedTransaction {
    let event_id = InstanceId(Hash32([input as u8; 32]));
    let destination = Script {
        version: 0,
        bytes: vec![1],
    };
    let transaction = Transaction {
        inputs: vec![(first_outpoint(input), 100)],
        outputs: vec![
            Output {
                amount: 25,
                script: destination,
            },
            Output {
                amount: 74,
                script: group_script(),
            },
        ],
        payload: event_id.0,
    };
    let preimage = partial_preimage(&chain.genesis, event_id, &transaction.id());
    let sign = |id: &u16| {
        let key = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(*id)));
        (NodeId(*id), key.sign(&preimage))
    };
    SignedTransaction {
        event_id,
        transaction,
        signatures: signers.iter().map(sign).collect(),
    }
}

#[test]
fn m_distinct_signatures_include_a_transaction_after_the_delay() {
    let mut chain = chain();
    for bad in [&[1][..], &[1, 1], &[2, 1]] {
        let report = codec::encode(&signed(&chain, 0, bad));
        chain.report(Time::ZERO, NodeId(1), &report);
        assert!(chain.state.pending.is_empty(), "signed by {bad:?}");
    }
    let report = codec::encode(&signed(&chain, 0, &[1, 3]));
    chain.report(Time::ZERO, NodeId(1), &report);
    chain.report(Time::ZERO, NodeId(2), &report);
    assert_eq!(chain.deadline(), Some(Time::from_ms(100)));
    assert!(chain.poll(Time::from_ms(99)).is_empty());
    let facts = chain.poll(Time::from_ms(100));
    assert_eq!(facts.len(), 3);
    let fact: ChainFact = codec::decode(&facts[0].1).unwrap();
    assert_eq!(
        (fact.confirmed.len(), fact.removed.len(), fact.added.len()),
        (1, 1, 1)
    );
    assert_eq!(chain.state.utxos.total(), 8 * 100 - 1, "all but the fee");
}

#[test]
fn an_input_is_spent_once_whoever_comes_first() {
    let mut chain = chain();
    let report = codec::encode(&signed(&chain, 2, &[1, 2]));
    chain.report(Time::ZERO, NodeId(1), &report);
    chain
        .change(
            Time::ZERO,
            None,
            &codec::encode(&ChainChange {
                spend: vec![2],
                ..ChainChange::default()
            }),
        )
        .unwrap();
    chain.poll(Time::from_ms(200));
    assert!(chain.state.confirmed.is_empty());
}

/// A view of any size is told in facts that a node takes, and comes out whole; what is hidden or spent on the way is not
/// shown.
#[test]
fn a_large_view_is_told_in_several_facts() {
    let setting = ChainSetting {
        utxos: 10_000,
        ..ChainSetting::default()
    };
    setting.check().unwrap();
    let mut chain = chain_of(&setting);
    let change = |spend, hide| {
        codec::encode(&ChainChange {
            spend,
            hide,
            ..ChainChange::default()
        })
    };
    let early = change((0..2_000).collect(), Vec::new());
    chain.change(Time::ZERO, None, &early).unwrap();
    let mut view = crate::protocol::two_phase::template::ChainView::default();
    let first = chain.full_view(Time::ZERO, NodeId(1)).unwrap();
    view.update(&codec::decode(&first).expect("short enough"));
    let late = change((9_000..9_500).collect(), Vec::new());
    chain.change(Time::ZERO, None, &late).unwrap();
    let hide = change(Vec::new(), (8_000..8_100).collect());
    chain.change(Time::ZERO, Some(NodeId(1)), &hide).unwrap();
    let mut polls = 0;
    while chain.deadline() == Some(Time::ZERO) {
        for (node, fact) in chain.poll(Time::ZERO) {
            let fact: ChainFact = codec::decode(&fact).expect("short enough");
            if node == NodeId(1) {
                view.update(&fact);
            }
        }
        polls += 1;
        assert!(polls < 100, "it comes to an end");
    }
    assert_eq!(view.len(), 10_000 - 2_000 - 500 - 100);
    let all: Vec<u8> = chain.full_view(Time::ZERO, NodeId(1)).unwrap();
    let fact: ChainFact = codec::decode(&all).unwrap();
    assert_eq!(fact.spent.len(), SPENT_TOLD, "the newest");
}

/// The longest fact is no longer than a message may be.
#[test]
fn a_full_fact_fits_a_message() {
    let utxo = UtxoInput {
        outpoint: first_outpoint(1),
        amount: u64::MAX,
        script_public_key: group_script(),
        block_daa_score: u64::MAX,
    };
    let count = FACT_ENTRIES_MAX + 1;
    let (fact, rest) = split(ChainFact {
        full: true,
        tip_score: u64::MAX,
        added: vec![utxo; count],
        removed: vec![first_outpoint(2); count],
        spent: vec![(first_outpoint(3), Hash32([0xff; 32])); count],
        confirmed: vec![Hash32([0xff; 32]); count],
    });
    let bytes = codec::encode(&fact).len();
    assert!(bytes <= codec::MESSAGE_BYTES_MAX, "{bytes} bytes");
    let rest = rest.expect("one of each is left");
    assert_eq!((rest.added.len(), rest.full), (1, false));
    assert_eq!(split(rest).1, None);
}

#[test]
fn views_differ_by_what_is_hidden_and_a_saved_chain_comes_back() {
    let mut chain = chain();
    let hide = codec::encode(&ChainChange {
        hide: vec![0, 1],
        ..ChainChange::default()
    });
    chain.change(Time::ZERO, Some(NodeId(3)), &hide).unwrap();
    assert!(chain.change(Time::ZERO, None, &hide).is_err());
    assert!(chain.change(Time::ZERO, Some(NodeId(1)), &[0xff]).is_err());
    let count = |chain: &mut Chain, node| {
        let fact: ChainFact =
            codec::decode(&chain.full_view(Time::ZERO, NodeId(node)).unwrap()).unwrap();
        fact.added.len()
    };
    assert_eq!((count(&mut chain, 1), count(&mut chain, 3)), (8, 6));
    let saved = chain.save();
    let mut other = self::chain();
    other.restore(&saved).unwrap();
    assert_eq!(count(&mut other, 3), 6);
    assert!(other.restore(&[1, 2, 3]).is_err());
}
