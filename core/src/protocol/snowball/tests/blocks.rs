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

/// The same block as another member's, or for another wallet.
fn rival(of: &Block, creator: u16, wallet_of: &str) -> Block {
    let (key, held) = (wallet(wallet_of).public(), of.transactions.clone());
    let fees = of.coinbase.amount - subsidy(of.height).unwrap();
    Block::build(of.height, of.parent, NodeId(creator), key, held, fees).unwrap()
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
    let beyond = block(&late, 5, &[&one], 1);
    late.hear(2, Message::Block(Box::new(beyond)));
    assert_eq!(late.said(), [(NodeId(2), Message::Status { height: 0 })]);
}

/// An answer that was lost is asked for again, of whoever tells the block again.
#[test]
fn what_a_block_holds_is_asked_for_again() {
    let mut lab = Lab::new(4);
    let one = payment("T1", &["alice:0"]);
    let next = block(&lab, 1, &[&one], 1);
    lab.hear(2, Message::Block(Box::new(next.clone())));
    lab.said();
    while lab.state().wanted.contains(&one.signed.id()) {
        lab.tick();
    }
    lab.said();
    lab.hear(3, Message::Block(Box::new(next.clone())));
    let fetch = Message::Fetch(one.signed.id());
    assert_eq!(lab.said(), [(NodeId(3), fetch.clone())]);
    // And after a restart, which kept the block.
    lab.restart();
    lab.said();
    lab.hear(4, Message::Block(Box::new(next)));
    assert_eq!(lab.said(), [(NodeId(4), fetch)]);
}

/// Whoever knows of a longer chain does not wait for the timer.
#[test]
fn who_knows_to_be_behind_asks_on() {
    let mut lab = Lab::new(4);
    let one = payment("T1", &["alice:0"]);
    finalize(&mut lab, &one);
    lab.hear(4, Message::Status { height: 2 });
    let next = block(&lab, 1, &[&one], 1);
    lab.hear(2, Message::Block(Box::new(next.clone())));
    lab.said();
    lab.answers(&FIRST, next.id(), 2);
    let asks = (NodeId(4), Message::Status { height: 1 });
    assert!(lab.said().contains(&asks));
}

/// Blocks that nobody prefers keep no place from the one that wins.
#[test]
fn many_blocks_do_not_keep_the_winner_out() {
    let mut lab = Lab::new(4);
    let (one, two) = (payment("T1", &["alice:0"]), payment("T2", &["bob:0"]));
    finalize(&mut lab, &one);
    let mut stray = block(&lab, 1, &[&one], 1);
    stray.parent = Hash32([9; 32]);
    lab.hear(3, Message::Block(Box::new(stray)));
    assert!(lab.state().candidates.is_empty(), "it stands elsewhere");
    // Half of them hold what is not final here, and half are as good as the winner.
    let (dead, alive) = (block(&lab, 1, &[&two], 1), block(&lab, 1, &[&one], 1));
    for n in 0..30 {
        let of = if n % 2 == 0 { &dead } else { &alive };
        let filler = rival(of, 3, &format!("wallet {n}"));
        lab.hear(3, Message::Block(Box::new(filler)));
        assert!(lab.state().candidates.len() <= 16);
    }
    lab.hear(4, Message::Block(Box::new(alive.clone())));
    assert!(lab.state().candidates.contains(&alive.id()));
    lab.answers(&FIRST, alive.id(), 2);
    assert_eq!(lab.state().blocks.get(&1).unwrap().id(), alive.id());
}

/// The blocks of a height that was open are choices again.
#[test]
fn a_restart_forgets_no_choice() {
    let mut lab = Lab::new(4);
    let one = payment("T1", &["alice:0"]);
    finalize(&mut lab, &one);
    let first = block(&lab, 1, &[&one], 1);
    let other = rival(&first, 4, "node-4");
    for block in [&first, &other] {
        lab.hear(2, Message::Block(Box::new(block.clone())));
    }
    lab.restart();
    let preferred = lab.state().conflicts.get(&FIRST.id()).unwrap().preference;
    let both = [first.id(), other.id()];
    let rival = both.into_iter().find(|id| *id != preferred).unwrap();
    lab.answers(&FIRST, rival, 2);
    assert_eq!(lab.state().blocks.get(&1).unwrap().id(), rival);
}

