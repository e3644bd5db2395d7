//! Payments under faults: clients that pass coins on, some of them twice, and what has to come of it.
//!
//! Each client owns one output and pays all of it to somebody, which makes its next one. Now and then it pays it to two
//! at once, at different nodes. Each payment is asked again, of one node after another, until its client is told the
//! end. What is held to be right, from outside:
//!
//! - *One spend*: what nodes hold final of an output, and what clients are told, is one transaction, at every moment and
//!   across restarts. Agreement is only probable; with the parameters of this cluster and no liars it is never broken.
//! - *Nothing is lost*: what a node once held final it still holds.
//! - *Conservation*: what is unspent and due is what was issued and minted, by each node's own sums.
//! - *One life at a time*: each process has a higher incarnation than the one before.
//! - *Every payment that nobody contradicts ends* once the faults are over. Of two that contradict each other both may
//!   stay undecided.
//! - *At rest*: all nodes have the same blocks and the same unspent outputs, those of all clients among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use phaselab_core::entropy::Prng;
use phaselab_core::types::{Hash32, InstanceId, NodeId};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

mod client;

use client::{Client, End};

use super::findings::{Findings, look};
use crate::client::NodeClient;
use crate::node::NodeReport;
use crate::purse::{Purse, Unspent, is_conserved, looks};

/// Clients at once, each with an output of its own.
const CLIENTS_MAX: usize = 12;
const HEARD_MAX: usize = 256;
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// What was heard from outside.
#[derive(Debug)]
enum Heard {
    /// A node says how it is.
    Report(Box<NodeReport>),
    /// A client was told how its payments of an output ended.
    End(End),
}

/// What came of it, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Counts {
    /// Payments that became final.
    pub(super) finalized: u64,
    /// Outputs that were paid to two at once.
    pub(super) contradicted: u64,
    /// Payments of which a client was told that another one is final.
    pub(super) rejected: u64,
    /// Outputs paid to two at once of which neither payment had ended.
    pub(super) undecided: u64,
    /// How often a node was looked at.
    pub(super) looks: u64,
    /// The longest chain that was seen.
    pub(super) blocks: u64,
}

/// The clients, and who looks on.
#[derive(Debug)]
pub(super) struct Coins {
    nodes: Vec<NodeClient>,
    purse: Purse,
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
    heard: mpsc::Receiver<Heard>,
    books: Books,
}

#[derive(Debug, Default)]
struct State {
    rest: AtomicBool,
    asked: AtomicU64,
    open: AtomicUsize,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Books {
    /// What spends an output, and who said so first.
    spends: BTreeMap<String, (Hash32, String)>,
    decided: BTreeMap<InstanceId, (Hash32, NodeId)>,
    held: BTreeMap<NodeId, BTreeMap<InstanceId, Hash32>>,
    /// What clients own now.
    owned: BTreeMap<usize, String>,
    counts: Counts,
    findings: Findings,
}

impl Coins {
    /// Lets clients begin: they pay `rate` times a second all together.
    pub(super) fn start(nodes: Vec<NodeClient>, purse: Purse, rate: u64, seed: u64) -> Coins {
        let state = Arc::new(State::default());
        let (say, heard) = mpsc::channel(HEARD_MAX);
        let outputs: Vec<Unspent> = purse
            .coins()
            .iter()
            .take(CLIENTS_MAX)
            .map(|coin| Unspent {
                output: coin.name.clone(),
                amount: coin.amount,
                owner: coin.owner.clone(),
            })
            .collect();
        let every = Duration::from_micros(1_000_000 * outputs.len() as u64 / rate);
        let owners: Vec<String> = purse.owners().into_iter().map(str::to_owned).collect();
        let clients = outputs.into_iter().enumerate().map(|(number, owned)| {
            let client = Client {
                number,
                owned,
                owners: owners.clone(),
                nodes: nodes.clone(),
                draws: Prng::new(seed, "chaos coins", number as u64, 0),
                state: state.clone(),
                rests_since: None,
            };
            tokio::spawn(client.run(every, say.clone()))
        });
        let mut tasks: Vec<_> = clients.collect();
        tasks.extend(nodes.iter().map(|node| {
            let (node, say) = (node.clone(), say.clone());
            tokio::spawn(async move {
                loop {
                    let report = look(&node, "view").await;
                    if let Some(report) = report
                        && say.send(Heard::Report(Box::new(report))).await.is_err()
                    {
                        return;
                    }
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
            })
        }));
        Coins {
            nodes,
            purse,
            state,
            tasks,
            heard,
            books: Books::default(),
        }
    }

    /// Hears the next thing. Can be given up without losing anything.
    pub(super) async fn hear(&mut self) {
        match self.heard.recv().await {
            Some(Heard::Report(report)) => self.books.look(&report),
            Some(Heard::End(end)) => self.books.end(end),
            None => std::future::pending().await,
        }
    }

    /// Pays nothing more; looks go on.
    pub(super) fn rest(&self) {
        self.state.rest.store(true, Ordering::SeqCst);
    }

    /// What is not as it should be at rest; empty once all has ended.
    pub(super) async fn unfinished(&mut self) -> Vec<String> {
        let open = self.state.open.load(Ordering::SeqCst);
        if open > 0 {
            return vec![format!("the payments of {open} clients have not ended")];
        }
        if !self.heard.is_empty() {
            return vec!["what clients were told was not heard yet".to_owned()];
        }
        let looks = looks(self.nodes.clone()).await;
        let seen: Vec<Seen> = looks
            .values()
            .map(|report| Seen::of(report, &self.purse))
            .collect();
        if seen.len() < self.nodes.len() {
            return vec!["a node does not show itself".to_owned()];
        }
        let owned = self.books.owned.values().cloned().collect::<Vec<_>>();
        differences(&seen, &owned)
    }

    /// What was wrong.
    pub(super) fn findings(&mut self) -> &mut Findings {
        &mut self.books.findings
    }

    /// Payments that clients asked for.
    pub(super) fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::Relaxed)
    }

