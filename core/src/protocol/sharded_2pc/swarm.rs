//! Scenarios of sharded-2pc drawn from a seed.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::ShardedConfig;
use super::oracle::EVERY_TRANSFER_ENDS;
use super::{Request, Sharded2pc};
use crate::codec::encode;
use crate::protocol::ProtocolKind;
use crate::scenario::{Act, CrashPoint, Expectation, NAMED_CLIENTS, Scenario};
use crate::sim::swarm::{Draws, FAULTS_END_MS};
use crate::types::{ClientId, GroupId, NodeId, Time};

/// How long after the faults every transfer must have ended, in virtual milliseconds.
const LIVENESS_MS: u64 = 120_000;

/// Kinds of messages that faults are aimed at.
const KINDS: [&str; 9] = [
    "accept",
    "accepted",
    "commit",
    "heartbeat",
    "2pc-prepare",
    "2pc-prepared",
    "2pc-commit",
    "2pc-abort",
    "2pc-query",
];

/// How many items of each cluster are touched: few, so that they are fought for.
const ITEMS: u64 = 3;

/// Draws a run: 2 or 3 clusters of 3 or 5; clients that ask for transfers within and between clusters, for moves and for
/// balances, one after another, and ask again; all faults of the fault model until [`FAULTS_END_MS`].
pub(super) fn draw(seed: u64) -> Scenario {
    let mut draws = Draws::new(seed);
    let clusters = draws.between(2, 3) as u16;
    let size = if draws.one_in(4) { 5 } else { 3 };
    let mut scenario = Scenario::new(ProtocolKind::Sharded2pc, clusters * size);
    scenario.name = format!("swarm-{seed}");
    scenario.title = format!("Swarm of sharded-2pc, seed {seed}");
    scenario.seed = seed;
    scenario.groups = (0..clusters * size)
        .map(|node| GroupId(node / size + 1))
        .collect();
    scenario.until = Time::from_ms(FAULTS_END_MS + LIVENESS_MS);
    draws.network(&mut scenario);
    // What the module says of liveness is said of clusters in which a heartbeat arrives in time.
    let [_, slowest_ms] = scenario.network.latency_ms;
    let heartbeat_ms = draws.between(30, 300);
    let config = ShardedConfig {
        items_per_cluster: 1_000,
        initial_balance: draws.between(0, 60),
        heartbeat_ms,
        election_timeout_ms: 2 * slowest_ms + heartbeat_ms * draws.between(2, 8),
        prepare_timeout_ms: draws.between(200, 5_000),
        resend_ms: draws.between(50, 1_000),
        lock_retries: draws.between(0, 8) as u32,
        lock_retry_ms: draws.between(5, 500),
        snapshot_every: if draws.one_in(2) {
            draws.between(2, 20)
        } else {
            128
        },
        ..ShardedConfig::default()
    };
    scenario.set_config::<Sharded2pc>(&config);
    submit(&mut draws, &mut scenario, clusters, size);
    draws.crashes(&mut scenario);
    draws.partitions(&mut scenario, &KINDS);
    crash_leaders(&mut draws, &mut scenario, clusters, size);
    scenario.expectations.push(Expectation {
        invariant: Some(EVERY_TRANSFER_ENDS.to_string()),
        holds: Some(true),
        ..Expectation::default()
    });
    scenario
}

fn item(draws: &mut Draws, cluster: u64) -> u32 {
    (cluster * 1_000 + draws.between(1, ITEMS)) as u32
}

/// What a client asks: a transfer, now and then a move or a balance.
fn request(draws: &mut Draws, clusters: u16) -> Request {
    let last = u64::from(clusters) - 1;
    let (from, to) = (draws.between(0, last), draws.between(0, last));
    match draws.between(1, 12) {
        1 => Request::Move {
            item: item(draws, from),
            to: GroupId(to as u16 + 1),
        },
        2 | 3 => Request::Read {
            item: item(draws, from),
        },
        _ => Request::Transfer {
            sender: item(draws, from),
            receiver: item(draws, to),
            amount: draws.between(1, 40),
        },
    }
}

/// Clients ask one thing after another of all nodes, since items move; and again, until faults are over.
fn submit(draws: &mut Draws, scenario: &mut Scenario, clusters: u16, size: u16) {
    let to: Vec<NodeId> = (1..=clusters * size).map(NodeId).collect();
    for client in 0..draws.between(1, 8) {
        let client = ClientId(NAMED_CLIENTS + client);
        let count = draws.between(1, 4);
        let mut at_ms = draws.between(0, FAULTS_END_MS / 2);
        for number in 1..=count {
            let ask = Act::SubmitAs {
                to: to.clone(),
                client,
                number,
                request: encode(&request(draws, clusters)),
            };
            draws.busy_at(at_ms);
            scenario.at_ms(at_ms, ask.clone());
            while draws.one_in(2) {
                let later_ms = at_ms + draws.between(0, 10_000);
                scenario.at_ms(later_ms, ask.clone());
            }
            if number == count {
                // Whoever asks after the faults is answered.
                for retry in 1..=3 {
                    let after_ms = FAULTS_END_MS + retry * LIVENESS_MS / 5;
                    scenario.at_ms(after_ms, ask.clone());
                }
            }
            at_ms += draws.between(100, 15_000);
        }
    }
}

/// The first leaders stop while they are needed, at any point of a step.
fn crash_leaders(draws: &mut Draws, scenario: &mut Scenario, clusters: u16, size: u16) {
    for cluster in 0..clusters {
        if !draws.one_in(3) {
            continue;
        }
        let node = NodeId(cluster * size + 1);
        let at_ms = draws.soon_after_a_beginning(400);
        let points = [
            CrashPoint::BetweenSteps,
            CrashPoint::BeforeHandling,
            CrashPoint::AfterPersist,
        ];
        let when = points[draws.between(0, 2) as usize];
        scenario.at_ms(at_ms, Act::Crash { node, when });
    }
}
