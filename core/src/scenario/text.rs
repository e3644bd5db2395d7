//! The TOML form of a scenario.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{
    Act, At, Behaviour, CrashPoint, Disk, DiskFault, Expectation, Intervention, Link, Network,
    Scenario, ScenarioError, Schedule, Selector, ViewHints,
};
use crate::codec::encode;
use crate::crypto::Crypto;
use crate::engine::{Protocol, RuleSet};
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
    expect: Vec<Expectation>,
    #[serde(default)]
    view: ViewHints,
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
    id: u16,
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

/// Reads a file of a protocol; the lines of its interventions come along.
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
    scenario.expectations = parsed.expect;
    scenario.view = parsed.view;
    if let Some(config) = parsed.config {
        scenario.config = encode(&config);
    }
    if let Some(setting) = parsed.chain {
        scenario.environment = encode(&setting);
    }
    for group in parsed.group {
        for node in group.nodes {
            let slot = usize::from(node.0)
                .checked_sub(1)
                .and_then(|index| scenario.groups.get_mut(index));
            *slot.ok_or_else(|| ScenarioError {
                file: file.to_owned(),
                line: line_of_key(source, "[[group]]"),
                message: format!(
                    "group {}: node {} does not exist; expected 1 to {}",
                    group.id, node.0, parsed.nodes
                ),
            })? = GroupId(group.id);
        }
    }
    let mut lines = Vec::new();
    for entry in parsed.at {
        let line = line_at(source, entry.act.span().start);
        let entry = intervention(entry).map_err(|message| ScenarioError {
            file: file.to_owned(),
            line: Some(line),
            message,
        })?;
        scenario.interventions.push(entry);
        lines.push(line);
    }
    Ok((scenario, lines))
}

fn intervention<R: serde::Serialize, F: serde::Serialize>(
    entry: Entry<R, F>,
) -> Result<Intervention, String> {
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
        unknown => return Err(unknown_word("do", unknown, &ACTS)),
    };
    Ok(Intervention { at, act })
}

const ACTS: [&str; 16] = [
    "submit",
    "crash",
    "restart",
    "partition",
    "heal",
    "link",
    "drop",
    "delay",
    "duplicate",
    "corrupt",
    "deliver",
    "fire",
    "byzantine",
    "fact",
    "disk",
    "skew",
];

/// Reads any TOML file, with errors as scenarios have them.
///
/// # Errors
/// The line, what stands there, and what was expected.
pub fn from_toml<T: DeserializeOwned>(file: &str, source: &str) -> Result<T, ScenarioError> {
    toml::from_str(source).map_err(|error| refuse(file, source, &error))
}

fn refuse(file: &str, source: &str, error: &toml::de::Error) -> ScenarioError {
    let line = error.span().map(|span| line_at(source, span.start));
    ScenarioError {
        file: file.to_owned(),
        line,
        message: readable(error.message()),
    }
}

/// Turns serde's "unknown field `lantency_ms`, expected one of ..." into a question that helps.
fn readable(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (Some(found), true) = (quoted.next(), message.starts_with("unknown field")) else {
        return message.trim_end().to_string();
    };
    let known: Vec<&str> = quoted.collect();
    unknown_word("key", found, &known)
}

/// `unknown key "lantency_ms"; did you mean latency_ms?`
pub(crate) fn unknown_word(what: &str, found: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .min_by_key(|word| distance(found, word))
        .filter(|word| {
            // Of a short word little may differ: every word is near to "at".
            let longer = found.chars().count().max(word.chars().count());
            distance(found, word) <= (longer / 3).min(3)
        });
    match nearest {
        Some(word) => format!("unknown {what} \"{found}\"; did you mean {word}?"),
        None => format!(
            "unknown {what} \"{found}\"; expected one of {}",
            known.join(", ")
        ),
    }
}

/// Edit distance by insertion, deletion and replacement.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = previous + usize::from(from != *to);
            previous = row[j + 1];
            row[j + 1] = replaced.min(previous + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn line_at(source: &str, offset: usize) -> usize {
    source
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

/// The line of a key, for errors that are found after parsing.
fn line_of_key(source: &str, key: &str) -> Option<usize> {
    let is_key = |line: &str| {
        let after = line.trim_start().strip_prefix(key);
        after.is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('='))
    };
    source.lines().position(is_key).map(|index| index + 1)
}

/// The line of the first word of a message that is a key of the file: `threshold_m = 9: expected ...`.
fn line_of_message(source: &str, message: &str) -> Option<usize> {
    let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.len() > 3)
        .find_map(|word| line_of_key(source, word))
}

fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const HEAD: &str = "protocol = \"two-phase\"\nnodes = 3\n";

    fn error(tail: &str) -> String {
        parse("three.toml", &format!("{HEAD}{tail}"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn errors_say_where_what_and_what_was_expected() {
        let cases: &[(&str, &str)] = &[
            (
                "[network]\nlantency_ms = [1, 2]\n",
                "three.toml:4: unknown key \"lantency_ms\"; did you mean latency_ms?",
            ),
            (
                "seeds = 1\n",
                "three.toml:3: unknown key \"seeds\"; did you mean seed?",
            ),
            (
                "[network]\nlatency_ms = [9, 2]\n",
                "three.toml:4: network.latency_ms = [9, 2]: expected the lower bound first",
            ),
            (
                "[[at]]\nms = 1\ndo = \"crush\"\nnode = 1\n",
                "three.toml:5: unknown do \"crush\"; did you mean crash?",
            ),
            (
                "[[at]]\nms = 1\ndo = \"crash\"\n",
                "three.toml:5: crash: the key node is missing",
            ),
            (
                "[[at]]\ndo = \"heal\"\n",
                "three.toml:4: heal: expected exactly one of ms and step",
            ),
            (
                "[[at]]\nms = 1\ndo = \"crash\"\nnode = 9\n",
                "three.toml:5: crash: node 9 does not exist; expected 1 to 3",
            ),
            (
                "[config]\ncommit_quorum = 9\n",
                "three.toml:4: commit_quorum = 9: expected 2 to 3 (more than half of 3 members), or 0 to derive it",
            ),
        ];
        for (tail, expected) in cases {
            assert_eq!(&error(tail), expected);
        }
        assert!(error("foo = 1\n").contains("unknown key \"foo\"; expected one of title"));
        assert!(
            parse("x", "protocol = \"three-phase\"\nnodes = 3")
                .unwrap_err()
                .to_string()
                .contains("two-phase")
        );
        assert!(
            error("rules = \"soft\"\n").starts_with("three.toml:3: "),
            "{}",
            error("rules = \"soft\"\n")
        );
    }

    #[test]
    fn what_can_never_be_done_is_refused_with_its_line() {
        let at = |keys: &str| error(&format!("[[at]]\nms = 1\ndo = {keys}\n"));
        let cases = [
            (
                "\"drop\"\nkind = \"lok\"",
                "drop: unknown kind \"lok\"; did you mean lock?",
            ),
            (
                "\"drop\"\nkind = \"zzz\"",
                "drop: unknown kind \"zzz\"; expected one of proposal, ",
            ),
            (
                "\"corrupt\"\nnth = 0",
                "corrupt: nth = 0: expected at least 1",
            ),
            (
                "\"delay\"\nby_ms = 9223372036854775807",
                "delay: by_ms = 9223372036854775807: expected at most 86400000",
            ),
            (
                "\"fact\"\nnode = 1\nfact = { hide = [99] }",
                "fact: output 99 does not exist; expected 0 to 7",
            ),
            (
                "\"fact\"\nfact = { hide = [1] }",
                "fact: hide and show need the node whose view is meant",
            ),
            (
                "\"partition\"\ngroups = [[1, 2], [2, 3]]",
                "partition: node 2 is named twice; expected it in one group",
            ),
            (
                "\"partition\"\ngroups = [[1, 2], []]",
                "partition: an empty group; a node in no group is alone anyhow",
            ),
            (
                "\"partition\"\ngroups = []",
                "partition: no group names a node; expected at least one",
            ),
        ];
        for (keys, expected) in cases {
            let found = at(keys);
            assert!(
                found.starts_with(&format!("three.toml:5: {expected}")),
                "{found}"
            );
        }
        let lost = "[[at]]\nms = 9\ndo = \"restart\"\nnode = 2\n\
                    [[at]]\nms = 5\ndo = \"disk\"\nnode = 2\nfault = \"lose\"\n";
        assert!(
            error(lost).starts_with("three.toml:5: restart: node 2 lost its disk before"),
            "{}",
            error(lost)
        );
        let before = lost.replace("ms = 9", "ms = 4");
        assert!(parse("three.toml", &format!("{HEAD}{before}")).is_ok());
    }

    #[test]
    fn a_setup_and_expectations_that_cannot_be_are_refused() {
        let cases = [
            (
                "[[network.link]]\nfrom = 1\nto = 9\n",
                "network.link: to = 9: expected 1 to 3",
            ),
            (
                "until_ms = 9223372036854775807\n",
                "three.toml:3: until_ms: expected at most 31622400000, 366 days of virtual time",
            ),
            (
                "[[expect]]\ninvariant = \"agremeent\"\nholds = true\n",
                "three.toml:4: expect: unknown invariant \"agremeent\"; did you mean agreement?",
            ),
            (
                "[[expect]]\ninvariant = \"nope\"\nholds = true\n",
                "expected one of agreement, validity, one signature, one vote, withdrawal, every event ends",
            ),
        ];
        for (tail, expected) in cases {
            assert!(error(tail).contains(expected), "{}", error(tail));
        }
    }

    #[test]
    fn a_minimal_file_takes_the_documents_defaults() {
        let scenario = parse("dir/three.toml", HEAD).unwrap();
        assert_eq!(
            (scenario.name.as_str(), scenario.seed, scenario.until),
            ("three", 7, Time::from_ms(60_000))
        );
        assert_eq!(scenario.groups, vec![GroupId(0); 3]);
    }
}
