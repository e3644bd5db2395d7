//! A file of requests: read and checked as a whole first, then asked for with a few under way at once, and summed up.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use phaselab_core::scenario;
use phaselab_core::types::NodeId;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::performance::{Latency, latency};
use super::words;
use super::{SubmitArgs, Summary, ask_all, check_locally, millis, show, sum_up};
use crate::client::NodeClient;
use crate::entry::{self, Entry};
use crate::failure::{Failure, Outcome, io_words, read_text};
use crate::node::runtime;
use crate::purse::has_coins;
use crate::terminal::{Ink, Screen, print_json};

/// The most requests of one file.
pub(super) const REQUESTS_MAX: usize = 100_000;

/// What `--json` prints last.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Total {
    requests: usize,
    decided: usize,
    abandoned: usize,
    refused: usize,
    /// Not decided in time, and still on the way.
    undecided: usize,
    /// No node answered.
    unanswered: usize,
    /// What people call those that ended without a decision.
    #[serde(skip)]
    given_up: &'static str,
    elapsed_ms: u64,
    /// From asking to the first proof, of decided requests; `null` if there is none.
    latency_ms: Option<Latency>,
}

/// Reads the file and asks for what it holds.
pub(super) fn run(
    file: &Path,
    folder: &BTreeMap<NodeId, PathBuf>,
    clients: &[NodeClient],
    args: &SubmitArgs,
) -> Outcome {
    let (name, text) = open(file)?;
    words::refuse_lines(&name, &text, folder)?;
    let requests = read(&name, &text)?;
    for (place, request) in &requests {
        check_locally(folder, request).map_err(|failure| match failure {
            // The request has no lines of its own in the file.
            Failure::Input(what) => {
                let what = what
                    .split_once(": ")
                    .map_or(what.as_str(), |(_, what)| what);
                Failure::Input(format!("{place}: {what}"))
            }
            other => other,
        })?;
    }
    let requests = requests.into_iter().map(|(_, request)| request).collect();
    let is_payment = words::protocol(folder).is_some_and(has_coins);
    let total = runtime()?.block_on(ask_for(requests, is_payment, clients, args))?;
    if args.json {
        print_json(&total);
    } else {
        tell(&total);
    }
    if total.unanswered == total.requests {
        let dir = args.dir.display();
        return Err(Failure::Failed(format!(
            "no node of {dir} is running; `phaselab cluster --dir {dir}` starts them"
        )));
    }
    if total.decided == total.requests {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// What the file is called, and its text.
pub(crate) fn open(file: &Path) -> Result<(String, String), Failure> {
    let name = file.display().to_string();
    if name != "-" {
        return Ok((name, read_text(file)?));
    }
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| Failure::Input(format!("standard input: {}", io_words(&error))))?;
    Ok(("standard input".to_owned(), text))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    request: Vec<Entry>,
}

/// The requests, each with where it stands, as TOML.
pub(super) fn read(name: &str, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let refuse = |what: String| Failure::Input(format!("{name}{what}"));
    let is_json = text.trim_start().starts_with('{');
    let requests: Vec<(String, String)> = if is_json {
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        let one = |(index, line): (usize, &str)| {
            let place = format!("{name}:{}", index + 1);
            serde_json::from_str::<Entry>(line)
                .map(|entry| (place, entry::lines(&entry)))
                .map_err(|_| refuse(format!(":{}: expected one JSON object per line", index + 1)))
        };
        lines.map(one).collect::<Result<_, _>>()?
    } else {
        let file: File = scenario::from_toml(name, text)?;
        let places = file.request.iter().zip(1..);
        places
            .map(|(entry, place)| (format!("{name}: request {place}"), entry::lines(entry)))
            .collect()
    };
    match requests.len() {
        0 => Err(refuse(
            ": no requests; expected [[request]] entries, or a JSON object per line".to_owned(),
        )),
        1..=REQUESTS_MAX => Ok(requests),
        more => Err(refuse(format!(
            ": {more} requests; expected at most {REQUESTS_MAX}"
        ))),
    }
}

/// Asks with some under way at once, and tells each end as it comes.
async fn ask_for(
    requests: Vec<String>,
    is_payment: bool,
    clients: &[NodeClient],
    args: &SubmitArgs,
) -> Result<Total, Failure> {
    let begun = Instant::now();
    let mut waiting = requests.into_iter();
    let mut asking = JoinSet::new();
    let mut ends: Vec<Result<Summary, Failure>> = Vec::new();
    loop {
        while asking.len() < usize::from(args.at_once)
            && let Some(request) = waiting.next()
        {
            let (clients, wait) = (clients.to_vec(), args.wait);
            asking.spawn(async move { ask_all(clients, request, wait).await });
        }
        let Some(answers) = asking.join_next().await else {
            break;
        };
        let answers = answers.map_err(|error| Failure::Failed(error.to_string()))?;
        let end = sum_up(answers, clients.len(), args).map(|summary| match is_payment {
            true => summary.of_payment(),
            false => summary,
        });
        match &end {
            Ok(summary) if args.json => print_json(summary),
            Ok(summary) if summary.outcome == "refused" => Screen::stdout().entry(
                "refused  ",
                Some(Ink::Warn),
                &format!("{}: {}", summary.instance, summary.text),
            ),
            Ok(summary) => show(summary, args),
            // What the cluster as a whole refuses is wrong input; a cluster that is down is told at the end.
            Err(Failure::Input(why)) => return Err(Failure::Input(why.clone())),
            Err(_) => {}
        }
        ends.push(end);
    }
    let given_up = if is_payment { "rejected" } else { "abandoned" };
    Ok(total(&ends, given_up, begun.elapsed()))
}

fn total(ends: &[Result<Summary, Failure>], given_up: &'static str, elapsed: Duration) -> Total {
    let with = |outcome: &str| {
        let told = ends.iter().flatten();
        told.filter(|end| end.outcome == outcome).count()
    };
    let (decided, refused) = (with("decided"), with("refused"));
    let abandoned = with("abandoned") + with("rejected");
    let unanswered = ends.iter().filter(|end| end.is_err()).count();
    let latencies = ends.iter().flatten();
    let latencies = latencies.filter(|end| end.outcome == "decided");
    Total {
        requests: ends.len(),
        decided,
        abandoned,
        refused,
        undecided: ends.len() - decided - abandoned - refused - unanswered,
        unanswered,
        given_up,
        elapsed_ms: millis(elapsed),
        latency_ms: latency(latencies.map(|end| end.first_ms).collect()),
    }
}

fn tell(total: &Total) {
    let mut screen = Screen::stdout();
    let mut parts = vec![format!("{} decided", total.decided)];
    for (count, word) in [
        (total.abandoned, total.given_up),
        (total.refused, "refused"),
        (total.undecided, "undecided"),
        (total.unanswered, "unanswered"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let text = format!(
        "{} requests in {} ms: {}",
        total.requests,
        total.elapsed_ms,
        parts.join(", ")
    );
    let ink = if total.decided == total.requests {
        Ink::Good
    } else {
        Ink::Warn
    };
    screen.entry("all      ", Some(ink), &text);
    if let Some(latency) = total.latency_ms {
        screen.entry("latency  ", None, &latency.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_toml_and_json_lines_alike() {
        let toml =
            "[[request]]\nevent = \"a\"\namount = 1\n[[request]]\nevent = \"b\"\namount = 2\n";
        let json = "{\"event\": \"a\", \"amount\": 1}\n\n{\"event\": \"b\", \"amount\": 2}\n";
        let texts = |text: &str| -> Vec<String> {
            let read = read("file", text).unwrap();
            read.into_iter().map(|(_, request)| request).collect()
        };
        assert_eq!(texts(toml), texts(json));
        assert_eq!(texts(toml)[1], "\"amount\" = 2\n\"event\" = \"b\"\n");
        assert_eq!(read("file", json).unwrap()[1].0, "file:3");
        let refused = |text: &str| read("file", text).unwrap_err().to_string();
        assert_eq!(
            refused("{\"event\": \"a\"}\nwhat\n"),
            "file:2: expected one JSON object per line"
        );
        assert!(refused("").starts_with("file: no requests; expected [[request]]"));
        assert_eq!(
            refused("[[requests]]\nevent = \"a\"\n"),
            "file:1: unknown key \"requests\"; did you mean request?"
        );
    }
}
