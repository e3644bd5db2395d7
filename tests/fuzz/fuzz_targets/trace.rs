//! A trace file from anywhere: refused, or a run that can be made.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use phaselab_core::scenario::{Act, At, Intervention};
use phaselab_core::sim::Sim;
use phaselab_core::trace::Trace;
use phaselab_core::types::{Hash32, NodeId};
use phaselab_fuzz::Data;
use phaselab_tests::Cluster;
use phaselab_tests::cluster::request;

static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut scenario = Cluster::builder(3).until_ms(3_000).build();
    let (to, request) = (vec![NodeId(1)], request("withdraw-1", 25));
    scenario.at_ms(10, Act::Submit { to, request });
    let (at, act) = (At::Step(5), Act::Heal);
    let trace = Trace {
        core_version: "0.1.0".into(),
        scenario,
        by_hand: vec![Intervention { at, act }],
        digests: vec![Hash32([1; 32])],
        steps: 2_000,
        trace_hash: Hash32([2; 32]),
    };
    let mut bytes = trace.to_bytes();
    bytes.truncate(bytes.len() - SEAL_BYTES);
    bytes
});

/// The digest at the end, which is made anew: a changed file would not get past it.
const SEAL_BYTES: usize = 32;

fuzz_target!(|bytes: &[u8]| {
    let mut file = Data(bytes).edit(&SOUND);
    let seal = blake3::derive_key("phaselab 2026-11 trace file v2", &file);
    file.extend_from_slice(&seal);
    let Ok(trace) = Trace::from_bytes(&file) else {
        return;
    };
    assert_eq!(Trace::from_bytes(&trace.to_bytes()).as_ref(), Ok(&trace));
    let scenario = trace.whole_scenario();
    if scenario.nodes <= 8 {
        let mut sim = Sim::new(&scenario).expect("a checked scenario can be built");
        for _ in 0..100 {
            sim.step();
        }
        sim.report();
    }
});
