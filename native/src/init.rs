//! `phaselab keygen` and `phaselab init`: stores with fresh keys, and the files of a cluster.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use clap::Args;
use phaselab_core::crypto::{Crypto, Member, Signer};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{GroupId, Hash32, NodeId};

use crate::cli::choose::protocol;
use crate::failure::{Failure, Outcome, io_words};
use crate::genesis;
use crate::store::{Store, create_private};
use crate::terminal::Screen;

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
    pub(crate) protocol: ProtocolKind,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=NODES_MAX))]
    pub(crate) nodes: u16,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    pub(crate) dir: PathBuf,
    /// Node k listens at this port + k - 1; 0 takes free ones
    #[arg(long, value_name = "PORT", default_value_t = BASE_PORT)]
    pub(crate) base_port: u16,
}

/// Where a cluster lives unless told.
pub(crate) const DIR_DEFAULT: &str = "phaselab-cluster";
/// The port of node 1 unless told.
pub(crate) const BASE_PORT: u16 = 4701;
/// The most nodes that one machine is asked to run as processes.
const NODES_MAX: i64 = 64;
/// The port of the world outside beside the default ports: above those of [`NODES_MAX`] nodes.
const CHAIN_PORT: u16 = 4799;

/// Creates one store.
pub(crate) fn keygen(args: &KeygenArgs) -> Outcome {
    let public = create_store(&args.store)?;
    Screen::stdout().line(&Hash32(public.0).to_string());
    Ok(())
}

/// Writes a cluster's files.
pub(crate) fn run(args: &InitArgs) -> Outcome {
    write_cluster(args)?;
    let mut screen = Screen::stdout();
    let dir = args.dir.display();
    screen.line(&format!(
        "{dir}: genesis, and configuration and store of {} nodes",
        args.nodes
    ));
    screen.line(&format!(
        "start each in a terminal of its own: phaselab node --config {dir}/node-1.toml"
    ));
    screen.line(&format!("or all at once: phaselab cluster --dir {dir}"));
    Ok(())
}

/// Writes genesis, configuration and stores into a folder that has none of them yet.
///
/// # Errors
/// If a file of a cluster is there already, or a file cannot be written.
pub(crate) fn write_cluster(args: &InitArgs) -> Result<(), Failure> {
    let dir = &args.dir;
    std::fs::create_dir_all(dir).map_err(|error| Failure::in_file(dir, io_words(&error)))?;
    let genesis_path = dir.join("genesis.toml");
    let is_taken = genesis_path.exists() || crate::config::in_folder(dir).is_ok();
    if is_taken {
        return Err(Failure::in_file(
            dir,
            "a cluster is here already, and its keys and votes are not overwritten; choose another --dir",
        ));
    }
    let ports = ports(args.nodes, args.base_port)?;
    let mut members = Vec::new();
    for id in (1..=args.nodes).map(NodeId) {
        let key = create_store(&dir.join(format!("node-{}.redb", id.0)))?;
        members.push(Member {
            id,
            group: GroupId(0),
            key,
        });
    }
    for member in &members {
        let path = dir.join(format!("node-{}.toml", member.id.0));
        write_new(&path, &node_text(member.id, args.protocol, &ports))?;
    }
    // Random, so that two clusters in the same place never take one another's votes for their own.
    let name = format!("phaselab-{}", &Hash32(entropy()?).to_string()[..16]);
    // Last: a folder with a genesis is complete.
    write_new(
        &genesis_path,
        &genesis::text(args.protocol, &name, &members),
    )
}

