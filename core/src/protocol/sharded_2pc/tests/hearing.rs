//! S4-F30, S4-F22: who may say what.

use alloc::vec;

use super::*;
use crate::paxos::Message as Log;
use crate::protocol::sharded_2pc::command::{Item, Side};
use crate::protocol::sharded_2pc::machine::{Client, Txn, TxnPhase};

/// The environment of node 1, with nodes 1 and 2 in cluster 1, and 3 and 4 in cluster 2.
fn env() -> Env<Sharded2pc> {
    let config = ShardedConfig {
        items_per_cluster: 10,
        ..ShardedConfig::default()
    };
    let genesis = Genesis {
        protocol: ProtocolKind::Sharded2pc.tag(),
        rules: RuleSet::Hardened,
        flaws: Vec::new(),
        crypto: Crypto::Simulated,
        name: "test".into(),
        members: members(Crypto::Simulated, &[ONE, ONE, TWO, TWO]),
        config: crate::codec::encode(&config),
    };
    let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(1)));
    replica::env::<Sharded2pc>(&genesis, NodeId(1), signer).unwrap()
}

#[test]
fn only_the_coordinator_asks_and_only_another_cluster_answers() {
    let env = env();
    let check = |from, message: &Message| Sharded2pc::check(&env, NodeId(from), message);
    let id = id(1);
    let ask = |part, coordinator| Message::TwoPCPrepareRequest {
        id,
        part,
        coordinator,
    };
    assert_eq!(check(1, &ask(credit(11, 5), ONE)), Ok(()));
    assert_eq!(
        check(3, &ask(credit(11, 5), ONE)),
        Err("not_the_coordinator")
    );
    assert_eq!(
        check(3, &ask(credit(11, 5), TWO)),
        Err("not_the_coordinator")
    );
    assert_eq!(check(1, &ask(credit(11, 0), ONE)), Err("no_amount"));
    assert_eq!(check(1, &ask(credit(21, 5), ONE)), Err("unknown_item"));
    assert_eq!(
        check(1, &ask(debit(11, 5), ONE)),
        Err("not_a_participants_part")
    );
    let (clients, reason) = (Vec::new(), Reason::Timeout);
    let outcomes = [
        Message::TwoPCCommitRequest { id, clients },
        Message::TwoPCAbortRequest { id, reason },
    ];
    for outcome in outcomes {
        assert_eq!(check(2, &outcome), Ok(()));
        assert_eq!(check(4, &outcome), Err("not_the_coordinator"));
    }
    let result = Ok(());
    let answers = [
        Message::TwoPCPrepareReply { id, result },
        Message::TwoPCCommitReply { id },
        Message::TwoPCAbortReply { id },
        Message::TwoPCQuery { id },
    ];
    for answer in answers {
        assert_eq!(check(4, &answer), Ok(()));
        assert_eq!(check(2, &answer), Err("not_a_participant"));
    }
}

#[test]
fn an_entry_that_no_leader_proposes_is_refused() {
    let env = env();
    let accept = |command| {
        let (ballot, seq) = (Ballot::default(), 1);
        let req = Some(command);
        Message::Paxos(Log::AcceptRequest { ballot, seq, req })
    };
    let check = |command| Sharded2pc::check(&env, NodeId(1), &accept(command));
    assert_eq!(check(prepare(id(1), debit(1, 5))), Ok(()));
    assert_eq!(check(prepare(id(1), debit(1, 0))), Err("no_amount"));
    let foreign = TxnId { home: TWO, ..id(1) };
    assert_eq!(
        check(prepare(foreign, debit(1, 5))),
        Err("not_the_coordinator")
    );
    let to_itself = Side::Coordinator {
        participant: ONE,
        part: None,
    };
    let command = Command::Prepare {
        id: id(1),
        part: debit(1, 5),
        side: to_itself,
    };
    assert_eq!(check(command), Err("unknown_cluster"));
}

/// A member may lie about all that it holds: what contradicts itself is not taken over.
#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let env = env();
    let prepared = |phase, item| Txn {
        phase,
        seq: 2,
        part: Some(debit(item, 5)),
        side: Side::Participant { coordinator: TWO },
        carried: 0,
        clients: Vec::new(),
        acked: false,
    };
    let refused = |accounts: Vec<(Item, u64)>, locks: Vec<(Item, TxnId)>, txn: Option<Txn>| {
        let rows: Vec<(TxnId, Txn)> = txn.into_iter().map(|txn| (id(1), txn)).collect();
        let clients: Vec<((ClientId, GroupId), Client)> = Vec::new();
        let homes: Vec<(Item, GroupId)> = Vec::new();
        let fields = (3_u64, accounts, locks, rows, clients, homes);
        let snapshot = crate::codec::decode(&crate::codec::encode(&fields)).unwrap();
        Sharded2pc::check(&env, NodeId(2), &Message::Snapshot(snapshot)).is_err()
    };
    let yes = TxnPhase::Prepared(Ok(()));
    let (lock, other) = (vec![(1, id(1))], vec![(2, id(1))]);
    assert!(!refused(vec![(1, 9)], lock.clone(), Some(prepared(yes, 1))));
    assert!(refused(vec![(1, 9)], lock.clone(), None), "nobody holds it");
    assert!(
        refused(Vec::new(), other, Some(prepared(yes, 1))),
        "another item"
    );
    assert!(
        refused(Vec::new(), Vec::new(), Some(prepared(yes, 1))),
        "no lock"
    );
    assert!(
        refused(Vec::new(), lock, Some(prepared(TxnPhase::Committed, 1))),
        "it has ended"
    );
    assert!(
        refused(vec![(11, 9)], Vec::new(), None),
        "not an item of its own"
    );
    assert!(
        refused(vec![(2, 9), (1, 9)], Vec::new(), None),
        "out of order"
    );
    assert!(refused(vec![(1, 9), (1, 8)], Vec::new(), None), "twice");
}
