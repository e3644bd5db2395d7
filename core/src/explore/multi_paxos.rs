//! Multi-Paxos alone, as a model: the members of [`crate::paxos`] that ship, and nothing of what is built on them.
//!
//! Whoever leads proposes one command, its number, in a new slot, besides its no-op; so two ballots are two commands.
//! Messages are those ever sent; each arrives at any time, again and again, or never. A crash is a restart from the
//! tables. Whoever crashes after a step is durable and before it has sent is one that sent and whose messages never arrive,
//! so that a crash between two steps is that crash too. Nobody is told what is chosen: learners decide nothing. Entries
//! beyond [`MultiPaxos::slots`] stay with their leader: of two ballots, only one that took over what the other wrote gets
//! there, so that nobody contradicts it.
//!
//! *Agreement* is judged by who accepted what, not by what members believe: in a slot a majority accepts one command
//! under one ballot, whichever ballot that is; and whoever believes an entry to be chosen is right.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::fingerprint::Fingerprint;
use super::{Model, Property};
use crate::ordered::{Map, Set};
use crate::paxos::{Ballot, Group, Message, Out, Paxos, Slot, Tables, Whom};
use crate::store::{Rows, TableId, TableSpec, WriteBatch};
use crate::types::{Incarnation, NodeId};

/// A group and its bounds.
#[derive(Clone, Debug)]
pub struct MultiPaxos {
    members: Vec<NodeId>,
    /// How often leadership is sought, all together.
    pub ballots: u8,
    /// How often members crash, all together.
    pub crashes: u8,
    /// Entries of later slots are not sent.
    pub slots: Slot,
    /// Whether a restart forgets what was promised: to see that it matters.
    pub forgets: bool,
}

const TABLES: Tables = Tables {
    promised: TableSpec {
        id: TableId(1),
        name: "promised",
    },
    log: TableSpec {
        id: TableId(2),
        name: "log",
    },
};

/// A message to one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    from: NodeId,
    to: NodeId,
    message: Message<u16>,
}

/// The group at one moment.
#[derive(Clone)]
pub struct State {
    members: Vec<Arc<Paxos<u16>>>,
    /// Everything that was sent.
    sent: Map<Fingerprint, Arc<Packet>>,
    /// Who accepted what, ever.
    accepted: Set<(Slot, Ballot, NodeId, Option<u16>)>,
    proposed: Set<NodeId>,
    ballots: u8,
    crashes: u8,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.members.hash(hasher);
        self.sent.len().hash(hasher);
        for (print, _) in self.sent.iter() {
            print.hash(hasher);
        }
        self.accepted.hash(hasher);
        (&self.proposed, self.ballots, self.crashes).hash(hasher);
    }
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A member seeks leadership.
    Elect(NodeId),
    /// A leader proposes its command.
    Propose(NodeId),
    /// A message arrives.
    Deliver(Arc<Packet>),
    /// A member crashes, and restarts.
    Restart(NodeId),
}

impl MultiPaxos {
    /// A group of so many members.
    pub fn new(members: u16, ballots: u8, crashes: u8) -> MultiPaxos {
        MultiPaxos {
            members: (1..=members).map(NodeId).collect(),
            ballots,
            crashes,
            slots: 2,
            forgets: false,
        }
    }

