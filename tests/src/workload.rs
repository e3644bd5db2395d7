//! Runs that are measured.

use phaselab_core::codec::encode;
use phaselab_core::crypto::Crypto;
use phaselab_core::event::Level;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::snowball::Payment;
use phaselab_core::protocol::two_phase::ChainSetting;
use phaselab_core::scenario::{Act, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::types::{NodeId, Time};

use crate::cluster::request;
use crate::sketch;
use crate::sketch::ping::{Ping, PingConfig};

/// How often nodes greet, in virtual milliseconds.
const GREET_EVERY_MS: u64 = 1;

/// How often clients ask, in virtual milliseconds.
const PAY_EVERY_MS: u64 = 100;

/// Everyone greets everyone each virtual millisecond, until about so many greetings were delivered.
pub fn greetings(nodes: u16, crypto: Crypto, delivered: u64) -> Sim {
    let mut scenario = sketch::scenario(nodes);
    scenario.crypto = crypto;
    let per_ms = u64::from(nodes) * u64::from(nodes - 1) / GREET_EVERY_MS;
    // Until the first greetings arrive nothing is delivered.
    let travel_ms = scenario.network.latency_ms[1] / 2;
    scenario.until = Time::from_ms(delivered / per_ms + travel_ms);
    let every_us = GREET_EVERY_MS * 1_000;
    unwatched(sketch::run_of::<Ping>(scenario, &PingConfig { every_us }))
}

/// Two-phase signers who are asked for a payment ten times a virtual second, each in turn.
pub fn payments(nodes: u16, crypto: Crypto, virtual_ms: u64) -> Scenario {
    let mut scenario = Scenario::new(ProtocolKind::TwoPhase, nodes);
    scenario.crypto = crypto;
    scenario.until = Time::from_ms(virtual_ms);
    let count = virtual_ms / PAY_EVERY_MS;
    scenario.environment = encode(&ChainSetting {
        utxos: 2_000.max(2 * count as u32),
        ..ChainSetting::default()
    });
    for number in 0..count {
        let to = vec![NodeId((number % u64::from(nodes)) as u16 + 1)];
        let request = request(&format!("withdraw-{number}"), 25);
        scenario.at_ms(number * PAY_EVERY_MS, Act::Submit { to, request });
    }
    scenario
}

/// When the payment of [`polled`] is asked for.
pub const POLLED_AT_MS: u64 = 100;

/// One payment, given to one of many nodes that poll each other, until it stands in a block.
pub fn polled(nodes: u16) -> Scenario {
    let mut scenario = Scenario::new(ProtocolKind::Snowball, nodes);
    scenario.crypto = Crypto::Simulated;
    scenario.until = Time::from_ms(10_000);
    let request = Payment::new("alice", "bob", 25).sign();
    let request = encode(&request.expect("a payment that alice can afford"));
    let to = vec![NodeId(1)];
    scenario.at_ms(POLLED_AT_MS, Act::Submit { to, request });
    scenario
}

/// A run that nobody watches, as fast as it goes.
pub fn unwatched(mut sim: Sim) -> Sim {
    sim.set_level(Level::None);
    sim.set_check_recovery(false);
    sim
}
