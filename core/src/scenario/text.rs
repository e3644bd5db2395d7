//! The TOML form of a scenario.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::complaint::{line_at, line_of_key, line_of_message, refuse, unknown_word};
use super::{
    Act, At, Behaviour, Break, BreakHow, Caption, CrashPoint, Disk, DiskFault, Expectation,
    Intervention, Link, Network, Scenario, ScenarioError, Schedule, Selector, ViewHints,
};
use crate::codec::encode;
use crate::crypto::Crypto;
use crate::engine::{Protocol, RuleSet};
use crate::ordered::Set;
use crate::protocol::{ProtocolKind, Simulated, with_protocol};
use crate::types::{ClientId, GroupId, NodeId, Round, Time};

/// Reads a scenario. `file` is named in errors; its stem becomes the scenario's name.
///
/// # Errors
/// The line, what stands there, and what was expected.
pub fn parse(file: &str, source: &str) -> Result<Scenario, ScenarioError> {
    let head: Head = toml::from_str(source).map_err(|error| refuse(file, source, &error))?;
    let Some(protocol) = ProtocolKind::from_name(&head.protocol) else {
        return Err(ScenarioError {
            file: file.to_owned(),
            line: line_of_key(source, "protocol"),
            message: format!(
                "no protocol \"{}\"; expected one of {}",
                head.protocol,
                ProtocolKind::names().join(", ")
            ),
        });
    };
    let (mut scenario, lines) =
        with_protocol!(protocol, P => parse_as::<P>(protocol, file, source))?;
    scenario.name = stem(file).to_owned();
    scenario.source = source.to_owned();
    scenario.check_at().map_err(|(place, message)| {
        let line = match place {
            Some(place) => lines.get(place).copied(),
            None => line_of_message(source, &message),
        };
        ScenarioError {
            file: file.to_owned(),
            line,
            message,
        }
    })?;
    Ok(scenario)
}

/// Reads one section of a file on its own, such as a node's `[two_phase]`, and encodes it.
///
/// # Errors
/// The line, what stands there, and what was expected.
pub fn parse_part<T: serde::Serialize + DeserializeOwned>(
    file: &str,
    source: &str,
) -> Result<Vec<u8>, ScenarioError> {
    from_toml::<T>(file, source).map(|value| encode(&value))
}

/// Only what tells which protocol the rest is of.
#[derive(Deserialize)]
struct Head {
    protocol: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<C, E, R, F> {
    #[serde(default)]
    title: String,
    #[serde(rename = "protocol")]
    _protocol: String,
    #[serde(default)]
    rules: RuleSet,
    #[serde(default)]
    flaws: Vec<String>,
    nodes: u16,
    #[serde(default = "default_seed")]
    seed: u64,
    #[serde(default = "default_until_ms")]
    until_ms: u64,
    #[serde(default)]
    schedule: Schedule,
    #[serde(default)]
    crypto: Crypto,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    disk: Disk,
    config: Option<C>,
    chain: Option<E>,
    #[serde(default)]
    group: Vec<GroupText>,
    #[serde(default = "Vec::new")]
    at: Vec<Entry<R, F>>,
    #[serde(default)]
    expect: Vec<toml::Spanned<Expectation>>,
    #[serde(default = "ViewText::none")]
    view: ViewText<R, F>,
}

/// `[view]`: how a run is shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewText<R, F> {
    #[serde(default)]
    question: String,
    pace_ms: Option<u64>,
    #[serde(default)]
    caption: Vec<Caption>,
    #[serde(default = "Vec::new", rename = "break")]
    breaks: Vec<BreakText<R, F>>,
}

impl<R, F> ViewText<R, F> {
    fn none() -> Self {
        ViewText {
            question: String::new(),
            pace_ms: None,
            caption: Vec::new(),
            breaks: Vec::new(),
        }
    }
}

/// A `[[view.break]]`: `at` is one `[[at]]` entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakText<R, F> {
    label: toml::Spanned<String>,
    #[serde(default)]
    note: String,
    at: Option<Entry<R, F>>,
    exhibit: Option<String>,
}

const fn default_seed() -> u64 {
    7
}

const fn default_until_ms() -> u64 {
    60_000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    id: toml::Spanned<u16>,
    nodes: Vec<NodeId>,
}

