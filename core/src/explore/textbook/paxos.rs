//! A register on single-decree Paxos: the example `paxos` of Stateright, state for state.
//!
//! 3 servers agree on one value. Each client puts a value of its own to one server, then gets the value from the next.
//! Every server may lead once, with the first value that is put to it. The network delivers each message at most once,
//! in any order; what would change nothing is not delivered and stays. The history of puts and gets is part of the
//! state, because whether it is linearizable depends on what was over before what began.
//!
//! ```text
//!   Upon Put, without a proposal:   ballot := (round + 1, own), promise to oneself, send Prepare to the others
//!   Upon Prepare above the ballot:  ballot := it, reply Prepared with what was accepted last
//!   Upon Prepared from a majority:  propose what was accepted in the highest ballot, or the own value; accept; send
//!                                   Accept to the others
//!   Upon Accept from the ballot on: ballot := it, accept, reply Accepted
//!   Upon Accepted from a majority:  decide; send Decided to the others, PutOk to the client whose value it is
//!   Upon Decided:                   accept and decide
//!   Upon Get, once decided:         reply GetOk
//! ```
//!
//! Stateright's own test counts 16,668 distinct states for 2 clients; run with 3 it finds 1,194,428, as this does.

use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::explore::{Model, Property};

/// The most clients.
pub const CLIENTS_MAX: usize = 6;

const SERVERS: usize = 3;
const MAJORITY: u32 = 2;

/// The protocol with so many clients.
pub struct Paxos {
    /// How many; at most [`CLIENTS_MAX`].
    pub clients: usize,
}

/// Servers, clients and the network between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    servers: [Server; SERVERS],
    /// Those beyond the model's clients stay as they are at first.
    clients: [Client; CLIENTS_MAX],
    /// Ordered; a message that was sent twice stands here twice.
    network: Vec<Envelope>,
}

/// A round and the server that leads it, in this order; the least is before all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ballot {
    /// Up to the number of servers, as each leads once.
    pub round: u8,
    /// The server.
    pub leader: u8,
}

/// A client, or the value that it puts.
type Number = u8;

/// A value that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// When.
    pub ballot: Ballot,
    /// The client whose value it is.
    pub value: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Server {
    ballot: Ballot,
    /// What it proposes as a leader.
    proposal: Option<Number>,
    /// Who promised, a bit for each server, and what they had accepted.
    promised: u8,
    promises: [Option<Vote>; SERVERS],
    /// Who accepted its proposal, a bit for each server.
    accepts: u8,
    accepted: Option<Vote>,
    is_decided: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// Its put is not over.
    Putting,
    /// Its get is not over.
    Getting(Before),
    /// Its get gave this value.
    Done(Before, Number),
}

/// What was over when a get began, a bit for each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Before {
    puts: u8,
    gets: u8,
}

/// What is said. Values go by the number of the client that puts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    /// A client's value should be written.
    Put,
    /// It was.
    PutOk,
    /// The register should be read.
    Get,
    /// It reads so.
    GetOk(u8),
    /// A leader asks for promises.
    Prepare(Ballot),
    /// A promise, with what was accepted last.
    Prepared(Ballot, Option<Vote>),
    /// A leader asks to accept its proposal.
    Accept(Vote),
    /// It was accepted.
    Accepted(Ballot),
    /// A majority accepted.
    Decided(Vote),
}

/// A message on its way. Clients are numbered after the servers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Envelope {
    /// Who sent it.
    pub from: u8,
    /// Who receives it.
    pub to: u8,
    /// What it says.
    pub message: Message,
}

/// A vote or none in 7 bits: votes are in rounds from 1 on.
fn code(vote: Option<Vote>) -> u64 {
    vote.map_or(0, |vote| vote.ballot.code() << 3 | u64::from(vote.value))
}

impl Ballot {
    /// In 4 bits.
    fn code(self) -> u64 {
        u64::from(self.round) << 2 | u64::from(self.leader)
    }
}

