//! The files of a node's recordings, and the thread that writes one.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use phaselab_core::recording::{Ending, Entry, Head, Writer};
use phaselab_core::store::Rows;
use phaselab_core::types::NodeId;
use tracing::Level;

use super::{Queue, size_of_entry};
use crate::config::NodeConfig;
use crate::failure::io_words;
use crate::log::{About, note};
use crate::store::create_private;

/// Beside the configuration.
const FOLDER: &str = "recordings";
/// Files of lives with the same number: a life that wrote nothing down is lived again.
const SAME_LIFE_MAX: u32 = 1_000;
/// Bytes that are written at once, where entries wait.
const BLOCK_BYTES: usize = 64 * 1024;
/// What the end of a file takes, and more.
const END_BYTES: u64 = 64;
/// How often an idle thread looks whether an entry was lost.
const LOOK: Duration = Duration::from_millis(200);

/// A file that has its head.
#[derive(Debug)]
pub(super) struct Begun {
    path: PathBuf,
    file: File,
    writer: Writer,
    written: u64,
    bytes_max: u64,
}

/// Makes room, creates the file of a life and writes its head.
pub(super) fn begin(config: &NodeConfig, head: &Head, rows: &Rows) -> Result<Begun, String> {
    let folder = config.path.with_file_name(FOLDER);
    let words = |path: &Path, error: &io::Error| format!("{}: {}", path.display(), io_words(error));
    std::fs::create_dir_all(&folder).map_err(|error| words(&folder, &error))?;
    let bytes_max = config.recording.max_bytes;
    let kept = make_room(&folder, config.id, bytes_max / 2);
    let bytes_max = bytes_max - kept;

    let mut bytes = Vec::new();
    let writer =
        Writer::begin(head, rows, &mut bytes).ok_or("its genesis or store is too large")?;
    let written = bytes.len() as u64;
    if written + END_BYTES > bytes_max {
        return Err(format!(
            "its store alone takes {written} bytes of max_bytes"
        ));
    }
    let (path, mut file) = create(&folder, head).map_err(|error| words(&folder, &error))?;
    file.write_all(&bytes)
        .map_err(|error| words(&path, &error))?;
    Ok(Begun {
        path,
        file,
        writer,
        written,
        bytes_max,
    })
}

/// A file for a life, where none is.
fn create(folder: &Path, head: &Head) -> io::Result<(PathBuf, File)> {
    let (node, life) = (head.node.0, head.incarnation.0);
    let mut tried = folder.join(format!("node-{node}.{life}.rec"));
    for number in 2..SAME_LIFE_MAX {
        match create_private(&tried) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                tried = folder.join(format!("node-{node}.{life}.{number}.rec"));
            }
            made => return Ok((tried, made?)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes a node's oldest recordings until the rest take no more than this; returns what they take.
fn make_room(folder: &Path, node: NodeId, bytes_max: u64) -> u64 {
    let prefix = format!("node-{}.", node.0);
    let is_own = |name: &str| name.starts_with(&prefix) && name.ends_with(".rec");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let own = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_own));
    let mut files: Vec<_> = own
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some((meta.modified().ok()?, meta.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in files {
        if bytes <= bytes_max {
            break;
        }
        match std::fs::remove_file(&path) {
            Ok(()) => {
                bytes -= length;
                let text = format!("removed {}: max_bytes of recordings", path.display());
                note(Level::INFO, About::default(), text);
            }
            // Where old ones stay there is less room for the new one.
            Err(_) => continue,
        }
    }
    bytes
}

/// Starts the thread that writes entries until the end.
pub(super) fn keep(
    begun: Begun,
    entries: Receiver<Entry>,
    queue: Arc<Queue>,
) -> Result<JoinHandle<()>, String> {
    let thread = std::thread::Builder::new().name("recorder".to_owned());
    let started = thread.spawn(move || {
        let path = begun.path.clone();
        let ending = write(begun, &entries, &queue);
        queue.is_over.store(true, Ordering::Release);
        if let Some(why) = ending {
            let path = path.display();
            let text = format!("{path}: recording stops, the node goes on: {why}");
            note(Level::WARN, About::default(), text);
        }
    });
    started.map_err(|error| io_words(&error))
}

/// Writes entries until the end; returns why that is before the node's.
fn write(mut begun: Begun, entries: &Receiver<Entry>, queue: &Queue) -> Option<String> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    loop {
        // Whatever comes before an entry that was lost is still in the queue.
        let is_behind = queue.is_behind.load(Ordering::Acquire);
        let mut next = match entries.recv_timeout(LOOK) {
            Ok(entry) => Some(entry),
            Err(RecvTimeoutError::Timeout) if !is_behind => continue,
            Err(_) => Some(Entry::End(Ending::Behind)),
        };
        let mark = begun.writer.fork();
        let mut ending = None;
        while let Some(entry) = next.take() {
            let size = size_of_entry(&entry);
            let entry = match entry {
                Entry::End(ending) => Entry::End(ending),
                _ if begun.written + (block.len() + size) as u64 + END_BYTES > begun.bytes_max => {
                    Entry::End(Ending::Full)
                }
                entry => {
                    queue.bytes.fetch_sub(size, Ordering::Relaxed);
                    entry
                }
            };
            if begun.writer.push(&entry, &mut block).is_none() {
                // No input is so long: what brings them has lower limits.
                begun.writer.push(&Entry::End(Ending::Full), &mut block);
                ending = Some(Ending::Full);
            } else if let Entry::End(end) = entry {
                ending = Some(end);
            }
            if ending.is_none() && block.len() < BLOCK_BYTES {
                next = entries.try_recv().ok();
            }
        }
        if let Err(error) = begun.file.write_all(&block) {
            begun.give_up(mark);
            return Some(io_words(&error));
        }
        begun.written += block.len() as u64;
        block.clear();
        match ending {
            None => {}
            Some(Ending::Stopped) => return None,
            Some(Ending::Full) => return Some("max_bytes is reached".to_owned()),
            Some(_) => return Some("the disk is too slow".to_owned()),
        }
    }
}

impl Begun {
    /// Cuts off what was written in part, and says that more is missing, if there is room for that.
    fn give_up(&mut self, mut mark: Writer) {
        let mut end = Vec::new();
        mark.push(&Entry::End(Ending::Unwritten), &mut end);
        let cut = self.file.set_len(self.written);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.written)));
        let _ = cut.and_then(|_| self.file.write_all(&end));
    }
}

#[cfg(test)]
mod tests;
