//! How fast the simulator is.

use std::time::Instant;

use phaselab_core::crypto::Crypto;
use phaselab_core::event::Level;
use phaselab_core::types::Time;
use phaselab_tests::sketch::ping::{Ping, PingConfig};
use phaselab_tests::sketch::{run_of, scenario};

fn main() {
    two_phase(); if std::env::var("ONLY").is_ok() { return; }
    for (nodes, crypto, level, ms) in [
        (5, Crypto::Simulated, Level::None, 200_000),
        (25, Crypto::Simulated, Level::None, 8_000),
        (5, Crypto::Ed25519, Level::None, 2_000),
    ] {
        let mut scenario = scenario(nodes);
        scenario.crypto = crypto;
        scenario.until = Time::from_ms(ms);
        let mut sim = run_of::<Ping>(scenario, &PingConfig::default());
        sim.set_level(level);
        sim.set_check_recovery(false);
        let start = Instant::now();
        sim.run();
        let took = start.elapsed().as_secs_f64();
        println!(
            "{nodes} nodes {crypto:?} {level:?}: {} delivered in {took:.2} s: {:.0}/s",
            sim.delivered(),
            sim.delivered() as f64 / took
        );
    }
}

#[allow(dead_code)]
fn two_phase() {
    use phaselab_core::codec::encode;
    use phaselab_core::protocol::ProtocolKind;
    use phaselab_core::protocol::two_phase::{ChainSetting, SubmitEvent};
    use phaselab_core::scenario::{Act, Scenario};
    use phaselab_core::sim::Sim;
    use phaselab_core::types::NodeId;
    for crypto in [Crypto::Simulated; 6] {
        let mut scenario = Scenario::new(ProtocolKind::TwoPhase, 5);
        scenario.crypto = crypto;
        scenario.until = Time::from_ms(60_000);
        scenario.environment = encode(&ChainSetting { utxos: 2_000, ..ChainSetting::default() });
        for n in 0..599u64 {
            let request = SubmitEvent { event: format!("withdraw-{n}"), amount: 25, destination: None, supersedes: None };
            scenario.at_ms(100 * n, Act::Submit { to: vec![NodeId(1 + (n % 5) as u16)], request: encode(&request) });
        }
        let mut sim = Sim::new(&scenario).unwrap();
        sim.set_level(Level::None);
        sim.set_check_recovery(false);
        let start = Instant::now();
        sim.run();
        let took = start.elapsed().as_secs_f64();
        let report = sim.report();
        println!("{crypto:?}: {} decided, {} delivered, {} steps, {took:.3} s: {:.0} x; {:.0} delivered/s", report.decisions.len(), sim.delivered(), sim.steps(), 60.0 / took, sim.delivered() as f64 / took);
    }
}
