//! Requests in each protocol's own words: options of `submit`, and lines of a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::shards::{Item, Wish};
use phaselab_core::types::{GroupId, NodeId};

use super::batch::{self, REQUESTS_MAX};
use super::{SubmitArgs, payment};
use crate::client::NodeClient;
use crate::config::NodeConfig;
use crate::failure::{Failure, Outcome};
use crate::genesis::has_clusters;
use crate::purse::{Purse, has_coins};

/// What a cluster runs, if one of its configurations can be read.
pub(super) fn protocol(folder: &BTreeMap<NodeId, PathBuf>) -> Option<ProtocolKind> {
    let config = folder.values().find_map(|path| NodeConfig::load(path).ok());
    config.map(|config| config.genesis.protocol)
}

/// What options wish of a protocol with items.
fn wish(args: &SubmitArgs) -> Result<Option<Wish>, String> {
    let item = |option: &str, word: &str| {
        word.parse::<Item>()
            .map_err(|_| format!("{option} {word}: expected an item's number, such as 1001"))
    };
    Ok(match (&args.from, &args.to, args.amount, args.read) {
        (Some(from), Some(to), Some(amount), _) => Some(Wish::Transfer {
            sender: item("--from", from)?,
            receiver: item("--to", to)?,
            amount,
        }),
        (.., Some(item)) => Some(Wish::Read { item }),
        _ => {
            let to = args.move_.zip(args.to_cluster);
            to.map(|(item, to)| Wish::Move {
                item,
                to: GroupId(to),
            })
        }
    })
}

/// The option by which somebody wishes something, and one that only payments with coins have.
fn options(args: &SubmitArgs) -> (Option<&'static str>, Option<&'static str>) {
    let first = |options: &[(bool, &'static str)]| {
        let mut given = options.iter().filter(|(is_given, _)| *is_given);
        given.next().map(|(_, option)| *option)
    };
    (
        first(&[
            (args.from.is_some(), "--from"),
            (args.read.is_some(), "--read"),
            (args.move_.is_some(), "--move"),
        ]),
        first(&[
            (args.fee.is_some(), "--fee"),
            (args.memo.is_some(), "--memo"),
            (!args.spend.is_empty(), "--spend"),
        ]),
    )
}

/// Refuses the words of another protocol.
pub(super) fn check(args: &SubmitArgs, protocol: ProtocolKind) -> Outcome {
    let name = protocol.name();
    let refuse = |what: String| Err(Failure::Input(what));
    let (wished, of_coins) = options(args);
    match (has_clusters(protocol), has_coins(protocol)) {
        (true, _) if args.event.is_some() => refuse(format!(
            "--event: a cluster of {name} has items; expected --from, --to and --amount, or --read, or --move and \
             --to-cluster"
        )),
        (true, _) => match (of_coins, wish(args)) {
            (Some(option), _) => refuse(format!("{option}: a cluster of {name} has no coins")),
            (None, Err(what)) => refuse(what),
            (None, Ok(_)) => Ok(()),
        },
        (false, true) => match (args.event.is_some(), wished) {
            (true, _) => refuse(format!(
                "--event: clients of {name} pay with coins; expected --from, --to and --amount"
            )),
            (false, Some(option @ ("--read" | "--move"))) => refuse(format!(
                "{option}: a cluster of {name} has no items; expected --from, --to and --amount"
            )),
            (false, _) => Ok(()),
        },
        (false, false) => match wished {
            Some(option) => refuse(format!(
                "{option}: a cluster of {name} has no items; expected --event and --amount"
            )),
            None => Ok(()),
        },
    }
}

/// The request that options stand for, as TOML. `purse` is of a cluster whose clients pay with coins.
///
/// # Errors
/// If nobody knows what a payment spends.
pub(super) fn request_text(
    args: &SubmitArgs,
    purse: Option<&Purse>,
    clients: &[NodeClient],
) -> Result<String, Failure> {
    if let Some(request) = &args.request {
        return Ok(request.clone());
    }
    if let Some(event) = &args.event {
        // A JSON string is a TOML string too.
        let event = serde_json::Value::from(event.as_str());
        let amount = args.amount.unwrap_or_default();
        return Ok(format!("event = {event}\namount = {amount}\n"));
    }
    match (purse, wish(args)) {
        (None, Ok(Some(wish))) => {
            let mut protocols = ProtocolKind::ALL.iter().copied();
            let text = protocols.find_map(|protocol| protocol.wish(wish));
            Ok(text.unwrap_or_default())
        }
        _ => payment::text(args, purse, clients),
    }
}

/// What a line of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A client asks.
    Wish(Wish),
    /// A node fails: the others reach it no more.
    Fail(NodeId),
    /// It is back.
    Recover(NodeId),
}

/// What a file has done, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A request, as TOML.
    Ask(String),
    /// A node fails, once what was asked before has ended.
    Fail(NodeId),
    /// It comes back, likewise.
    Recover(NodeId),
}

/// The lines of a text that say something, each with its number; `#` stands before what nobody reads.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines());
    let bare = lines.map(|(number, line)| (number, line.split('#').next().unwrap_or("").trim()));
    bare.filter(|(_, line)| !line.is_empty())
}

