//! What clients asked of a run and what they were told: as Jepsen keeps it, and judged.
//!
//! ```text
//!   a run -> of_run -> History -> write (EDN, JSON) -> a file -> read -> History -> judge -> Verdict
//! ```
//!
//! An operation is *invoked* and ends as *ok*, it took effect; *fail*, it did not and never will; or *info*, nobody knows.
//! One that never ends is like one that ended as info: it may take effect at any time after it was invoked, or never.
//! A process is whoever does one thing after another: a client, until it asks something before it was told.
//!
//! What is judged is *linearizability*: there is an order of all operations in which each does what it said, and in which
//! one that ended before another was invoked comes first (Herlihy and Wing 1990).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

use crate::ordered::Map;
use crate::sim::Sim;
use crate::types::{ClientId, Time};

mod form;
mod linear;
mod text;
mod workload;

pub use form::{Form, read, write};
pub use workload::{Verdict, Workload, judge, judge_within};

/// The most events of a history that is read.
pub const EVENTS_MAX: usize = 1_000_000;

/// What clients call it to have an item live elsewhere, which changes nothing of what it holds.
pub const MOVE: &str = "move";

/// What a client wants. Items are numbers, and what they hold are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// What these items hold; with what they were told to hold, once that is known. `None` also stands for nothing.
    Read(Vec<(u64, Option<i64>)>),
    /// To have an item hold this.
    Write(u64, i64),
    /// To have an item hold the second, if it holds the first.
    Cas(u64, i64, i64),
    /// To move an amount from one item, which holds as much, to another.
    Transfer {
        /// From.
        from: u64,
        /// To.
        to: u64,
        /// How much.
        amount: i64,
    },
    /// Something that changes nothing of what items hold, by name.
    Other(String),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It took effect; of a read, what it was told.
    Ok(Option<Vec<(u64, Option<i64>)>>),
    /// It did not take effect and never will; why.
    Fail(&'static str),
    /// Nobody knows; why.
    Info(&'static str),
}

/// What happened to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It was asked for.
    Invoke,
    /// It took effect.
    Ok,
    /// It did not take effect, and never will.
    Fail,
    /// It may have, or may yet.
    Info,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Invoke, Kind::Ok, Kind::Fail, Kind::Info];

    /// Jepsen's word.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info => "info",
        }
    }
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// Who.
    pub process: u64,
    /// What happened to the operation.
    pub kind: Kind,
    /// The operation.
    pub call: Call,
    /// When, in virtual time.
    pub at: Time,
    /// Why it failed, or why nobody knows.
    pub error: Option<String>,
}

/// What clients asked and were told, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What every item holds at first that is not named; `None` for nothing.
    pub initial: Option<i64>,
    /// What items hold at first.
    pub accounts: Vec<(u64, i64)>,
    /// What happened, in order.
    pub events: Vec<Happened>,
}

