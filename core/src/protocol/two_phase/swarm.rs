//! Scenarios of two-phase drawn from a seed.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::chain::{ChainChange, ChainSetting};
use super::config::TwoPhaseConfig;
use super::oracle::EVERY_EVENT_ENDS;
use super::{SubmitEvent, TwoPhase};
use crate::codec::encode;
use crate::protocol::ProtocolKind;
use crate::retry::RetryConfig;
use crate::scenario::{Act, Expectation, Link, Scenario};
use crate::sim::swarm::{Draws, FAULTS_END_MS};
use crate::types::{Duration, NodeId, Round};

/// How long after the faults every event must have ended, in virtual milliseconds.
const LIVENESS_MS: u64 = 400_000;

/// Draws a run: 3 to 7 signers, every legal m, views that differ and change, submissions and resubmissions, garbage
/// collection, and all faults of the fault model until [`FAULTS_END_MS`].
pub(super) fn draw(seed: u64) -> Scenario {
    let mut draws = Draws::new(seed);
    // The smallest group has the fewest ways around a mistake: half of the runs are of it.
    let nodes = if draws.one_in(2) {
        3
    } else {
        draws.between(3, 7) as u16
    };
    let mut scenario = Scenario::new(ProtocolKind::TwoPhase, nodes);
    scenario.name = format!("swarm-{seed}");
    scenario.title = format!("Swarm of two-phase, seed {seed}");
    scenario.seed = seed;
    scenario.until = crate::types::Time::from_ms(FAULTS_END_MS + LIVENESS_MS);

    let threshold_m = draws.between(1, u64::from(nodes)) as u16;
    let least = threshold_m.max(nodes / 2 + 1);
    let commit_quorum = if draws.one_in(4) {
        draws.between(u64::from(least), u64::from(nodes)) as u16
    } else {
        0
    };
    let base_delay_ms = draws.between(200, 5_000);
    let config = TwoPhaseConfig {
        threshold_m,
        commit_quorum,
        proposal_timeout_ms: draws.between(400, 5_000),
        min_input_score_depth: if draws.one_in(2) {
            0
        } else {
            draws.between(1, 50)
        },
        revalidate_inputs_on_commit: !draws.one_in(4),
        retry: RetryConfig {
            max_retries: draws.between(0, 6) as u32,
            base_delay_ms,
            max_delay_ms: base_delay_ms.max(draws.between(1_000, 20_000)),
            backoff_multiplier_permille: draws.between(1_000, 3_000) as u32,
            jitter_ms: draws.between(0, 500),
        },
        gc_after_ms: draws.between(2_000, 30_000),
        ..TwoPhaseConfig::default()
    };
    scenario.set_config::<TwoPhase>(&config);
    let chain = ChainSetting {
        delay_ms: draws.between(10, 2_000),
        utxos: if draws.one_in(4) {
            draws.between(5, 12)
        } else {
            draws.between(1, 4)
        } as u32,
        amount: draws.between(20, 120),
        ..ChainSetting::default()
    };
    scenario.environment = encode(&chain);

    submit(&mut draws, &mut scenario);
    draws.network(&mut scenario);
    draws.crashes(&mut scenario);
    draws.partitions(&mut scenario, &["proposal", "lock", "commit"]);
    change_views(&mut draws, &mut scenario, &chain);
    if Draws::new(!seed).one_in(3) {
        leave_some_down(&mut Draws::new(!seed), &mut scenario, config);
    }

    scenario.expectations.push(Expectation {
        invariant: Some(EVERY_EVENT_ENDS.to_string()),
        holds: Some(true),
        ..Expectation::default()
    });
    scenario
}

/// Leaves up to f members down for good. What the module doc says of liveness is said of groups whose retries do not run
/// out before messages arrive in time: their retries last half as long again as the faults, by the fastest clock.
fn leave_some_down(draws: &mut Draws, scenario: &mut Scenario, mut config: TwoPhaseConfig) {
    let quorum = config.quorum(usize::from(scenario.nodes)).need() as u64;
    let spare = u64::from(scenario.nodes) - quorum;
    if spare == 0 {
        return;
    }
    let count = draws.between(1, spare) as u16;
    let first = draws.between(0, u64::from(scenario.nodes) - 1) as u16;
    let down: Vec<NodeId> = (0..count)
        .map(|place| NodeId((first + place) % scenario.nodes + 1))
        .collect();
    draws.leave_down(scenario, &down, 0);
    let (mut lasts_ms, mut retries) = (0, 0);
    while lasts_ms < 3 * FAULTS_END_MS {
        lasts_ms += config.round_timeout(Round(retries)).as_ms();
        lasts_ms += config.retry.delay_for_retry(retries).as_ms();
        retries += 1;
    }
    config.retry.max_retries = retries;
    scenario.set_config::<TwoPhase>(&config);
    // One member after the other may have to run out of retries, by the slowest clock.
    scenario.until = scenario.until + Duration::from_ms(2 * LIVENESS_MS);
}

