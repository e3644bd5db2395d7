//! What live nodes record of themselves: it runs again, on one clock, and whatever is wrong with it is named.

use std::sync::Arc;

use phaselab_core::codec;
use phaselab_core::crypto::Crypto;
use phaselab_core::oracle;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::sharded_2pc::Request;
use phaselab_core::protocol::snowball::Payment;
use phaselab_core::recording::{
    self, Difference, Ending, Input, Moment, Played, Recording, RecordingError, Rerun, Script,
};
use phaselab_core::sim::Sim;
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::store::{META, TableId};
use phaselab_core::types::{NodeId, Time};
use phaselab_tests::recorded::{Recorded, three_nodes};

/// Clocks that are hours apart, so that times of day put answers before questions.
const SKEWED: [u64; 3] = [0, 9_000_000, 40];

fn lives(files: &[Vec<u8>]) -> Vec<Arc<Recording>> {
    let read = |file: &Vec<u8>| recording::read(file).expect("a recording");
    files.iter().flat_map(read).map(Arc::new).collect()
}

fn reruns(lives: &[Arc<Recording>]) -> Vec<Rerun> {
    let mut reruns: Vec<Rerun> = lives.iter().cloned().map(Rerun::of).collect();
    recording::compare_stores(&mut reruns);
    reruns
}

fn differences(files: &[Vec<u8>]) -> Vec<Option<Difference>> {
    let reruns = reruns(&lives(files));
    reruns.into_iter().map(|rerun| rerun.difference).collect()
}

#[test]
fn every_life_runs_again_and_the_cluster_decides_the_same() {
    for (crypto, skew) in [
        (Crypto::Ed25519, [0, 0, 0]),
        (Crypto::Ed25519, SKEWED),
        (Crypto::Simulated, SKEWED),
    ] {
        let files = three_nodes(crypto, skew);
        let lives = lives(&files);
        let named: Vec<_> = lives
            .iter()
            .map(|life| (life.head.node.0, life.head.incarnation.0, life.ending))
            .collect();
        let (cut, stopped) = (Ending::Cut, Ending::Stopped);
        assert_eq!(
            named,
            [
                (1, 1, stopped),
                (2, 1, stopped),
                (2, 2, stopped),
                (3, 1, cut),
                (3, 2, stopped)
            ]
        );
        let reruns = reruns(&lives);
        for rerun in &reruns {
            assert_eq!(rerun.difference, None, "{}", rerun.life.head.node);
            assert_eq!(rerun.same, rerun.life.moments.len());
        }
        let script = Arc::new(Script::new(&reruns).unwrap());
        assert!(!script.has_gaps);
        let mut sim = Sim::live(&script).unwrap();
        sim.run();
        assert_eq!(sim.steps(), script.steps.len() as u64);
        let report = sim.report();
        let decided: Vec<_> = report
            .decisions
            .iter()
            .map(|decision| (decision.instance.as_str(), decision.nodes.len()))
            .collect();
        assert_eq!(
            decided,
            [("withdraw-1", 3), ("withdraw-2", 3), ("withdraw-3", 3)]
        );
        assert!(
            report.invariants.iter().all(|verdict| verdict.holds),
            "{:?}",
            report.invariants
        );
        assert_eq!(sim.faults().get("crash_between_steps"), Some(&2));
    }
}

#[test]
fn on_one_clock_nothing_is_received_before_it_is_sent() {
    let reruns = reruns(&lives(&three_nodes(Crypto::Simulated, SKEWED)));
    let script = Arc::new(Script::new(&reruns).unwrap());
    assert!(
        script.steps.windows(2).all(|pair| pair[0].at <= pair[1].at),
        "time goes on"
    );
    let mut sim = Sim::live(&script).unwrap();
    let mut flew = 0;
    while let Some(stepped) = sim.step() {
        let step = script.steps[stepped.step as usize];
        let life = &script.lives[step.life];
        let Played::Moment(place) = step.what else {
            continue;
        };
        if let Moment::Input {
            input: Input::Packet(_),
            ..
        } = life.moments[place]
        {
            flew += 1;
        }
        for flight in sim.flights() {
            assert!(flight.sent <= sim.now() && flight.arrives >= sim.now());
        }
    }
    // All but the noise came from recorded nodes, and so flew.
    let refused: u64 = script
        .scenario
        .ids()
        .map(|id| {
            sim.counters(id)
                .get("refused_malformed")
                .copied()
                .unwrap_or(0)
        })
        .sum();
    assert_eq!(refused, 1);
    assert!(flew > 50, "{flew}");
    assert!(sim.flights().is_empty(), "all that was received arrived");
}

