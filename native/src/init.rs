//! `phaselab keygen` and `phaselab init`: stores with fresh keys, and the files of a cluster.
//!
//! A cluster is of one machine (`--nodes`), of several with all keys made here (`--host`), or of several that keep their
//! own (`--member`): each makes its store with `keygen`, and only public keys are brought together.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use phaselab_core::crypto::{Crypto, Member, PublicKey, Signer};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{GroupId, Hash32};

use crate::cli::choose::protocol;
use crate::failure::{Failure, Outcome, io_words};
use crate::genesis;
use crate::store::{Store, create_private};
use crate::terminal::Screen;

mod next;
mod place;
mod ports;
mod text;

use place::{HostText, MemberText, Plan};

/// Options of `keygen`.
#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// The store to create; the key never leaves it
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
}

/// Options of `init`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArgs {
    /// Which protocol the cluster runs
    #[arg(long, value_name = "P", value_parser = protocol, default_value = "two-phase")]
    protocol: ProtocolKind,
    /// How many nodes on this machine
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=NODES_MAX))]
    nodes: u16,
    /// In how many clusters the nodes are, for a protocol that has clusters; one for every three nodes unless told
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    clusters: Option<u16>,
    /// A member on another machine, where the others reach it; once for each. Its store is made here, to be moved there
    #[arg(long = "host", value_name = "IP[:PORT]", value_parser = HostText::parse, conflicts_with = "nodes")]
    hosts: Vec<HostText>,
    /// A member that has its store already, with the public key that keygen printed there; once for each
    #[arg(long = "member", value_name = "IP[:PORT]=KEY", value_parser = MemberText::parse, conflicts_with_all = ["nodes", "hosts"])]
    members: Vec<MemberText>,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Node k listens at this port + k - 1; 0 takes free ones. Members of their own machines all listen at this port
    #[arg(long, value_name = "PORT", default_value_t = BASE_PORT)]
    base_port: u16,
    /// Node k serves /metrics and /healthz at this port + k - 1 of the loopback; 0 takes free ones
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
}

/// A cluster on one machine.
#[derive(Clone, Debug)]
pub(crate) struct LocalCluster {
    /// What it runs.
    pub(crate) protocol: ProtocolKind,
    /// How many nodes.
    pub(crate) nodes: u16,
    /// In how many clusters; as many as the protocol has by default unless told.
    pub(crate) clusters: Option<u16>,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// The port of node 1; 0 takes free ones.
    pub(crate) base_port: u16,
}

/// Where a cluster lives unless told.
pub(crate) const DIR_DEFAULT: &str = "phaselab-cluster";
/// The port of node 1 unless told.
pub(crate) const BASE_PORT: u16 = 4701;
/// The most nodes that one machine is asked to run as processes.
pub(crate) const NODES_MAX: i64 = 64;

/// Creates one store.
pub(crate) fn keygen(args: &KeygenArgs) -> Outcome {
    let public = create_store(&args.store)?;
    Screen::stdout().line(&Hash32(public.0).to_string());
    Ok(())
}

/// Writes a cluster's files, and says what comes next.
pub(crate) fn run(args: &InitArgs) -> Outcome {
    let plan = if !args.members.is_empty() {
        Plan::of_members(&args.members, args.base_port, args.metrics_port)?
    } else if !args.hosts.is_empty() {
        Plan::of_hosts(&args.hosts, args.base_port, args.metrics_port)?
    } else {
        Plan::local(args.nodes, args.base_port, args.metrics_port)?
    };
    write(&plan, args.protocol, args.clusters, &args.dir)?;
    next::say(&plan, args.protocol, &args.dir);
    Ok(())
}

/// Writes genesis, configuration and stores into a folder that has none of them yet.
///
/// # Errors
/// If a file of a cluster is there already, or a file cannot be written.
pub(crate) fn write_cluster(cluster: &LocalCluster) -> Outcome {
    let plan = Plan::local(cluster.nodes, cluster.base_port, None)?;
    write(&plan, cluster.protocol, cluster.clusters, &cluster.dir)
}

