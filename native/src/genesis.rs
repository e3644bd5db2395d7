//! The genesis file: what all members of a cluster agree on, the same file at each of them.
//!
//! ```toml
//! protocol = "two-phase"
//! name = "phaselab-cluster-7f3a91c2"
//! [[member]]
//! id = 1
//! key = "64 hex digits, as `phaselab keygen` prints them"
//! [two_phase]          # the protocol's parameters, with the names of its source document
//! proposal_timeout_ms = 5000
//! [two_phase.retry]
//! max_retries = 3
//! [chain]              # the world outside; only its host reads it
//! delay_ms = 1000
//! ```
//!
//! Its hash stands in every envelope and vote, so that a member whose file differs is refused by the others.

use std::path::{Path, PathBuf};

use phaselab_core::crypto::{Crypto, Member, PublicKey};
use phaselab_core::engine::{Genesis, RuleSet};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::replica::BuildError;
use phaselab_core::scenario::{self, Scenario, ScenarioError};
use phaselab_core::shards::Wish;
use phaselab_core::types::{GroupId, Hash32, NodeId};
use serde::Deserialize;

use crate::failure::{Failure, read_text};

mod sections;

pub(crate) use sections::line_of;
use sections::{line_of_first_key, only_section, switched_on, without_sections};

/// A genesis file, read and understood.
#[derive(Clone, Debug)]
pub(crate) struct GenesisFile {
    /// Where it stands.
    pub(crate) path: PathBuf,
    /// The protocol.
    pub(crate) protocol: ProtocolKind,
    /// What is hashed.
    pub(crate) genesis: Genesis,
    /// How the world outside starts: not hashed, as it binds no member.
    pub(crate) setting: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    protocol: String,
    name: String,
    #[serde(default)]
    rules: RuleSet,
    #[serde(default)]
    flaws: Vec<String>,
    member: Vec<MemberText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberText {
    id: u16,
    #[serde(default)]
    group: u16,
    key: Hash32,
}

impl GenesisFile {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, where, and what was expected.
    pub(crate) fn load(path: &Path) -> Result<GenesisFile, Failure> {
        let source = read_text(path)?;
        Ok(Self::parse(path, &source)?)
    }

    fn parse(path: &Path, source: &str) -> Result<GenesisFile, ScenarioError> {
        let file = path.display().to_string();
        let sections: Vec<String> = ProtocolKind::ALL
            .iter()
            .copied()
            .map(section_name)
            .chain(["chain".to_owned()])
            .collect();
        let head: Head = scenario::from_toml(&file, &without_sections(source, &sections))?;
        let refuse = |key: &str, message: String| ScenarioError {
            file: file.clone(),
            line: line_of(source, key),
            message,
        };
        let Some(protocol) = ProtocolKind::from_name(&head.protocol) else {
            let known = ProtocolKind::names().join(", ");
            return Err(refuse(
                "protocol",
                format!("no protocol \"{}\"; expected one of {known}", head.protocol),
            ));
        };
        if head.member.is_empty() {
            return Err(refuse(
                "member",
                "no [[member]]; expected at least one".to_owned(),
            ));
        }
        for other in ProtocolKind::ALL
            .iter()
            .copied()
            .filter(|other| *other != protocol)
        {
            let section = section_name(other);
            if line_of(source, &format!("[{section}")).is_some() {
                let message = format!(
                    "[{section}] is not of {}; expected [{}]",
                    protocol.name(),
                    section_name(protocol)
                );
                return Err(refuse(&format!("[{section}"), message));
            }
        }
        let body = switched_on(&file, only_section(source, &section_name(protocol)))?;
        let member = |text: &MemberText| Member {
            id: NodeId(text.id),
            group: GroupId(text.group),
            key: PublicKey(text.key.0),
        };
        let genesis = Genesis {
            protocol: protocol.tag(),
            rules: head.rules,
            flaws: head.flaws.clone(),
            // A network of real processes accepts nothing that is simulated.
            crypto: Crypto::Ed25519,
            name: head.name,
            members: head.member.iter().map(member).collect(),
            config: protocol.parse_config(&file, &body)?,
        };
        let setting = protocol.parse_environment(&file, &only_section(source, "chain"))?;
        let mut probe = Scenario::new(protocol, head.member.len() as u16);
        probe.rules = head.rules;
        probe.flaws.clone_from(&head.flaws);
        probe.groups = head
            .member
            .iter()
            .map(|member| GroupId(member.group))
            .collect();
        (probe.config, probe.environment) = (genesis.config.clone(), setting.clone());
        probe.check().map_err(|message| ScenarioError {
            file: file.clone(),
            line: line_of_first_key(source, &message),
            message,
        })?;
        Ok(GenesisFile {
            path: path.to_owned(),
            protocol,
            genesis,
            setting,
        })
    }

