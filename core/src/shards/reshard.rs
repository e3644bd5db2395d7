//! Where items should live, so that fewer transfers cross clusters: partition of a hypergraph. (S4-54)
//!
//! Items are vertices; what was used together is a net, which weighs how often it was. The cut is what resharding is to
//! lower: each net counts its weight once for every cluster beyond the first that it spans, so that for transfers the cut
//! is how many cross clusters.
//!
//! The method is the refinement of Fiduccia and Mattheyses (1982) with several parts, as Sanchis has it (1989): in a pass
//! each item moves at most once, always the move that lowers the cut most, also where none lowers it; the best moment of
//! the pass is kept; passes go on while they help. It begins twice, from where items live and from a greedy clustering
//! along the heaviest nets, and the better end counts; of two that are as good, the one with fewer moves. Since one of
//! them begins where items live and only what helps is kept, the cut is never higher than before.
//!
//! *Balance.* Of the items that are used, no cluster gets more than an even share and the slack, or than it has. Items
//! that nobody uses stay. Libraries of this kind are bindings to large programs of another language, which neither a
//! browser nor a machine without a standard library has; a few thousand items need none.

use alloc::vec;
use alloc::vec::Vec;

use super::{Item, Wish};
use crate::ordered::{Map, Set};
use crate::types::GroupId;

/// Items that were used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// Which, in order, each once; two at least.
    pub items: Vec<Item>,
    /// How often.
    pub weight: u64,
}

/// An item that should live elsewhere. (`PrintReshard`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Relocation {
    /// Which.
    pub item: Item,
    /// Where it lives.
    pub from: GroupId,
    /// Where it should.
    pub to: GroupId,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Plan {
    /// The moves, by item.
    pub moves: Vec<Relocation>,
    /// The weight of all nets.
    pub total: u64,
    /// The cut as items live.
    pub cut_before: u64,
    /// The cut as they should.
    pub cut_after: u64,
    /// How many of the items that are used each cluster has, before and after.
    pub used: Vec<(GroupId, usize, usize)>,
}

/// A pass ends after so many moves in a row that do not help.
const VAIN_MOVES_MAX: usize = 400;
/// The most passes.
const PASSES_MAX: usize = 40;

/// The nets of a history of transfers.
pub fn nets(history: &[Wish]) -> Vec<Net> {
    let pairs = history.iter().filter_map(|wish| match *wish {
        Wish::Transfer {
            sender, receiver, ..
        } if sender != receiver => Some([sender.min(receiver), sender.max(receiver)]),
        _ => None,
    });
    let mut weights: Map<[Item; 2], u64> = Map::new();
    for pair in pairs {
        match weights.get_mut(&pair) {
            Some(weight) => *weight += 1,
            None => {
                weights.insert(pair, 1);
            }
        }
    }
    let net = |(pair, weight): (&[Item; 2], &u64)| Net {
        items: Vec::from(*pair),
        weight: *weight,
    };
    weights.iter().map(net).collect()
}

/// Plans where the items of these nets should live. Items whose home is not among `clusters` are left out.
pub fn plan(
    clusters: &[GroupId],
    home: impl Fn(Item) -> Option<GroupId>,
    nets: &[Net],
    slack_permille: u32,
) -> Plan {
    let part_of = |item| {
        let home = home(item)?;
        clusters.iter().position(|cluster| *cluster == home)
    };
    let mut items: Vec<Item> = nets
        .iter()
        .flat_map(|net| net.items.iter().copied())
        .collect();
    items.sort_unstable();
    items.dedup();
    items.retain(|item| part_of(*item).is_some());
    let start: Vec<usize> = items.iter().filter_map(|item| part_of(*item)).collect();
    if items.is_empty() {
        return Plan::default();
    }
    let graph = Graph::new(&items, nets);
    let sizes = sizes(&start, clusters.len());
    let share = items.len().div_ceil(clusters.len());
    let slack = share * slack_permille as usize / 1_000;
    // One place more than an even share: single moves need room.
    let limits: Vec<usize> = sizes
        .iter()
        .map(|size| (*size).max(share + slack.max(1)))
        .collect();
    let moved = |parts: &[usize]| {
        parts
            .iter()
            .zip(&start)
            .filter(|(now, before)| now != before)
            .count()
    };
    let refined = |from: Vec<usize>| {
        let parts = refine(&graph, from, &limits);
        (graph.cut(&parts), moved(&parts), parts)
    };
    let (cut_after, _, end) =
        refined(start.clone()).min(refined(cluster(&graph, &start, share, &limits)));
    let moves = items.iter().zip(start.iter().zip(&end));
    let moves = moves.filter(|(_, (from, to))| from != to);
    let after = self::sizes(&end, clusters.len());
    Plan {
        moves: moves
            .map(|(item, (from, to))| Relocation {
                item: *item,
                from: clusters[*from],
                to: clusters[*to],
            })
            .collect(),
        total: graph.nets.iter().map(|(_, weight)| weight).sum(),
        cut_before: graph.cut(&start),
        cut_after,
        used: clusters
            .iter()
            .zip(sizes)
            .zip(after)
            .map(|((cluster, before), after)| (*cluster, before, after))
            .collect(),
    }
}