fn write(plan: &Plan, protocol: ProtocolKind, clusters: Option<u16>, dir: &Path) -> Outcome {
    let groups = groups(protocol, plan.places.len() as u16, clusters)?;
    std::fs::create_dir_all(dir).map_err(|error| Failure::in_file(dir, io_words(&error)))?;
    let genesis_path = dir.join("genesis.toml");
    let is_taken = genesis_path.exists() || crate::config::in_folder(dir).is_ok();
    if is_taken {
        return Err(Failure::in_file(
            dir,
            "a cluster is here already, and its keys and votes are not overwritten; choose another --dir",
        ));
    }
    let mut members = Vec::new();
    for (place, group) in plan.places.iter().zip(groups) {
        let key = match place.key {
            Some(key) => key,
            None => create_store(&dir.join(place.store_name()))?,
        };
        members.push(Member {
            id: place.id,
            group,
            key,
        });
    }
    for place in &plan.places {
        let path = dir.join(place.config_name());
        write_new(&path, &text::of_node(place, plan, protocol))?;
    }
    // Random, so that two clusters in the same place never take one another's votes for their own.
    let name = format!("phaselab-{}", &Hash32(entropy()?).to_string()[..16]);
    // Last: a folder with a genesis is complete.
    write_new(&genesis_path, &genesis::text(protocol, &name, &members))
}

fn create_store(path: &Path) -> Result<PublicKey, Failure> {
    let secret = entropy()?;
    Store::create(path, &secret).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(Signer::from_seed(Crypto::Ed25519, &secret).public())
}

/// The cluster of each member.
fn groups(
    protocol: ProtocolKind,
    nodes: u16,
    clusters: Option<u16>,
) -> Result<Vec<GroupId>, Failure> {
    if nodes < 2 && protocol.spec().is_sampled() {
        return Err(Failure::Input(format!(
            "--nodes {nodes}: expected at least 2 of {}, since nobody polls itself",
            protocol.name()
        )));
    }
    let Some(told) = clusters else {
        return Ok(protocol.groups(nodes));
    };
    if !genesis::has_clusters(protocol) {
        return Err(Failure::Input(format!(
            "--clusters {told}: all members of {} are one; expected no --clusters",
            protocol.name()
        )));
    }
    if told > nodes {
        return Err(Failure::Input(format!(
            "--clusters {told}: expected 1 to {nodes}, a member for each"
        )));
    }
    Ok(genesis::dealt(nodes, told))
}

/// 32 bytes of the system's entropy.
///
/// # Errors
/// If the system has none.
pub(crate) fn entropy() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Failed(format!("the system gives no entropy: {error}")))?;
    Ok(bytes)
}

