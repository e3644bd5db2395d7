//! A node's own configuration file: who it is, where its files are, and where the others listen.
//!
//! ```toml
//! id = 1
//! genesis = "genesis.toml"     # paths are relative to this file
//! store = "node-1.redb"
//! listen = "127.0.0.1:4701"    # QUIC over UDP; the control API takes the same port of the loopback over TCP
//! [chain]
//! host = true                  # this node hosts the world outside, unless someone else already does
//! address = "127.0.0.1:4799"
//! listen = "0.0.0.0:4799"      # where the host listens, if not at that address
//! [metrics]                    # /metrics and /healthz; off without this section
//! listen = "127.0.0.1:9101"
//! [log]
//! filter = "info"
//! format = "text"              # or json
//! [network]                    # relays, discovery, rates: see net/options.rs
//! packets_per_second = 20000
//! [recording]                  # what happens to the node, for `phaselab replay`; off without this section
//! enabled = true
//! max_bytes = 67108864         # of all its recordings; the oldest make room
//! gateway = "http://127.0.0.1:4700"   # instead of [chain]: a hybrid cluster, whose gateway hosts the world outside
//! [[peer]]
//! id = 2
//! address = "127.0.0.1:4702"
//! ```
//!
//! What differs from one start to the next can be said outside the file: an option of `phaselab node` counts more than
//! the environment, and the environment more than the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::protocol;
use phaselab_core::replica::Replica;
use phaselab_core::scenario::{self, ScenarioError};
use phaselab_core::store::Rows;
use phaselab_core::types::NodeId;
use serde::{Deserialize, Deserializer};

use crate::failure::{Failure, read_text};
use crate::genesis::{GenesisFile, line_of};
use crate::init::entropy;
use crate::log::{LogArgs, LogFormat, filter};
use crate::net::NetworkOptions;
use crate::net::gateway::GatewayAddress;
use crate::recording::RecordingOptions;

/// What an option or the environment says instead of the file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Overrides {
    /// Listen here instead of at the configured address, such as 0.0.0.0:4701
    #[arg(long, value_name = "IP:PORT", env = "PHASELAB_LISTEN", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Listen at this port instead of the configured one; 0 takes a free one
    #[arg(long, value_name = "P")]
    pub(crate) port: Option<u16>,
    /// Open this store instead of the configured one
    #[arg(long, value_name = "FILE", env = "PHASELAB_STORE")]
    pub(crate) store: Option<PathBuf>,
    /// Serve /metrics and /healthz here, such as 127.0.0.1:9101
    #[arg(long, value_name = "IP:PORT", env = "PHASELAB_METRICS", value_parser = address)]
    pub(crate) metrics: Option<SocketAddr>,
    /// What to log, to standard error: a level, or directives such as phaselab=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "PHASELAB_LOG", value_parser = filter)]
    pub(crate) log: Option<String>,
    /// text for people, or json: one object per line [default: text]
    #[arg(
        long,
        value_name = "FORM",
        env = "PHASELAB_LOG_FORMAT",
        hide_possible_values = true,
        value_enum
    )]
    pub(crate) log_format: Option<LogFormat>,
}

/// The environment that speaks of one node: whoever starts several takes it away from them.
pub(crate) const ENVIRONMENT_OF_ONE: [&str; 5] = [
    "PHASELAB_CONFIG",
    "PHASELAB_LISTEN",
    "PHASELAB_STORE",
    "PHASELAB_METRICS",
    "PHASELAB_LOG_FORMAT",
];

/// A node's configuration, with paths that can be opened.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    /// The file.
    pub(crate) path: PathBuf,
    /// Which member it is.
    pub(crate) id: NodeId,
    /// The genesis, read.
    pub(crate) genesis: GenesisFile,
    /// The store.
    pub(crate) store: PathBuf,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where the others listen, as far as it is told.
    pub(crate) peers: BTreeMap<NodeId, SocketAddr>,
    /// The world outside.
    pub(crate) chain: Option<ChainConfig>,
    /// The gateway, in a hybrid cluster.
    pub(crate) gateway: Option<GatewayAddress>,
    /// Where `/metrics` and `/healthz` are served.
    pub(crate) metrics: Option<SocketAddr>,
    /// What is logged, and how.
    pub(crate) log: LogArgs,
    /// How it finds its peers, and how fast they may send.
    pub(crate) network: NetworkOptions,
    /// Whether it records itself.
    pub(crate) recording: RecordingOptions,
}

