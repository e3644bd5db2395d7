//! Paxos Commit (Gray and Lamport, "Consensus on Transaction Commit"): the TLA+ module `PaxosCommit`, step for step.
//!
//! Each resource manager's choice, prepared or aborted, is an instance of Paxos of its own. The resource manager votes
//! in ballot 0; a leader may start a later ballot and, unless a majority of acceptors tells it otherwise, aborts. All
//! commit if every instance chose "prepared". Messages are a set that only grows.
//!
//! As in the module's own configuration there are 3 acceptors, any 2 a majority, and ballots 0 and 1. TLC's numbers for
//! 2 resource managers are 1,321,761 distinct states, 16,959,159 generated, depth 28. As in TLC, a step of a leader is
//! listed once for each choice of ballots and majorities that allows it.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::tcommit::Manager;
use crate::explore::{Model, Property};

/// The most resource managers.
pub const MANAGERS_MAX: usize = 3;

const ACCEPTORS: usize = 3;

/// Acceptors, a bit for each.
type Acceptors = u8;

const MAJORITIES: [Acceptors; 3] = [0b011, 0b101, 0b110];

/// The protocol for so many resource managers.
pub struct PaxosCommit {
    /// How many; at most [`MANAGERS_MAX`].
    pub managers: usize,
}

/// All that was done and said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Those beyond the model's resource managers stay as they are at first.
    instances: [Instance; MANAGERS_MAX],
    /// Which of the messages `Commit` and `Abort` were sent.
    commit: bool,
    abort: bool,
}

/// What a resource manager's instance of Paxos may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// It prepared.
    Prepared,
    /// It aborted, or is taken to have.
    Aborted,
}

/// A value in a ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// 0 or 1.
    pub ballot: u8,
    /// The value.
    pub value: Value,
}

impl Vote {
    const ALL: [Vote; 4] = [
        Vote::new(0, Value::Prepared),
        Vote::new(0, Value::Aborted),
        Vote::new(1, Value::Prepared),
        Vote::new(1, Value::Aborted),
    ];

    const fn new(ballot: u8, value: Value) -> Vote {
        Vote { ballot, value }
    }

    /// Its place in [`Vote::ALL`].
    const fn index(self) -> usize {
        self.ballot as usize * 2 + self.value as usize
    }
}

/// A resource manager with its instance of Paxos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instance {
    manager: Manager,
    /// The acceptors whose `mbal` is 1.
    promised: Acceptors,
    /// The acceptors' `bal` and `val`; `None` is ballot -1.
    votes: [Option<Vote>; ACCEPTORS],
    /// Messages of this instance, a bit for each.
    sent: u32,
}

/// A message of an instance.
#[derive(Clone, Copy)]
enum Message {
    /// Of ballot 1, the only one that has this phase.
    Phase1a,
    Phase1b {
        acceptor: usize,
        vote: Option<Vote>,
    },
    Phase2a(Vote),
    Phase2b {
        acceptor: usize,
        vote: Vote,
    },
}

impl Message {
    /// Its bit among the messages of an instance. Reports come last, those of one acceptor in the order of votes.
    const fn place(self) -> usize {
        match self {
            Message::Phase1a => 0,
            Message::Phase2a(vote) => 1 + vote.index(),
            Message::Phase2b { acceptor, vote } => 5 + acceptor * 4 + vote.index(),
            Message::Phase1b { acceptor, vote } => 17 + acceptor * 5 + code(vote),
        }
    }

    const fn bit(self) -> u32 {
        1 << self.place()
    }
}

/// A vote or none as a number up to 4.
const fn code(vote: Option<Vote>) -> usize {
    match vote {
        None => 0,
        Some(vote) => vote.index() + 1,
    }
}

// One word for each instance, and the decisions above the first.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut words = self.instances.map(Instance::code);
        words[0] |= u64::from(self.commit) << 63 | u64::from(self.abort) << 62;
        for word in words {
            hasher.write_u64(word);
        }
    }
}

impl Instance {
    const fn new() -> Instance {
        Instance {
            manager: Manager::Working,
            promised: 0,
            votes: [None; ACCEPTORS],
            sent: 0,
        }
    }

    /// In 46 bits.
    fn code(self) -> u64 {
        let [a, b, c] = self.votes.map(|vote| code(vote) as u64);
        let word = (self.manager as u64) << 3 | u64::from(self.promised);
        let word = word << 9 | a << 6 | b << 3 | c;
        word << 32 | u64::from(self.sent)
    }

