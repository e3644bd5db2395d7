//! Multi-Paxos: a log on which a group agrees, slot by slot, while a majority of it runs.
//!
//! After Lamport, *Paxos Made Simple* (2001), with the stable leader of its section 3. Pure: the caller sends, arms
//! timers and applies; what must survive is in two tables, `promised` and `log`.
//!
//! Upon the election timer: take a ballot above every one that was promised, promise it, and ask the group what it
//! accepted. ([PMS] phase 1a)
//! Upon such a question with a ballot above the promise: promise it, and answer with every entry from the asked slot on.
//! (1b) A lower one is refused, with the promise.
//! Upon answers of a majority: lead. Per slot take what was accepted under the highest ballot, a no-op where nothing
//! was, and ask the group to accept it; then a no-op of one's own in a slot above all. (2a) Requests are proposed in
//! new slots; reads are served once the own no-op is chosen.
//! Upon such a request under a ballot that is not below the promise: promise it, accept, answer. (2b)
//! Upon acceptance by a majority: the entry is chosen; tell the group.
//! Upon a chosen entry: keep it; entries are applied in the order of slots, each once.
//!
//! *Why it is safe.* Let v be chosen in a slot under ballot b: a majority accepted it. A leader of a ballot b' > b heard
//! a majority first, and the two share a member. If that member accepted v before it promised b', it told of v; if
//! after, it had promised b' > b and would have refused. By induction over the ballots between, each of which proposed
//! v, what the leader of b' heard under the highest ballot is v. A slot is always new: two commands never compete for one
//! by the will of their proposer. (S4-F2, S4-F24)
//!
//! *Why it is live.* Once messages arrive in time and a majority runs, an election timer that is drawn at random fires
//! alone at some time; its owner takes a ballot above every promise it was refused with.
//!
//! A member counts itself in the same step in which it accepts; that step's writes are durable before anything leaves.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ordered::{Map, Set};
use crate::quorum::Quorum;
use crate::store::{AnyTable, RecoverError, Rows, Table, TableSpec};
use crate::types::NodeId;

mod acceptor;
mod leader;
mod reuse;
#[cfg(test)]
mod tests;

/// A place in the log, counted from 1.
pub type Slot = u64;

/// A leader's term: unique to its owner, and ordered.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// How often leadership was sought.
    pub round: u64,
    /// By whom.
    pub node: NodeId,
}

/// What stands in a slot. (S4-36 `LogEntry`)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogEntry<C> {
    /// Under which ballot it was accepted last.
    pub ballot: Ballot,
    /// The command; `None` is a no-op. (S4-39 `isNoOp`)
    pub req: Option<C>,
    /// Whether it is known to be chosen.
    pub chosen: bool,
}

/// What members of a group say. (S4-12, S4-15, S4-57)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message<C> {
    /// Seeks leadership: what was accepted from this slot on?
    Elect {
        /// The ballot that is sought.
        ballot: Ballot,
        /// The first slot that the candidate does not know to be chosen.
        from: Slot,
    },
    /// Nothing below the ballot will be accepted; this was.
    Promise {
        /// The ballot that is promised.
        ballot: Ballot,
        /// The first slot that is still in the log here.
        base: Slot,
        /// What was accepted, in the order of slots.
        entries: Vec<(Slot, LogEntry<C>)>,
    },
    /// Asks to accept.
    AcceptRequest {
        /// The leader's ballot.
        ballot: Ballot,
        /// The slot.
        seq: Slot,
        /// The command.
        req: Option<C>,
    },
    /// Accepted.
    AcceptedReply {
        /// Under this ballot.
        ballot: Ballot,
        /// In this slot.
        seq: Slot,
    },
    /// Chosen.
    CommitRequest {
        /// The ballot under which it was.
        ballot: Ballot,
        /// The slot.
        seq: Slot,
        /// The command.
        req: Option<C>,
    },
    /// A higher ballot was promised.
    Refused {
        /// That one.
        ballot: Ballot,
    },
    /// The leader is alive.
    Heartbeat {
        /// Its ballot.
        ballot: Ballot,
        /// All slots up to this one are chosen.
        chosen: Slot,
        /// Which question of leadership this is; answers name it.
        probe: u64,
    },
    /// The leader was heard, and is still followed.
    HeartbeatReply {
        /// Its ballot.
        ballot: Ballot,
        /// All slots up to this one are chosen here.
        chosen: Slot,
        /// The question that is answered.
        probe: u64,
    },
    /// What was chosen from this slot on?
    CatchUp {
        /// The first slot that is missing.
        from: Slot,
    },
}

