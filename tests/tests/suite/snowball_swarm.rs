//! Snowball under everything that fails: drawn scenarios, and conflicts over thousands of seeds.

use phaselab_core::protocol::ProtocolKind;
use phaselab_tests::drawn;

/// S1-F1 to S1-F22 at once: whatever fails, no node holds two spends of one output, no decision is made on fewer polls,
/// and what nobody contradicts becomes final everywhere.
#[test]
fn every_seed_keeps_every_promise_and_every_transaction_ends() {
    let drawn = drawn::run(ProtocolKind::Snowball, 200_000..200_060, 20);
    let failures = drawn.failures();
    assert!(failures.is_empty(), "{failures}");
    drawn.assert_fired(&["resubmission"]);
    drawn.assert_counted(&[
        ("snowball_polls_total", 20_000),
        ("snowball_transactions_finalized_total", 400),
        ("snowball_transactions_rejected_total", 20),
        ("snowball_blocks_decided_total", 300),
        ("snowball_vote_timeouts_total", 1_000),
        ("snowball_votes_late_total", 500),
    ]);
}
