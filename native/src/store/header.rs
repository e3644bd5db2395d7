//! The first bytes of a redb file, in its format's version 3: which of the two commits there is in force.
//!
//! ```text
//! 0   magic number, 9 bytes
//! 9   bit 0: which slot is in force; bit 1: not closed; bit 2: committed in two phases
//! 64  slot 0, 128 bytes; at 104 in it the number of its commit
//! 192 slot 1
//! ```
//!
//! A commit in two phases writes its pages and the other slot, syncs, and only then changes bit 0. A node that dies in
//! between leaves a newer commit that is not in force, of which nothing was promised. Bit 0 alone has no checksum: if it
//! goes bad, the file looks just the same, and redb would go back to a commit before one that was promised. One answer is
//! right for both: a newer commit that is whole is the one to go on from.

use std::io::Result;

use redb::StorageBackend;

/// What is needed of a file's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    flags: u8,
    commits: [u64; 2],
}

/// Where the flags stand.
pub(super) const FLAGS_AT: u64 = 9;

const IN_FORCE: u8 = 1;
const TWO_PHASES: u8 = 4;
const COMMIT_AT: [usize; 2] = [64 + 104, 192 + 104];
const LENGTH: usize = 320;

impl Header {
    /// Reads it; `None` if the file is too short to have one.
    pub(super) fn read(file: &impl StorageBackend) -> Result<Option<Header>> {
        let mut bytes = [0; LENGTH];
        if file.len()? < LENGTH as u64 {
            return Ok(None);
        }
        file.read(0, &mut bytes)?;
        let commit = |at: usize| {
            let number = bytes[at..at + 8].try_into();
            u64::from_le_bytes(number.expect("eight bytes"))
        };
        Ok(Some(Header {
            flags: bytes[FLAGS_AT as usize],
            commits: COMMIT_AT.map(commit),
        }))
    }

    /// The flags that put the other commit in force, if it is the newer one. Whether it is whole is for redb to say.
    pub(super) fn flags_of_newer(self) -> Option<u8> {
        let in_force = usize::from(self.flags & IN_FORCE);
        let is_newer = self.commits[1 - in_force] > self.commits[in_force];
        (self.flags & TWO_PHASES != 0 && is_newer).then_some(self.flags ^ IN_FORCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn the_newer_commit_counts_where_commits_have_two_phases() {
        let header = |flags, commits| Header { flags, commits };
        assert_eq!(header(0b100, [4, 5]).flags_of_newer(), Some(0b101));
        assert_eq!(header(0b111, [5, 4]).flags_of_newer(), Some(0b110));
        assert_eq!(header(0b101, [4, 5]).flags_of_newer(), None);
        assert_eq!(header(0b000, [4, 5]).flags_of_newer(), None);
    }

    #[test]
    fn it_is_where_redb_writes_it() {
        let file = std::sync::Arc::new(InMemoryBackend::new());
        let database = redb::Builder::new()
            .create_with_backend(Shared(file.clone()))
            .unwrap();
        let mut before = Header::read(&*file).unwrap().unwrap();
        for _ in 0..3 {
            let mut transaction = database.begin_write().unwrap();
            transaction.set_two_phase_commit(true);
            transaction
                .open_table(super::super::definition("meta"))
                .unwrap()
                .insert(&b"key"[..], &b"value"[..])
                .unwrap();
            transaction.commit().unwrap();
            let after = Header::read(&*file).unwrap().unwrap();
            assert_eq!(after.flags & TWO_PHASES, TWO_PHASES);
            let in_force = |header: Header| header.commits[usize::from(header.flags & IN_FORCE)];
            assert!(in_force(after) > in_force(before), "{before:?} {after:?}");
            assert_eq!(after.flags_of_newer(), None);
            before = after;
        }
        assert_eq!(Header::read(&InMemoryBackend::new()).unwrap(), None);
    }

    #[derive(Debug)]
    struct Shared(std::sync::Arc<InMemoryBackend>);

    impl StorageBackend for Shared {
        fn len(&self) -> Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
            StorageBackend::read(&*self.0, offset, out)
        }
        fn set_len(&self, len: u64) -> Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
            StorageBackend::write(&*self.0, offset, data)
        }
    }
}