/// One `[[at]]` entry: every key that some `do` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<R, F> {
    ms: Option<u64>,
    step: Option<u64>,
    #[serde(rename = "do")]
    act: toml::Spanned<String>,
    node: Option<NodeId>,
    #[serde(default, deserialize_with = "one_or_many")]
    to: Vec<NodeId>,
    request: Option<R>,
    client: Option<ClientId>,
    number: Option<u64>,
    when: Option<CrashPoint>,
    groups: Option<Vec<Vec<NodeId>>>,
    from: Option<NodeId>,
    kind: Option<String>,
    instance: Option<String>,
    round: Option<Round>,
    nth: Option<u32>,
    timer: Option<String>,
    by_ms: Option<u64>,
    behaviour: Option<Behaviour>,
    fact: Option<F>,
    fault: Option<DiskFault>,
    rate_permille: Option<u32>,
    latency_ms: Option<[u64; 2]>,
    loss_permille: Option<u16>,
}

impl<R, F> Entry<R, F> {
    /// The keys that stand there, beside when and what.
    fn keys(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("node", self.node.is_some()),
            ("to", !self.to.is_empty()),
            ("request", self.request.is_some()),
            ("client", self.client.is_some()),
            ("number", self.number.is_some()),
            ("when", self.when.is_some()),
            ("groups", self.groups.is_some()),
            ("from", self.from.is_some()),
            ("kind", self.kind.is_some()),
            ("instance", self.instance.is_some()),
            ("round", self.round.is_some()),
            ("nth", self.nth.is_some()),
            ("timer", self.timer.is_some()),
            ("by_ms", self.by_ms.is_some()),
            ("behaviour", self.behaviour.is_some()),
            ("fact", self.fact.is_some()),
            ("fault", self.fault.is_some()),
            ("rate_permille", self.rate_permille.is_some()),
            ("latency_ms", self.latency_ms.is_some()),
            ("loss_permille", self.loss_permille.is_some()),
        ];
        let there = keys.into_iter().filter(|(_, is_there)| *is_there);
        there.map(|(key, _)| key)
    }
}

/// `to = 2` or `to = [1, 2]`.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<NodeId>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(NodeId),
        Many(Vec<NodeId>),
    }
    match OneOrMany::deserialize(deserializer) {
        Ok(OneOrMany::One(node)) => Ok(Vec::from([node])),
        Ok(OneOrMany::Many(nodes)) => Ok(nodes),
        Err(_) => Err(serde::de::Error::custom(
            "expected a node's number, or a list of them",
        )),
    }
}

/// Reads a file of a protocol. The lines of what is done, of what may be done, and of what is expected come along.
fn parse_as<P: Simulated>(
    protocol: ProtocolKind,
    file: &str,
    source: &str,
) -> Result<(Scenario, Vec<usize>), ScenarioError> {
    type Parsed<P> = File<
        <P as Protocol>::Config,
        <P as Simulated>::Setting,
        <P as Protocol>::Request,
        <P as Simulated>::Change,
    >;
    let parsed: Parsed<P> = from_toml(file, source)?;
    let mut scenario = Scenario::new(protocol, parsed.nodes);
    scenario.title = parsed.title;
    scenario.rules = parsed.rules;
    scenario.flaws = parsed.flaws;
    scenario.seed = parsed.seed;
    scenario.until = Time::from_ms(parsed.until_ms);
    scenario.schedule = parsed.schedule;
    scenario.crypto = parsed.crypto;
    scenario.network = parsed.network;
    scenario.disk = parsed.disk;
    if let Some(config) = parsed.config {
        scenario.config = encode(&config);
    }
    if let Some(setting) = parsed.chain {
        scenario.environment = encode(&setting);
    }
    if !parsed.group.is_empty() {
        scenario.groups = groups(parsed.nodes, parsed.group).map_err(|(at, message)| {
            let line = Some(line_at(source, at));
            ScenarioError {
                file: file.to_owned(),
                line,
                message,
            }
        })?;
    }
    let mut lines = Vec::new();
    let until = scenario.until;
    for entry in parsed.at {
        let line = line_at(source, entry.act.span().start);
        let entry = intervention_within(until, entry).map_err(|message| ScenarioError {
            file: file.to_owned(),
            line: Some(line),
            message,
        })?;
        scenario.interventions.push(entry);
        lines.push(line);
    }
    scenario.view = ViewHints {
        question: parsed.view.question,
        pace_ms: parsed.view.pace_ms,
        caption: parsed.view.caption,
        breaks: Vec::new(),
    };
    for entry in parsed.view.breaks {
        let line = line_at(source, entry.label.span().start);
        let how = match (entry.at, entry.exhibit) {
            (Some(at), None) => intervention_within(until, at).map(BreakHow::Act),
            (None, Some(id)) => match crate::museum::find(&id) {
                Some((of, exhibit)) if of == protocol => {
                    Ok(BreakHow::Exhibit(exhibit.flaw.to_owned()))
                }
                _ => Err(format!(
                    "view.break: no exhibit \"{id}\" of {}; `phaselab museum` lists them",
                    protocol.name()
                )),
            },
            _ => Err("view.break: expected exactly one of at and exhibit".to_owned()),
        };
        let how = how.map_err(|message| ScenarioError {
            file: file.to_owned(),
            line: Some(line),
            message,
        })?;
        scenario.view.breaks.push(Break {
            label: entry.label.into_inner(),
            note: entry.note,
            how,
        });
        lines.push(line);
    }
    for entry in parsed.expect {
        lines.push(line_at(source, entry.span().start));
        scenario.expectations.push(entry.into_inner());
    }
    Ok((scenario, lines))
}

