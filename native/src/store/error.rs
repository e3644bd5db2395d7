//! Why a store is refused or fails, in one line each.

use std::fmt;
use std::path::PathBuf;

use phaselab_core::types::Hash32;
use redb::DatabaseError;

use super::SCHEMA;
use crate::failure::io_words;

/// Why a store cannot be used.
#[derive(Debug)]
pub(crate) struct StoreError {
    pub(super) path: PathBuf,
    pub(super) what: Problem,
}

/// What is wrong with a store.
#[derive(Debug)]
pub(super) enum Problem {
    Io(std::io::Error),
    Busy,
    NotAStore,
    Damaged(String),
    OtherSchema(u32),
    ForeignTable(String),
    OtherGenesis { bound: Hash32, expected: Hash32 },
    Write(String),
}

impl StoreError {
    /// Whether the store is right and the disk is not.
    pub(crate) fn is_of_disk(&self) -> bool {
        matches!(self.what, Problem::Write(_))
    }

    /// Whether a store of this program went bad, rather than the wrong file being named.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self.what, Problem::Damaged(_))
    }
}

impl Problem {
    /// What a library that gave up over a file's pages comes to. Where it did is nothing for whoever owns the file.
    pub(super) fn unreadable(_: String) -> Problem {
        Problem::Damaged("its pages contradict each other".to_owned())
    }

    /// Why a write failed, in words.
    pub(super) fn write(error: &redb::Error) -> Problem {
        use std::io::ErrorKind;
        Problem::Write(match error {
            redb::Error::Io(error) => match error.kind() {
                ErrorKind::StorageFull => "the disk is full".to_owned(),
                ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
                ErrorKind::FileTooLarge => "the file may not grow further".to_owned(),
                _ => io_words(error),
            },
            other => other.to_string(),
        })
    }

    /// What redb says about a file.
    pub(super) fn of(error: DatabaseError) -> Problem {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Problem::Busy,
            DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                Problem::NotAStore
            }
            other => Problem::Damaged(other.to_string()),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.what {
            Problem::Io(error) => f.write_str(&io_words(error)),
            Problem::Busy => f.write_str("another process has this store open; a member runs once"),
            Problem::NotAStore => f.write_str(
                "not a node's store; expected a file that `phaselab keygen` or `init` made",
            ),
            Problem::Damaged(what) => {
                write!(
                    f,
                    "the store is damaged and was left as it is ({what}); a member without its votes must not sign again"
                )
            }
            Problem::OtherSchema(found) => {
                write!(f, "written by schema {found}; this phaselab reads {SCHEMA}")
            }
            Problem::ForeignTable(name) => write!(
                f,
                "the store holds a table \"{name}\" that this protocol does not have"
            ),
            Problem::OtherGenesis { bound, expected } => write!(
                f,
                "the store belongs to genesis {}, and the configuration names genesis {}; expected the same",
                bound.short(),
                expected.short()
            ),
            Problem::Write(what) => write!(f, "cannot write: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}
