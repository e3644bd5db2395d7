//! Requests where items live in clusters: each is asked of the leader that it concerns, and done once.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::performance::Performance;
use super::{SubmitArgs, batch, words};
use crate::failure::{Failure, Outcome};
use crate::node::runtime;
use crate::router::{Asker, Router, Told};
use crate::terminal::{Ink, Screen, print_json};

/// Asks for one request.
pub(super) fn run(router: &Router, request: &str, args: &SubmitArgs) -> Outcome {
    router.protocol().parse_request("request", request)?;
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
    let requests = words::requests(&name, &text, router.protocol())?;
    for (place, request) in &requests {
        let parsed = router.protocol().parse_request("request", request);
        parsed.map_err(|error| Failure::Input(format!("{place}: {}", error.message)))?;
    }
    let requests = requests.into_iter().map(|(_, request)| request).collect();
    let is_json = args.json;
    let tell = move |told: &Told| match is_json {
        true => print_json(told),
        false => show(told, &mut Screen::stdout()),
    };
    let begun = Instant::now();
    let all = ask_all(Arc::new(router), requests, args.at_once, args.wait, tell);
    let ends = runtime()?.block_on(all)?;
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
