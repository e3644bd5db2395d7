//! Sentences of protocols whose groups keep logs: what an instance comes to is what entries of logs do, and entries are
//! instances too.

use alloc::format;
use alloc::string::String;

use crate::event::{Event, EventKind};
use crate::types::NodeId;
use crate::view::Spec;

/// What happened, where it reads otherwise than of a protocol without logs.
pub(super) fn sentence(spec: &Spec, node: NodeId, event: &Event) -> Option<String> {
    if !spec.has_nested() {
        return None;
    }
    let (who, round, place) = (node.0, event.round.0, event.have);
    let kind = |index: u8| {
        let kind = spec.instances.get(usize::from(index));
        kind.map_or("instance", |kind| kind.name)
    };
    let whole = kind(0);
    Some(match event.kind {
        EventKind::Elected => {
            format!("Node {who} comes to lead its cluster, by ballot {round}.{who}.")
        }
        EventKind::Proposed => {
            format!("Node {who} proposes entry {place} of its log, by ballot {round}.{who}.")
        }
        EventKind::PhaseEntered(phase) => {
            let phase = spec.phases.get(usize::from(phase))?;
            if spec.is_nested(phase.instance) {
                let (name, kind) = (phase.name, kind(phase.instance));
                return Some(format!("Node {who}: {kind} {place} of its log is {name}."));
            }
            format!("Node {who}: the {whole} is {}.", phase.name)
        }
        EventKind::Locked => {
            format!("Node {who} applies P and votes yes: its part is held.")
        }
        EventKind::Deferred => format!("Node {who} applies P and votes no: nothing is held."),
        EventKind::Decided if event.total > 0 => {
            format!("Node {who} counted enough acceptances: an entry of its log is chosen.")
        }
        EventKind::FastForwarded => format!("Node {who} hears that an entry of its log is chosen."),
        EventKind::Decided => format!("Node {who} commits the {whole}: its part has moved."),
        EventKind::Abandoned => format!("Node {who} aborts the {whole}: nothing moves."),
        EventKind::Recovered => format!("Node {who} comes back with what its store holds."),
        _ => return None,
    })
}

/// Whether an event tells that an entry of a log is chosen.
pub(super) fn is_end_of_entry(event: &Event) -> bool {
    match event.kind {
        EventKind::FastForwarded => true,
        EventKind::Decided => event.total > 0,
        _ => false,
    }
}

/// Why an instance ended: upon whose word its entry was known to be chosen.
pub(super) fn because(node: NodeId, event: &Event, name: &str, from: Option<NodeId>) -> String {
    let who = node.0;
    if event.total > 0 {
        let by = from.map_or(who, |from| from.0);
        return format!("Node {who} holds {name} for chosen because node {by} counted a majority.");
    }
    let verb = match event.kind {
        EventKind::Abandoned => "aborted",
        _ => "committed",
    };
    match from {
        Some(from) => format!(
            "Node {who} {verb} {name} because its log has the entry, as node {} told it last.",
            from.0
        ),
        None => format!("Node {who} {verb} {name} because its log has the entry."),
    }
}
