//! Whether a file is a store that may be opened, found out without touching it.

use std::fs::{File, TryLockError};
use std::path::Path;

use phaselab_core::store::TableSpec;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableHandle};

use super::error::Problem;
use super::header::{FLAGS_AT, Header};
use super::overlay::Overlay;
use super::{CACHE_BYTES, META_NAME, SCHEMA, SCHEMA_KEY, read_meta};
use crate::panics;

/// A store that was found whole, every checksum of it.
#[derive(Debug)]
pub(super) struct Examined {
    /// The store over the file. Nothing that is done to it reaches the file, which stays locked as long as this lives.
    pub(super) database: Database,
    /// The flags with which the file is to be opened, where they are not those that it has (see [`Header`]).
    pub(super) flags: Option<u8>,
}

/// Looks at the file without changing it.
pub(super) fn examine(path: &Path, tables: &[TableSpec]) -> Result<Examined, Problem> {
    let file = File::open(path).map_err(Problem::Io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Problem::Busy),
        Err(TryLockError::Error(error)) => return Err(Problem::Io(error)),
    }
    let backend = || {
        let file = file.try_clone().map_err(Problem::Io)?;
        FileBackend::new(file).map_err(Problem::of)
    };
    examine_bytes(backend, tables)
}

/// Looks at what a backend reads; each call gives it anew.
pub(super) fn examine_bytes<F: StorageBackend>(
    backend: impl Fn() -> Result<F, Problem>,
    tables: &[TableSpec],
) -> Result<Examined, Problem> {
    let Some(header) = Header::read(&backend()?).map_err(Problem::Io)? else {
        return Err(Problem::NotAStore);
    };
    let newer = header.flags_of_newer().and_then(|flags| {
        let database = verified(backend().ok()?, Some(flags)).ok()?;
        Some((database, Some(flags)))
    });
    let (database, flags) = match newer {
        Some(newer) => newer,
        None => (verified(backend()?, None)?, None),
    };
    let checked = panics::caught(|| check_schema(&database, tables));
    checked.unwrap_or_else(|panic| Err(Problem::Damaged(panic)))?;
    Ok(Examined { database, flags })
}

/// Opens a file through an overlay and verifies all of it.
fn verified(file: impl StorageBackend, flags: Option<u8>) -> Result<Database, Problem> {
    let overlay = Overlay::new(file).map_err(Problem::Io)?;
    if let Some(flags) = flags {
        overlay.write(FLAGS_AT, &[flags]).map_err(Problem::Io)?;
    }
    let opened = panics::caught(move || -> Result<Database, Problem> {
        let mut database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(overlay)
            .map_err(Problem::of)?;
        if !database.check_integrity().map_err(Problem::of)? {
            return Err(Problem::Damaged("checksums do not match".to_owned()));
        }
        Ok(database)
    });
    opened.unwrap_or_else(|panic| Err(Problem::Damaged(panic)))
}

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
        let transaction = database.begin_read()?;
        let tables = transaction.list_tables()?;
        Ok(tables.map(|table| table.name().to_owned()).collect())
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
