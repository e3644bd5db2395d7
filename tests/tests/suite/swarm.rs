//! Scenarios drawn from seeds: a safety phase in which everything fails, then a liveness phase in which all must end.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::sim::Sim;
use phaselab_core::sim::report::Report;

/// Others than the core's own tests draw.
const SEEDS: std::ops::Range<u64> = 1_000..1_150;

/// Comparing recovery with the live state after every step is slow: every so many seeds.
const CHECK_RECOVERY_EVERY: u64 = 25;

fn run(protocol: ProtocolKind, seed: u64) -> Report {
    let mut sim = Sim::new(&protocol.swarm(seed)).expect("nodes that can be built");
    sim.set_check_recovery(seed.is_multiple_of(CHECK_RECOVERY_EVERY));
    sim.run();
    sim.report()
}

/// The reports of all seeds, made once for all tests, by as many threads as there are cores. A run that panicked has none.
static REPORTS: LazyLock<BTreeMap<u64, Option<Report>>> = LazyLock::new(|| {
    let next = AtomicU64::new(SEEDS.start);
    let work = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !SEEDS.contains(&seed) {
                return reports;
            }
            let report = catch_unwind(|| run(ProtocolKind::TwoPhase, seed));
            reports.push((seed, report.ok()));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let reports = threads.into_iter().map(|thread| thread.join());
        let reports = reports.map(|reports| reports.expect("panics are caught"));
        reports.flatten().collect()
    })
});

#[test]
fn every_seed_keeps_every_promise() {
    let mut failures = String::new();
    for (seed, report) in REPORTS.iter() {
        let what = match report {
            None => "panicked".into(),
            Some(report) if report.is_as_expected() => continue,
            Some(report) => {
                let broken = report.invariants.iter().filter(|verdict| !verdict.holds);
                let unmet = report.expectations.iter().filter(|entry| !entry.met);
                format!(
                    "{:?} {:?}",
                    broken.collect::<Vec<_>>(),
                    unmet.collect::<Vec<_>>()
                )
            }
        };
        failures += &format!("phaselab sim --protocol two-phase --swarm --seed {seed}\n  {what}\n");
    }
    assert!(failures.is_empty(), "replay with\n{failures}");
}

/// A swarm that never crashed a node would prove nothing about crashes.
#[test]
fn every_kind_of_fault_fired_and_every_outcome_happened() {
    let mut fired: BTreeMap<&str, u64> = BTreeMap::new();
    for report in REPORTS.values().flatten() {
        for (kind, count) in &report.faults {
            *fired.entry(kind).or_default() += count;
        }
    }
    println!("{fired:#?}");
    for kind in [
        "loss",
        "duplication",
        "delay",
        "corruption",
        "cut_off",
        "partition",
        "crash_between_steps",
        "crash_before_handling",
        "crash_after_persist",
        "disk",
        "skew",
    ] {
        assert!(fired.contains_key(kind), "no {kind} in {fired:?}");
    }
    // Impossible interventions are those of the scenario, not faults of the run.
    assert_eq!(fired.get("impossible"), None, "{fired:?}");
    // Nobody lies in the fault model of Profile A.
    assert_eq!(fired.get("byzantine"), None);

    let count = |test: fn(&Report) -> bool| {
        REPORTS
            .values()
            .flatten()
            .filter(|report| test(report))
            .count()
    };
    assert!(count(|report| !report.decisions.is_empty()) > 100);
    assert!(count(|report| !report.abandoned.is_empty()) > 5);
    let metric = |name: &str| -> u64 {
        let of = |report: &Report| report.metrics.get(name).copied().unwrap_or(0);
        REPORTS.values().flatten().map(of).sum()
    };
    for name in [
        "two_phase_proposal_timeouts_total",
        "two_phase_fast_forwards_total",
        "two_phase_events_abandoned_total",
        "refused_bad_signature",
        "refused_replayed",
        "refused_stale_incarnation",
    ] {
        assert!(metric(name) > 0, "{name} never counted");
    }
}
