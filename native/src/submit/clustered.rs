//! Requests where items live in clusters: each is asked of the leader that it concerns, and done once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use phaselab_core::history::Call;
use phaselab_core::shards::Item;
use phaselab_core::types::{GroupId, NodeId};
use tokio::task::JoinSet;

use super::performance::Performance;
use super::words::Step;
use super::{SubmitArgs, batch, words};
use crate::cli::fault::tell as tell_nodes;
use crate::client::AskError;
use crate::failure::{Failure, Outcome};
use crate::net::faults::Fault;
use crate::node::runtime;
use crate::router::{Asker, Router, Told};
use crate::terminal::{Ink, Screen, print_json};

/// Asks for one request.
pub(super) fn run(router: &Router, request: &str, args: &SubmitArgs) -> Outcome {
    sound(router, request)?;
    if let Some(cluster) = args.to_cluster {
        let clusters = router.shards().clusters();
        if !clusters.contains(&GroupId(cluster)) {
            return Err(Failure::Input(format!(
                "--to-cluster {cluster}: expected 1 to {}",
                clusters.len()
            )));
        }
    }
    let asker = Asker::new()?.next();
    let told = runtime()?.block_on(router.ask(asker, request, args.wait))?;
    nobody_answers(&told, args)?;
    if args.json {
        print_json(&told);
    } else {
        show(&told, &mut Screen::stdout());
    }
    match told.outcome {
        "committed" | "read" => Ok(()),
        _ => Err(Failure::Unexpected),
    }
}

fn nobody_answers(told: &Told, args: &SubmitArgs) -> Outcome {
    if told.heard {
        return Ok(());
    }
    let dir = args.dir.display();
    Err(Failure::Failed(format!(
        "no node of {dir} that could do it is running; `phaselab cluster --dir {dir}` starts them"
    )))
}

/// Tells one end.
pub(crate) fn show(told: &Told, screen: &mut Screen) {
    let Told { request, ms, .. } = told;
    let reason = told.reason.as_deref().unwrap_or("no answer");
    let (ink, text) = match (told.outcome, &told.transaction, told.balance) {
        ("committed", Some(name), _) => (Ink::Good, format!("{name} {request}   {ms} ms")),
        ("read", _, Some(balance)) => (Ink::Good, format!("{request}: {balance}   {ms} ms")),
        ("aborted", ..) => (Ink::Warn, format!("{request}   {reason}   {ms} ms")),
        _ => (
            Ink::Warn,
            format!("{request}   {reason} after {ms} ms; it may still take effect"),
        ),
    };
    screen.entry(&format!("{:<11}", told.outcome), Some(ink), &text);
}

/// Asks for a file of requests, and sums up.
pub(super) fn run_file(file: &Path, router: Router, args: &SubmitArgs) -> Outcome {
    let (name, text) = batch::open(file)?;
    let steps = words::steps(&name, &text, router.protocol())?;
    for (place, step) in &steps {
        check(step, &router).map_err(|what| Failure::Input(format!("{place}: {what}")))?;
    }
    let is_json = args.json;
    let tell = move |told: &Told| match is_json {
        true => print_json(told),
        false => show(told, &mut Screen::stdout()),
    };
    let router = Arc::new(router);
    let begun = Instant::now();
    let ends = runtime()?.block_on(async {
        let (mut ends, mut failed) = (Vec::new(), BTreeSet::new());
        let mut steps = steps.into_iter().map(|(_, step)| step).peekable();
        while let Some(step) = steps.next() {
            let is_back = matches!(step, Step::Recover(_));
            match step {
                Step::Fail(node) | Step::Recover(node) => {
                    match is_back {
                        true => failed.remove(&node),
                        false => failed.insert(node),
                    };
                    isolate(&router, &failed).await?;
                }
                Step::Ask(first) => {
                    let mut requests = vec![first];
                    while let Some(Step::Ask(next)) =
                        steps.next_if(|step| matches!(step, Step::Ask(_)))
                    {
                        requests.push(next);
                    }
                    let router = router.clone();
                    ends.extend(ask_all(router, requests, args.at_once, args.wait, tell).await?);
                }
            }
        }
        Ok::<_, Failure>(ends)
    })?;
    if let Some(told) = ends.first().filter(|_| !ends.iter().any(|told| told.heard)) {
        nobody_answers(told, args)?;
    }
    let performance = Performance::of(&ends, begun.elapsed());
    if args.json {
        print_json(&performance);
    } else {
        performance.show(&mut Screen::stdout());
    }
    match performance.committed + performance.read == performance.requests {
        true => Ok(()),
        false => Err(Failure::Unexpected),
    }
}

