//! Snowball under hardened rules, from outside: what the document's flaws that nobody can switch on would break.

use std::collections::{BTreeMap, BTreeSet};

use phaselab_core::codec::{decode, encode};
use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::engine::{Env, Protocol};
use phaselab_core::envelope::{Header, open, seal};
use phaselab_core::event::{Event, EventKind};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::snowball::{Message, Payment, Snowball, SnowballConfig, phase};
use phaselab_core::replica;
use phaselab_core::scenario::{Act, Behaviour, Scenario, member_seed, parse};
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::Logged;
use phaselab_core::types::{ClientId, GroupId, Incarnation, NodeId, Time};
use phaselab_tests::machine::Machine;
use phaselab_tests::sketch;

/// The meter of a poll's votes.
const VOTES: EventKind = EventKind::VoteCounted(0);

/// A payment of alice's first coin to bob, as bytes.
fn payment(amount: u64) -> Vec<u8> {
    let payment = Payment::new("alice", "bob", amount);
    encode(&payment.sign().expect("a possible payment"))
}

/// A cluster whose messages take so long, with a payment for some of them.
fn cluster(nodes: u16, config: &SnowballConfig, latency_ms: u64, to: &[u16]) -> Scenario {
    let mut scenario = Scenario {
        crypto: Crypto::Simulated,
        ..Scenario::new(ProtocolKind::Snowball, nodes)
    };
    scenario.network.latency_ms = [latency_ms, latency_ms];
    scenario.until = Time::from_ms(60_000);
    scenario.set_config::<Snowball>(config);
    scenario.at_ms(
        0,
        Act::Submit {
            to: to.iter().copied().map(NodeId).collect(),
            request: payment(25),
        },
    );
    scenario
}

fn small() -> SnowballConfig {
    SnowballConfig {
        sample_size: 3,
        alpha_preference: 2,
        alpha_confidence: 2,
        finality_confidence: 5,
        ..SnowballConfig::default()
    }
}

fn run(scenario: &Scenario) -> Sim {
    let mut sim = Sim::new(scenario).expect("nodes that can be built");
    sim.run();
    sim
}

fn events(sim: &Sim, kind: EventKind) -> Vec<Logged> {
    let entries = sim.log().iter();
    entries.filter(|entry| entry.event.kind == kind).collect()
}

fn told(sim: &Sim) -> Vec<(u64, &'static str)> {
    let replies = sim.replies().iter();
    let words = replies.filter_map(|reply| {
        let words = ProtocolKind::Snowball.read_reply(&reply.reply)?;
        Some((reply.client.0, words.outcome))
    });
    words.collect()
}

/// A validator of three by itself, with the keys of the others and of nobody.
struct Alone {
    env: Env<Snowball>,
    machine: Machine,
    counter: u64,
}

impl Alone {
    fn start() -> Alone {
        let config = SnowballConfig {
            finality_confidence: 1,
            ..small()
        };
        let groups = [GroupId(0); 3];
        let genesis = sketch::genesis::<Snowball>(Crypto::Ed25519, &groups, &config);
        let signer = Signer::from_seed(Crypto::Ed25519, &member_seed(NodeId(1)));
        let env = replica::env(&genesis, NodeId(1), signer).expect("a validator of three");
        let machine = Machine::start(&env);
        Alone {
            env,
            machine,
            counter: 0,
        }
    }

    /// Begins a poll about a payment, and gives the votes for it.
    fn poll(&mut self) -> Message {
        let released = self.machine.request(Time::from_ms(1), 1, &payment(25));
        let asked = released.sends.iter().find_map(|sent| {
            let (_, payload) = open(
                &sent.packet,
                Snowball::TAG,
                &self.env.genesis,
                &self.env.keyring,
            )
            .ok()?;
            match decode(payload).ok()? {
                Message::TransactionVoteRequest {
                    poll_id,
                    round,
                    key,
                    choice,
                } => Some(Message::TransactionVoteResponse {
                    poll_id,
                    round,
                    key,
                    preference: Some(choice),
                }),
                _ => None,
            }
        });
        asked.expect("it asks")
    }

