//! Every write and every sync of a node's life fails once: nothing that was promised is forgotten, nothing is said twice.
//!
//! Node 1 of three has the disk that fails. What is found on it afterwards starts the node again, among others that
//! forgot everything and see another chain: they ask it to sign another value for the same event, and only its store
//! keeps it from doing so.

use std::collections::VecDeque;
use std::sync::Arc;

use phaselab_core::crypto::Crypto;
use phaselab_core::engine::{Genesis, To};
use phaselab_core::environment::Environment;
use phaselab_core::oracle::Oracle;
use phaselab_core::protocol::{Cluster, simulated_genesis};
use phaselab_core::replica::{Outbox, Released, Replica};
use phaselab_core::scenario::Scenario;
use phaselab_core::types::{ClientId, NodeId, Time};

use super::super::check::examine_bytes;
use super::super::faulty::{FaultyDisk, Kept};
use super::super::header::FLAGS_AT;
use super::*;
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

const NODES: usize = 3;
/// Long enough for both events to be decided and confirmed, and for a round to fail.
const LIFE: Time = Time(2_500_000_000);

/// Three nodes in one process, the first with a store.
struct Three {
    genesis: Genesis,
    cluster: Arc<dyn Cluster>,
    oracle: Box<dyn Oracle>,
}

/// What is left of node 1 when its store fails.
struct Crash {
    /// The rows of every batch that was acknowledged.
    promised: Rows,
    /// And those of the batch that failed on top.
    attempted: Rows,
}

impl Three {
    fn new() -> Three {
        let mut scenario = Scenario::new(PROTOCOL, NODES as u16);
        scenario.crypto = Crypto::Simulated;
        let genesis = simulated_genesis(&scenario);
        let cluster = PROTOCOL.cluster(&genesis).unwrap();
        Three {
            oracle: cluster.oracle(),
            genesis,
            cluster,
        }
    }

    /// One life of all three, from these rows; the others start empty. `Err` if the store failed.
    fn live(&mut self, store: &Store, rows: Rows, chain: &str) -> Result<Rows, Crash> {
        let setting = PROTOCOL.parse_environment("chain", chain).unwrap();
        let world = PROTOCOL.environment_of(&setting, &self.genesis, 1).unwrap();
        let replica = |index: usize| {
            let rows = if index == 0 { &rows } else { &Rows::default() };
            let id = NodeId(index as u16 + 1);
            self.cluster.node(id, rows, 7).unwrap()
        };
        let mut life = Life {
            replicas: (0..NODES).map(replica).collect(),
            outboxes: (0..NODES).map(|_| Outbox::new()).collect(),
            world,
            oracle: self.oracle.as_mut(),
            queue: VecDeque::new(),
            now: Time::ZERO,
            rows,
        };
        life.run(store)?;
        Ok(life.rows)
    }
}

struct Life<'a> {
    replicas: Vec<Box<dyn Replica>>,
    outboxes: Vec<Outbox>,
    world: Box<dyn Environment>,
    oracle: &'a mut dyn Oracle,
    queue: VecDeque<(usize, Arc<[u8]>)>,
    now: Time,
    rows: Rows,
}

impl Life<'_> {
    fn run(&mut self, store: &Store) -> Result<(), Crash> {
        for index in 0..NODES {
            let output = self.replicas[index].start(self.now);
            self.absorb(index, output);
            if let Some(view) = self.world.full_view(self.now, NodeId(index as u16 + 1)) {
                let output = self.replicas[index].fact(self.now, &view);
                self.absorb(index, output);
            }
        }
        for (number, event) in ["one", "two"].into_iter().enumerate() {
            let request = format!("event = \"{event}\"\namount = 25");
            let request = PROTOCOL.parse_request("request", &request).unwrap();
            for index in 0..NODES {
                let client = ClientId(index as u64);
                let output =
                    self.replicas[index].request(self.now, client, number as u64 + 1, &request);
                self.absorb(index, output);
            }
        }
        loop {
            self.commit(store)?;
            if let Some((index, packet)) = self.queue.pop_front() {
                let opened = self.replicas[index].open(&packet);
                let output =
                    self.replicas[index].receive(self.now, opened.as_ref().map_err(|why| *why));
                self.absorb(index, output);
                continue;
            }
            let deadlines = self
                .replicas
                .iter()
                .filter_map(|replica| replica.deadline());
            let Some(next) = deadlines.chain(self.world.deadline()).min() else {
                return Ok(());
            };
            self.now = self.now.max(next);
            if self.now > LIFE {
                return Ok(());
            }
            for (node, fact) in self.world.poll(self.now) {
                let index = usize::from(node.0) - 1;
                let output = self.replicas[index].fact(self.now, &fact);
                self.absorb(index, output);
            }
            for index in 0..NODES {
                let output = self.replicas[index].tick(self.now);
                self.absorb(index, output);
            }
        }
    }

    fn absorb(&mut self, index: usize, output: phaselab_core::replica::Output) {
        if let Some(released) = self.outboxes[index].push(output) {
            self.release(index, released);
        }
    }

    fn commit(&mut self, store: &Store) -> Result<(), Crash> {
        for index in 0..NODES {
            let Some(batch) = self.outboxes[index].take_batch() else {
                continue;
            };
            let durable = if index == 0 {
                let promised = self.rows.clone();
                self.rows.apply(&batch);
                store.commit(&batch).map_err(|_| Crash {
                    promised,
                    attempted: self.rows.clone(),
                })?
            } else {
                batch.durable()
            };
            for released in self.outboxes[index].durable(durable) {
                self.release(index, released);
            }
        }
        Ok(())
    }

    fn release(&mut self, index: usize, released: Released) {
        let from = NodeId(index as u16 + 1);
        for record in &released.records {
            self.oracle.on_record(self.now, from, record);
        }
        for report in &released.reports {
            self.world.report(self.now, from, report);
        }
        for sent in released.sends {
            let opened = self.replicas[(index + 1) % NODES]
                .open(&sent.packet)
                .unwrap();
            self.oracle.on_send(self.now, from, &opened);
            for to in (0..NODES).filter(|to| *to != index) {
                if sent.to == To::Node(NodeId(to as u16 + 1)) || !matches!(sent.to, To::Node(_)) {
                    self.queue.push_back((to, sent.packet.clone()));
                }
            }
        }
    }
}

