//! A live run, played: the steps of recorded nodes in the order of a script, with nothing left to chance.
//!
//! Nodes are those of the recordings, with what they signed in place of their keys. What a node sends goes nowhere by
//! itself: who received it, and when, is in the script. A disk acknowledges when the recorded one did.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::disk::Disk;
use super::log::{CauseId, Told};
use super::network::Queue;
use super::{Flight, Sim, Stepped};
use crate::engine::Opened;
use crate::envelope::Refusal;
use crate::environment::Void;
use crate::event::EventKind;
use crate::ordered::{Map, Set};
use crate::recording::{Input, Moment, Played, Recording, Script, Step};
use crate::replica::{BuildError, Outgoing};
use crate::types::{Hash32, NodeId, Time};

/// A live run in progress.
#[derive(Clone)]
pub(super) struct Live {
    script: Arc<Script>,
    /// Packets that were sent and are received later, by hash.
    on_way: Map<Hash32, OnWay>,
}

/// A packet that is on its way: opened once, however many receive it.
#[derive(Clone)]
struct OnWay {
    opened: Result<Opened, Refusal>,
    flights: Vec<Flight>,
    /// What its sender had been told.
    cause: Option<CauseId>,
}

impl Live {
    /// When a step happens.
    pub(super) fn at(&self, step: u64) -> Option<Time> {
        self.step(step).map(|step| step.at)
    }

    /// The messages on their way.
    pub(super) fn flights(&self) -> impl Iterator<Item = Flight> + '_ {
        self.on_way
            .values()
            .flat_map(|packet| packet.flights.iter().copied())
    }

    fn step(&self, step: u64) -> Option<Step> {
        self.script.steps.get(usize::try_from(step).ok()?).copied()
    }
}

impl Sim {
    /// A live run before its first step. Nothing can be done to it.
    ///
    /// # Errors
    /// When a node cannot be built.
    pub fn live(script: &Arc<Script>) -> Result<Sim, BuildError> {
        let cluster = script.cluster.clone();
        let mut sim = Sim::with_parts(script.scenario.clone(), cluster, Box::new(Void))?;
        sim.queue = Queue::default();
        if script.has_gaps {
            sim.oracle.on_gap();
        }
        let recorded: Set<NodeId> = script.lives.iter().map(|life| life.head.node).collect();
        for absent in script.scenario.ids().filter(|id| !recorded.contains(id)) {
            sim.oracle.on_absent(absent);
        }
        sim.live = Some(Live {
            script: script.clone(),
            on_way: Map::new(),
        });
        Ok(sim)
    }

    /// Whether this is a live run, to which nothing can be done.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// One step of the script.
    pub(super) fn play(&mut self) -> Option<Stepped> {
        let script = self.live.as_ref()?.script.clone();
        let number = self.steps;
        let step = self.live.as_ref()?.step(number)?;
        self.now = step.at;
        self.log.begin(number, self.now);
        let life = &script.lives[step.life];
        let node = life.head.node;
        match step.what {
            Played::Over => self.crash(node),
            Played::Moment(place) => match &life.moments[place] {
                Moment::Durable { batch, .. } => {
                    self.hash_step(b'p', node, &batch.to_le_bytes());
                    let released = self.slot_mut(node).disk.persist_to(*batch);
                    for (released, cause) in released {
                        self.release(node, released, cause);
                    }
                }
                Moment::Input { now, input, .. } => self.hand(life, *now, input, step.packet),
            },
        }
        self.steps += 1;
        Some(Stepped {
            step: number,
            at: self.now,
            node: Some(node),
        })
    }

