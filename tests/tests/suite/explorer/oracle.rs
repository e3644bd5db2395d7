//! The textbook's models once more, for Stateright: its maps, sets and actors instead of Phaselab's integers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use stateright::actor::register::{RegisterActor, RegisterMsg};
use stateright::actor::{Actor, ActorModel, Id, Network, Out, majority, model_peers};
use stateright::semantics::LinearizabilityTester;
use stateright::semantics::register::Register;
use stateright::{Model, Property};

/// A resource manager's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Manager {
    Working,
    Prepared,
    Committed,
    Aborted,
}

fn is_consistent(managers: &[Manager]) -> bool {
    !(managers.contains(&Manager::Committed) && managers.contains(&Manager::Aborted))
}

/// What a transaction commit is, for so many resource managers.
pub(crate) struct TCommit(pub(crate) usize);

impl Model for TCommit {
    type State = Vec<Manager>;
    /// What a resource manager becomes.
    type Action = (usize, Manager);

    fn init_states(&self) -> Vec<Self::State> {
        vec![vec![Manager::Working; self.0]]
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>) {
        use Manager::{Aborted, Committed, Prepared, Working};
        let may_commit = !state.contains(&Working) && !state.contains(&Aborted);
        let may_abort = !state.contains(&Committed);
        for (index, manager) in state.iter().enumerate() {
            let may_become = [
                (Prepared, *manager == Working),
                (Committed, *manager == Prepared && may_commit),
                (Aborted, [Working, Prepared].contains(manager) && may_abort),
            ];
            let becomes = may_become.into_iter().filter(|(_, may)| *may);
            actions.extend(becomes.map(|(to, _)| (index, to)));
        }
    }

    fn next_state(&self, state: &Self::State, (index, to): Self::Action) -> Option<Self::State> {
        let mut next = state.clone();
        next[index] = to;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let holds = |_: &Self, state: &Self::State| is_consistent(state);
        vec![Property::always("consistent", holds)]
    }
}

