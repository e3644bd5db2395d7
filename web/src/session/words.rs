//! What was done by hand, in a few words: the names of futures.

use phaselab_core::scenario::{Act, Behaviour, CrashPoint, DiskFault, Link, Selector};
use phaselab_core::types::NodeId;

/// Whole milliseconds, rounded.
pub(super) fn milliseconds(ms: f64) -> String {
    format!("{} ms", ms.round() as u64)
}

/// A behaviour of a liar, as a verb.
pub fn behaviour(how: Behaviour) -> &'static str {
    match how {
        Behaviour::Equivocate => "says two things",
        Behaviour::Mute => "says nothing",
        Behaviour::Delay => "says everything late",
        Behaviour::Withhold => "tells only half",
        Behaviour::Amnesia => "forgets its votes",
        Behaviour::Forge => "forges names",
        Behaviour::Rush => "claims a far round",
        Behaviour::Oppose => "says the opposite",
    }
}

/// What was done, as a verb and its object.
pub fn act(act: &Act) -> String {
    let number = |node: NodeId| node.0.to_string();
    let any = |node: Option<NodeId>| node.map_or_else(|| "any".to_owned(), number);
    let of = |verb: &str, node: NodeId| [verb, " ", &number(node)].concat();
    let link = |verb: &str, from, to| [verb, " ", &any(from), " → ", &any(to)].concat();
    let messages = |verb: &str, select: &Selector| {
        let kind = select.kind.as_deref().unwrap_or("messages");
        link(&[verb, " ", kind].concat(), select.from, select.to)
    };
    match act {
        Act::Submit { .. } | Act::SubmitAs { .. } => "submit".to_owned(),
        Act::Crash { node, when } => match when {
            CrashPoint::BetweenSteps => of("crash", *node),
            CrashPoint::BeforeHandling => of("crash before handling", *node),
            CrashPoint::AfterPersist => of("crash after persist", *node),
        },
        Act::Restart { node } => of("restart", *node),
        Act::Partition { groups } => {
            let group = |group: &Vec<NodeId>| -> String {
                group
                    .iter()
                    .map(|node| number(*node))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let groups: Vec<String> = groups.iter().map(group).collect();
            ["part ", &groups.join(" | ")].concat()
        }
        Act::Heal => "heal".to_owned(),
        Act::Link(Link {
            from,
            to,
            loss_permille: Some(1_000),
            ..
        }) => link("cut", *from, *to),
        Act::Link(Link { from, to, .. }) => link("link", *from, *to),
        Act::Drop(select) => messages("drop", select),
        Act::Delay { select, .. } => messages("delay", select),
        Act::Duplicate(select) => messages("double", select),
        Act::Corrupt(select) => messages("bend", select),
        Act::Deliver(select) => messages("deliver", select),
        Act::Fire { node, .. } => of("fire", *node),
        Act::Byzantine {
            node,
            behaviour: how,
        } => [&number(*node), " ", behaviour(*how)].concat(),
        Act::Fact { .. } => "world changes".to_owned(),
        Act::Disk { node, fault } => match fault {
            DiskFault::Lose => of("lose disk of", *node),
            DiskFault::Fail => of("fail disk of", *node),
        },
        Act::Skew { node, .. } => of("skew clock of", *node),
    }
}
