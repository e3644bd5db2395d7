//! A cluster's log as a table: a row for each replica, a column for each of the last slots.

use phaselab_core::types::InstanceId;
use phaselab_core::view::{BallotView, SLOTS_MAX, ShardView, SlotView};

use crate::few::insert_sorted;
use crate::scene::{NodeScene, Scene, Standing};

/// A cluster's table.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotTable<'a> {
    /// The ballot of its leader.
    pub ballot: BallotView,
    /// How many slots come before the first column.
    pub older: u64,
    /// The columns.
    pub columns: Vec<Column>,
    /// The replicas, in id order.
    pub rows: Vec<Row<'a>>,
}

/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its number.
    pub slot: u64,
    /// The label that its entry carries again.
    pub seq: Option<u64>,
    /// Whether it is about the transfer in focus.
    pub is_in_focus: bool,
}

/// A replica.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// Its number.
    pub node: u16,
    /// What it has in each column.
    pub cells: Vec<Option<&'a SlotView>>,
}

/// What is known of a node's part of its cluster.
pub fn shard(node: &NodeScene) -> Option<&ShardView> {
    node.picture.shard.as_deref()
}

/// The nodes of a cluster.
pub fn members(scene: &Scene, group: u16) -> impl Iterator<Item = &NodeScene> {
    scene.nodes.iter().filter(move |node| node.group == group)
}

/// The highest ballot that leads a cluster, as its members that run know.
pub fn ballot(scene: &Scene, group: u16) -> BallotView {
    let is_up = |node: &&NodeScene| node.standing != Standing::Crashed;
    let ballots = members(scene, group).filter(is_up).filter_map(shard);
    ballots.map(|shard| shard.ballot).max().unwrap_or_default()
}

/// Whether a node leads its cluster: the highest ballot is its own.
pub fn is_crowned(scene: &Scene, node: &NodeScene) -> bool {
    let ballot = ballot(scene, node.group);
    ballot.round > 0 && ballot.node == node.id
}

/// The member that has executed most of its cluster's log: what it says of accounts is the newest.
pub fn foremost(scene: &Scene, group: u16) -> Option<&ShardView> {
    let shards = members(scene, group).filter_map(shard);
    // Of equals the first.
    shards.reduce(|best, next| {
        if next.executed > best.executed {
            next
        } else {
            best
        }
    })
}

/// The table of a cluster.
pub fn table<'a>(scene: &'a Scene, nodes: &[usize]) -> SlotTable<'a> {
    let nodes: Vec<&NodeScene> = nodes.iter().map(|place| &scene.nodes[*place]).collect();
    let mut slots: Vec<u64> = Vec::new();
    let all = || {
        nodes
            .iter()
            .filter_map(|node| shard(node))
            .flat_map(|shard| &shard.slots)
    };
    all().for_each(|slot| insert_sorted(&mut slots, slot.slot));
    let slots = slots.split_off(slots.len().saturating_sub(SLOTS_MAX));
    let column = |slot: &u64| {
        let entries = || all().filter(|entry| entry.slot == *slot);
        Column {
            slot: *slot,
            seq: entries().find_map(|entry| entry.seq),
            is_in_focus: entries().any(|entry| is_in_focus(scene.focus, entry)),
        }
    };
    let row = |node: &&'a NodeScene| Row {
        node: node.id,
        cells: slots
            .iter()
            .map(|slot| shard(node)?.slots.iter().find(|entry| entry.slot == *slot))
            .collect(),
    };
    SlotTable {
        ballot: nodes
            .first()
            .map_or_else(BallotView::default, |node| ballot(scene, node.group)),
        older: slots.first().map_or(0, |first| first - 1),
        columns: slots.iter().map(column).collect(),
        rows: nodes.iter().map(row).collect(),
    }
}

fn is_in_focus(focus: Option<InstanceId>, entry: &SlotView) -> bool {
    focus.is_some() && entry.transfer == focus
}

/// A ballot as cells show it: `4.n1`.
pub fn ballot_text(ballot: BallotView) -> String {
    format!("{}.n{}", ballot.round, ballot.node)
}

/// What a cell says to those who do not see it.
pub fn cell_words(node: u16, entry: &SlotView) -> String {
    let again = entry
        .seq
        .map_or_else(String::new, |seq| format!(", seq {seq} again"));
    format!(
        "node {node}, slot {}: {}, {} by ballot {}{again}",
        entry.slot,
        entry.text,
        entry.standing.name(),
        ballot_text(entry.ballot)
    )
}
