//! What clients ask, and what they are told. (S4-09, S4-33, S4-37)

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::{Item, Reason, TxnId};
use super::config::Place;
use super::machine::{Client, Outcome};
use super::{Cx, Reading, Sharded2pc, flaws};
use crate::flaw::FlawSet;
use crate::types::{ClientId, GroupId, NodeId};

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// To move money.
    Transfer {
        /// From.
        sender: Item,
        /// To.
        receiver: Item,
        /// How much.
        amount: u64,
    },
    /// What an item holds. (`PrintBalance`)
    Read {
        /// Which.
        item: Item,
    },
    /// To have an item, with what it holds, live in another cluster. (S4-54)
    Move {
        /// Which.
        item: Item,
        /// Where to.
        to: GroupId,
    },
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// It is under way; an answer follows.
    Accepted,
    /// It is done. (S4-37 `SUCCESS`)
    Success {
        /// As which transaction.
        txn: TxnId,
    },
    /// It is not done, and never will be under this number; but of an old number nobody knows any more. (S4-37
    /// `INSUFFICIENT_BALANCE`, `FAILED`)
    Failed {
        /// Why.
        reason: Reason,
    },
    /// What an item holds.
    Balance {
        /// Which.
        item: Item,
        /// How much.
        balance: u64,
    },
    /// Ask another member.
    NotLeader {
        /// Whom, where that is known.
        hint: Option<NodeId>,
        /// In which round it came to lead.
        ballot: u64,
    },
    /// Ask another cluster.
    WrongCluster {
        /// Which.
        cluster: GroupId,
    },
}

impl Request {
    /// The item that says which cluster is asked: the sender's decides. (S4-01)
    pub const fn item(&self) -> Item {
        match self {
            Request::Transfer { sender, .. } => *sender,
            Request::Read { item } | Request::Move { item, .. } => *item,
        }
    }

    pub(super) fn is_sound(&self, place: &Place<'_>) -> bool {
        let is_known = |item| place.owner(item).is_some();
        match self {
            Request::Transfer {
                sender,
                receiver,
                amount,
            } => is_known(*sender) && is_known(*receiver) && sender != receiver && *amount > 0,
            Request::Read { item } => is_known(*item),
            Request::Move { item, to } => is_known(*item) && place.clusters.has(*to),
        }
    }
}

fn as_told(client: ClientId, known: &Client, outcome: Outcome) -> Reply {
    match outcome {
        Ok(()) => Reply::Success {
            txn: TxnId {
                client,
                home: known.home,
                number: known.number,
                attempt: known.attempt,
            },
        },
        Err(reason) => Reply::Failed { reason },
    }
}

impl Sharded2pc {
    pub(super) fn on_request(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        request: Request,
    ) {
        let place = Place::of(cx.env());
        if !request.is_sound(&place) {
            let reason = Reason::Invalid;
            return cx.reply(client, number, Reply::Failed { reason });
        }
        if self.leading.is_none() {
            return cx.reply(client, number, self.not_leader());
        }
        if let Request::Read { item } = request {
            return self.on_read(cx, client, number, item);
        }
        if self.serving().is_some() {
            let again = self.attach(client, number, request);
            if !self.answer(cx, client, number) {
                let is_anew = again && !flaws::joins(cx.env().flaws);
                self.begin_attempt(cx, client, number, is_anew);
                let waits =
                    |leading: &mut super::Leading| leading.waiting.contains_key(&(client, number));
                if self.serving().is_some_and(waits) {
                    cx.reply(client, number, Reply::Accepted);
                }
            }
        } else {
            // What was chosen before is not known yet: it is taken up when it is.
            self.attach(client, number, request);
        }
    }

    /// Lets a client wait; whether it waited already.
    fn attach(&mut self, client: ClientId, number: u64, request: Request) -> bool {
        let waiting = self.leading.as_mut().map(|leading| &mut leading.waiting);
        waiting.is_some_and(|waiting| waiting.insert((client, number), request).is_some())
    }

    /// Whether the item lives here, or a transaction of the request is under way here; else the client is told.
    pub(super) fn is_home(
        &self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        request: &Request,
    ) -> bool {
        let place = Place::of(cx.env());
        let here = place.cluster;
        let reply = match self.machine.home(&place, request.item()) {
            Some(cluster) if cluster != here => Reply::WrongCluster { cluster },
            _ => match request {
                // It lives there already.
                Request::Move { to, .. } if *to == here => Reply::Failed {
                    reason: Reason::Invalid,
                },
                _ => return true,
            },
        };
        cx.reply(client, number, reply);
        false
    }

    /// What the log says of a request, if it has ended or its client has moved on. (S4-33, S4-F14)
    fn told(&self, place: &Place<'_>, client: ClientId, number: u64) -> Option<Reply> {
        let known = self.machine.client(client, place.cluster)?;
        if known.number > number && !flaws::tells_requests_apart(place.flaws) {
            return known.outcome.map(|outcome| as_told(client, known, outcome));
        }
        if known.number > number {
            let reason = Reason::Old;
            return Some(Reply::Failed { reason });
        }
        let outcome = known.outcome.filter(|_| known.number == number)?;
        Some(as_told(client, known, outcome))
    }