    /// The members' ids, in the file's order.
    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.genesis
            .members
            .iter()
            .map(|member| member.id)
            .collect()
    }

    /// A member.
    pub(crate) fn member(&self, id: NodeId) -> Option<&Member> {
        self.genesis.members.iter().find(|member| member.id == id)
    }

    /// Why a node of this genesis cannot be built, with the file that is to blame.
    pub(crate) fn refuse(&self, store: &Path, error: &BuildError) -> Failure {
        match error {
            BuildError::NotAMember { node } => Failure::in_file(
                store,
                format!(
                    "its key is not the one that {} registers for node {}",
                    self.path.display(),
                    node.0
                ),
            ),
            BuildError::Recover(_) => Failure::in_file(store, error),
            _ => Failure::in_file(&self.path, error),
        }
    }
}

/// The section that holds a protocol's parameters: `[two_phase]`.
pub(crate) fn section_name(protocol: ProtocolKind) -> String {
    protocol.name().replace('-', "_")
}

/// What the tools say about a protocol whose types they do not know.
#[derive(Debug)]
pub(crate) struct Sample {
    /// A request, as TOML.
    pub(crate) request: &'static str,
    /// What a long run needs other than by default.
    pub(crate) soak: Soak,
    /// What its instance is called in a run, where the request does not say it.
    pub(crate) instance: Option<&'static str>,
    /// The phase in which it ends well.
    pub(crate) end: &'static str,
    /// What `submit` is asked first, as words of a command line.
    pub(crate) submit: &'static str,
    /// Its parameters with their defaults, as `init` writes them.
    sections: &'static str,
    /// The fewest nodes for which the defaults are possible.
    nodes_min: u16,
    /// What fewer nodes need instead of one line of the sections.
    few: &'static str,
}

/// Parameters of a run that goes on for hours, as the bodies of two sections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soak {
    /// Of the protocol.
    pub(crate) config: &'static str,
    /// Of the world outside.
    pub(crate) environment: &'static str,
}

impl Sample {
    /// The parameter that a cluster of so few nodes needs other than by default, as a line of TOML.
    pub(crate) fn config_for(&self, nodes: u16) -> Option<&'static str> {
        (nodes < self.nodes_min).then_some(self.few)
    }
}

/// Whether members are in clusters, which own items.
pub(crate) fn has_clusters(protocol: ProtocolKind) -> bool {
    protocol.wish(Wish::Read { item: 1 }).is_some()
}

/// Members dealt out to clusters in a row, from 1, the first ones larger where it does not come out even.
pub(crate) fn dealt(nodes: u16, clusters: u16) -> Vec<GroupId> {
    let size = |cluster: u16| nodes / clusters + u16::from(cluster < nodes % clusters);
    let members = |cluster| std::iter::repeat_n(GroupId(cluster + 1), usize::from(size(cluster)));
    (0..clusters).flat_map(members).collect()
}

