//! A bank under faults: clients that move money between items of all clusters, and what has to come of it.
//!
//! Each client asks for one thing after another and asks again, with the same number, until it is told the end. What is
//! held to be right, from outside:
//!
//! - *Exactly once, and all or nothing*: once all has ended, each item holds what it held at first, less what was
//!   committed from it, and more what was committed to it. A transfer that was done twice, on one side only, or although
//!   its client was told otherwise, shows in an item.
//! - *Conservation*: what all items hold together is what they held at first. No read ever finds more in one.
//! - *At rest*: the members of each cluster are equal, and no item is held by a transaction.
//! - *One life at a time*: each process has a higher incarnation than the one before.
//! - *Every request ends* once the faults are over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::shards::{Item, Shards, Wish};
use phaselab_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::findings::{Findings, look};
use crate::failure::Failure;
use crate::node::NodeReport;
use crate::router::{Asker, Router, Told};

/// Clients at once.
const CLIENTS: u64 = 12;
/// Items of each cluster that are used: few, so that they are fought for.
const ITEMS_USED: u32 = 8;
/// How long a client waits before it asks again.
const WAIT: Duration = Duration::from_secs(5);
/// What is heard and waits for the judge.
const HEARD_MAX: usize = 256;
/// The shortest time between two looks at a node.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// What was heard from outside.
#[derive(Debug)]
pub(super) enum Heard {
    /// A node says how it is.
    Report(Box<NodeReport>),
    /// A client was told the end of what it wished.
    End(Wish, Told),
}

/// What came of it, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Counts {
    /// Transfers that took effect.
    committed: u64,
    /// Of these, between clusters, as far as items live where they did at first.
    cross_shard: u64,
    /// Requests that never will take effect.
    aborted: u64,
    /// Reads that were answered.
    read: u64,
    /// Items that moved to another cluster.
    moved: u64,
    /// How often a node was looked at.
    looks: u64,
    /// What the items that were used held at first, together.
    sum_before: u128,
    /// And in the end; `null` if it was not asked.
    sum_after: Option<u128>,
}

/// The bank, its clients, and who looks on.
#[derive(Debug)]
pub(super) struct Bank {
    router: Arc<Router>,
    state: Arc<State>,
    tasks: Vec<JoinHandle<()>>,
    heard: mpsc::Receiver<Heard>,
    books: Books,
    is_audited: bool,
}

/// What was told to clients.
#[derive(Debug)]
struct Books {
    shards: Shards,
    /// What came to each item and left it.
    gained: BTreeMap<Item, i128>,
    counts: Counts,
    findings: Findings,
}

#[derive(Debug, Default)]
struct State {
    rest: AtomicBool,
    asked: AtomicU64,
    open: AtomicUsize,
}

/// The items that are used.
fn items(shards: &Shards) -> Vec<Item> {
    let of_each = shards.clusters().iter();
    let of_each = of_each.filter_map(|cluster| shards.items_of(*cluster));
    of_each
        .flat_map(|items| items.take(ITEMS_USED as usize))
        .collect()
}

