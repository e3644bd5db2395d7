//! Properties of bytes: what is encoded comes back, one value has one encoding, and no bytes at all do harm.

use std::fmt::Debug;

use phaselab_core::codec::{decode, encode};
use phaselab_core::crypto::{Crypto, Keyring};
use phaselab_core::engine::Protocol;
use phaselab_core::envelope;
use phaselab_core::protocol::two_phase::message::{EventStateBroadcast, Message, Proposal};
use phaselab_core::protocol::two_phase::template::ChainFact;
use phaselab_core::protocol::two_phase::{
    ChainChange, Reply, SignedTransaction, SubmitEvent, TwoPhase, TwoPhaseConfig,
};
use phaselab_core::protocol::{ProtocolKind, simulated_genesis};
use phaselab_core::scenario::{Act, Scenario, builtin, parse};
use phaselab_core::sim::Sim;
use phaselab_core::trace::{Trace, TraceError};
use phaselab_core::types::{NodeId, Time};
use phaselab_tests::machine::Machine;
use phaselab_tests::{Cluster, fixture};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::arbitrary::{self, Mutation};

fn comes_back<T>(value: &T) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let bytes = encode(value);
    let decoded = decode::<T>(&bytes);
    prop_assert_eq!(decoded.as_ref(), Ok(value));
    Ok(())
}

