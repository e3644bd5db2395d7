//! The scenario of a run as its file would say it, with what was done by hand as `[[at]]` entries of steps.
//!
//! A file's own text stays as it is, apart from keys whose values were changed since. What was written is read back, and
//! refused unless it is the same run.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::ExportError;
use crate::codec;
use crate::scenario::{
    self, Act, At, Behaviour, CrashPoint, DiskFault, Intervention, Scenario, Selector,
};
use crate::sim::Sim;
use crate::types::NodeId;

pub(super) fn text(sim: &Sim) -> Result<String, ExportError> {
    let scenario = sim.scenario();
    if scenario.source.is_empty() {
        return Err(ExportError::Unwritable(
            "This scenario was not read from a file.".to_string(),
        ));
    }
    let mut text = head(scenario);
    for Intervention { at, act } in sim.whole_by_hand() {
        let at = match at {
            At::Time(at) => format!("ms = {}", at.as_ms()),
            At::Step(step) => format!("step = {step}"),
        };
        let body = body(scenario, &act).ok_or_else(|| {
            ExportError::Unwritable(format!(
                "A \"{}\" that was done by hand cannot be written as text.",
                act.name()
            ))
        })?;
        text.push_str(&format!("\n[[at]]\n{at}\ndo = \"{}\"\n{body}", act.name()));
    }
    let file = format!("{}.toml", scenario.name);
    let read = scenario::parse(&file, &text).map_err(|error| {
        ExportError::Unwritable(format!(
            "This run does not fit into a scenario's file ({error})."
        ))
    })?;
    let mut meant = scenario.clone();
    meant.interventions.extend(sim.whole_by_hand());
    if !is_same(read, meant) {
        return Err(ExportError::Unwritable(
            "This run differs from its file in what a file cannot say.".to_string(),
        ));
    }
    Ok(text)
}

/// Whether they are the same run, whatever their text.
fn is_same(mut read: Scenario, mut meant: Scenario) -> bool {
    (read.source, meant.source) = (String::new(), String::new());
    codec::encode(&read) == codec::encode(&meant)
}

