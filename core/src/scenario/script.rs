//! A scenario's text with another course of events: its world, its parameters and its views stay, and what happens is
//! said step by step.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Act, Scenario, Selector, parse};

/// Virtual time between two steps of a script, in milliseconds: time to read.
const PACE_MS: u64 = 100;

/// The scenario in which exactly these acts happen, one after another, in a manual schedule. `source` must have a
/// `source` text; its requests, crashes, later facts and expectations give way to the script, the facts of its first
/// moment and its liars stay.
///
/// `None` if an act cannot be written, or what was written does not read back.
pub fn script(source: &Scenario, acts: &[Act]) -> Option<Scenario> {
    let texts = texts(source);
    let mut text = head(source);
    for (index, act) in acts.iter().enumerate() {
        let ms = PACE_MS * (index as u64 + 1);
        text.push_str(&format!("\n[[at]]\nms = {ms}\ndo = \"{}\"\n", act.name()));
        text.push_str(&body(act, &texts)?);
    }
    let mut scenario = parse(&format!("{}.toml", source.name), &text).ok()?;
    scenario.source = text;
    Some(scenario)
}

/// What stands before the script: everything but the old course of events, and the keys that it sets itself.
fn head(source: &Scenario) -> String {
    const OWN: [&str; 5] = ["schedule", "rules", "flaws", "until_ms", "title"];
    let mut text = String::new();
    let flaws: Vec<String> = source.flaws.iter().map(|id| format!("\"{id}\"")).collect();
    text.push_str(&format!("title = \"{}\"\n", source.title));
    text.push_str(&format!("rules = \"{}\"\n", source.rules.name()));
    if !flaws.is_empty() {
        text.push_str(&format!("flaws = [{}]\n", flaws.join(", ")));
    }
    text.push_str("schedule = \"manual\"\n");
    for (index, block) in blocks(&source.source).iter().enumerate() {
        let body: Vec<&str> = block.iter().map(|line| line.trim()).collect();
        let says = |start: &str| body.iter().any(|line| line.starts_with(start));
        let stays = says("do = \"byzantine\"") || says("do = \"fact\"") && body.contains(&"ms = 0");
        let is_course = body.contains(&"[[at]]") && !stays
            || body.contains(&"[[expect]]")
            || body.contains(&"[view]")
            || body.contains(&"[[view.break]]")
            || says("[network")
            || says("[[network");
        if is_course {
            continue;
        }
        for line in block {
            let key = line.split('=').next().unwrap_or_default().trim();
            let is_comment = line.trim_start().starts_with('#');
            if index == 0 && (OWN.contains(&key) || is_comment) {
                continue;
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The text of each request and fact, by its bytes.
fn texts(source: &Scenario) -> Vec<(Vec<u8>, String)> {
    let texts = source.source.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        ["request", "fact"]
            .contains(&key.trim())
            .then(|| value.trim().to_owned())
    });
    let acts = source
        .interventions
        .iter()
        .filter_map(|entry| match &entry.act {
            Act::Submit { request: bytes, .. }
            | Act::SubmitAs { request: bytes, .. }
            | Act::Fact { change: bytes, .. } => Some(bytes.clone()),
            _ => None,
        });
    acts.zip(texts).collect()
}

fn body(act: &Act, texts: &[(Vec<u8>, String)]) -> Option<String> {
    Some(match act {
        Act::Submit { to, request } => {
            let (_, text) = texts.iter().find(|(bytes, _)| bytes == request)?;
            let to: Vec<String> = to.iter().map(|node| format!("{}", node.0)).collect();
            format!("to = [{}]\nrequest = {text}\n", to.join(", "))
        }
        Act::SubmitAs {
            to,
            client,
            number,
            request,
        } => {
            let (_, text) = texts.iter().find(|(bytes, _)| bytes == request)?;
            let to: Vec<String> = to.iter().map(|node| format!("{}", node.0)).collect();
            let to = to.join(", ");
            format!(
                "to = [{to}]\nclient = {}\nnumber = {number}\nrequest = {text}\n",
                client.0
            )
        }
        Act::Fact { node, change } => {
            let (_, text) = texts.iter().find(|(bytes, _)| bytes == change)?;
            let node = node.map_or_else(String::new, |node| format!("node = {}\n", node.0));
            format!("{node}fact = {text}\n")
        }
        Act::Deliver(select) => selector(select),
        Act::Fire {
            node, timer, round, ..
        } => {
            let round = round.map_or_else(String::new, |round| format!("round = {}\n", round.0));
            format!("node = {}\ntimer = \"{timer}\"\n{round}", node.0)
        }
        Act::Crash { node, when } => {
            let when = match when {
                super::CrashPoint::BetweenSteps => "between-steps",
                super::CrashPoint::BeforeHandling => "before-handling",
                super::CrashPoint::AfterPersist => "after-persist",
            };
            format!("node = {}\nwhen = \"{when}\"\n", node.0)
        }
        Act::Restart { node } => format!("node = {}\n", node.0),
        _ => return None,
    })
}

fn selector(select: &Selector) -> String {
    let mut text = String::new();
    let mut number = |key: &str, value: Option<u64>| {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {value}\n"));
        }
    };
    number("from", select.from.map(|node| u64::from(node.0)));
    number("to", select.to.map(|node| u64::from(node.0)));
    number("round", select.round.map(|round| u64::from(round.0)));
    number("nth", select.nth.map(u64::from));
    if let Some(kind) = &select.kind {
        text.push_str(&format!("kind = \"{kind}\"\n"));
    }
    text
}

/// The scenario with these of its interventions alone. One that was read from a file keeps its text, without the others;
/// `None` if that does not read back.
pub fn keep(scenario: &Scenario, interventions: &[usize]) -> Option<Scenario> {
    if scenario.source.is_empty() {
        let mut kept = scenario.clone();
        let chosen = interventions
            .iter()
            .map(|index| scenario.interventions[*index].clone());
        kept.interventions = chosen.collect();
        return Some(kept);
    }
    let mut text = String::new();
    let mut entry = 0;
    for block in blocks(&scenario.source) {
        let is_entry = block.iter().any(|line| line.trim() == "[[at]]");
        let index = entry;
        entry += usize::from(is_entry);
        if !is_entry || interventions.contains(&index) {
            block.iter().for_each(|line| {
                text.push_str(line);
                text.push('\n');
            });
        }
    }
    let mut kept = parse(&format!("{}.toml", scenario.name), &text).ok()?;
    kept.rules = scenario.rules;
    kept.flaws.clone_from(&scenario.flaws);
    Some(kept)
}

/// A file's text in blocks: what stands before the first header, and each header with its comments and keys.
fn blocks(source: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::from([Vec::new()]);
    for line in source.lines() {
        let text = line.trim_start();
        let last = blocks
            .last()
            .and_then(|block| block.last())
            .map(|line| line.trim());
        let after_comment = last.is_some_and(|line| line.starts_with('#'));
        let begins = text.starts_with('[') && !after_comment;
        // A comment belongs to what follows it.
        let announces = text.starts_with('#') && last.is_some_and(str::is_empty);
        if begins || announces {
            blocks.push(Vec::new());
        }
        blocks.last_mut().expect("there is a block").push(line);
    }
    blocks
}
