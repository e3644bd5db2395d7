//! What a node shows the observers of a hybrid cluster: the same as a browser's worker, through the gateway.
//!
//! The event loop only puts events aside; a task of its own asks for the picture twice a second, or soon after something
//! happened, and sends both. For drawing only: what finds no room is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use phaselab_core::codec;
use phaselab_core::event::Event;
use phaselab_core::replica::Replica;
use phaselab_core::types::Time;
use phaselab_core::view::ViewScope;
use phaselab_core::watch::{NodePicture, NodeReport, WatchFrame, WatchedEvent};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::Input;
use crate::net::gateway::Gateway;

/// Reports come at least this often.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// What happens within this time goes into one report.
const REPORT_AFTER: Duration = Duration::from_millis(20);
/// The most events of one report.
const EVENTS_MAX: usize = 256;
/// Where a process says that it runs, in place of a tab's name.
const TERMINAL: &str = "terminal";

/// A node as an observer sees it, at a time of its own clock.
#[derive(Debug)]
pub(crate) struct Seen {
    life: u32,
    refused: u64,
    at: Time,
    picture: NodePicture,
}

impl Seen {
    /// Looks at a node.
    pub(super) fn of(replica: &dyn Replica, at: Time) -> Seen {
        Seen {
            life: replica.incarnation().0,
            refused: replica.refused(),
            at,
            picture: NodePicture::of(replica.spec(), replica.view(ViewScope::Full)),
        }
    }
}

/// What happened since the last report.
#[derive(Debug, Default)]
pub(super) struct Watch {
    events: Mutex<VecDeque<WatchedEvent>>,
    news: Notify,
}

impl Watch {
    /// Puts events aside; the oldest are forgotten when there are too many.
    pub(super) fn hear(&self, at: Time, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        let mut waiting = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if waiting.len() == EVENTS_MAX {
                waiting.pop_front();
            }
            waiting.push_back(WatchedEvent::new(at.0 / 1_000, event));
        }
        self.news.notify_one();
    }

    fn take(&self) -> Vec<WatchedEvent> {
        let mut waiting = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.drain(..).collect()
    }

    /// Reports until the node is gone.
    pub(super) async fn report(
        self: Arc<Watch>,
        node: u16,
        gateway: Arc<Gateway>,
        inbox: mpsc::Sender<Input>,
    ) {
        for sequence in 1.. {
            let _ = timeout(REPORT_EVERY, self.news.notified()).await;
            sleep(REPORT_AFTER).await;
            let Some(begun_ms) = gateway.begun_ms() else {
                continue;
            };
            let (answer, seen) = oneshot::channel();
            if inbox.send(Input::Look(answer)).await.is_err() {
                return;
            }
            let Ok(seen) = seen.await else { return };
            // Every node's clock starts with its process; pictures share the one of the cluster.
            let since_begun = micros_since_1970().saturating_sub(begun_ms.saturating_mul(1_000));
            let offset = since_begun.saturating_sub(seen.at.0 / 1_000);
            let mut events = self.take();
            events.iter_mut().for_each(|event| event.at_us += offset);
            let report = NodeReport {
                node,
                tab: TERMINAL.to_owned(),
                life: seen.life,
                sequence,
                at_us: seen.at.0 / 1_000 + offset,
                refused: seen.refused,
                peers: gateway.peers(),
                picture: seen.picture,
                events,
            };
            gateway.show(codec::encode(&WatchFrame::Node(report)));
        }
    }
}

fn micros_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}
