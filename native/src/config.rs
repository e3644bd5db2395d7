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
//! [[peer]]
//! id = 2
//! address = "127.0.0.1:4702"
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::protocol;
use phaselab_core::replica::Replica;
use phaselab_core::scenario::{self, ScenarioError};
use phaselab_core::store::Rows;
use phaselab_core::types::NodeId;
use serde::Deserialize;

use crate::failure::{Failure, read_text};
use crate::genesis::{GenesisFile, line_of};
use crate::init::entropy;

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
}

/// Where the world outside is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainConfig {
    /// Whether this node hosts it.
    #[serde(default)]
    pub(crate) host: bool,
    /// Where it listens: on the loopback.
    pub(crate) address: SocketAddr,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    id: u16,
    genesis: PathBuf,
    store: PathBuf,
    listen: SocketAddr,
    chain: Option<ChainConfig>,
    #[serde(default)]
    peer: Vec<PeerText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerText {
    id: u16,
    address: SocketAddr,
}

impl NodeConfig {
    /// Reads a node's configuration and its genesis.
    ///
    /// # Errors
    /// What is wrong, where, and what was expected.
    pub(crate) fn load(path: &Path) -> Result<NodeConfig, Failure> {
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
        let store = beside(&text.store);
        if !store.exists() {
            let message = format!(
                "store {} does not exist; `phaselab keygen --store` makes one, with a key that genesis must register",
                store.display()
            );
            return Err(refuse("store", message));
        }
        if let Some(chain) = text
            .chain
            .as_ref()
            .filter(|chain| !chain.address.ip().is_loopback())
        {
            return Err(refuse(
                "[chain",
                format!(
                    "chain address {}: expected one of the loopback",
                    chain.address
                ),
            ));
        }
        Ok(NodeConfig {
            path: path.to_owned(),
            id,
            genesis,
            store,
            listen: text.listen,
            peers,
            chain: text.chain,
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
        let genesis = &self.genesis;
        let signer = Signer::from_seed(Crypto::Ed25519, secret);
        protocol::build(&genesis.genesis, self.id, signer, rows, entropy()?)
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