/// Whom a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One member of the group.
    One(NodeId),
    /// Every other member.
    Others,
}

/// What a step asks of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out<C> {
    /// What is to be sent, in order.
    pub sends: Vec<(Whom, Message<C>)>,
    /// Whether a leader was heard or a promise was made: the election timer starts again.
    pub postpone: bool,
    /// A member that lags behind what the log still holds: it needs a snapshot.
    pub lags: Option<NodeId>,
}

impl<C> Default for Out<C> {
    fn default() -> Self {
        Out {
            sends: Vec::new(),
            postpone: false,
            lags: None,
        }
    }
}

/// A group, as one of its members sees it.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// The member itself.
    pub me: NodeId,
    /// All members, itself included, in id order.
    pub members: &'a [NodeId],
}

impl Group<'_> {
    fn quorum(self) -> Quorum {
        Quorum::crash_majority(self.members.len() as u16)
    }

    fn has(self, node: NodeId) -> bool {
        self.members.contains(&node)
    }
}

/// What a member is in its group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Role<C> {
    Follower,
    Candidate {
        ballot: Ballot,
        promises: Map<NodeId, Vec<(Slot, LogEntry<C>)>>,
    },
    Leader(Leading),
}

/// A leader's own knowledge; lost with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leading {
    ballot: Ballot,
    /// The slot of its first no-op: what was chosen before it led lies below.
    first: Slot,
    /// The next slot to propose in.
    next: Slot,
    /// Who accepted what is not chosen yet.
    accepted_by: Map<Slot, Set<NodeId>>,
    /// How far each member is, by its own word.
    chosen_at: Map<NodeId, Slot>,
    /// The last question of leadership, and the last that each member answered.
    probe: u64,
    answered: Map<NodeId, u64>,
}

/// The two tables of a log.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Holds the promise under key 0, and the last slot that was dropped under key 1.
    pub promised: TableSpec,
    /// Holds the entries by slot.
    pub log: TableSpec,
}

/// Slots that a leader may have open at once, and that a member keeps ahead of what it knows to be chosen.
pub const WINDOW: u64 = 256;

/// Entries that are told in one answer.
const ENTRIES_MAX: usize = 2 * WINDOW as usize;

const PROMISED: u8 = 0;
const DROPPED: u8 = 1;

/// One member's part of a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Paxos<C> {
    /// Under `PROMISED` the highest ballot that was promised; under `DROPPED` a ballot whose round is a slot.
    promised: Table<u8, Ballot>,
    log: Table<Slot, LogEntry<C>>,
    role: Role<C>,
    /// All slots up to this one are chosen.
    chosen: Slot,
    /// The ballot of the leader that was heard last.
    leader: Option<Ballot>,
}

impl<C: Clone + Eq + Serialize + serde::de::DeserializeOwned> Paxos<C> {
    /// Reads a member's part back from its rows; an empty store gives an empty log.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn load(tables: Tables, rows: &Rows) -> Result<Paxos<C>, RecoverError> {
        let mut paxos = Paxos {
            promised: Table::load(tables.promised, rows)?,
            log: Table::load(tables.log, rows)?,
            role: Role::Follower,
            chosen: 0,
            leader: None,
        };
        paxos.chosen = paxos.dropped();
        paxos.advance();
        Ok(paxos)
    }

    /// Visits its tables.
    pub fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        visit(&mut self.promised);
        visit(&mut self.log);
    }
}

impl<C: Clone + Eq> Paxos<C> {
    /// The highest ballot that was promised.
    pub fn promised(&self) -> Ballot {
        self.promised.get(&PROMISED).copied().unwrap_or_default()
    }

    /// All slots up to this one are known to be chosen.
    pub fn chosen(&self) -> Slot {
        self.chosen
    }

    /// Every slot up to this one was dropped; a snapshot stands for them.
    pub fn dropped(&self) -> Slot {
        self.promised.get(&DROPPED).map_or(0, |held| held.round)
    }

    /// What stands in a slot.
    pub fn entry(&self, slot: Slot) -> Option<&LogEntry<C>> {
        self.log.get(&slot)
    }

