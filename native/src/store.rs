//! A node's store: one redb file with a table per protocol table by name, and `meta` with what names the store.
//!
//! `meta` holds the schema's version, the node's secret key, the genesis that the store is bound to at its first start,
//! and the replica's incarnation. The key stands beside the votes on purpose: losing one loses both, so that a member
//! never signs with its key after forgetting what it signed. The file has mode 0600.
//!
//! One write transaction with immediate durability commits one merged batch; only then is its proof handed out. It
//! commits in two phases, which costs a second sync: in one phase a commit that was promised and went bad later looks
//! like one that never ended, and the store would go back to the one before it. A file that is damaged or of something
//! else is refused before anything is written to it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::store::{Durable, META, Rows, TableId, TableSpec, WriteBatch};
use phaselab_core::types::Hash32;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::panics;

mod check;
mod error;
#[cfg(test)]
mod faulty;
mod header;
mod overlay;
#[cfg(test)]
mod tests;

use check::{Examined, examine};
use error::Problem;
pub(crate) use error::StoreError;

/// The version of the tables that this program writes and reads.
pub(crate) const SCHEMA: u32 = 1;

const META_NAME: &str = "meta";
const SCHEMA_KEY: &[u8] = b"schema";
const SECRET_KEY: &[u8] = b"key";
const GENESIS_KEY: &[u8] = b"genesis";
/// Keys of `meta` that belong to the shell; the others are the replica's own.
const SHELL_KEYS: [&[u8]; 3] = [SCHEMA_KEY, SECRET_KEY, GENESIS_KEY];

/// A node keeps its working set in the replica: the store's cache need not hold it too.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

const fn definition(name: &'static str) -> Definition {
    TableDefinition::new(name)
}

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct TableSize {
    /// Its name.
    pub(crate) name: &'static str,
    /// Rows.
    pub(crate) rows: u64,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
}

/// An open store. Only one process has it open at a time.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    database: Database,
    tables: &'static [TableSpec],
}

impl Store {
    /// Creates a store with a key. Whatever exists at this path stays as it is.
    ///
    /// # Errors
    /// If the path is taken, or the file cannot be written.
    pub(crate) fn create(path: &Path, secret: &[u8; 32]) -> Result<(), StoreError> {
        let error = |what: Problem| StoreError {
            path: path.to_owned(),
            what,
        };
        let file = create_private(path).map_err(|io| error(Problem::Io(io)))?;
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_file(file)
            .map_err(|failed| error(Problem::write(&failed.into())))?;
        let begun = Store::over(path, database, &[])
            .begin(secret)
            .and_then(|()| sync_folder_of(path).map_err(|io| error(Problem::Io(io))));
        if begun.is_err() {
            // A store without a key is none, and stands in the way of the next attempt.
            let _ = std::fs::remove_file(path);
        }
        begun
    }

    /// Opens a store of this protocol.
    ///
    /// # Errors
    /// If there is none, another process has it open, it is damaged, or it is not such a store.
    pub(crate) fn open(path: &Path, protocol: ProtocolKind) -> Result<Store, StoreError> {
        let opened = (|| {
            forget_cached(path);
            let examined = examine(path, protocol.tables())?;
            if let Some(flags) = examined.flags {
                set_flags(path, flags).map_err(Problem::Io)?;
            }
            // Gives its lock back.
            drop(examined);
            let opened = panics::caught(|| Builder::new().set_cache_size(CACHE_BYTES).open(path));
            opened.map_err(Problem::unreadable)?.map_err(Problem::of)
        })();
        match opened {
            Ok(database) => Ok(Store::over(path, database, protocol.tables())),
            Err(what) => Err(StoreError {
                path: path.to_owned(),
                what,
            }),
        }
    }

