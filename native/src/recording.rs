//! The recorder: what happens to a node, written down beside it, so that `phaselab replay` runs it again.
//!
//! ```text
//! event loop -> Tape -> queue with a limit -> a thread -> recordings/node-K.LIFE.rec
//! key -> Witness --------^
//! ```
//!
//! It never holds the node up: an entry that finds no room in the queue, or that the disk does not take, is the end of
//! the recording. The file says so, one line of the log too, and the node goes on. Nothing here is synchronised to the
//! disk. The folder keeps within its limit: the oldest lives make room for a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use phaselab_core::crypto::{Signature, Signer, Witness};
use phaselab_core::recording::{Digest, Ending, Entry, Head, Input};
use phaselab_core::replica::{Output, Replica};
use phaselab_core::store::{Durable, Rows};
use phaselab_core::types::{Hash32, Time};
use serde::{Deserialize, Deserializer};
use tracing::Level;

use crate::config::NodeConfig;
use crate::log::{About, note};

mod file;

/// The section `[recording]` of a node's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RecordingOptions {
    /// Whether the node records itself.
    pub(crate) enabled: bool,
    /// The most bytes that all recordings of this node may take.
    #[serde(deserialize_with = "told_max_bytes")]
    pub(crate) max_bytes: u64,
}

impl Default for RecordingOptions {
    fn default() -> Self {
        RecordingOptions {
            enabled: false,
            max_bytes: MAX_BYTES_DEFAULT,
        }
    }
}

/// The limit unless told: some hundred thousand inputs.
pub(crate) const MAX_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Less holds no life.
const MAX_BYTES_MIN: u64 = 1024 * 1024;

/// Entries that wait for the thread.
const QUEUE_MAX: usize = 16_384;
/// And their bytes.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a node that stops waits for the end to be written.
const END_WAIT: Duration = Duration::from_secs(2);

fn told_max_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        few if few < MAX_BYTES_MIN => Err(serde::de::Error::custom(format!(
            "max_bytes = {few}: expected at least {MAX_BYTES_MIN}"
        ))),
        enough => Ok(enough),
    }
}

/// Entries on their way to the thread.
#[derive(Debug)]
struct Queue {
    sender: SyncSender<Entry>,
    bytes: AtomicUsize,
    /// Set once an entry was lost: none is taken after it.
    is_behind: AtomicBool,
    /// Set once the file has its end.
    is_over: AtomicBool,
}

impl Queue {
    fn push(&self, entry: Entry) {
        if self.is_closed() {
            return;
        }
        let size = size_of_entry(&entry);
        let waiting = self.bytes.fetch_add(size, Ordering::Relaxed);
        if waiting + size > QUEUE_BYTES_MAX || self.sender.try_send(entry).is_err() {
            self.is_behind.store(true, Ordering::Release);
        }
    }

    fn is_closed(&self) -> bool {
        self.is_behind.load(Ordering::Relaxed) || self.is_over.load(Ordering::Relaxed)
    }
}

impl Witness for Queue {
    fn signed(&self, preimage: &Hash32, signature: &Signature) {
        let (preimage, signature) = (*preimage, *signature);
        self.push(Entry::Signed {
            preimage,
            signature,
        });
    }
}

/// Roughly what an entry takes, in the queue and in the file.
fn size_of_entry(entry: &Entry) -> usize {
    let carried = match entry {
        Entry::Input { input, .. } => match input {
            Input::Packet(bytes) | Input::Fact(bytes) => bytes.len(),
            Input::Request { request, .. } => request.len(),
            Input::Start | Input::Tick => 0,
        },
        _ => 0,
    };
    size_of::<Entry>() + carried
}

/// A recorder before its node is built: it hears what the key signs.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Option<(Arc<Queue>, Receiver<Entry>)>);

impl Recorder {
    /// A recorder, if the configuration asks for one.
    pub(crate) fn new(options: &RecordingOptions) -> Recorder {
        Recorder(options.enabled.then(|| {
            let (sender, receiver) = sync_channel(QUEUE_MAX);
            let queue = Queue {
                sender,
                bytes: AtomicUsize::new(0),
                is_behind: AtomicBool::new(false),
                is_over: AtomicBool::new(false),
            };
            (Arc::new(queue), receiver)
        }))
    }

    /// The node's key, overheard.
    pub(crate) fn witness(&self, signer: Signer) -> Signer {
        match &self.0 {
            Some((queue, _)) => signer.witnessed(queue.clone()),
            None => signer,
        }
    }

    /// Begins the recording of a life whose clock stood at zero at `started`. A folder that takes no file is told in one
    /// line, and the life is not recorded.
    pub(crate) fn start(
        self,
        config: &NodeConfig,
        replica: &dyn Replica,
        rows: &Rows,
        entropy: [u8; 32],
        started: Instant,
    ) -> Tape {
        let Some((queue, entries)) = self.0 else {
            return Tape::off();
        };
        let genesis = &config.genesis.genesis;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let began = since.saturating_sub(started.elapsed()).as_nanos();
        let head = Head::new(
            genesis.clone(),
            replica.id(),
            replica.incarnation(),
            entropy,
            u64::try_from(began).unwrap_or(u64::MAX),
            rows,
        );
        let digest = Digest::new(&genesis.hash(), replica.id(), replica.incarnation());
        let begun = file::begin(config, &head, rows);
        match begun.and_then(|file| file::keep(file, entries, queue.clone())) {
            Ok(thread) => Tape(Some(Running {
                queue,
                digest,
                thread,
            })),
            Err(why) => {
                let text = format!("this life is not recorded: {why}");
                note(Level::WARN, About::default(), text);
                Tape::off()
            }
        }
    }
}

/// What the event loop writes on; nothing, where nothing is recorded.
#[derive(Debug, Default)]
pub(crate) struct Tape(Option<Running>);

#[derive(Debug)]
struct Running {
    queue: Arc<Queue>,
    digest: Digest,
    thread: JoinHandle<()>,
}

impl Tape {
    /// One that takes nothing.
    pub(crate) fn off() -> Tape {
        Tape(None)
    }

    /// An input was handled, with this output.
    pub(crate) fn input(&mut self, now: Time, input: Input, output: &Output) {
        if let Some(running) = &mut self.0
            && !running.queue.is_closed()
        {
            let digest = running.digest.step(now, &input, output);
            running.queue.push(Entry::Input { now, input, digest });
        }
    }

    /// Writes are durable, and what waited for them leaves.
    pub(crate) fn durable(&mut self, now: Time, durable: &Durable) {
        if let Some(running) = &self.0 {
            let batch = durable.number();
            running.queue.push(Entry::Durable { now, batch });
        }
    }

    /// The node stops: waits a little until the file says so.
    pub(crate) fn finish(&mut self) {
        let Some(running) = self.0.take() else { return };
        running.queue.push(Entry::End(Ending::Stopped));
        let deadline = Instant::now() + END_WAIT;
        while !running.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
