//! Why a file is not a recording, and where.

use core::fmt;

use super::FORMAT;

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordingError {
    /// Some other file.
    NotARecording,
    /// Made by another format.
    OtherFormat(u16),
    /// It was cut off before anything happened: there is nothing to run again.
    Empty,
    /// It was changed.
    Damaged {
        /// Where the record begins that does not fit, in bytes.
        offset: u64,
        /// How many inputs of the life stand before it.
        inputs: u64,
    },
    /// Sound records that make no life.
    Impossible {
        /// Where the record ends that cannot be, in bytes.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordingError::NotARecording => write!(
                f,
                "not a recording; expected a file that a node wrote to its folder of recordings"
            ),
            RecordingError::OtherFormat(found) => {
                write!(
                    f,
                    "made by recording format {found}; this version reads {FORMAT}"
                )
            }
            RecordingError::Empty => {
                write!(f, "cut off before its node started; nothing was recorded")
            }
            RecordingError::Damaged { offset, inputs } => write!(
                f,
                "the file is damaged at byte {offset}, after {inputs} inputs: it was changed"
            ),
            RecordingError::Impossible { offset, what } => {
                write!(
                    f,
                    "the file describes an impossible life before byte {offset}: {what}"
                )
            }
        }
    }
}

impl core::error::Error for RecordingError {}