fn store_on(disk: impl StorageBackend) -> Result<Store, redb::DatabaseError> {
    let database = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(disk)?;
    Ok(Store::over(Path::new("node"), database, PROTOCOL.tables()))
}

fn memory(image: &[u8]) -> InMemoryBackend {
    let memory = InMemoryBackend::new();
    memory.set_len(image.len() as u64).unwrap();
    StorageBackend::write(&memory, 0, image).unwrap();
    memory
}

/// Opens what a crash left, as [`Store::open`] does with a file.
pub(super) fn reopen(mut image: Vec<u8>) -> Result<Store, Problem> {
    let examined = examine_bytes(|| Ok(memory(&image)), PROTOCOL.tables())?;
    if let Some(flags) = examined.flags {
        image[FLAGS_AT as usize] = flags;
    }
    store_on(memory(&image)).map_err(Problem::of)
}

/// A fresh store on a disk that fails from an operation of its life on.
fn fresh(fails_at: Option<u64>) -> (FaultyDisk, Store) {
    let disk = FaultyDisk::default();
    let store = store_on(disk.clone()).unwrap();
    store.begin(&[7; 32]).unwrap();
    if let Some(at) = fails_at {
        disk.fail_at(disk.operations() + at);
    }
    (disk, store)
}

/// A store after a life, closed and as a killed process leaves it, with its rows.
pub(super) fn lived_in() -> [(Vec<u8>, Rows); 2] {
    let (disk, store) = fresh(None);
    let rows = Three::new().live(&store, Rows::default(), CHAIN);
    let rows = rows.ok().expect("nothing fails");
    let killed = disk.image(Kept::All);
    drop(store);
    [(disk.image(Kept::All), rows.clone()), (killed, rows)]
}

const CHAIN: &str = "amount = 100\n";
const OTHER_CHAIN: &str = "amount = 70\n";

/// Node 1's promises after a second life among strangers; the others' word binds nobody any more.
fn live_again(three: &mut Three, store: &Store, rows: Rows) -> bool {
    for other in 2..=NODES as u16 {
        three.oracle.on_byzantine(NodeId(other));
    }
    assert!(three.live(store, rows, OTHER_CHAIN).is_ok());
    three.oracle.holds()
}

#[test]
fn a_store_that_fails_at_any_write_forgets_nothing_that_it_acknowledged() {
    let (disk, store) = fresh(None);
    let before = disk.operations();
    let whole = Three::new()
        .live(&store, Rows::default(), CHAIN)
        .ok()
        .unwrap();
    let operations = disk.operations() - before;
    assert!(store.rows().unwrap() == whole);
    assert!(operations > 50, "a life of {operations} operations");

    let (mut old, mut new, mut kept_promises) = (0, 0, 0);
    for at in 1..=operations {
        let (disk, store) = fresh(Some(at));
        let mut three = Three::new();
        let Err(crash) = three.live(&store, Rows::default(), CHAIN) else {
            panic!("operation {at} of {operations} failed, and the node went on");
        };
        drop(store);
        let ways = [
            Kept::All,
            Kept::Nothing,
            Kept::Prefix(at as usize * 211 % 1000),
            Kept::Some(at),
        ];
        for (way, kept) in ways.into_iter().enumerate() {
            let store = match reopen(disk.image(kept)) {
                Ok(store) => store,
                Err(problem) => panic!("operation {at}, {kept:?}: {problem:?}"),
            };
            let rows = store.rows().unwrap();
            let has_old = rows == crash.promised;
            assert!(
                has_old || rows == crash.attempted,
                "operation {at}, {kept:?}: neither what was promised nor what was attempted"
            );
            old += u32::from(has_old);
            new += u32::from(!has_old);
            // One life afterwards for each operation, over all ways in turn.
            if way == at as usize % ways.len() {
                assert!(
                    live_again(&mut three, &store, rows),
                    "operation {at}, {kept:?}: {:?}",
                    three.oracle.verdicts()
                );
                kept_promises += 1;
            }
        }
    }
    assert!(old > 0 && new > 0 && kept_promises == operations);
}

/// The test above can fail: a node without its rows breaks its word among the same others.
#[test]
fn a_node_that_lost_its_store_would_sign_twice() {
    let (_disk, store) = fresh(None);
    let mut three = Three::new();
    assert!(three.live(&store, Rows::default(), CHAIN).is_ok());
    assert!(three.oracle.holds());
    let (_disk, empty) = fresh(None);
    assert!(!live_again(&mut three, &empty, Rows::default()));
}
