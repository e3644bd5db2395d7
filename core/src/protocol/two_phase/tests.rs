//! Steps of two-phase, told as scenarios of a handful of messages.

use std::println;

use crate::protocol::ProtocolKind;
use crate::scenario::{builtin, parse};
use crate::sim::Sim;

#[test]
fn every_builtin_scenario_comes_out_as_it_says() {
    for entry in builtin() {
        let scenario = parse(entry.name, entry.text).unwrap();
        let mut sim = Sim::new(&scenario).unwrap();
        sim.run();
        let report = sim.report();
        assert!(report.is_as_expected(), "{}: {report:#?}", entry.name);
    }
}

#[test]
fn a_swarm_of_seeds_keeps_every_promise() {
    for seed in 0..60 {
        let scenario = ProtocolKind::TwoPhase.swarm(seed);
        let mut sim = Sim::new(&scenario).unwrap();
        sim.run();
        let report = sim.report();
        println!(
            "{seed}: {} steps, {} decided, {} abandoned",
            report.steps,
            report.decisions.len(),
            report.abandoned.len()
        );
        if !report.is_as_expected() {
            for entry in &sim.scenario().interventions {
                println!("{entry:?}");
            }
            for id in sim.scenario().ids() {
                println!("{id} alive {} {:?}", sim.is_alive(id), sim.counters(id));
                for f in sim.view(id, crate::view::ViewScope::Full).instances {
                    println!(
                        "   {} {} r{} locked {:?} {:?}",
                        f.name,
                        f.phase,
                        f.round,
                        f.locked,
                        f.fields
                            .iter()
                            .map(|f| std::format!("{}={}", f.name, f.text))
                            .collect::<std::vec::Vec<_>>()
                    );
                }
            }
            let names = sim.spec();
            for e in sim.log().iter().filter(|e| e.node.0 == 7) {
                println!(
                    "{} {}",
                    e.at.as_ms(),
                    crate::narrate::sentence(names, e.node, &e.event, None)
                );
            }
        }
        assert!(
            report.is_as_expected(),
            "phaselab sim --protocol two-phase --swarm --seed {seed}: {:#?} {:#?} {:#?}",
            report.invariants,
            report.expectations,
            sim.liveness()
        );
    }
}