impl Server {
    /// In 43 bits.
    fn code(&self) -> u64 {
        let promises = self.promises.iter();
        let word = promises.fold(0, |word, vote| word << 7 | code(*vote));
        let word = word << 7 | code(self.accepted);
        let word = word << 4 | self.ballot.code();
        let word = word << 4 | self.proposal.map_or(0, |value| u64::from(value) + 1);
        let word = word << 3 | u64::from(self.promised);
        let word = word << 3 | u64::from(self.accepts);
        word << 1 | u64::from(self.is_decided)
    }
}

impl Client {
    /// In 17 bits.
    fn code(&self) -> u64 {
        let (phase, before, value) = match *self {
            Client::Putting => return 0,
            Client::Getting(before) => (1, before, 0),
            Client::Done(before, value) => (2, before, value),
        };
        let word = phase << 6 | u64::from(before.puts);
        (word << 6 | u64::from(before.gets)) << 3 | u64::from(value)
    }
}

impl Envelope {
    /// In 23 bits.
    fn code(&self) -> u64 {
        let (kind, what) = match self.message {
            Message::Put => (0, 0),
            Message::PutOk => (1, 0),
            Message::Get => (2, 0),
            Message::GetOk(value) => (3, u64::from(value)),
            Message::Prepare(ballot) => (4, ballot.code()),
            Message::Prepared(ballot, last) => (5, ballot.code() << 7 | code(last)),
            Message::Accept(vote) => (6, code(Some(vote))),
            Message::Accepted(ballot) => (7, ballot.code()),
            Message::Decided(vote) => (8, code(Some(vote))),
        };
        let places = u64::from(self.from) << 4 | u64::from(self.to);
        (places << 4 | kind) << 11 | what
    }
}

// A few words instead of hundreds of small numbers: hashing is most of the work of a search.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for server in &self.servers {
            hasher.write_u64(server.code());
        }
        for clients in self.clients.chunks(3) {
            let add = |word: u64, client: &Client| word << 17 | client.code();
            hasher.write_u64(clients.iter().fold(0, add));
        }
        hasher.write_usize(self.network.len());
        for envelopes in self.network.chunks(2) {
            let add = |word: u64, envelope: &Envelope| word << 24 | envelope.code();
            hasher.write_u64(envelopes.iter().fold(0, add));
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |place: u8| match client_of(place) {
            Some(client) => ("client", client),
            None => ("server", usize::from(place)),
        };
        let ((from, m), (to, n)) = (name(self.from), name(self.to));
        write!(f, "{from} {m} -> {to} {n}: {:?}", self.message)
    }
}

/// The client at a place, if it is not a server's.
fn client_of(place: u8) -> Option<usize> {
    usize::from(place).checked_sub(SERVERS)
}

impl State {
    fn send(&mut self, from: usize, to: usize, message: Message) {
        let (from, to) = (from as u8, to as u8);
        let envelope = Envelope { from, to, message };
        let place = self.network.partition_point(|other| *other < envelope);
        self.network.insert(place, envelope);
    }

    fn broadcast(&mut self, from: usize, message: Message) {
        for to in (0..SERVERS).filter(|to| *to != from) {
            self.send(from, to, message);
        }
    }

    /// Whether a message would change anything.
    fn is_heard(&self, envelope: &Envelope) -> bool {
        if let Some(client) = client_of(envelope.to) {
            return matches!(
                (self.clients[client], envelope.message),
                (Client::Putting, Message::PutOk) | (Client::Getting(_), Message::GetOk(_))
            );
        }
        let server = &self.servers[usize::from(envelope.to)];
        match envelope.message {
            Message::Get => server.is_decided,
            _ if server.is_decided => false,
            Message::Put => server.proposal.is_none(),
            Message::Prepare(ballot) => server.ballot < ballot,
            Message::Prepared(ballot, _) | Message::Accepted(ballot) => server.ballot == ballot,
            Message::Accept(vote) => server.ballot <= vote.ballot,
            Message::Decided(_) => true,
            Message::PutOk | Message::GetOk(_) => false,
        }
    }

    fn on_put(&mut self, at: usize, value: Number) {
        let server = &mut self.servers[at];
        server.ballot = Ballot {
            round: server.ballot.round + 1,
            leader: at as u8,
        };
        server.proposal = Some(value);
        server.accepts = 0;
        server.promised = 1 << at;
        server.promises = [None; SERVERS];
        server.promises[at] = server.accepted;
        let prepare = Message::Prepare(server.ballot);
        self.broadcast(at, prepare);
    }

