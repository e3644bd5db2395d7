//! Blocks: what is a choice for a height, and what becomes of it.

use super::*;
use crate::ledger::block::genesis_parent;
use crate::ledger::{COIN, subsidy, wallet};

const FIRST: ConflictKey = ConflictKey::Height(1);

fn block(lab: &Lab, height: u64, held: &[&Request], fees: u64) -> Block {
    let parent = genesis_parent(&lab.env.genesis);
    let key = wallet("node-2").public();
    let held = held.iter().map(|request| request.signed.id()).collect();
    Block::build(height, parent, NodeId(2), key, held, fees).unwrap()
}

fn finalize(lab: &mut Lab, request: &Request) {
    lab.hear(2, tell(request));
    lab.answers(&key(request, 0), request.signed.id(), 2);
}

/// S1-29: built of final transactions, after a while, by whoever's turn it is.
#[test]
fn final_transactions_are_built_into_a_block() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["bob:0"]));
    finalize(&mut lab, &one);
    finalize(&mut lab, &two);
    while lab.state().candidates.is_empty() {
        lab.tick();
    }
    let (id, built) = lab.state().candidates.iter().next().unwrap();
    let (id, built) = (*id, built.clone());
    assert_eq!((built.height, built.transactions.len()), (1, 2));
    assert_eq!(built.coinbase.amount, COIN + 2, "subsidy(1), and the fees");
    lab.answers(&FIRST, id, 2);
    let state = lab.state();
    assert_eq!((state.height(), state.candidates.len()), (1, 0));
    for request in [&one, &two] {
        let known = state.transactions.get(&request.signed.id()).unwrap();
        assert_eq!(known.standing, Standing::InBlock(1));
    }
    assert_eq!(state.minted(), u128::from(subsidy(1).unwrap()));
    assert_eq!(
        state.unspent(&lab.env) + state.unpaid_fees(),
        lab.env.config.issued() + state.minted(),
        "conserved"
    );
    lab.restart();
    assert_eq!(lab.state().height(), 1, "loaded at the start");
}

/// A block pays what is due, stands on the own chain and holds final transactions: else it is no choice.
#[test]
fn a_block_is_a_choice_once_it_is_valid_here() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["bob:0"]));
    finalize(&mut lab, &one);
    let mut elsewhere = block(&lab, 1, &[&one], 1);
    elsewhere.parent = Hash32([7; 32]);
    for wrong in [block(&lab, 1, &[&one], 2), elsewhere] {
        lab.hear(2, Message::Block(Box::new(wrong)));
        assert!(lab.state().conflicts.get(&FIRST.id()).is_none());
    }
    let early = block(&lab, 1, &[&one, &two], 2);
    lab.hear(2, Message::Block(Box::new(early.clone())));
    assert!(
        lab.state().conflicts.get(&FIRST.id()).is_none(),
        "T2 is not final"
    );
    finalize(&mut lab, &two);
    let row = lab.state().conflicts.get(&FIRST.id()).unwrap();
    assert_eq!(row.preference, early.id());
    // A second one is one more choice, and the other block can win.
    let rival = block(&lab, 1, &[&one], 1);
    lab.hear(3, Message::Block(Box::new(rival.clone())));
    lab.answers(&FIRST, rival.id(), 2);
    assert_eq!(lab.state().blocks.get(&1).unwrap().id(), rival.id());
    let waits = lab.state().transactions.get(&two.signed.id()).unwrap();
    assert_eq!(waits.standing, Standing::Final, "for the next block");
}

/// Whoever is behind is told the next block, and what it holds.
#[test]
fn who_is_behind_is_told_the_next_block() {
    let mut lab = Lab::new(4);
    let one = payment("T1", &["alice:0"]);
    finalize(&mut lab, &one);
    let next = block(&lab, 1, &[&one], 1);
    lab.hear(2, Message::Block(Box::new(next.clone())));
    lab.answers(&FIRST, next.id(), 2);
    lab.said();
    lab.hear(3, Message::Status { height: 0 });
    let said = lab.said();
    assert_eq!(said, [(NodeId(3), Message::Block(Box::new(next.clone())))]);
    // What it holds is fetched of whoever told it.
    let mut late = Lab::new(4);
    late.hear(2, Message::Block(Box::new(next)));
    let said = late.said();
    assert_eq!(said, [(NodeId(2), Message::Fetch(one.signed.id()))]);
    // A block beyond the next one: the ones between first.
    let beyond = block(&late, 5, &[], 0);
    late.hear(2, Message::Block(Box::new(beyond)));
    assert_eq!(late.said(), [(NodeId(2), Message::Status { height: 0 })]);
}
