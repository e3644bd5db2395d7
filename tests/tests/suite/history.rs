//! Histories of clients: the checker against another one on random histories, and over whole runs of the swarm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use phaselab_core::export::{Format, export};
use phaselab_core::history::{
    Call, Happened, History, Kind, Verdict, Workload, judge, of_run, read,
};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{builtin, parse};
use phaselab_core::sim::Sim;
use phaselab_core::sim::swarm::Draws;
use phaselab_core::types::Time;
use porcupine_rs::{Model, Operation, check_operations};

/// What every item holds at first.
const FIRST: i64 = 10;

const ITEMS: u64 = 3;

/// Registers and accounts, the way Porcupine wants them.
#[derive(Clone, Debug)]
struct Theirs;

/// A call, and whether it is known to have taken effect.
type Op = (Call, bool);

impl Model for Theirs {
    type State = Vec<i64>;
    type Op = Op;
    type Metadata = ();

    fn init() -> Vec<i64> {
        vec![FIRST; ITEMS as usize]
    }

    /// What nobody knows is put last of all if it did nothing: there it changes nothing that anybody saw.
    fn step(state: &Vec<i64>, (call, is_known): &Op) -> (bool, Vec<i64>) {
        let mut after = state.clone();
        let did = match call {
            Call::Read(told) => told
                .iter()
                .all(|(item, held)| !is_known || *held == Some(state[*item as usize])),
            Call::Write(item, held) => {
                after[*item as usize] = *held;
                true
            }
            Call::Cas(item, old, new) => {
                let is_old = state[*item as usize] == *old;
                if is_old {
                    after[*item as usize] = *new;
                }
                is_old
            }
            Call::Transfer { from, to, amount } => {
                let has = state[*from as usize] >= *amount;
                if has {
                    after[*from as usize] -= amount;
                    after[*to as usize] += amount;
                }
                has
            }
            Call::Other(_) => true,
        };
        (did || !is_known, after)
    }
}

/// What Porcupine says.
fn is_linearizable(history: &History) -> bool {
    let mut operations: Vec<Operation<Theirs>> = Vec::new();
    for (place, event) in history.events.iter().enumerate() {
        let at = place as i64;
        if event.kind == Kind::Invoke {
            operations.push(Operation {
                client_id: Some(event.process as u32),
                call_time: at,
                return_time: i64::MAX,
                op: (event.call.clone(), false),
                metadata: None,
            });
            continue;
        }
        let mut of_process = operations
            .iter()
            .rposition(|operation| operation.client_id == Some(event.process as u32));
        let begun = of_process.take().expect("what ends has begun");
        match event.kind {
            Kind::Ok => {
                operations[begun].return_time = at;
                operations[begun].op = (event.call.clone(), true);
            }
            Kind::Fail => {
                operations.remove(begun);
            }
            Kind::Info | Kind::Invoke => {}
        }
    }
    check_operations(&operations)
}

/// A history in which every operation takes effect at one moment between its beginning and its end, if it does.
fn random(seed: u64, workload: Workload) -> History {
    let mut draws = Draws::new(seed);
    let mut held = vec![FIRST; ITEMS as usize];
    let mut history = History {
        initial: Some(FIRST),
        accounts: Vec::new(),
        events: Vec::new(),
    };
    // A process is idle, or has begun, or has taken effect.
    let processes = draws.between(2, 5);
    let mut open: Vec<Option<(Call, bool)>> = vec![None; processes as usize];
    let mut names: Vec<u64> = (0..processes).collect();
    for _ in 0..draws.between(20, 90) {
        let at = draws.between(0, processes - 1) as usize;
        let (item, other) = (draws.between(0, ITEMS - 1), draws.between(0, ITEMS - 2));
        let mut push = |kind, call: &Call, process| {
            history.events.push(Happened {
                process,
                kind,
                call: call.clone(),
                at: Time::from_ms(seed),
                error: None,
            });
        };
        match &mut open[at] {
            None => {
                let (value, old) = (draws.between(0, 4) as i64, draws.between(0, 4) as i64);
                let call = match (workload, draws.between(0, 3)) {
                    (_, 0 | 1) => Call::Read(vec![(item, None)]),
                    (Workload::Bank, _) => Call::Transfer {
                        from: item,
                        to: (item + 1 + other) % ITEMS,
                        amount: value + 3,
                    },
                    (Workload::Register, 2) => Call::Write(item, value),
                    (Workload::Register, _) => Call::Cas(item, old, value),
                };
                push(Kind::Invoke, &call, names[at]);
                open[at] = Some((call, false));
            }
            Some((call, done @ false)) => {
                let (did, after) = Theirs::step(&held, &(call.clone(), false));
                assert!(did, "what is not known is never refused");
                let would = Theirs::step(&held, &(call.clone(), true)).0;
                if let Call::Read(told) = call {
                    told.iter_mut()
                        .for_each(|(item, value)| *value = Some(held[*item as usize]));
                } else if !would {
                    push(Kind::Fail, call, names[at]);
                    open[at] = None;
                    continue;
                }
                if draws.one_in(8) {
                    // Nobody knows; it happened or not.
                    push(Kind::Info, call, names[at]);
                    if draws.one_in(2) {
                        held = after;
                    }
                    names[at] += processes;
                    open[at] = None;
                    continue;
                }
                held = after;
                *done = true;
            }
            Some((call, true)) => {
                push(Kind::Ok, call, names[at]);
                open[at] = None;
            }
        }
    }
    history
}