    fn hand(&mut self, life: &Recording, now: Time, input: &Input, packet: Option<Hash32>) {
        let node = life.head.node;
        if *input == Input::Start {
            self.revive(life);
        }
        let (opened, sent) = match (input, packet) {
            (Input::Packet(bytes), Some(hash)) => self.take(node, bytes, hash),
            _ => (Err(Refusal::OwnMessage), None),
        };
        let (kind, what): (u8, &[u8]) = match input {
            Input::Start => (b's', &[]),
            Input::Packet(bytes) => (b'd', &bytes[bytes.len().saturating_sub(16)..]),
            Input::Request { request, .. } => (b'q', request),
            Input::Fact(fact) => (b'f', fact),
            Input::Tick => (b't', &[]),
        };
        self.hash_step(kind, node, what);
        if let Input::Request {
            client,
            number,
            request,
        } = input
        {
            // What only clients say, as the transactions that they give to every node, the oracle hears here.
            self.oracle
                .on_request(self.now, node, *client, *number, request);
        }
        let due = self
            .slot(node)
            .replica
            .as_ref()
            .and_then(|replica| replica.due());
        let told = match (input, &opened) {
            (Input::Start, _) => Some(Told::Start),
            (Input::Request { .. }, _) => Some(Told::Request),
            (Input::Fact(_), _) => Some(Told::Fact),
            (Input::Tick, _) => due.map(Told::Timer),
            (Input::Packet(_), Ok(opened)) => Some(Told::Message {
                from: opened.from,
                info: opened.info,
                sent,
            }),
            (Input::Packet(_), Err(_)) => None,
        };
        let cause = told.and_then(|told| self.tell(node, told));
        let Some(replica) = self.slot_mut(node).replica.as_mut() else {
            return;
        };
        let output = match input {
            // It is opened already, to tell what it is.
            Input::Packet(_) => replica.receive(now, opened.as_ref().map_err(|why| *why)),
            other => other.hand_to(replica.as_mut(), now),
        };
        self.hash_writes(&output);
        let later = !output.writes.is_empty();
        let released = self.slot_mut(node).disk.push(output, cause, later);
        for (released, cause) in released {
            self.release(node, released, cause);
        }
    }

    /// The node of a life that begins, with the store that it found.
    fn revive(&mut self, life: &Recording) {
        let node = life.head.node;
        let mut replica = match life.replica() {
            Ok(replica) => replica,
            Err(error) => panic!("a life that ran again runs once more: {error}"),
        };
        replica.set_level(self.level);
        if life.head.incarnation.0 > 1 {
            self.note_fault(node, EventKind::Restarted);
        }
        let slot = self.slot_mut(node);
        slot.disk = Disk::with(life.rows.clone());
        slot.replica = Some(replica);
    }

    /// A packet arrives. Of a node that is not recorded it is heard here that it was sent.
    fn take(
        &mut self,
        node: NodeId,
        bytes: &[u8],
        hash: Hash32,
    ) -> (Result<Opened, Refusal>, Option<CauseId>) {
        self.net.delivered += 1;
        if let Some(live) = &mut self.live
            && let Some(packet) = live.on_way.get_mut(&hash)
        {
            let (opened, cause) = (packet.opened.clone(), packet.cause);
            let arrived = packet.flights.iter().position(|flight| flight.to == node);
            arrived.map(|place| packet.flights.remove(place));
            if packet.flights.is_empty() {
                live.on_way.remove(&hash);
            }
            return (opened, cause);
        }
        let replica = self.slot(node).replica.as_ref();
        let opened = replica.map_or(Err(Refusal::OwnMessage), |replica| replica.open(bytes));
        if let Ok(opened) = &opened {
            self.oracle.on_send(self.now, opened.from, opened);
        }
        (opened, None)
    }

    /// A packet leaves: the oracle hears it, and it is on its way to those who received it.
    pub(super) fn let_go(&mut self, from: NodeId, outgoing: &Outgoing, cause: Option<CauseId>) {
        let Some(replica) = self.slot(from).replica.as_ref() else {
            return;
        };
        let opened = replica.open(&outgoing.packet);
        if let Ok(opened) = &opened {
            self.oracle.on_send(self.now, from, opened);
        }
        let (now, step) = (self.now, self.steps);
        let Some(live) = &mut self.live else { return };
        let hash = Hash32(*blake3::hash(&outgoing.packet).as_bytes());
        let receipts = live.script.receipts.get(&hash).into_iter().flatten();
        let flights: Vec<Flight> = receipts
            .filter(|receipt| receipt.step > step)
            .map(|receipt| Flight {
                from,
                to: receipt.to,
                sent: now,
                arrives: receipt.at,
                step,
                info: outgoing.info,
            })
            .collect();
        if !flights.is_empty() {
            let packet = OnWay {
                opened,
                flights,
                cause,
            };
            live.on_way.insert(hash, packet);
        }
    }
}