/// Hides and shows outputs at some nodes for a while, spends some elsewhere; every view is whole again when the faults
/// end.
fn change_views(draws: &mut Draws, scenario: &mut Scenario, chain: &ChainSetting) {
    let last = u64::from(chain.utxos) - 1;
    for _ in 0..draws.between(0, 12) {
        let output = draws.between(0, last) as u32;
        let from_ms = draws.moment();
        let until_ms = draws.between(from_ms, FAULTS_END_MS);
        let hide = ChainChange {
            hide: Vec::from([output]),
            ..ChainChange::default()
        };
        let show = ChainChange {
            show: Vec::from([output]),
            ..ChainChange::default()
        };
        for node in draws.some_nodes(scenario.nodes) {
            scenario.at_ms(
                from_ms,
                Act::Fact {
                    node: Some(node),
                    change: encode(&hide),
                },
            );
            scenario.at_ms(
                until_ms,
                Act::Fact {
                    node: Some(node),
                    change: encode(&show),
                },
            );
        }
    }
    for node in (1..=scenario.nodes).map(NodeId) {
        let show = ChainChange {
            show: (0..chain.utxos).collect(),
            ..ChainChange::default()
        };
        scenario.at_ms(
            FAULTS_END_MS,
            Act::Fact {
                node: Some(node),
                change: encode(&show),
            },
        );
    }
    if draws.one_in(3) {
        silence_one(draws, scenario, chain);
    }
    if draws.one_in(3) {
        let spend = ChainChange {
            spend: Vec::from([draws.between(0, last) as u32]),
            ..ChainChange::default()
        };
        scenario.at_ms(
            draws.between(0, FAULTS_END_MS),
            Act::Fact {
                node: None,
                change: encode(&spend),
            },
        );
    }
}

/// One node hears but is not heard, and soon the others no longer see what they proposed to spend: what it may have decided
/// must bind them all the same. (S0-F1)
fn silence_one(draws: &mut Draws, scenario: &mut Scenario, chain: &ChainSetting) {
    let silent = NodeId(draws.between(1, u64::from(scenario.nodes)) as u16);
    let from_ms = draws.soon_after_a_beginning(300);
    let mute = Link {
        from: Some(silent),
        to: None,
        latency_ms: None,
        loss_permille: Some(1_000),
    };
    scenario.at_ms(from_ms, Act::Link(mute));
    let hide_ms = from_ms + draws.between(0, 2_000);
    let kept = draws.between(0, u64::from(chain.utxos) - 1) as u32;
    let hide = ChainChange {
        hide: (0..chain.utxos).filter(|output| *output != kept).collect(),
        ..ChainChange::default()
    };
    for node in (1..=scenario.nodes)
        .map(NodeId)
        .filter(|node| *node != silent)
    {
        scenario.at_ms(
            hide_ms,
            Act::Fact {
                node: Some(node),
                change: encode(&hide),
            },
        );
    }
}

/// Submits events to some of the nodes, and some of them again, also long after they ended.
fn submit(draws: &mut Draws, scenario: &mut Scenario) {
    let nodes = u64::from(scenario.nodes);
    for number in 0..draws.between(1, 6) {
        let event = SubmitEvent {
            event: format!("withdraw-{number}"),
            amount: draws.between(1, 60),
            destination: None,
            supersedes: None,
        };
        let at_ms = draws.between(0, FAULTS_END_MS * 3 / 4);
        let to = draws.some_nodes(nodes as u16);
        draws.busy_at(at_ms);
        scenario.at_ms(
            at_ms,
            Act::Submit {
                to,
                request: encode(&event),
            },
        );
        while draws.one_in(2) {
            let again_ms = draws.between(at_ms, FAULTS_END_MS + LIVENESS_MS / 4);
            let to = draws.some_nodes(nodes as u16);
            scenario.at_ms(
                again_ms,
                Act::Submit {
                    to,
                    request: encode(&event),
                },
            );
        }
    }
}
