//! Bytes that other builds, other versions and stored votes depend on.
//!
//! A change here is a new format: it needs a new version byte or context string, never just a new golden file.

use std::fmt::Write;

use phaselab_core::codec::encode;
use phaselab_core::crypto::Crypto;
use phaselab_core::engine::Protocol;
use phaselab_core::paxos::{self, Ballot};
use phaselab_core::protocol::sharded_2pc::{Message as Message2pc, Sharded2pc};
use phaselab_core::protocol::snowball::{Message as MessageSnow, Snowball};
use phaselab_core::protocol::two_phase::TwoPhase;
use phaselab_core::protocol::two_phase::message::{Message, partial_preimage};
use phaselab_core::scenario::{Act, At, Intervention};
use phaselab_core::trace::Trace;
use phaselab_core::types::{Hash32, NodeId, Time};
use phaselab_core::votes::VoteKind;
use phaselab_tests::cluster::request;
use phaselab_tests::fixture::{sharded, snowball};
use phaselab_tests::machine::Machine;
use phaselab_tests::{Cluster, fixture};

use super::golden;

#[test]
fn the_bytes_of_every_message_are_frozen() {
    let mut text = String::new();
    for crypto in [Crypto::Ed25519, Crypto::Simulated] {
        let env = fixture::env(crypto, 2);
        writeln!(text, "{} signatures", crypto.name()).expect("writing to a string");
        let messages = fixture::messages(&env);
        assert_eq!(
            messages.len(),
            TwoPhase::spec().messages.len(),
            "one of each kind"
        );
        for (counter, (name, message)) in messages.iter().enumerate() {
            TwoPhase::check(&env, env.id, message).expect(name);
            let packet = fixture::packet(&env, counter as u64 + 1, &encode(message));
            line(&mut text, name, &packet);
        }
    }
    golden::compare("messages.txt", &text);
}

#[test]
fn the_bytes_between_and_within_clusters_are_frozen() {
    let mut text = String::new();
    let messages = sharded::messages();
    let kinds: Vec<usize> = messages.iter().map(|(_, of)| sharded::kind(of)).collect();
    let all: Vec<usize> = (0..Sharded2pc::spec().messages.len()).collect();
    assert_eq!(kinds, all, "one of each kind");
    for (counter, (from, message)) in messages.iter().enumerate() {
        let env = sharded::env(Crypto::Ed25519, from.0);
        let name = Sharded2pc::spec().messages[kinds[counter]].name;
        Sharded2pc::check(&env, *from, message).expect(name);
        let packet = fixture::packet(&env, counter as u64 + 1, &encode(message));
        line(&mut text, name, &packet);
    }
    for command in sharded::commands() {
        let name = format!("entry {}", command.marker());
        line(&mut text, name.trim_end(), &encode(&command));
    }
    line(&mut text, "request", &encode(&sharded::request()));
    golden::compare("sharded-messages.txt", &text);
}

#[test]
fn the_bytes_between_validators_are_frozen() {
    let env = snowball::env(Crypto::Ed25519, 1);
    let mut text = String::new();
    let messages = snowball::messages(&env);
    assert_eq!(messages.len(), Snowball::spec().messages.len());
    for (counter, message) in messages.iter().enumerate() {
        let name = snowball::name(message);
        Snowball::check(&env, env.id, message).expect(name);
        let packet = fixture::packet(&env, counter as u64 + 1, &encode(message));
        line(&mut text, name, &packet);
    }
    line(&mut text, "request", &encode(&snowball::payments()[0]));
    golden::compare("snowball-messages.txt", &text);
}

/// What a validator stores: a payment that two are in conflict about, and one that nobody contradicts.
#[test]
fn the_rows_of_a_validator_are_frozen() {
    let env = snowball::env(Crypto::Ed25519, 2);
    let sender = snowball::env(Crypto::Ed25519, 1);
    let mut machine = Machine::start(&env);
    let [first, second, third] = snowball::payments();
    machine.request(Time::from_ms(1), 1, &encode(&third));
    for (counter, request) in (1..).zip([first, second]) {
        let message = MessageSnow::Transaction(Box::new(request.signed));
        let packet = fixture::packet(&sender, counter, &encode(&message));
        machine.packet(Time::from_ms(counter), &packet);
    }
    let block = MessageSnow::Block(Box::new(snowball::block(&env)));
    machine.packet(
        Time::from_ms(9),
        &fixture::packet(&sender, 9, &encode(&block)),
    );
    let mut text = String::new();
    for table in Snowball::TABLES {
        writeln!(text, "{}", table.name).expect("writing to a string");
        for (key, value) in machine.rows().table(table.id) {
            line(&mut text, &hex(key), value);
        }
    }
    golden::compare("snowball-rows.txt", &text);
}