    fn on_prepared(&mut self, at: usize, from: usize, last: Option<Vote>) {
        let server = &mut self.servers[at];
        server.promised |= 1 << from;
        server.promises[from] = last;
        // Exactly a majority: a later promise changes nothing any more.
        if server.promised.count_ones() != MAJORITY {
            return;
        }
        let last = server.promises.iter().flatten().max();
        server.proposal = last.map(|vote| vote.value).or(server.proposal);
        let value = server.proposal.expect("a leader has a proposal");
        let ballot = server.ballot;
        let vote = Vote { ballot, value };
        server.accepted = Some(vote);
        server.accepts |= 1 << at;
        self.broadcast(at, Message::Accept(vote));
    }

    fn on_accepted(&mut self, at: usize, from: usize) {
        let server = &mut self.servers[at];
        server.accepts |= 1 << from;
        if server.accepts.count_ones() != MAJORITY {
            return;
        }
        server.is_decided = true;
        let ballot = server.ballot;
        let value = server.proposal.expect("a leader has a proposal");
        self.broadcast(at, Message::Decided(Vote { ballot, value }));
        self.send(at, SERVERS + usize::from(value), Message::PutOk);
    }

    /// A put is over, and a get begins: at the server after the one that was put to.
    fn on_put_ok(&mut self, client: usize) {
        let over = |is_over: fn(&Client) -> bool| {
            let clients = (0..).zip(&self.clients);
            let over = clients.filter(|(_, client)| is_over(client));
            over.fold(0, |all, (client, _)| all | 1_u8 << client)
        };
        // The own put is over too: that it comes first is then nothing special.
        self.clients[client] = Client::Getting(Before {
            puts: over(|client| !matches!(client, Client::Putting)) | 1 << client,
            gets: over(|client| matches!(client, Client::Done(..))),
        });
        let to = (client + 1) % SERVERS;
        self.send(SERVERS + client, to, Message::Get);
    }

    fn on_get_ok(&mut self, client: usize, value: Number) {
        if let Client::Getting(before) = self.clients[client] {
            self.clients[client] = Client::Done(before, value);
        }
    }

    /// Delivers a message that is heard.
    fn deliver(&mut self, envelope: Envelope) {
        let from = usize::from(envelope.from);
        if let Some(client) = client_of(envelope.to) {
            match envelope.message {
                Message::GetOk(value) => self.on_get_ok(client, value),
                _ => self.on_put_ok(client),
            }
            return;
        }
        let at = usize::from(envelope.to);
        let server = &mut self.servers[at];
        match envelope.message {
            Message::Put => self.on_put(at, (from - SERVERS) as Number),
            Message::Get => {
                let vote = server.accepted.expect("what is decided is accepted");
                self.send(at, from, Message::GetOk(vote.value));
            }
            Message::Prepare(ballot) => {
                server.ballot = ballot;
                let accepted = server.accepted;
                self.send(at, from, Message::Prepared(ballot, accepted));
            }
            Message::Prepared(_, last) => self.on_prepared(at, from, last),
            Message::Accept(vote) => {
                server.ballot = vote.ballot;
                server.accepted = Some(vote);
                self.send(at, from, Message::Accepted(vote.ballot));
            }
            Message::Accepted(_) => self.on_accepted(at, from),
            Message::Decided(vote) => {
                server.ballot = vote.ballot;
                server.accepted = Some(vote);
                server.is_decided = true;
            }
            Message::PutOk | Message::GetOk(_) => {}
        }
    }
}

impl Model for Paxos {
    type State = State;
    type Action = Envelope;

    fn init(&self) -> Vec<State> {
        assert!(self.clients <= CLIENTS_MAX, "a state has place for them");
        let mut state = State {
            servers: [Server::default(); SERVERS],
            clients: [Client::Putting; CLIENTS_MAX],
            network: Vec::new(),
        };
        for client in 0..self.clients {
            state.send(SERVERS + client, client % SERVERS, Message::Put);
        }
        Vec::from([state])
    }

