//! Multi-Paxos alone, as a model: the members of [`crate::paxos`] that ship, and nothing of what is built on them.
//!
//! Whoever leads proposes one command, its number, in a new slot, besides its no-op; so two ballots are two commands.
//! Messages are those ever sent; each arrives at any time, again and again, or never. A crash is a restart from the
//! tables. Whoever crashes after a step is durable and before it has sent is one that sent and whose messages never arrive,
//! so that a crash between two steps is that crash too. Heartbeats are left out: they repeat what other messages say.
//!
//! What keeps it small, and loses nothing:
//!
//! - As many members seek leadership as there are ballots, the first ones. Numbers only order the ballots of those who
//!   seek: any others can be renumbered to these.
//! - A message that can change nothing any more is forgotten (`multi_paxos/forget.rs`).
//! - A refusal is no message. Whoever seeks a ballot promised it, and got the question of everybody who seeks a lower
//!   one, or will: so whoever sought one may hear of a higher one as soon as it is sought.
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

mod forget;

/// A group and its bounds.
#[derive(Clone, Debug)]
pub struct MultiPaxos {
    members: Vec<NodeId>,
    /// How often leadership is sought, all together.
    pub ballots: u8,
    /// How often members crash, all together.
    pub crashes: u8,
    /// Whether members are told what is chosen; where they are not, only leaders learn it.
    pub tells: bool,
    /// Whether a restart forgets what was promised: to see that it matters.
    pub forgets: bool,
    /// Whether messages that can change nothing any more are kept: to see that they do not matter.
    pub keeps: bool,
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

/// In which slot, under which ballot, by whom, and what.
type Acceptance = (Slot, Ballot, NodeId, Option<u16>);

/// The group at one moment.
#[derive(Clone)]
pub struct State {
    members: Vec<Arc<Paxos<u16>>>,
    /// Everything that was sent.
    sent: Arc<Map<Fingerprint, Arc<Packet>>>,
    /// Who accepted what, ever.
    accepted: Arc<Set<Acceptance>>,
    proposed: Set<NodeId>,
    /// Every ballot that was sought.
    sought: Set<Ballot>,
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
        (&self.proposed, &self.sought, self.crashes).hash(hasher);
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
    /// A member that sought leadership hears of a higher ballot, from whoever seeks that one.
    Refuse(NodeId, Ballot),
    /// A member crashes, and restarts.
    Restart(NodeId),
}

impl MultiPaxos {
    /// A group of so many members. Those who may crash are told nothing of what is chosen, unless `tells` is set: that is
    /// more than can be searched to its end.
    pub fn new(members: u16, ballots: u8, crashes: u8) -> MultiPaxos {
        MultiPaxos {
            members: (1..=members).map(NodeId).collect(),
            ballots,
            crashes,
            tells: crashes == 0,
            forgets: false,
            keeps: false,
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

    /// What a step of a member sends to each of the others, refusals aside, and all that is not to be told.
    fn packets(&self, from: NodeId, out: Out<u16>) -> impl Iterator<Item = Packet> {
        let told = out.sends.into_iter();
        let told = told.filter(|(_, message)| match message {
            Message::Refused { .. } => false,
            Message::CommitRequest { .. } => self.tells,
            _ => true,
        });
        told.flat_map(move |(whom, message)| {
            let others = self.members.iter().filter(move |to| **to != from);
            let meant =
                others.filter(move |to| matches!(whom, Whom::Others) || whom == Whom::One(**to));
            meant.map(move |to| Packet {
                from,
                to: *to,
                message: message.clone(),
            })
        })
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
            let acceptance = (slot, entry.ballot, node, entry.req);
            if !next.accepted.contains(&acceptance) {
                Arc::make_mut(&mut next.accepted).insert(acceptance);
            }
        }
        for packet in self.packets(node, out) {
            let print = Fingerprint::of(&packet);
            if next.sent.get(&print).is_none() {
                Arc::make_mut(&mut next.sent).insert(print, Arc::new(packet));
            }
        }
        let is_new = member != *state.members[at] || next.sent.len() > state.sent.len();
        next.members[at] = Arc::new(member);
        self.forget(&mut next);
        is_new.then_some(next)
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
            sent: Arc::new(Map::new()),
            accepted: Arc::new(Set::new()),
            proposed: Set::new(),
            sought: Set::new(),
            crashes: 0,
        }])
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let may_crash = state.crashes < self.crashes;
        for node in self.members.iter().copied() {
            let leads = state.members[self.place(node)].leads();
            let seeks = node.0 <= u16::from(self.ballots);
            if seeks && state.sought.len() < usize::from(self.ballots) && !leads {
                actions.push(Action::Elect(node));
            }
            let promised = state.members[self.place(node)].promised();
            if let Some(lowest) = state.sought.iter().find(|ballot| ballot.node == node) {
                let above = |ballot: &&Ballot| **ballot > promised.max(*lowest);
                let higher = state.sought.iter().filter(above);
                actions.extend(higher.map(|ballot| Action::Refuse(node, *ballot)));
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
                next.sought
                    .insert(next.members[self.place(*node)].promised());
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
            Action::Refuse(node, ballot) => {
                let (from, ballot) = (ballot.node, *ballot);
                self.step(state, *node, |member, group| {
                    member.receive(group, from, &Message::Refused { ballot })
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
                self.forget(&mut next);
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
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::explore::{Limits, Outcome, Search};

    fn search(model: MultiPaxos) -> Outcome<Action> {
        let mut search = Search::new(model, Limits::default());
        search.advance(usize::MAX);
        search.outcome()
    }

    #[test]
    fn one_ballot_is_searched_to_its_end() {
        let outcome = search(MultiPaxos::new(3, 1, 1));
        assert_eq!((outcome.violation, outcome.complete), (None, true));
    }

    /// All that can be accepted, believed and promised.
    fn reached(model: &MultiPaxos) -> BTreeSet<String> {
        let mut known: BTreeSet<Fingerprint> = BTreeSet::new();
        let mut open = model.init();
        let mut reached = BTreeSet::new();
        let mut actions = Vec::new();
        while let Some(state) = open.pop() {
            if !known.insert(Fingerprint::of(&state)) {
                continue;
            }
            let of = |member: &Arc<Paxos<u16>>| {
                let entries: Vec<_> = member.entries().collect();
                format!("{:?} {entries:?} {}", member.promised(), member.leads())
            };
            let members: Vec<String> = state.members.iter().map(of).collect();
            reached.insert(format!("{members:?} {:?}", state.accepted));
            actions.clear();
            model.actions(&state, &mut actions);
            open.extend(
                actions
                    .iter()
                    .filter_map(|action| model.next(&state, action)),
            );
        }
        reached
    }

    #[test]
    fn what_is_forgotten_changed_nothing() {
        let mut model = MultiPaxos::new(3, 1, 0);
        let some = reached(&model);
        model.keeps = true;
        assert!(some.len() > 20);
        assert_eq!(some, reached(&model));
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
                assert_eq!(model.broken(&state), None, "step {place}");
                let Some(action) = action else {
                    // What would be refused is forgotten.
                    assert!(!forgets && place == 9, "step {place}: {actions:?}");
                    continue;
                };
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
