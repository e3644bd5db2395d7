//! The nodes of a local cluster as one thing: started together, killed, paused and started again one by one, and none
//! left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use phaselab_core::types::NodeId;
use tokio::sync::mpsc;

use super::child::{Child, Epitaph, Happened, Recipe, Signal};
use crate::cli::fault::catch_up;
use crate::client::NodeClient;
use crate::config::NodeConfig;
use crate::failure::Failure;
use crate::log::LogArgs;

/// What children did that nobody has looked at.
const EVENTS_MAX: usize = 1_024;
/// When a node that was away is given the faults that hold, one wait after another.
const CATCH_UP_AFTER: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// How a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Started, and not ready yet.
    Starting,
    /// At work.
    Ready,
    /// Stopped in its tracks.
    Paused,
    /// Ended, by itself or by a signal.
    Ended,
}

/// Something that a node did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It is ready; its own line says where it listens.
    Ready { node: NodeId, line: String },
    /// It said something.
    Said { node: NodeId, line: String },
    /// It wrote a line to its log.
    Logged { node: NodeId, line: String },
    /// It ended.
    Ended {
        /// Which.
        node: NodeId,
        /// Why, in a few words.
        why: String,
        /// Its input was wrong.
        refused: bool,
    },
}

/// The nodes of a cluster.
#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: BTreeMap<NodeId, Node>,
    events: mpsc::Sender<Happened>,
    happened: mpsc::Receiver<Happened>,
    /// Whose end is being looked into.
    ending: Option<NodeId>,
}

#[derive(Debug)]
struct Node {
    recipe: Recipe,
    client: NodeClient,
    child: Child,
    life: u32,
    state: Life,
}

impl Nodes {
    /// Starts all of them, on the calling thread.
    ///
    /// # Errors
    /// If a process cannot be started.
    pub(crate) fn start(
        configs: &[NodeConfig],
        log: &LogArgs,
        tell_log: bool,
    ) -> Result<Nodes, Failure> {
        let (events, happened) = mpsc::channel(EVENTS_MAX);
        let mut nodes = BTreeMap::new();
        for config in configs {
            let recipe = Recipe {
                node: config.id,
                config: config.path.clone(),
                log: log.clone(),
                tell_log,
            };
            let node = Node {
                client: NodeClient::new(config.id, &config.path),
                child: Child::start(&recipe, 1, &events)?,
                recipe,
                life: 1,
                state: Life::Starting,
            };
            nodes.insert(config.id, node);
        }
        Ok(Nodes {
            nodes,
            events,
            happened,
            ending: None,
        })
    }

    /// Their numbers, in order.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// How a node is.
    pub(crate) fn life(&self, node: NodeId) -> Life {
        self.nodes.get(&node).map_or(Life::Ended, |node| node.state)
    }

    /// Whether all have ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.nodes.values().all(|node| node.state == Life::Ended)
    }

    /// Whoever can be asked.
    pub(crate) fn clients(&self) -> Vec<NodeClient> {
        self.nodes
            .values()
            .map(|node| node.client.clone())
            .collect()
    }

    /// The configuration file of a node.
    pub(crate) fn config(&self, node: NodeId) -> String {
        let node = self.nodes.get(&node);
        node.map_or_else(String::new, |node| node.recipe.config.display().to_string())
    }

    /// What happens next. Can be given up without losing anything.
    pub(crate) async fn next(&mut self) -> Notice {
        loop {
            if let Some(node) = self.ending
                && let Some(at) = self.nodes.get_mut(&node)
            {
                let Epitaph { why, refused } = at.child.epitaph().await;
                at.state = Life::Ended;
                self.ending = None;
                return Notice::Ended { node, why, refused };
            }
            let happened = self.happened.recv().await;
            match happened.expect("a sender is kept here") {
                Happened::Logged { node, line } => return Notice::Logged { node, line },
                Happened::Said { node, life, line } => {
                    let Some(at) = self.nodes.get_mut(&node).filter(|at| at.life == life) else {
                        continue;
                    };
                    if !line.ends_with("ready") {
                        return Notice::Said { node, line };
                    }
                    if at.state == Life::Starting {
                        at.state = Life::Ready;
                    }
                    if life > 1 {
                        self.catch_up(node);
                    }
                    return Notice::Ready { node, line };
                }
                Happened::Ended { node, life } => {
                    let is_this = self.nodes.get(&node).is_some_and(|at| at.life == life);
                    self.ending = is_this.then_some(node);
                }
            }
        }
    }

    /// Kills a node (SIGKILL); `false` if it has ended already. Its end is told by [`Nodes::next`].
    pub(crate) fn kill(&mut self, node: NodeId) -> bool {
        self.signal(node, |state| state != Life::Ended, Signal::Kill, None)
    }

    /// Stops a node in its tracks (SIGSTOP); `false` if it is not at work.
    pub(crate) fn pause(&mut self, node: NodeId) -> bool {
        self.signal(
            node,
            |state| state == Life::Ready,
            Signal::Stop,
            Some(Life::Paused),
        )
    }

    /// Lets a paused node go on (SIGCONT); `false` if it is not paused.
    pub(crate) fn resume(&mut self, node: NodeId) -> bool {
        let is_paused = |state| state == Life::Paused;
        let is_back = self.signal(node, is_paused, Signal::Continue, Some(Life::Ready));
        if is_back {
            self.catch_up(node);
        }
        is_back
    }

    fn signal(
        &mut self,
        node: NodeId,
        is_possible: impl Fn(Life) -> bool,
        signal: Signal,
        becomes: Option<Life>,
    ) -> bool {
        let Some(node) = self.nodes.get_mut(&node).filter(|at| is_possible(at.state)) else {
            return false;
        };
        node.child.signal(signal);
        node.state = becomes.unwrap_or(node.state);
        true
    }

    /// Starts a node that has ended again, on the calling thread; `false` if it has not ended.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub(crate) fn restart(&mut self, node: NodeId) -> Result<bool, Failure> {
        let Some(node) = self
            .nodes
            .get_mut(&node)
            .filter(|at| at.state == Life::Ended)
        else {
            return Ok(false);
        };
        node.child = Child::start(&node.recipe, node.life + 1, &self.events)?;
        node.life += 1;
        node.state = Life::Starting;
        Ok(true)
    }

    /// Gives a node that was away the faults that hold now. More than once: the others may be changing at this moment.
    fn catch_up(&self, node: NodeId) {
        let Some(client) = self.nodes.get(&node).map(|node| node.client.clone()) else {
            return;
        };
        let all = self.clients();
        tokio::spawn(async move {
            for wait in CATCH_UP_AFTER {
                tokio::time::sleep(wait).await;
                catch_up(client.clone(), all.clone()).await;
            }
        });
    }

    /// Stops all of them: asks, waits, and kills what does not stop.
    pub(crate) async fn stop(mut self) {
        for node in self.nodes.values_mut() {
            node.child.ask_to_stop();
        }
        // Nobody looks at what they say now, and a full pipe must not hold them up.
        self.happened.close();
        for node in self.nodes.values_mut() {
            node.child.stopped().await;
        }
    }
}