/// The file's text with the keys that changed.
fn head(scenario: &Scenario) -> String {
    let flaws: Vec<String> = scenario
        .flaws
        .iter()
        .map(|id| format!("\"{id}\""))
        .collect();
    let keys = [
        ("rules", format!("\"{}\"", scenario.rules.name())),
        ("flaws", format!("[{}]", flaws.join(", "))),
        ("nodes", scenario.nodes.to_string()),
        ("seed", scenario.seed.to_string()),
        ("until_ms", scenario.until.as_ms().to_string()),
        ("crypto", format!("\"{}\"", scenario.crypto.name())),
    ];
    let file = format!("{}.toml", scenario.name);
    let Ok(written) = scenario::parse(&file, &scenario.source) else {
        return scenario.source.clone();
    };
    let differs = [
        written.rules != scenario.rules,
        written.flaws != scenario.flaws,
        written.nodes != scenario.nodes,
        written.seed != scenario.seed,
        written.until != scenario.until,
        written.crypto != scenario.crypto,
    ];
    let mut changed: Vec<&(&str, String)> = keys
        .iter()
        .zip(differs)
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect();
    let mut text = String::new();
    let mut is_head = true;
    for line in scenario.source.lines() {
        if is_head && line.trim_start().starts_with('[') {
            is_head = false;
            set(&mut text, &mut changed);
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        let place = changed.iter().position(|(name, _)| is_head && *name == key);
        match place.map(|place| changed.remove(place)) {
            Some((name, value)) => text.push_str(&format!("{name} = {value}")),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    if is_head {
        set(&mut text, &mut changed);
    }
    text
}

/// Sets the keys that the file left to their defaults, behind those that it has.
fn set(text: &mut String, changed: &mut Vec<&(&str, String)>) {
    if changed.is_empty() {
        return;
    }
    let kept = text.trim_end_matches('\n').len();
    text.truncate(kept);
    text.push('\n');
    for (name, value) in changed.drain(..) {
        text.push_str(&format!("{name} = {value}\n"));
    }
    text.push('\n');
}

/// An act's keys. `None` if it cannot be written.
fn body(scenario: &Scenario, act: &Act) -> Option<String> {
    let list = |nodes: &[NodeId]| {
        let nodes: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
        format!("[{}]", nodes.join(", "))
    };
    Some(match act {
        Act::Submit { to, request } => {
            format!(
                "to = {}\nrequest = {}\n",
                list(to),
                said(scenario, request)?
            )
        }
        Act::SubmitAs {
            to,
            client,
            number,
            request,
        } => {
            format!(
                "to = {}\nclient = {}\nnumber = {number}\nrequest = {}\n",
                list(to),
                client.0,
                said(scenario, request)?
            )
        }
        Act::Fact { node, change } => {
            let node = node.map_or_else(String::new, |node| format!("node = {}\n", node.0));
            format!("{node}fact = {}\n", said(scenario, change)?)
        }
        Act::Crash { node, when } => {
            let when = match when {
                CrashPoint::BetweenSteps => "between-steps",
                CrashPoint::BeforeHandling => "before-handling",
                CrashPoint::AfterPersist => "after-persist",
            };
            format!("node = {}\nwhen = \"{when}\"\n", node.0)
        }
        Act::Restart { node } => format!("node = {}\n", node.0),
        Act::Partition { groups } => {
            let groups: Vec<String> = groups.iter().map(|group| list(group)).collect();
            format!("groups = [{}]\n", groups.join(", "))
        }
        Act::Heal => String::new(),
        Act::Link(link) => {
            let mut keys = String::new();
            let ends = [("from", link.from), ("to", link.to)];
            for (key, node) in ends {
                keys.push_str(
                    &node.map_or_else(String::new, |node| format!("{key} = {}\n", node.0)),
                );
            }
            if let Some([low, high]) = link.latency_ms {
                keys.push_str(&format!("latency_ms = [{low}, {high}]\n"));
            }
            if let Some(loss) = link.loss_permille {
                keys.push_str(&format!("loss_permille = {loss}\n"));
            }
            keys
        }
        Act::Drop(select)
        | Act::Duplicate(select)
        | Act::Corrupt(select)
        | Act::Deliver(select) => selector(select),
        Act::Delay { select, by_ms } => format!("{}by_ms = {by_ms}\n", selector(select)),
        Act::Fire {
            node,
            timer,
            round,
            instance,
        } => {
            let round = round.map_or_else(String::new, |round| format!("round = {}\n", round.0));
            let instance = instance
                .as_ref()
                .map_or_else(String::new, |name| format!("instance = {}\n", quoted(name)));
            format!(
                "node = {}\ntimer = {}\n{round}{instance}",
                node.0,
                quoted(timer)
            )
        }
        Act::Byzantine { node, behaviour } => {
            let behaviour = match behaviour {
                Behaviour::Equivocate => "equivocate",
                Behaviour::Mute => "mute",
                Behaviour::Delay => "delay",
                Behaviour::Withhold => "withhold",
                Behaviour::Amnesia => "amnesia",
                Behaviour::Forge => "forge",
                Behaviour::Rush => "rush",
                Behaviour::Oppose => "oppose",
            };
            format!("node = {}\nbehaviour = \"{behaviour}\"\n", node.0)
        }
        Act::Disk { node, fault } => {
            let fault = match fault {
                DiskFault::Lose => "lose",
                DiskFault::Fail => "fail",
            };
            format!("node = {}\nfault = \"{fault}\"\n", node.0)
        }
        Act::Skew {
            node,
            rate_permille,
        } => format!("node = {}\nrate_permille = {rate_permille}\n", node.0),
    })
}

/// The text of a request or a fact: that with which the file says the same one.
fn said(scenario: &Scenario, wanted: &[u8]) -> Option<String> {
    let lines = scenario.source.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        ["request", "fact"]
            .contains(&key.trim())
            .then(|| value.trim())
    });
    let acts = scenario
        .interventions
        .iter()
        .filter_map(|entry| match &entry.act {
            Act::Submit { request: bytes, .. }
            | Act::SubmitAs { request: bytes, .. }
            | Act::Fact { change: bytes, .. } => Some(bytes),
            _ => None,
        });
    let mut pairs = acts.zip(lines);
    let found = pairs.find(|(bytes, _)| bytes.as_slice() == wanted);
    found.map(|(_, text)| text.to_string())
}

fn selector(select: &Selector) -> String {
    let mut keys = String::new();
    let numbers = [
        ("from", select.from.map(|node| u64::from(node.0))),
        ("to", select.to.map(|node| u64::from(node.0))),
        ("round", select.round.map(|round| u64::from(round.0))),
        ("nth", select.nth.map(u64::from)),
    ];
    for (key, number) in numbers {
        keys.push_str(&number.map_or_else(String::new, |number| format!("{key} = {number}\n")));
    }
    for (key, word) in [("kind", &select.kind), ("instance", &select.instance)] {
        let line = word
            .as_ref()
            .map(|word| format!("{key} = {}\n", quoted(word)));
        keys.push_str(&line.unwrap_or_default());
    }
    keys
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