fn sizes(parts: &[usize], count: usize) -> Vec<usize> {
    let mut sizes = vec![0; count];
    for part in parts {
        sizes[*part] += 1;
    }
    sizes
}

/// The hypergraph, with items by their place.
struct Graph {
    nets: Vec<(Vec<usize>, u64)>,
    /// The nets of each item.
    of: Vec<Vec<usize>>,
}

impl Graph {
    fn new(items: &[Item], nets: &[Net]) -> Graph {
        let mut graph = Graph {
            nets: Vec::new(),
            of: vec![Vec::new(); items.len()],
        };
        for net in nets {
            let pins = net
                .items
                .iter()
                .filter_map(|item| items.binary_search(item).ok());
            let mut pins: Vec<usize> = pins.collect();
            pins.sort_unstable();
            pins.dedup();
            if pins.len() > 1 {
                pins.iter()
                    .for_each(|pin| graph.of[*pin].push(graph.nets.len()));
                graph.nets.push((pins, net.weight));
            }
        }
        graph
    }

    fn cut(&self, parts: &[usize]) -> u64 {
        let spanned = |pins: &[usize]| {
            let parts: Set<usize> = pins.iter().map(|pin| parts[*pin]).collect();
            parts.len() as u64
        };
        self.nets
            .iter()
            .map(|(pins, weight)| (spanned(pins) - 1) * weight)
            .sum()
    }
}

