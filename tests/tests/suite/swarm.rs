//! Scenarios drawn from seeds: a safety phase in which everything fails, then a liveness phase in which all must end.

use std::sync::LazyLock;

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::sim::report::Report;
use phaselab_tests::drawn::{self, Drawn};

/// Others than the core's own tests draw.
static DRAWN: LazyLock<Drawn> =
    LazyLock::new(|| drawn::run(ProtocolKind::TwoPhase, 1_000..1_150, 25));

#[test]
fn every_seed_keeps_every_promise() {
    let failures = DRAWN.failures();
    assert!(failures.is_empty(), "replay with\n{failures}");
}

#[test]
fn every_kind_of_fault_fired_and_every_outcome_happened() {
    DRAWN.assert_fired(&["corruption", "cut_off", "disk", "skew"]);
    // Nobody lies in the fault model of Profile A.
    assert_eq!(DRAWN.fired().get("byzantine"), None);

    let count = |test: fn(&Report) -> bool| DRAWN.ended().filter(|report| test(report)).count();
    assert!(count(|report| !report.decisions.is_empty()) > 100);
    assert!(count(|report| !report.abandoned.is_empty()) > 5);
    let counted = [
        "two_phase_proposal_timeouts_total",
        "two_phase_fast_forwards_total",
        "two_phase_events_abandoned_total",
        "refused_bad_signature",
        "refused_replayed",
        "refused_stale_incarnation",
    ];
    DRAWN.assert_counted(&counted.map(|name| (name, 1)));
}
