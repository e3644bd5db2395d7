//! `/healthz`: whether a node works, judged from outside its event loop.

use std::time::Duration;

use serde::Serialize;

use crate::metrics::Sample;

/// How long the event loop may take to answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one commit may take until the disk counts as stuck.
pub(crate) const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What `/healthz` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// `ok` or `failing`.
    pub(crate) status: &'static str,
    /// What is wrong; `null` if nothing is.
    pub(crate) reason: Option<String>,
    /// Which node.
    pub(crate) node: u16,
    /// How long it runs.
    pub(crate) uptime_ms: u64,
    /// Members to which a connection is up, as it was last told. Says nothing about this node's own health.
    pub(crate) peers_connected: Option<usize>,
}

/// Whether the event loop answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// In time.
    Answered,
    /// Not in time.
    Silent,
    /// It is over: the node is stopping.
    Gone,
}

/// Judges.
pub(crate) fn judge(
    node: u16,
    uptime: Duration,
    pulse: Pulse,
    commit_pending: Duration,
    sample: Option<&Sample>,
) -> Health {
    let store = (commit_pending >= COMMIT_TIMEOUT).then(|| {
        format!(
            "the store has not finished a commit for {:.1} s",
            commit_pending.as_secs_f64()
        )
    });
    let event_loop = match pulse {
        Pulse::Answered => None,
        Pulse::Silent => Some(format!(
            "the event loop did not answer within {} s",
            ANSWER_TIMEOUT.as_secs()
        )),
        Pulse::Gone => Some("the node is stopping".to_owned()),
    };
    // Of two reasons the store's is the cause: a loop whose store is stuck takes nothing in.
    let reason = store.or(event_loop);
    Health {
        status: if reason.is_none() { "ok" } else { "failing" },
        reason,
        node,
        uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        peers_connected: sample
            .map(|sample| sample.peers.iter().filter(|peer| peer.connected).count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_told() {
        let judged = |pulse, pending| {
            let health = judge(1, Duration::from_secs(9), pulse, pending, None);
            (health.status, health.reason.unwrap_or_default())
        };
        let (quick, stuck) = (Duration::from_millis(20), Duration::from_secs(7));
        assert_eq!(judged(Pulse::Answered, quick), ("ok", String::new()));
        for (pulse, pending, expected) in [
            (Pulse::Silent, quick, "did not answer within 1 s"),
            (Pulse::Gone, quick, "is stopping"),
            (Pulse::Answered, stuck, "a commit for 7.0 s"),
            (Pulse::Silent, stuck, "a commit for 7.0 s"),
        ] {
            let (status, reason) = judged(pulse, pending);
            assert_eq!(status, "failing");
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