/// The steps of a file, each with where it stands: requests in the forms of every protocol; or on each line a transfer
/// `1001,3001,10`, a read `1001`, or a node that fails and comes back `F(n4)`, `R(n4)`.
pub(crate) fn steps(
    name: &str,
    text: &str,
    protocol: ProtocolKind,
) -> Result<Vec<(String, Step)>, Failure> {
    if !is_lines(text) {
        let requests = batch::read(name, text)?.into_iter();
        return Ok(requests
            .map(|(place, request)| (place, Step::Ask(request)))
            .collect());
    }
    let one = |(number, line): (usize, &str)| {
        let place = format!("{name}:{number}");
        let refuse = |what: String| Failure::Input(format!("{place}: {what}"));
        let step =
            match self::line(line).map_err(refuse)? {
                Line::Wish(wish) => Step::Ask(protocol.wish(wish).ok_or_else(|| {
                    refuse(format!("a cluster of {} has no items", protocol.name()))
                })?),
                Line::Fail(node) => Step::Fail(node),
                Line::Recover(node) => Step::Recover(node),
            };
        Ok((place.clone(), step))
    };
    let steps = lines(text).map(one).collect::<Result<Vec<_>, Failure>>()?;
    if steps.len() > REQUESTS_MAX {
        let more = steps.len();
        return Err(Failure::Input(format!(
            "{name}: {more} requests; expected at most {REQUESTS_MAX}"
        )));
    }
    Ok(steps)
}

/// Whether a file is of lines as they are where items live in clusters.
fn is_lines(text: &str) -> bool {
    let starts = |line: &str| line.starts_with(|c: char| c.is_ascii_digit() || "(FR".contains(c));
    lines(text).next().is_some_and(|(_, line)| starts(line))
}

/// Refuses such a file where no items are.
pub(super) fn refuse_lines(name: &str, text: &str, folder: &BTreeMap<NodeId, PathBuf>) -> Outcome {
    match protocol(folder) {
        Some(protocol) if is_lines(text) => Err(Failure::Input(format!(
            "{name}: a cluster of {} has no items; expected [[request]] entries, or a JSON object per line",
            protocol.name()
        ))),
        _ => Ok(()),
    }
}

/// What a line says.
pub(crate) fn line(line: &str) -> Result<Line, String> {
    let within = |word: &str| line.strip_prefix(word)?.strip_suffix(')');
    let node = |text: &str| {
        let number = text.trim().trim_start_matches('n').parse();
        number.ok().map(NodeId)
    };
    let item = |number: &u64| u32::try_from(*number).ok();
    let said = if let Some(text) = within("F(") {
        node(text).map(Line::Fail)
    } else if let Some(text) = within("R(") {
        node(text).map(Line::Recover)
    } else {
        let inner = within("(").unwrap_or(line);
        let numbers = inner.split(',').map(|word| word.trim().parse::<u64>());
        let numbers: Option<Vec<u64>> = numbers.map(Result::ok).collect();
        let wish = match numbers.as_deref() {
            Some([read]) => item(read).map(|item| Wish::Read { item }),
            Some([from, to, amount]) => {
                let ends = item(from).zip(item(to));
                ends.map(|(sender, receiver)| Wish::Transfer {
                    sender,
                    receiver,
                    amount: *amount,
                })
            }
            _ => None,
        };
        wish.map(Line::Wish)
    };
    said.ok_or_else(|| {
        format!(
            "\"{line}\": expected a transfer such as 1001,3001,10, a read such as 1001, or F(n4) and R(n4)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_refused_with_their_place() {
        let text =
            "# a set\n1001,3001,10\n(1001, 3001, 10)  # the same\n\nF(n4)\n1001\nR(4)\n(1001)\n";
        let read = steps("t.csv", text, ProtocolKind::Sharded2pc).unwrap();
        let transfer = "transfer = { sender = 1001, receiver = 3001, amount = 10 }\n";
        let ask = |text: &str| Step::Ask(text.to_owned());
        let balance = "read = { item = 1001 }\n";
        let expected = [
            ("t.csv:2", ask(transfer)),
            ("t.csv:3", ask(transfer)),
            ("t.csv:5", Step::Fail(NodeId(4))),
            ("t.csv:6", ask(balance)),
            ("t.csv:7", Step::Recover(NodeId(4))),
            ("t.csv:8", ask(balance)),
        ];
        assert_eq!(read.len(), expected.len());
        for (read, expected) in read.iter().zip(&expected) {
            assert_eq!((read.0.as_str(), &read.1), (expected.0, &expected.1));
        }
        for (text, expected) in [
            (
                "1001,3001\n",
                "t.csv:1: \"1001,3001\": expected a transfer such as",
            ),
            ("1001\nx\n", "t.csv:2: \"x\": expected"),
            ("1001,3001,-1\n", "t.csv:1: "),
            ("4294967296\n", "t.csv:1: "),
            ("F(n)\n", "t.csv:1: \"F(n)\": expected"),
            ("R(n1\n", "t.csv:1: \"R(n1\": expected"),
        ] {
            let refused = steps("t.csv", text, ProtocolKind::Sharded2pc).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
        let other = steps("t.csv", "1001,3001,10\n", ProtocolKind::TwoPhase).unwrap_err();
        assert!(
            other
                .to_string()
                .ends_with("a cluster of two-phase has no items"),
            "{other}"
        );
        // The forms of every protocol are read as well.
        let toml = "[[request]]\nread = { item = 7 }\n";
        let read = steps("t", toml, ProtocolKind::Sharded2pc).unwrap();
        assert_eq!(read.len(), 1);
    }
}