/// An operation from its beginning to its end, by their places in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) call: Call,
    pub(crate) process: u64,
    pub(crate) begin: usize,
    /// `None` if it may take effect at any time.
    pub(crate) end: Option<usize>,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryError {
    /// In which line, from 1; 0 if in none.
    pub line: usize,
    /// What, and what was expected.
    pub what: String,
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl core::error::Error for HistoryError {}

impl HistoryError {
    fn at(line: usize, what: impl Into<String>) -> HistoryError {
        let what = what.into();
        HistoryError { line, what }
    }
}

impl History {
    /// What an item holds at first.
    pub fn first(&self, item: u64) -> Option<i64> {
        let named = self.accounts.iter().find(|(named, _)| *named == item);
        named.map(|(_, held)| *held).or(self.initial)
    }

    /// The operations that took effect or may have.
    ///
    /// # Errors
    /// A process that does two things at once, or ends what it did not begin; by the event's place, from 0.
    pub(crate) fn operations(&self) -> Result<Vec<Operation>, (usize, String)> {
        let mut done: Vec<Operation> = Vec::new();
        let mut gone: Vec<usize> = Vec::new();
        let mut open: Map<u64, usize> = Map::new();
        for (place, event) in self.events.iter().enumerate() {
            let process = event.process;
            if event.kind == Kind::Invoke {
                if open.insert(process, done.len()).is_some() {
                    let what = "invokes before its last operation ended; expected ok, fail or info";
                    return Err((place, format!("process {process} {what}")));
                }
                done.push(Operation {
                    call: event.call.clone(),
                    process,
                    begin: place,
                    end: None,
                });
                continue;
            }
            let Some(begun) = open.remove(&process) else {
                let what = format!("process {process} ends what it did not begin; expected invoke");
                return Err((place, what));
            };
            let operation = &mut done[begun];
            if !is_same(&operation.call, &event.call) {
                let what = "ends another operation than it began; expected the same f and value";
                return Err((place, format!("process {process} {what}")));
            }
            match event.kind {
                Kind::Ok => {
                    operation.end = Some(place);
                    operation.call = event.call.clone();
                }
                Kind::Fail => gone.push(begun),
                Kind::Info | Kind::Invoke => {}
            }
        }
        let mut place = 0;
        done.retain(|_| {
            place += 1;
            gone.binary_search(&(place - 1)).is_err()
        });
        Ok(done)
    }
}

/// Whether an end is of what was begun: what a read is told is known only then.
fn is_same(begun: &Call, ended: &Call) -> bool {
    match (begun, ended) {
        (Call::Read(asked), Call::Read(told)) => {
            let keys = |items: &[(u64, Option<i64>)]| {
                items.iter().map(|(item, _)| *item).collect::<Vec<_>>()
            };
            asked.is_empty() || told.is_empty() || keys(asked) == keys(told)
        }
        (begun, ended) => begun == ended,
    }
}

/// Plays a run, to its end or to a time, and keeps what its clients asked and were told.
///
/// # Errors
/// When the protocol has no items that hold something.
pub fn of_run(mut sim: Sim, until: Option<Time>) -> Result<History, HistoryError> {
    let scenario = sim.scenario().clone();
    let Some((initial, accounts)) = scenario.protocol.accounts(&scenario.config) else {
        let name = scenario.protocol.name();
        let what = format!("{name} has no items that are read and written; expected sharded-2pc");
        return Err(HistoryError::at(0, what));
    };
    let until = until.unwrap_or(Time(u64::MAX));
    while sim.next_at().is_some_and(|at| at <= until) && sim.step().is_some() {}
    let mut keeper = Keeper {
        history: History {
            initial: Some(initial),
            accounts,
            events: Vec::new(),
        },
        ..Keeper::default()
    };
    let mut requests = sim.requests().iter().peekable();
    for (told, reply) in sim.replies().iter().enumerate() {
        while let Some(asked) = requests.next_if(|asked| asked.told <= told) {
            if let Some(call) = scenario.protocol.call(&asked.request) {
                keeper.ask(asked.at, (asked.client, asked.number), call);
            }
        }
        if let Some(end) = scenario.protocol.end(&reply.reply) {
            keeper.tell(reply.at, (reply.client, reply.number), end);
        }
    }
    for asked in requests {
        if let Some(call) = scenario.protocol.call(&asked.request) {
            keeper.ask(asked.at, (asked.client, asked.number), call);
        }
    }
    Ok(keeper.history)
}

/// Makes operations of requests: what is asked again is the same operation.
#[derive(Default)]
struct Keeper {
    history: History,
    /// Requests that were asked, and by which process while they are open.
    asked: Map<(ClientId, u64), Option<(u64, Call)>>,
    /// The process that each client was last, and whether it is busy.
    processes: Map<ClientId, (u64, bool)>,
    next: u64,
}

impl Keeper {
    fn ask(&mut self, at: Time, request: (ClientId, u64), call: Call) {
        if self.asked.contains_key(&request) {
            return;
        }
        let client = request.0;
        let free = self.processes.get(&client).filter(|(_, busy)| !busy);
        let process = free.map_or(self.next, |(process, _)| *process);
        if process == self.next {
            self.next += 1;
        }
        self.processes.insert(client, (process, true));
        self.asked.insert(request, Some((process, call.clone())));
        self.push(process, Kind::Invoke, call, at, None);
    }

    fn tell(&mut self, at: Time, request: (ClientId, u64), end: End) {
        let Some(open) = self.asked.get_mut(&request) else {
            return;
        };
        let Some((process, mut call)) = open.take() else {
            return;
        };
        let (kind, error) = match end {
            End::Ok(told) => {
                if let (Some(told), Call::Read(items)) = (told, &mut call) {
                    *items = told;
                }
                (Kind::Ok, None)
            }
            End::Fail(why) => (Kind::Fail, Some(why)),
            End::Info(why) => (Kind::Info, Some(why)),
        };
        // Whoever does not know what became of it never comes back under that name.
        if kind != Kind::Info
            && let Some((last, busy)) = self.processes.get_mut(&request.0)
            && *last == process
        {
            *busy = false;
        }
        let error = error.map(ToString::to_string);
        self.push(process, kind, call, at, error);
    }

    fn push(&mut self, process: u64, kind: Kind, call: Call, at: Time, error: Option<String>) {
        self.history.events.push(Happened {
            process,
            kind,
            call,
            at,
            error,
        });
    }
}

/// The items of an operation.
fn items_of(call: &Call) -> Vec<u64> {
    match call {
        Call::Read(items) => items.iter().map(|(item, _)| *item).collect(),
        Call::Write(item, _) | Call::Cas(item, ..) => vec![*item],
        Call::Transfer { from, to, .. } => vec![*from, *to],
        Call::Other(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
