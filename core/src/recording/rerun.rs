//! A life, run again: the same inputs into the same code, compared after each.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use core::fmt;

use super::{Digest, Ending, Moment, Recording};
use crate::crypto::{Keyring, Signature};
use crate::replica::{Outbox, Released, Replica};
use crate::store::{Rows, WriteBatch};
use crate::types::Hash32;

/// A life that runs again.
pub struct Rerun {
    /// The life.
    pub life: Arc<Recording>,
    /// The first difference; `None` if it came the same so far.
    pub difference: Option<Difference>,
    /// How many of its moments came the same.
    pub same: usize,
    /// The packets that left it: at which moment, and the hash of each.
    pub(crate) sent: Vec<(usize, Hash32)>,
    /// Whether any write of it was acknowledged.
    is_durable: bool,
    /// Its store after the last write that was.
    rows: Rows,
    /// Writes whose acknowledgement is not recorded: each may have reached the disk, in order.
    tail: Vec<WriteBatch>,
    /// The node, until its end or the first difference.
    running: Option<Running>,
}

/// A node in the middle of its life.
struct Running {
    keyring: Keyring,
    /// Recorded signatures that were not verified yet.
    unverified: vec::IntoIter<(Hash32, Signature)>,
    replica: Box<dyn Replica>,
    digest: Digest,
    outbox: Outbox,
    inputs: u64,
}

/// The first thing that does not come as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The node cannot be made from what the recording begins with.
    Node(String),
    /// The node is of another life than the recording says.
    Life,
    /// A recorded signature is not of this node's key.
    Signature {
        /// What it is said to have signed.
        preimage: Hash32,
    },
    /// An input has another effect.
    Input {
        /// Its number in the life, from 0.
        number: u64,
        /// Its kind.
        kind: &'static str,
        /// When it was handled, in milliseconds of the node's clock.
        at_ms: u64,
    },
    /// A batch is acknowledged that the node never wrote.
    Durable {
        /// Its number.
        batch: u64,
    },
    /// The store is not as the node's last life left it.
    Rows,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Node(why) => write!(f, "the node cannot be made: {why}"),
            Difference::Life => write!(f, "its store is of another life than it says"),
            Difference::Signature { preimage } => {
                let what = preimage.short();
                write!(f, "its signature of {what} is not of its key")
            }
            Difference::Input {
                number,
                kind,
                at_ms,
            } => write!(
                f,
                "input {number}, a {kind} at {at_ms} ms, has another effect"
            ),
            Difference::Durable { batch } => {
                write!(f, "batch {batch} is acknowledged, which was never written")
            }
            Difference::Rows => write!(f, "its store is not as its last life left it"),
        }
    }
}

impl Rerun {
    /// Runs a life again, as far as it comes the same.
    pub fn of(life: Arc<Recording>) -> Rerun {
        let mut rerun = Rerun::begin(life);
        while rerun.step() {}
        rerun
    }

    /// A life before its first step.
    pub fn begin(life: Arc<Recording>) -> Rerun {
        let (running, difference) = match Running::new(&life) {
            Ok(running) => (Some(running), None),
            Err(difference) => (None, Some(difference)),
        };
        Rerun {
            difference,
            same: 0,
            sent: Vec::new(),
            is_durable: false,
            rows: life.rows.clone(),
            tail: Vec::new(),
            running,
            life,
        }
    }

    /// Verifies one signature, or lets one moment come; whether there is more to do.
    pub fn step(&mut self) -> bool {
        let Some(mut running) = self.running.take() else {
            return false;
        };
        match self.advance(&mut running) {
            Ok(true) => {
                self.running = Some(running);
                true
            }
            Ok(false) => false,
            Err(difference) => {
                self.difference = Some(difference);
                false
            }
        }
    }

