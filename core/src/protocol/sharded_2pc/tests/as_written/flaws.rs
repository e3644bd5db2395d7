//! What the document's rules do wrong, each shown by a few messages.

use super::*;

/// S4-F1, S4-42: whoever is configured is asked, tries although it does not lead, and finds no majority.
#[test]
fn a_configured_leader_that_does_not_lead_finds_no_majority() {
    let mut lab = Lab::new();
    lab.fire(5, "election");
    lab.flow();
    assert_eq!(lab.fields(4, "leader"), ["5"]);
    lab.transfer(1, 1, 1, REFERENCE);
    lab.deliver(1, 4, "2pc-prepare");
    assert_eq!(lab.fields(4, "item"), ["3001: 50, held by 2pc-1-1"]);
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::Timeout));
    assert_eq!((lab.balance(1, 1001), lab.balance(4, 3001)), (100, 50));
}

/// S4-F2: an answer to P counts for C, which has the same seq under the same ballot; C is committed at one node alone.
#[test]
fn an_answer_to_p_counts_for_c() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow_but(|from, to, kind| (from, to, kind) == (3, 1, "accepted") || kind == "2pc-prepared");
    lab.deliver(4, 1, "2pc-prepared");
    assert_eq!(
        lab.fields(1, "WAL").len(),
        0,
        "S4-F8: before anybody accepted C"
    );
    lab.deliver(3, 1, "accepted");
    assert!(
        lab.mail
            .iter()
            .any(|(_, _, send)| Lab::kind(send) == "2pc-commit"),
        "C counts as accepted by two"
    );
    assert_eq!(lab.fields(2, "WAL").len(), 1, "and node 2 has P");
}

/// S4-F3: the coordinator dies between P and C; whoever leads next knows of nothing, and 3001 stays locked.
#[test]
fn a_dead_coordinator_leaves_its_participant_locked() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow_but(|_, _, kind| kind == "2pc-prepared");
    lab.crash(1);
    lab.fire(2, "election");
    lab.flow();
    for _ in 0..20 {
        lab.fire(2, "heartbeat");
        lab.fire(4, "heartbeat");
        lab.flow();
    }
    assert_eq!(lab.fields(4, "item"), ["3001: 60, held by 2pc-1-1"]);
    assert_eq!(lab.balances([2, 3, 3], 1001), [90; 3]);
}

/// S4-F4: a balance is seen that is then taken back; S4-F23: and one that somebody else has changed.
#[test]
fn a_balance_is_told_that_never_was() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow_but(|_, _, kind| kind == "2pc-prepared");
    let (item, balance) = (3001, 60);
    assert_eq!(lab.read(4, 3001), Reply::Balance { item, balance });
    lab.lose(|_, _, kind| kind == "2pc-prepared");
    lab.fire(1, "prepare");
    lab.flow();
    let balance = 50;
    assert_eq!(lab.read(4, 3001), Reply::Balance { item, balance });
    // Node 4 is cut off; node 5 leads, and pays.
    lab.fire(5, "election");
    lab.flow_but(|from, to, _| from == 4 || to == 4);
    lab.transfer(5, 2, 1, (3001, 3002, 20));
    lab.flow_but(|from, to, _| from == 4 || to == 4);
    assert_eq!(lab.read(4, 3001), Reply::Balance { item, balance: 50 });
    assert_eq!(lab.read(5, 3001), Reply::Balance { item, balance: 30 });
}

/// S4-F5: who leads next knows of no lock and pays what is not decided; then a record of before puts it back.
#[test]
fn a_new_leader_pays_what_an_abort_puts_back() {
    let mut lab = Lab::new();
    lab.transfer_without_answer();
    assert_eq!(lab.fields(4, "item"), ["3001: 60, held by 2pc-1-1"]);
    lab.fire(5, "election");
    lab.flow();
    lab.transfer(5, 2, 1, (3001, 3002, 60));
    lab.flow();
    assert!(matches!(lab.last(), Reply::Success { .. }));
    assert_eq!(lab.balances([4, 5, 6], 3001), [0; 3]);
    lab.fire(1, "prepare");
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::Timeout));
    assert_eq!(lab.balances([1, 2, 3], 1001), [100; 3]);
    assert_eq!(lab.balances([4, 5, 6], 3001), [50; 3]);
    assert_eq!(lab.balances([4, 5, 6], 3002), [70; 3], "60 are made");
}

/// S4-F6: a record of before an earlier entry was executed is put back after it was: replicas differ.
#[test]
fn a_record_from_before_an_earlier_entry_undoes_it() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, (1001, 1002, 20));
    lab.flow_but(|_, to, kind| (to, kind) == (3, "commit"));
    lab.transfer(1, 2, 1, REFERENCE);
    lab.flow_but(|_, to, kind| (to, kind) == (3, "commit") || kind == "2pc-prepared");
    lab.lose(|_, _, kind| kind == "2pc-prepared");
    lab.fire(1, "prepare");
    lab.flow();
    assert_eq!(lab.balances([1, 2, 3], 1001), [80, 80, 100]);
}

