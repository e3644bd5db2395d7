//! How a command ends: as expected (0), not as expected (1), or refused because its input was wrong (2).

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use phaselab_core::scenario::ScenarioError;

/// Why a command did not end as expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The input was wrong: one line says what, where, and what was expected.
    Input(String),
    /// It ran and failed, in one line.
    Failed(String),
    /// It ran, and its output already says what was not as expected.
    Unexpected,
}

/// What a command returns.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// Wrong input that stands in a file.
    pub(crate) fn in_file(path: &Path, what: impl fmt::Display) -> Failure {
        Failure::Input(format!("{}: {what}", path.display()))
    }

    /// The process's exit status.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Input(_) => ExitCode::from(2),
            Failure::Failed(_) | Failure::Unexpected => ExitCode::from(1),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Input(what) | Failure::Failed(what) => f.write_str(what),
            Failure::Unexpected => f.write_str("not as expected"),
        }
    }
}

impl From<ScenarioError> for Failure {
    fn from(error: ScenarioError) -> Failure {
        Failure::Input(error.to_string())
    }
}

/// Reads a text file that a person named.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::in_file(path, io_words(&error)))
}

/// Writes a file that a person named.
pub(crate) fn write_file(path: &Path, bytes: impl AsRef<[u8]>) -> Outcome {
    may_write(path)?;
    std::fs::write(path, bytes).map_err(|error| Failure::in_file(path, io_words(&error)))
}

/// Refuses a file that cannot be, before something long is done for it.
pub(crate) fn may_write(path: &Path) -> Outcome {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(Failure::in_file(folder, "no such folder")),
        _ if path.is_dir() => Err(Failure::in_file(path, "is a directory; expected a file")),
        _ => Ok(()),
    }
}

/// An I/O error in words, without the number.
pub(crate) fn io_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory; expected a file".to_owned(),
        std::io::ErrorKind::AlreadyExists => "exists already".to_owned(),
        std::io::ErrorKind::InvalidData => "not a text file".to_owned(),
        std::io::ErrorKind::AddrInUse => "the address is in use".to_owned(),
        _ => error
            .to_string()
            .split(" (os error")
            .next()
            .unwrap_or_default()
            .to_lowercase(),
    }
}
