//! Sharded two-phase commit, from outside: drawn scenarios, and what clients of the built-in ones are told.

use phaselab_core::codec::decode;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::sharded_2pc::command::Reason;
use phaselab_core::protocol::sharded_2pc::{Reply, Request};
use phaselab_core::scenario::{Act, find, parse};
use phaselab_core::sim::Sim;
use phaselab_core::types::NodeId;
use phaselab_core::view::ViewScope;
use phaselab_tests::drawn;

/// F1 to F31 of the document at once: whatever fails, no money is made or lost, and when it is over every transfer ends.
#[test]
fn every_seed_keeps_every_promise_and_every_transfer_ends() {
    let drawn = drawn::run(ProtocolKind::Sharded2pc, 100_000..100_120, 20);
    let failures = drawn.failures();
    assert!(failures.is_empty(), "{failures}");
    drawn.assert_fired(&["resubmission"]);
    drawn.assert_counted(&[
        ("sharded_2pc_commits_total", 500),
        ("sharded_2pc_aborts_total", 500),
        ("sharded_2pc_elections_won_total", 500),
        ("sharded_2pc_lock_retries_total", 20),
        ("sharded_2pc_snapshots_installed_total", 10),
        ("sharded_2pc_reads_total", 50),
        ("sharded_2pc_cross_shard_transactions_total", 250),
    ]);
}

fn play(name: &str) -> Sim {
    let builtin = find(&format!("sharded-2pc/{name}")).expect("a built-in scenario");
    let scenario = parse(builtin.name, builtin.text).expect("a scenario that is built in");
    let mut sim = Sim::new(&scenario).expect("nodes that can be built");
    sim.run();
    assert!(sim.report().is_as_expected(), "{name}: {:#?}", sim.report());
    sim
}

/// A transfer that was told to its client, while the receiver's cluster cannot hear of it: whoever reads the receiver then
/// waits, since the old balance would deny what was told.
#[test]
fn what_may_be_on_its_way_is_waited_for_by_reads() {
    let builtin = find("sharded-2pc/reference-transfer").expect("a built-in scenario");
    let (setting, _) = builtin
        .text
        .split_once("[[at]]")
        .expect("something is done");
    let setting = setting.replace("until_ms = 400", "until_ms = 900");
    let text = format!(
        "{setting}\
         [[at]]\nms = 100\ndo = \"submit\"\nto = [1]\n\
         request = {{ transfer = {{ sender = 1001, receiver = 3001, amount = 10 }} }}\n\
         [[at]]\nms = 106\ndo = \"partition\"\ngroups = [[1, 2, 3], [4, 5, 6, 7, 8, 9]]\n\
         [[at]]\nms = 200\ndo = \"submit\"\nto = [4]\nrequest = {{ read = {{ item = 3001 }} }}\nclient = 1001\n\
         [[at]]\nms = 300\ndo = \"submit\"\nto = [4]\nrequest = {{ read = {{ item = 3001 }} }}\nclient = 1001\n\
         [[at]]\nms = 200\ndo = \"submit\"\nto = [4]\nrequest = {{ read = {{ item = 3002 }} }}\n\
         [[at]]\nms = 500\ndo = \"heal\"\n"
    );
    let mut sim = Sim::new(&parse("late.toml", &text).expect("sound")).expect("nodes");
    sim.run();
    assert!(sim.report().is_as_expected(), "{:#?}", sim.report());
    let answers = answers(&sim);
    let read = |item: u32| {
        answers.iter().find_map(|(ms, _, reply)| match reply {
            Reply::Balance { item: of, balance } if *of == item => Some((*ms, *balance)),
            _ => None,
        })
    };
    let committed = answers
        .iter()
        .find(|(_, _, reply)| matches!(reply, Reply::Success { .. }));
    assert!(committed.is_some_and(|(ms, ..)| *ms < 110), "{answers:?}");
    let (told_ms, balance) = read(3_001).expect("an answer, in the end");
    assert!(told_ms >= 500 && balance == 60, "{told_ms} {balance}");
    let told = answers.iter().filter(|(_, client, _)| *client == 1_001);
    assert_eq!(
        told.count(),
        1,
        "who asks again while it waits is told once"
    );
    let (told_ms, _) = read(3_002).expect("what nothing holds is read at once");
    assert!(told_ms < 210, "{told_ms}");
}

