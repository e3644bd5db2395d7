//! What happens to a node of a room, written down beside it, as native nodes do: so that its life runs again anywhere.
//!
//! The bytes of a recording gather in memory and are taken in blocks by whoever keeps them. A recording never holds its
//! node up: one that grows beyond its limit, or whose blocks nobody takes, ends and says so, and the node goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phaselab_core::crypto::{Signature, Signer, Witness};
use phaselab_core::engine::Genesis;
use phaselab_core::recording::{Digest, Ending, Entry, Head, Input, Writer};
use phaselab_core::replica::{Output, Replica};
use phaselab_core::store::{Durable, Rows};
use phaselab_core::types::{Hash32, Time};

/// The longest recording of one life, in bytes.
pub const LIFE_BYTES_MAX: usize = 4 << 20;

/// The most bytes that wait to be taken.
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// A recording in the making. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Tape(Arc<Mutex<Writing>>);

#[derive(Debug, Default)]
struct Writing {
    /// `None` before the head, and after the end.
    writer: Option<Writer>,
    /// Signatures that were made before the head.
    early: Vec<Entry>,
    digest: Option<Digest>,
    block: Vec<u8>,
    /// Bytes that were taken.
    taken: usize,
}

impl Witness for Tape {
    fn signed(&self, preimage: &Hash32, signature: &Signature) {
        let (preimage, signature) = (*preimage, *signature);
        self.writing().push(Entry::Signed {
            preimage,
            signature,
        });
    }
}

impl Tape {
    /// The key, overheard.
    pub fn witness(&self, signer: Signer) -> Signer {
        signer.witnessed(Arc::new(self.clone()))
    }

    /// Begins the recording of a life before its first step. Its clock stands at zero when the room was made.
    pub fn begin(
        &self,
        genesis: &Genesis,
        replica: &dyn Replica,
        rows: &Rows,
        entropy: [u8; 32],
        created_ms: u64,
    ) {
        let (node, life) = (replica.id(), replica.incarnation());
        let began_unix_ns = created_ms.saturating_mul(1_000_000);
        let head = Head::new(genesis.clone(), node, life, entropy, began_unix_ns, rows);
        let mut writing = self.writing();
        writing.writer = Writer::begin(&head, rows, &mut writing.block);
        if writing.writer.is_none() {
            // A row that is longer than a record: this life is not recorded.
            writing.block.clear();
        }
        writing.digest = Some(Digest::new(&genesis.hash(), node, life));
        for entry in std::mem::take(&mut writing.early) {
            writing.push(entry);
        }
    }

    /// An input was handled, with this output.
    pub fn input(&self, now: Time, input: impl FnOnce() -> Input, output: &Output) {
        let mut writing = self.writing();
        if writing.writer.is_none() {
            return;
        }
        let input = input();
        if let Some(digest) = &mut writing.digest {
            let digest = digest.step(now, &input, output);
            writing.push(Entry::Input { now, input, digest });
        }
    }

    /// Writes are durable, and what waited for them leaves.
    pub fn durable(&self, now: Time, durable: &Durable) {
        let batch = durable.number();
        self.writing().push(Entry::Durable { now, batch });
    }

    /// The block that was not taken yet; `None` if there is none.
    pub fn take(&self) -> Option<Vec<u8>> {
        let mut writing = self.writing();
        writing.taken += writing.block.len();
        (!writing.block.is_empty()).then(|| std::mem::take(&mut writing.block))
    }

