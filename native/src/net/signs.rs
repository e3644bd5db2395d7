//! What a peer's task notes of it, and what others read: whether it is there, and what passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use iroh::endpoint::Connection;

/// A peer's signs of life.
#[derive(Debug)]
pub(super) struct Signs {
    /// The connection that is written to, and since when there is one without a break.
    up: Mutex<Option<(Connection, Instant)>>,
    /// Packets that were dropped because the queue was full.
    pub(super) dropped: AtomicU64,
    /// Packets that were written.
    pub(super) sent: AtomicU64,
    /// Packets that were read, and their bytes.
    received: AtomicU64,
    received_bytes: AtomicU64,
    /// Packets after which the peer had to wait.
    pub(super) slowed: AtomicU64,
    /// Milliseconds since `since`, plus one; 0 for never.
    heard_ms: AtomicU64,
    since: Instant,
}

impl Signs {
    /// A peer that was never heard.
    pub(super) fn new() -> Signs {
        Signs {
            up: Mutex::new(None),
            dropped: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            slowed: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            since: Instant::now(),
        }
    }

    /// How long ago the peer was heard.
    pub(super) fn heard(&self) -> Option<Duration> {
        let at_ms = self.heard_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            self.since
                .elapsed()
                .saturating_sub(Duration::from_millis(at_ms)),
        )
    }

    /// For how long there has been a connection; `None` if there is none.
    pub(super) fn connected(&self) -> Option<Duration> {
        Some(self.up().as_ref()?.1.elapsed())
    }

    /// The round trip as QUIC estimates it, over the path in use.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let up = self.up();
        let (connection, _) = up.as_ref()?;
        let paths = connection.paths();
        let in_use = paths.iter().find(|path| path.is_selected());
        in_use.map(|path| path.rtt())
    }

    /// Packets that were read, and their bytes.
    pub(super) fn received(&self) -> (u64, u64) {
        (
            self.received.load(Ordering::Relaxed),
            self.received_bytes.load(Ordering::Relaxed),
        )
    }

    /// Notes the connection that is written to from now on.
    pub(super) fn set_up(&self, connection: Option<&Connection>) {
        let mut up = self.up();
        let since = up.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        *up = connection.map(|connection| (connection.clone(), since));
    }

    pub(super) fn note_received(&self, bytes: usize) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.received_bytes
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.heard_now();
    }

    pub(super) fn heard_now(&self) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.heard_ms.store(ms + 1, Ordering::Relaxed);
    }

    fn up(&self) -> MutexGuard<'_, Option<(Connection, Instant)>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