    fn send(&mut self, message: Message) {
        self.sent |= message.bit();
    }

    fn was_sent(&self, message: Message) -> bool {
        self.sent & message.bit() != 0
    }

    /// The vote that an acceptor reported in ballot 1, if it reported.
    fn report(&self, acceptor: usize) -> Option<Option<Vote>> {
        let reports = self.sent
            >> Message::Phase1b {
                acceptor,
                vote: None,
            }
            .place()
            & 0b1_1111;
        match reports.trailing_zeros() as usize {
            0 => Some(None),
            code => Vote::ALL.get(code - 1).map(|vote| Some(*vote)),
        }
    }

    /// What the leader of ballot 1 may propose after reports of this majority.
    fn proposal(&self, majority: Acceptors) -> Option<Value> {
        let mut last = None;
        for acceptor in members(majority) {
            // All votes of ballot 0 are the resource manager's: the greatest is of the greatest ballot.
            last = self.report(acceptor)?.max(last);
        }
        Some(last.map_or(Value::Aborted, |vote| vote.value))
    }

    /// In how many ways a ballot and a majority show that this value is chosen.
    fn ways(&self, value: Value) -> usize {
        let in_ballot = |ballot| {
            let vote = Vote { ballot, value };
            let voted = |acceptor| self.was_sent(Message::Phase2b { acceptor, vote });
            // One majority if two voted, each of the three if all did.
            match (0..ACCEPTORS).filter(|acceptor| voted(*acceptor)).count() {
                0 | 1 => 0,
                2 => 1,
                _ => MAJORITIES.len(),
            }
        };
        in_ballot(0) + in_ballot(1)
    }
}

fn members(acceptors: Acceptors) -> impl Iterator<Item = usize> {
    (0..ACCEPTORS).filter(move |acceptor| acceptors & 1 << acceptor != 0)
}

/// What happens, as the module names it. Resource managers and acceptors go by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A resource manager prepares.
    RmPrepare(usize),
    /// A working resource manager aborts.
    RmChooseToAbort(usize),
    /// A resource manager is told to commit.
    RmRcvCommitMsg(usize),
    /// A resource manager is told to abort.
    RmRcvAbortMsg(usize),
    /// A leader starts ballot 1 of an instance.
    Phase1a(usize),
    /// A leader proposes in ballot 1 of an instance, after the reports of a majority: this one of three.
    Phase2a(usize, usize),
    /// A leader sees that all are prepared.
    DecideCommit,
    /// A leader sees that one aborted.
    DecideAbort,
    /// An acceptor joins ballot 1 of an instance.
    Phase1b(usize, usize),
    /// An acceptor votes in an instance.
    Phase2b(usize, usize, Vote),
}

impl PaxosCommit {
    fn acceptor_actions(&self, state: &State, acceptor: usize, actions: &mut Vec<Action>) {
        for (manager, instance) in state.instances[..self.managers].iter().enumerate() {
            let promised = instance.promised & 1 << acceptor != 0;
            if instance.was_sent(Message::Phase1a) && !promised {
                actions.push(Action::Phase1b(acceptor, manager));
            }
            for vote in Vote::ALL {
                if instance.was_sent(Message::Phase2a(vote)) && (!promised || vote.ballot == 1) {
                    actions.push(Action::Phase2b(acceptor, manager, vote));
                }
            }
        }
    }
}

impl Model for PaxosCommit {
    type State = State;
    type Action = Action;

    fn init(&self) -> Vec<State> {
        assert!(self.managers <= MANAGERS_MAX, "a state has place for them");
        Vec::from([State {
            instances: [Instance::new(); MANAGERS_MAX],
            commit: false,
            abort: false,
        }])
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let instances = &state.instances[..self.managers];
        for (manager, instance) in instances.iter().enumerate() {
            if instance.manager == Manager::Working {
                actions.push(Action::RmPrepare(manager));
                actions.push(Action::RmChooseToAbort(manager));
            }
            if state.commit {
                actions.push(Action::RmRcvCommitMsg(manager));
            }
            if state.abort {
                actions.push(Action::RmRcvAbortMsg(manager));
            }
        }
        for (manager, instance) in instances.iter().enumerate() {
            actions.push(Action::Phase1a(manager));
            let proposed = [Value::Prepared, Value::Aborted]
                .map(|value| instance.was_sent(Message::Phase2a(Vote::new(1, value))));
            if proposed == [false; 2] {
                let may = |index: &usize| instance.proposal(MAJORITIES[*index]).is_some();
                let majorities = (0..MAJORITIES.len()).filter(may);
                actions.extend(majorities.map(|index| Action::Phase2a(manager, index)));
            }
        }
        let ways = |value| instances.iter().map(move |instance| instance.ways(value));
        let commits: usize = ways(Value::Prepared).product();
        let aborts: usize = ways(Value::Aborted).sum();
        actions.extend((0..commits).map(|_| Action::DecideCommit));
        actions.extend((0..aborts).map(|_| Action::DecideAbort));
        for acceptor in 0..ACCEPTORS {
            self.acceptor_actions(state, acceptor, actions);
        }
    }