/// The groups of all nodes. Of what cannot be, where it stands is told too.
fn groups(nodes: u16, texts: Vec<GroupText>) -> Result<Vec<GroupId>, (usize, String)> {
    let mut placed: Vec<Option<GroupId>> = vec![None; usize::from(nodes)];
    let mut named = Set::new();
    let mut last = 0;
    for text in texts {
        let at = text.id.span().start;
        last = at;
        let id = text.id.into_inner();
        let refuse = |what: String| Err((at, format!("group {id}: {what}")));
        if !named.insert(id) {
            return refuse("is told twice; expected each group once".to_owned());
        }
        if text.nodes.is_empty() {
            return refuse("expected at least one node".to_owned());
        }
        for node in text.nodes {
            let slot = usize::from(node.0).checked_sub(1);
            match slot.and_then(|index| placed.get_mut(index)) {
                Some(slot @ None) => *slot = Some(GroupId(id)),
                Some(Some(group)) => {
                    return refuse(format!(
                        "node {} is in group {} already; expected each node once",
                        node.0, group.0
                    ));
                }
                None => {
                    return refuse(format!(
                        "node {} does not exist; expected 1 to {nodes}",
                        node.0
                    ));
                }
            }
        }
    }
    let alone = (1_u16..).zip(&placed).find(|(_, group)| group.is_none());
    if let Some((node, _)) = alone {
        let what = format!("group: node {node} is in none; expected each of 1 to {nodes} in one");
        return Err((last, what));
    }
    Ok(placed.into_iter().flatten().collect())
}

/// Reads one thing to do, with the keys of an `[[at]]` entry but without its time: it happens now. Whether it can be
/// done is for [`Act::check`] to say.
///
/// # Errors
/// The line, what stands there, and what was expected.
pub fn parse_act(protocol: ProtocolKind, file: &str, source: &str) -> Result<Act, ScenarioError> {
    with_protocol!(protocol, P => {
        let mut entry: Entry<<P as Protocol>::Request, <P as Simulated>::Change> = from_toml(file, source)?;
        let refuse = |message| ScenarioError { file: file.to_owned(), line: None, message };
        if entry.ms.is_some() || entry.step.is_some() {
            let act = entry.act.get_ref();
            return Err(refuse(format!("{act}: happens now; expected neither ms nor step")));
        }
        entry.ms = Some(0);
        intervention(entry).map(|entry| entry.act).map_err(refuse)
    })
}

/// Of a run that ends at `until`: what comes after it never happens.
fn intervention_within<R: serde::Serialize, F: serde::Serialize>(
    until: Time,
    entry: Entry<R, F>,
) -> Result<Intervention, String> {
    let entry = intervention(entry)?;
    match entry.at {
        At::Time(at) if at > until => Err(format!(
            "{}: ms = {}: expected at most until_ms, where the run ends: {}",
            entry.act.name(),
            at.as_ms(),
            until.as_ms()
        )),
        _ => Ok(entry),
    }
}

