//! What happened at the gateway, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counts since this process started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) routed: AtomicU64,
    pub(super) undelivered: AtomicU64,
    pub(super) forged: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) oversized: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) replaced: AtomicU64,
    pub(super) strangers: AtomicU64,
    pub(super) foreign: AtomicU64,
}

impl Counts {
    /// One more of these.
    pub(super) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts as they stand.
    pub(super) fn tally(&self) -> Tally {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            routed: count(&self.routed),
            undelivered: count(&self.undelivered),
            forged: count(&self.forged),
            malformed: count(&self.malformed),
            oversized: count(&self.oversized),
            throttled: count(&self.throttled),
            slow: count(&self.slow),
            replaced: count(&self.replaced),
            strangers: count(&self.strangers),
            foreign: count(&self.foreign),
        }
    }
}

/// The counts at one moment.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    /// Packets that were passed on, to each receiver.
    routed: u64,
    /// Packets whose receiver was not connected.
    undelivered: u64,
    /// Packets that were not their sender's own.
    forged: u64,
    /// Frames that were none.
    malformed: u64,
    /// Connections that were closed for a frame that is too large.
    oversized: u64,
    /// Times that a connection had to wait for its rate.
    throttled: u64,
    /// Connections that were closed because they read too slowly.
    slow: u64,
    /// Connections that were closed because the member connected again.
    replaced: u64,
    /// Connections that showed no right to be there in time.
    strangers: u64,
    /// Requests of other origins or hosts.
    foreign: u64,
}