/// S4-F7, S4-F9: C was accepted by somebody, finds no majority, and is aborted; whoever leads next commits it.
#[test]
fn what_was_aborted_is_committed_by_the_next_leader() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow_but(|_, _, kind| kind == "2pc-prepared");
    lab.deliver(4, 1, "2pc-prepared");
    lab.deliver(1, 2, "accept");
    lab.lose(|_, _, kind| kind == "accepted" || kind == "accept");
    // The leader gives up, puts back what nobody agreed to, and tells the participant.
    lab.fire(1, "prepare");
    lab.lose(|_, _, kind| kind == "accept");
    lab.fire(1, "prepare");
    lab.deliver(1, 4, "2pc-abort");
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::Timeout));
    assert_eq!((lab.balance(1, 1001), lab.balance(4, 3001)), (100, 50));
    lab.crash(1);
    lab.fire(2, "election");
    lab.flow();
    let view = lab.node(2).view(ViewScope::Summary);
    let transfer = view.instances.iter().find(|known| known.name == "2pc-1-1");
    assert_eq!(transfer.map(|known| known.phase), Some(phase::COMMITTED));
    assert_eq!(lab.balances([2, 3, 3], 1001), [90; 3], "10 are gone");
}

/// S4-F10, S4-F19: a participant that starts again knows of no transaction, and has no record; it keeps the money.
#[test]
fn a_participant_that_starts_again_can_neither_commit_nor_abort() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow_but(|_, _, kind| kind == "2pc-prepared");
    lab.deliver(4, 1, "2pc-prepared");
    lab.restart(4);
    assert_eq!(lab.fields(4, "item"), ["3001: 60"], "on disk, and unlocked");
    assert!(lab.fields(4, "WAL").is_empty());
    lab.flow();
    assert!(lab.replies.is_empty(), "it does not answer");
    lab.fire(1, "prepare");
    assert!(matches!(lab.last(), Reply::Success { .. }));
    assert_eq!(lab.fields(5, "WAL").len(), 1, "and never will");

    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow_but(|_, _, kind| kind == "2pc-prepared");
    lab.restart(4);
    lab.fire(1, "prepare");
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::Timeout));
    let after = (lab.balance(1, 1001), lab.balance(4, 3001));
    assert_eq!(after, (100, 60), "10 are made");
}

/// S4-F11: ABORT overtakes PREPARE and leaves no trace; PREPARE then credits what nobody debits.
#[test]
fn a_prepare_that_comes_late_credits_for_nothing() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    let is_late = |_: u16, _: u16, kind: &str| kind == "2pc-prepare";
    lab.flow_but(is_late);
    lab.fire(1, "prepare");
    lab.flow_but(is_late);
    assert_eq!(*lab.last(), failed(Reason::Timeout));
    lab.flow();
    assert_eq!((lab.balance(1, 1001), lab.balance(4, 3001)), (100, 60));
    assert_eq!(
        lab.fields(4, "item"),
        ["3001: 60, held by 2pc-1-1"],
        "for ever"
    );
}

/// S4-F12: the participant refuses while the own P is on its way: A gets a new seq, and P debits after it.
#[test]
fn an_own_p_that_is_on_its_way_debits_after_the_abort() {
    let mut lab = Lab::new();
    // 3001 is locked by another.
    lab.transfer(4, 9, 1, (3001, 1002, 1));
    lab.lose(|_, _, _| true);
    lab.transfer(1, 1, 1, REFERENCE);
    let is_first = |from: u16, _: u16, kind: &str| from == 2 && kind == "accepted";
    lab.lose(|from, to, kind| (from, to, kind) == (1, 3, "accept"));
    lab.flow_but(is_first);
    // A waits for its majority; the answer to P comes first, then that to A.
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::Locked));
    assert_eq!(lab.balance(1, 1001), 90, "told FAILED, and 10 are gone");
    let lines = lab.fields(1, "log");
    assert!(
        lines.iter().any(|line| line == "Allocated NEW seq=2"),
        "{lines:?}"
    );
}

/// S4-F14: a retry of an earlier request is told of a later one; S4-F15, S4-F19: after a failover it is done again.
#[test]
fn a_retry_is_told_of_another_request_or_done_again() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, (1001, 1002, 200));
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::InsufficientBalance));
    lab.transfer(1, 1, 2, REFERENCE);
    lab.flow();
    lab.transfer(1, 1, 1, (1001, 1002, 200));
    assert!(matches!(lab.last(), Reply::Success { txn } if txn.number == 2));
    lab.crash(1);
    lab.fire(2, "election");
    lab.flow();
    lab.transfer(2, 1, 2, REFERENCE);
    lab.flow();
    assert_eq!((lab.balance(2, 1001), lab.balance(4, 3001)), (80, 70));
}

/// S4-F17: what another leader proposes anew is executed again where it was executed.
#[test]
fn what_is_accepted_again_is_executed_again() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, (1001, 1002, 10));
    lab.flow_but(|_, to, kind| (to, kind) == (3, "commit"));
    assert_eq!(lab.balances([1, 2, 3], 1001), [90, 90, 100]);
    lab.crash(1);
    lab.fire(3, "election");
    lab.flow();
    assert_eq!(lab.balances([2, 3, 3], 1001), [80, 90, 90]);
}

