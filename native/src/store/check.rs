//! Whether a file is a store that may be opened, found out without touching it.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use phaselab_core::store::TableSpec;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableHandle};

use super::error::Problem;
use super::{CACHE_BYTES, META_NAME, SCHEMA, SCHEMA_KEY, read_meta};
use crate::panics;

/// Whether this is a store of our schema, without tables of another protocol.
fn check_schema(database: &Database, tables: &[TableSpec]) -> Result<(), Problem> {
    let damaged = |error: redb::Error| match error {
        redb::Error::TableTypeMismatch { .. } => Problem::NotAStore,
        other => Problem::Damaged(other.to_string()),
    };
    let found = read_meta(database, SCHEMA_KEY).map_err(damaged)?;
    match found.and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?))) {
        None => return Err(Problem::NotAStore),
        Some(SCHEMA) => {}
        Some(found) => return Err(Problem::OtherSchema(found)),
    }
    let listed = (|| -> Result<Vec<String>, redb::Error> {
        Ok(database
            .begin_read()?
            .list_tables()?
            .map(|table| table.name().to_owned())
            .collect())
    })();
    let is_known = |name: &String| name == META_NAME || tables.iter().any(|spec| spec.name == name);
    match listed
        .map_err(damaged)?
        .into_iter()
        .find(|name| !is_known(name))
    {
        None => Ok(()),
        Some(name) => Err(Problem::ForeignTable(name)),
    }
}

/// Checks the file on a copy in memory, every checksum of it, so that what is refused stays as it was found.
///
/// Opening a damaged file itself would repair it by going back to an older commit: a node would forget what it signed.
pub(super) fn check_copy(path: &Path, tables: &[TableSpec]) -> Result<(), Problem> {
    let mut file = File::open(path).map_err(Problem::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Problem::Busy),
        Err(TryLockError::Error(error)) => return Err(Problem::Io(error)),
    }
    let length = file.metadata().map_err(Problem::Io)?.len();
    if length > CHECKED_BYTES_MAX {
        return Ok(());
    }
    if length == 0 {
        return Err(Problem::NotAStore);
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes).map_err(Problem::Io)?;
    let checked = panics::caught(move || -> Result<(), Problem> {
        let copy = InMemoryBackend::new();
        copy.set_len(bytes.len() as u64)
            .and_then(|()| copy.write(0, &bytes))
            .map_err(Problem::Io)?;
        drop(bytes);
        let mut copy = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(copy)
            .map_err(Problem::of)?;
        if !copy.check_integrity().map_err(Problem::of)? {
            return Err(Problem::Damaged("checksums do not match".to_owned()));
        }
        check_schema(&copy, tables)
    });
    checked.unwrap_or_else(|panic| Err(Problem::Damaged(panic)))
}

/// Larger stores are trusted to their own checks: a copy would take too much memory.
const CHECKED_BYTES_MAX: u64 = 512 * 1024 * 1024;
