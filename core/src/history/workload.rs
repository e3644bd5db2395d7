//! What histories are judged by: registers, and a bank.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::linear::{self, Found, Machine, STEPS_MAX, Span};
use super::{Call, History, HistoryError, MOVE, Operation, items_of};
use crate::ordered::{Map, Set};

/// What clients did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// They read, wrote, and compared and set items: each item is linearizable by itself.
    Register,
    /// They read balances and moved money: the bank as a whole is linearizable, nobody owes anything, and whoever reads
    /// all accounts sees all the money.
    Bank,
}

impl Workload {
    /// Every workload.
    pub const ALL: [Workload; 2] = [Workload::Register, Workload::Bank];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Register => "register",
            Workload::Bank => "bank",
        }
    }

    /// The workload with this name.
    pub fn from_name(name: &str) -> Option<Workload> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What became of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order of all operations that explains what every client was told.
    Holds {
        /// Operations that took effect.
        ended: usize,
        /// Operations of which nobody knows.
        open: usize,
        /// Parts that were judged by themselves, as none touches an item of another.
        parts: usize,
    },
    /// There is none, or a read is wrong in itself.
    Broken {
        /// What was told, by whom and when.
        what: String,
    },
    /// It is too large to decide.
    Undecided {
        /// How much of what there is.
        what: String,
    },
}

/// Judges a history.
///
/// # Errors
/// What does not belong to the workload.
pub fn judge(history: &History, workload: Workload) -> Result<Verdict, HistoryError> {
    judge_within(history, workload, STEPS_MAX)
}

/// Judges a history with so many steps at most for each part of it.
///
/// # Errors
/// What does not belong to the workload.
pub fn judge_within(
    history: &History,
    workload: Workload,
    steps_max: u64,
) -> Result<Verdict, HistoryError> {
    let operations = history
        .operations()
        .map_err(|(_, what)| HistoryError::at(0, what))?;
    for operation in &operations {
        check(&operation.call, workload)?;
    }
    if workload == Workload::Bank
        && let Some(what) = operations
            .iter()
            .find_map(|operation| sum(history, operation))
    {
        return Ok(Verdict::Broken { what });
    }
    let ended = operations.iter().filter(|known| known.end.is_some());
    let ended = ended.count();
    let parts = apart(&operations);
    for part in &parts {
        let items = part.iter().flat_map(|known| items_of(&known.call));
        let items: Set<u64> = items.collect();
        let machine = Items {
            place: items
                .iter()
                .zip(0..)
                .map(|(item, at)| (*item, at))
                .collect(),
            part,
        };
        let init: Vec<Option<i64>> = items.iter().map(|item| history.first(*item)).collect();
        let span = |known: &&Operation| Span {
            begin: known.begin,
            end: known.end,
        };
        let spans: Vec<Span> = part.iter().map(span).collect();
        match linear::search(&machine, init, &spans, steps_max) {
            Found::Order => {}
            Found::None { stuck } => {
                let told = tell(history, part[stuck]);
                let what = format!("no order of the operations explains it: {told} fits nowhere");
                return Ok(Verdict::Broken { what });
            }
            Found::TooMuch => {
                let what = format!(
                    "{} operations on {} items: no answer after {steps_max} steps",
                    part.len(),
                    items.len()
                );
                return Ok(Verdict::Undecided { what });
            }
        }
    }
    Ok(Verdict::Holds {
        ended,
        open: operations.len() - ended,
        parts: parts.len(),
    })
}

fn check(call: &Call, workload: Workload) -> Result<(), HistoryError> {
    let what = match (workload, call) {
        (Workload::Register, Call::Transfer { .. }) => {
            "a transfer is no register's; expected read, write or cas, or the workload bank"
        }
        (Workload::Register, Call::Read(items)) if items.len() > 1 => {
            "a read of several items; expected one of one, or the workload bank"
        }
        (Workload::Bank, Call::Write(..) | Call::Cas(..)) => {
            "a bank's accounts are not written; expected read or transfer, or the workload register"
        }
        (Workload::Register, Call::Other(word)) => {
            let what = format!("f: \"{word}\": expected read, write or cas");
            return Err(HistoryError::at(0, what));
        }
        // Where an item lives is nothing that clients read.
        (Workload::Bank, Call::Other(word)) if word != MOVE => {
            let what = format!("f: \"{word}\": expected read, transfer or {MOVE}");
            return Err(HistoryError::at(0, what));
        }
        _ => return Ok(()),
    };
    Err(HistoryError::at(0, what))
}