/// S4-F18: what A put back is put back a second time when the transfer is over, over what was paid in between.
#[test]
fn what_was_put_back_is_put_back_again() {
    let mut lab = Lab::new();
    lab.transfer_without_answer();
    lab.fire(1, "prepare");
    lab.flow_but(|_, _, kind| kind == "2pc-abort");
    assert_eq!(lab.balances([1, 2, 3], 1001), [100; 3], "by A");
    // Another leads, and pays; node 1 follows, and still waits for the participant.
    lab.fire(2, "election");
    lab.flow_but(|_, _, kind| kind == "2pc-abort");
    lab.transfer(2, 2, 1, (1001, 1002, 5));
    lab.flow_but(|_, _, kind| kind == "2pc-abort");
    assert_eq!(lab.balances([1, 2, 3], 1001), [95; 3]);
    lab.flow();
    assert_eq!(lab.balances([1, 2, 3], 1001), [100, 95, 95], "5 are made");
}

/// S4-F20: who missed the ACCEPT of P has no record, and puts nothing back.
#[test]
fn who_missed_an_accept_puts_nothing_back() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.lose(|_, to, kind| (to, kind) == (3, "accept"));
    lab.flow_but(|_, _, kind| kind == "2pc-prepared");
    lab.lose(|_, _, kind| kind == "2pc-prepared");
    lab.fire(1, "prepare");
    lab.flow();
    assert_eq!(lab.balances([1, 2, 3], 1001), [100, 100, 90]);
}

/// S4-F21: a participant that is alone says that C is committed.
#[test]
fn a_participant_that_is_alone_acknowledges() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow_but(|_, _, kind| kind == "2pc-commit");
    lab.deliver(1, 4, "2pc-commit");
    lab.lose(|from, to, _| from == 4 && to != 1);
    lab.flow();
    assert!(matches!(lab.last(), Reply::Success { .. }));
    assert_eq!(lab.fields(4, "item"), ["3001: 60"], "unlocked");
    for id in [5, 6] {
        assert_eq!(lab.fields(id, "WAL"), ["twoPCWAL[2pc-1-1][3001]=50"]);
    }
}

/// S4-F24: whoever led before is refused by those who promised another, and gives way.
#[test]
fn who_led_before_is_refused_where_another_was_promised() {
    let mut lab = Lab::new();
    lab.fire(3, "election");
    lab.deliver(3, 2, "elect");
    lab.lose(|_, _, _| true);
    lab.transfer(1, 1, 1, (1001, 1002, 10));
    lab.flow();
    assert_eq!(lab.balances([1, 2, 3], 1001), [100; 3]);
    assert_eq!(*lab.last(), failed(Reason::Timeout), "no majority");
}

/// S4-F25: each locks what the other wants, and both fail.
#[test]
fn two_that_want_what_the_other_holds_both_fail() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, (1001, 3001, 10));
    lab.transfer(4, 2, 1, (3001, 1001, 10));
    lab.flow();
    let told: Vec<_> = lab.replies.iter().map(|(_, _, reply)| *reply).collect();
    assert_eq!(told, [failed(Reason::Locked), failed(Reason::Locked)]);
}

/// S4-F26: prepared is lost, and so is the abort: nobody says it again.
#[test]
fn an_abort_that_is_lost_is_lost() {
    let mut lab = Lab::new();
    lab.transfer_without_answer();
    lab.fire(1, "prepare");
    lab.flow_but(|_, _, kind| kind == "2pc-abort");
    lab.lose(|_, _, kind| kind == "2pc-abort");
    lab.fire(1, "prepare");
    assert_eq!(*lab.last(), failed(Reason::Timeout));
    assert_eq!((lab.balance(1, 1001), lab.balance(4, 3001)), (100, 60));
    assert!(
        lab.node(1)
            .armed()
            .iter()
            .all(|timer| timer.name == "heartbeat")
    );
}

/// S4-F27: two requests of a client with one number, a timestamp of milliseconds, are one: the second is never done.
#[test]
fn two_requests_of_one_number_are_one() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    lab.flow();
    lab.transfer(1, 1, 1, (1002, 3001, 20));
    lab.flow();
    assert!(
        matches!(lab.last(), Reply::Success { .. }),
        "told of the first"
    );
    assert_eq!((lab.balance(1, 1002), lab.balance(4, 3001)), (100, 60));
}

/// S4-F28: an entry is executed before an earlier one is known.
#[test]
fn a_later_entry_is_executed_first() {
    let mut lab = Lab::new();
    lab.transfer(4, 1, 1, (3001, 3002, 10));
    lab.flow_but(|_, to, _| to == 6);
    lab.lose(|_, to, _| to == 6);
    lab.transfer(4, 2, 1, (3002, 3001, 15));
    lab.flow();
    assert_eq!(lab.fields(6, "lastExecuted"), ["2"]);
    assert_eq!(
        lab.balances([4, 5, 6], 3001),
        [55, 55, 50],
        "10 came to 3002 only where it is known"
    );
}