/// Refuses what no cluster of these items could do.
fn sound(router: &Router, request: &str) -> Outcome {
    let protocol = router.protocol();
    let request = protocol.parse_request("request", request)?;
    let known = router.shards().items();
    let exists = |item: u64| match Item::try_from(item) {
        Ok(item) if known.contains(&item) => Ok(()),
        _ => Err(Failure::Input(format!(
            "item {item}: expected {} to {}",
            known.start(),
            known.end()
        ))),
    };
    match protocol.call(&request) {
        Some(Call::Transfer { from, to, amount }) => {
            exists(from)?;
            exists(to)?;
            if from == to {
                return Err(Failure::Input(format!(
                    "item {from} to itself: expected another item to pay to"
                )));
            }
            if amount == 0 {
                return Err(Failure::Input("amount 0: expected at least 1".to_owned()));
            }
            Ok(())
        }
        Some(Call::Read(items)) => items.iter().try_for_each(|(item, _)| exists(*item)),
        _ => Ok(()),
    }
}

/// Refuses what the cluster cannot do.
fn check(step: &Step, router: &Router) -> Result<(), String> {
    match step {
        Step::Ask(request) => sound(router, request).map_err(|error| match error {
            Failure::Input(what) => match what.split_once(": ") {
                // The request has no lines of its own in the file.
                Some((place, what)) if place.starts_with("request:") => what.to_owned(),
                _ => what,
            },
            other => other.to_string(),
        }),
        Step::Fail(node) | Step::Recover(node) => {
            let mut nodes = router.nodes().into_iter();
            match nodes.any(|known| known.id == *node) {
                true => Ok(()),
                false => Err(format!("node {} is not in this cluster", node.0)),
            }
        }
    }
}

/// Has nobody reach these nodes, and all others reach each other. (S4-53 `F(n)`, `R(n)`)
async fn isolate(router: &Router, failed: &BTreeSet<NodeId>) -> Result<(), Failure> {
    let nodes = router.nodes();
    let there = nodes.iter().map(|node| node.id);
    let fault = match failed.is_empty() {
        true => Fault::Heal,
        false => Fault::Partition {
            groups: vec![there.filter(|id| !failed.contains(id)).collect()],
        },
    };
    for (id, answer) in tell_nodes(nodes, &[fault]).await {
        if let Err(AskError::Broken(why) | AskError::Refused(why)) = answer {
            return Err(Failure::Failed(format!("node {}: {why}", id.0)));
        }
    }
    Ok(())
}

/// Asks for all of them with so many clients, each of which asks for one after another; tells each end as it comes.
///
/// # Errors
/// If the cluster refuses one as wrong input.
pub(crate) async fn ask_all(
    router: Arc<Router>,
    requests: Vec<String>,
    clients: u16,
    wait: Duration,
    tell: impl Fn(&Told),
) -> Result<Vec<Told>, Failure> {
    let waiting = Arc::new(Mutex::new(requests.into_iter()));
    let (say, mut heard) = tokio::sync::mpsc::channel(usize::from(clients));
    let mut working = JoinSet::new();
    for _ in 0..clients {
        let (router, waiting, say) = (router.clone(), waiting.clone(), say.clone());
        let mut asker = Asker::new()?;
        working.spawn(async move {
            let next = || {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.next()
            };
            while let Some(request) = next() {
                let told = router.ask(asker.next(), &request, wait).await;
                if say.send(told).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(say);
    let mut ends = Vec::new();
    while let Some(told) = heard.recv().await {
        let told = told?;
        tell(&told);
        ends.push(told);
    }
    Ok(ends)
}
