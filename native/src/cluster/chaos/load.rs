//! Clients that ask a cluster for events, and looks at every node: what the judge hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::findings;
use crate::client::NodeClient;
use crate::control::{Submit, Submitted};
use crate::node::NodeReport;

/// What is heard and waits for the judge.
const HEARD_MAX: usize = 256;
/// Events that are asked for at once; a cluster that is down is not asked for more.
const OPEN_MAX: usize = 128;
/// How long a client waits for the end of its event.
const WAIT: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(2);
/// The shortest time between two looks at a node; a look that takes long is followed by a longer rest.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What was heard from outside.
#[derive(Debug)]
pub(super) enum Heard {
    /// A node says how it is.
    Report(Box<NodeReport>),
    /// A node answers a client.
    Answer(NodeId, Box<Submitted>),
}

/// Clients and onlookers at work.
#[derive(Debug)]
pub(super) struct Load {
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    rest: AtomicBool,
    asked: AtomicU64,
    open: AtomicUsize,
}

impl Load {
    /// Starts them. `request` is a sample whose event's name is replaced.
    pub(super) fn start(
        nodes: Vec<NodeClient>,
        request: &'static str,
        rate: u64,
        seed: u64,
    ) -> (Load, mpsc::Receiver<Heard>) {
        let (say, heard) = mpsc::channel(HEARD_MAX);
        let state = Arc::new(State::default());
        let looks = nodes
            .iter()
            .map(|node| tokio::spawn(look(node.clone(), say.clone())));
        let mut tasks: Vec<_> = looks.collect();
        let every = Duration::from_micros(1_000_000 / rate);
        tasks.push(tokio::spawn(ask(
            nodes,
            request,
            every,
            Prng::new(seed, "chaos load", 0, 0),
            state.clone(),
            say,
        )));
        (Load { state, tasks }, heard)
    }

    /// Events that were asked for.
    pub(super) fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::Relaxed)
    }

    /// Asks for nothing more; looks go on.
    pub(super) fn rest(&self) {
        self.state.rest.store(true, Ordering::Relaxed);
    }

    /// Whether every client has its last answer.
    pub(super) fn is_at_rest(&self) -> bool {
        self.state.rest.load(Ordering::Relaxed) && self.state.open.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Looks at one node again and again.
async fn look(node: NodeClient, say: mpsc::Sender<Heard>) {
    loop {
        let begun = Instant::now();
        let report = findings::look(&node, "status").await;
        if let Some(report) = report
            && say.send(Heard::Report(Box::new(report))).await.is_err()
        {
            return;
        }
        tokio::time::sleep(LOOK_PAUSE.max(begun.elapsed() * 4)).await;
    }
}

/// Asks for one event after another, each at some of the nodes.
async fn ask(
    nodes: Vec<NodeClient>,
    sample: &'static str,
    every: Duration,
    mut draws: Prng,
    state: Arc<State>,
    say: mpsc::Sender<Heard>,
) {
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        if state.rest.load(Ordering::Relaxed) {
            return;
        }
        if state.open.load(Ordering::Relaxed) >= OPEN_MAX {
            continue;
        }
        let number = state.asked.fetch_add(1, Ordering::Relaxed);
        let request = sample.replace("withdraw-1", &format!("chaos-{number}"));
        // Half of the clients know one node only.
        let one = draws.below(2 * nodes.len() as u64) as usize;
        for (index, node) in nodes.iter().enumerate() {
            if one < nodes.len() && index != one {
                continue;
            }
            state.open.fetch_add(1, Ordering::Relaxed);
            let (node, state, say) = (node.clone(), state.clone(), say.clone());
            let body = Submit {
                request: request.clone(),
                wait_ms: u64::try_from(WAIT.as_millis()).expect("seconds"),
                client: None,
                number: None,
            };
            tokio::spawn(async move {
                let answer = node
                    .ask::<_, Submitted>(Method::POST, "/v1/submit", Some(&body), WAIT + GRACE)
                    .await;
                // A node that dies before it answers promised nothing.
                if let Ok(answer) = answer {
                    let _ = say.send(Heard::Answer(node.id, Box::new(answer))).await;
                }
                state.open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}