    fn group(&self, me: NodeId) -> Group<'_> {
        Group {
            me,
            members: &self.members,
        }
    }

    fn place(&self, node: NodeId) -> usize {
        usize::from(node.0) - 1
    }

    /// The member's next life.
    fn restart(&self, member: &Paxos<u16>) -> Paxos<u16> {
        let mut dumped = Vec::new();
        member.clone().tables(&mut |table| table.dump(&mut dumped));
        let mut rows = Rows::default();
        for (table, key, value) in dumped {
            if !(self.forgets && table == TABLES.promised.id) {
                rows.insert(table, &key, &value);
            }
        }
        Paxos::load(TABLES, &rows).expect("a member's own rows give it back")
    }

    /// Takes a step of a member into the state; `None` if it changes nothing.
    fn step(
        &self,
        state: &State,
        node: NodeId,
        act: impl FnOnce(&mut Paxos<u16>, Group<'_>) -> Out<u16>,
    ) -> Option<State> {
        let at = self.place(node);
        let mut member = Paxos::clone(&state.members[at]);
        let out = act(&mut member, self.group(node));
        let mut written = WriteBatch::new(node, Incarnation(1), 1);
        member.tables(&mut |table| table.drain(&mut written));
        let mut next = state.clone();
        for (slot, entry) in member.entries() {
            next.accepted.insert((slot, entry.ballot, node, entry.req));
        }
        for (whom, message) in out.sends {
            // Who was told what is chosen changes nothing that is judged.
            if !matches!(message, Message::CommitRequest { .. }) {
                self.send(&mut next, node, whom, message);
            }
        }
        let is_new = member != *state.members[at] || next.sent.len() > state.sent.len();
        next.members[at] = Arc::new(member);
        is_new.then_some(next)
    }

    fn send(&self, state: &mut State, from: NodeId, whom: Whom, message: Message<u16>) {
        if matches!(message, Message::AcceptRequest { seq, .. } if seq > self.slots) {
            return;
        }
        for to in self.members.iter().copied() {
            if to == from || !matches!(whom, Whom::Others) && whom != Whom::One(to) {
                continue;
            }
            let message = message.clone();
            let packet = Packet { from, to, message };
            state
                .sent
                .get_or_insert_with(Fingerprint::of(&packet), || Arc::new(packet));
        }
    }
}

/// What a majority accepted in each slot; `Err` where that is two things.
fn chosen(model: &MultiPaxos, state: &State) -> Result<Map<Slot, Option<u16>>, ()> {
    let majority = model.members.len() / 2 + 1;
    let mut by: Map<(Slot, Ballot), (Option<u16>, usize)> = Map::new();
    for (slot, ballot, _, command) in state.accepted.iter() {
        let (first, count) = by.get_or_insert_with((*slot, *ballot), || (*command, 0));
        if *first != *command {
            return Err(());
        }
        *count += 1;
    }
    let mut chosen = Map::new();
    for ((slot, _), (command, count)) in by.iter() {
        if *count >= majority && *chosen.get_or_insert_with(*slot, || *command) != *command {
            return Err(());
        }
    }
    Ok(chosen)
}

const PROPERTIES: [Property<MultiPaxos>; 2] = [
    Property::always("agreement", |model: &MultiPaxos, state: &State| {
        chosen(model, state).is_ok()
    }),
    Property::always("belief", |model: &MultiPaxos, state: &State| {
        let Ok(chosen) = chosen(model, state) else {
            return true;
        };
        state.members.iter().all(|member| {
            let mut believed = member.entries().filter(|(_, entry)| entry.chosen);
            believed.all(|(slot, entry)| chosen.get(&slot) == Some(&entry.req))
        })
    }),
];

impl Model for MultiPaxos {
    type State = State;
    type Action = Action;

    fn init(&self) -> Vec<State> {
        let empty = Paxos::load(TABLES, &Rows::default()).expect("no rows are an empty log");
        let empty = Arc::new(empty);
        Vec::from([State {
            members: self.members.iter().map(|_| empty.clone()).collect(),
            sent: Map::new(),
            accepted: Set::new(),
            proposed: Set::new(),
            ballots: 0,
            crashes: 0,
        }])
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let may_crash = state.crashes < self.crashes;
        for node in self.members.iter().copied() {
            let leads = state.members[self.place(node)].leads();
            if state.ballots < self.ballots && !leads {
                actions.push(Action::Elect(node));
            }
            if leads && !state.proposed.contains(&node) {
                actions.push(Action::Propose(node));
            }
            if may_crash {
                actions.push(Action::Restart(node));
            }
        }
        for packet in state.sent.values() {
            actions.push(Action::Deliver(packet.clone()));
        }
    }