fn write_new(path: &Path, text: &str) -> Outcome {
    let written = create_private(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::in_file(path, io_words(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeConfig, in_folder};
    use crate::testing::scratch;
    use phaselab_core::types::NodeId;

    fn args(dir: &Path) -> LocalCluster {
        LocalCluster {
            protocol: ProtocolKind::TwoPhase,
            nodes: 3,
            clusters: None,
            dir: dir.to_owned(),
            base_port: BASE_PORT,
        }
    }

    #[test]
    fn members_are_dealt_out_to_clusters_in_a_row() {
        let numbers = |protocol, nodes, clusters| {
            let groups = groups(protocol, nodes, clusters)?;
            Ok::<_, Failure>(groups.iter().map(|group| group.0).collect::<Vec<_>>())
        };
        let sharded = ProtocolKind::Sharded2pc;
        let cases = [
            (9, None, vec![1, 1, 1, 2, 2, 2, 3, 3, 3]),
            (9, Some(2), vec![1, 1, 1, 1, 1, 2, 2, 2, 2]),
            (2, None, vec![0, 0]),
            (7, None, vec![1, 1, 1, 2, 2, 2, 2]),
            (7, Some(2), vec![1, 1, 1, 1, 2, 2, 2]),
            (3, Some(3), vec![1, 2, 3]),
        ];
        for (nodes, clusters, expected) in cases {
            assert_eq!(numbers(sharded, nodes, clusters), Ok(expected));
        }
        assert_eq!(numbers(ProtocolKind::TwoPhase, 3, None), Ok(vec![0, 0, 0]));
        for (protocol, nodes, expected) in [
            (sharded, 3, "--clusters 4: expected 1 to 3"),
            (
                ProtocolKind::TwoPhase,
                9,
                "all members of two-phase are one",
            ),
        ] {
            let refused = numbers(protocol, nodes, Some(4)).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }

    #[test]
    fn a_protocol_without_a_world_has_no_chain() {
        let dir = scratch("init-sharded");
        write_cluster(&LocalCluster {
            protocol: ProtocolKind::Sharded2pc,
            nodes: 9,
            ..args(&dir)
        })
        .unwrap();
        for path in in_folder(&dir).unwrap().values() {
            let config = NodeConfig::load(path).unwrap();
            assert!(config.chain.is_none());
            let members = &config.genesis.genesis.members;
            let of_second = members.iter().filter(|member| member.group == GroupId(2));
            let of_second: Vec<_> = of_second.map(|member| member.id.0).collect();
            assert_eq!(of_second, [4, 5, 6]);
        }
    }

    #[test]
    fn a_cluster_is_written_once_and_read_back() {
        let dir = scratch("init");
        write_cluster(&args(&dir)).unwrap();
        let found = in_folder(&dir).unwrap();
        assert_eq!(found.keys().map(|id| id.0).collect::<Vec<_>>(), [1, 2, 3]);
        let configs: Vec<_> = found
            .values()
            .map(|path| NodeConfig::load(path).unwrap())
            .collect();
        assert!(
            configs
                .windows(2)
                .all(|pair| pair[0].genesis.genesis.hash() == pair[1].genesis.genesis.hash())
        );
        assert_eq!(configs[0].listen.port(), 4701);
        assert_eq!(configs[2].peers[&NodeId(2)].port(), 4702);
        assert_eq!(
            configs
                .iter()
                .filter(|config| config.chain.as_ref().unwrap().host)
                .count(),
            1
        );
        let key = std::fs::read(dir.join("node-2.redb")).unwrap();
        assert!(
            write_cluster(&args(&dir))
                .unwrap_err()
                .to_string()
                .contains("not overwritten")
        );
        assert_eq!(std::fs::read(dir.join("node-2.redb")).unwrap(), key);
    }

    #[test]
    fn wrong_configuration_is_refused_with_its_line() {
        let dir = scratch("init-bad");
        write_cluster(&args(&dir)).unwrap();
        let path = dir.join("node-2.toml");
        let good = std::fs::read_to_string(&path).unwrap();
        let cases = [
            (
                "listen =",
                "lisen =",
                "unknown key \"lisen\"; did you mean listen?",
            ),
            ("node-2.redb", "node-9.redb", "node-9.redb does not exist"),
            (
                "id = 2",
                "id = 7",
                "id = 7: not a member; genesis has 1, 2, 3",
            ),
            ("genesis.toml", "other.toml", "other.toml does not exist"),
            (
                "127.0.0.1:4702",
                "here",
                "\"here\": expected an IP address with a port, such as 127.0.0.1:4701",
            ),
            (
                "# [metrics]\n# listen = \"127.0.0.1:9102\"",
                "[metrics]\nlisten = 9102",
                "expected a string",
            ),
            (
                "# [metrics]",
                "[log]\nfilter = \"loud\"",
                "filter = \"loud\": expected error, warn, info",
            ),
            (
                "# [metrics]",
                "[log]\nformat = \"xml\"",
                "expected `text` or `json`",
            ),
        ];
        for (from, to, expected) in cases {
            std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
            let error = NodeConfig::load(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(
                error.starts_with(&format!("{}:", path.display())),
                "{error}"
            );
        }
    }
}
