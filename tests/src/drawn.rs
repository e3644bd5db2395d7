//! Scenarios drawn from seeds, run on every core: what came of them, and what fired.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::sim::Sim;
use phaselab_core::sim::report::Report;

/// The faults of every swarm: what networks and crashes do, at each point of a step.
pub const FAULTS: [&str; 7] = [
    "loss",
    "duplication",
    "delay",
    "partition",
    "crash_between_steps",
    "crash_before_handling",
    "crash_after_persist",
];

/// What came of every seed, by seed. A run that panicked has no report.
pub struct Drawn {
    protocol: ProtocolKind,
    /// The reports.
    pub reports: BTreeMap<u64, Option<Report>>,
}

/// Runs the swarm of a protocol. Of every so many seeds recovery is compared with the live state after every step, which
/// is slow.
///
/// # Panics
/// If a thread cannot be had.
pub fn run(protocol: ProtocolKind, seeds: Range<u64>, check_recovery_every: u64) -> Drawn {
    let next = AtomicU64::new(seeds.start);
    let report = |seed: u64| {
        let mut sim = Sim::new(&protocol.swarm(seed)).expect("nodes that can be built");
        sim.set_check_recovery(seed.is_multiple_of(check_recovery_every));
        sim.run();
        sim.report()
    };
    let work = || {
        let mut reports = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return reports;
            }
            reports.push((seed, catch_unwind(|| report(seed)).ok()));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let reports = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let reports = threads.into_iter().map(thread::ScopedJoinHandle::join);
        let reports = reports.map(|reports| reports.expect("panics are caught"));
        reports.flatten().collect()
    });
    Drawn { protocol, reports }
}

impl Drawn {
    /// The reports of runs that came to an end.
    pub fn ended(&self) -> impl Iterator<Item = &Report> {
        self.reports.values().flatten()
    }

    /// How to see again what was not as expected; empty if all was.
    pub fn failures(&self) -> String {
        let mut failures = String::new();
        for (seed, report) in &self.reports {
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
            let name = self.protocol.name();
            failures +=
                &format!("phaselab sim --protocol {name} --swarm --seed {seed}\n  {what}\n");
        }
        failures
    }

    /// How often each kind of fault fired.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        let mut fired = BTreeMap::new();
        for (kind, count) in self.ended().flat_map(|report| report.faults.iter()) {
            *fired.entry(*kind).or_default() += count;
        }
        fired
    }

    /// The sum of a counter.
    pub fn metric(&self, name: &str) -> u64 {
        let of = |report: &Report| {
            let found = report.metrics.iter().find(|(known, _)| *known == name);
            found.map_or(0, |(_, count)| *count)
        };
        self.ended().map(of).sum()
    }

    /// Asserts that [`FAULTS`] and each of these kinds fired, and that nothing impossible was asked for: a swarm that never
    /// crashed a node would prove nothing about crashes.
    ///
    /// # Panics
    /// If one did not.
    pub fn assert_fired(&self, kinds: &[&str]) {
        let fired = self.fired();
        println!("{fired:#?}");
        for kind in FAULTS.iter().chain(kinds) {
            assert!(fired.contains_key(kind), "no {kind} in {fired:?}");
        }
        assert_eq!(fired.get("impossible"), None, "{fired:?}");
    }

    /// Asserts that each of these counters reached so much.
    ///
    /// # Panics
    /// If one did not.
    pub fn assert_counted(&self, least: &[(&str, u64)]) {
        for (name, least) in least {
            let count = self.metric(name);
            assert!(count >= *least, "{name} = {count}");
        }
    }
}