/// The final answers, in order: when, and to which client.
fn answers(sim: &Sim) -> Vec<(u64, u64, Reply)> {
    let told = sim.replies().iter().map(|reply| {
        let words = decode::<Reply>(&reply.reply).expect("a reply of this protocol");
        (reply.at.as_ms(), reply.client.0, words)
    });
    let is_final = |reply: &Reply| !matches!(reply, Reply::Accepted | Reply::NotLeader { .. });
    told.filter(|(_, _, reply)| is_final(reply)).collect()
}

/// The clients whose requests succeeded, each once.
fn successes(sim: &Sim) -> Vec<u64> {
    let answers = answers(sim).into_iter();
    let done = answers.filter(|(_, _, reply)| matches!(reply, Reply::Success { .. }));
    let mut clients: Vec<u64> = done.map(|(_, client, _)| client).collect();
    clients.sort_unstable();
    clients.dedup();
    clients
}

/// What every member of the item's cluster that runs has in its table.
fn balance(sim: &Sim, item: u32) -> u64 {
    let mut found = Vec::new();
    let cluster = usize::try_from((item - 1) / 3_000).expect("a small number");
    for node in (1..=3).map(|place| NodeId((cluster * 3 + place) as u16)) {
        if !sim.is_alive(node) {
            continue;
        }
        let view = sim.view(node, ViewScope::Full);
        let texts = view.fields.iter().map(|field| field.text.clone());
        let text = texts.into_iter().find_map(|text| {
            let held = text.strip_prefix(&format!("{item}: "))?;
            held.parse().ok()
        });
        found.push(text);
    }
    let first = found[0].expect("an item that was touched, and is not held");
    assert!(
        found.iter().all(|other| *other == Some(first)),
        "item {item}: {found:?}"
    );
    first
}

/// S4-35: 100 / 50 becomes 90 / 60, and the client knows within 20 ms; both clusters within 20 ms, too.
#[test]
fn the_reference_transfer_takes_less_than_twenty_milliseconds() {
    let sim = play("reference-transfer");
    let answers = answers(&sim);
    let (at, client, reply) = &answers[0];
    assert!(matches!(reply, Reply::Success { .. }) && (100..120).contains(at) && *client == 1);
    let read = |item, balance| Reply::Balance { item, balance };
    assert_eq!(answers[1].2, read(1001, 90));
    assert_eq!(answers[2].2, read(3001, 60));
    assert_eq!((balance(&sim, 1001), balance(&sim, 3001)), (90, 60));
    // S4-23: C is in a slot of its own, and carries the label of P.
    let view = sim.view(NodeId(1), ViewScope::Full);
    let fields = view.instances.iter().flat_map(|instance| &instance.fields);
    let log: Vec<_> = fields
        .filter(|field| field.name == "log")
        .map(|field| &field.text)
        .collect();
    assert_eq!(
        log,
        [
            "Allocated NEW seq=2",
            "REUSING seq=2 in slot 3",
            "Allocated NEW seq=4"
        ]
    );
}

#[test]
fn a_sender_that_holds_too_little_keeps_it() {
    let sim = play("insufficient-balance");
    let reason = Reason::InsufficientBalance;
    let told: Vec<Reply> = answers(&sim)
        .into_iter()
        .map(|(_, _, reply)| reply)
        .collect();
    assert_eq!(told, [Reply::Failed { reason }; 2]);
}

#[test]
fn a_participant_that_is_down_makes_it_fail_in_time() {
    let sim = play("abort-flow");
    let reason = Reason::Timeout;
    assert_eq!(answers(&sim)[0].2, Reply::Failed { reason });
    let view = sim.view(NodeId(1), ViewScope::Full);
    assert!(
        view.instances
            .iter()
            .any(|instance| instance.name == "2pc-1-1")
    );
}