impl Bank {
    /// Opens it: clients begin to ask, `rate` times a second all together.
    pub(super) fn open(router: Router, rate: u64, seed: u64) -> Result<Bank, Failure> {
        let router = Arc::new(router);
        let state = Arc::new(State::default());
        let (say, heard) = mpsc::channel(HEARD_MAX);
        let every = Duration::from_micros(1_000_000 * CLIENTS / rate);
        let mut tasks = Vec::new();
        for client in 0..CLIENTS {
            tasks.push(tokio::spawn(ask(
                router.clone(),
                Asker::new()?,
                every,
                Prng::new(seed, "chaos bank", client, 0),
                state.clone(),
                say.clone(),
            )));
        }
        let looks = router.nodes().into_iter().map(|node| {
            let say = say.clone();
            tokio::spawn(async move {
                loop {
                    let report = look(&node, "status").await;
                    if let Some(report) = report
                        && say.send(Heard::Report(Box::new(report))).await.is_err()
                    {
                        return;
                    }
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
            })
        });
        tasks.extend(looks);
        Ok(Bank {
            books: Books::new(router.shards()),
            router,
            state,
            tasks,
            heard,
            is_audited: false,
        })
    }

    /// Hears the next thing. Can be given up without losing anything.
    pub(super) async fn hear(&mut self) {
        match self.heard.recv().await {
            Some(Heard::End(wish, told)) => self.books.enter(wish, &told),
            Some(Heard::Report(report)) => {
                self.books.counts.looks += 1;
                self.books.findings.live(&report);
            }
            None => std::future::pending().await,
        }
    }

    /// What was wrong.
    pub(super) fn findings(&mut self) -> &mut Findings {
        &mut self.books.findings
    }

    /// Requests that clients made.
    pub(super) fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::Relaxed)
    }

    /// Asks for nothing more.
    pub(super) fn rest(&self) {
        self.state.rest.store(true, Ordering::Relaxed);
    }

    /// What is not as it should be at rest; empty once all has ended.
    pub(super) async fn unfinished(&mut self) -> Vec<String> {
        let open = self.state.open.load(Ordering::Relaxed);
        if open > 0 {
            return vec![format!("{open} requests have not ended")];
        }
        if !self.heard.is_empty() {
            return vec!["what clients were told was not heard yet".to_owned()];
        }
        if !self.is_audited {
            match self.audit().await {
                Ok(()) => self.is_audited = true,
                Err(what) => return vec![what],
            }
        }
        self.compare().await
    }

    /// Reads every item, and holds it against the books.
    async fn audit(&mut self) -> Result<(), String> {
        let mut asker = Asker::new().map_err(|failure| failure.to_string())?;
        let mut balances = BTreeMap::new();
        for item in items(&self.books.shards) {
            let told = self.router.wish(asker.next(), Wish::Read { item }, WAIT);
            let told = told.await.map_err(|failure| failure.to_string())?;
            let balance = told
                .balance
                .ok_or_else(|| format!("item {item} cannot be read"))?;
            balances.insert(item, balance);
        }
        self.books.close(&balances);
        Ok(())
    }

    /// Whether the members of each cluster are equal, and nothing is held.
    async fn compare(&self) -> Vec<String> {
        let mut seen: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
        for node in self.router.nodes() {
            let Some(report) = look(&node, "view").await else {
                return vec![format!("node {} does not show itself", node.id.0)];
            };
            let fields = report.fields.into_iter();
            let fields =
                fields.filter(|field| matches!(field.name.as_str(), "lastExecuted" | "item"));
            let fields = fields.map(|field| format!("{} {}", field.name, field.text));
            seen.insert(node.id, fields.collect());
        }
        let mut wrong = Vec::new();
        for cluster in self.books.shards.clusters() {
            let members = self.router.members(*cluster);
            for pair in members.windows(2) {
                if seen.get(&pair[0]) != seen.get(&pair[1]) {
                    wrong.push(format!("nodes {} and {} differ", pair[0].0, pair[1].0));
                }
            }
        }
        for (node, fields) in &seen {
            if let Some(held) = fields.iter().find(|field| field.contains("held by")) {
                wrong.push(format!("node {}: {held}", node.0));
            }
        }
        wrong
    }

    /// How far it is, in words.
    pub(super) fn progress(&self) -> String {
        format!("{} transfers committed", self.books.counts.committed)
    }

    /// What came of it, in numbers.
    pub(super) fn counts(&self) -> Counts {
        self.books.counts.clone()
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Counts {
    /// Two lines for people: what was asked for, and what items hold.
    pub(super) fn lines(&self, asked: u64) -> [String; 2] {
        let Counts {
            committed,
            cross_shard,
            aborted,
            read,
            moved,
            looks,
            sum_before,
            sum_after,
        } = self;
        let after = sum_after.map_or_else(|| "unknown".to_owned(), |sum| sum.to_string());
        [
            format!(
                "{asked} requests: {committed} transfers committed ({cross_shard} across clusters), {moved} items moved, \
                 {read} reads, {aborted} aborted"
            ),
            format!("sum of balances {sum_before} before, {after} after; {looks} looks at nodes"),
        ]
    }
}

impl Books {
    fn new(shards: &Shards) -> Books {
        let sum_before = shards.first_sum(items(shards).into_iter());
        Books {
            shards: shards.clone(),
            gained: BTreeMap::new(),
            counts: Counts {
                sum_before,
                ..Counts::default()
            },
            findings: Findings::default(),
        }
    }

    fn blame(&mut self, what: String) {
        self.findings.blame(what);
    }

    /// A client was told an end.
    fn enter(&mut self, wish: Wish, told: &Told) {
        match (wish, told.outcome) {
            (
                Wish::Transfer {
                    sender,
                    receiver,
                    amount,
                },
                "committed",
            ) => {
                self.counts.committed += 1;
                let crosses = self.shards.home(sender) != self.shards.home(receiver);
                self.counts.cross_shard += u64::from(crosses);
                *self.gained.entry(sender).or_default() -= i128::from(amount);
                *self.gained.entry(receiver).or_default() += i128::from(amount);
            }
            (Wish::Move { .. }, "committed") => self.counts.moved += 1,
            (Wish::Read { item }, "read") => {
                self.counts.read += 1;
                let held = told.balance.unwrap_or_default();
                if u128::from(held) > self.counts.sum_before {
                    let all = self.counts.sum_before;
                    self.blame(format!(
                        "item {item} holds {held}, more than the {all} of all"
                    ));
                }
            }
            _ => self.counts.aborted += 1,
        }
    }

    /// Holds what items hold against what was told.
    fn close(&mut self, balances: &BTreeMap<Item, u64>) {
        for (item, held) in balances {
            let gained = self.gained.get(item).copied().unwrap_or_default();
            let due = i128::from(self.shards.first_balance(*item)) + gained;
            if i128::from(*held) != due {
                self.blame(format!(
                    "item {item} holds {held}; by what clients were told it is {due}"
                ));
            }
        }
        let sum = balances.values().map(|held| u128::from(*held)).sum();
        self.counts.sum_after = Some(sum);
        let before = self.counts.sum_before;
        if sum != before {
            self.blame(format!("all items hold {sum}, and held {before}"));
        }
    }
}

/// One client.
async fn ask(
    router: Arc<Router>,
    mut asker: Asker,
    every: Duration,
    mut draws: Prng,
    state: Arc<State>,
    say: mpsc::Sender<Heard>,
) {
    let items = items(router.shards());
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Counted before it is asked whether there is rest: who waits for all to end misses none.
        state.open.fetch_add(1, Ordering::SeqCst);
        if state.rest.load(Ordering::SeqCst) {
            state.open.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        state.asked.fetch_add(1, Ordering::Relaxed);
        let wish = wish(&items, router.shards(), &mut draws);
        let ticket = asker.next();
        loop {
            match router.wish(ticket, wish, WAIT).await {
                Ok(told) if told.outcome == "undecided" => {}
                Ok(told) => {
                    let _ = say.send(Heard::End(wish, told)).await;
                    break;
                }
                Err(_) => break,
            }
        }
        state.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a client wishes next: mostly a transfer, now and then a balance, rarely that an item moves.
fn wish(items: &[Item], shards: &Shards, draws: &mut Prng) -> Wish {
    let count = items.len() as u64;
    let place = draws.below(count);
    let item = items[place as usize];
    match draws.below(20) {
        0 => {
            let clusters = shards.clusters();
            let to = clusters[draws.below(clusters.len() as u64) as usize];
            Wish::Move { item, to }
        }
        1..=4 => Wish::Read { item },
        _ => Wish::Transfer {
            sender: item,
            receiver: items[((place + 1 + draws.below(count - 1)) % count) as usize],
            amount: 1 + draws.below(6),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::types::GroupId;

    fn books() -> Books {
        let clusters = (1..=3).map(GroupId).collect();
        Books::new(&Shards::new(clusters, 3_000, 10, Vec::new()))
    }

    fn told(outcome: &'static str, balance: Option<u64>) -> Told {
        Told {
            request: String::new(),
            outcome,
            transaction: None,
            balance,
            reason: None,
            node: None,
            cluster: None,
            asked: 1,
            ms: 1,
            heard: true,
        }
    }

    fn transfer(sender: Item, receiver: Item, amount: u64) -> Wish {
        Wish::Transfer {
            sender,
            receiver,
            amount,
        }
    }

    /// What is blamed after a transfer of 4 from 1 to 3001 that ended so, when items hold what is told and 10 otherwise.
    fn blamed(outcome: &'static str, held: &[(Item, u64)]) -> Vec<String> {
        let mut books = books();
        books.enter(transfer(1, 3_001, 4), &told(outcome, None));
        let balance = |item| {
            held.iter()
                .find(|(of, _)| *of == item)
                .map_or(10, |(_, held)| *held)
        };
        let balances = items(&books.shards)
            .into_iter()
            .map(|item| (item, balance(item)));
        books.close(&balances.collect());
        books.findings.violations().to_vec()
    }

    #[test]
    fn items_hold_what_clients_were_told() {
        assert_eq!(blamed("committed", &[(1, 6), (3_001, 14)]), [""; 0]);
        assert_eq!(blamed("aborted", &[]), [""; 0]);
    }

    /// What is wrong, how the transfer ended, what items hold, and what is said.
    type Case = (
        &'static str,
        &'static str,
        &'static [(Item, u64)],
        &'static str,
    );

    #[test]
    fn what_was_lost_made_repeated_or_half_done_is_found() {
        let cases: [Case; 5] = [
            (
                "twice",
                "committed",
                &[(1, 2), (3_001, 18)],
                "item 1 holds 2; by what clients were told it is 6",
            ),
            (
                "half",
                "committed",
                &[(1, 6)],
                "item 3001 holds 10; by what clients were told it is 14",
            ),
            (
                "although aborted",
                "aborted",
                &[(1, 6), (3_001, 14)],
                "item 1 holds 6",
            ),
            (
                "made",
                "aborted",
                &[(2, 11)],
                "all items hold 241, and held 240",
            ),
            (
                "lost",
                "committed",
                &[(1, 6), (3_001, 13)],
                "all items hold 239, and held 240",
            ),
        ];
        for (name, outcome, held, expected) in cases {
            let found = blamed(outcome, held);
            assert!(
                found.iter().any(|what| what.contains(expected)),
                "{name}: {found:?}"
            );
        }
        let mut books = books();
        books.enter(Wish::Read { item: 1 }, &told("read", Some(241)));
        assert_eq!(books.findings.broken(), 1);
    }
}
