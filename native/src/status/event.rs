//! `phaselab status --event`: one event, node by node.

use phaselab_core::types::NodeId;
use serde::Serialize;

use super::{NodeStatus, Status};
use crate::failure::{Failure, Outcome};
use crate::node::report::InstanceReport;
use crate::terminal::{Ink, Screen, print_json};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct EventStatus<'a> {
    event: &'a str,
    nodes: Vec<AtNode<'a>>,
}

#[derive(Debug, Serialize)]
struct AtNode<'a> {
    id: NodeId,
    up: bool,
    /// How the event is there; `null` if the node is down or does not know it.
    instance: Option<&'a InstanceReport>,
}

/// Shows the event, or says that no node knows it.
pub(super) fn show(status: &Status, name: &str, json: bool) -> Outcome {
    let nodes: Vec<AtNode<'_>> = status.nodes.iter().map(|node| at(node, name)).collect();
    let is_any_up = nodes.iter().any(|node| node.up);
    let is_known = nodes.iter().any(|node| node.instance.is_some());
    if json {
        print_json(&EventStatus { event: name, nodes });
    } else if is_known {
        draw(&nodes);
    }
    if is_known || !is_any_up {
        // That nothing runs is told by the caller.
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{name}: no node that runs knows this event; `phaselab submit` asks for one"
    )))
}

fn at<'a>(node: &'a NodeStatus, name: &str) -> AtNode<'a> {
    let mut known = node.report.iter().flat_map(|report| &report.instances);
    AtNode {
        id: node.id,
        up: node.up,
        instance: known.find(|known| known.instance == name),
    }
}

fn draw(nodes: &[AtNode<'_>]) {
    let mut screen = Screen::stdout();
    screen.painted(
        Ink::Bold,
        "node  phase         round  meter                 value      signed",
    );
    for node in nodes {
        let Some(known) = node.instance else {
            let why = if node.up { "not known" } else { "not running" };
            screen.line(&format!("{:<4}  {why}", node.id.0));
            continue;
        };
        let meter = known.meter.as_ref().map_or_else(
            || "-".to_owned(),
            |meter| format!("{} of {} {}", meter.have, meter.need, meter.name),
        );
        let value = known.value.map_or_else(
            || "-".to_owned(),
            |value| {
                let label = known.label.as_deref().unwrap_or_default();
                format!("{label} {}", value.short()).trim().to_owned()
            },
        );
        let signed = match known.signed {
            None => "-".to_owned(),
            Some(signed) if Some(signed) == known.value => "the same".to_owned(),
            Some(signed) => signed.short().to_string(),
        };
        let line = format!(
            "{:<4}  {:<12}  {:<5}  {meter:<20}  {value:<9}  {signed}",
            node.id.0, known.phase, known.round
        );
        screen.line(line.trim_end());
        if let Some(what) = &known.waits_for {
            screen.entry("      waits for ", Some(Ink::Warn), what);
        }
    }
}
