//! Links: a run that was shared is the same run, and what is no link is refused.

use std::collections::BTreeSet;

use phaselab_core::link::{CHARS_MAX, Link, LinkError, Seen, Shared};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{self, Act, Behaviour, CrashPoint, DiskFault, Scenario, Selector};
use phaselab_core::sim::Sim;
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::trace::{FORMAT, Trace};
use phaselab_core::types::NodeId;
use proptest::prelude::*;

fn find(name: &str) -> Option<(&'static str, Scenario)> {
    let entry = scenario::find(name).ok()?;
    let file = format!("{}.toml", entry.name);
    Some((
        entry.name,
        scenario::parse(&file, entry.text).expect("a scenario"),
    ))
}

fn scenarios() -> impl Iterator<Item = (&'static str, Scenario)> {
    scenario::builtin()
        .iter()
        .map(|entry| find(entry.name).expect("built in"))
}

fn acts() -> Vec<Vec<Act>> {
    let (one, two) = (NodeId(1), NodeId(2));
    let from = |node| Selector {
        from: Some(node),
        ..Selector::default()
    };
    let crash = Act::Crash {
        node: one,
        when: CrashPoint::BetweenSteps,
    };
    vec![
        Vec::new(),
        vec![crash.clone(), Act::Restart { node: one }],
        vec![
            Act::Partition {
                groups: vec![vec![one], vec![two]],
            },
            Act::Heal,
        ],
        vec![
            Act::Delay {
                select: from(one),
                by_ms: 70,
            },
            Act::Drop(from(two)),
        ],
        vec![
            Act::Byzantine {
                node: two,
                behaviour: Behaviour::Mute,
            },
            Act::Skew {
                node: one,
                rate_permille: 1500,
            },
        ],
        vec![Act::Disk {
            node: two,
            fault: DiskFault::Lose,
        }],
        // What was done is impossible, and stays so.
        vec![Act::Restart { node: one }, crash],
    ]
}

/// A run with acts by hand at these steps, at its end, as the page plays it.
fn played(scenario: &Scenario, acts: &[Act], first: u64) -> Timeline {
    let mut run = Timeline::new(scenario).expect("a run");
    for (place, act) in acts.iter().enumerate() {
        run.seek(first + 7 * place as u64);
        let _told_to_a_person = run.intervene(act.clone());
    }
    run.run();
    run
}

#[test]
fn a_shared_run_is_the_same_run_and_so_is_its_trace() {
    let mut hashes = BTreeSet::new();
    for (place, (name, scenario)) in scenarios().enumerate() {
        let all = acts();
        for (kind, acts) in all.iter().enumerate() {
            // Of a crowd's run, which takes a second, one of them.
            if scenario.nodes > 12 && kind != place % all.len() {
                continue;
            }
            let firsts = [0, 9, 40];
            // Runs of other protocols are long: each act is tried once in each, at another step in the next.
            let is_short = scenario.protocol == ProtocolKind::TwoPhase;
            let turn = (place + kind) % firsts.len();
            let mine = if is_short { 0..=2 } else { turn..=turn };
            for first in firsts[mine].iter().copied() {
                let run = played(&scenario, acts, first);
                let link = Link::of(run.sim(), &find).unwrap();
                assert!(matches!(&link.scenario, Shared::Builtin { name: of, .. } if of == name));
                let token = link.token().unwrap();
                assert_eq!(Link::parse(&token), Ok(link.clone()));
                let address = format!("https://example.org/phaselab/#/run/{token}");
                assert_eq!(Link::parse(&address), Ok(link.clone()));
                let (trace, again) = Trace::record(link.to_sim(&find).unwrap());
                let hash = run.sim().trace_hash();
                assert_eq!(
                    (again.trace_hash(), again.steps()),
                    (hash, run.sim().steps()),
                    "{name} {acts:?}"
                );
                assert_eq!(
                    again.interventions_by_hand(),
                    run.sim().interventions_by_hand()
                );
                assert_eq!(trace.replay(|_| {}).unwrap().trace_hash(), hash);
                assert_eq!(link.is_as_seen(&again), Some(true));
                hashes.insert(hash);
            }
        }
    }
    // What was done made a difference.
    assert!(hashes.len() > 60, "{}", hashes.len());
}

