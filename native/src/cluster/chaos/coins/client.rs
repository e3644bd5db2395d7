//! A client that passes an output on: it pays all of it to somebody, now and then to two at once, and asks until it is told
//! the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::Method;
use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::types::Hash32;
use tokio::sync::mpsc;

use super::{Heard, State};
use crate::client::NodeClient;
use crate::control::{Submit, Submitted};
use crate::purse::Unspent;

/// One in so many payments is contradicted.
const TWICE: u64 = 4;
/// How long a node may take to answer before another is asked.
const WAIT: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(1);
/// The pause after an answer that did not help.
const PAUSE: Duration = Duration::from_millis(200);
/// How long payments that contradict each other are waited for at rest.
const CONTRADICTED_WAIT: Duration = Duration::from_secs(30);

/// How the payments of one output ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) client: usize,
    pub(super) output: String,
    /// What each client was told: a final transaction, that it was rejected, or nothing.
    pub(super) told: Vec<Option<Result<Hash32, ()>>>,
    /// The output that the client owns now; `None` if it does not know.
    pub(super) next: Option<String>,
}

/// Somebody who passes an output on.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) owned: Unspent,
    pub(super) owners: Vec<String>,
    pub(super) nodes: Vec<NodeClient>,
    pub(super) draws: Prng,
    pub(super) state: Arc<State>,
    pub(super) rests_since: Option<Instant>,
}

impl Client {
    pub(super) async fn run(mut self, every: Duration, say: mpsc::Sender<Heard>) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = 0;
        loop {
            tick.tick().await;
            // Counted before it is asked whether there is rest: who waits for all to end misses none.
            self.state.open.fetch_add(1, Ordering::SeqCst);
            if self.state.rest.load(Ordering::SeqCst) {
                self.state.open.fetch_sub(1, Ordering::SeqCst);
                return;
            }
            round += 1;
            let end = self.pay(round).await;
            let goes_on = end.next.is_some();
            let _ = say.send(Heard::End(end)).await;
            self.state.open.fetch_sub(1, Ordering::SeqCst);
            if !goes_on {
                return;
            }
        }
    }

    /// Pays the output to somebody, or to two at once.
    async fn pay(&mut self, round: u64) -> End {
        let count = match self.draws.below(TWICE) {
            0 => 2,
            _ => 1,
        };
        let owned = self.owned.clone();
        let mut payments: Vec<(String, String, usize)> = Vec::new();
        for part in 0..count {
            let to = self.draws.below(self.owners.len() as u64) as usize;
            let to = self.owners[to].clone();
            let memo = format!("c{}-{round}-{part}", self.number);
            let request = format!(
                "from = \"{}\"\nto = \"{to}\"\namount = {}\nspend = [\"{}\"]\nholds = [{}]\nmemo = \"{memo}\"\n",
                owned.owner, owned.amount, owned.output, owned.amount
            );
            let first = self.draws.below(self.nodes.len() as u64) as usize;
            payments.push((request, to, first));
        }
        self.state.asked.fetch_add(count, Ordering::Relaxed);
        let mut told: Vec<Option<Result<Hash32, ()>>> = vec![None; payments.len()];
        let mut turn = 0;
        while told.iter().any(Option::is_none) && !self.gives_up(count) {
            let mut asking = Vec::new();
            for (part, (request, _, first)) in payments.iter().enumerate() {
                if told[part].is_none() {
                    let node = self.nodes[(first + turn) % self.nodes.len()].clone();
                    asking.push((part, tokio::spawn(ask(node, request.clone()))));
                }
            }
            for (part, answer) in asking {
                told[part] = answer.await.ok().flatten();
            }
            turn += 1;
            if told.iter().any(Option::is_none) {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let won = told
            .iter()
            .zip(&payments)
            .find_map(|(told, (_, to, _))| match told {
                Some(Ok(txid)) => Some((*txid, to.clone())),
                _ => None,
            });
        let next = won.map(|(txid, to)| {
            self.owned = Unspent {
                output: format!("{txid}:0"),
                owner: to,
                ..owned.clone()
            };
            self.owned.output.clone()
        });
        End {
            client: self.number,
            output: owned.output,
            told,
            next,
        }
    }

    /// Whether payments that contradict each other have had time enough at rest.
    fn gives_up(&mut self, count: u64) -> bool {
        if count < 2 || !self.state.rest.load(Ordering::SeqCst) {
            return false;
        }
        let since = self.rests_since.get_or_insert_with(Instant::now);
        since.elapsed() > CONTRADICTED_WAIT
    }
}

/// Asks one node for a payment; the end, if it comes.
async fn ask(node: NodeClient, request: String) -> Option<Result<Hash32, ()>> {
    let body = Submit {
        request,
        wait_ms: u64::try_from(WAIT.as_millis()).expect("seconds"),
        client: None,
        number: None,
    };
    let answer = node.ask::<_, Submitted>(Method::POST, "/v1/submit", Some(&body), WAIT + GRACE);
    let answer = answer.await.ok()?;
    match (answer.outcome.as_str(), answer.value) {
        ("decided", Some(txid)) => Some(Ok(txid)),
        ("abandoned", _) => Some(Err(())),
        // A node that is behind does not know the input yet, or keeps it for the other payment.
        _ => None,
    }
}
