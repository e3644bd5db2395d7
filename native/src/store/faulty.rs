//! A disk in memory that fails at a chosen moment, and loses what was not synced when its machine does.

use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// A handle to the disk: the store has one, the test another.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is read.
    now: Vec<u8>,
    /// What was there when it was synced last.
    synced: Vec<u8>,
    /// What was done since, in order.
    unsynced: Vec<Change>,
    /// Writes, syncs and changes of length so far.
    operations: u64,
    /// The number of the first that fails; all after it fail too.
    fails_at: Option<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// What a loss of power leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// All: the process died, not the machine.
    All,
    /// None.
    Nothing,
    /// The first so many thousandths, and of the next one its first half.
    Prefix(usize),
    /// Any of them, drawn from a seed: a disk that writes in an order of its own.
    Some(u64),
}

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Fails from this operation on; the first is 1.
    pub(super) fn fail_at(&self, operation: u64) {
        self.state().fails_at = Some(operation);
    }

    /// Operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// What is found after the crash.
    pub(super) fn image(&self, kept: Kept) -> Vec<u8> {
        let state = self.state();
        let mut image = state.synced.clone();
        let count = state.unsynced.len();
        let mut seed = if let Kept::Some(seed) = kept { seed } else { 0 };
        for (number, change) in state.unsynced.iter().enumerate() {
            let is_kept = match kept {
                Kept::All => true,
                Kept::Nothing => false,
                Kept::Prefix(permille) => {
                    let whole = count * permille / 1000;
                    if number == whole
                        && let Change::Write(at, bytes) = change
                    {
                        Change::Write(*at, bytes[..bytes.len() / 2].to_vec()).apply(&mut image);
                    }
                    number < whole
                }
                Kept::Some(_) => {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                    seed >> 63 == 0
                }
            };
            if is_kept {
                change.apply(&mut image);
            }
        }
        image
    }

    fn operate(&self, change: Option<Change>) -> Result<()> {
        let mut state = self.state();
        state.operations += 1;
        if state.fails_at.is_some_and(|at| state.operations >= at) {
            if let Some(Change::Write(at, bytes)) = change {
                // Whoever says that it failed may have done a part of it.
                state
                    .unsynced
                    .push(Change::Write(at, bytes[..bytes.len() / 2].to_vec()));
            }
            return Err(Error::new(ErrorKind::StorageFull, "no space"));
        }
        match change {
            None => {
                state.synced = state.now.clone();
                state.unsynced.clear();
            }
            Some(change) => {
                change.apply(&mut state.now);
                state.unsynced.push(change);
            }
        }
        Ok(())
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Length(length) => bytes.resize(*length as usize, 0),
            Change::Write(at, data) => {
                let end = *at as usize + data.len();
                // The change of length that made room for it may be lost.
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at as usize..end].copy_from_slice(data);
            }
        }
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> Result<u64> {
        Ok(self.state().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let state = self.state();
        let from = offset as usize;
        let bytes = state.now.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.operate(Some(Change::Length(len)))
    }

    fn sync_data(&self) -> Result<()> {
        self.operate(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.operate(Some(Change::Write(offset, data.to_vec())))
    }
}