/// A payment of a reward may be heard before its block has won.
#[test]
fn what_spends_a_reward_waits_for_its_block() {
    let mut lab = Lab::new(4);
    let one = payment("T1", &["alice:0"]);
    finalize(&mut lab, &one);
    let next = block(&lab, 1, &[&one], 1);
    lab.hear(2, Message::Block(Box::new(next.clone())));
    let (outpoint, reward) = next.coinbase_output();
    let spends = Payment {
        spend: Vec::from([format!("{}:{}", outpoint.txid, outpoint.index)]),
        holds: Vec::from([reward.amount]),
        ..Payment::new("node-2", "bob", 25)
    };
    let spends = spends.sign().unwrap();
    lab.hear(2, tell(&spends));
    assert!(!lab.state().pool.contains(&spends.signed.id()));
    lab.answers(&FIRST, next.id(), 2);
    assert!(lab.state().pool.contains(&spends.signed.id()));
}

/// It would win a height for its reward alone.
#[test]
fn an_empty_block_is_refused() {
    let lab = Lab::new(4);
    let empty = Message::Block(Box::new(block(&lab, 1, &[], 0)));
    let verdict = super::super::message::check(&lab.env, &empty);
    assert_eq!(verdict, Err("empty block"));
}

/// Two blocks of one height, of members 2 and 4; that of 4 is preferred here, and the turn of 2 comes first.
fn rivals(lab: &mut Lab) -> (Hash32, Hash32) {
    let one = payment("T1", &["alice:0"]);
    finalize(lab, &one);
    let first = block(lab, 1, &[&one], 1);
    let other = rival(&first, 4, "node-4");
    for block in [&other, &first] {
        lab.hear(2, Message::Block(Box::new(block.clone())));
    }
    (first.id(), other.id())
}

fn preferred(lab: &Lab) -> Hash32 {
    lab.state().conflicts.get(&FIRST.id()).unwrap().preference
}

/// The poll about the first height ends, with these votes of those who were asked first; the others are silent.
fn poll_ends(lab: &mut Lab, votes: &[Option<Hash32>]) {
    let (poll_id, asked) = lab.poll(&FIRST).unwrap();
    for (from, preference) in asked.into_iter().zip(votes) {
        lab.hear(from.0, vote(poll_id, FIRST, *preference));
    }
    while lab.poll(&FIRST).is_some_and(|(id, _)| id == poll_id) {
        lab.tick();
    }
}

/// What may have won with this node's vote is not left for the block whose turn came first, not even after a restart.
#[test]
fn what_may_have_won_is_not_left() {
    let mut lab = Lab::new(5);
    let (first, other) = rivals(&mut lab);
    assert_eq!(preferred(&lab), other);
    lab.restart();
    // Two more prefer it, one another, and one is silent: with the silent one and this node it can have won.
    poll_ends(&mut lab, &[Some(other), Some(other), Some(first)]);
    assert_eq!(preferred(&lab), other);
}

/// Where nobody answers either may have won, and what this node prefers stays.
#[test]
fn silence_is_no_reason_to_leave_a_block() {
    let mut lab = Lab::new(5);
    let (_, other) = rivals(&mut lab);
    poll_ends(&mut lab, &[]);
    assert_eq!(preferred(&lab), other);
}

/// Of the others, what may have won goes before whose turn came first.
#[test]
fn what_may_have_won_elsewhere_goes_before_a_turn() {
    let mut lab = Lab::new(5);
    let (_, other) = rivals(&mut lab);
    let last = block(&lab, 1, &[&payment("T1", &["alice:0"])], 1);
    let last = rival(&last, 5, "node-5");
    lab.hear(2, Message::Block(Box::new(last.clone())));
    assert_eq!(preferred(&lab), other);
    // Two prefer it and two are silent: with those it can have won, and what is preferred here cannot.
    poll_ends(&mut lab, &[Some(last.id()); 2]);
    assert_eq!(preferred(&lab), last.id());
}

/// A tie of which nothing can have won is settled by whose turn came first.
#[test]
fn a_tie_is_settled_by_turns() {
    let mut lab = Lab::new(5);
    let (first, other) = rivals(&mut lab);
    poll_ends(&mut lab, &[Some(other), None, Some(first)]);
    assert_eq!(preferred(&lab), first);
}