#[test]
fn what_was_seen_midway_is_seen_again_and_a_rewound_run_keeps_what_lies_ahead() {
    let (_, scenario) = find("three-signers").unwrap();
    let crash = Act::Crash {
        node: NodeId(1),
        when: CrashPoint::BetweenSteps,
    };
    let mut run = played(&scenario, &[crash], 20);
    let end = run.sim().trace_hash();
    for step in [0, 5, 19, 20, 21, 30] {
        run.seek(step);
        let link = Link::of(run.sim(), &find).unwrap();
        assert_eq!((link.seen.step, link.by_hand.len()), (step, 1));
        let mut again = Timeline::of(link.to_sim(&find).unwrap());
        assert_eq!(link.is_as_seen(again.sim()), (step == 0).then_some(true));
        again.seek(step);
        assert_eq!(link.is_as_seen(again.sim()), Some(true), "step {step}");
        assert_eq!(again.sim().trace_hash(), run.sim().trace_hash());
        again.run();
        assert_eq!(again.sim().trace_hash(), end);
        let mut other = link.clone();
        other.seen.hash[3] ^= 1;
        again.seek(step);
        assert_eq!(other.is_as_seen(again.sim()), Some(false));
    }
}

#[test]
fn what_differs_from_a_built_in_scenario_goes_along() {
    let (name, mut scenario) = find("three-signers").unwrap();
    scenario.seed = u64::MAX;
    scenario.flaws = vec!["S0-F1".to_owned()];
    let sim = Sim::new(&scenario).unwrap();
    let link = Link::of(&sim, &find).unwrap();
    let Shared::Builtin { seed, flaws, .. } = &link.scenario else {
        panic!("{name} is built in");
    };
    assert_eq!((*seed, flaws), (u64::MAX, &scenario.flaws));
    assert!(link.token().unwrap().len() < 120);
    assert_eq!(link.to_sim(&find).unwrap().scenario(), &scenario);
    // More than a name can say.
    scenario.nodes = 4;
    scenario.groups.push(scenario.groups[0]);
    let link = Link::of(&Sim::new(&scenario).unwrap(), &find).unwrap();
    assert!(matches!(link.scenario, Shared::Whole(_)));
    let read = Link::parse(&link.token().unwrap()).unwrap();
    assert_eq!(read.to_sim(&|_| None).unwrap().scenario(), &scenario);
    // Swarms have no file.
    let swarm = ProtocolKind::TwoPhase.swarm(3);
    let link = Link::of(&Sim::new(&swarm).unwrap(), &find).unwrap();
    let read = Link::parse(&link.token().unwrap()).unwrap();
    assert_eq!(read.to_sim(&find).unwrap().scenario(), &swarm);
}

#[test]
fn a_long_link_leaves_its_text_behind_and_a_longer_one_is_refused() {
    let mut scenario = find("three-signers").unwrap().1;
    scenario.name = "mine".to_owned();
    scenario.source.push_str(&"# a remark\n".repeat(800));
    let link = Link::of(&Sim::new(&scenario).unwrap(), &find).unwrap();
    assert!(link.to_bytes().len() > CHARS_MAX);
    let read = Link::parse(&link.token().unwrap()).unwrap();
    let bare = read.to_sim(&find).unwrap();
    assert!(bare.scenario().source.is_empty());
    assert_eq!(Link::from_bytes(&link.to_bytes()), Ok(link));
    assert_eq!(bare.scenario().interventions, scenario.interventions);
    scenario.title = "x".repeat(7_000);
    let link = Link::of(&Sim::new(&scenario).unwrap(), &find).unwrap();
    let error = link.token().unwrap_err();
    let LinkError::TooLong { chars } = error else {
        panic!("{error}");
    };
    assert!((9_000..12_000).contains(&chars), "{chars}");
    let error = LinkError::TooLong { chars: 9_412 }.to_string();
    assert_eq!(
        error,
        "Too long for a link (9,412 of 8,000). Download instead."
    );
}