#[test]
fn a_live_run_is_seeked_like_any_other_and_left_alone() {
    let reruns = reruns(&lives(&three_nodes(Crypto::Simulated, SKEWED)));
    let script = Arc::new(Script::new(&reruns).unwrap());
    let mut timeline = Timeline::of(Sim::live(&script).unwrap());
    timeline.seek(70);
    let (hash, log) = (timeline.sim().trace_hash(), timeline.sim().log().len());
    timeline.run();
    let end = timeline.sim().trace_hash();
    timeline.seek(70);
    assert_eq!(timeline.sim().trace_hash(), hash);
    assert_eq!(timeline.sim().log().len(), log);
    timeline.seek_time(Time::ZERO);
    timeline.run();
    assert_eq!(timeline.sim().trace_hash(), end);
    let act = phaselab_core::scenario::Act::Heal;
    assert!(timeline.intervene(act).unwrap_err().contains("happened"));
}

#[test]
fn no_secret_is_in_a_file() {
    let cluster = Recorded::start(ProtocolKind::TwoPhase, Crypto::Ed25519, &[0, 0, 0]);
    let secrets = cluster.secrets();
    let files = three_nodes(Crypto::Ed25519, [0, 0, 0]);
    assert_eq!(secrets.len(), 3);
    for (file, secret) in files
        .iter()
        .flat_map(|file| secrets.iter().map(move |s| (file, s)))
    {
        assert!(!file.windows(32).any(|window| window == secret));
    }
}

#[test]
fn a_file_that_ends_anywhere_is_read_up_to_there() {
    let file = &three_nodes(Crypto::Simulated, [0, 0, 0])[3];
    let whole = &lives(std::slice::from_ref(file))[0];
    let (mut empty, mut last) = (0, 0);
    for end in 0..file.len() {
        match recording::read(&file[..end]) {
            Err(RecordingError::Empty) => empty += 1,
            Err(other) => panic!("{end}: {other}"),
            Ok(read) => {
                assert_eq!((read.len(), read[0].ending), (1, Ending::Cut));
                let moments = &read[0].moments;
                assert!(moments.len() >= last && whole.moments.starts_with(moments));
                last = moments.len();
            }
        }
    }
    assert!(empty > 100 && last == whole.moments.len(), "{empty} {last}");
    // What is left runs again as far as it goes.
    let half = recording::read(&file[..file.len() / 2]).unwrap().remove(0);
    assert_eq!(Rerun::of(Arc::new(half)).difference, None);
}

