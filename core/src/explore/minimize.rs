//! Smaller scenarios that still show the same: what was drawn at random, with everything left out that it does not need.

use alloc::vec::Vec;

use crate::scenario::{Act, Intervention, Scenario, keep};
use crate::types::{Duration, GroupId};

/// Leaves out interventions, shortens delays and takes nodes away, as long as `still` is true of what remains. Run it
/// on a scenario of which `still` is true; what it returns is one, too.
///
/// A scenario that was read from a file keeps its text, without what was left out; only its interventions change then.
pub fn minimize(scenario: &Scenario, still: &dyn Fn(&Scenario) -> bool) -> Scenario {
    let has_text = !scenario.source.is_empty();
    let mut least = fewer(scenario, still);
    if has_text {
        return least;
    }
    loop {
        let before = least.clone();
        for smaller in [fewer_nodes, calm_network, quick_disk] {
            let candidate = smaller(&least);
            if candidate != least && candidate.check().is_ok() && still(&candidate) {
                least = candidate;
            }
        }
        shorten(&mut least, still);
        if least == before {
            return fewer(&least, still);
        }
    }
}

/// Leaves out as many interventions as it can: halves first, single ones at last.
fn fewer(scenario: &Scenario, still: &dyn Fn(&Scenario) -> bool) -> Scenario {
    let mut kept: Vec<usize> = (0..scenario.interventions.len()).collect();
    let mut least = scenario.clone();
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        while from < kept.len() {
            let mut rest = kept.clone();
            rest.drain(from..(from + size).min(kept.len()));
            match keep(scenario, &rest).filter(|candidate| still(candidate)) {
                Some(candidate) => {
                    kept = rest;
                    least = candidate;
                }
                None => from += size,
            }
        }
        if size == 1 {
            return least;
        }
        size = size.div_ceil(2);
    }
}

fn fewer_nodes(scenario: &Scenario) -> Scenario {
    let mut smaller = scenario.clone();
    if smaller.nodes > 1 {
        smaller.nodes -= 1;
        let groups: Vec<GroupId> = smaller.groups.clone();
        smaller.groups = groups[..usize::from(smaller.nodes)].to_vec();
    }
    smaller
}

fn calm_network(scenario: &Scenario) -> Scenario {
    let mut calm = scenario.clone();
    let network = &mut calm.network;
    network.latency_ms = [10, 10];
    network.loss_permille = 0;
    network.duplicate_permille = 0;
    network.corrupt_permille = 0;
    network.delay_permille = 0;
    calm
}

fn quick_disk(scenario: &Scenario) -> Scenario {
    let mut quick = scenario.clone();
    quick.disk.latency_us = [0, 0];
    quick
}

/// Halves each delay as often as it can.
fn shorten(scenario: &mut Scenario, still: &dyn Fn(&Scenario) -> bool) {
    for index in 0..scenario.interventions.len() {
        loop {
            let mut shorter = scenario.clone();
            let Intervention { act, .. } = &mut shorter.interventions[index];
            let Act::Delay { by_ms, .. } = act else { break };
            let half = *by_ms / 2;
            if half == 0 || Duration::from_ms(half) == Duration::ZERO {
                break;
            }
            *by_ms = half;
            if !still(&shorter) {
                break;
            }
            *scenario = shorter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ProtocolKind;
    use crate::scenario::{At, CrashPoint};
    use crate::types::{NodeId, Time};

    fn crash(node: u16, ms: u64) -> Intervention {
        let when = CrashPoint::BetweenSteps;
        Intervention {
            at: At::Time(Time::from_ms(ms)),
            act: Act::Crash {
                node: NodeId(node),
                when,
            },
        }
    }

    #[test]
    fn only_what_is_needed_stays() {
        let mut scenario = Scenario::new(ProtocolKind::TwoPhase, 5);
        scenario.network.loss_permille = 200;
        scenario.interventions = (0..40)
            .map(|index| crash(1 + index % 3, u64::from(index)))
            .collect();
        // Two crashes of node 2 and one of node 3, at no particular time.
        let count = |scenario: &Scenario, node: u16| {
            let meant = |entry: &&Intervention| matches!(entry.act, Act::Crash { node: NodeId(id), .. } if id == node);
            scenario.interventions.iter().filter(meant).count()
        };
        let still = |scenario: &Scenario| count(scenario, 2) >= 2 && count(scenario, 3) >= 1;
        let least = minimize(&scenario, &still);
        assert_eq!(
            (count(&least, 1), count(&least, 2), count(&least, 3)),
            (0, 2, 1)
        );
        assert_eq!((least.interventions.len(), least.nodes), (3, 3));
        assert_eq!(least.network.loss_permille, 0);
    }
}
