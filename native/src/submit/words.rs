//! Requests in each protocol's own words: options of `submit`, and lines of a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::shards::Wish;
use phaselab_core::types::{GroupId, NodeId};

use super::SubmitArgs;
use super::batch::{self, REQUESTS_MAX};
use crate::config::NodeConfig;
use crate::failure::{Failure, Outcome};
use crate::genesis::has_clusters;

/// What a cluster runs, if one of its configurations can be read.
pub(super) fn protocol(folder: &BTreeMap<NodeId, PathBuf>) -> Option<ProtocolKind> {
    let config = folder.values().find_map(|path| NodeConfig::load(path).ok());
    config.map(|config| config.genesis.protocol)
}

/// What options wish of a protocol with items.
fn wish(args: &SubmitArgs) -> Option<Wish> {
    match (args.from, args.to, args.amount, args.read) {
        (Some(sender), Some(receiver), Some(amount), _) => Some(Wish::Transfer {
            sender,
            receiver,
            amount,
        }),
        (.., Some(item)) => Some(Wish::Read { item }),
        _ => {
            let (item, to) = args.move_.zip(args.to_cluster)?;
            let to = GroupId(to);
            Some(Wish::Move { item, to })
        }
    }
}

/// Refuses the words of another protocol.
pub(super) fn check(args: &SubmitArgs, protocol: ProtocolKind) -> Outcome {
    let wished = wish(args);
    let name = protocol.name();
    match (has_clusters(protocol), &args.event, wished) {
        (true, Some(_), _) => Err(Failure::Input(format!(
            "--event: a cluster of {name} has items; expected --from, --to and --amount, or --read, or --move and \
             --to-cluster"
        ))),
        (false, _, Some(wish)) => {
            let option = match wish {
                Wish::Transfer { .. } => "--from",
                Wish::Read { .. } => "--read",
                Wish::Move { .. } => "--move",
            };
            Err(Failure::Input(format!(
                "{option}: a cluster of {name} has no items; expected --event and --amount"
            )))
        }
        _ => Ok(()),
    }
}

/// The request that options stand for, as TOML.
pub(super) fn request_text(args: &SubmitArgs) -> String {
    let of_items = || {
        let mut protocols = ProtocolKind::ALL.into_iter();
        let wish = wish(args)?;
        protocols.find_map(|protocol| protocol.wish(wish))
    };
    match (&args.request, &args.event, args.amount) {
        (Some(request), _, _) => request.clone(),
        (None, Some(event), amount) => {
            // A JSON string is a TOML string too.
            let event = serde_json::Value::from(event.as_str());
            format!("event = {event}\namount = {}\n", amount.unwrap_or_default())
        }
        (None, None, _) => of_items().unwrap_or_default(),
    }
}

/// The requests of a file, each with where it stands, as TOML: in the forms of every protocol, or with a transfer
/// `1001,3001,10` or a read `1001` per line, in parentheses or not, and `#` before what nobody reads.
pub(crate) fn requests(
    name: &str,
    text: &str,
    protocol: ProtocolKind,
) -> Result<Vec<(String, String)>, Failure> {
    let lines = || {
        let lines = text.lines().zip(1..);
        let bare =
            lines.map(|(line, number)| (line.split('#').next().unwrap_or("").trim(), number));
        bare.filter(|(line, _): &(&str, usize)| !line.is_empty())
    };
    let is_lines = lines().next().is_some_and(|(line, _)| {
        line.starts_with(|c: char| c.is_ascii_digit() || "(FR".contains(c))
    });
    if !is_lines {
        return batch::read(name, text);
    }
    let one = |(line, number): (&str, usize)| {
        let place = format!("{name}:{number}");
        let refuse = |what: String| Failure::Input(format!("{place}: {what}"));
        let wish = self::line(line).map_err(refuse)?;
        let request = protocol
            .wish(wish)
            .ok_or_else(|| refuse(format!("a cluster of {} has no items", protocol.name())))?;
        Ok((place.clone(), request))
    };
    let requests = lines().map(one).collect::<Result<Vec<_>, Failure>>()?;
    if requests.len() > REQUESTS_MAX {
        let more = requests.len();
        return Err(Failure::Input(format!(
            "{name}: {more} requests; expected at most {REQUESTS_MAX}"
        )));
    }
    Ok(requests)
}

/// What a line wishes.
pub(crate) fn line(line: &str) -> Result<Wish, String> {
    let fails = line.starts_with(['F', 'R']);
    if fails {
        let deed = if line.starts_with('F') {
            "stops"
        } else {
            "goes on"
        };
        return Err(format!(
            "{line}: nodes do not fail in a file of requests; expected a transfer or a read. A node {deed} by \
             `phaselab cluster --tui`, `phaselab fault cut` and `heal`, or at random by `phaselab chaos`"
        ));
    }
    let inner = line
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
        .unwrap_or(line);
    let numbers = inner.split(',').map(|word| word.trim().parse::<u64>());
    let numbers: Option<Vec<u64>> = numbers.map(Result::ok).collect();
    let item = |number: &u64| u32::try_from(*number).ok();
    let wish = match numbers.as_deref() {
        Some([read]) => item(read).map(|item| Wish::Read { item }),
        Some([from, to, amount]) => item(from).zip(item(to)).map(|(sender, receiver)| {
            let amount = *amount;
            Wish::Transfer {
                sender,
                receiver,
                amount,
            }
        }),
        _ => None,
    };
    wish.ok_or_else(|| {
        format!("\"{line}\": expected a transfer such as 1001,3001,10, or a read such as 1001")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_refused_with_their_place() {
        let text = "# a set\n1001,3001,10\n(1001, 3001, 10)  # the same\n\n1001\n(1001)\n";
        let read = requests("t.csv", text, ProtocolKind::Sharded2pc).unwrap();
        let transfer = "transfer = { sender = 1001, receiver = 3001, amount = 10 }\n";
        let balance = "read = { item = 1001 }\n";
        let expected = [
            ("t.csv:2", transfer),
            ("t.csv:3", transfer),
            ("t.csv:5", balance),
            ("t.csv:6", balance),
        ];
        let read: Vec<_> = read
            .iter()
            .map(|(place, text)| (place.as_str(), text.as_str()))
            .collect();
        assert_eq!(read, expected);
        let refused =
            |text: &str, protocol| requests("t.csv", text, protocol).unwrap_err().to_string();
        for (text, expected) in [
            (
                "1001,3001\n",
                "t.csv:1: \"1001,3001\": expected a transfer such as",
            ),
            ("1001\nx\n", "t.csv:2: \"x\": expected"),
            ("1001,3001,-1\n", "t.csv:1: "),
            ("4294967296\n", "t.csv:1: "),
            ("F(n1)\n", "t.csv:1: F(n1): nodes do not fail in a file"),
            ("1001\nR(n1)\n", "`phaselab fault cut` and `heal`"),
        ] {
            let said = refused(text, ProtocolKind::Sharded2pc);
            assert!(said.contains(expected), "{said}");
        }
        let other = refused("1001,3001,10\n", ProtocolKind::TwoPhase);
        assert!(
            other.ends_with("a cluster of two-phase has no items"),
            "{other}"
        );
        // The forms of every protocol are read as well.
        let toml = "[[request]]\nread = { item = 7 }\n";
        assert_eq!(
            requests("t", toml, ProtocolKind::Sharded2pc).unwrap().len(),
            1
        );
    }
}