    /// Says something in the name of a node, with the key that belongs to another.
    fn say(&mut self, name: u16, key: u16, message: &Message) {
        self.counter += 1;
        let header = Header {
            protocol: Snowball::TAG,
            genesis: self.env.genesis,
            sender: NodeId(name),
            incarnation: Incarnation(1),
            counter: self.counter,
        };
        let signer = Signer::from_seed(Crypto::Ed25519, &member_seed(NodeId(key)));
        let packet = seal(&header, &encode(message), &signer);
        self.machine.packet(Time::from_ms(2), &packet);
    }

    fn is_final(&self) -> bool {
        self.machine.replica().glance().phase == phase::FINALIZED
    }
}

/// S1-F8: fifty names that genesis does not list, and a registered name without its key, are refused before a vote is read.
#[test]
fn sybils_that_are_not_registered_count_for_nothing() {
    let mut alone = Alone::start();
    let vote = alone.poll();
    for stranger in 4..54 {
        alone.say(stranger, stranger, &vote);
        alone.say(2, stranger, &vote);
        alone.say(3, stranger, &vote);
    }
    assert!(!alone.is_final());
    assert_eq!(alone.machine.refused("unknown_sender"), 50);
    assert_eq!(alone.machine.refused("bad_signature"), 100);
    for _ in 0..50 {
        alone.say(2, 2, &vote);
    }
    assert!(!alone.is_final(), "one member counts once");
    alone.say(3, 3, &vote);
    assert!(alone.is_final());

    let mut scenario = cluster(5, &small(), 10, &[1]);
    let behaviour = Behaviour::Forge;
    let node = NodeId(5);
    scenario.at_ms(0, Act::Byzantine { node, behaviour });
    let (forging, honest) = (run(&scenario), run(&cluster(5, &small(), 10, &[1])));
    let refused = |sim: &Sim| {
        let nodes = sim.scenario().ids();
        let counts = nodes.map(|id| sim.counters(id).get("refused_bad_signature").copied());
        counts.map(Option::unwrap_or_default).sum::<u64>()
    };
    assert_eq!(refused(&honest), 0);
    assert!(refused(&forging) > 20);
    assert_eq!(told(&forging), told(&honest));
}

/// S1-F14, S1-33, S1-34: with beta polls of one round trip, and a pause between them, nothing is faster; the document's
/// "one round" would be 600 ms.
#[test]
fn latency_is_what_the_parameters_say() {
    for (beta, latency_ms, pause_ms) in [(20, 10, 100), (20, 50, 100), (5, 10, 30), (1, 200, 100)] {
        let config = SnowballConfig {
            finality_confidence: beta,
            inter_round_delay_ms: pause_ms,
            ..small()
        };
        let sim = run(&cluster(5, &config, latency_ms, &[1, 2, 3, 4, 5]));
        let beta = u64::from(beta);
        let due = Time::from_ms(beta * 2 * latency_ms + (beta - 1) * pause_ms);
        let decided = events(&sim, EventKind::Decided);
        let of_payment: Vec<Time> = decided.iter().take(5).map(|entry| entry.at).collect();
        assert_eq!(of_payment, [due; 5], "beta {beta}, {latency_ms} ms");
    }
    // Whoever hears of it by being asked has no vote in that poll.
    let sim = run(&cluster(5, &small(), 10, &[1]));
    let first = events(&sim, EventKind::Decided)[0].at;
    assert!(first > Time::from_ms(5 * 20 + 4 * 100));
}

/// A change of the parameters.
type Change = fn(&mut SnowballConfig);