    /// How far it is, in words.
    pub(super) fn progress(&self) -> String {
        format!("{} payments final", self.books.counts.finalized)
    }

    /// What came of it, in numbers.
    pub(super) fn counts(&self) -> Counts {
        self.books.counts.clone()
    }
}

impl Drop for Coins {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Counts {
    /// Two lines for people: what was asked for, and what was watched.
    pub(super) fn lines(&self, asked: u64) -> [String; 2] {
        let Counts {
            finalized,
            contradicted,
            rejected,
            undecided,
            looks,
            blocks,
        } = self;
        [
            format!(
                "{asked} payments: {finalized} final, {rejected} rejected; {contradicted} coins paid to two at once, \
                 {undecided} of them undecided"
            ),
            format!("{blocks} blocks; {looks} looks at nodes, sums conserved in each"),
        ]
    }
}

/// A node at rest.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    node: NodeId,
    blocks: Vec<(String, Hash32)>,
    unspent: Vec<Unspent>,
    unblocked: bool,
}

impl Seen {
    fn of(report: &NodeReport, purse: &Purse) -> Seen {
        let blocks = report.instances.iter();
        let blocks = blocks.filter(|instance| instance.instance.starts_with("block "));
        let blocks = blocks.filter_map(|block| Some((block.instance.clone(), block.value?)));
        let mut unspent = purse.unspent(report);
        unspent.sort_by(|a, b| a.output.cmp(&b.output));
        let waiting = report
            .fields
            .iter()
            .any(|field| field.name == "finalized pool" && field.text != "0");
        Seen {
            node: report.id,
            blocks: blocks.collect(),
            unspent,
            unblocked: waiting,
        }
    }
}

/// What nodes at rest do not have alike, and what clients own that they do not have.
fn differences(seen: &[Seen], owned: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for pair in seen.windows(2) {
        let (a, b) = (pair[0].node.0, pair[1].node.0);
        if pair[0].blocks != pair[1].blocks {
            wrong.push(format!("nodes {a} and {b} have different blocks"));
        }
        if pair[0].unspent != pair[1].unspent {
            wrong.push(format!("nodes {a} and {b} have different unspent outputs"));
        }
    }
    for node in seen {
        if node.unblocked {
            wrong.push(format!(
                "node {} has final transactions that no block holds",
                node.node.0
            ));
        }
        let lacks = |output: &&String| !node.unspent.iter().any(|held| held.output == **output);
        if let Some(output) = owned.iter().find(lacks) {
            wrong.push(format!(
                "node {} has not {output}, which a client was told is final",
                node.node.0
            ));
        }
    }
    wrong
}

impl Books {
    fn blame(&mut self, what: String) {
        self.findings.blame(what);
    }

    /// A node says how it is.
    fn look(&mut self, report: &NodeReport) {
        self.counts.looks += 1;
        let node = report.id;
        self.findings.live(report);
        let sums = report.fields.iter().find(|field| field.name == "conserved");
        if let Some(sums) = sums.filter(|sums| !is_conserved(&sums.text)) {
            self.blame(format!("node {}: {}", node.0, sums.text));
        }
        let mut held = BTreeMap::new();
        for instance in &report.instances {
            let (Some(id), Some(value)) = (instance.id, instance.value) else {
                continue;
            };
            held.insert(id, value);
            let (first, by) = *self.decided.entry(id).or_insert((value, node));
            if first != value {
                self.blame(format!(
                    "{}: node {} holds {} final, node {} held {}",
                    instance.instance,
                    node.0,
                    value.short(),
                    by.0,
                    first.short()
                ));
            }
            if let Some(height) = instance.instance.strip_prefix("block ") {
                let height = height.parse().unwrap_or(0);
                self.counts.blocks = self.counts.blocks.max(height);
            }
        }
        let before = self.held.get(&node).into_iter().flatten();
        let lost: Vec<Hash32> = before
            .filter(|(id, value)| held.get(id) != Some(value))
            .map(|(_, value)| *value)
            .collect();
        for value in lost {
            self.blame(format!(
                "node {} held {} final, and does no more",
                node.0,
                value.short()
            ));
        }
        self.held.insert(node, held);
    }