    /// Answers whoever waits for a request, if the log says how it ended.
    pub(super) fn answer(&mut self, cx: Cx<'_, '_>, client: ClientId, number: u64) -> bool {
        // A client that moved on may still wait for what it asked before.
        let place = Place::of(cx.env());
        let told = self.told(&place, client, number);
        let Some(leading) = self.serving() else {
            return false;
        };
        let earlier = leading.waiting.range((client, 0)..(client, number));
        let earlier: Vec<u64> = earlier.map(|((_, number), _)| *number).collect();
        let is_waiting = told.is_some() && leading.waiting.remove(&(client, number)).is_some();
        for before in earlier {
            if let Some(told) = self.told(&place, client, before) {
                if let Some(leading) = &mut self.leading {
                    leading.waiting.remove(&(client, before));
                }
                cx.reply(client, before, told);
            }
        }
        if let (Some(told), true) = (told, is_waiting) {
            cx.reply(client, number, told);
        }
        told.is_some()
    }

    /// The sender left while the request waited.
    pub(super) fn send_elsewhere(&mut self, cx: Cx<'_, '_>, client: ClientId, number: u64) {
        let request = self
            .serving()
            .and_then(|leading| leading.waiting.remove(&(client, number)));
        if let Some(request) = request {
            self.is_home(cx, client, number, &request);
        }
    }

    fn on_read(&mut self, cx: Cx<'_, '_>, client: ClientId, number: u64, item: Item) {
        if !flaws::confirms_reads(cx.env().flaws) {
            return self.tell_balance(cx, client, number, item);
        }
        let probe = u64::MAX;
        if let Some(leading) = &mut self.leading {
            let is_asked = |read: &Reading| (read.client, read.number) == (client, number);
            if leading.reads.iter().any(is_asked) {
                // It waits already, and one answer is enough.
                return;
            }
            leading.reads.push_back(Reading {
                client,
                number,
                item,
                probe,
            });
        }
        self.ask_reads(cx);
    }

    /// Asks the group whether this member still leads, for reads that came since it was asked last. (S4-F23)
    pub(super) fn ask_reads(&mut self, cx: Cx<'_, '_>) {
        let is_new = |read: &Reading| read.probe == u64::MAX;
        if !self
            .serving()
            .is_some_and(|leading| leading.reads.iter().any(is_new))
        {
            return;
        }
        let probe = self.with_log(cx, |paxos, _| match paxos.confirm() {
            Some((probe, out)) => (Some(probe), out),
            None => (None, crate::paxos::Out::default()),
        });
        if let (Some(probe), Some(leading)) = (probe, &mut self.leading) {
            leading
                .reads
                .iter_mut()
                .filter(|read| is_new(read))
                .for_each(|read| {
                    read.probe = probe;
                });
        }
    }

    /// Answers the reads for which leadership was confirmed. Everything chosen before they came is applied. An item that
    /// a transfer of another cluster holds waits for its end: its client may have been told already.
    pub(super) fn answer_reads(&mut self, cx: Cx<'_, '_>) {
        let waits = self
            .serving()
            .is_some_and(|leading| !leading.reads.is_empty());
        if !waits {
            return;
        }
        let confirmed = self.with_log(cx, |paxos, group| {
            (paxos.confirmed(group), crate::paxos::Out::default())
        });
        let is_due = |read: &Reading| confirmed.is_some_and(|probe| probe >= read.probe);
        let mut waiting = VecDeque::new();
        while let Some(leading) = &mut self.leading
            && leading.reads.front().is_some_and(is_due)
            && let Some(read) = leading.reads.pop_front()
        {
            if self.awaits_outcome(cx.env().flaws, read.item) {
                waiting.push_back(read);
            } else {
                self.tell_balance(cx, read.client, read.number, read.item);
            }
        }
        if let Some(leading) = &mut self.leading {
            waiting.append(&mut leading.reads);
            leading.reads = waiting;
        }
    }

    /// Whether an item is held by a transaction whose outcome is for another cluster to say. Where money moves at P,
    /// what is not decided is seen at once. (S4-F4)
    fn awaits_outcome(&self, flaws: FlawSet, item: Item) -> bool {
        if flaws::moves_at_prepare(flaws) {
            return false;
        }
        let held = self.machine.lock(item);
        let txn = held.and_then(|id| self.machine.transaction(id));
        txn.is_some_and(|txn| !txn.side.coordinates())
    }

    fn tell_balance(&self, cx: Cx<'_, '_>, client: ClientId, number: u64, item: Item) {
        let place = Place::of(cx.env());
        let reply = match self.machine.balance(&place, item) {
            Some(balance) => Reply::Balance { item, balance },
            None => Reply::WrongCluster {
                cluster: self.machine.home(&place, item).unwrap_or(place.cluster),
            },
        };
        cx.count("sharded_2pc_reads_total");
        cx.reply(client, number, reply);
    }
}
