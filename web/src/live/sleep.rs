//! A tab that stood still, and nodes of it that catch up on what the others did meanwhile.

use super::observatory::Observatory;
use crate::few::insert_sorted;

/// How long it is told that all have caught up, in milliseconds.
const TOLD_MS: f64 = 20_000.0;

/// Threads that wake up within this time slept together, in milliseconds.
const TOGETHER_MS: f64 = 5_000.0;

/// A tab's last sleep.
#[derive(Clone, Debug, PartialEq)]
pub struct Sleep {
    slept_ms: f64,
    /// When it woke up, on the page's clock.
    woke_ms: f64,
    /// The nodes whose threads stood still, in order.
    nodes: Vec<u16>,
    /// When all of them had caught up.
    done_ms: Option<f64>,
}

impl Sleep {
    /// A node's thread woke up. Goes on with `last` where that was the same sleep.
    pub fn of(last: Option<Sleep>, node: u16, slept_ms: f64, now_ms: f64) -> Sleep {
        let same = last.filter(|last| now_ms - last.woke_ms < TOGETHER_MS);
        let mut sleep = same.unwrap_or(Sleep {
            slept_ms,
            woke_ms: now_ms,
            nodes: Vec::new(),
            done_ms: None,
        });
        sleep.slept_ms = sleep.slept_ms.max(slept_ms);
        sleep.done_ms = None;
        insert_sorted(&mut sleep.nodes, node);
        sleep
    }

    /// Looks whether all have caught up. Returns whether there is still something to tell.
    pub fn look(&mut self, observatory: &Observatory, nodes: u16, now_ms: f64) -> bool {
        let is_behind = |node: &u16| is_behind(observatory, nodes, *node, self.woke_ms);
        if self.done_ms.is_none() && !self.nodes.iter().any(is_behind) {
            self.done_ms = Some(now_ms);
        }
        self.done_ms
            .is_none_or(|done_ms| now_ms - done_ms < TOLD_MS)
    }

    /// Whether all have caught up.
    pub fn is_over(&self) -> bool {
        self.done_ms.is_some()
    }

    /// In a sentence.
    pub fn text(&self) -> String {
        let list: Vec<String> = self.nodes.iter().map(u16::to_string).collect();
        let (who, verb) = match (list.len(), self.is_over()) {
            (1, false) => ("node", "is catching up"),
            (1, true) => ("node", "has caught up"),
            (_, false) => ("nodes", "are catching up"),
            (_, true) => ("nodes", "have caught up"),
        };
        let seconds = (self.slept_ms / 1e3) as u64;
        format!(
            "This tab slept {seconds} s; {who} {} {verb}.",
            list.join(", ")
        )
    }
}

/// Whether some other node that was heard since has decided what this one has not, or nobody was heard yet.
fn is_behind(observatory: &Observatory, nodes: u16, node: u16, since_ms: f64) -> bool {
    let fresh = |node: u16| {
        let heard_ms = observatory.heard_ms(node)?;
        observatory.report(node).filter(|_| heard_ms >= since_ms)
    };
    let Some(own) = fresh(node) else { return true };
    let others = (1..=nodes).filter(|other| *other != node);
    let mut others = others.filter_map(fresh).peekable();
    if others.peek().is_none() {
        return nodes > 1;
    }
    let mut decided = others
        .flat_map(|report| &report.picture.instances)
        .filter(|instance| instance.value.is_some());
    decided.any(|theirs| {
        let ours = own.picture.instance(theirs.id);
        ours.is_none_or(|ours| ours.value.is_none())
    })
}

#[cfg(test)]
mod tests {
    use phaselab_core::protocol::ProtocolKind;
    use phaselab_core::types::{Hash32, InstanceId};

    use super::*;
    use crate::live::watch::{NodeReport, WatchFrame};
    use crate::scene::{InstancePicture, NodePicture};

    fn report(node: u16, sequence: u64, decided: bool) -> WatchFrame {
        let instance = InstancePicture {
            id: InstanceId(Hash32([1; 32])),
            name: "rent".to_owned(),
            phase: 0,
            round: 0,
            value: decided.then_some(Hash32([2; 32])),
            locked: None,
            signed: None,
            meters: Vec::new(),
            choices: Vec::new(),
            fields: Vec::new(),
        };
        WatchFrame::Node(NodeReport {
            node,
            tab: "here".to_owned(),
            life: 1,
            sequence,
            at_us: sequence,
            refused: 0,
            peers: 2,
            picture: NodePicture {
                instances: vec![instance],
                fields: Vec::new(),
                shard: None,
            },
            events: Vec::new(),
        })
    }

    #[test]
    fn a_tab_that_slept_says_so_until_its_nodes_have_caught_up() {
        let mut observatory = Observatory::new(ProtocolKind::TwoPhase.spec(), 3);
        observatory.hear(report(1, 1, false), 0.0);
        observatory.hear(report(2, 1, false), 0.0);
        let mut sleep = Sleep::of(None, 2, 42_400.0, 42_000.0);
        assert!(sleep.look(&observatory, 3, 42_000.0));
        assert_eq!(sleep.text(), "This tab slept 42 s; node 2 is catching up.");
        // Its own word alone says nothing of the others.
        observatory.hear(report(2, 2, false), 42_100.0);
        sleep.look(&observatory, 3, 42_100.0);
        assert!(!sleep.is_over());
        observatory.hear(report(1, 2, true), 42_200.0);
        sleep.look(&observatory, 3, 42_200.0);
        assert!(!sleep.is_over(), "node 1 decided, node 2 has not");
        observatory.hear(report(2, 3, true), 43_000.0);
        assert!(sleep.look(&observatory, 3, 43_000.0));
        assert_eq!(sleep.text(), "This tab slept 42 s; node 2 has caught up.");
        assert!(
            !sleep.look(&observatory, 3, 70_000.0),
            "told for long enough"
        );
    }

    #[test]
    fn threads_of_one_tab_wake_up_together() {
        let sleep = Sleep::of(None, 3, 9_000.0, 100.0);
        let sleep = Sleep::of(Some(sleep), 1, 9_700.0, 400.0);
        assert_eq!(
            sleep.text(),
            "This tab slept 9 s; nodes 1, 3 are catching up."
        );
        let again = Sleep::of(Some(sleep), 1, 5_000.0, 60_000.0);
        assert_eq!(again.text(), "This tab slept 5 s; node 1 is catching up.");
    }
}
