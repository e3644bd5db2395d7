//! Which run is meant: a file, a built-in scenario, or a protocol with a workload of its own; and what is changed in it.

use std::path::Path;

use clap::Args;
use phaselab_core::crypto::Crypto;
use phaselab_core::engine::RuleSet;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{self, Act, Expectation, Scenario};
use phaselab_core::types::{NodeId, Time};

use crate::failure::{Failure, read_text};
use crate::genesis;

/// What run is meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct Choice {
    /// A scenario file, or the name of a built-in scenario
    #[arg(value_name = "FILE|NAME")]
    pub(crate) scenario: Option<String>,
    /// Run this protocol with a small workload instead of a scenario
    #[arg(long, value_name = "P", value_parser = protocol)]
    pub(crate) protocol: Option<ProtocolKind>,
    /// How many nodes
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<u16>,
    /// hardened, or as-written: the source document's rules, which are unsafe
    #[arg(long, value_name = "R", value_parser = rules)]
    pub(crate) rules: Option<RuleSet>,
    /// Restore single flaws on top of hardened rules, such as S0-F1,S0-F2
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(crate) flaws: Option<Vec<String>>,
    /// ed25519, or simulated: for scale
    #[arg(long, value_name = "C", value_parser = crypto)]
    pub(crate) crypto: Option<Crypto>,
    /// When the run ends, in virtual milliseconds
    #[arg(long, value_name = "MS")]
    pub(crate) until_ms: Option<u64>,
}

impl Choice {
    /// The scenario that is meant, with the changes, checked.
    pub(crate) fn scenario(&self, swarm_seed: Option<u64>) -> Result<Scenario, Failure> {
        let scenario = match (&self.scenario, self.protocol, swarm_seed) {
            (Some(_), _, Some(_)) => {
                return Err(Failure::Input(
                    "--swarm draws its own scenario; give --protocol and --seed".to_owned(),
                ));
            }
            (Some(_), Some(_), _) => {
                return Err(Failure::Input(
                    "a scenario names its protocol itself; drop --protocol".to_owned(),
                ));
            }
            (Some(name), None, None) => load(name)?,
            (None, Some(_), Some(_)) if self.nodes.is_some() => {
                return Err(Failure::Input(
                    "--nodes: a swarm draws how many nodes there are, and faults that fit them; expected no --nodes, \
                     or a scenario instead of --protocol"
                        .to_owned(),
                ));
            }
            (None, Some(protocol), Some(seed)) => protocol.swarm(seed),
            (None, Some(protocol), None) => {
                workload(protocol, self.nodes.unwrap_or(NODES_DEFAULT))?
            }
            (None, None, _) => {
                return Err(Failure::Input(format!(
                    "expected a scenario's file or name, or --protocol with one of {}",
                    ProtocolKind::names().join(", ")
                )));
            }
        };
        self.change(scenario)
    }

    fn change(&self, mut scenario: Scenario) -> Result<Scenario, Failure> {
        if let Some(nodes) = self.nodes.filter(|nodes| *nodes != scenario.nodes) {
            scenario.nodes = nodes;
            scenario.groups = scenario.protocol.groups(nodes);
        }
        if let Some(rules) = self.rules {
            scenario.rules = rules;
        }
        if let Some(flaws) = &self.flaws {
            scenario.flaws.clone_from(flaws);
        }
        if let Some(crypto) = self.crypto {
            scenario.crypto = crypto;
        }
        if let Some(until_ms) = self.until_ms {
            scenario.until = Time::from_ms(until_ms);
        }
        scenario
            .check()
            .map_err(|what| Failure::Input(format!("{}: {what}", scenario.name)))?;
        Ok(scenario)
    }

    /// The same choice as words of a command line.
    pub(crate) fn words(&self) -> String {
        let mut words = String::new();
        let mut add = |option: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push_str(option);
                words.push_str(&quoted(&value));
            }
        };
        add(" ", self.scenario.clone());
        add(
            " --protocol ",
            self.protocol.map(|protocol| protocol.name().to_owned()),
        );
        add(" --nodes ", self.nodes.map(|nodes| nodes.to_string()));
        add(" --rules ", self.rules.map(|rules| rules.name().to_owned()));
        add(
            " --flaws ",
            self.flaws.as_ref().map(|flaws| flaws.join(",")),
        );
        add(
            " --crypto ",
            self.crypto.map(|crypto| crypto.name().to_owned()),
        );
        add(" --until-ms ", self.until_ms.map(|ms| ms.to_string()));
        words
    }
}

const NODES_DEFAULT: u16 = 3;