/// The sample of a protocol.
pub(crate) fn sample(protocol: ProtocolKind) -> Sample {
    match protocol {
        ProtocolKind::TwoPhase => Sample {
            request: "event = \"withdraw-1\"\namount = 25\n",
            soak: Soak {
                config: "gc_after_ms = 600000\n",
                environment: "utxos = 100\namount = 10000000\nblocks_per_second = 100\n",
            },
            instance: None,
            end: "completed",
            submit: "--event withdraw-1 --amount 25",
            sections: TWO_PHASE,
            nodes_min: 2,
            few: "threshold_m = 1",
        },
        ProtocolKind::Sharded2pc => Sample {
            request: "transfer = { sender = 1, receiver = 2, amount = 5 }\n",
            soak: Soak {
                config: "",
                environment: "",
            },
            instance: Some("2pc-1-1"),
            end: "committed",
            submit: "--from 1001 --to 1002 --amount 5",
            sections: SHARDED_2PC,
            nodes_min: 1,
            few: "",
        },
        ProtocolKind::Snowball => Sample {
            request: "from = \"alice\"\nto = \"bob\"\namount = 25\n",
            soak: Soak {
                config: "",
                environment: "",
            },
            instance: None,
            end: "in block",
            submit: "--from alice --to bob --amount 25",
            sections: SNOWBALL,
            nodes_min: 1,
            few: "",
        },
    }
}

const SNOWBALL: &str = "\
[snowball]
sample_size = 20                    # all others where there are fewer; the alphas shrink with it
alpha_preference = 15               # votes of a poll that strengthen a choice
alpha_confidence = 15               # votes of a poll that count towards finality
finality_confidence = 20            # successful polls in a row
vote_timeout_ms = 500               # longer once votes came later
inter_round_delay_ms = 100
max_rounds = 10                     # of the document's rules; hardened ones have no last round
block_interval_ms = 1000
sync_ms = 5000
weights = []                        # [node, weight] where it is not 1
";

const SHARDED_2PC: &str = "\
# Each group of members is a cluster; a member without a group is in group 0.
[sharded_2pc]
items_per_cluster = 3000            # 1 to 3000 are in the first cluster, 3001 to 6000 in the second
initial_balance = 10
heartbeat_ms = 50
election_timeout_ms = 200           # up to twice as long, at random
prepare_timeout_ms = 1000
resend_ms = 100
lock_retries = 5
lock_retry_ms = 20                  # up to twice as long, at random
snapshot_every = 128                # entries
";

const TWO_PHASE: &str = "\
[two_phase]
threshold_m = 2                     # partial signatures that make a transaction valid
proposal_timeout_ms = 5000
commit_quorum = 0                   # 0: the larger of threshold_m and a majority
min_input_score_depth = 0           # 0: the larger of 300 and finality_blue_score_threshold
revalidate_inputs_on_commit = true

[two_phase.retry]
max_retries = 3
base_delay_ms = 5000
max_delay_ms = 30000
backoff_multiplier = 2.0
jitter_ms = 250

# The chain outside, simulated; only its host reads this, and it is not hashed.
[chain]
delay_ms = 100                      # until a reported transaction is included
utxos = 1000                        # outputs that the group owns at first; an event spends one or more
amount = 1000                       # what each holds
blocks_per_second = 100             # change can be spent again after 3 s, at a depth of 300
";

