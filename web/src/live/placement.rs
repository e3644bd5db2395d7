//! Which nodes this tab runs: at most its share, so that closing one tab never takes a majority along.
//!
//! A Web Lock per node decides who runs it, and every tab queues on every lock. A tab that is granted a lock beyond its
//! share passes it on; a tab whose share shrank, because another tab came, gives up its highest nodes.

use crate::few::insert_sorted;

/// A tab's part of a room.
#[derive(Clone, Debug)]
pub struct Placement {
    nodes: u16,
    tabs: usize,
    /// In order.
    mine: Vec<u16>,
}

impl Placement {
    /// A tab that runs nothing yet, in a room of `nodes`.
    pub fn new(nodes: u16) -> Placement {
        Placement {
            nodes,
            tabs: 1,
            mine: Vec::new(),
        }
    }

    /// How many tabs there are; this one counts even before it is seen.
    pub fn set_tabs(&mut self, tabs: usize) {
        self.tabs = tabs.max(1);
    }

    /// How many tabs there are.
    pub fn tabs(&self) -> usize {
        self.tabs
    }

    /// The most nodes that this tab runs: ceil(n / tabs).
    pub fn share(&self) -> usize {
        usize::from(self.nodes).div_ceil(self.tabs)
    }

    /// The nodes that this tab runs.
    pub fn mine(&self) -> &[u16] {
        &self.mine
    }

    /// The lock of a node is granted; whether this tab keeps it.
    pub fn take(&mut self, node: u16) -> bool {
        if self.mine.len() < self.share() {
            insert_sorted(&mut self.mine, node);
        }
        self.mine.contains(&node)
    }

    /// A node to give up now, if this tab runs more than its share.
    pub fn surplus(&mut self) -> Option<u16> {
        if self.mine.len() <= self.share() {
            return None;
        }
        self.mine.pop()
    }

    /// This tab no longer runs the node.
    pub fn drop_node(&mut self, node: u16) {
        self.mine.retain(|mine| *mine != node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tabs that pass locks on until everyone is content, as the browser's queues do.
    fn settle(tabs: &mut [Placement], nodes: u16) {
        let count = tabs.len();
        for tab in tabs.iter_mut() {
            tab.set_tabs(count);
            while tab.surplus().is_some() {}
        }
        for node in 1..=nodes {
            if !tabs.iter().any(|tab| tab.mine().contains(&node)) {
                assert!(
                    tabs.iter_mut().any(|tab| tab.take(node)),
                    "node {node} finds a tab"
                );
            }
        }
    }

    #[test]
    fn every_node_runs_in_exactly_one_tab_and_none_runs_too_many() {
        for nodes in 1..=7 {
            let mut tabs = Vec::new();
            for _ in 0..5 {
                tabs.push(Placement::new(nodes));
                settle(&mut tabs, nodes);
                let mut run: Vec<u16> = tabs
                    .iter()
                    .flat_map(|tab| tab.mine().iter().copied())
                    .collect();
                run.sort_unstable();
                assert_eq!(
                    run,
                    (1..=nodes).collect::<Vec<_>>(),
                    "{nodes} nodes in {} tabs",
                    tabs.len()
                );
                assert!(tabs.iter().all(|tab| tab.mine().len() <= tab.share()));
            }
        }
    }

    #[test]
    fn the_nodes_of_a_closed_tab_run_elsewhere() {
        let mut tabs = vec![Placement::new(3), Placement::new(3), Placement::new(3)];
        settle(&mut tabs, 3);
        assert!(tabs.iter().all(|tab| tab.mine().len() == 1));
        tabs.remove(0);
        settle(&mut tabs, 3);
        assert_eq!(tabs.iter().map(|tab| tab.mine().len()).sum::<usize>(), 3);
    }
}