    fn next(&self, state: &State, action: &Action) -> Option<State> {
        let mut next = *state;
        let instances = &mut next.instances;
        match *action {
            Action::RmPrepare(manager) => {
                instances[manager].manager = Manager::Prepared;
                instances[manager].send(Message::Phase2a(Vote::new(0, Value::Prepared)));
            }
            Action::RmChooseToAbort(manager) => {
                instances[manager].manager = Manager::Aborted;
                instances[manager].send(Message::Phase2a(Vote::new(0, Value::Aborted)));
            }
            Action::RmRcvCommitMsg(manager) => instances[manager].manager = Manager::Committed,
            Action::RmRcvAbortMsg(manager) => instances[manager].manager = Manager::Aborted,
            Action::Phase1a(manager) => instances[manager].send(Message::Phase1a),
            Action::Phase2a(manager, majority) => {
                let value = instances[manager].proposal(MAJORITIES[majority])?;
                instances[manager].send(Message::Phase2a(Vote::new(1, value)));
            }
            Action::DecideCommit => next.commit = true,
            Action::DecideAbort => next.abort = true,
            Action::Phase1b(acceptor, manager) => {
                let vote = instances[manager].votes[acceptor];
                instances[manager].promised |= 1 << acceptor;
                instances[manager].send(Message::Phase1b { acceptor, vote });
            }
            Action::Phase2b(acceptor, manager, vote) => {
                instances[manager].promised |= vote.ballot << acceptor;
                instances[manager].votes[acceptor] = Some(vote);
                instances[manager].send(Message::Phase2b { acceptor, vote });
            }
        }
        Some(next)
    }

    fn properties(&self) -> &[Property<Self>] {
        const ALL: &[Property<PaxosCommit>] =
            &[Property::always("consistent", |_, state: &State| {
                let is = |manager| state.instances.iter().any(|i| i.manager == manager);
                !(is(Manager::Committed) && is(Manager::Aborted))
            })];
        ALL
    }

    fn describe(&self, action: &Action) -> String {
        match action {
            Action::RmPrepare(manager) => alloc::format!("{manager} prepares"),
            Action::RmChooseToAbort(manager) => alloc::format!("{manager} chooses to abort"),
            Action::RmRcvCommitMsg(manager) => alloc::format!("{manager} is told to commit"),
            Action::RmRcvAbortMsg(manager) => alloc::format!("{manager} is told to abort"),
            Action::Phase1a(manager) => {
                alloc::format!("a leader starts ballot 1 about {manager}")
            }
            Action::Phase2a(manager, majority) => {
                let reports: Vec<usize> = members(MAJORITIES[*majority]).collect();
                alloc::format!(
                    "a leader proposes in ballot 1 about {manager}, by reports of acceptors {reports:?}"
                )
            }
            Action::DecideCommit => String::from("a leader sees that all are prepared"),
            Action::DecideAbort => String::from("a leader sees that one aborted"),
            Action::Phase1b(acceptor, manager) => {
                alloc::format!("acceptor {acceptor} joins ballot 1 about {manager}")
            }
            Action::Phase2b(acceptor, manager, Vote { ballot, value }) => alloc::format!(
                "acceptor {acceptor} votes in ballot {ballot} that {manager} {}",
                match value {
                    Value::Prepared => "prepared",
                    Value::Aborted => "aborted",
                }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Limits, Search};

    /// One resource manager agrees with itself, whatever becomes of it. The published numbers take longer: they are in
    /// the suite of `tests`.
    #[test]
    fn one_manager_commits_or_aborts() {
        let mut search = Search::new(PaxosCommit { managers: 1 }, Limits::default());
        search.advance(usize::MAX);
        let outcome = search.outcome();
        assert_eq!((outcome.distinct, outcome.depth), (1_461, 15));
        assert!(outcome.complete && outcome.violation.is_none());
    }
}