/// What is wrong with a read by itself: debts, and all accounts with another sum than at first.
fn sum(history: &History, operation: &Operation) -> Option<String> {
    let (Call::Read(told), Some(_)) = (&operation.call, operation.end) else {
        return None;
    };
    let owes = told.iter().find(|(_, held)| held.is_some_and(|h| h < 0));
    if let Some((item, Some(held))) = owes {
        let told = tell(history, operation);
        return Some(format!(
            "account {item} owes {}: {told}",
            -i128::from(*held)
        ));
    }
    let accounts = &history.accounts;
    let has = |item: u64| told.iter().any(|(known, _)| *known == item);
    let is_all = !accounts.is_empty() && accounts.iter().all(|(item, _)| has(*item));
    if !is_all || told.len() != accounts.len() {
        return None;
    }
    let first: i128 = accounts.iter().map(|(_, held)| i128::from(*held)).sum();
    let held = told.iter().filter_map(|(_, held)| *held);
    let now: i128 = held.map(i128::from).sum();
    (now != first).then(|| {
        let told = tell(history, operation);
        format!("all accounts hold {now} together, of {first}: {told}")
    })
}

/// Operations that share no item, directly or by way of others, say nothing about each other.
fn apart(operations: &[Operation]) -> Vec<Vec<&Operation>> {
    let mut leader: Map<u64, u64> = Map::new();
    let find = |leader: &Map<u64, u64>, mut item: u64| {
        while let Some(next) = leader.get(&item).filter(|next| **next != item) {
            item = *next;
        }
        item
    };
    for operation in operations {
        let items = items_of(&operation.call);
        for item in &items {
            leader.get_or_insert_with(*item, || *item);
            let (one, other) = (find(&leader, items[0]), find(&leader, *item));
            leader.insert(one.max(other), one.min(other));
        }
    }
    let mut parts: Map<u64, Vec<&Operation>> = Map::new();
    for operation in operations {
        if let Some(item) = items_of(&operation.call).first() {
            let part = parts.get_or_default(find(&leader, *item));
            part.push(operation);
        }
    }
    parts.values().cloned().collect()
}

/// Some items, one operation after another.
struct Items<'a> {
    place: Map<u64, usize>,
    part: &'a [&'a Operation],
}

impl Items<'_> {
    fn at(&self, item: u64) -> usize {
        self.place.get(&item).copied().unwrap_or_default()
    }
}

impl Machine for Items<'_> {
    type State = Vec<Option<i64>>;

    fn step(&self, state: &Self::State, operation: usize) -> Option<Self::State> {
        match &self.part[operation].call {
            Call::Read(told) => {
                let is_right = |(item, held): &(u64, Option<i64>)| state[self.at(*item)] == *held;
                // Of one that was never told, nothing is known.
                let is_open = self.part[operation].end.is_none();
                (is_open || told.iter().all(is_right)).then(|| state.clone())
            }
            Call::Write(item, held) => {
                let mut state = state.clone();
                state[self.at(*item)] = Some(*held);
                Some(state)
            }
            Call::Cas(item, old, new) => {
                let mut state = state.clone();
                let held = &mut state[self.at(*item)];
                (*held == Some(*old)).then(|| *held = Some(*new))?;
                Some(state)
            }
            Call::Transfer { from, to, amount } => {
                let (from, to) = (self.at(*from), self.at(*to));
                let mut state = state.clone();
                let left = state[from]?.checked_sub(*amount)?;
                (left >= 0).then(|| state[from] = Some(left))?;
                state[to] = Some(state[to]?.checked_add(*amount)?);
                Some(state)
            }
            Call::Other(_) => Some(state.clone()),
        }
    }
}

/// An operation in words.
fn tell(history: &History, operation: &Operation) -> String {
    let held = |held: &Option<i64>| held.map_or_else(|| "nothing".into(), |held| format!("{held}"));
    let what = match &operation.call {
        Call::Read(told) => {
            let told = told.iter();
            let told: Vec<String> = told
                .map(|(item, value)| format!("{item} = {}", held(value)))
                .collect();
            format!("the read of {}", told.join(", "))
        }
        Call::Write(item, held) => format!("the write of {item} = {held}"),
        Call::Cas(item, old, new) => format!("the cas of {item} from {old} to {new}"),
        Call::Transfer { from, to, amount } => {
            format!("the transfer of {amount} from {from} to {to}")
        }
        Call::Other(name) => name.clone(),
    };
    let at = |place: usize| history.events[place].at.as_ms();
    let until = operation
        .end
        .map_or_else(String::new, |end| format!(" to {}", at(end)));
    format!(
        "{what} (process {}, {}{until} ms)",
        operation.process,
        at(operation.begin)
    )
}
