//! The state of the world outside, in a file that a restart goes on from.

use std::io::Write;
use std::path::PathBuf;

use phaselab_core::codec;
use phaselab_core::types::{Hash32, Time};
use serde::{Deserialize, Serialize, Serializer};

use crate::failure::{Failure, io_words};
use crate::store::create_private;

/// The actor's state on disk: replaced as a whole, never changed in place.
#[derive(Debug)]
pub(super) struct StateFile {
    pub(super) path: PathBuf,
    pub(super) genesis: Hash32,
    /// What was saved last.
    pub(super) written: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u8,
    genesis: Hash32,
    /// The world's time.
    pub(super) now: Time,
    /// The environment's own bytes.
    #[serde(serialize_with = "as_bytes")]
    pub(super) state: Vec<u8>,
}

/// The same bytes as one by one, in one piece: there are a million of them.
fn as_bytes<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

const STATE_VERSION: u8 = 1;

impl StateFile {
    /// What was saved; `None` if nothing was.
    ///
    /// # Errors
    /// If the file is of something else, or cannot be read.
    pub(super) fn read(&self) -> Result<Option<Saved>, Failure> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::in_file(&self.path, io_words(&error))),
        };
        let saved: Saved = postcard::from_bytes(&bytes).map_err(|_| {
            Failure::in_file(
                &self.path,
                "not the saved state of a chain; expected what a host wrote",
            )
        })?;
        if saved.version != STATE_VERSION || saved.genesis != self.genesis {
            return Err(Failure::in_file(
                &self.path,
                "the saved state of the chain is of another cluster",
            ));
        }
        Ok(Some(saved))
    }

    /// Saves.
    ///
    /// # Errors
    /// Why it was not saved; what was saved before still is.
    pub(super) fn write(&mut self, now: Time, state: Vec<u8>) -> std::io::Result<()> {
        let saved = Saved {
            version: STATE_VERSION,
            genesis: self.genesis,
            now,
            state,
        };
        let draft = self.path.with_extension("state.new");
        let _ = std::fs::remove_file(&draft);
        let mut file = create_private(&draft)?;
        file.write_all(&codec::encode(&saved))?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        self.written = saved.state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch;

    #[test]
    fn a_saved_state_comes_back_and_another_clusters_is_refused() {
        let dir = scratch("chain");
        let file = |genesis| StateFile {
            path: dir.join("chain.state"),
            genesis: Hash32([genesis; 32]),
            written: Vec::new(),
        };
        assert!(file(1).read().unwrap().is_none());
        file(1).write(Time(5), vec![1, 2, 3]).unwrap();
        file(1).write(Time(9), vec![4]).unwrap();
        let saved = file(1).read().unwrap().unwrap();
        assert_eq!((saved.now, saved.state), (Time(9), vec![4]));
        assert!(
            file(2)
                .read()
                .unwrap_err()
                .to_string()
                .contains("another cluster")
        );
        std::fs::write(dir.join("chain.state"), b"junk").unwrap();
        assert!(file(1).read().is_err());
    }
}
