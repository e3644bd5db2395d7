//! A recording ends where it must, says why, and never holds anyone up.

use super::*;
use crate::recording::{QUEUE_BYTES_MAX, Recorder, RecordingOptions};
use crate::testing::scratch;
use phaselab_core::protocol::{ProtocolKind, simulated_genesis};
use phaselab_core::recording::{self, Input, Recording};
use phaselab_core::scenario::Scenario;
use phaselab_core::types::{Incarnation, Time};

fn head() -> Head {
    let genesis = simulated_genesis(&Scenario::new(ProtocolKind::TwoPhase, 3));
    Head::new(
        genesis,
        NodeId(2),
        Incarnation(4),
        [7; 32],
        0,
        &Rows::default(),
    )
}

fn begun(folder: &Path, bytes_max: u64) -> Begun {
    let (path, mut file) = create(folder, &head()).unwrap();
    let mut bytes = Vec::new();
    let writer = Writer::begin(&head(), &Rows::default(), &mut bytes).unwrap();
    file.write_all(&bytes).unwrap();
    Begun {
        path,
        file,
        writer,
        written: bytes.len() as u64,
        bytes_max,
    }
}

fn packet(bytes: usize) -> Entry {
    Entry::Input {
        now: Time::ZERO,
        input: Input::Packet(vec![5; bytes]),
        digest: 9,
    }
}

fn start() -> Entry {
    Entry::Input {
        now: Time::ZERO,
        input: Input::Start,
        digest: 0,
    }
}

fn queue() -> (Arc<Queue>, Receiver<Entry>) {
    let options = RecordingOptions {
        enabled: true,
        ..RecordingOptions::default()
    };
    Recorder::new(&options).0.unwrap()
}

fn read(path: &Path) -> Recording {
    recording::read(&std::fs::read(path).unwrap())
        .unwrap()
        .remove(0)
}

#[test]
fn a_life_that_stops_is_there_in_full() {
    let folder = scratch("recording-stops");
    let (queue, entries) = queue();
    let begun = begun(&folder, u64::MAX);
    let path = begun.path.clone();
    assert_eq!(path, folder.join("node-2.4.rec"));
    queue.push(start());
    (0..5_000).for_each(|_| queue.push(packet(100)));
    queue.push(Entry::End(Ending::Stopped));
    assert_eq!(write(begun, &entries, &queue), None);
    let life = read(&path);
    assert_eq!((life.inputs(), life.ending), (5_001, Ending::Stopped));
    assert_eq!(life.head, head());
    // A life that is lived again gets a file of its own.
    assert_eq!(
        create(&folder, &head()).unwrap().0,
        folder.join("node-2.4.2.rec")
    );
}

#[test]
fn at_its_limit_a_recording_says_so_and_takes_no_more() {
    let folder = scratch("recording-full");
    let (queue, entries) = queue();
    let begun = begun(&folder, 20_000);
    let path = begun.path.clone();
    queue.push(start());
    (0..1_000).for_each(|_| queue.push(packet(100)));
    let why = write(begun, &entries, &queue).unwrap();
    assert!(why.contains("max_bytes"), "{why}");
    let life = read(&path);
    assert_eq!(life.ending, Ending::Full);
    assert!((50..200).contains(&life.inputs()), "{}", life.inputs());
    assert!(life.bytes <= 20_000 && life.bytes == path.metadata().unwrap().len());
}

#[test]
fn what_finds_no_room_in_the_queue_ends_the_recording_and_waits_for_nobody() {
    let folder = scratch("recording-behind");
    let (queue, entries) = queue();
    let begun = begun(&folder, u64::MAX);
    let path = begun.path.clone();
    queue.push(start());
    let fit = QUEUE_BYTES_MAX / 100_000;
    // Nobody takes anything out; each push returns at once, and none after the first that was lost is taken.
    (0..fit + 50).for_each(|_| queue.push(packet(100_000)));
    queue.push(Entry::End(Ending::Stopped));
    let why = write(begun, &entries, &queue).unwrap();
    assert!(why.contains("too slow"), "{why}");
    let life = read(&path);
    assert_eq!(life.ending, Ending::Behind);
    let inputs = life.inputs() as usize;
    assert!((fit / 2..=fit + 1).contains(&inputs), "{inputs} of {fit}");
}

#[test]
fn a_disk_that_fails_ends_the_recording_and_the_file_says_so() {
    let (queue, entries) = queue();
    let folder = scratch("recording-unwritten");
    let mut begun = begun(&folder, u64::MAX);
    let path = begun.path.clone();
    let mut mark = begun.writer.fork();
    let mut bytes = Vec::new();
    mark.push(&start(), &mut bytes);
    begun.file.write_all(&bytes).unwrap();
    begun.written += bytes.len() as u64;
    begun.writer = mark.fork();
    // Half of the next record reached the disk.
    begun.file.write_all(&[1; 20]).unwrap();
    begun.give_up(mark);
    let life = read(&path);
    assert_eq!((life.inputs(), life.ending), (1, Ending::Unwritten));
    assert!(life.ending.is_early());

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    if let Ok(file) = full {
        begun.file = file;
        queue.push(packet(100));
        let why = write(begun, &entries, &queue).unwrap();
        assert!(why.contains("no space left"), "{why}");
    }
}