/// Whatever decodes at all decodes to the one value whose encoding it is.
fn is_canonical<T>(bytes: &[u8]) -> Result<(), TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    if let Ok(value) = decode::<T>(bytes) {
        prop_assert_eq!(encode(&value), bytes);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_back(message in arbitrary::message()) {
        comes_back(&message)?;
    }

    #[test]
    fn facts_requests_replies_and_reports_come_back(
        fact in arbitrary::fact(),
        request in arbitrary::request(),
        reply in arbitrary::reply(),
        report in arbitrary::report(),
        change in arbitrary::change(),
    ) {
        comes_back(&fact)?;
        comes_back(&request)?;
        comes_back(&reply)?;
        comes_back(&report)?;
        comes_back(&change)?;
    }

    #[test]
    fn parameters_scenarios_and_acts_come_back(
        config in arbitrary::config(),
        scenario in arbitrary::scenario(),
        act in arbitrary::act(),
    ) {
        comes_back(&config)?;
        comes_back(&scenario)?;
        comes_back(&act)?;
    }

    #[test]
    fn traces_come_back(trace in arbitrary::trace()) {
        prop_assert_eq!(Trace::from_bytes(&trace.to_bytes()), Ok(trace));
    }

    /// A changed message is refused or is another message: two byte strings never mean the same one.
    #[test]
    fn a_changed_message_is_never_the_same_message(
        message in arbitrary::message(),
        mutation in arbitrary::mutation(),
    ) {
        let bytes = encode(&message);
        let changed = mutation.of(&bytes);
        if changed != bytes {
            is_canonical::<Message>(&changed)?;
            prop_assert_ne!(decode::<Message>(&changed), Ok(message));
        }
    }

    /// A changed packet is refused, whatever changed and whoever changed it.
    #[test]
    fn a_changed_packet_is_refused(
        kind in any::<Index>(),
        mutation in arbitrary::mutation(),
        crypto in select(vec![Crypto::Ed25519, Crypto::Simulated]),
    ) {
        let env = fixture::env(crypto, 2);
        let messages = fixture::messages(&env);
        let packet = fixture::packet(&env, 1, &encode(&kind.get(&messages).1));
        let changed = mutation.of(&packet);
        let receiver = fixture::env(crypto, 1);
        let open = |bytes| envelope::open(bytes, TwoPhase::TAG, &receiver.genesis, &receiver.keyring).is_ok();
        prop_assert!(open(&packet));
        prop_assert_eq!(open(&changed), changed == packet);
    }

    /// What the right key signed may still carry anything: it is refused or handled, and the node stays sound.
    #[test]
    fn a_members_own_nonsense_does_no_harm(
        messages in vec(arbitrary::message(), 1..6),
        mutations in vec((any::<Index>(), arbitrary::mutation()), 1..6),
    ) {
        let mut machine = busy_machine();
        let sender = fixture::env(Crypto::Simulated, 3);
        let valid: Vec<Vec<u8>> = fixture::messages(&sender).iter().map(|(_, m)| encode(m)).collect();
        let bent = mutations.iter().map(|(kind, mutation)| mutation.of(kind.get::<Vec<u8>>(&valid)));
        let payloads = messages.iter().map(encode).chain(bent);
        for (counter, payload) in payloads.enumerate() {
            let packet = fixture::packet(&sender, counter as u64 + 1, &payload);
            machine.packet(Time::from_ms(20), &packet);
        }
        let env = fixture::env(Crypto::Simulated, 2);
        machine.replica().check_recovery(machine.rows()).map_err(TestCaseError::fail)?;
        Machine::resume(&env, machine.rows().clone());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400)) {
        is_canonical::<Message>(&bytes)?;
        is_canonical::<Proposal>(&bytes)?;
        is_canonical::<EventStateBroadcast>(&bytes)?;
        is_canonical::<ChainFact>(&bytes)?;
        is_canonical::<SubmitEvent>(&bytes)?;
        is_canonical::<Reply>(&bytes)?;
        is_canonical::<SignedTransaction>(&bytes)?;
        is_canonical::<ChainChange>(&bytes)?;
        is_canonical::<TwoPhaseConfig>(&bytes)?;
        is_canonical::<Scenario>(&bytes)?;
        is_canonical::<Act>(&bytes)?;
        let mut machine = busy_machine();
        let env = fixture::env(Crypto::Simulated, 2);
        prop_assert!(envelope::open(&bytes, TwoPhase::TAG, &env.genesis, &env.keyring).is_err());
        prop_assert!(machine.replica().open(&bytes).is_err());
        machine.packet(Time::from_ms(20), &bytes);
        prop_assert_eq!(machine.replica().refused(), 1);
        machine.request(Time::from_ms(20), 1, &bytes);
        machine.fact(Time::from_ms(20), &bytes);
        let mut trace = b"phaselab\x02\x00".to_vec();
        trace.extend(&bytes);
        prop_assert!(Trace::from_bytes(&bytes).is_err());
        prop_assert!(Trace::from_bytes(&trace).is_err());
        let _ = Trace::from_bytes(&sealed(trace));
        let _ = parse("fuzz.toml", &String::from_utf8_lossy(&bytes));
    }

    /// The world outside bears what nodes and interventions say, and what a broken store gives back.
    #[test]
    fn the_chain_bears_anything(
        bytes in vec(any::<u8>(), 0..200),
        report in arbitrary::report(),
        change in arbitrary::change(),
        mutation in arbitrary::mutation(),
        node in 0..6u16,
    ) {
        let scenario = Cluster::builder(3).build();
        let mut chain = ProtocolKind::TwoPhase.environment(&scenario);
        let now = Time::from_ms(5);
        let node = (node > 0).then_some(NodeId(node));
        let from = node.unwrap_or(NodeId(0));
        for report in [bytes.clone(), encode(&report), encode(&fixture::report(Crypto::Simulated))] {
            chain.report(now, from, &report);
        }
        for change in [bytes.clone(), encode(&change)] {
            let _ = chain.change(now, node, &change);
        }
        chain.poll(Time::from_ms(500));
        let saved = chain.save();
        prop_assert_eq!(chain.restore(&saved), Ok(()));
        for saved in [bytes, mutation.of(&saved)] {
            let mut chain = chain.clone_box();
            if chain.restore(&saved).is_ok() {
                let _ = chain.change(now, node, &encode(&change));
                chain.poll(Time::from_ms(1_000));
                chain.full_view(now, from);
            }
        }
    }

    /// A scenario file that was edited by a careless hand is refused with a line, or runs.
    #[test]
    fn a_changed_scenario_is_refused_or_can_start(
        which in any::<Index>(),
        mutations in vec(arbitrary::mutation(), 1..4),
    ) {
        let text = which.get(builtin()).text;
        let apply = |bytes: Vec<u8>, mutation: &Mutation| mutation.of(&bytes);
        let changed = mutations.iter().fold(text.as_bytes().to_vec(), apply);
        match parse("changed.toml", &String::from_utf8_lossy(&changed)) {
            Err(error) => prop_assert!(error.to_string().starts_with("changed.toml")),
            Ok(scenario) if scenario.nodes <= 20 => {
                let mut sim = Sim::new(&scenario).map_err(|error| TestCaseError::fail(error.to_string()))?;
                sim.run_until(Time::from_ms(300));
            }
            Ok(_) => {}
        }
    }

    /// A trace that somebody changed is refused, or describes a run that can be made.
    #[test]
    fn a_changed_trace_is_refused_or_can_start(
        trace in arbitrary::trace(),
        mutation in arbitrary::mutation(),
    ) {
        let whole = trace.to_bytes();
        let changed = sealed(mutation.of(&whole[..whole.len() - 32]));
        if let Ok(trace) = Trace::from_bytes(&changed)
            && trace.scenario.nodes <= 20
        {
            let scenario = trace.whole_scenario();
            simulated_genesis(&scenario);
            let mut sim = Sim::new(&scenario).map_err(|error| TestCaseError::fail(error.to_string()))?;
            for _ in 0..200 {
                sim.step();
            }
        }
    }
}

