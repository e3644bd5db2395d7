//! Where packets wait that are late on purpose.

use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use phaselab_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Faults;

/// Packets that are late at once; more are lost.
const LATE_PACKETS_MAX: usize = 8_192;

/// A packet that is late.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    due: Instant,
    order: u64,
    to: NodeId,
    packet: Arc<[u8]>,
}

/// Where late packets wait.
#[derive(Debug)]
pub(in super::super) struct DelayLine {
    enter: mpsc::Sender<(Instant, NodeId, Arc<[u8]>)>,
    faults: Arc<Faults>,
}

impl DelayLine {
    /// A line whose packets go on to `leave` when they are due, and the task that sees to it.
    pub(in super::super) fn new(
        faults: Arc<Faults>,
        leave: impl Fn(NodeId, Arc<[u8]>) + Send + 'static,
    ) -> (DelayLine, impl Future<Output = ()>) {
        let (enter, entered) = mpsc::channel(LATE_PACKETS_MAX);
        let line = DelayLine {
            enter,
            faults: faults.clone(),
        };
        (line, wait(faults, entered, leave))
    }

    /// Lets a packet wait; one that finds no room is lost.
    pub(in super::super) fn hold(&self, by: Duration, to: NodeId, packet: &Arc<[u8]>) {
        self.hold_until(Instant::now() + by, to, packet);
    }

    fn hold_until(&self, due: Instant, to: NodeId, packet: &Arc<[u8]>) {
        if self.enter.try_send((due, to, packet.clone())).is_err() {
            self.faults.lose(to);
        }
    }
}

async fn wait(
    faults: Arc<Faults>,
    mut entered: mpsc::Receiver<(Instant, NodeId, Arc<[u8]>)>,
    leave: impl Fn(NodeId, Arc<[u8]>),
) {
    let mut waiting: BinaryHeap<std::cmp::Reverse<Late>> = BinaryHeap::new();
    let mut order = 0;
    loop {
        let due = waiting.peek().map(|next| next.0.due);
        let is_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            packet = entered.recv() => {
                let Some((due, to, packet)) = packet else { return };
                if waiting.len() == LATE_PACKETS_MAX {
                    faults.lose(to);
                    continue;
                }
                order += 1;
                waiting.push(std::cmp::Reverse(Late { due, order, to, packet }));
            }
            () = is_due => {
                if let Some(std::cmp::Reverse(Late { to, packet, .. })) = waiting.pop()
                    // Cut while it was on its way.
                    && !faults.is_cut(to)
                {
                    leave(to, packet);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::protocol::ProtocolKind;

    #[tokio::test]
    async fn packets_leave_when_they_are_due_and_in_order_when_that_is_the_same() {
        let members = (1..=3).map(NodeId).collect();
        let faults = Arc::new(Faults::new(NodeId(1), members, ProtocolKind::TwoPhase, 7));
        let (left, mut leaving) = mpsc::unbounded_channel();
        let (line, task) = DelayLine::new(faults.clone(), move |to, packet: Arc<[u8]>| {
            let _ = left.send((to, packet[0]));
        });
        let begun = Instant::now();
        let due = |ms| begun + Duration::from_millis(ms);
        // All of them enter before the first leaves: the line's task has not run yet.
        for (at, to, byte) in [(30, 2, 1), (10, 3, 2), (30, 3, 3), (20, 2, 4)] {
            line.hold_until(due(at), NodeId(to), &Arc::from([byte]));
        }
        tokio::spawn(task);
        for expected in [(3, 2), (2, 4), (2, 1), (3, 3)] {
            let (to, byte) = leaving.recv().await.unwrap();
            assert_eq!((to.0, byte), expected);
        }
        // What is cut off on its way does not arrive.
        faults
            .apply("do = \"partition\"\ngroups = [[1, 3], [2]]", false)
            .unwrap();
        line.hold_until(due(40), NodeId(2), &Arc::from([5]));
        line.hold_until(due(50), NodeId(3), &Arc::from([6]));
        assert_eq!(leaving.recv().await, Some((NodeId(3), 6)));
    }
}