/// The genesis file of a new cluster, as text.
pub(crate) fn text(protocol: ProtocolKind, name: &str, members: &[Member]) -> String {
    let mut text = format!(
        "# The same file at every member: its hash stands in every envelope and every vote.\n\
         # Change it before the first start; afterwards it is another cluster.\n\
         protocol = \"{}\"\n\
         rules = \"hardened\"\n\
         name = \"{name}\"\n",
        protocol.name()
    );
    for member in members {
        let group = if member.group == GroupId(0) {
            String::new()
        } else {
            format!("group = {}\n", member.group.0)
        };
        text.push_str(&format!(
            "\n[[member]]\nid = {}\n{group}key = \"{}\"\n",
            member.id.0,
            Hash32(member.key.0)
        ));
    }
    text.push('\n');
    let sample = sample(protocol);
    let few = sample.config_for(members.len() as u16);
    let key = |line: &'static str| line.split('=').next();
    for line in sample.sections.lines() {
        let instead = few.filter(|few| key(few) == key(line));
        text.push_str(instead.unwrap_or(line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::crypto::Signer;

    fn members(count: u16) -> Vec<Member> {
        let key = |id: u16| Signer::from_seed(Crypto::Ed25519, &[id as u8; 32]).public();
        (1..=count)
            .map(|id| Member {
                id: NodeId(id),
                group: GroupId(0),
                key: key(id),
            })
            .collect()
    }

    fn parse(source: &str) -> Result<GenesisFile, String> {
        GenesisFile::parse(Path::new("genesis.toml"), source).map_err(|error| error.to_string())
    }

    #[test]
    fn what_init_writes_is_read_back_and_means_the_defaults() {
        for kind in ProtocolKind::ALL.iter().copied() {
            // Nobody polls itself.
            let least = if kind.spec().is_sampled() { 2 } else { 1 };
            parse(&text(kind, "test", &members(least))).unwrap();
            let file = parse(&text(kind, "test", &members(3))).unwrap();
            assert_eq!(
                file.genesis.config,
                kind.default_config(),
                "{}",
                kind.name()
            );
            assert_eq!(
                (file.genesis.members, file.genesis.name.as_str()),
                (members(3), "test")
            );
            let request = kind.parse_request("sample", sample(kind).request).unwrap();
            assert!(kind.request_name(&request).is_some());
            assert!(
                kind.spec()
                    .phases
                    .iter()
                    .any(|phase| phase.name == sample(kind).end && phase.terminal)
            );
        }
    }

    #[test]
    fn errors_name_the_line_of_the_whole_file() {
        let good = text(ProtocolKind::TwoPhase, "test", &members(3));
        let cases = [
            (
                "protocol = \"two-phase\"",
                "protocol = \"two-fase\"",
                "genesis.toml:3: no protocol \"two-fase\"",
            ),
            (
                "rules =",
                "roles =",
                "genesis.toml:4: unknown key \"roles\"; did you mean rules?",
            ),
            (
                "commit_quorum = 0 ",
                "comit_quorum = 0 ",
                "unknown key \"comit_quorum\"; did you mean commit_quorum?",
            ),
            (
                "jitter_ms = 250",
                "jitter = 250",
                "unknown key \"jitter\"; did you mean jitter_ms?",
            ),
            (
                "[two_phase]\n",
                "[two_phase]\nenabled = false\n",
                "enabled: expected true",
            ),
        ];
        for (from, to, expected) in cases {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            let error = parse(&bad).unwrap_err();
            assert!(error.contains(expected), "{error}");
            let changed = bad
                .lines()
                .zip(good.lines())
                .position(|(a, b)| a != b)
                .unwrap()
                + 1;
            assert!(
                error.starts_with(&format!("genesis.toml:{changed}: ")),
                "{error}"
            );
        }
        let on = good.replacen(
            "[two_phase]\n",
            "[two_phase]\nenabled = true  # as the document has it\n",
            1,
        );
        assert_eq!(
            parse(&on).unwrap().genesis.hash(),
            parse(&good).unwrap().genesis.hash()
        );
    }

    #[test]
    fn an_impossible_quorum_is_refused_with_its_line() {
        let good = text(ProtocolKind::TwoPhase, "test", &members(3));
        let error = parse(&good.replace("commit_quorum = 0 ", "commit_quorum = 9 ")).unwrap_err();
        let line = line_of(&good, "commit_quorum").unwrap();
        assert!(
            error.starts_with(&format!(
                "genesis.toml:{line}: commit_quorum = 9: expected 2 to 3"
            )),
            "{error}"
        );
        let error = parse(&good.replace("amount = 1000 ", "amount = 0 ")).unwrap_err();
        assert!(error.contains("amount = 0: expected 1 to"), "{error}");
    }
}