/// S1-F15, S1-11: one sample size and one threshold, which no two choices reach at once; others are refused in a sentence.
#[test]
fn parameters_are_checked_at_genesis() {
    let refusal = |change: Change| {
        let mut config = SnowballConfig::default();
        change(&mut config);
        cluster(5, &config, 10, &[1]).check().err()
    };
    assert_eq!(refusal(|_| {}), None);
    let cases: [(Change, &str); 8] = [
        (
            |c| c.alpha_preference = 10,
            "alpha_preference = 10: expected 11 to 20",
        ),
        (
            |c| c.alpha_confidence = 14,
            "alpha_confidence = 14: expected 15 to 20",
        ),
        (
            |c| c.alpha_confidence = 21,
            "alpha_confidence = 21: expected 15 to 20",
        ),
        (
            |c| c.sample_size = 0,
            "k = 0: expected at least 1 (k is sample_size, beta is finality_confidence)",
        ),
        (
            |c| c.finality_confidence = 0,
            "beta = 0: expected at least 1",
        ),
        (
            |c| c.vote_timeout_ms = 0,
            "vote_timeout_ms = 0: expected 1 to 600000",
        ),
        (
            |c| c.weights = vec![(NodeId(9), 2)],
            "weights: [9, 2]: expected each node from 1 to 5",
        ),
        (
            |c| c.weights = vec![(NodeId(1), 0)],
            "weights: [1, 0]: expected each node from 1 to 5",
        ),
    ];
    for (change, expected) in cases {
        let found = refusal(change).expect(expected);
        assert!(found.contains(expected), "{found}");
    }
    // Whatever is accepted stays acceptable where fewer can be asked.
    for k in 1..=20 {
        for alpha in k / 2 + 1..=k {
            let config = SnowballConfig {
                sample_size: k,
                alpha_preference: alpha,
                alpha_confidence: alpha,
                ..SnowballConfig::default()
            };
            for others in 1..=25 {
                let scaled = config.parameters(others);
                assert_eq!(
                    scaled.check(),
                    Ok(()),
                    "k {k}, alpha {alpha}, {others} others"
                );
                assert!(scaled.k <= others);
            }
        }
    }
}

/// S1-F18: the same scenario is the same run, also when it is lossy, and another seed is another.
#[test]
fn a_run_is_a_function_of_its_seed() {
    let mut hashes = BTreeSet::new();
    for seed in 0..6 {
        let mut scenario = ProtocolKind::Snowball.swarm(seed);
        scenario.until = Time::from_ms(60_000);
        let (first, second) = (run(&scenario), run(&scenario));
        assert_eq!(first.trace_hash(), second.trace_hash(), "seed {seed}");
        let stories = [&first, &second].map(|sim| {
            let events = sim
                .log()
                .iter()
                .map(|entry| (entry.at, entry.node, entry.event));
            events.collect::<Vec<(Time, NodeId, Event)>>()
        });
        assert!(stories[0] == stories[1], "seed {seed}");
        hashes.insert(first.trace_hash());
    }
    assert_eq!(hashes.len(), 6);
}

/// How often each node was asked by node 1, in polls that never end.
fn asked(scenario: &Scenario) -> BTreeMap<u16, u64> {
    let mut sim = Sim::new(scenario).expect("nodes that can be built");
    sim.set_level(phaselab_core::event::Level::Full);
    sim.run();
    let mut asked = BTreeMap::new();
    for entry in sim.log().iter() {
        let is_question = matches!(entry.event.kind, EventKind::MessageDelivered(0));
        if is_question && entry.event.peer == Some(NodeId(1)) {
            *asked.entry(entry.node.0).or_insert(0) += 1;
        }
    }
    asked
}

/// S1-F21: who is asked depends on registered weights; that somebody is silent, or lies, changes nothing of it.
#[test]
fn weights_are_those_of_genesis() {
    let run = |weights: &[(NodeId, u32)], behaviour: Option<Behaviour>| {
        let config = SnowballConfig {
            finality_confidence: 400,
            weights: weights.to_vec(),
            ..small()
        };
        let mut scenario = cluster(9, &config, 10, &[1]);
        if let Some(behaviour) = behaviour {
            let node = NodeId(2);
            scenario.at_ms(0, Act::Byzantine { node, behaviour });
        }
        let counts = asked(&scenario);
        let all: u64 = counts.values().sum();
        (counts.get(&2).copied().unwrap_or(0) * 100 / all, all)
    };
    let heavy = [(NodeId(2), 20)];
    for behaviour in [None, Some(Behaviour::Mute), Some(Behaviour::Oppose)] {
        let (even, polls) = run(&[], behaviour);
        assert!(polls > 500, "{polls}");
        // Three of eight, each as likely: an eighth of the questions.
        assert!((9..=16).contains(&even), "{behaviour:?}: {even} %");
        // Nearly always one of the three.
        let (share, _) = run(&heavy, behaviour);
        assert!((28..=33).contains(&share), "{behaviour:?}: {share} %");
    }
}