    /// The log as far as it is here, in the order of slots.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (Slot, &LogEntry<C>)> {
        self.log.iter().map(|(slot, entry)| (*slot, entry))
    }

    /// The ballot of the leader that is followed, if one was heard.
    pub fn leader(&self) -> Option<Ballot> {
        match &self.role {
            Role::Leader(leading) => Some(leading.ballot),
            _ => self.leader,
        }
    }

    /// Whether this member leads.
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Whether this member leads and knows everything that was chosen before it did.
    pub fn is_ready(&self) -> bool {
        matches!(&self.role, Role::Leader(leading) if self.chosen >= leading.first)
    }

    /// The ballot that this member seeks to lead under.
    pub fn seeks(&self) -> Option<Ballot> {
        match &self.role {
            Role::Candidate { ballot, .. } => Some(*ballot),
            _ => None,
        }
    }

    /// How many members accepted what stands in an open slot; for whoever leads.
    pub fn acceptances(&self, slot: Slot) -> Option<usize> {
        let Role::Leader(leading) = &self.role else {
            return None;
        };
        leading.accepted_by.get(&slot).map(Set::len)
    }

    /// Whether a member is known to have accepted what stands in an open slot; for whoever leads.
    pub fn has_accepted(&self, slot: Slot, node: NodeId) -> bool {
        let Role::Leader(leading) = &self.role else {
            return false;
        };
        leading
            .accepted_by
            .get(&slot)
            .is_some_and(|by| by.contains(&node))
    }

    /// Drops the log up to a slot whose effects are durable elsewhere. What is not known to be chosen stays.
    pub fn drop_to(&mut self, slot: Slot) {
        let slot = slot.min(self.chosen);
        let gone: Vec<Slot> = self.log.range(..=slot).map(|(slot, _)| *slot).collect();
        if slot <= self.dropped() {
            return;
        }
        gone.iter().for_each(|slot| self.log.delete(slot));
        self.keep_dropped(slot);
    }

    /// Takes a snapshot that stands for every slot up to this one.
    pub fn install(&mut self, slot: Slot) {
        if slot <= self.chosen {
            return;
        }
        let gone: Vec<Slot> = self.log.range(..=slot).map(|(slot, _)| *slot).collect();
        gone.iter().for_each(|slot| self.log.delete(slot));
        self.keep_dropped(slot);
        self.chosen = slot;
        self.advance();
    }

    fn keep_dropped(&mut self, slot: Slot) {
        let held = Ballot {
            round: slot,
            node: NodeId(0),
        };
        self.promised.put(DROPPED, held);
    }

    /// Notes which slots in a row are chosen.
    fn advance(&mut self) {
        while self
            .log
            .get(&(self.chosen + 1))
            .is_some_and(|entry| entry.chosen)
        {
            self.chosen += 1;
        }
    }

    /// Handles what a member of the group says.
    pub fn receive(&mut self, group: Group<'_>, from: NodeId, message: &Message<C>) -> Out<C> {
        let mut out = Out::default();
        if !group.has(from) || from == group.me {
            return out;
        }
        match message {
            Message::Elect { ballot, from: slot } => {
                self.on_elect(from, *ballot, *slot, &mut out);
            }
            Message::Promise {
                ballot,
                base,
                entries,
            } => self.on_promise(group, from, *ballot, *base, entries, &mut out),
            Message::AcceptRequest { ballot, seq, req } => {
                self.on_accept_request(from, *ballot, *seq, req, &mut out);
            }
            Message::AcceptedReply { ballot, seq } => {
                self.on_accepted_reply(group, from, *ballot, *seq, &mut out);
            }
            Message::CommitRequest { ballot, seq, req } => {
                self.on_commit_request(*ballot, *seq, req, &mut out);
            }
            Message::Refused { ballot } => self.on_refused(*ballot),
            Message::Heartbeat {
                ballot,
                chosen,
                probe,
            } => self.on_heartbeat(from, *ballot, *chosen, *probe, &mut out),
            Message::HeartbeatReply {
                ballot,
                chosen,
                probe,
            } => self.on_heartbeat_reply(group, from, *ballot, *chosen, *probe, &mut out),
            Message::CatchUp { from: slot } => self.on_catch_up(from, *slot, &mut out),
        }
        out
    }
}
