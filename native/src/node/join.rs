//! `phaselab node --join`: takes a seat in the lobby of a hybrid cluster, and becomes a member once it begins.
//!
//! The key is made in the node's own store, and only its public half is sent. What comes back is written down before the
//! node starts: `genesis.toml`, and last `node-3.toml`. A folder that has it is a node like any other.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::engine::Genesis;
use phaselab_core::gateway::{FromGateway, Invite, Place, Placed, ToGateway, sign_join};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::NodeId;

use crate::config::{NodeConfig, in_folder};
use crate::failure::{Failure, Outcome, io_words};
use crate::genesis::GenesisFile;
use crate::init::entropy;
use crate::net::gateway::{Challenged, GatewayAddress};
use crate::store::{Store, create_private};
use crate::terminal::Screen;

const GENESIS: &str = "genesis.toml";
const STORE: &str = "node.redb";

/// How long a gateway that was reached once may be gone.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Joins if the folder is not a member's already; the configuration to run with.
///
/// # Errors
/// Why there is no seat, or a file that cannot be written.
pub(super) async fn join(
    address: &GatewayAddress,
    invite: &Invite,
    dir: &Path,
) -> Result<PathBuf, Failure> {
    let before = in_folder(dir).ok();
    if let Some((_, config)) = before.and_then(|mut before| before.pop_first()) {
        let gateway = NodeConfig::load(&config)?.gateway;
        if gateway.as_ref() == Some(address) {
            return Ok(config);
        }
        let what = format!("this node is not one of {address}; choose another --dir");
        return Err(Failure::in_file(&config, what));
    }
    std::fs::create_dir_all(dir).map_err(|error| Failure::in_file(dir, io_words(&error)))?;
    let signer = signer(&dir.join(STORE))?;
    let (genesis, text) = wait_for_genesis(address, invite, &signer).await?;
    let (id, config) = write_files(address, dir, &signer, &genesis, &text)?;
    Screen::stdout().line(&format!(
        "began   node {} of {}; from now on: phaselab node --config {}",
        id.0,
        genesis.members.len(),
        config.display()
    ));
    Ok(config)
}

/// The key of the store, which is made if there is none.
fn signer(path: &Path) -> Result<Signer, Failure> {
    let wrong = |error: crate::store::StoreError| Failure::Input(error.to_string());
    if !path.exists() {
        Store::create(path, &entropy()?).map_err(wrong)?;
    }
    // A store that has only a key is of no protocol yet.
    let store = Store::open(path, ProtocolKind::ALL[0]).map_err(wrong)?;
    Ok(Signer::from_seed(
        Crypto::Ed25519,
        &store.secret().map_err(wrong)?,
    ))
}

/// Takes the seat, and waits in the lobby.
async fn wait_for_genesis(
    address: &GatewayAddress,
    invite: &Invite,
    signer: &Signer,
) -> Result<(Genesis, String), Failure> {
    let mut shown = None;
    loop {
        match visit(address, invite, signer, &mut shown).await {
            Ok(begun) => return Ok(begun),
            Err(Visit::Refused(why)) => {
                return Err(Failure::Input(format!("{address}: {why}")));
            }
            Err(Visit::Lost(why)) if shown.is_none() => {
                return Err(Failure::Input(format!(
                    "{address}: {why}; is `phaselab serve --lobby` running there?"
                )));
            }
            // It was there: the seat is kept.
            Err(Visit::Lost(_)) => tokio::time::sleep(RETRY_EVERY).await,
        }
    }
}

enum Visit {
    Refused(String),
    Lost(String),
}

async fn visit(
    address: &GatewayAddress,
    invite: &Invite,
    signer: &Signer,
    shown: &mut Option<Vec<Placed>>,
) -> Result<(Genesis, String), Visit> {
    let mut socket = Challenged::connect(address).await.map_err(Visit::Lost)?;
    let join = ToGateway::Join {
        invite: *invite,
        key: signer.public(),
        place: Place::Terminal,
        proof: sign_join(signer, &socket.nonce, invite),
    };
    socket.send(&join).await.map_err(Visit::Lost)?;
    loop {
        match socket.next().await.map_err(Visit::Lost)? {
            FromGateway::Lobby {
                you,
                needed,
                joined,
            } if shown.as_ref() != Some(&joined) => {
                Screen::stdout().line(&format!(
                    "lobby   node {}: {} of {needed} have joined",
                    you.0,
                    joined.len()
                ));
                *shown = Some(joined);
            }
            FromGateway::Begun { genesis, text, .. } => return Ok((genesis, text)),
            FromGateway::Refused(why) => return Err(Visit::Refused(why)),
            _ => {}
        }
    }
}

/// Writes what was agreed on, after a look at it: the node's own key must stand in it, and text and bytes must agree.
fn write_files(
    address: &GatewayAddress,
    dir: &Path,
    signer: &Signer,
    genesis: &Genesis,
    text: &str,
) -> Result<(NodeId, PathBuf), Failure> {
    let refuse = |what: &str| Failure::Failed(format!("{address}: the genesis {what}"));
    let own = signer.public();
    let Some(member) = genesis.members.iter().find(|member| member.key == own) else {
        return Err(refuse("does not have this node's key"));
    };
    let path = dir.join(GENESIS);
    // From an attempt that was ended before the configuration was written.
    let _ = std::fs::remove_file(&path);
    write_new(&path, text)?;
    if GenesisFile::load(&path)?.genesis.hash() != genesis.hash() {
        return Err(refuse("is not the one of its text"));
    }
    let config = dir.join(format!("node-{}.toml", member.id.0));
    write_new(&config, &config_text(member.id, address))?;
    Ok((member.id, config))
}

fn config_text(id: NodeId, address: &GatewayAddress) -> String {
    format!(
        "# Node {number} of a hybrid cluster. Paths are relative to this file.\n\
         id = {number}\n\
         genesis = \"{GENESIS}\"\n\
         # Its key and its votes, together.\n\
         store = \"{STORE}\"\n\
         # QUIC over UDP; the control API takes the same port of the loopback over TCP. 0: a free one at each start.\n\
         listen = \"127.0.0.1:0\"\n\
         # Every member is reached through it, and the world outside too. A member that a [[peer]] with an address names\n\
         # is reached directly whenever that goes.\n\
         gateway = \"{address}\"\n",
        number = id.0,
    )
}

fn write_new(path: &Path, text: &str) -> Outcome {
    let written = create_private(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::in_file(path, io_words(&error)))
}
