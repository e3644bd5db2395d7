//! Histories as text: the maps that Jepsen keeps, in EDN, a line each, and in JSON, as a list.
//!
//! `{:index 1, :time 100000000, :type :invoke, :process 0, :f :transfer, :value {:from 1001, :to 3001, :amount 10}}`
//!
//! `:f` is `:transfer`, `:read`, `:write`, `:cas`, or a word for what changes nothing. A read's value maps items to what
//! they hold; `[item held]` is read too, and a bare value is the item 0's. The first line is the nemesis's: what items
//! hold at first.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use super::text::{Reader, Value};
use super::{Call, EVENTS_MAX, Happened, History, HistoryError, Kind};
use crate::types::Time;

/// How a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Extensible data notation: one map a line.
    Edn,
    /// A list of maps.
    Json,
}

impl Form {
    fn key(self, name: &str) -> String {
        match self {
            Form::Edn => format!(":{name} "),
            Form::Json => format!("\"{name}\": "),
        }
    }

    fn word(self, word: &str) -> String {
        match self {
            Form::Edn => format!(":{word}"),
            Form::Json => format!("\"{word}\""),
        }
    }

    /// Items with what they hold.
    fn held(self, items: impl Iterator<Item = (u64, Option<i64>)>) -> String {
        let one = |(item, held): (u64, Option<i64>)| {
            let held = held.map(|held| held.to_string());
            match self {
                Form::Edn => format!("{item} {}", held.unwrap_or_else(|| "nil".into())),
                Form::Json => format!("\"{item}\": {}", held.unwrap_or_else(|| "null".into())),
            }
        };
        let items: Vec<String> = items.map(one).collect();
        format!("{{{}}}", items.join(", "))
    }

    fn list(self, numbers: &[i64]) -> String {
        let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
        let between = match self {
            Form::Edn => " ",
            Form::Json => ", ",
        };
        format!("[{}]", numbers.join(between))
    }

    fn map(self, fields: &[(&str, String)]) -> String {
        let one = |(name, value): &(&str, String)| format!("{}{value}", self.key(name));
        let fields: Vec<String> = fields.iter().map(one).collect();
        format!("{{{}}}", fields.join(", "))
    }
}

/// Writes a history.
pub fn write(history: &History, form: Form) -> String {
    let accounts = history.accounts.iter();
    let accounts = form.held(accounts.map(|(item, held)| (*item, Some(*held))));
    let initial = match (history.initial, form) {
        (Some(initial), _) => initial.to_string(),
        (None, Form::Edn) => "nil".to_string(),
        (None, Form::Json) => "null".to_string(),
    };
    let first = form.map(&[
        ("index", "0".to_string()),
        ("time", "0".to_string()),
        ("type", form.word("info")),
        ("process", form.word("nemesis")),
        ("f", form.word("accounts")),
        (
            "value",
            form.map(&[("initial", initial), ("accounts", accounts)]),
        ),
    ]);
    let lines = history.events.iter().enumerate();
    let lines = lines.map(|(place, event)| line(form, place + 1, event));
    let mut text = String::new();
    let (open, between, close) = match form {
        Form::Edn => ("", "\n", "\n"),
        Form::Json => ("[\n", ",\n", "\n]\n"),
    };
    text.push_str(open);
    for (place, line) in core::iter::once(first).chain(lines).enumerate() {
        let before = if place == 0 { "" } else { between };
        write!(text, "{before}{line}").expect("a string takes text");
    }
    text.push_str(close);
    text
}

fn line(form: Form, index: usize, event: &Happened) -> String {
    let number = |held: i64| held.to_string();
    let (f, value) = match &event.call {
        Call::Read(items) => ("read", form.held(items.iter().copied())),
        Call::Write(item, held) => ("write", form.list(&[*item as i64, *held])),
        Call::Cas(item, old, new) => {
            let pair = form.list(&[*old, *new]);
            let between = if form == Form::Edn { " " } else { ", " };
            ("cas", format!("[{item}{between}{pair}]"))
        }
        Call::Transfer { from, to, amount } => (
            "transfer",
            form.map(&[
                ("from", from.to_string()),
                ("to", to.to_string()),
                ("amount", number(*amount)),
            ]),
        ),
        Call::Other(name) if form == Form::Edn => (name.as_str(), "nil".to_string()),
        Call::Other(name) => (name.as_str(), "null".to_string()),
    };
    let mut fields = Vec::from([
        ("index", index.to_string()),
        ("time", event.at.0.to_string()),
        ("type", form.word(event.kind.name())),
        ("process", event.process.to_string()),
        ("f", form.word(f)),
        ("value", value),
    ]);
    if let Some(error) = &event.error {
        fields.push(("error", form.word(error)));
    }
    form.map(&fields)
}

/// Reads a history in either form.
///
/// # Errors
/// The first line that is wrong, and what was expected.
pub fn read(text: &str) -> Result<History, HistoryError> {
    let mut reader = Reader::new(text)?;
    let mut history = History::default();
    let mut lines = Vec::new();
    while let Some((line, map)) = reader.next()? {
        let process = expect(line, &map, "process")?;
        let Value::Number(process) = process else {
            // What is done to the system is not done by a client.
            if matches!(map.field("f"), Some(Value::Word(f)) if f == "accounts") {
                read_accounts(line, &map, &mut history)?;
            }
            continue;
        };
        if history.events.len() == EVENTS_MAX {
            let what = format!("more events than {EVENTS_MAX}; expected a shorter history");
            return Err(HistoryError::at(line, what));
        }
        history.events.push(read_event(line, &map, *process)?);
        lines.push(line);
    }
    if history.events.is_empty() {
        let what = "no client did anything; expected maps with process, type, f and value";
        return Err(HistoryError::at(0, what));
    }
    match history.operations() {
        Ok(_) => Ok(history),
        Err((place, what)) => Err(HistoryError::at(lines[place], what)),
    }
}