    /// Whether a moment was left to come, or a signature to verify.
    fn advance(&mut self, running: &mut Running) -> Result<bool, Difference> {
        let life = self.life.clone();
        if let Some((preimage, signature)) = running.unverified.next() {
            let is_own = running
                .keyring
                .verify(life.head.node, &preimage, &signature);
            return match is_own {
                true => Ok(true),
                false => Err(Difference::Signature { preimage }),
            };
        }
        let place = self.same;
        match life.moments.get(place) {
            None => return Ok(false),
            Some(Moment::Input { now, input, digest }) => {
                let output = input.hand_to(running.replica.as_mut(), *now);
                if running.digest.step(*now, input, &output) != *digest {
                    return Err(Difference::Input {
                        number: running.inputs,
                        kind: input.name(),
                        at_ms: now.as_ms(),
                    });
                }
                running.inputs += 1;
                if !output.is_empty() {
                    let released = running.outbox.push(output);
                    self.tail.extend(running.outbox.take_batch());
                    released.iter().for_each(|what| self.note(place, what));
                }
            }
            Some(Moment::Durable { batch, .. }) => {
                let mut written = self.tail.iter().map(WriteBatch::durable).enumerate();
                let Some((index, durable)) =
                    written.find(|(_, durable)| durable.number() == *batch)
                else {
                    return Err(Difference::Durable { batch: *batch });
                };
                for write in self.tail.drain(..=index) {
                    self.rows.apply(&write);
                }
                self.is_durable = true;
                let released = running.outbox.durable(durable);
                released.iter().for_each(|what| self.note(place, what));
            }
        }
        self.same = place + 1;
        Ok(true)
    }

    fn note(&mut self, place: usize, released: &Released) {
        for outgoing in &released.sends {
            self.sent.push((place, hash(&outgoing.packet)));
        }
    }

    /// What is done, and what there is to do: moments that came, and all of them.
    pub fn progress(&self) -> (usize, usize) {
        (self.same, self.life.moments.len())
    }

    /// Compares with the node's next life, which begins with what this one left: notes there if it does not.
    ///
    /// A write that nobody acknowledged may have reached the disk or not. If the recording ends before its node did,
    /// rows that fit nowhere say nothing; but a life that wrote anything down is never lived twice.
    fn leave_to(&self, next: &mut Rerun) {
        if self.difference.is_some() || next.difference.is_some() {
            return;
        }
        let mut rows = self.rows.clone();
        let mut is_same = is_alike(&rows, &next.life.rows);
        for write in &self.tail {
            rows.apply(write);
            is_same |= is_alike(&rows, &next.life.rows);
        }
        let is_whole = self.life.ending == Ending::Stopped;
        let is_lived = self.is_durable && next.life.head.incarnation <= self.life.head.incarnation;
        if is_lived || is_whole && !is_same {
            next.difference = Some(Difference::Rows);
        }
    }
}

impl Running {
    fn new(life: &Recording) -> Result<Running, Difference> {
        let head = &life.head;
        let keyring = Keyring::new(head.genesis.crypto, &head.genesis.members)
            .map_err(|error| Difference::Node(error.to_string()))?;
        let replica = life
            .replica()
            .map_err(|error| Difference::Node(error.to_string()))?;
        if replica.incarnation() != head.incarnation {
            return Err(Difference::Life);
        }
        let signatures = life.signatures.iter().map(|(of, by)| (*of, *by));
        Ok(Running {
            keyring,
            unverified: signatures.collect::<Vec<_>>().into_iter(),
            replica,
            digest: Digest::new(&head.genesis.hash(), head.node, head.incarnation),
            outbox: Outbox::new(),
            inputs: 0,
        })
    }
}

/// Puts lives in order, by node and number, and compares each with what the one before it left.
pub fn compare_stores(reruns: &mut [Rerun]) {
    reruns.sort_by_key(|rerun| rerun.life.head.order());
    for place in 1..reruns.len() {
        let (before, after) = reruns.split_at_mut(place);
        let (last, next) = (&before[place - 1], &mut after[0]);
        if last.life.head.node == next.life.head.node {
            last.leave_to(next);
        }
    }
}

/// The hash by which a packet is found again.
pub(crate) fn hash(packet: &[u8]) -> Hash32 {
    Hash32(*blake3::hash(packet).as_bytes())
}

/// Whether two stores have the same rows.
fn is_alike(one: &Rows, other: &Rows) -> bool {
    let tables = one.tables().chain(other.tables());
    tables
        .into_iter()
        .all(|id| one.table(id).eq(other.table(id)))
}
