//! What is found wrong, and how nodes are looked at, whatever is watched.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use phaselab_core::types::NodeId;

use crate::client::NodeClient;
use crate::node::NodeReport;

/// More violations than these are only counted: the first ones tell.
const TOLD_MAX: usize = 20;
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What was wrong so far, and whose life goes on.
#[derive(Debug, Default)]
pub(super) struct Findings {
    broken: u64,
    violations: Vec<String>,
    /// The incarnation of each node, and its process.
    lives: BTreeMap<NodeId, (u32, u32)>,
}

impl Findings {
    /// Something is wrong.
    pub(super) fn blame(&mut self, what: String) {
        self.broken += 1;
        if self.violations.len() < TOLD_MAX && !self.violations.contains(&what) {
            self.violations.push(what);
        }
    }

    /// One life at a time: each process has a higher incarnation than the one before.
    pub(super) fn live(&mut self, report: &NodeReport) {
        let now = (report.incarnation, report.pid);
        let before = self.lives.insert(report.id, now);
        if let Some((life, pid)) = before.filter(|before| *before != now)
            && (report.incarnation <= life || report.pid == pid)
        {
            let (node, pid, is) = (report.id.0, report.pid, report.incarnation);
            self.blame(format!(
                "node {node}: process {pid} has incarnation {is} after {life}"
            ));
        }
    }

    /// How often something was wrong.
    pub(super) fn broken(&self) -> u64 {
        self.broken
    }

    /// What was wrong, the first ones.
    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }
}

/// How a node is, by one of its pages (`status`, or `view` with all that it holds); `None` if it does not answer.
pub(super) async fn look(node: &NodeClient, page: &str) -> Option<NodeReport> {
    let path = format!("/v1/{page}");
    let report = node.ask::<(), NodeReport>(Method::GET, &path, None, LOOK_TIMEOUT);
    report.await.ok()
}