fn expect<'a>(line: usize, map: &'a Value, name: &str) -> Result<&'a Value, HistoryError> {
    let missing = || HistoryError::at(line, format!("expected {name}"));
    map.field(name).ok_or_else(missing)
}

fn read_event(line: usize, map: &Value, process: i64) -> Result<Happened, HistoryError> {
    let wrong = |what: &str| HistoryError::at(line, String::from(what));
    let process =
        u64::try_from(process).map_err(|_| wrong("process: expected a number from 0 on"))?;
    let kind = match expect(line, map, "type")? {
        Value::Word(word) => Kind::ALL.into_iter().find(|kind| kind.name() == word),
        _ => None,
    };
    let kind = kind.ok_or_else(|| wrong("type: expected invoke, ok, fail or info"))?;
    let at = match map.field("time") {
        Some(Value::Number(at)) => {
            u64::try_from(*at).map_err(|_| wrong("time: expected a number from 0 on"))?
        }
        None | Some(Value::Nil) => 0,
        Some(_) => return Err(wrong("time: expected nanoseconds")),
    };
    let Value::Word(f) = expect(line, map, "f")? else {
        return Err(wrong("f: expected a word"));
    };
    let value = map.field("value").unwrap_or(&Value::Nil);
    let call = read_call(f, value)
        .map_err(|expected| wrong(&format!("value of {f}: expected {expected}")))?;
    let error = match map.field("error") {
        Some(Value::Word(error)) => Some(error.clone()),
        Some(Value::List(parts)) => match parts.first() {
            Some(Value::Word(error)) => Some(error.clone()),
            _ => None,
        },
        _ => None,
    };
    Ok(Happened {
        process,
        kind,
        call,
        at: Time(at),
        error,
    })
}

fn read_call(f: &str, value: &Value) -> Result<Call, &'static str> {
    let item = |value: &Value| match value {
        Value::Number(item) => u64::try_from(*item).ok(),
        Value::Word(item) => item.parse().ok(),
        _ => None,
    };
    let held = |value: &Value| match value {
        Value::Number(held) => Some(Some(*held)),
        Value::Nil => Some(None),
        _ => None,
    };
    match (f, value) {
        ("read", Value::Nil) => Ok(Call::Read(Vec::new())),
        ("read", Value::Number(told)) => Ok(Call::Read(Vec::from([(0, Some(*told))]))),
        ("read", Value::List(pair)) => match pair.as_slice() {
            [key, value] => item(key).zip(held(value)),
            _ => None,
        }
        .map(|pair| Call::Read(Vec::from([pair])))
        .ok_or("[item held]"),
        ("read", Value::Map(fields)) => {
            let pair = |(key, value): &(Value, Value)| item(key).zip(held(value));
            let items: Option<Vec<_>> = fields.iter().map(pair).collect();
            let mut items = items.ok_or("a map from items to what they hold")?;
            items.sort_unstable();
            Ok(Call::Read(items))
        }
        ("write", Value::Number(held)) => Ok(Call::Write(0, *held)),
        ("write", Value::List(pair)) => match pair.as_slice() {
            [key, Value::Number(held)] => item(key).map(|item| Call::Write(item, *held)),
            _ => None,
        }
        .ok_or("[item held]"),
        ("cas", Value::List(pair)) => match pair.as_slice() {
            [Value::Number(old), Value::Number(new)] => Some(Call::Cas(0, *old, *new)),
            [key, Value::List(pair)] => match pair.as_slice() {
                [Value::Number(old), Value::Number(new)] => {
                    item(key).map(|item| Call::Cas(item, *old, *new))
                }
                _ => None,
            },
            _ => None,
        }
        .ok_or("[item [old new]]"),
        ("transfer", map @ Value::Map(_)) => {
            let part = |name| map.field(name).and_then(item);
            let amount = match map.field("amount") {
                Some(Value::Number(amount)) if *amount >= 0 => Some(*amount),
                _ => None,
            };
            match (part("from"), part("to"), amount) {
                (Some(from), Some(to), Some(amount)) => Ok(Call::Transfer { from, to, amount }),
                _ => Err("from, to and an amount from 0 on"),
            }
        }
        ("read", _) => Err("a map from items to what they hold"),
        ("write", _) => Err("[item held]"),
        ("cas", _) => Err("[item [old new]]"),
        ("transfer", _) => Err("a map with from, to and amount"),
        (other, _) => Ok(Call::Other(String::from(other))),
    }
}

fn read_accounts(line: usize, map: &Value, history: &mut History) -> Result<(), HistoryError> {
    let value = expect(line, map, "value")?;
    history.initial = match value.field("initial") {
        Some(Value::Number(initial)) => Some(*initial),
        _ => None,
    };
    let accounts = value.field("accounts").unwrap_or(&Value::Nil);
    let wrong = || {
        HistoryError::at(
            line,
            "accounts: expected a map from items to what they hold",
        )
    };
    let Ok(Call::Read(accounts)) = read_call("read", accounts) else {
        return Err(wrong());
    };
    for (item, held) in accounts {
        history.accounts.push((item, held.ok_or_else(wrong)?));
    }
    Ok(())
}
