//! The accounts' rules one by one, and at random; and what nodes refuse to hear.

use alloc::vec::Vec;

use super::command::{Command, Part, Reason, Side, TxnId};
use super::config::{Clusters, Place, ShardedConfig};
use super::machine::{Applied, Machine, TxnPhase};
use super::*;
use crate::crypto::{Crypto, Signer};
use crate::engine::Genesis;
use crate::entropy::{Entropy, Prng};
use crate::flaw::FlawSet;
use crate::protocol::{ProtocolKind, members};
use crate::replica;
use crate::scenario::member_seed;

mod as_written;
mod hearing;

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

/// One cluster's accounts, and its log so far.
struct Shard {
    config: ShardedConfig,
    cluster: GroupId,
    machine: Machine,
}

impl Shard {
    fn new(cluster: GroupId) -> Shard {
        Shard {
            config: ShardedConfig {
                items_per_cluster: 10,
                initial_balance: 100,
                ..ShardedConfig::default()
            },
            cluster,
            machine: Machine::load(&Rows::default()).unwrap(),
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            config: &self.config,
            clusters: Clusters::of([ONE, TWO].into_iter()),
            cluster: self.cluster,
            flaws: FlawSet::NONE,
        }
    }

    fn apply(&mut self, command: &Command) -> Applied {
        let slot = self.machine.applied() + 1;
        let mut machine = self.machine.clone();
        let applied = machine.apply(&self.place(), slot, Some(command));
        machine.assert_sound(&self.place());
        self.machine = machine;
        applied
    }

    fn balance(&self, item: u32) -> Option<u64> {
        self.machine.balance(&self.place(), item)
    }

    fn phase(&self, id: TxnId) -> Option<TxnPhase> {
        self.machine.transaction(id).map(|txn| txn.phase)
    }
}

fn id(number: u64) -> TxnId {
    TxnId {
        client: ClientId(7),
        home: ONE,
        number,
        attempt: 0,
    }
}

fn debit(item: u32, amount: u64) -> Part {
    Part::Debit { item, amount }
}

fn credit(item: u32, amount: u64) -> Part {
    Part::Credit { item, amount }
}

/// P in cluster 1, which decides.
fn prepare(id: TxnId, part: Part) -> Command {
    let (participant, part_there) = (TWO, Some(credit(11, 1)));
    let side = Side::Coordinator {
        participant,
        part: part_there,
    };
    Command::Prepare { id, part, side }
}

/// P in cluster 2.
fn join(id: TxnId, part: Part) -> Command {
    let side = Side::Participant { coordinator: ONE };
    Command::Prepare { id, part, side }
}

fn commit(id: TxnId) -> Command {
    Command::Commit {
        id,
        seq: 1,
        clients: Vec::new(),
    }
}

fn abort(id: TxnId, side: Side) -> Command {
    Command::Abort {
        id,
        seq: 1,
        reason: Reason::Timeout,
        side,
        last: true,
    }
}

const PARTICIPANT: Side = Side::Participant { coordinator: ONE };
const COORDINATOR: Side = Side::Coordinator {
    participant: TWO,
    part: None,
};

fn transfer(id: TxnId, sender: u32, receiver: u32, amount: u64) -> Command {
    Command::Transfer {
        id,
        sender,
        receiver,
        amount,
        last: true,
    }
}

/// S4-F4, S4-F17: P holds and moves nothing, C moves once, whatever comes again.
#[test]
fn money_moves_at_c_and_once() {
    let mut shard = Shard::new(ONE);
    shard.apply(&prepare(id(1), debit(1, 30)));
    assert_eq!(
        (shard.balance(1), shard.machine.is_locked(1)),
        (Some(100), true)
    );
    shard.apply(&prepare(id(1), debit(1, 30)));
    assert_eq!(shard.apply(&commit(id(1))), Applied::Ended(id(1)));
    assert_eq!(
        (shard.balance(1), shard.machine.is_locked(1)),
        (Some(70), false)
    );
    for again in [
        commit(id(1)),
        prepare(id(1), debit(1, 30)),
        abort(id(1), COORDINATOR),
    ] {
        assert!(!matches!(shard.apply(&again), Applied::Ended(_)));
        assert_eq!(shard.balance(1), Some(70));
    }
    // S4-F31: the first outcome counts.
    assert_eq!(shard.phase(id(1)), Some(TxnPhase::Committed));
}

/// S4-F6, S4-F18: A restores nothing, since nothing was taken; what others did meanwhile stays.
#[test]
fn an_abort_drops_the_hold_and_nothing_else() {
    let mut shard = Shard::new(ONE);
    shard.apply(&transfer(id(1), 2, 1, 5));
    shard.apply(&prepare(id(2), debit(1, 30)));
    shard.apply(&abort(id(2), COORDINATOR));
    shard.apply(&abort(id(2), COORDINATOR));
    assert_eq!(
        (shard.balance(1), shard.machine.is_locked(1)),
        (Some(105), false)
    );
    assert!(!matches!(shard.apply(&commit(id(2))), Applied::Ended(_)));
    assert_eq!(shard.balance(1), Some(105));
}