#[test]
fn a_link_of_another_format_names_its_scenario() {
    let (_, mut scenario) = find("late-joiner").unwrap();
    scenario.seed = 5;
    let link = Link::of(&Sim::new(&scenario).unwrap(), &find).unwrap();
    let mut bytes = link.to_bytes();
    bytes[0] = 2;
    // Its body is of that format, its check too.
    bytes.extend_from_slice(&[9, 9, 9]);
    assert_eq!(Link::from_bytes(&bytes), Err(LinkError::Damaged));
    let mut hasher = blake3::Hasher::new_derive_key("phaselab 2026-11 link v1");
    let check = hasher.update(&[2, 0]).update(&bytes[6..]).finalize();
    bytes[2..6].copy_from_slice(&check.as_bytes()[..4]);
    let error = Link::from_bytes(&bytes).unwrap_err();
    let known = Some(("two-phase/late-joiner".to_owned(), 5));
    assert_eq!(
        error,
        LinkError::OtherFormat {
            format: 2,
            scenario: known
        }
    );
    assert_eq!(
        error.to_string(),
        format!(
            "Link made by trace format 2; this page reads {FORMAT}. Open its scenario without the trace?"
        )
    );
}

#[test]
fn every_cut_and_every_bent_bit_is_noticed() {
    let (_, scenario) = find("three-signers").unwrap();
    let run = played(&scenario, &acts()[1], 9);
    let bytes = Link::of(run.sim(), &find).unwrap().to_bytes();
    for length in 0..bytes.len() {
        assert!(
            Link::from_bytes(&bytes[..length]).is_err(),
            "{length} bytes"
        );
    }
    for bit in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(Link::from_bytes(&bent).is_err(), "bit {bit}");
    }
}

#[test]
fn a_well_made_link_to_what_cannot_be_is_refused_when_it_is_opened() {
    let base = |scenario| Link {
        scenario,
        by_hand: Vec::new(),
        seen: Seen::default(),
    };
    let builtin = |name: &str, flaw: &str| {
        base(Shared::Builtin {
            name: name.to_owned(),
            seed: 7,
            rules: Default::default(),
            flaws: vec![flaw.to_owned()],
        })
    };
    let opened = |link: &Link| {
        Link::from_bytes(&link.to_bytes())
            .unwrap()
            .to_sim(&find)
            .map(|_| ())
    };
    assert_eq!(
        opened(&builtin("two-phase/nowhere", "S0-F1")),
        Err(LinkError::UnknownScenario("two-phase/nowhere".to_owned()))
    );
    let flawed = opened(&builtin("two-phase/three-signers", "S9-F9"));
    assert!(
        matches!(flawed, Err(LinkError::Impossible(_))),
        "{flawed:?}"
    );
    let mut scenario = find("three-signers").unwrap().1;
    scenario.nodes = 0;
    let empty = opened(&base(Shared::Whole(Box::new(scenario))));
    assert!(matches!(empty, Err(LinkError::Impossible(_))), "{empty:?}");
    let run = played(&find("three-signers").unwrap().1, &acts()[1], 9);
    let mut link = Link::of(run.sim(), &find).unwrap();
    link.by_hand[0].act = Act::Restart { node: NodeId(9) };
    assert!(matches!(opened(&link), Err(LinkError::Impossible(_))));
    link.by_hand.swap(0, 1);
    assert_eq!(Link::from_bytes(&link.to_bytes()), Err(LinkError::Damaged));
}

proptest! {
    #[test]
    fn garbage_is_an_error(text in "[A-Za-z0-9_-]{0,400}|\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Link::parse(&text).is_err());
        prop_assert!(Link::from_bytes(&bytes).is_err());
    }

    #[test]
    fn a_garbage_body_behind_a_good_check_is_an_error(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut rest = vec![0];
        rest.extend_from_slice(&7_u64.to_le_bytes());
        rest.extend_from_slice(&body);
        let mut hasher = blake3::Hasher::new_derive_key("phaselab 2026-11 link v1");
        let check = hasher.update(&FORMAT.to_le_bytes()).update(&rest).finalize();
        let mut bytes = FORMAT.to_le_bytes().to_vec();
        bytes.extend_from_slice(&check.as_bytes()[..4]);
        bytes.extend(rest);
        // If it is a link, then to nothing that runs, or to a run: never a panic.
        if let Ok(link) = Link::from_bytes(&bytes) {
            prop_assert!(link.to_sim(&find).is_err());
        }
    }
}