/// Another answer to one of the reads, if there is one: what a stale or a torn read would be told.
fn bend(history: &mut History, seed: u64) {
    let mut draws = Draws::new(seed);
    let reads = history
        .events
        .iter_mut()
        .filter_map(|event| match (event.kind, &mut event.call) {
            (Kind::Ok, Call::Read(told)) => told.first_mut(),
            _ => None,
        });
    let mut reads: Vec<&mut (u64, Option<i64>)> = reads.collect();
    if !reads.is_empty() {
        let at = draws.between(0, reads.len() as u64 - 1) as usize;
        let (_, held) = &mut *reads[at];
        *held = held.map(|held| (held + 1 + draws.between(0, 4) as i64) % 9);
    }
}

fn holds(history: &History, workload: Workload) -> bool {
    match judge(history, workload).expect("a history of the workload") {
        Verdict::Holds { .. } => true,
        Verdict::Broken { .. } => false,
        Verdict::Undecided { what } => panic!("{what}"),
    }
}

#[test]
fn the_verdict_on_random_histories_is_porcupines() {
    for workload in Workload::ALL {
        let (mut sound, mut broken) = (0, 0);
        for seed in 0..300 {
            let mut history = random(seed, workload);
            assert!(holds(&history, workload), "{workload:?} {seed}");
            assert!(is_linearizable(&history), "{workload:?} {seed}");
            bend(&mut history, seed);
            let ours = holds(&history, workload);
            assert_eq!(ours, is_linearizable(&history), "{workload:?} {seed}");
            *(if ours { &mut sound } else { &mut broken }) += 1;
        }
        // A read that overlaps a write may be bent without harm; most are not.
        assert!(broken > 150 && sound > 5, "{workload:?}: {broken} {sound}");
    }
}

/// Seeds that nobody else draws.
const SWARM: std::ops::Range<u64> = 5_000..5_060;

fn swarm_history(seed: u64) -> History {
    let mut scenario = ProtocolKind::Sharded2pc.swarm(seed);
    scenario.crypto = phaselab_core::crypto::Crypto::Simulated;
    let mut sim = Sim::new(&scenario).expect("nodes that can be built");
    sim.set_check_recovery(false);
    of_run(sim, None).expect("a history")
}

#[test]
fn every_history_of_the_swarm_is_a_banks_and_a_balance_that_nobody_held_is_found() {
    let next = AtomicU64::new(SWARM.start);
    let work = || {
        let (mut reads, mut found) = (0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !SWARM.contains(&seed) {
                return (reads, found);
            }
            let history = swarm_history(seed);
            let verdict = judge(&history, Workload::Bank).expect("a bank's history");
            assert!(
                matches!(verdict, Verdict::Holds { .. }),
                "{seed}: {verdict:?}"
            );
            // Each read in turn is told more than there is: nothing explains it.
            for place in 0..history.events.len() {
                let mut wrong = history.clone();
                let event = &mut wrong.events[place];
                if let (Kind::Ok, Call::Read(told)) = (event.kind, &mut event.call) {
                    told[0].1 = told[0].1.map(|held| held + 1_000_000);
                    reads += 1;
                    found += u32::from(!holds(&wrong, Workload::Bank));
                }
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (reads, found) = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let counts = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        counts.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
    });
    assert!(reads > 40 && found == reads, "{found} of {reads}");
}

/// A leader that is cut off, the next one, a transfer at the next one, and a read at the old one. (S4-F23)
const DEPOSED: &str = r#"
protocol = "sharded-2pc"
nodes = 3
until_ms = 8000
[config]
initial_balance = 10
[[group]]
id = 1
nodes = [1, 2, 3]
[[at]]
ms = 500
do = "partition"
groups = [[1], [2, 3]]
[[at]]
ms = 4000
do = "submit"
to = [2, 3]
request = { transfer = { sender = 1, receiver = 2, amount = 5 } }
[[at]]
ms = 6000
do = "submit"
to = [1]
request = { read = { item = 1 } }
"#;

#[test]
fn a_stale_read_of_the_rules_as_written_is_found_and_hardened_rules_do_not_give_it() {
    let told = |rules: &str| {
        let text = format!("rules = \"{rules}\"\n{DEPOSED}");
        let scenario = parse("deposed.toml", &text).expect("a sound scenario");
        of_run(Sim::new(&scenario).expect("nodes that can be built"), None).expect("a history")
    };
    let written = judge(&told("as-written"), Workload::Bank).expect("a bank's history");
    match written {
        Verdict::Broken { what } => assert!(what.contains("the read of 1 = 10"), "{what}"),
        other => panic!("{other:?}"),
    }
    let hardened = told("hardened");
    let verdict = judge(&hardened, Workload::Bank).expect("a bank's history");
    // The transfer is done; of the read nobody ever hears.
    let expected = Verdict::Holds {
        ended: 1,
        open: 1,
        parts: 1,
    };
    assert_eq!(verdict, expected);
}

#[test]
fn a_run_is_written_for_jepsen_and_reads_back_as_the_same_history() {
    let entry = builtin()
        .iter()
        .find(|entry| entry.name == "sharded-2pc/same-item")
        .expect("a scenario");
    let scenario = parse(entry.name, entry.text).expect("a sound scenario");
    let run = || Sim::new(&scenario).expect("nodes that can be built");
    let kept = of_run(run(), None).expect("a history");
    for format in [Format::JepsenEdn, Format::JepsenJson] {
        let bytes = export(run(), format, None).expect("a history");
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(read(&text).expect("what was written"), kept);
        if format == Format::JepsenJson {
            let all: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
            assert_eq!(all.len(), kept.events.len() + 1);
            assert_eq!(all[0]["process"], "nemesis");
        }
    }
    let entry = &builtin()[0];
    let other = Sim::new(&parse(entry.name, entry.text).expect("a sound scenario"));
    let refused = export(other.expect("nodes"), Format::JepsenEdn, None).unwrap_err();
    assert!(refused.to_string().contains("no items"), "{refused}");
}
