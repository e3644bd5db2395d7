//! Many nodes at a glance: a cell for each, with its preference and confidence, and what they come to together.
//!
//! Everything here is read off glances, which are small and of one size: a run of ten thousand nodes is drawn from one
//! list of cells, and never from as many views.

use std::rc::Rc;

use phaselab_core::snow::Parameters;
use phaselab_core::types::Hash32;
use phaselab_core::view::Glance;

use crate::scene::{InstancePicture, Label, MeterPicture, NodeScene, Scene, Standing};

pub mod grid;
pub mod histogram;
pub mod shares;

use shares::Share;

/// Up to so many nodes have a lane each; more are cells of a grid.
pub const LANES_MAX: usize = 11;

/// Blocks that are shown: the newest.
pub const BLOCKS_MAX: usize = 8;

/// How a protocol's nodes poll one another, and which phases are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polls {
    /// How polls are judged, for so many peers as there are.
    pub parameters: Parameters,
    /// The phase of what is final.
    pub finalized: u8,
    /// The phase of what stands in a block.
    pub in_block: u8,
    /// The meter of successful polls in a row.
    pub confidence_meter: u8,
    /// Whether what the theory assumes of sampling and judging holds: hardened rules, and equal weights.
    pub is_by_the_book: bool,
}

/// A node as a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The place of its preference in [`Crowd::choices`]; `None` where it has not heard of any.
    pub choice: Option<u8>,
    /// How many successful polls in a row it has; all that are needed once it is final.
    pub confidence: u32,
    /// Whether it will not change.
    pub is_final: bool,
    /// Whether it stands in a block there.
    pub is_in_block: bool,
    /// How it is.
    pub standing: Standing,
}

/// A block, as one node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it is called.
    pub name: String,
    /// How many transactions it holds.
    pub transactions: u64,
}

/// All nodes, as far as one conflict set goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Crowd {
    /// How nodes poll.
    pub polls: Polls,
    /// How many nodes lie.
    pub liars: u16,
    /// What can be preferred, in the order of the letters.
    pub choices: Vec<(Hash32, Label)>,
    /// The nodes in order; the first is node 1.
    pub cells: Rc<Vec<Cell>>,
    /// Who preferred what, over time; none where nobody took notes.
    pub shares: Vec<Share>,
    /// The newest blocks, oldest first, and how many there are before them.
    pub blocks: (Vec<Block>, usize),
}

/// What a crowd has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many prefer each choice.
    pub preferring: Vec<usize>,
    /// How many have not heard of any.
    pub unaware: usize,
    /// How many are final.
    pub finals: usize,
    /// At how many it stands in a block.
    pub in_block: usize,
}

impl Cell {
    /// Of a glance at the conflict set; `choice` finds the place of a value.
    pub fn of(
        glance: Option<Glance>,
        standing: Standing,
        polls: &Polls,
        choice: &mut dyn FnMut(Hash32) -> Option<u8>,
    ) -> Cell {
        let Some(glance) = glance else {
            return Cell {
                standing,
                ..Cell::default()
            };
        };
        let is_in_block = glance.phase == polls.in_block;
        let is_final = is_in_block || glance.phase == polls.finalized;
        let beta = polls.parameters.beta;
        Cell {
            choice: glance.value.and_then(choice),
            confidence: match is_final {
                true => beta,
                false => u32::try_from(glance.have).unwrap_or(beta).min(beta),
            },
            is_final,
            is_in_block,
            standing,
        }
    }
}

impl Crowd {
    /// Of nodes whose pictures are known: few, as those of a room.
    pub fn of_pictures(scene: &Scene, polls: Polls) -> Crowd {
        let mut choices = scene.labels.clone();
        choices.sort_by(|(_, a), (_, b)| {
            (a.letter.len(), &a.letter).cmp(&(b.letter.len(), &b.letter))
        });
        let mut place = |value: Hash32| {
            let place = choices.iter().position(|(known, _)| *known == value)?;
            u8::try_from(place).ok()
        };
        let cells: Vec<Cell> = scene
            .nodes
            .iter()
            .map(|node| {
                let confidence = |own: &InstancePicture| {
                    let of = |meter: &&MeterPicture| meter.kind == polls.confidence_meter;
                    let meter = own.meters.iter().find(of);
                    meter.map_or(0, |meter| meter.have)
                };
                let glance = scene.focused(node).map(|own| Glance {
                    phase: own.phase,
                    value: scene.stands_for(node),
                    have: confidence(own),
                    ..Glance::default()
                });
                Cell::of(glance, node.standing, &polls, &mut place)
            })
            .collect();
        Crowd {
            polls,
            liars: 0,
            choices,
            cells: Rc::new(cells),
            shares: Vec::new(),
            blocks: blocks(&scene.nodes),
        }
    }