/// S4-F5: who comes while an item is held is refused, in whichever way it comes.
#[test]
fn a_hold_binds_everybody() {
    let mut shard = Shard::new(ONE);
    shard.apply(&prepare(id(1), debit(1, 30)));
    let other = |number| TxnId {
        client: ClientId(8),
        ..id(number)
    };
    shard.apply(&prepare(other(1), debit(1, 1)));
    let refused = Some(TxnPhase::Prepared(Err(Reason::Locked)));
    assert_eq!(shard.phase(other(1)), refused);
    let leave = Part::Leave { item: 1, to: TWO };
    shard.apply(&prepare(other(2), leave));
    assert_eq!(shard.phase(other(2)), refused);
    for (number, sender, receiver) in [(3, 1, 2), (4, 2, 1)] {
        let told = shard.apply(&transfer(other(number), sender, receiver, 1));
        assert_eq!(told, Applied::Answered(other(number), Err(Reason::Locked)));
    }
    assert_eq!((shard.balance(1), shard.balance(2)), (Some(100), Some(100)));
}

/// S4-F11, S4-F12: an A that overtakes P leaves a tombstone, and with it P holds nothing; also when the row is gone.
#[test]
fn a_tombstone_refuses_what_comes_late() {
    let mut shard = Shard::new(TWO);
    assert_eq!(
        shard.apply(&abort(id(1), PARTICIPANT)),
        Applied::Ended(id(1))
    );
    shard.apply(&join(id(1), credit(11, 30)));
    assert_eq!(shard.phase(id(1)), Some(TxnPhase::Aborted(Reason::Timeout)));
    assert!(!shard.machine.is_locked(11));
    // The client moves on, and the tombstone goes.
    shard.apply(&join(id(2), credit(12, 1)));
    assert_eq!(shard.phase(id(1)), None);
    shard.apply(&join(id(1), credit(11, 30)));
    assert!(!shard.machine.is_locked(11) && shard.phase(id(1)).is_none());
}

#[test]
fn funds_overflow_and_nonsense_are_refused_where_they_are() {
    let mut shard = Shard::new(ONE);
    let cases = [
        (debit(1, 101), Reason::InsufficientBalance),
        (credit(1, u64::MAX), Reason::Overflow),
        (credit(11, 1), Reason::NotHere),
        (credit(1, 0), Reason::Invalid),
        (
            Part::Arrive {
                item: 1,
                balance: 5,
            },
            Reason::NotHere,
        ),
    ];
    for (number, (part, reason)) in (1..).zip(cases) {
        shard.apply(&prepare(id(number), part));
        let refused = TxnPhase::Prepared(Err(reason));
        assert_eq!(shard.phase(id(number)), Some(refused), "{part:?}");
    }
    // What has no sender here leaves no trace.
    assert_eq!(
        shard.apply(&prepare(id(9), debit(11, 1))),
        Applied::Elsewhere(id(9))
    );
    assert_eq!(shard.phase(id(9)), None);
}

/// S4-F14, S4-F15, S4-F27.
#[test]
fn a_request_is_done_once_whichever_attempt_did_it() {
    let mut shard = Shard::new(ONE);
    let next = TxnId {
        attempt: 1,
        ..id(1)
    };
    shard.apply(&transfer(id(1), 1, 2, 10));
    assert_eq!(shard.apply(&transfer(id(1), 1, 2, 10)), Applied::Nothing);
    assert_eq!(shard.apply(&transfer(next, 1, 2, 10)), Applied::Nothing);
    shard.apply(&transfer(id(2), 1, 2, 1));
    assert_eq!(shard.apply(&transfer(id(1), 1, 2, 10)), Applied::Nothing);
    assert_eq!(shard.balance(1), Some(89));
    // While an attempt may commit, no other holds anything.
    shard.apply(&prepare(id(3), debit(3, 1)));
    let again = TxnId {
        attempt: 1,
        ..id(3)
    };
    shard.apply(&prepare(again, debit(4, 1)));
    let refused = TxnPhase::Prepared(Err(Reason::Locked));
    assert_eq!(shard.phase(again), Some(refused));
}

/// A row stays until the acknowledgement is logged, and until the client has moved on.
#[test]
fn what_may_still_be_asked_for_is_kept() {
    let mut shard = Shard::new(ONE);
    shard.apply(&prepare(id(1), debit(1, 30)));
    shard.apply(&commit(id(1)));
    shard.apply(&transfer(id(2), 2, 3, 1));
    assert!(shard.phase(id(1)).is_some(), "not acknowledged");
    assert_eq!(
        shard.apply(&Command::Acked { id: id(1) }),
        Applied::Acked(id(1))
    );
    assert_eq!(shard.phase(id(1)), None);
    assert!(shard.machine.is_old(id(1)));
    assert_eq!(shard.apply(&Command::Acked { id: id(1) }), Applied::Nothing);
}

