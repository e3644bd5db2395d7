//! The folder of a hybrid cluster: its genesis, written once, and the state of the world outside. No key is in it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use phaselab_core::crypto::Member;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::Hash32;

use crate::config::in_folder;
use crate::failure::{Failure, io_words, read_text};
use crate::genesis::{self, GenesisFile};
use crate::init::entropy;
use crate::store::create_private;

/// Where the files are.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    protocol: ProtocolKind,
    /// Held for as long as the gateway runs: two worlds outside would pay the same outputs twice.
    _lock: File,
}

impl Folder {
    /// A folder that may not be there yet.
    ///
    /// # Errors
    /// If it cannot be made, or a cluster of processes lives there.
    pub(super) fn open(dir: &Path, protocol: ProtocolKind) -> Result<Folder, Failure> {
        if in_folder(dir).is_ok() {
            let what = "a cluster of processes is here already, with a world outside of its own; choose another --cluster";
            return Err(Failure::in_file(dir, what));
        }
        let refuse = |error: std::io::Error| Failure::in_file(dir, io_words(&error));
        std::fs::create_dir_all(dir).map_err(refuse)?;
        let lock = File::create(dir.join("gateway.lock")).map_err(refuse)?;
        if lock.try_lock().is_err() {
            let what = "another gateway serves this cluster; choose another --cluster";
            return Err(Failure::in_file(dir, what));
        }
        Ok(Folder {
            dir: dir.to_owned(),
            protocol,
            _lock: lock,
        })
    }

    /// Whether its genesis is frozen.
    pub(super) fn has_genesis(&self) -> bool {
        self.genesis().exists()
    }

    /// The state of the world outside.
    pub(super) fn chain(&self) -> PathBuf {
        self.dir.join("chain.state")
    }

    fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.toml")
    }

    /// Freezes genesis: whole and on disk, or not there.
    ///
    /// # Errors
    /// If there is one, or it cannot be written.
    pub(super) fn write_genesis(&self, members: &[Member]) -> Result<(), Failure> {
        // Random, so that two clusters of the same members never take one another's votes for their own.
        let name = format!("phaselab-{}", &Hash32(entropy()?).to_string()[..16]);
        let text = genesis::text(self.protocol, &name, members);
        let (path, draft) = (self.genesis(), self.dir.join("genesis.new"));
        let refuse = |error: std::io::Error| Failure::in_file(&path, io_words(&error));
        // What a process that was killed left behind.
        let _ = std::fs::remove_file(&draft);
        let mut file = create_private(&draft).map_err(refuse)?;
        file.write_all(text.as_bytes()).map_err(refuse)?;
        file.sync_all().map_err(refuse)?;
        // Unlike a rename, a link never replaces what is there.
        let linked = std::fs::hard_link(&draft, &path);
        std::fs::remove_file(&draft).map_err(refuse)?;
        linked.map_err(refuse)?;
        // The name as well: what guests are told next must still be there after a power cut.
        match File::open(&self.dir) {
            Ok(dir) => dir.sync_all().map_err(refuse),
            // Systems that do not open folders keep names by themselves.
            Err(_) => Ok(()),
        }
    }

    /// The genesis, its text, and when it was frozen, in milliseconds since 1970.
    ///
    /// # Errors
    /// If there is none, or it is wrong.
    pub(super) fn read_genesis(&self) -> Result<(GenesisFile, String, u64), Failure> {
        let path = self.genesis();
        let file = GenesisFile::load(&path)?;
        let written = std::fs::metadata(&path).and_then(|metadata| metadata.modified());
        let since_1970 = written
            .ok()
            .and_then(|written| written.duration_since(UNIX_EPOCH).ok());
        let begun_ms = since_1970.map_or(0, |since| since.as_millis() as u64);
        Ok((file, read_text(&path)?, begun_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch;
    use phaselab_core::crypto::{Crypto, Signer};
    use phaselab_core::types::{GroupId, NodeId};

    #[test]
    fn genesis_is_written_once() {
        let dir = scratch("lobby-files");
        let open = || Folder::open(&dir.join("new"), ProtocolKind::TwoPhase);
        let folder = open().unwrap();
        assert!(open().unwrap_err().to_string().contains("another gateway"));
        assert!(!folder.has_genesis());
        let member = |id: u16| Member {
            id: NodeId(id),
            group: GroupId(0),
            key: Signer::from_seed(Crypto::Ed25519, &[id as u8; 32]).public(),
        };
        let members: Vec<Member> = (1..=3).map(member).collect();
        folder.write_genesis(&members).unwrap();
        let (file, text, begun_ms) = folder.read_genesis().unwrap();
        assert_eq!(file.genesis.members, members);
        assert!(text.contains(&file.genesis.name) && begun_ms > 1_600_000_000_000);
        assert!(
            folder.write_genesis(&members[..2]).is_err(),
            "and never again"
        );
        assert_eq!(folder.read_genesis().unwrap().1, text);
        assert!(folder.has_genesis() && !dir.join("new/genesis.new").exists());
    }
}
