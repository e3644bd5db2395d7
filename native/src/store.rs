//! A node's store: one redb file with a table per protocol table by name, and `meta` with what names the store.
//!
//! `meta` holds the schema's version, the node's secret key, the genesis that the store is bound to at its first start,
//! and the replica's incarnation. The key stands beside the votes on purpose: losing one loses both, so that a member
//! never signs with its key after forgetting what it signed. The file has mode 0600.
//!
//! One write transaction with immediate durability commits one merged batch; only then is its proof handed out. A file
//! that is damaged or of something else is refused before anything is written to it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::store::{Durable, META, Rows, TableId, TableSpec, WriteBatch};
use phaselab_core::types::Hash32;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::panics;

mod check;
mod error;

use check::check_copy;
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
            .map_err(|failed| error(Problem::Write(failed.to_string())))?;
        let written = (|| -> Result<(), redb::Error> {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            {
                let mut meta = transaction.open_table(definition(META_NAME))?;
                meta.insert(SCHEMA_KEY, SCHEMA.to_le_bytes().as_slice())?;
                meta.insert(SECRET_KEY, secret.as_slice())?;
            }
            Ok(transaction.commit()?)
        })();
        written.map_err(|failed| error(Problem::Write(failed.to_string())))
    }

    /// Opens a store of this protocol.
    ///
    /// # Errors
    /// If there is none, another process has it open, it is damaged, or it is not such a store.
    pub(crate) fn open(path: &Path, protocol: ProtocolKind) -> Result<Store, StoreError> {
        let error = |what: Problem| StoreError {
            path: path.to_owned(),
            what,
        };
        check_copy(path, protocol.tables()).map_err(error)?;
        let opened = panics::caught(|| Builder::new().set_cache_size(CACHE_BYTES).open(path));
        let database = opened
            .map_err(Problem::Damaged)
            .and_then(|opened| opened.map_err(Problem::of))
            .map_err(error)?;
        Ok(Store {
            path: path.to_owned(),
            database,
            tables: protocol.tables(),
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
        match self.read_meta(GENESIS_KEY)? {
            Some(bound) if bound == genesis.0 => Ok(()),
            Some(bound) => {
                let bound = <[u8; 32]>::try_from(bound.as_slice())
                    .map(Hash32)
                    .unwrap_or_default();
                Err(self.error(Problem::OtherGenesis {
                    bound,
                    expected: *genesis,
                }))
            }
            None => self.write(|transaction| {
                transaction
                    .open_table(definition(META_NAME))?
                    .insert(GENESIS_KEY, genesis.0.as_slice())?;
                Ok(())
            }),
        }
    }

    /// All rows, for recovery.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn rows(&self) -> Result<Rows, StoreError> {
        let read = panics::caught(|| self.read_rows());
        read.unwrap_or_else(|what| Err(redb::Error::Corrupted(what)))
            .map_err(|error| self.error(Problem::Damaged(error.to_string())))
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
            body(&transaction)?;
            Ok(transaction.commit()?)
        })();
        written.map_err(|error| self.error(Problem::Write(error.to_string())))
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

    fn read_meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let read = panics::caught(|| read_meta(&self.database, key));
        let read = read.unwrap_or_else(|what| Err(redb::Error::Corrupted(what)));
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

fn read_meta(database: &Database, key: &[u8]) -> Result<Option<Vec<u8>>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(definition(META_NAME)) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(table.get(key)?.map(|value| value.value().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch;

    const PROTOCOL: ProtocolKind = ProtocolKind::TwoPhase;

    fn refusal(path: &Path) -> String {
        let before = std::fs::read(path).unwrap();
        let error = Store::open(path, PROTOCOL).unwrap_err().to_string();
        assert!(
            std::fs::read(path).unwrap() == before,
            "a refused file stays as it was"
        );
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn a_new_store_has_its_key_is_private_and_is_never_overwritten() {
        let dir = scratch("store-new");
        let path = dir.join("node.redb");
        Store::create(&path, &[7; 32]).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert!(
            Store::create(&path, &[8; 32])
                .unwrap_err()
                .to_string()
                .contains("exists already")
        );
        let store = Store::open(&path, PROTOCOL).unwrap();
        assert_eq!(store.secret().unwrap(), [7; 32]);
        assert!(
            store.rows().unwrap().is_empty(),
            "the shell's keys are not the replica's rows"
        );
        assert!(
            Store::open(&path, PROTOCOL)
                .unwrap_err()
                .to_string()
                .contains("another process")
        );
    }

    #[test]
    fn a_store_belongs_to_one_genesis() {
        let dir = scratch("store-genesis");
        let path = dir.join("node.redb");
        Store::create(&path, &[7; 32]).unwrap();
        let store = Store::open(&path, PROTOCOL).unwrap();
        store.bind(&Hash32([1; 32])).unwrap();
        store.bind(&Hash32([1; 32])).unwrap();
        let error = store.bind(&Hash32([2; 32])).unwrap_err().to_string();
        assert!(
            error.contains("genesis 0101") && error.contains("genesis 0202"),
            "{error}"
        );
    }

    #[test]
    fn foreign_and_damaged_files_are_refused_and_left_alone() {
        let dir = scratch("store-bad");
        let path = dir.join("node.redb");
        for junk in [&b""[..], b"hello", &[0xa5; 100_000]] {
            std::fs::write(&path, junk).unwrap();
            assert!(refusal(&path).contains("not a node's store"));
        }
        std::fs::remove_file(&path).unwrap();

        Database::create(&path).unwrap();
        assert!(
            refusal(&path).contains("not a node's store"),
            "some other redb file"
        );
        std::fs::remove_file(&path).unwrap();

        Store::create(&path, &[7; 32]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(
            refusal(&path).contains("damaged"),
            "a store that was cut off"
        );
        let key_at = whole
            .windows(32)
            .position(|bytes| bytes == [7; 32])
            .unwrap();
        let mut bent = whole.clone();
        bent[key_at] ^= 1;
        std::fs::write(&path, &bent).unwrap();
        assert!(refusal(&path).contains("damaged"), "a bent byte");
        std::fs::write(&path, &whole).unwrap();
        Store::open(&path, PROTOCOL).unwrap();
    }
}
