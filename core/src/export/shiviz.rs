//! A log with vector clocks, as ShiViz reads it: the expression that parses it, a blank delimiter of executions, and then
//! of each event the host with its clock on one line, and what happened on the next.
//!
//! Each node is a host, and so is the network, at which messages are lost. A host's clock counts its own events; what a
//! message brings takes over what its sender knew when it left.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{Run, ms};
use crate::event::EventKind;
use crate::ordered::Map;
use crate::sim::log::Logged;

/// How ShiViz takes an event apart.
const EXPRESSION: &str = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)";

pub(super) fn text(run: &Run<'_>) -> String {
    let hosts = usize::from(run.sim.scenario().nodes) + 1;
    let mut clocks = vec![vec![0_u64; hosts]; hosts];
    let mut sent: Map<usize, Vec<u64>> = Map::new();
    let mut text = format!("{EXPRESSION}\n\n");
    for (place, entry) in run.events.iter().enumerate() {
        let host = host(entry);
        let clock = &mut clocks[host];
        if let Some(known) = run.sources[place].and_then(|source| sent.get(&source)) {
            for (own, other) in clock.iter_mut().zip(known) {
                *own = (*own).max(*other);
            }
        }
        clock[host] += 1;
        if matches!(entry.event.kind, EventKind::MessageSent(_)) {
            sent.insert(place, clock.clone());
        }
        let heard = clock.iter().enumerate().filter(|(_, count)| **count > 0);
        let heard: Vec<String> = heard
            .map(|(host, count)| format!("\"{}\":{count}", name(host)))
            .collect();
        text.push_str(&format!(
            "{} {{{}}}\n{}: {}\n",
            name(host),
            heard.join(","),
            ms(entry.at),
            one_line(&run.sentence(entry))
        ));
    }
    text
}

/// Where it happened: at a node, or in the network.
fn host(entry: &Logged) -> usize {
    match entry.event.kind {
        EventKind::MessageDropped(_) => 0,
        _ => usize::from(entry.node.0),
    }
}

fn name(host: usize) -> String {
    match host {
        0 => String::from("network"),
        node => format!("node-{node}"),
    }
}

/// Names are anybody's; an event is one line.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
