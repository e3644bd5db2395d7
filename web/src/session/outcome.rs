//! What came of a run, in sentences.

use phaselab_core::sim::Sim;
use phaselab_core::types::NodeId;
use phaselab_core::view::ViewScope;
use phaselab_core::why::why;

use super::{NODES_DRAWN_MAX, Session};
use crate::history::History;

/// What is decided: `withdraw-1 = A at nodes 1 2`.
pub(super) fn decisions(sim: &Sim) -> Vec<String> {
    let report = sim.report();
    let parts = parts(sim);
    let decisions = report.decisions.iter();
    let decisions = decisions.filter(|decision| !parts.contains(&decision.instance));
    let told = decisions.map(|decision| {
        let value = decision.label.clone();
        let value = value.unwrap_or_else(|| decision.value.short().to_string());
        [
            &decision.instance,
            " = ",
            &value,
            " at ",
            &nodes(&decision.nodes),
        ]
        .concat()
    });
    told.collect()
}

/// The names of instances that are parts of others, which nobody asked for.
fn parts(sim: &Sim) -> Vec<String> {
    let spec = sim.spec();
    if !spec.has_nested() {
        return Vec::new();
    }
    let mut wholes = History::of(spec);
    for entry in sim.log().iter() {
        wholes.note(entry.at.0, 0, &entry.event);
    }
    let names = sim.names();
    let parts = names.iter().filter(|(id, _)| wholes.is_part(**id));
    parts.map(|(_, name)| name.clone()).collect()
}

/// Rules that are broken, with what broke them.
pub(super) fn broken(sim: &Sim) -> Vec<String> {
    let broken = sim.verdicts().into_iter().filter(|verdict| !verdict.holds);
    broken
        .map(|verdict| [verdict.name, ": ", &verdict.detail].concat())
        .collect()
}

fn nodes(nodes: &[NodeId]) -> String {
    let numbers: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
    let word = if numbers.len() == 1 {
        "node "
    } else {
        "nodes "
    };
    [word, &numbers.join(" ")].concat()
}

impl Session {
    /// What came of the run, in one sentence, once it is at its end.
    pub fn outcome(&self) -> Option<String> {
        if !self.is_at_end() {
            return None;
        }
        let sim = self.sim();
        let mut decided = decisions(sim);
        if decided.is_empty() {
            decided.push("Nothing is decided".to_owned());
        }
        let down = sim.scenario().ids().filter(|id| !sim.is_alive(*id));
        let down: Vec<NodeId> = down.collect();
        let down = match down.as_slice() {
            [] => String::new(),
            [_] => format!("; {} is down", nodes(&down)),
            _ => format!("; {} are down", nodes(&down)),
        };
        let rules = match broken(sim).first() {
            Some(broken) => ["Safety broken: ", broken].concat(),
            None => "every rule holds".to_owned(),
        };
        Some([&decided.join(", "), &down, "; ", &rules, "."].concat())
    }

    /// What an undecided instance lacks, once nothing more is going to happen.
    pub fn stalled(&self) -> Option<String> {
        let is_over = self.is_at_end()
            || self.scout.is_done() && self.scout.next_moment_ms(self.cursor_ms).is_none();
        let focus = self
            .focused()
            .filter(|_| is_over && !self.is_playing && self.goal.is_none())?;
        let sim = self.sim();
        if usize::from(sim.scenario().nodes) > NODES_DRAWN_MAX {
            // Of thousands, each would have to be asked why.
            return None;
        }
        let honest = |id: &NodeId| sim.is_alive(*id) && !sim.is_byzantine(*id);
        let groups = &sim.scenario().groups;
        let group = |id: NodeId| groups.get(usize::from(id.0) - 1);
        let knows = |id: NodeId| {
            let view = sim.view(id, ViewScope::Instance(focus));
            view.instances.iter().any(|instance| instance.id == focus)
        };
        let knowing: Vec<_> = sim
            .scenario()
            .ids()
            .filter(|id| knows(*id))
            .map(group)
            .collect();
        // What one group does is none of another's business.
        let is_concerned = |id: &NodeId| knowing.is_empty() || knowing.contains(&group(*id));
        let concerned = sim.scenario().ids().filter(honest).filter(is_concerned);
        let mut open = concerned.filter_map(|id| {
            let why = why(sim, id, focus);
            (!why.ended).then_some(why.lacks)
        });
        Some(open.next()?.first()?.sentence.clone())
    }
}