/// S1-F22, S1-35: two submissions are one transaction with one row of polls, and both are told the end.
#[test]
fn a_second_submission_attaches_to_the_first() {
    let once = cluster(5, &small(), 10, &[1]);
    let mut twice = once.clone();
    for (number, ms) in [(1_001, 50), (1_002, 250), (1_003, 20_000)] {
        twice.at_ms(
            ms,
            Act::SubmitAs {
                to: vec![NodeId(1)],
                client: ClientId(number),
                number: 1,
                request: payment(25),
            },
        );
    }
    let (once, twice) = (run(&once), run(&twice));
    let polls = |sim: &Sim| {
        let begun = events(sim, EventKind::RoundEntered).into_iter();
        begun
            .map(|entry| (entry.at, entry.node, entry.event.round))
            .collect::<Vec<_>>()
    };
    assert_eq!(polls(&once), polls(&twice), "the same polls");
    let decided = |sim: &Sim| events(sim, EventKind::Decided).len();
    assert_eq!(decided(&once), decided(&twice));
    let told = told(&twice);
    for client in [1, 1_001, 1_002] {
        for word in ["accepted", "decided"] {
            let is_it = |entry: &&(u64, &str)| **entry == (client, word);
            assert_eq!(told.iter().filter(is_it).count(), 1, "{client}: {word}");
        }
    }
    assert!(told.contains(&(1_003, "decided")), "told at once, later");
    assert!(!told.contains(&(1_003, "accepted")));
}

/// S1-F17, S1-F7: where three have built blocks of one height before they heard of each other, one of them wins.
#[test]
fn blocks_that_are_built_at_once_do_not_wait_for_each_other() {
    for nodes in [3, 4, 5] {
        let config = SnowballConfig {
            sample_size: nodes - 1,
            alpha_preference: nodes / 2 + 1,
            alpha_confidence: nodes / 2 + 1,
            ..small()
        };
        let sim = run(&cluster(nodes, &config, 300, &[1]));
        let report = sim.report();
        assert!(report.metrics["snowball_blocks_built_total"] > 1);
        for node in &report.nodes {
            let mut instances = node.instances.iter();
            let height = instances.find(|instance| instance.instance == "block 1");
            assert_eq!(
                height.map(|height| height.phase),
                Some("in block"),
                "{nodes} nodes"
            );
        }
    }
}

/// A vote is of the poll that asked, also where two of them are about one key.
#[test]
fn votes_count_once_for_each_who_was_asked() {
    let text = "protocol = \"snowball\"\nnodes = 9\nuntil_ms = 10000\ncrypto = \"simulated\"\n\
        [config]\nsample_size = 4\nalpha_preference = 3\nalpha_confidence = 3\n\
        [network]\nlatency_ms = [5, 400]\nduplicate_permille = 500\n\
        [[at]]\nms = 0\ndo = \"submit\"\nto = [1]\nrequest = { from = \"alice\", to = \"bob\", amount = 25 }\n";
    let sim = run(&parse("votes.toml", text).expect("a scenario"));
    let mut seen = BTreeSet::new();
    for entry in events(&sim, VOTES) {
        let event = &entry.event;
        let vote = (entry.node, event.instance, event.round, event.peer);
        assert!(seen.insert(vote), "{vote:?} counts twice");
    }
    assert!(seen.len() > 200, "{} votes", seen.len());
}