    /// Whether there are too many for lanes.
    pub fn is_grid(&self) -> bool {
        self.cells.len() > LANES_MAX
    }

    /// A node's cell.
    pub fn cell(&self, node: u16) -> Option<&Cell> {
        self.cells.get(usize::from(node).checked_sub(1)?)
    }

    /// The letter of a cell's preference.
    pub fn letter(&self, cell: &Cell) -> Option<&Label> {
        let (_, label) = self.choices.get(usize::from(cell.choice?))?;
        Some(label)
    }

    /// What it has come to.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            preferring: vec![0; self.choices.len()],
            ..Tally::default()
        };
        for cell in self.cells.iter() {
            let of = cell
                .choice
                .and_then(|place| tally.preferring.get_mut(usize::from(place)));
            match of {
                Some(count) => *count += 1,
                None => tally.unaware += 1,
            }
            tally.finals += usize::from(cell.is_final);
            tally.in_block += usize::from(cell.is_in_block);
        }
        tally
    }

    /// The same in words: `A 1,204 · B 796 · final 12 of 2,000`.
    pub fn told(&self) -> String {
        let tally = self.tally();
        let mut words: Vec<String> = self
            .choices
            .iter()
            .zip(&tally.preferring)
            .map(|((_, label), count)| [&label.letter, " ", &grouped(*count)].concat())
            .collect();
        if tally.unaware > 0 {
            words.push(["not heard ", &grouped(tally.unaware)].concat());
        }
        let all = grouped(self.cells.len());
        words.push(["final ", &grouped(tally.finals), " of ", &all].concat());
        if tally.in_block > 0 {
            words.push(["in a block at ", &grouped(tally.in_block)].concat());
        }
        words.join(" · ")
    }

    /// A node in words: `Node 7 prefers A, confidence 7 of 20`.
    pub fn words(&self, node: u16) -> String {
        let name = ["Node ", &node.to_string()].concat();
        let Some(cell) = self.cell(node) else {
            return name;
        };
        let standing = cell
            .standing
            .word()
            .map_or_else(String::new, |word| [", ", word].concat());
        let Some(label) = self.letter(cell) else {
            return [&name, " has not heard of any choice", &standing].concat();
        };
        let what = match (cell.is_in_block, cell.is_final) {
            (true, _) => [" holds ", &label.letter, " in a block"].concat(),
            (_, true) => [" is final with ", &label.letter].concat(),
            _ => {
                let beta = self.polls.parameters.beta.to_string();
                let have = cell.confidence.to_string();
                [
                    " prefers ",
                    &label.letter,
                    ", confidence ",
                    &have,
                    " of ",
                    &beta,
                ]
                .concat()
            }
        };
        [&name, what.as_str(), &standing].concat()
    }
}

/// The newest blocks of the node that has most of them.
fn blocks(nodes: &[NodeScene]) -> (Vec<Block>, usize) {
    let of = |node: &NodeScene| {
        let instances = node.picture.instances.iter();
        let blocks = instances.filter(|own| own.value.is_some() && own.name.starts_with("block "));
        let blocks = blocks.map(|own| Block {
            name: own.name.clone(),
            transactions: transactions(own),
        });
        blocks.collect::<Vec<Block>>()
    };
    let mut most = nodes
        .iter()
        .map(of)
        .max_by_key(Vec::len)
        .unwrap_or_default();
    let before = most.len().saturating_sub(BLOCKS_MAX);
    (most.split_off(before), before)
}

/// How many transactions a block says that it holds.
fn transactions(block: &InstancePicture) -> u64 {
    let field = block
        .fields
        .iter()
        .find(|field| field.name == "transactions");
    field.and_then(|field| field.text.parse().ok()).unwrap_or(0)
}

/// A count for people: `12,004`.
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