    fn actions(&self, state: &State, actions: &mut Vec<Envelope>) {
        let heard = state.network.iter().filter(|e| state.is_heard(e)).copied();
        actions.extend(heard);
        actions.dedup();
    }

    fn next(&self, state: &State, envelope: &Envelope) -> Option<State> {
        let place = state.network.binary_search(envelope).ok()?;
        // One is delivered, and at most three are sent.
        let mut network = Vec::with_capacity(state.network.len() + 2);
        network.extend_from_slice(&state.network[..place]);
        network.extend_from_slice(&state.network[place + 1..]);
        let mut next = State { network, ..*state };
        next.deliver(*envelope);
        Some(next)
    }

    fn properties(&self) -> &[Property<Self>] {
        const ALL: &[Property<Paxos>] = &[
            Property::always("linearizable", |model, state: &State| {
                is_linearizable(&state.clients[..model.clients], 0, 0, None)
            }),
            Property::always("agreement", |_, state: &State| {
                let decided = state.servers.iter().filter(|server| server.is_decided);
                let mut values = decided.map(|server| server.accepted.map(|vote| vote.value));
                let first = values.next();
                values.all(|value| Some(value) == first)
            }),
        ];
        ALL
    }
}

/// Whether puts and gets can be ordered so that each get gives the value of the last put before it, and nothing comes
/// before what was over when it began. These puts and gets, a bit for each client, are ordered already, and the
/// register has this value. A put may be ordered before it is over, and every put began before anything was over.
fn is_linearizable(clients: &[Client], puts: u8, mut gets: u8, value: Option<Number>) -> bool {
    let fits = |client: &Client, gets: u8| match client {
        Client::Done(before, read) => {
            before.puts & !puts == 0 && before.gets & !gets == 0 && value == Some(*read)
        }
        Client::Putting | Client::Getting(_) => false,
    };
    // A get changes nothing: once it fits, it may as well come now.
    while let Some(get) =
        (0..clients.len()).find(|client| gets & 1 << client == 0 && fits(&clients[*client], gets))
    {
        gets |= 1 << get;
    }
    let is_left = |(client, is): (usize, &Client)| match is {
        Client::Putting => false,
        Client::Getting(_) => puts & 1 << client == 0,
        Client::Done(..) => puts & gets & 1 << client == 0,
    };
    let next = |client: usize| {
        let puts = puts | 1 << client;
        is_linearizable(clients, puts, gets, Some(client as Number))
    };
    !clients.iter().enumerate().any(is_left)
        || (0..clients.len()).any(|client| puts & 1 << client == 0 && next(client))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Limits, Search};

    #[test]
    fn the_published_number() {
        let mut search = Search::new(Paxos { clients: 2 }, Limits::default());
        search.advance(usize::MAX);
        let outcome = search.outcome();
        assert_eq!(outcome.distinct, 16_668);
        assert!(outcome.complete && outcome.violation.is_none());
    }

    fn before(puts: u8, gets: u8) -> Before {
        Before { puts, gets }
    }

    #[test]
    fn histories_that_no_register_has_are_told() {
        let is = |clients: &[Client]| is_linearizable(clients, 0, 0, None);
        let first = Client::Done(before(0b01, 0), 0);
        assert!(is(&[first, Client::Putting]));
        // The other's value, though its put is not over; and one that was never put.
        assert!(is(&[Client::Done(before(0b01, 0), 1), Client::Putting]));
        assert!(!is(&[Client::Done(before(0b01, 0), 2), Client::Putting]));
        // Both values while both puts go on, but not one after the other and back.
        assert!(is(&[first, Client::Done(before(0b10, 0), 1)]));
        assert!(is(&[first, Client::Done(before(0b11, 0b01), 1)]));
        let third = Client::Done(before(0b111, 0b011), 0);
        assert!(!is(&[first, Client::Done(before(0b11, 0b01), 1), third]));
        // Each saw both puts over, so both saw the same one last.
        let (a, b) = (
            Client::Done(before(0b11, 0), 0),
            Client::Done(before(0b11, 0), 1),
        );
        assert!(!is(&[a, b]));
    }
}