    /// A block that was taken could not be kept: nothing that follows it means anything.
    pub fn give_up(&self) {
        let mut writing = self.writing();
        writing.writer = None;
        writing.block.clear();
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        // Nothing panics while it holds the tape.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    fn push(&mut self, entry: Entry) {
        let Some(writer) = &mut self.writer else {
            if self.digest.is_none() {
                self.early.push(entry);
            }
            return;
        };
        let ending = match self.block.len() {
            waiting if waiting > BLOCK_BYTES_MAX => Some(Ending::Behind),
            waiting if self.taken + waiting > LIFE_BYTES_MAX => Some(Ending::Full),
            _ => writer
                .push(&entry, &mut self.block)
                .is_none()
                .then_some(Ending::Full),
        };
        if let Some(ending) = ending {
            writer.push(&Entry::End(ending), &mut self.block);
            self.writer = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::protocol::ProtocolKind;
    use phaselab_core::recording::{self, Rerun};
    use phaselab_core::types::{ClientId, NodeId};

    use super::*;
    use crate::live::host::Host;
    use crate::live::room::{Room, tests::counting_entropy};

    fn room() -> Room {
        let entropy = &mut counting_entropy();
        Room::create(ProtocolKind::TwoPhase, "den", 3, None, 5, entropy).unwrap()
    }

    fn host(room: &Room, tape: &Tape) -> Host {
        let (id, secret) = (NodeId(1), &room.secrets[0]);
        let recorded = Some((tape.clone(), 5));
        Host::open(
            &room.genesis,
            id,
            secret,
            &Rows::default(),
            [9; 32],
            recorded,
        )
        .unwrap()
    }

    /// Commits whatever waits.
    fn settle(host: &mut Host, now: Time) {
        while let Some(batch) = host.begin_commit() {
            host.committed(now, batch.durable());
        }
    }

    fn live(host: &mut Host) {
        host.start(Time::ZERO);
        settle(host, Time::from_ms(1));
        host.packet(Time::from_ms(2), &[1, 2, 3]);
        host.junk(Time::from_ms(3), 0);
        host.request(Time::from_ms(4), ClientId(9), 1, b"junk");
        for second in 1..20 {
            host.tick(Time::from_ms(second * 1_000));
            settle(host, Time::from_ms(second * 1_000));
        }
    }

    #[test]
    fn a_life_that_was_recorded_runs_again_and_does_the_same() {
        let (room, tape) = (room(), Tape::default());
        let mut host = host(&room, &tape);
        live(&mut host);
        let mut bytes = tape.take().unwrap();
        assert_eq!(tape.take(), None);
        host.tick(Time::from_ms(90_000));
        bytes.extend(tape.take().unwrap());
        let [life] = recording::read(&bytes).unwrap().try_into().unwrap();
        assert!(life.inputs() > 3 && life.ending == Ending::Cut);
        let key = room.secrets[0].to_bytes();
        assert!(
            !bytes.windows(32).any(|window| window == key),
            "never its key"
        );
        let rerun = Rerun::of(Arc::new(life.clone()));
        assert_eq!(rerun.difference, None);
        assert_eq!(rerun.same, life.moments.len());
    }

    #[test]
    fn a_recording_ends_where_nobody_takes_it_and_its_node_goes_on() {
        let (room, tape) = (room(), Tape::default());
        let mut host = host(&room, &tape);
        host.start(Time::ZERO);
        settle(&mut host, Time::ZERO);
        for at in 0..6 {
            host.packet(Time::from_ms(at), &vec![7; 250_000]);
        }
        assert_eq!(host.replica().refused(), 6);
        let [life] = recording::read(&tape.take().unwrap())
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(life.ending, Ending::Behind);
        host.packet(Time::from_ms(9), &[1]);
        assert_eq!(tape.take(), None, "nothing follows the end");
    }

    #[test]
    fn a_recording_that_is_too_long_says_so() {
        let (room, tape) = (room(), Tape::default());
        let mut host = host(&room, &tape);
        host.start(Time::ZERO);
        settle(&mut host, Time::ZERO);
        let mut bytes = Vec::new();
        for at in 0..20 {
            host.packet(Time::from_ms(at), &vec![7; 250_000]);
            bytes.extend(tape.take().unwrap_or_default());
        }
        assert!(bytes.len() < LIFE_BYTES_MAX + 300_000);
        let [life] = recording::read(&bytes).unwrap().try_into().unwrap();
        assert_eq!(life.ending, Ending::Full);
    }
}