/// An item takes with it what was done in its name.
#[test]
fn who_owns_a_sender_next_knows_what_was_done() {
    let (mut from, mut to) = (Shard::new(ONE), Shard::new(TWO));
    from.apply(&transfer(id(1), 1, 2, 40));
    let mover = TxnId {
        client: ClientId(9),
        ..id(1)
    };
    from.apply(&prepare(mover, Part::Leave { item: 1, to: TWO }));
    let row = from.machine.transaction(mover).unwrap().clone();
    let arrive = Part::Arrive {
        item: 1,
        balance: 60,
    };
    assert_eq!(row.carried, 60);
    to.apply(&join(mover, arrive));
    assert_eq!(to.balance(1), None);
    from.apply(&commit(mover));
    let clients = from.machine.transaction(mover).unwrap().clients.clone();
    to.apply(&Command::Commit {
        id: mover,
        seq: 1,
        clients,
    });
    assert_eq!((from.balance(1), to.balance(1)), (None, Some(60)));
    let retried = TxnId { home: TWO, ..id(1) };
    assert_eq!(to.apply(&transfer(retried, 1, 11, 40)), Applied::Nothing);
    assert_eq!(to.balance(1), Some(60));
    assert_eq!(
        from.machine.gained(&from.place()) + to.machine.gained(&to.place()),
        0
    );
}

fn anything(draws: &mut Prng) -> Command {
    let mut below = |bound| draws.below(bound);
    let id = TxnId {
        client: ClientId(below(3)),
        home: if below(4) == 0 { TWO } else { ONE },
        number: below(5),
        attempt: below(2) as u32,
    };
    let (item, other, amount) = (below(12) as u32, below(12) as u32, below(60));
    let side = if id.home == ONE {
        COORDINATOR
    } else {
        PARTICIPANT
    };
    match below(8) {
        0 | 1 => transfer(id, item.max(1), other.max(1), amount),
        2 => Command::Prepare {
            id,
            part: debit(item.max(1), amount),
            side,
        },
        3 => Command::Prepare {
            id,
            part: credit(item.max(1), amount),
            side,
        },
        4 => commit(id),
        5 => abort(id, side),
        6 => Command::Prepare {
            id,
            part: Part::Leave {
                item: item.max(1),
                to: TWO,
            },
            side,
        },
        _ => Command::Acked { id },
    }
}

/// Whatever is logged, the tables fit together, a copy that starts from a snapshot goes on alike, and money moves at C or
/// within the cluster alone.
#[test]
fn any_log_keeps_the_tables_sound_and_a_snapshot_stands_for_it() {
    for seed in 0..400 {
        let mut draws = Prng::new(seed, "machine", 0, 0);
        let mut shard = Shard::new(ONE);
        let mut copy: Option<Shard> = None;
        for step in 0..80 {
            let command = anything(&mut draws);
            let before = shard.machine.gained(&shard.place());
            let applied = shard.apply(&command);
            let moved = shard.machine.gained(&shard.place()) - before;
            assert!(
                moved == 0 || matches!(command, Command::Commit { .. }),
                "{seed}: {command:?}"
            );
            if let Some(copy) = &mut copy {
                assert_eq!(copy.apply(&command), applied);
                assert_eq!(copy.machine, shard.machine, "{seed}");
            } else if step == 40 {
                let mut late = Shard::new(ONE);
                assert!(late.machine.install(&shard.machine.snapshot()));
                assert!(
                    !late.machine.install(&shard.machine.snapshot()),
                    "not a second time"
                );
                copy = Some(late);
            }
        }
    }
}

#[test]
fn parameters_that_make_no_sense_are_refused_by_name() {
    let groups = [1, 1, 2].map(GroupId);
    let members = |groups: &[GroupId]| members(Crypto::Simulated, groups);
    let refused =
        |config: ShardedConfig, groups: &[GroupId]| config.check(&members(groups)).unwrap_err();
    let sound = ShardedConfig::default();
    assert_eq!(sound.check(&members(&groups)), Ok(()));
    assert_eq!(sound.check(&members(&[GroupId(0)])), Ok(()));
    let late = ShardedConfig {
        heartbeat_ms: 300,
        ..sound.clone()
    };
    assert_eq!(
        refused(late, &groups),
        "heartbeat_ms = 300: expected less than election_timeout_ms = 200"
    );
    let unknown = ShardedConfig {
        balances: Vec::from([(9_000, 1)]),
        ..sound.clone()
    };
    assert!(refused(unknown, &groups).starts_with("balances: [9000, 1]: expected each item once"));
    assert!(refused(sound, &[1, 3].map(GroupId)).starts_with("group 2: expected members"));
}