/// Items joined along the heaviest nets while they fit into one part, and each such cluster put where most of it lives.
fn cluster(graph: &Graph, start: &[usize], share: usize, limits: &[usize]) -> Vec<usize> {
    let mut leader: Vec<usize> = (0..start.len()).collect();
    let mut size = vec![1; start.len()];
    let find = |leader: &[usize], mut item: usize| {
        while leader[item] != item {
            item = leader[item];
        }
        item
    };
    let mut heaviest: Vec<usize> = (0..graph.nets.len()).collect();
    heaviest.sort_by_key(|net| (core::cmp::Reverse(graph.nets[*net].1), *net));
    for net in heaviest {
        let pins = &graph.nets[net].0;
        for pair in pins.windows(2) {
            let (a, b) = (find(&leader, pair[0]), find(&leader, pair[1]));
            if a != b && size[a] + size[b] <= share {
                // The smaller below the larger: paths stay short.
                let (top, below) = if size[a] >= size[b] { (a, b) } else { (b, a) };
                leader[below] = top;
                size[top] += size[below];
            }
        }
    }
    let mut groups: Map<usize, Vec<usize>> = Map::new();
    for item in 0..start.len() {
        let top = find(&leader, item);
        match groups.get_mut(&top) {
            Some(group) => group.push(item),
            None => {
                groups.insert(top, vec![item]);
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = groups.iter().map(|(_, group)| group.clone()).collect();
    groups.sort_by_key(|group| (core::cmp::Reverse(group.len()), group[0]));
    let mut room = limits.to_vec();
    let mut parts = start.to_vec();
    for group in groups {
        let there = |part: usize| group.iter().filter(|item| start[**item] == part).count();
        let fits = (0..room.len()).filter(|part| room[*part] >= group.len());
        match fits.max_by_key(|part| (there(*part), room[*part], core::cmp::Reverse(*part))) {
            Some(part) => {
                room[part] -= group.len();
                group.iter().for_each(|item| parts[*item] = part);
            }
            // No part has room for all of it: each item goes where there is some, if it can where it lives.
            None => {
                for item in group {
                    let own = Some(start[item]).filter(|part| room[*part] > 0);
                    let part = own.or_else(|| (0..room.len()).max_by_key(|part| room[*part]));
                    let part = part.unwrap_or(start[item]);
                    room[part] = room[part].saturating_sub(1);
                    parts[item] = part;
                }
            }
        }
    }
    parts
}

/// Passes, as long as they help.
fn refine(graph: &Graph, mut parts: Vec<usize>, limits: &[usize]) -> Vec<usize> {
    for _ in 0..PASSES_MAX {
        let mut pass = Pass::new(graph, parts, limits);
        let has_helped = pass.run();
        parts = pass.parts;
        if !has_helped {
            break;
        }
    }
    parts
}

/// One pass.
struct Pass<'a> {
    graph: &'a Graph,
    limits: &'a [usize],
    parts: Vec<usize>,
    sizes: Vec<usize>,
    /// How many items of each net are in each part.
    counts: Vec<Vec<u32>>,
    /// What moves of items that have not moved would gain: the best first.
    best: Set<(core::cmp::Reverse<i64>, usize, usize)>,
    gains: Vec<Option<Vec<i64>>>,
}

impl<'a> Pass<'a> {
    fn new(graph: &'a Graph, parts: Vec<usize>, limits: &'a [usize]) -> Pass<'a> {
        let count = limits.len();
        let mut counts = vec![vec![0; count]; graph.nets.len()];
        for (net, (pins, _)) in graph.nets.iter().enumerate() {
            pins.iter().for_each(|pin| counts[net][parts[*pin]] += 1);
        }
        let mut pass = Pass {
            graph,
            limits,
            sizes: sizes(&parts, count),
            counts,
            best: Set::new(),
            gains: vec![None; parts.len()],
            parts,
        };
        for item in 0..pass.parts.len() {
            pass.list(item);
        }
        pass
    }

    /// What moving an item to a part lowers the cut by.
    fn gain(&self, item: usize, to: usize) -> i64 {
        let from = self.parts[item];
        let of_net = |net: &usize| {
            let weight = i64::try_from(self.graph.nets[*net].1).unwrap_or(i64::MAX / 4);
            let counts = &self.counts[*net];
            i64::from(counts[from] == 1) * weight - i64::from(counts[to] == 0) * weight
        };
        self.graph.of[item]
            .iter()
            .map(of_net)
            .fold(0, i64::saturating_add)
    }

    fn list(&mut self, item: usize) {
        let count = self.limits.len();
        let gains: Vec<i64> = (0..count)
            .map(|to| {
                if to == self.parts[item] {
                    0
                } else {
                    self.gain(item, to)
                }
            })
            .collect();
        for to in (0..count).filter(|to| *to != self.parts[item]) {
            self.best.insert((core::cmp::Reverse(gains[to]), item, to));
        }
        self.gains[item] = Some(gains);
    }

    fn unlist(&mut self, item: usize) -> bool {
        let Some(gains) = self.gains[item].take() else {
            return false;
        };
        for (to, gain) in gains.into_iter().enumerate() {
            self.best.remove(&(core::cmp::Reverse(gain), item, to));
        }
        true
    }

    fn shift(&mut self, item: usize, to: usize) {
        let from = core::mem::replace(&mut self.parts[item], to);
        self.sizes[from] -= 1;
        self.sizes[to] += 1;
        for net in &self.graph.of[item] {
            self.counts[*net][from] -= 1;
            self.counts[*net][to] += 1;
        }
    }

    /// Makes moves and takes back those after the best moment; whether that moment is better than the beginning.
    fn run(&mut self) -> bool {
        let mut made: Vec<(usize, usize)> = Vec::new();
        let (mut sum, mut most, mut kept) = (0i64, 0i64, 0);
        while made.len() - kept <= VAIN_MOVES_MAX {
            let has_room = |to: usize| self.sizes[to] < self.limits[to];
            let next = self.best.iter().find(|(.., to)| has_room(*to)).copied();
            let Some((core::cmp::Reverse(gain), item, to)) = next else {
                break;
            };
            self.unlist(item);
            made.push((item, self.parts[item]));
            self.shift(item, to);
            sum = sum.saturating_add(gain);
            if sum > most {
                (most, kept) = (sum, made.len());
            }
            let nets = &self.graph.of[item];
            let near = nets
                .iter()
                .flat_map(|net| self.graph.nets[*net].0.iter().copied());
            let near: Set<usize> = near.collect();
            for other in near.iter().copied() {
                if self.unlist(other) {
                    self.list(other);
                }
            }
        }
        for (item, from) in made.drain(kept..).rev() {
            self.shift(item, from);
        }
        most > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, Prng};
    use crate::shards::Shards;
    use crate::shards::mix::{Mix, crossing};

    fn clusters(count: u16) -> Vec<GroupId> {
        (1..=count).map(GroupId).collect()
    }

    /// A few random nets over so many items, which live in turn in each cluster.
    fn random(seed: u64, items: u32, parts: u16) -> (Vec<Net>, impl Fn(Item) -> Option<GroupId>) {
        let mut draws = Prng::new(seed, "reshard", 0, 0);
        let nets = (0..items + 3).map(|_| {
            let mut pins: Vec<Item> = (0..2 + draws.below(2))
                .map(|_| 1 + draws.below(u64::from(items)) as Item)
                .collect();
            pins.sort_unstable();
            pins.dedup();
            Net {
                items: pins,
                weight: 1 + draws.below(5),
            }
        });
        let nets: Vec<Net> = nets.filter(|net| net.items.len() > 1).collect();
        (nets, move |item| {
            Some(GroupId((item % u32::from(parts)) as u16 + 1))
        })
    }

    fn applied(
        plan: &Plan,
        home: impl Fn(Item) -> Option<GroupId>,
    ) -> impl Fn(Item) -> Option<GroupId> {
        let moves: Map<Item, GroupId> =
            plan.moves.iter().map(|step| (step.item, step.to)).collect();
        move |item| moves.get(&item).copied().or_else(|| home(item))
    }

    fn cut(nets: &[Net], home: impl Fn(Item) -> Option<GroupId>) -> u64 {
        let spanned = |net: &Net| {
            let homes: Set<Option<GroupId>> = net.items.iter().map(|item| home(*item)).collect();
            homes.len() as u64
        };
        nets.iter().map(|net| (spanned(net) - 1) * net.weight).sum()
    }

    /// The lowest cut of all assignments that keep the limits.
    fn least(nets: &[Net], items: &[Item], parts: usize, limits: &[usize]) -> u64 {
        let mut least = u64::MAX;
        for mut code in 0..parts.pow(items.len() as u32) {
            let mut sizes = vec![0; parts];
            let assigned: Map<Item, GroupId> = items
                .iter()
                .map(|item| {
                    let part = code % parts;
                    code /= parts;
                    sizes[part] += 1;
                    (*item, GroupId(part as u16 + 1))
                })
                .collect();
            if sizes.iter().zip(limits).all(|(size, limit)| size <= limit) {
                least = least.min(cut(nets, |item| assigned.get(&item).copied()));
            }
        }
        least
    }

    #[test]
    fn small_cases_come_near_the_best_of_all_and_never_below_it() {
        let mut best = 0;
        for seed in 0..120 {
            let parts = 2 + (seed % 2) as u16;
            let (nets, home) = random(seed, 8, parts);
            let plan = plan(&clusters(parts), &home, &nets, 0);
            let after = applied(&plan, &home);
            assert_eq!(plan.cut_before, cut(&nets, &home), "seed {seed}");
            assert_eq!(plan.cut_after, cut(&nets, &after), "seed {seed}");
            assert!(plan.cut_after <= plan.cut_before, "seed {seed}");
            let mut items: Vec<Item> = nets.iter().flat_map(|net| net.items.clone()).collect();
            items.sort_unstable();
            items.dedup();
            let share = items.len().div_ceil(usize::from(parts)) + 1;
            let limits: Vec<usize> = plan
                .used
                .iter()
                .map(|(_, before, _)| share.max(*before))
                .collect();
            for ((_, _, after), limit) in plan.used.iter().zip(&limits) {
                assert!(after <= limit, "seed {seed}: {:?}", plan.used);
            }
            let least = least(&nets, &items, usize::from(parts), &limits);
            assert!(least <= plan.cut_after, "seed {seed}");
            best += u32::from(least == plan.cut_after);
        }
        assert!(best >= 108, "{best} of 120 are the best of all");
    }

    #[test]
    fn what_belongs_together_comes_together() {
        let shards = Shards::new(clusters(3), 3_000, 10, Vec::new());
        let mix = Mix {
            requests: 3_000,
            cross_shard_permille: 800,
            skew_permille: 500,
            partners: 1,
            ..Mix::default()
        };
        let history = mix.draw(&shards, 7);
        let nets = nets(&history);
        let plan = plan(shards.clusters(), |item| shards.home(item), &nets, 50);
        let (before, all) = crossing(&history, |item| shards.home(item));
        let (after, _) = crossing(&history, applied(&plan, |item| shards.home(item)));
        assert_eq!(
            (plan.cut_before, plan.cut_after, plan.total),
            (before, after, all)
        );
        assert!(
            before * 10 > all * 7 && after * 2 < before,
            "{after} of {before} of {all}"
        );
        let share = plan.used.iter().map(|(_, before, _)| before).sum::<usize>() / 3;
        for (_, before, after) in &plan.used {
            assert!(
                *after <= (share * 21 / 20 + 2).max(*before),
                "{:?}",
                plan.used
            );
        }
    }

    #[test]
    fn nothing_to_gain_moves_nothing() {
        let home = |item: Item| Some(GroupId((item / 10) as u16 + 1));
        let pairs = [(1, 2), (3, 4), (11, 12), (13, 14)];
        let net = |(a, b)| Net {
            items: vec![a, b],
            weight: 3,
        };
        let inside = plan(&clusters(2), home, &pairs.map(net), 0);
        assert_eq!(
            (inside.moves.len(), inside.cut_before, inside.cut_after),
            (0, 0, 0)
        );
        assert_eq!(plan(&clusters(2), home, &[], 0), Plan::default());
        // An item of a cluster that is not there is left alone.
        assert_eq!(plan(&clusters(1), home, &[net((1, 11))], 0).moves, []);
    }
}