#[test]
fn a_changed_bit_anywhere_is_refused_with_its_place() {
    let file = &three_nodes(Crypto::Simulated, [0, 0, 0])[3];
    let torn = 3;
    for bit in (0..(file.len() - torn) * 8).step_by(5) {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match recording::read(&changed).unwrap_err() {
            RecordingError::Damaged { offset, .. } => assert!(offset as usize <= bit / 8),
            RecordingError::NotARecording => assert!(bit / 8 < 8),
            RecordingError::OtherFormat(_) => assert!((8..10).contains(&(bit / 8))),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn several_lives_stand_in_one_file() {
    let files = three_nodes(Crypto::Simulated, SKEWED);
    let lives = lives(&files);
    let bundle: Vec<u8> = lives.iter().flat_map(|life| life.to_bytes()).collect();
    let again = recording::read(&bundle).unwrap();
    assert_eq!(again.len(), lives.len());
    for (one, other) in lives.iter().zip(&again) {
        let bytes = other.bytes;
        assert_eq!(
            Recording {
                bytes,
                ..one.as_ref().clone()
            },
            *other
        );
    }
    let mut damaged = bundle.clone();
    let second = lives[0].to_bytes().len();
    damaged[second] ^= 1;
    assert_eq!(
        recording::read(&damaged),
        Err(RecordingError::Damaged {
            offset: second as u64,
            inputs: 0
        })
    );
}

/// A life with one moment changed, its file sealed anew.
fn changed(file: &[u8], change: impl FnOnce(&mut Recording)) -> Vec<u8> {
    let mut life = recording::read(file).expect("a recording").remove(0);
    change(&mut life);
    life.to_bytes()
}

#[test]
fn the_first_input_that_differs_is_named() {
    let files = three_nodes(Crypto::Ed25519, [0, 0, 0]);
    let is_packet = |moment: &Moment| {
        matches!(
            moment,
            Moment::Input {
                input: Input::Packet(_),
                ..
            }
        )
    };
    let life = recording::read(&files[0]).unwrap().remove(0);
    let place = life.moments.iter().rposition(is_packet).unwrap();
    let is_input = |moment: &&Moment| matches!(moment, Moment::Input { .. });
    let number = life.moments[..place].iter().filter(is_input).count() as u64;
    let bent = changed(&files[0], |life| {
        if let Moment::Input {
            input: Input::Packet(packet),
            ..
        } = &mut life.moments[place]
        {
            packet[60] ^= 1;
        }
    });
    let rerun = &reruns(&lives(&[bent]))[0];
    assert!(
        matches!(
            rerun.difference,
            Some(Difference::Input { number: at, kind: "packet", .. }) if at == number
        ),
        "{:?}, not {number}",
        rerun.difference
    );
    assert_eq!(rerun.same, place);

    // A time that differs, a fact left away, another seed, a signature left away, another node's.
    let is_named = |file: Vec<u8>| differences(&[file])[0].clone();
    let later = changed(&files[0], |life| {
        if let Some(Moment::Input { now, .. } | Moment::Durable { now, .. }) =
            life.moments.last_mut()
        {
            now.0 += 1;
        }
        let last = life.moments.iter().rposition(|moment| is_input(&moment));
        life.moments.truncate(last.unwrap() + 1);
        if let Some(Moment::Input { now, .. }) = life.moments.last_mut() {
            now.0 += 1;
        }
    });
    assert!(matches!(is_named(later), Some(Difference::Input { .. })));
    let fewer = changed(&files[0], |life| drop(life.moments.remove(1)));
    assert!(matches!(
        is_named(fewer),
        Some(Difference::Input { number: 1, .. })
    ));
    let unsigned = changed(&files[0], |life| {
        let signatures = Arc::make_mut(&mut life.signatures);
        signatures.pop_first();
    });
    assert!(matches!(is_named(unsigned), Some(Difference::Input { .. })));
    let forged = changed(&files[0], |life| {
        let signatures = Arc::make_mut(&mut life.signatures);
        let (preimage, mut signature) = signatures.pop_first().unwrap();
        signature.0[0] ^= 1;
        signatures.insert(preimage, signature);
    });
    assert!(matches!(
        is_named(forged),
        Some(Difference::Signature { .. })
    ));
    let other = changed(&files[0], |life| life.head.node = NodeId(2));
    assert!(matches!(
        is_named(other),
        Some(Difference::Signature { .. })
    ));
    let early = changed(&files[0], |life| {
        let (now, batch) = (life.last(), 9_999);
        life.moments.push(Moment::Durable { now, batch });
    });
    assert_eq!(is_named(early), Some(Difference::Durable { batch: 9_999 }));
}

#[test]
fn a_store_that_changed_between_two_lives_is_noticed() {
    let run = |tamper: &dyn Fn(&mut Recorded), kill: bool| {
        let mut cluster = Recorded::start(ProtocolKind::TwoPhase, Crypto::Simulated, &[0, 0, 0]);
        cluster.submit(NodeId(1), "withdraw-1", 25);
        cluster.run(60);
        if kill {
            cluster.kill(NodeId(2));
        } else {
            cluster.stop(NodeId(2));
        }
        tamper(&mut cluster);
        cluster.revive(NodeId(2));
        cluster.run(30);
        differences(&cluster.finish())
    };
    let nothing = |_: &mut Recorded| {};
    assert_eq!(run(&nothing, false), [None, None, None, None]);
    assert_eq!(run(&nothing, true), [None, None, None, None]);
    let forget = |cluster: &mut Recorded| {
        cluster.tamper(NodeId(2), |rows| {
            let tables: Vec<TableId> = rows.tables().filter(|table| *table != META).collect();
            tables.into_iter().for_each(|table| rows.clear_table(table));
        });
    };
    assert_eq!(run(&forget, false)[2], Some(Difference::Rows));
    // A store that was put back to before its last life lives it again.
    let restore = |cluster: &mut Recorded| {
        cluster.tamper(NodeId(2), |rows| *rows = Default::default());
    };
    assert_eq!(run(&restore, true)[2], Some(Difference::Rows));
}

#[test]
fn what_is_missing_is_no_fault_of_those_who_were_recorded() {
    let files = three_nodes(Crypto::Simulated, [0, 0, 0]);
    // One node was not recorded; then one whose first life is missing; then one that stopped being recorded.
    let first_life_missing: Vec<Vec<u8>> = [0, 1, 2, 4].map(|place| files[place].clone()).into();
    let full = changed(&files[1], |life| {
        life.moments.truncate(12);
        life.ending = Ending::Full;
    });
    let cases = [
        (
            vec![files[0].clone(), files[1].clone(), files[2].clone()],
            false,
        ),
        (vec![files[4].clone()], true),
        (first_life_missing, true),
        (
            vec![files[0].clone(), full, files[3].clone(), files[4].clone()],
            true,
        ),
    ];
    for (files, has_gaps) in cases {
        let reruns = reruns(&lives(&files));
        let script = Arc::new(Script::new(&reruns).unwrap());
        assert_eq!(script.has_gaps, has_gaps);
        let mut sim = Sim::live(&script).unwrap();
        sim.run();
        assert!(sim.holds(), "{:?}", sim.verdicts());
        assert!(!sim.decisions().is_empty());
    }
}

#[test]
fn what_takes_all_members_to_judge_is_left_where_some_are_not_recorded() {
    let mut cluster = Recorded::start(ProtocolKind::Sharded2pc, Crypto::Simulated, &[0; 6]);
    cluster.run(1_000);
    let request = codec::encode(&Request::Transfer {
        sender: 1001,
        receiver: 3001,
        amount: 3,
    });
    for node in [1, 2, 3] {
        cluster.ask(NodeId(node), 1, request.clone());
    }
    cluster.run(1_000);
    let files = cluster.finish();
    for recorded in 1..64_u32 {
        let is_recorded = |place: &usize| recorded & (1 << place) != 0;
        let some: Vec<_> = (0..6)
            .filter(is_recorded)
            .map(|place| files[place].clone())
            .collect();
        let script = Arc::new(Script::new(&reruns(&lives(&some))).unwrap());
        assert!(!script.has_gaps);
        let mut sim = Sim::live(&script).unwrap();
        sim.run();
        assert!(sim.holds(), "{recorded:b}: {:?}", sim.verdicts());
        let ended = sim.report().decisions;
        assert!(
            ended
                .iter()
                .any(|decision| decision.instance.starts_with("2pc-"))
        );
        let verdicts = sim.verdicts();
        let left: Vec<_> = verdicts
            .iter()
            .filter(|verdict| verdict.detail == oracle::AS_HEARD)
            .map(|verdict| verdict.name)
            .collect();
        let expected: &[&str] = match some.len() {
            6 => &[],
            _ => &["answers", "reads", "conservation"],
        };
        assert_eq!(left, expected, "{recorded:b}");
    }
}

#[test]
fn what_an_earlier_life_said_is_not_missed_in_a_later_one() {
    let mut cluster = Recorded::start(ProtocolKind::Snowball, Crypto::Simulated, &[0; 5]);
    let nodes = (1..=5).map(NodeId);
    let pays = |cluster: &mut Recorded, number: u64, payment: &Payment| {
        let payment = payment.sign().expect("a sound payment");
        for node in nodes.clone() {
            cluster.ask(node, number, codec::encode(&payment));
        }
        payment.signed.transaction.id()
    };
    let first = pays(&mut cluster, 1, &Payment::new("alice", "bob", 25));
    // Final, and not yet in a block.
    cluster.run(400);
    for node in nodes.clone() {
        cluster.stop(node);
        cluster.revive(node);
    }
    cluster.run(3_000);
    let mut second = Payment::new("bob", "carol", 5);
    second.spend = vec![format!("{}:0", first)];
    second.holds = vec![25];
    pays(&mut cluster, 2, &second);
    cluster.run(3_000);
    let files = cluster.finish();
    let second_lives: Vec<_> = files.iter().skip(1).step_by(2).cloned().collect();
    for (files, is_whole) in [
        (files.clone(), true),
        (second_lives.clone(), false),
        (vec![second_lives[2].clone()], false),
    ] {
        let script = Arc::new(Script::new(&reruns(&lives(&files))).unwrap());
        assert_eq!(script.has_gaps, !is_whole);
        let mut sim = Sim::live(&script).unwrap();
        sim.run();
        assert!(sim.holds(), "{:?}", sim.verdicts());
        let verdicts = sim.verdicts();
        let left = verdicts
            .iter()
            .filter(|verdict| verdict.detail == oracle::AS_HEARD);
        assert_eq!(left.count(), if is_whole { 0 } else { 3 });
        let ended = sim.report().decisions;
        assert!(
            ended.iter().any(|decision| decision.instance == "block 1"),
            "{ended:?}"
        );
        assert!(
            ended
                .iter()
                .any(|decision| decision.instance.ends_with(":0")
                    && decision.instance != "alice:0"),
            "{ended:?}"
        );
    }
}

#[test]
fn lives_of_two_clusters_are_not_one_run() {
    let files = three_nodes(Crypto::Simulated, [0, 0, 0]);
    let other = changed(&files[1], |life| life.head.genesis.name = "other".into());
    let reruns = reruns(&lives(&[files[0].clone(), other]));
    let Err(error) = Script::new(&reruns) else {
        panic!("two clusters")
    };
    assert_eq!(
        error.to_string(),
        "recordings of two clusters, simulated and other; expected those of one"
    );
    assert!(Script::new(&[]).is_err());
}

#[test]
fn two_decisions_that_contradict_each_other_break_agreement() {
    // Two clusters of the same keys, one of which paid something else before: the same event gets another template.
    let decide = |before: &[(&str, u64)]| {
        let mut cluster = Recorded::start(ProtocolKind::TwoPhase, Crypto::Simulated, &[0, 0, 0]);
        for (event, amount) in before.iter().chain(&[("withdraw-1", 25)]) {
            cluster.submit(NodeId(1), event, *amount);
            cluster.run(1_500);
        }
        cluster.finish()
    };
    let (one, other) = (decide(&[]), decide(&[("withdraw-0", 620)]));
    let run = |files: &[Vec<u8>]| {
        let script = Script::new(&reruns(&lives(files))).unwrap();
        let mut sim = Sim::live(&Arc::new(script)).unwrap();
        sim.run();
        sim
    };
    assert!(run(&other).holds());
    let split = run(&[one[0].clone(), other[1].clone()]);
    let broken: Vec<_> = split
        .verdicts()
        .into_iter()
        .filter(|verdict| !verdict.holds)
        .map(|verdict| verdict.name)
        .collect();
    assert!(broken.contains(&"agreement"), "{broken:?}");
}