/// Signer 2 in the middle of an event: it has proposed, and knows the others' keys only.
fn busy_machine() -> Machine {
    let (one, two) = (
        fixture::env(Crypto::Simulated, 1),
        fixture::env(Crypto::Simulated, 2),
    );
    let mut machine = Machine::start(&two);
    machine.fact(Time::ZERO, &encode(&fixture::fact()));
    let proposal = fixture::proposal(&one, &fixture::other_template(), 0);
    let packet = fixture::packet(&one, 1, &encode(&Message::ProposalBroadcast(proposal)));
    machine.packet(Time::from_ms(5), &packet);
    machine
}

/// The bytes of a trace file with the digest that belongs behind them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let digest = blake3::derive_key("phaselab 2026-11 trace file v2", &bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Every byte of a trace file counts: titles and expectations as much as the run, and nothing may follow.
#[test]
fn a_damaged_trace_is_refused() {
    let mut scenario = Cluster::builder(3).until_ms(50).build();
    scenario.title = "A title".into();
    let (trace, _) = Trace::record(Sim::new(&scenario).expect("a possible scenario"));
    let whole = trace.to_bytes();
    let header = 10;
    for place in header..whole.len() {
        let mut bent = whole.clone();
        bent[place] ^= 1;
        assert_eq!(
            Trace::from_bytes(&bent),
            Err(TraceError::Damaged),
            "byte {place}"
        );
    }
    for length in header..whole.len() {
        assert_eq!(
            Trace::from_bytes(&whole[..length]),
            Err(TraceError::Damaged),
            "cut off after {length} bytes"
        );
    }
    let mut longer = whole[..whole.len() - 32].to_vec();
    longer.push(0);
    assert_eq!(
        Trace::from_bytes(&sealed(longer)),
        Err(TraceError::Damaged),
        "bytes behind the journal"
    );
    assert_eq!(Trace::from_bytes(&whole), Ok(trace));
}

/// All that a trace holds is checked when it is read: what a person did by hand too.
#[test]
fn a_trace_with_impossible_interventions_is_refused() {
    let scenario = Cluster::builder(3).build();
    let (trace, _) = Trace::record(Sim::new(&scenario).expect("a possible scenario"));
    for node in [0, 4] {
        let mut bent = trace.clone();
        bent.by_hand.push(phaselab_core::scenario::Intervention {
            at: phaselab_core::scenario::At::Step(3),
            act: Act::Restart { node: NodeId(node) },
        });
        assert!(
            Trace::from_bytes(&bent.to_bytes()).is_err(),
            "node {node} of 3"
        );
    }
}

#[test]
fn a_keyring_is_made_of_any_members_without_panic() {
    let mut members = fixture::genesis(Crypto::Ed25519).members;
    assert!(Keyring::new(Crypto::Ed25519, &members).is_ok());
    for byte in 0..=255 {
        members[1].key.0 = [byte; 32];
        let _ = Keyring::new(Crypto::Ed25519, &members);
    }
}