/// What a member of the coordinating cluster stores of a transfer.
#[test]
fn the_rows_of_a_member_of_a_cluster_are_frozen() {
    let env = sharded::env(Crypto::Ed25519, 2);
    let leader = sharded::env(Crypto::Ed25519, 1);
    let ballot = Ballot {
        round: 1,
        node: NodeId(1),
    };
    let logged = |seq, req| Message2pc::Paxos(paxos::Message::CommitRequest { ballot, seq, req });
    let [_, prepare, commit, _, acked] = sharded::commands().try_into().expect("five kinds");
    let mut machine = Machine::start(&env);
    let entries = [None, Some(prepare), Some(commit), Some(acked)];
    for (seq, req) in (1..).zip(entries) {
        let packet = fixture::packet(&leader, seq, &encode(&logged(seq, req)));
        machine.packet(Time::from_ms(seq), &packet);
    }
    let mut text = String::new();
    for table in Sharded2pc::TABLES {
        writeln!(text, "{}", table.name).expect("writing to a string");
        for (key, value) in machine.rows().table(table.id) {
            line(&mut text, &hex(key), value);
        }
    }
    golden::compare("sharded-rows.txt", &text);
}

#[test]
fn what_signatures_cover_is_frozen() {
    let mut text = String::new();
    let env = fixture::env(Crypto::Ed25519, 2);
    let (event, template) = (fixture::event().id(), fixture::template().template_hash());
    let mut hash = |name: &str, hash: &dyn std::fmt::Display| {
        writeln!(text, "{name}: {hash}").expect("writing to a string");
    };
    hash("genesis", &env.genesis);
    hash("event id", &event);
    hash("template hash", &template);
    for (kind, value) in [
        (VoteKind::Prevote, Some(template)),
        (VoteKind::Prevote, None),
        (VoteKind::Precommit, Some(template)),
        (VoteKind::Abandon, None),
    ] {
        let vote = fixture::vote(&env, kind, 3, value);
        let name = format!("preimage of {kind:?}, {}", value.map_or("nil", |_| "value"));
        hash(&name, &vote.ballot.preimage(&env.genesis, TwoPhase::TAG));
    }
    hash(
        "preimage of a partial signature",
        &partial_preimage(&env.genesis, event, &template),
    );
    golden::compare("preimages.txt", &text);
}

/// Rows outlive the process that wrote them: an upgrade must read what the version before stored.
#[test]
fn the_rows_of_a_store_are_frozen() {
    let (one, two) = (
        fixture::env(Crypto::Ed25519, 1),
        fixture::env(Crypto::Ed25519, 2),
    );
    let hash = fixture::template().template_hash();
    let mut machine = Machine::start(&two);
    machine.fact(Time::ZERO, &encode(&fixture::fact()));
    let said = [
        Message::ProposalBroadcast(fixture::proposal(&one, &fixture::template(), 0)),
        Message::Lock(fixture::vote(&one, VoteKind::Precommit, 0, Some(hash))),
    ];
    for (counter, message) in said.iter().enumerate() {
        let packet = fixture::packet(&one, counter as u64 + 1, &encode(message));
        machine.packet(Time::from_ms(5), &packet);
    }
    let mut text = String::new();
    for table in TwoPhase::TABLES {
        writeln!(text, "{}", table.name).expect("writing to a string");
        let rows: Vec<_> = machine.rows().table(table.id).collect();
        assert!(
            !rows.is_empty(),
            "{}: the event touches every table",
            table.name
        );
        for (key, value) in rows {
            line(&mut text, &hex(key), value);
        }
    }
    golden::compare("rows.txt", &text);
}

#[test]
fn the_layout_of_a_trace_file_is_frozen() {
    let mut scenario = Cluster::builder(3).until_ms(5_000).build();
    scenario.at_ms(
        100,
        Act::Submit {
            to: vec![NodeId(1)],
            request: request("withdraw-1", 25),
        },
    );
    let trace = Trace {
        core_version: "0.0.0".into(),
        scenario,
        by_hand: vec![Intervention {
            at: At::Step(9),
            act: Act::Heal,
        }],
        digests: vec![Hash32([1; 32])],
        steps: 2_000,
        trace_hash: Hash32([2; 32]),
    };
    let mut text = String::new();
    line(&mut text, "trace", &trace.to_bytes());
    golden::compare("trace.txt", &text);
    assert_eq!(Trace::from_bytes(&trace.to_bytes()), Ok(trace));
}

/// Length and BLAKE3; and the bytes themselves where they are few.
fn line(text: &mut String, name: &str, bytes: &[u8]) {
    let hash = blake3::hash(bytes).to_hex();
    writeln!(text, "{name}: {} bytes, {hash}", bytes.len()).expect("writing to a string");
    if (1..=300).contains(&bytes.len()) {
        writeln!(text, "  {}", hex(bytes)).expect("writing to a string");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