/// Two-phase commit with so many resource managers.
pub(crate) struct TwoPhaseCommit(pub(crate) usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Said {
    Prepared(usize),
    Commit,
    Abort,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TwoPhaseState {
    managers: Vec<Manager>,
    coordinator: Option<Said>,
    heard: Vec<bool>,
    messages: BTreeSet<Said>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TwoPhaseAction {
    Decide(Said),
    Hear(usize),
    Become(usize, Manager),
}

impl Model for TwoPhaseCommit {
    type State = TwoPhaseState;
    type Action = TwoPhaseAction;

    fn init_states(&self) -> Vec<TwoPhaseState> {
        vec![TwoPhaseState {
            managers: vec![Manager::Working; self.0],
            coordinator: None,
            heard: vec![false; self.0],
            messages: BTreeSet::new(),
        }]
    }

    fn actions(&self, state: &TwoPhaseState, actions: &mut Vec<TwoPhaseAction>) {
        use TwoPhaseAction::{Become, Decide, Hear};
        let is_open = state.coordinator.is_none();
        if is_open && !state.heard.contains(&false) {
            actions.push(Decide(Said::Commit));
        }
        if is_open {
            actions.push(Decide(Said::Abort));
        }
        for index in 0..self.0 {
            if is_open && state.messages.contains(&Said::Prepared(index)) {
                actions.push(Hear(index));
            }
            if state.managers[index] == Manager::Working {
                actions.push(Become(index, Manager::Prepared));
                actions.push(Become(index, Manager::Aborted));
            }
            if state.messages.contains(&Said::Commit) {
                actions.push(Become(index, Manager::Committed));
            }
            if state.messages.contains(&Said::Abort) {
                actions.push(Become(index, Manager::Aborted));
            }
        }
    }

    fn next_state(&self, state: &TwoPhaseState, action: TwoPhaseAction) -> Option<TwoPhaseState> {
        let mut next = state.clone();
        match action {
            TwoPhaseAction::Decide(said) => {
                next.coordinator = Some(said);
                next.messages.insert(said);
            }
            TwoPhaseAction::Hear(index) => next.heard[index] = true,
            TwoPhaseAction::Become(index, manager) => {
                next.managers[index] = manager;
                if manager == Manager::Prepared {
                    next.messages.insert(Said::Prepared(index));
                }
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let holds = |_: &Self, state: &TwoPhaseState| is_consistent(&state.managers);
        vec![Property::always("consistent", holds)]
    }
}

type Ballot = (u32, Id);
/// Request, client and value.
type Proposal = (u64, Id, char);
type Vote = (Ballot, Proposal);

/// What servers tell each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PaxosMessage {
    Prepare(Ballot),
    Prepared(Ballot, Option<Vote>),
    Accept(Vote),
    Accepted(Ballot),
    Decided(Vote),
}

/// A server of the register.
#[derive(Clone)]
pub(crate) struct PaxosServer {
    peers: Vec<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PaxosState {
    ballot: Ballot,
    proposal: Option<Proposal>,
    promises: BTreeMap<Id, Option<Vote>>,
    accepts: BTreeSet<Id>,
    accepted: Option<Vote>,
    is_decided: bool,
}

impl PaxosServer {
    fn tell_peers(&self, message: PaxosMessage, out: &mut Out<Self>) {
        out.broadcast(&self.peers, &RegisterMsg::Internal(message));
    }

    fn is_majority(&self, count: usize) -> bool {
        count == majority(self.peers.len() + 1)
    }
}

impl Actor for PaxosServer {
    type Msg = RegisterMsg<u64, char, PaxosMessage>;
    type State = PaxosState;
    type Timer = ();
    type Random = ();
    type Storage = ();

    fn on_start(&self, _: Id, _: &Option<()>, _: &mut Out<Self>) -> PaxosState {
        PaxosState {
            ballot: (0, Id::from(0)),
            proposal: None,
            promises: BTreeMap::new(),
            accepts: BTreeSet::new(),
            accepted: None,
            is_decided: false,
        }
    }

    // Only what changes the state may call `to_mut`, or make the message count as delivered.
    fn on_msg(
        &self,
        id: Id,
        state: &mut Cow<'_, PaxosState>,
        from: Id,
        message: Self::Msg,
        out: &mut Out<Self>,
    ) {
        use PaxosMessage::{Accept, Accepted, Decided, Prepare, Prepared};
        let reply = |message| (from, RegisterMsg::Internal(message));
        match message {
            RegisterMsg::Get(request) if state.is_decided => {
                let (_, (_, _, value)) = state.accepted.expect("what is decided is accepted");
                out.send(from, RegisterMsg::GetOk(request, value));
            }
            _ if state.is_decided => {}
            RegisterMsg::Put(request, value) if state.proposal.is_none() => {
                let state = state.to_mut();
                state.ballot = (state.ballot.0 + 1, id);
                state.proposal = Some((request, from, value));
                state.accepts = BTreeSet::new();
                state.promises = BTreeMap::from([(id, state.accepted)]);
                self.tell_peers(Prepare(state.ballot), out);
            }
            RegisterMsg::Internal(Prepare(ballot)) if state.ballot < ballot => {
                state.to_mut().ballot = ballot;
                let (to, message) = reply(Prepared(ballot, state.accepted));
                out.send(to, message);
            }
            RegisterMsg::Internal(Prepared(ballot, last)) if state.ballot == ballot => {
                let state = state.to_mut();
                state.promises.insert(from, last);
                if self.is_majority(state.promises.len()) {
                    let last = state.promises.values().flatten().max();
                    let proposal = last.map(|(_, proposal)| *proposal).or(state.proposal);
                    let vote = (ballot, proposal.expect("a leader has a proposal"));
                    state.proposal = proposal;
                    state.accepted = Some(vote);
                    state.accepts.insert(id);
                    self.tell_peers(Accept(vote), out);
                }
            }
            RegisterMsg::Internal(Accept(vote)) if state.ballot <= vote.0 => {
                let state = state.to_mut();
                state.ballot = vote.0;
                state.accepted = Some(vote);
                let (to, message) = reply(Accepted(vote.0));
                out.send(to, message);
            }
            RegisterMsg::Internal(Accepted(ballot)) if state.ballot == ballot => {
                let state = state.to_mut();
                state.accepts.insert(from);
                if self.is_majority(state.accepts.len()) {
                    state.is_decided = true;
                    let proposal = state.proposal.expect("a leader has a proposal");
                    self.tell_peers(Decided((ballot, proposal)), out);
                    out.send(proposal.1, RegisterMsg::PutOk(proposal.0));
                }
            }
            RegisterMsg::Internal(Decided(vote)) => {
                let state = state.to_mut();
                state.ballot = vote.0;
                state.accepted = Some(vote);
                state.is_decided = true;
            }
            _ => {}
        }
    }
}

/// A register on Paxos, and its history.
pub(crate) type Paxos =
    ActorModel<RegisterActor<PaxosServer>, (), LinearizabilityTester<Id, Register<char>>>;

/// A register on 3 servers, with so many clients.
pub(crate) fn paxos(clients: usize) -> Paxos {
    let server = |index| {
        RegisterActor::Server(PaxosServer {
            peers: model_peers(index, 3),
        })
    };
    let client = |_| RegisterActor::Client {
        put_count: 1,
        server_count: 3,
    };
    ActorModel::new((), LinearizabilityTester::new(Register(char::default())))
        .actors((0..3).map(server))
        .actors((0..clients).map(client))
        .init_network(Network::new_unordered_nonduplicating([]))
        .property(
            stateright::Expectation::Always,
            "linearizable",
            |_, state| state.history.serialized_history().is_some(),
        )
        .record_msg_in(RegisterMsg::record_returns)
        .record_msg_out(RegisterMsg::record_invocations)
}