    /// Opens a store to look at it. Nothing reaches the file, and no node starts with it meanwhile.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub(crate) fn look(path: &Path, protocol: ProtocolKind) -> Result<Store, StoreError> {
        match examine(path, protocol.tables()) {
            Ok(Examined { database, .. }) => Ok(Store::over(path, database, protocol.tables())),
            Err(what) => Err(StoreError {
                path: path.to_owned(),
                what,
            }),
        }
    }

    fn over(path: &Path, database: Database, tables: &'static [TableSpec]) -> Store {
        Store {
            path: path.to_owned(),
            database,
            tables,
        }
    }

    /// Writes what makes an empty database a store.
    fn begin(&self, secret: &[u8; 32]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut meta = transaction.open_table(definition(META_NAME))?;
            meta.insert(SCHEMA_KEY, SCHEMA.to_le_bytes().as_slice())?;
            meta.insert(SECRET_KEY, secret.as_slice())?;
            Ok(())
        })
    }

    /// The node's secret key.
    ///
    /// # Errors
    /// If the store has none.
    pub(crate) fn secret(&self) -> Result<[u8; 32], StoreError> {
        let key = self.read_meta(SECRET_KEY)?;
        key.and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| self.error(Problem::NotAStore))
    }

    /// Binds the store to a genesis at its first start, and refuses every other afterwards.
    ///
    /// # Errors
    /// If the store belongs to another genesis.
    pub(crate) fn bind(&self, genesis: &Hash32) -> Result<(), StoreError> {
        match self.bound_to()? {
            Some(bound) if bound == *genesis => Ok(()),
            Some(bound) => Err(self.error(Problem::OtherGenesis {
                bound,
                expected: *genesis,
            })),
            None => self.write(|transaction| {
                transaction
                    .open_table(definition(META_NAME))?
                    .insert(GENESIS_KEY, genesis.0.as_slice())?;
                Ok(())
            }),
        }
    }

    /// The genesis that the store is bound to; `None` before its first start.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn bound_to(&self) -> Result<Option<Hash32>, StoreError> {
        let bound = self.read_meta(GENESIS_KEY)?;
        let hash = bound.map(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).map(Hash32));
        hash.transpose()
            .map_err(|_| self.error(Problem::Damaged("the genesis is not a hash".to_owned())))
    }

    /// All rows, for recovery.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn rows(&self) -> Result<Rows, StoreError> {
        let read = panics::caught(|| self.read_rows());
        let read = read.map_err(|what| self.error(Problem::unreadable(what)))?;
        read.map_err(|error| self.error(Problem::Damaged(error.to_string())))
    }

    /// How many rows each table has, the shell's own among those of `meta`, and how many bytes keys and values take.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let read = panics::caught(|| self.read_sizes());
        let read = read.map_err(|what| self.error(Problem::unreadable(what)))?;
        read.map_err(|error| self.error(Problem::Damaged(error.to_string())))
    }

    /// Commits a merged batch in one transaction, and returns the proof.
    ///
    /// # Errors
    /// If the write fails: nothing of the batch is durable as far as anyone may rely on it.
    pub(crate) fn commit(&self, batch: &WriteBatch) -> Result<Durable, StoreError> {
        self.write(|transaction| {
            // One handle per table that the batch touches; writes keep their order within it.
            let touched: BTreeSet<TableId> =
                batch.writes().iter().map(|write| write.table).collect();
            for id in touched {
                let mut table = transaction.open_table(definition(self.name_of(id)))?;
                for write in batch.writes().iter().filter(|write| write.table == id) {
                    match &write.value {
                        Some(value) => table.insert(write.key.as_slice(), value.as_ref())?,
                        None => table.remove(write.key.as_slice())?,
                    };
                }
            }
            Ok(())
        })?;
        Ok(batch.durable())
    }

    fn write(
        &self,
        body: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let written = (|| -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_two_phase_commit(true);
            body(&transaction)?;
            Ok(transaction.commit()?)
        })();
        written.map_err(|error| self.error(Problem::write(&error)))
    }

    fn name_of(&self, id: TableId) -> &'static str {
        if id == META {
            return META_NAME;
        }
        let spec = self.tables.iter().find(|spec| spec.id == id);
        spec.expect("a protocol writes to its own tables").name
    }

    fn read_rows(&self) -> Result<Rows, redb::Error> {
        let transaction = self.database.begin_read()?;
        let mut rows = Rows::default();
        let tables = self
            .tables
            .iter()
            .map(|spec| (spec.id, spec.name))
            .chain([(META, META_NAME)]);
        for (id, name) in tables {
            let table = match transaction.open_table(definition(name)) {
                Ok(table) => table,
                // Made by the first write to it.
                Err(redb::TableError::TableDoesNotExist(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            for row in table.iter()? {
                let (key, value) = row?;
                if id != META || !SHELL_KEYS.contains(&key.value()) {
                    rows.insert(id, key.value(), value.value());
                }
            }
        }
        Ok(rows)
    }

    fn read_sizes(&self) -> Result<Vec<TableSize>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let names = self.tables.iter().map(|spec| spec.name);
        let mut sizes = Vec::new();
        for name in names.chain([META_NAME]) {
            let (mut rows, mut bytes) = (0, 0);
            match transaction.open_table(definition(name)) {
                Err(redb::TableError::TableDoesNotExist(_)) => {}
                Err(error) => return Err(error.into()),
                Ok(table) => {
                    for row in table.iter()? {
                        let (key, value) = row?;
                        rows += 1;
                        bytes += (key.value().len() + value.value().len()) as u64;
                    }
                }
            }
            sizes.push(TableSize { name, rows, bytes });
        }
        Ok(sizes)
    }

    fn read_meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = panics::caught(|| read_meta(&self.database, key));
        let read = read.map_err(|what| self.error(Problem::unreadable(what)))?;
        read.map_err(|error| self.error(Problem::Damaged(error.to_string())))
    }

    fn error(&self, what: Problem) -> StoreError {
        StoreError {
            path: self.path.clone(),
            what,
        }
    }
}

/// Creates a file that only its owner reads, where none is.
pub(crate) fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the name of a new file as durable as what is in it.
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    // Elsewhere a folder cannot be opened, and keeps its names by itself.
    if cfg!(unix) {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Asks the system to read the file from its disk. After a sync that failed Linux may hold pages that never got there and
/// pass for written: a node that starts again must not promise on the strength of those.
fn forget_cached(path: &Path) {
    #[cfg(target_os = "linux")]
    if let Ok(file) = File::open(path) {
        // A hint. Where it is not heeded, the file is read as it would have been without it.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = path;
}

/// Puts the newer of two commits in force: what redb does at the end of a commit.
fn set_flags(path: &Path, flags: u8) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(header::FLAGS_AT))?;
    file.write_all(&[flags])?;
    file.sync_all()
}

fn read_meta(database: &Database, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(definition(META_NAME)) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(table.get(key)?.map(|value| value.value().to_vec()))
}