fn intervention<R: serde::Serialize, F: serde::Serialize>(
    entry: Entry<R, F>,
) -> Result<Intervention, String> {
    check_keys(&entry)?;
    let act = entry.act.get_ref().as_str();
    let missing = |key: &str| format!("{act}: the key {key} is missing");
    let at = match (entry.ms, entry.step) {
        (Some(ms), None) => At::Time(Time::from_ms(ms)),
        (None, Some(step)) => At::Step(step),
        _ => return Err(format!("{act}: expected exactly one of ms and step")),
    };
    let node = entry.node.ok_or_else(|| missing("node"));
    let target = match entry.to.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(format!("{act}: to takes one node")),
    };
    let select = |to: Option<NodeId>| Selector {
        from: entry.from,
        to,
        kind: entry.kind.clone(),
        instance: entry.instance.clone(),
        round: entry.round,
        nth: entry.nth,
    };
    let act = match act {
        "submit" => {
            let request = encode(&entry.request.ok_or_else(|| missing("request"))?);
            let to = entry.to;
            match (entry.client, entry.number) {
                (None, None) => Act::Submit { to, request },
                (Some(client), number) => Act::SubmitAs {
                    to,
                    client,
                    number: number.unwrap_or(1),
                    request,
                },
                (None, Some(_)) => return Err(missing("client")),
            }
        }
        "crash" => Act::Crash {
            node: node?,
            when: entry.when.unwrap_or_default(),
        },
        "restart" => Act::Restart { node: node? },
        "partition" => {
            let groups = entry.groups.ok_or_else(|| missing("groups"))?;
            if groups.iter().any(Vec::is_empty) {
                return Err(format!(
                    "{act}: an empty group; a node in no group is alone anyhow"
                ));
            }
            Act::Partition { groups }
        }
        "heal" => Act::Heal,
        "link" => Act::Link(Link {
            from: entry.from,
            to: target?,
            latency_ms: entry.latency_ms,
            loss_permille: entry.loss_permille,
        }),
        "drop" => Act::Drop(select(target?)),
        "delay" => Act::Delay {
            select: select(target?),
            by_ms: entry.by_ms.ok_or_else(|| missing("by_ms"))?,
        },
        "duplicate" => Act::Duplicate(select(target?)),
        "corrupt" => Act::Corrupt(select(target?)),
        "deliver" => Act::Deliver(select(target?)),
        "fire" => Act::Fire {
            node: node?,
            timer: entry.timer.ok_or_else(|| missing("timer"))?,
            round: entry.round,
            instance: entry.instance.clone(),
        },
        "byzantine" => Act::Byzantine {
            node: node?,
            behaviour: entry.behaviour.ok_or_else(|| missing("behaviour"))?,
        },
        "fact" => Act::Fact {
            node: entry.node,
            change: encode(&entry.fact.ok_or_else(|| missing("fact"))?),
        },
        "disk" => Act::Disk {
            node: node?,
            fault: entry.fault.ok_or_else(|| missing("fault"))?,
        },
        "skew" => Act::Skew {
            node: node?,
            rate_permille: entry
                .rate_permille
                .ok_or_else(|| missing("rate_permille"))?,
        },
        unknown => return Err(unknown_word("do", unknown, &ACTS.map(|(name, _)| name))),
    };
    Ok(Intervention { at, act })
}

/// What an `[[at]]` entry can do, and with which keys beside `ms` or `step`.
pub const ACTS: [(&str, &[&str]); 16] = [
    ("submit", &["to", "request", "client", "number"]),
    ("crash", &["node", "when"]),
    ("restart", &["node"]),
    ("partition", &["groups"]),
    ("heal", &[]),
    ("link", &["from", "to", "latency_ms", "loss_permille"]),
    ("drop", &SELECTOR),
    (
        "delay",
        &["from", "to", "kind", "instance", "round", "nth", "by_ms"],
    ),
    ("duplicate", &SELECTOR),
    ("corrupt", &SELECTOR),
    ("deliver", &SELECTOR),
    ("fire", &["node", "timer", "round", "instance"]),
    ("byzantine", &["node", "behaviour"]),
    ("fact", &["node", "fact"]),
    ("disk", &["node", "fault"]),
    ("skew", &["node", "rate_permille"]),
];

const SELECTOR: [&str; 6] = ["from", "to", "kind", "instance", "round", "nth"];

/// Refuses a key that would do nothing. What cannot be done at all is not looked at here.
fn check_keys<R, F>(entry: &Entry<R, F>) -> Result<(), String> {
    let act = entry.act.get_ref().as_str();
    let Some((_, taken)) = ACTS.iter().find(|(name, _)| *name == act) else {
        return Ok(());
    };
    let Some(idle) = entry.keys().find(|key| !taken.contains(key)) else {
        return Ok(());
    };
    let expected = match taken {
        [] => "none but ms or step".to_owned(),
        _ => taken.join(", "),
    };
    Err(format!("{act}: takes no key {idle}; expected {expected}"))
}

/// Reads any TOML file, with errors as scenarios have them.
///
/// # Errors
/// The line, what stands there, and what was expected.
pub fn from_toml<T: DeserializeOwned>(file: &str, source: &str) -> Result<T, ScenarioError> {
    toml::from_str(source).map_err(|error| refuse(file, source, &error))
}

fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

#[cfg(test)]
mod tests;
