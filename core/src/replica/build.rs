//! What a node needs to know before it exists, and why there may be none.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use crate::codec;
use crate::crypto::{Keyring, KeyringError, Signer};
use crate::engine::{Env, Genesis, Protocol};
use crate::flaw;
use crate::store::RecoverError;
use crate::types::NodeId;

/// Prepares a node's environment from the genesis.
///
/// # Errors
/// See [`BuildError`].
pub fn env<P: Protocol>(
    genesis: &Genesis,
    id: NodeId,
    signer: Signer,
) -> Result<Env<P>, BuildError> {
    let keyring = Keyring::new(genesis.crypto, &genesis.members).map_err(BuildError::Keyring)?;
    let config: P::Config = codec::decode(&genesis.config)
        .map_err(|_| BuildError::Config("not of this protocol".into()))?;
    let flaws = flaw::check::<P>(genesis.rules, &genesis.flaws).map_err(BuildError::Config)?;
    P::check_config(&config, &genesis.members, genesis.rules, flaws).map_err(BuildError::Config)?;
    let shared = Env {
        id,
        rules: genesis.rules,
        flaws,
        genesis: genesis.hash(),
        keyring: Arc::new(keyring),
        config: Arc::new(config),
        signer,
    };
    shared.check_identity(genesis)
}

impl<P: Protocol> Env<P> {
    /// The same cluster as another member sees it.
    ///
    /// # Errors
    /// `NotAMember` if the key is not the one that genesis registers for this id.
    pub fn for_member(
        &self,
        genesis: &Genesis,
        id: NodeId,
        signer: Signer,
    ) -> Result<Env<P>, BuildError> {
        Env {
            id,
            signer,
            ..self.clone()
        }
        .check_identity(genesis)
    }

    fn check_identity(self, genesis: &Genesis) -> Result<Env<P>, BuildError> {
        let registered = genesis.members.iter().find(|member| member.id == self.id);
        match registered {
            Some(member) if member.key == self.signer.public() => Ok(self),
            _ => Err(BuildError::NotAMember { node: self.id }),
        }
    }
}

/// Why a node cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The members cannot be a keyring.
    Keyring(KeyringError),
    /// The parameters make no sense.
    Config(String),
    /// The key is not the one registered for this id.
    NotAMember {
        /// The id.
        node: NodeId,
    },
    /// The store does not give a state back.
    Recover(RecoverError),
    /// No protocol has this tag.
    UnknownProtocol(u8),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Keyring(error) => error.fmt(f),
            BuildError::Config(what) => f.write_str(what),
            BuildError::NotAMember { node } => write!(
                f,
                "the key is not the one that genesis registers for {node}"
            ),
            BuildError::Recover(error) => error.fmt(f),
            BuildError::UnknownProtocol(tag) => write!(f, "no protocol has the tag {tag}"),
        }
    }
}

impl core::error::Error for BuildError {}