/// A liar that opposes votes for what it does not prefer itself, in every poll.
#[test]
fn an_opposing_voter_votes_against_itself() {
    let config = SnowballConfig {
        sample_size: 4,
        alpha_preference: 3,
        alpha_confidence: 3,
        ..small()
    };
    let mut scenario = cluster(5, &config, 10, &[1, 2, 3, 4]);
    let other = encode(&Payment::new("alice", "carol", 25).sign().expect("possible"));
    scenario.at_ms(
        0,
        Act::Submit {
            to: vec![NodeId(5)],
            request: other,
        },
    );
    let votes_of_four = |scenario: &Scenario| {
        let sim = run(scenario);
        let votes = events(&sim, VOTES).into_iter();
        let of_four = votes.filter(|entry| {
            let event = &entry.event;
            let is_early = entry.at < Time::from_ms(500);
            is_early && event.peer == Some(NodeId(4)) && event.value.is_some()
        });
        let values: Vec<_> = of_four.filter_map(|entry| entry.event.value).collect();
        let own = sim.decisions().iter().find(|entry| entry.node == NodeId(4));
        (
            values,
            own.and_then(|entry| entry.record.value)
                .expect("it decides"),
        )
    };
    let (honest, own) = votes_of_four(&scenario);
    assert!(honest.len() > 5 && honest.iter().all(|value| *value == own));
    let behaviour = Behaviour::Oppose;
    let node = NodeId(4);
    scenario.at_ms(50, Act::Byzantine { node, behaviour });
    let (lying, own) = votes_of_four(&scenario);
    let against = lying.iter().filter(|value| **value != own).count();
    assert!(against > 3, "{against} of {}", lying.len());
}

/// How many of so many runs end with two decisions about one coin, and how many without one at every honest node: twelve
/// nodes, half of which heard of one transaction first and half of the other, and so many liars.
fn runs_with_liars(behaviour: Behaviour, liars: u16, seeds: u64) -> (u64, u64) {
    let config = SnowballConfig {
        sample_size: 5,
        alpha_preference: 3,
        alpha_confidence: 4,
        finality_confidence: 4,
        ..SnowballConfig::default()
    };
    let (mut broken, mut undecided) = (0, 0);
    for seed in 0..seeds {
        let mut scenario = cluster(12, &config, 10, &[1, 3, 5, 7, 9, 11]);
        scenario.seed = seed;
        scenario.until = Time::from_ms(20_000);
        let request = encode(&Payment::new("alice", "carol", 25).sign().expect("possible"));
        let to = [2, 4, 6, 8, 10, 12].map(NodeId).to_vec();
        scenario.at_ms(0, Act::Submit { to, request });
        for node in (13 - liars..=12).map(NodeId) {
            scenario.at_ms(0, Act::Byzantine { node, behaviour });
        }
        let sim = run(&scenario);
        let report = sim.report();
        let agrees = |name| {
            report
                .invariants
                .iter()
                .any(|entry| entry.name == name && entry.holds)
        };
        broken += u64::from(!agrees("agreement"));
        let decided = events(&sim, EventKind::Decided).into_iter();
        let honest = decided.filter(|entry| entry.node.0 <= 12 - liars);
        let ended: BTreeSet<NodeId> = honest.map(|entry| entry.node).collect();
        undecided += u64::from(ended.len() < usize::from(12 - liars));
        for promise in ["one spend", "confidence", "samples", "validity"] {
            assert!(agrees(promise), "seed {seed}, {liars} liars: {promise}");
        }
    }
    (broken, undecided)
}

/// The table of docs/checked.md: agreement is probable while liars are few, and breaks as they become more; what one node
/// promises never does.
#[test]
fn agreement_breaks_as_liars_become_more() {
    let seeds = 30;
    for behaviour in [Behaviour::Oppose, Behaviour::Equivocate] {
        let found = [0, 1, 2, 3, 4, 5, 6].map(|liars| runs_with_liars(behaviour, liars, seeds));
        println!("{behaviour:?}, of {seeds}: (two decisions, undecided) {found:?}");
        assert_eq!(
            found[..4],
            [(0, 0); 4],
            "{behaviour:?}: at most a quarter lies"
        );
        assert!(
            found[4].1 > 0,
            "{behaviour:?}: a third keeps some from deciding"
        );
        assert!(
            found[6].0 > 0,
            "{behaviour:?}: half of them can break agreement"
        );
    }
}
