//! Every node of a run as a cell, where nodes poll one another: read off glances, and never off whole views.

use std::rc::Rc;

use phaselab_core::engine::RuleSet;
use phaselab_core::scenario::Scenario;
use phaselab_core::types::{Hash32, InstanceId, NodeId};
use phaselab_core::view::ViewScope;

use super::Session;
use super::stage::label;
use crate::crowd::{BLOCKS_MAX, Block, Cell, Crowd, Polls};
use crate::picture;
use crate::scene::Label;

/// How many times the shares of preferences are looked up for one picture.
const SHARES_MAX: u32 = 96;

/// How the nodes of a run poll; `None` where they do not.
pub(super) fn polls(scenario: &Scenario) -> Option<Polls> {
    let is_hardened = scenario.rules == RuleSet::Hardened && scenario.flaws.is_empty();
    let picture = picture::of(scenario.protocol.spec());
    picture.polls(&scenario.config, scenario.nodes, is_hardened)
}

impl Session {
    /// The crowd, as far as the instance in focus goes.
    pub(super) fn crowd(&self, focus: Option<InstanceId>) -> Option<Crowd> {
        let polls = self.polls?;
        let sim = self.sim();
        // With their places among the letters; values without a letter are not told apart.
        let mut values: Vec<(Hash32, Option<Label>)> = Vec::new();
        let mut place = |value: Hash32| {
            let known = values.iter().position(|(known, _)| *known == value);
            let place = known.unwrap_or_else(|| {
                values.push((value, focus.and_then(|of| label(sim, of, value))));
                values.len() - 1
            });
            u8::try_from(place).ok()
        };
        // What nobody prefers any more has its place in the past.
        for value in focus.map_or(&[][..], |focus| self.shares.values(focus)) {
            place(*value);
        }
        let mut liars = 0;
        let mut cells = Vec::with_capacity(usize::from(sim.scenario().nodes));
        for id in sim.scenario().ids() {
            let glance = focus.and_then(|focus| sim.glance_of(id, focus));
            liars += u16::from(sim.is_byzantine(id));
            cells.push(Cell::of(glance, self.standing(id), &polls, &mut place));
        }
        let choices = in_order(values, &mut cells);
        let shares = focus.map_or_else(Vec::new, |focus| {
            let hashes: Vec<Hash32> = choices.iter().map(|(value, _)| *value).collect();
            self.shares.at(focus, &hashes, &self.share_times())
        });
        Some(Crowd {
            polls,
            liars,
            choices,
            cells: Rc::new(cells),
            shares,
            blocks: self.blocks(),
        })
    }

    /// Times from the beginning to the cursor.
    fn share_times(&self) -> Vec<f64> {
        let end = self.cursor_ms();
        let step = end / f64::from(SHARES_MAX);
        (0..=SHARES_MAX).map(|n| f64::from(n) * step).collect()
    }

    /// The newest blocks at the selected node, or at the first that runs.
    fn blocks(&self) -> (Vec<Block>, usize) {
        let sim = self.sim();
        let runs = |id: &NodeId| sim.is_alive(*id);
        let selected = self.selected.filter(runs);
        let Some(node) = selected.or_else(|| sim.scenario().ids().find(runs)) else {
            return (Vec::new(), 0);
        };
        let known = sim.view(node, ViewScope::Summary).instances;
        let is_block = |name: &str| name.starts_with("block ");
        let mut blocks: Vec<_> = known
            .into_iter()
            .filter(|instance| instance.value.is_some() && is_block(&instance.name))
            .collect();
        let before = blocks.len().saturating_sub(BLOCKS_MAX);
        let newest = blocks.split_off(before).into_iter().map(|instance| {
            let view = sim.view(node, ViewScope::Instance(instance.id));
            let fields = view.instances.into_iter().flat_map(|own| own.fields);
            let count = fields
                .filter(|field| field.name == "transactions")
                .find_map(|field| field.text.parse().ok());
            Block {
                name: instance.name,
                transactions: count.unwrap_or(0),
            }
        });
        (newest.collect(), before)
    }
}

/// Puts the choices into the order of their letters, and the cells with them.
fn in_order(values: Vec<(Hash32, Option<Label>)>, cells: &mut [Cell]) -> Vec<(Hash32, Label)> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let key = |place: &usize| {
        let label = values[*place].1.as_ref();
        label.map_or((usize::MAX, ""), |label| {
            (label.letter.len(), label.letter.as_str())
        })
    };
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut places = vec![0u8; values.len()];
    for (new, old) in order.iter().enumerate() {
        places[*old] = u8::try_from(new).unwrap_or(u8::MAX);
    }
    for cell in cells {
        cell.choice = cell
            .choice
            .and_then(|old| places.get(usize::from(old)).copied());
    }
    let unnamed = |value: Hash32| Label {
        letter: "?".to_owned(),
        short: value.short().to_string(),
    };
    let choice = |place: usize| {
        let (value, label) = &values[place];
        (*value, label.clone().unwrap_or_else(|| unnamed(*value)))
    };
    order.into_iter().map(choice).collect()
}

#[cfg(test)]
mod tests;