/// S4-F3, S4-F10, S4-F15: whoever is killed when, the money moves once.
#[test]
fn whoever_is_killed_at_whatever_step_the_transfer_commits_once() {
    for step in ["before-p", "after-p", "before-c", "after-c", "before-ack"] {
        let sim = play(&format!("coordinator-killed-{step}"));
        assert_eq!(successes(&sim), [1], "coordinator, {step}");
        assert_eq!(
            (balance(&sim, 1001), balance(&sim, 3001)),
            (90, 60),
            "coordinator, {step}"
        );
    }
    for step in ["before-p", "after-p", "before-c", "after-c"] {
        let sim = play(&format!("participant-killed-{step}"));
        assert_eq!(successes(&sim), [1], "participant, {step}");
        assert_eq!(
            (balance(&sim, 1001), balance(&sim, 3001)),
            (90, 60),
            "participant, {step}"
        );
    }
}

#[test]
fn leaders_of_all_clusters_are_killed_and_every_transfer_commits() {
    let sim = play("leaders-killed");
    assert_eq!(successes(&sim), [1, 2, 3]);
    let after = [1001, 3001, 6001, 1002, 6002].map(|item| balance(&sim, item));
    assert_eq!(after, [90, 40, 90, 15, 5]);
}

#[test]
fn without_a_majority_nothing_commits_until_there_is_one() {
    let sim = play("no-majority");
    assert_eq!(successes(&sim), [1]);
    assert!(answers(&sim).iter().all(|(at, _, _)| *at > 2_000));
}

/// S4-F25.
#[test]
fn those_that_want_the_same_items_come_through_one_after_another() {
    let sim = play("same-item");
    assert_eq!(successes(&sim), [1, 2, 3, 4]);
    assert_eq!(balance(&sim, 1001), 100 - 10 - 20 - 5 + 1);
    let sim = play("cyclic");
    assert_eq!(successes(&sim), [1, 2, 3]);
    let after = [1001, 3001, 6001].map(|item| balance(&sim, item));
    assert_eq!(after, [100, 100, 100]);
}

/// S4-F14, S4-F16: the same number is the same request, and a lower one is refused.
#[test]
fn a_number_is_answered_once_and_again_the_same() {
    let builtin = find("sharded-2pc/reference-transfer").expect("a built-in scenario");
    let mut scenario = parse(builtin.name, builtin.text).expect("a scenario that is built in");
    scenario.interventions.clear();
    scenario.expectations.clear();
    let mut ask = |ms, number, amount| {
        let request = Request::Transfer {
            sender: 1001,
            receiver: 3001,
            amount,
        };
        let act = Act::SubmitAs {
            to: vec![NodeId(1)],
            client: phaselab_core::types::ClientId(1_000),
            number,
            request: phaselab_core::codec::encode(&request),
        };
        scenario.at_ms(ms, act);
    };
    for (ms, number, amount) in [
        (100, 5, 10),
        (101, 5, 10),
        (200, 5, 10),
        (250, 6, 1),
        (300, 5, 10),
    ] {
        ask(ms, number, amount);
    }
    let mut sim = Sim::new(&scenario).expect("nodes that can be built");
    sim.run();
    let told: Vec<Reply> = answers(&sim)
        .into_iter()
        .map(|(_, _, reply)| reply)
        .collect();
    assert!(matches!(told[0], Reply::Success { .. }), "{told:?}");
    assert_eq!(told[1], told[0], "who asks again is told the same");
    assert!(
        matches!(told[2], Reply::Success { txn } if txn.number == 6),
        "{told:?}"
    );
    let reason = Reason::Old;
    assert_eq!(told[3..], [Reply::Failed { reason }]);
    assert_eq!((balance(&sim, 1001), balance(&sim, 3001)), (89, 61));
}