/// Where the world outside is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainConfig {
    /// Whether this node hosts it.
    #[serde(default)]
    pub(crate) host: bool,
    /// Where nodes reach it.
    #[serde(deserialize_with = "told_address")]
    pub(crate) address: SocketAddr,
    /// Where its host listens, if not there.
    #[serde(default, deserialize_with = "told_address_if_any")]
    pub(crate) listen: Option<SocketAddr>,
}

impl ChainConfig {
    /// Where its host listens.
    pub(crate) fn listens_at(&self) -> SocketAddr {
        self.listen.unwrap_or(self.address)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    id: u16,
    genesis: PathBuf,
    store: PathBuf,
    #[serde(deserialize_with = "told_address")]
    listen: SocketAddr,
    chain: Option<ChainConfig>,
    gateway: Option<String>,
    metrics: Option<MetricsText>,
    #[serde(default)]
    log: LogText,
    #[serde(default)]
    network: NetworkOptions,
    #[serde(default)]
    recording: RecordingOptions,
    #[serde(default)]
    peer: Vec<PeerText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsText {
    #[serde(deserialize_with = "told_address")]
    listen: SocketAddr,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogText {
    filter: Option<String>,
    format: Option<LogFormat>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerText {
    id: u16,
    #[serde(deserialize_with = "told_address")]
    address: SocketAddr,
}

impl NodeConfig {
    /// Reads a node's configuration and its genesis.
    ///
    /// # Errors
    /// What is wrong, where, and what was expected.
    pub(crate) fn load(path: &Path) -> Result<NodeConfig, Failure> {
        NodeConfig::load_with(path, &Overrides::default())
    }

    /// The same, with what an option or the environment says instead.
    ///
    /// # Errors
    /// What is wrong, where, and what was expected.
    pub(crate) fn load_with(path: &Path, given: &Overrides) -> Result<NodeConfig, Failure> {
        let source = read_text(path)?;
        let file = path.display().to_string();
        let text: Text = scenario::from_toml(&file, &source)?;
        let refuse = |key: &str, message: String| -> Failure {
            ScenarioError {
                file: file.clone(),
                line: line_of(&source, key),
                message,
            }
            .into()
        };
        let beside = |named: &Path| path.parent().unwrap_or(Path::new("")).join(named);
        let genesis_path = beside(&text.genesis);
        if !genesis_path.is_file() {
            return Err(refuse(
                "genesis",
                format!("genesis {} does not exist", genesis_path.display()),
            ));
        }
        let genesis = GenesisFile::load(&genesis_path)?;
        let id = NodeId(text.id);
        let known = || {
            genesis
                .ids()
                .iter()
                .map(|id| id.0.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        if genesis.member(id).is_none() {
            return Err(refuse(
                "id",
                format!("id = {}: not a member; genesis has {}", id.0, known()),
            ));
        }
        let mut peers = BTreeMap::new();
        for peer in &text.peer {
            let peer_id = NodeId(peer.id);
            let wrong = if genesis.member(peer_id).is_none() {
                Some(format!(
                    "peer {}: not a member; genesis has {}",
                    peer.id,
                    known()
                ))
            } else if peer_id == id {
                Some(format!("peer {}: that is this node itself", peer.id))
            } else if peers.insert(peer_id, peer.address).is_some() {
                Some(format!("peer {}: named twice", peer.id))
            } else {
                None
            };
            if let Some(message) = wrong {
                return Err(refuse("[[peer]]", message));
            }
        }
        let store = match &given.store {
            Some(store) if !store.exists() => {
                return Err(Failure::in_file(
                    store,
                    "no such store; `phaselab keygen --store` makes one, with a key that genesis must register",
                ));
            }
            Some(store) => store.clone(),
            None => beside(&text.store),
        };
        if !store.exists() {
            let message = format!(
                "store {} does not exist; `phaselab keygen --store` makes one, with a key that genesis must register",
                store.display()
            );
            return Err(refuse("store", message));
        }
        let log_filter = match (&given.log, &text.log.filter) {
            (Some(log), _) => log.clone(),
            (None, Some(told)) => filter(told)
                .map_err(|why| refuse("filter", format!("filter = \"{told}\": {why}")))?,
            (None, None) => LogArgs::default().log,
        };
        let gateway = match &text.gateway {
            Some(_) if text.chain.is_some() => {
                let message =
                    "gateway and [chain]: expected one of them; a gateway hosts the world outside";
                return Err(refuse("gateway", message.to_owned()));
            }
            Some(told) => Some(
                told.parse()
                    .map_err(|why| refuse("gateway", format!("gateway = {why}")))?,
            ),
            None => None,
        };
        let mut listen = given.listen.unwrap_or(text.listen);
        if let Some(port) = given.port {
            listen.set_port(port);
        }
        Ok(NodeConfig {
            path: path.to_owned(),
            id,
            genesis,
            store,
            listen,
            peers,
            chain: text.chain,
            gateway,
            metrics: given.metrics.or(text.metrics.map(|metrics| metrics.listen)),
            log: LogArgs {
                log: log_filter,
                log_format: given.log_format.or(text.log.format).unwrap_or_default(),
            },
            network: text.network,
            recording: text.recording,
        })
    }

    /// The node's replica, as it is in these rows.
    ///
    /// # Errors
    /// Why there can be none, with the file that is to blame.
    pub(crate) fn replica(
        &self,
        secret: &[u8; 32],
        rows: &Rows,
    ) -> Result<Box<dyn Replica>, Failure> {
        let signer = Signer::from_seed(Crypto::Ed25519, secret);
        self.replica_of(signer, rows, entropy()?)
    }

    /// The same with a key that someone hears, and the seed of the life's entropy.
    ///
    /// # Errors
    /// Why there can be none, with the file that is to blame.
    pub(crate) fn replica_of(
        &self,
        signer: Signer,
        rows: &Rows,
        seed: [u8; 32],
    ) -> Result<Box<dyn Replica>, Failure> {
        let genesis = &self.genesis;
        protocol::build(&genesis.genesis, self.id, signer, rows, seed)
            .map_err(|error| genesis.refuse(&self.store, &error))
    }

    /// The file in which a running node leaves the address and the token of its control API.
    pub(crate) fn control_file(&self) -> PathBuf {
        control_file(&self.path)
    }

    /// The file in which a host of the world outside keeps its state.
    pub(crate) fn chain_file(&self) -> PathBuf {
        self.genesis.path.with_file_name("chain.state")
    }
}

/// An IP address with its port.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an IP address with a port, such as 127.0.0.1:4701 or [::1]:4701".to_owned()
    })
}

fn told_address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    address(&text).map_err(|expected| serde::de::Error::custom(format!("\"{text}\": {expected}")))
}

fn told_address_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    told_address(from).map(Some)
}

/// The control file that belongs to a configuration file.
pub(crate) fn control_file(config: &Path) -> PathBuf {
    config.with_extension("control")
}

/// The configuration files of a folder that `init` wrote, by node number.
///
/// # Errors
/// If there is no such folder, or none of a node in it.
pub(crate) fn in_folder(dir: &Path) -> Result<BTreeMap<NodeId, PathBuf>, Failure> {
    let missing = || {
        Failure::in_file(
            dir,
            "no cluster here; `phaselab cluster` starts one, `phaselab init` prepares one, --dir names another folder",
        )
    };
    let entries = std::fs::read_dir(dir).map_err(|_| missing())?;
    let mut found = BTreeMap::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix("node-")?
                .strip_suffix(".toml")?
                .parse()
                .ok()
        });
        if let Some(number) = number {
            found.insert(NodeId(number), entry.path());
        }
    }
    if found.is_empty() {
        Err(missing())
    } else {
        Ok(found)
    }
}