/// A scenario by file or by name. What looks like a path is one.
pub(super) fn load(name: &str) -> Result<Scenario, Failure> {
    let path = Path::new(name);
    if path.is_file() || name.ends_with(".toml") {
        return Ok(scenario::parse(name, &read_text(path)?)?);
    }
    let builtin = scenario::builtin();
    let bare = |full: &'static str| full.rsplit('/').next().unwrap_or(full);
    let matching: Vec<_> = builtin
        .iter()
        .filter(|known| known.name == name || bare(known.name) == name)
        .collect();
    match matching.as_slice() {
        [one] => Ok(scenario::parse(&format!("{}.toml", one.name), one.text)?),
        [] if path.is_dir() => Err(Failure::in_file(
            path,
            "is a folder; expected a scenario's file or name",
        )),
        [] if path.exists() => Err(Failure::in_file(
            path,
            "is no regular file; expected a scenario's file or name",
        )),
        [] => Err(Failure::Input(unknown(
            name,
            builtin.iter().map(|known| known.name),
        ))),
        several => {
            let names: Vec<_> = several.iter().map(|known| known.name).collect();
            Err(Failure::Input(format!(
                "\"{name}\" is the name of several scenarios: {}",
                names.join(", ")
            )))
        }
    }
}

/// Whether a name may have been meant; of a short one little may differ.
pub(super) fn is_near(name: &str, known: &str) -> bool {
    let longer = name.chars().count().max(known.chars().count());
    strsim::damerau_levenshtein(name, known) <= (longer / 3).min(3)
}

/// `no scenario "three-signer"; did you mean two-phase/three-signers?`
fn unknown(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let near = |full: &&str| {
        let bare = full.rsplit('/').next().unwrap_or(full);
        is_near(name, bare) || is_near(name, full) || (name.len() >= 3 && full.contains(name))
    };
    let near: Vec<_> = known.filter(near).collect();
    if near.is_empty() {
        format!(
            "no scenario \"{name}\", and no such file; `phaselab scenarios` lists those built in"
        )
    } else {
        format!(
            "no scenario \"{name}\", and no such file; did you mean {}?",
            near.join(", ")
        )
    }
}

/// A protocol with one request to all its nodes.
fn workload(protocol: ProtocolKind, nodes: u16) -> Result<Scenario, Failure> {
    let sample = genesis::sample(protocol);
    let mut scenario = Scenario::new(protocol, nodes);
    let request = protocol.parse_request("request", sample.request)?;
    let named = sample.instance.map(str::to_owned);
    let instance = named.or_else(|| protocol.request_name(&request));
    if let Some(config) = sample.config_for(nodes) {
        scenario.config = protocol.parse_config("config", config)?;
    }
    // Who asks samples hears of what others know.
    let is_sampled = protocol.spec().is_sampled();
    let (whom, to) = match is_sampled {
        true => ("one node", vec![NodeId(1)]),
        false => ("every node", scenario.ids().collect()),
    };
    scenario.title = format!("One request to {whom} of {}", protocol.name());
    scenario.at_ms(100, Act::Submit { to, request });
    let first = scenario.groups.first().copied();
    let others = scenario.groups.iter().any(|group| Some(*group) != first);
    let members = scenario.ids().zip(&scenario.groups);
    let of_first = members.filter(|(_, group)| Some(**group) == first);
    // Where there are several groups, the request is one of the first.
    let nodes: Vec<Option<NodeId>> = if others {
        of_first.map(|(id, _)| Some(id)).collect()
    } else {
        vec![None]
    };
    for node in nodes {
        scenario.expectations.push(Expectation {
            node,
            instance: instance.clone(),
            phase: Some(sample.end.to_owned()),
            ..Expectation::default()
        });
    }
    Ok(scenario)
}

/// `--protocol`.
pub(crate) fn protocol(name: &str) -> Result<ProtocolKind, String> {
    ProtocolKind::from_name(name)
        .ok_or_else(|| format!("expected one of {}", ProtocolKind::names().join(", ")))
}

fn rules(name: &str) -> Result<RuleSet, String> {
    let known = [RuleSet::Hardened, RuleSet::AsWritten];
    known
        .into_iter()
        .find(|rules| rules.name() == name)
        .ok_or_else(|| "expected hardened or as-written".to_owned())
}

fn crypto(name: &str) -> Result<Crypto, String> {
    let known = [Crypto::Ed25519, Crypto::Simulated];
    known
        .into_iter()
        .find(|crypto| crypto.name() == name)
        .ok_or_else(|| "expected ed25519 or simulated".to_owned())
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_list_near_ones() {
        let known = || ["two-phase/three-signers", "two-phase/late-joiner"].into_iter();
        assert!(
            unknown("three-signer", known()).ends_with("did you mean two-phase/three-signers?")
        );
        assert!(unknown("joiner", known()).ends_with("did you mean two-phase/late-joiner?"));
        assert!(unknown("zzz", known()).ends_with("lists those built in"));
    }

    #[test]
    fn a_choice_is_written_back_as_words_of_a_shell() {
        let choice = Choice {
            scenario: Some("my file.toml".to_owned()),
            protocol: None,
            nodes: Some(5),
            rules: Some(RuleSet::AsWritten),
            flaws: Some(vec!["S0-F1".to_owned(), "S0-F2".to_owned()]),
            crypto: None,
            until_ms: None,
        };
        assert_eq!(
            choice.words(),
            " 'my file.toml' --nodes 5 --rules as-written --flaws S0-F1,S0-F2"
        );
    }
}
