//! What a connection may cost: a token bucket for what it says, and a queue with an end for what it is told.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::Notify;

/// Tokens that come back with time.
#[derive(Debug)]
pub(super) struct Bucket {
    per_second: u64,
    /// The most tokens, in nanotokens as `have`: whole numbers lose nothing.
    full: u128,
    have: u128,
    at: Instant,
}

const NANO: u128 = 1_000_000_000;

impl Bucket {
    /// A full bucket of `burst` tokens.
    pub(super) fn new(per_second: u64, burst: u64, now: Instant) -> Bucket {
        let full = u128::from(burst) * NANO;
        Bucket {
            per_second,
            full,
            have: full,
            at: now,
        }
    }

    /// Takes tokens, at once if they are there; how long to wait until they would have been.
    pub(super) fn take(&mut self, now: Instant, tokens: u64) -> Duration {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        self.at = self.at.max(now);
        self.have = self
            .full
            .min(self.have + elapsed * u128::from(self.per_second));
        // More than a bucket holds at once is paid as a full one.
        let cost = (u128::from(tokens) * NANO).min(self.full);
        if cost <= self.have {
            self.have -= cost;
            return Duration::ZERO;
        }
        let missing = cost - self.have;
        self.have = 0;
        let wait = missing.div_ceil(u128::from(self.per_second));
        // What was waited for is spent: it does not come back as well.
        let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX));
        self.at += wait;
        wait
    }
}

/// Why a queue takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Its reader is too slow.
    Slow,
    /// The member connected again elsewhere.
    Replaced,
}

/// Frames that wait for one connection.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Bytes>,
    bytes: usize,
    closed: Option<Closed>,
}

/// The most frames and bytes that wait for a connection; it is closed when there are more.
pub(super) const QUEUE_FRAMES_MAX: usize = 2_048;
/// See [`QUEUE_FRAMES_MAX`].
pub(super) const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

impl Queue {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame. A reader that is too slow is given up, not buffered.
    pub(super) fn push(&self, frame: Bytes) {
        let mut inner = self.inner();
        if inner.closed.is_some() {
            return;
        }
        if inner.frames.len() == QUEUE_FRAMES_MAX || inner.bytes + frame.len() > QUEUE_BYTES_MAX {
            inner.frames.clear();
            inner.closed = Some(Closed::Slow);
        } else {
            inner.bytes += frame.len();
            inner.frames.push_back(frame);
        }
        self.news.notify_one();
    }

    /// Queues a frame that may as well be lost, if there is much room.
    pub(super) fn push_lossy(&self, frame: Bytes) {
        let has_room = {
            let inner = self.inner();
            inner.frames.len() < QUEUE_FRAMES_MAX / 4 && inner.bytes < QUEUE_BYTES_MAX / 4
        };
        if has_room {
            self.push(frame);
        }
    }

    /// Closes it; what waits is lost.
    pub(super) fn close(&self, why: Closed) {
        let mut inner = self.inner();
        inner.frames.clear();
        inner.closed.get_or_insert(why);
        self.news.notify_one();
    }

    /// The next frame, once there is one.
    ///
    /// # Errors
    /// Why there will be none.
    pub(super) async fn next(&self) -> Result<Bytes, Closed> {
        loop {
            {
                let mut inner = self.inner();
                if let Some(frame) = inner.frames.pop_front() {
                    inner.bytes -= frame.len();
                    return Ok(frame);
                }
                if let Some(why) = inner.closed {
                    return Err(why);
                }
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 5, start);
        for _ in 0..5 {
            assert_eq!(bucket.take(start, 1), Duration::ZERO);
        }
        assert_eq!(bucket.take(start, 1), Duration::from_millis(100));
        assert_eq!(
            bucket.take(start, 1),
            Duration::from_millis(100),
            "a second one pays for itself, from the time that the first waited for"
        );
        let later = start + Duration::from_millis(200);
        assert_eq!(bucket.take(later, 1), Duration::from_millis(100));
        let much_later = start + Duration::from_secs(60);
        for _ in 0..5 {
            assert_eq!(bucket.take(much_later, 1), Duration::ZERO);
        }
        assert!(
            bucket.take(much_later, 1) > Duration::ZERO,
            "never more than it holds"
        );
        let mut large = Bucket::new(10, 5, start);
        assert_eq!(
            large.take(start, 1_000_000),
            Duration::ZERO,
            "at most all that it holds"
        );
        assert_eq!(large.take(start, 1_000_000), Duration::from_millis(500));
    }

    #[tokio::test]
    async fn a_queue_keeps_order_and_gives_a_slow_reader_up() {
        let queue = Queue::default();
        queue.push(Bytes::from_static(b"one"));
        queue.push(Bytes::from_static(b"two"));
        assert_eq!(queue.next().await.unwrap(), "one");
        assert_eq!(queue.next().await.unwrap(), "two");
        for _ in 0..=QUEUE_FRAMES_MAX {
            queue.push(Bytes::from_static(b"x"));
        }
        assert_eq!(queue.next().await, Err(Closed::Slow));

        let queue = Queue::default();
        let large = Bytes::from(vec![0; QUEUE_BYTES_MAX / 2]);
        queue.push(large.clone());
        queue.push_lossy(Bytes::from_static(b"a picture"));
        queue.push(large.clone());
        queue.push(Bytes::from_static(b"x"));
        assert_eq!(queue.next().await, Err(Closed::Slow), "by its bytes");

        let queue = Queue::default();
        queue.push(Bytes::from_static(b"x"));
        queue.close(Closed::Replaced);
        assert_eq!(queue.next().await, Err(Closed::Replaced));
    }
}
