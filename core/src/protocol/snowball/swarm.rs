//! Scenarios of snowball drawn from a seed.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::oracle::EVERY_TRANSACTION_ENDS;
use super::{Payment, Snowball, SnowballConfig};
use crate::codec::encode;
use crate::protocol::ProtocolKind;
use crate::scenario::{Act, Expectation, NAMED_CLIENTS, Scenario};
use crate::sim::swarm::{Draws, FAULTS_END_MS};
use crate::types::{ClientId, NodeId, Time};

/// How long after the faults every transaction must have ended, in virtual milliseconds.
const LIVENESS_MS: u64 = 120_000;

/// Kinds of messages that faults are aimed at.
const KINDS: [&str; 5] = [
    "vote-request",
    "vote-response",
    "transaction",
    "block",
    "fetch",
];

/// Draws a run: 4 to 12 nodes; payments, some of them in conflict at different nodes, some that spend what others made;
/// all faults of the fault model until [`FAULTS_END_MS`].
pub(super) fn draw(seed: u64) -> Scenario {
    let mut draws = Draws::new(seed);
    let nodes = draws.between(4, 12) as u16;
    let mut scenario = Scenario::new(ProtocolKind::Snowball, nodes);
    scenario.name = format!("swarm-{seed}");
    scenario.title = format!("Swarm of snowball, seed {seed}");
    scenario.seed = seed;
    scenario.until = Time::from_ms(FAULTS_END_MS + LIVENESS_MS);
    draws.network(&mut scenario);
    let sample = draws.between(3, 20) as u16;
    let alpha = draws.between(u64::from(sample) * 2 / 3 + 1, u64::from(sample)) as u16;
    let config = SnowballConfig {
        sample_size: sample,
        alpha_preference: draws.between(u64::from(sample) / 2 + 1, u64::from(alpha)) as u16,
        alpha_confidence: alpha,
        finality_confidence: draws.between(15, 25) as u32,
        vote_timeout_ms: draws.between(100, 1_000),
        inter_round_delay_ms: draws.between(10, 200),
        block_interval_ms: draws.between(200, 5_000),
        sync_ms: draws.between(500, 5_000),
        weights: if draws.one_in(3) {
            let node = NodeId(draws.between(1, u64::from(nodes)) as u16);
            Vec::from([(node, draws.between(2, 9) as u32)])
        } else {
            Vec::new()
        },
        ..SnowballConfig::default()
    };
    scenario.set_config::<Snowball>(&config);
    submit(&mut draws, &mut scenario, nodes);
    draws.crashes(&mut scenario);
    draws.partitions(&mut scenario, &KINDS);
    scenario.expectations.push(Expectation {
        invariant: Some(EVERY_TRANSACTION_ENDS.to_string()),
        holds: Some(true),
        ..Expectation::default()
    });
    scenario
}

/// Clients pay; some spend one coin twice at different nodes, some spend the change of an earlier payment.
fn submit(draws: &mut Draws, scenario: &mut Scenario, nodes: u16) {
    let owners = ["alice", "bob", "carol", "dave"];
    for client in 0..draws.between(1, 8) {
        let owner = owners[draws.between(0, 3) as usize];
        let mut payment = Payment {
            memo: format!("T{client}"),
            spend: Vec::from([format!("{owner}:{}", draws.between(0, 3))]),
            fee: draws.between(0, 3),
            ..Payment::new(
                owner,
                owners[draws.between(0, 3) as usize],
                draws.between(1, 60),
            )
        };
        if draws.one_in(4) {
            payment
                .spend
                .push(format!("{owner}:{}", draws.between(4, 5) - 4));
            payment.spend.dedup();
        }
        if payment.spend.len() == 2 && payment.spend[0] == payment.spend[1] {
            payment.spend.pop();
        }
        let node = NodeId(draws.between(1, u64::from(nodes)) as u16);
        let at_ms = draws.between(0, FAULTS_END_MS / 2);
        draws.busy_at(at_ms);
        let mut again = Vec::from([at_ms]);
        while draws.one_in(2) {
            again.push(at_ms + draws.between(0, 20_000));
        }
        let Ok(request) = payment.sign() else {
            continue;
        };
        for ms in again {
            scenario.at_ms(
                ms,
                Act::SubmitAs {
                    to: Vec::from([node]),
                    client: ClientId(NAMED_CLIENTS + client),
                    number: 1,
                    request: encode(&request),
                },
            );
        }
        if draws.one_in(3) {
            let change = Payment {
                memo: format!("T{client}b"),
                spend: Vec::from([format!("{}:0", request.signed.id())]),
                holds: Vec::from([payment.amount]),
                ..Payment::new(&payment.to, owners[draws.between(0, 3) as usize], 1)
            };
            if let Ok(change) = change.sign() {
                let node = NodeId(draws.between(1, u64::from(nodes)) as u16);
                let at_ms = at_ms + draws.between(0, 30_000);
                scenario.at_ms(
                    at_ms,
                    Act::Submit {
                        to: Vec::from([node]),
                        request: encode(&change),
                    },
                );
            }
        }
    }
}