fn node_text(id: NodeId, protocol: ProtocolKind, ports: &Ports) -> String {
    let address =
        |id: NodeId| SocketAddr::from((Ipv4Addr::LOCALHOST, ports.nodes[usize::from(id.0) - 1]));
    let mut text = format!(
        "# Node {number} of a {protocol} cluster. Paths are relative to this file.\n\
         id = {number}\n\
         genesis = \"genesis.toml\"\n\
         # Its key and its votes, together.\n\
         store = \"node-{number}.redb\"\n\
         # QUIC over UDP; the control API takes the same port of the loopback over TCP.\n\
         listen = \"{listen}\"\n\
         \n\
         # The world outside, simulated. One node hosts it, unless `phaselab cluster` does.\n\
         [chain]\n\
         host = {host}\n\
         address = \"127.0.0.1:{chain}\"\n",
        number = id.0,
        protocol = protocol.name(),
        listen = address(id),
        host = id == NodeId(1),
        chain = ports.chain,
    );
    for peer in (1..=ports.nodes.len() as u16)
        .map(NodeId)
        .filter(|peer| *peer != id)
    {
        text.push_str(&format!(
            "\n[[peer]]\nid = {}\naddress = \"{}\"\n",
            peer.0,
            address(peer)
        ));
    }
    text
}

struct Ports {
    nodes: Vec<u16>,
    chain: u16,
}

/// The ports of a cluster: from `base` upwards, or free ones of the system's choice.
fn ports(nodes: u16, base: u16) -> Result<Ports, Failure> {
    if base == 0 {
        let mut free = free_ports(usize::from(nodes) + 1)?;
        let chain = free.pop().expect("one more than nodes");
        return Ok(Ports { nodes: free, chain });
    }
    let last = base
        .checked_add(nodes - 1)
        .filter(|last| *last < u16::MAX)
        .ok_or_else(|| {
            Failure::Input(format!(
                "--base-port {base}: {nodes} nodes do not fit below 65535"
            ))
        })?;
    let chain = if base == BASE_PORT {
        CHAIN_PORT
    } else {
        last + 1
    };
    Ok(Ports {
        nodes: (base..=last).collect(),
        chain,
    })
}

/// Ports that are free over UDP and TCP alike at this moment, below those that systems give to outgoing connections.
fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    const RANGE: std::ops::Range<u16> = 20_000..32_000;
    let random = entropy()?;
    let first = u16::from_le_bytes([random[0], random[1]]) % RANGE.len() as u16;
    let candidates =
        (0..RANGE.len() as u16).map(|step| RANGE.start + (first + step) % RANGE.len() as u16);
    let is_free = |port: &u16| {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, *port));
        udp.is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let free: Vec<u16> = candidates.filter(is_free).take(count).collect();
    if free.len() == count {
        Ok(free)
    } else {
        Err(Failure::Failed("there are no free ports".to_owned()))
    }
}

fn create_store(path: &Path) -> Result<phaselab_core::crypto::PublicKey, Failure> {
    let secret = entropy()?;
    Store::create(path, &secret).map_err(|error| Failure::Input(error.to_string()))?;
    Ok(Signer::from_seed(Crypto::Ed25519, &secret).public())
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

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let written = create_private(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::in_file(path, io_words(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeConfig, in_folder};
    use crate::testing::scratch;

    fn args(dir: &Path) -> InitArgs {
        InitArgs {
            protocol: ProtocolKind::TwoPhase,
            nodes: 3,
            dir: dir.to_owned(),
            base_port: BASE_PORT,
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
                "127.0.0.1:4799",
                "10.0.0.1:4799",
                "expected one of the loopback",
            ),
            ("127.0.0.1:4702", "here", "invalid socket address"),
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

    #[test]
    fn ports_do_not_overlap() {
        let fixed = ports(64, BASE_PORT).unwrap();
        assert_eq!(
            (fixed.nodes[0], fixed.nodes[63], fixed.chain),
            (4701, 4764, 4799)
        );
        let other = ports(3, 9000).unwrap();
        assert_eq!((other.nodes, other.chain), (vec![9000, 9001, 9002], 9003));
        assert!(ports(64, 65500).is_err());
        let free = ports(5, 0).unwrap();
        let mut all = free.nodes.clone();
        all.push(free.chain);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