    /// A client was told how its payments of an output ended.
    fn end(&mut self, end: End) {
        let is_contradicted = end.told.len() > 1;
        self.counts.contradicted += u64::from(is_contradicted);
        self.counts.undecided += u64::from(end.told.iter().all(Option::is_none));
        for told in end.told.iter().flatten() {
            let Ok(value) = told else {
                self.counts.rejected += 1;
                continue;
            };
            self.counts.finalized += 1;
            let who = format!("client {}", end.client);
            let (first, by) = self
                .spends
                .entry(end.output.clone())
                .or_insert((*value, who.clone()))
                .clone();
            if first != *value {
                self.blame(format!(
                    "{}: {who} was told that {} is final, {by} that {} is",
                    end.output,
                    value.short(),
                    first.short()
                ));
            }
        }
        match end.next {
            Some(next) => self.owned.insert(end.client, next),
            None => self.owned.remove(&end.client),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Hash32 = Hash32([0xaa; 32]);
    const B: Hash32 = Hash32([0xbb; 32]);

    fn report(node: u16, life: u32, value: Option<Hash32>, sums: &str) -> NodeReport {
        let value = value.map_or("null".to_owned(), |value| format!("\"{value}\""));
        let id = "11".repeat(32);
        let text = format!(
            r#"{{"id":{node},"pid":{life},"incarnation":{life},"uptime_ms":0,"current":null,"peers":[],"refused":0,
            "counters":{{}},"chain":{{"connected":false,"reported":0}},"instances":[
            {{"id":"{id}","instance":"alice:0","phase":"finalized","open":false,"round":0,"value":{value},"label":null,
            "signed":null,"meter":null}}],"fields":[{{"name":"conserved","text":"{sums}"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    const EVEN: &str = "5 unspent + 1 unpaid fees = 6 issued + 0 minted";

    fn blamed(reports: &[NodeReport], ends: &[End]) -> Vec<String> {
        let mut books = Books::default();
        reports.iter().for_each(|report| books.look(report));
        ends.iter().for_each(|end| books.end(end.clone()));
        books.findings.violations().to_vec()
    }

    fn end(told: Vec<Option<Result<Hash32, ()>>>) -> End {
        End {
            client: 1,
            output: "alice:0".to_owned(),
            told,
            next: None,
        }
    }

    #[test]
    fn what_is_right_is_not_blamed() {
        let reports = [
            report(1, 1, None, EVEN),
            report(1, 1, Some(A), EVEN),
            report(2, 1, Some(A), EVEN),
            report(1, 2, Some(A), EVEN),
        ];
        let ends = [
            end(vec![Some(Ok(A)), Some(Err(()))]),
            end(vec![None, None]),
            end(vec![Some(Ok(A))]),
        ];
        assert_eq!(blamed(&reports, &ends), [""; 0]);
    }

    #[test]
    fn each_broken_promise_is_seen() {
        let looks = |reports: &[NodeReport]| blamed(reports, &[]);
        let cases = [
            (
                looks(&[report(1, 1, Some(A), EVEN), report(2, 1, Some(B), EVEN)]),
                "alice:0: node 2 holds bbbb",
            ),
            (
                looks(&[report(1, 1, Some(A), EVEN), report(1, 2, None, EVEN)]),
                "node 1 held aaaa",
            ),
            (
                looks(&[report(1, 1, None, "6 unspent = 5 issued")]),
                "node 1: 6 unspent",
            ),
            (
                looks(&[report(1, 2, None, EVEN), report(1, 1, None, EVEN)]),
                "incarnation 1 after 2",
            ),
            (
                blamed(&[], &[end(vec![Some(Ok(A)), Some(Ok(B))])]),
                "alice:0: client 1 was told that bbbb",
            ),
        ];
        for (found, expected) in cases {
            assert!(
                found.iter().any(|what| what.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn nodes_at_rest_are_compared() {
        let unspent = |output: &str| Unspent {
            output: output.to_owned(),
            amount: 1,
            owner: "alice".to_owned(),
        };
        let seen = |node, block, output: &str, unblocked| Seen {
            node: NodeId(node),
            blocks: vec![("block 1".to_owned(), block)],
            unspent: vec![unspent(output)],
            unblocked,
        };
        let owned = ["x".to_owned()];
        let same = [seen(1, A, "x", false), seen(2, A, "x", false)];
        assert_eq!(differences(&same, &owned), [""; 0]);
        let other = [seen(1, A, "x", false), seen(2, B, "y", true)];
        let found = differences(&other, &owned);
        let expected = [
            "nodes 1 and 2 have different blocks",
            "nodes 1 and 2 have different unspent outputs",
            "node 2 has final transactions that no block holds",
            "node 2 has not x, which a client was told is final",
        ];
        assert_eq!(found, expected);
    }
}