    fn next(&self, state: &State, action: &Action) -> Option<State> {
        match action {
            Action::Elect(node) => {
                let mut next = self.step(state, *node, |member, group| member.elect(group))?;
                next.ballots += 1;
                Some(next)
            }
            Action::Propose(node) => {
                let mut next = self.step(state, *node, |member, group| {
                    let proposed = member.propose(group, node.0);
                    proposed.map_or_else(Out::default, |(_, out)| out)
                })?;
                next.proposed.insert(*node);
                Some(next)
            }
            Action::Deliver(packet) => {
                let Packet { from, to, message } = packet.as_ref();
                self.step(state, *to, |member, group| {
                    member.receive(group, *from, message)
                })
            }
            Action::Restart(node) => {
                let at = self.place(*node);
                let member = self.restart(&state.members[at]);
                if member == *state.members[at] {
                    return None;
                }
                let mut next = state.clone();
                next.members[at] = Arc::new(member);
                next.crashes += 1;
                Some(next)
            }
        }
    }

    fn properties(&self) -> &[Property<Self>] {
        &PROPERTIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Limits, Outcome, Search};

    fn search(model: MultiPaxos) -> Outcome<Action> {
        let mut search = Search::new(model, Limits::default());
        search.advance(usize::MAX);
        search.outcome()
    }

    #[test]
    fn one_ballot_is_searched_to_its_end() {
        let outcome = search(MultiPaxos::new(3, 1, 0));
        assert_eq!((outcome.violation, outcome.complete), (None, true));
    }

    /// Member 3 promises both ballots, crashes, and accepts under the lower one what the higher one never heard of.
    #[test]
    fn a_promise_that_is_not_durable_breaks_agreement() {
        type Script = [fn(&Action) -> bool; 11];
        let script: Script = [
            |action| *action == Action::Elect(NodeId(1)),
            |action| {
                delivers(action, 1, 3, |message| {
                    matches!(message, Message::Elect { .. })
                })
            },
            |action| {
                delivers(action, 3, 1, |message| {
                    matches!(message, Message::Promise { .. })
                })
            },
            |action| *action == Action::Elect(NodeId(2)),
            |action| {
                delivers(action, 2, 3, |message| {
                    matches!(message, Message::Elect { .. })
                })
            },
            |action| {
                delivers(action, 3, 2, |message| {
                    matches!(message, Message::Promise { .. })
                })
            },
            |action| *action == Action::Propose(NodeId(1)),
            |action| *action == Action::Propose(NodeId(2)),
            |action| *action == Action::Restart(NodeId(3)),
            |action| delivers(action, 1, 3, is_second),
            |action| delivers(action, 2, 1, is_second),
        ];
        let broken = |forgets| {
            let mut model = MultiPaxos::new(3, 2, 1);
            model.forgets = forgets;
            let mut state = model.init().remove(0);
            for (place, is_meant) in script.iter().enumerate() {
                let mut actions = Vec::new();
                model.actions(&state, &mut actions);
                let action = actions.iter().find(|action| is_meant(action));
                let action = action.unwrap_or_else(|| panic!("step {place}: {actions:?}"));
                assert_eq!(model.broken(&state), None, "step {place}");
                // Whoever forgets nothing is the same after it restarts.
                let next = model.next(&state, action);
                state = next.unwrap_or(state);
            }
            model.broken(&state)
        };
        assert_eq!(broken(true), Some("agreement"));
        assert_eq!(broken(false), None);
    }

    fn delivers(action: &Action, from: u16, to: u16, is_meant: fn(&Message<u16>) -> bool) -> bool {
        let Action::Deliver(packet) = action else {
            return false;
        };
        let ends = (packet.from, packet.to) == (NodeId(from), NodeId(to));
        ends && is_meant(&packet.message)
    }

    fn is_second(message: &Message<u16>) -> bool {
        matches!(message, Message::AcceptRequest { seq: 2, .. })
    }
}
