//! The explored graph: whether what should happen at last does so on every fair path.
//!
//! A path is fair if each class of actions that is enabled for ever from some point on is taken again and again (weak
//! fairness). A counterexample is a lasso: a path to a state, and a fair cycle through it in which the goal never
//! holds; or a path to a state from which nothing leads on. This misses what only infinitely many distinct states
//! show, and says nothing about how long "at last" takes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Successors by state number.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// One bit for each property that should hold at last, and does in this state.
    pub(super) reached: Vec<u32>,
    /// Where the edges of a state end in `edges`; they begin where those of its predecessor end.
    ends: Vec<usize>,
    edges: Vec<(u32, u64)>,
}

/// A path that ends in a cycle, as state numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lasso {
    /// From an initial state on; the last is the one at `cycle` again, or has no successor.
    pub(super) states: Vec<u32>,
    /// Where the cycle begins.
    pub(super) cycle: usize,
}

impl Graph {
    /// Adds the edges of the next state, with their fairness classes.
    pub(super) fn push(&mut self, edges: impl Iterator<Item = (u32, Option<u8>)>) {
        let bit = |class: u8| {
            assert!(class < 64, "fairness classes are below 64");
            1_u64 << class
        };
        self.edges
            .extend(edges.map(|(to, class)| (to, class.map_or(0, bit))));
        self.ends.push(self.edges.len());
    }

    fn edges(&self, state: u32) -> &[(u32, u64)] {
        let state = state as usize;
        let start = state.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.edges[start..self.ends[state]]
    }

    /// A fair path from one of the first `roots` states on which no state has the bit; the nearest such cycle.
    pub(super) fn lasso(&self, roots: u32, bit: u32) -> Option<Lasso> {
        let without = |state: u32| self.reached[state as usize] & bit == 0;
        // Distances among states without the goal, by breadth-first search.
        let mut from = alloc::vec![u32::MAX; self.reached.len()];
        let mut order = Vec::new();
        for root in (0..roots).filter(|root| without(*root)) {
            from[root as usize] = root;
            order.push(root);
        }
        let mut at = 0;
        while let Some(state) = order.get(at).copied() {
            at += 1;
            for (to, _) in self.edges(state) {
                if without(*to) && from[*to as usize] == u32::MAX {
                    from[*to as usize] = state;
                    order.push(*to);
                }
            }
        }
        let components = self.components(&order, &from);
        // The nearest state that ends a path, or lies on a fair cycle.
        let mut fair = alloc::vec![None; components.count];
        let end = order.iter().copied().find(|state| {
            let component = components.of[*state as usize];
            self.edges(*state).is_empty()
                || *fair[component as usize]
                    .get_or_insert_with(|| self.is_fair(&components, component, &order))
        })?;
        let mut states = Vec::from([end]);
        let mut state = end;
        while from[state as usize] != state {
            state = from[state as usize];
            states.push(state);
        }
        states.reverse();
        let cycle = states.len() - 1;
        if !self.edges(end).is_empty() {
            self.close(&mut states, &components, &order);
        }
        Some(Lasso { states, cycle })
    }

    fn enabled(&self, state: u32) -> u64 {
        let classes = self.edges(state).iter().map(|(_, class)| class);
        classes.fold(0, |all, class| all | class)
    }

    fn inner(&self, components: &Components, state: u32) -> impl Iterator<Item = (u32, u64)> {
        let component = components.of[state as usize];
        let edges = self.edges(state).iter().copied();
        edges.filter(move |(to, _)| components.of[*to as usize] == component)
    }

    /// Whether a run can stay in the component for ever without starving a class.
    fn is_fair(&self, components: &Components, component: u32, order: &[u32]) -> bool {
        let (mut taken, mut always, mut cycles) = (0, u64::MAX, false);
        let is_member = |state: &&u32| components.of[**state as usize] == component;
        for state in order.iter().filter(is_member) {
            always &= self.enabled(*state);
            for (_, class) in self.inner(components, *state) {
                taken |= class;
                cycles = true;
            }
        }
        cycles && always & !taken == 0
    }

    /// Appends a cycle from the last state through a witness for each class, back to that state.
    fn close(&self, states: &mut Vec<u32>, components: &Components, order: &[u32]) {
        let start = *states.last().expect("a path has states");
        let component = components.of[start as usize];
        let is_member = |state: &&u32| components.of[**state as usize] == component;
        let members: Vec<u32> = order.iter().filter(is_member).copied().collect();
        let taken = |state: u32| {
            self.inner(components, state)
                .fold(0, |all, (_, class)| all | class)
        };
        let mut open = members
            .iter()
            .fold(u64::MAX, |all, state| all & self.enabled(*state));
        let mut moved = false;
        while open != 0 || !moved {
            let here = *states.last().expect("a path has states");
            // Through the nearest state with an edge of a class that is still owed, or any edge at first.
            let serves = |state: u32| taken(state) & open != 0 || open == 0;
            let Some(path) = self.walk(components, here, |state| {
                serves(state) && self.inner(components, state).next().is_some()
            }) else {
                break;
            };
            states.extend(path);
            let at = *states.last().expect("a path has states");
            let edge = self
                .inner(components, at)
                .find(|(_, class)| class & open != 0 || open == 0);
            let Some((to, class)) = edge else { break };
            states.push(to);
            open &= !class;
            moved = true;
        }
        let here = *states.last().expect("a path has states");
        if let Some(path) = self.walk(components, here, |state| state == start) {
            states.extend(path);
        }
    }

    /// The shortest way within a component to a state that serves, without the state that it starts from.
    fn walk(
        &self,
        components: &Components,
        start: u32,
        serves: impl Fn(u32) -> bool,
    ) -> Option<Vec<u32>> {
        let mut from = crate::ordered::Map::from([(start, start)]);
        let mut queue = VecDeque::from([start]);
        while let Some(state) = queue.pop_front() {
            if serves(state) {
                let mut path = Vec::new();
                let mut at = state;
                while at != start {
                    path.push(at);
                    at = from[&at];
                }
                path.reverse();
                return Some(path);
            }
            for (to, _) in self.inner(components, state) {
                from.get_or_insert_with(to, || {
                    queue.push_back(to);
                    state
                });
            }
        }
        None
    }

    /// Strongly connected components of the states that were reached, by Tarjan's algorithm without recursion.
    fn components(&self, order: &[u32], from: &[u32]) -> Components {
        const UNSEEN: u32 = u32::MAX;
        let total = self.reached.len();
        let mut of = alloc::vec![UNSEEN; total];
        let mut index = alloc::vec![UNSEEN; total];
        let mut low = alloc::vec![0; total];
        let (mut stack, mut count, mut clock) = (Vec::new(), 0, 0);
        for root in order {
            if index[*root as usize] != UNSEEN {
                continue;
            }
            let mut calls = Vec::from([(*root, 0)]);
            while let Some((state, edge)) = calls.last_mut() {
                let at = *state as usize;
                if *edge == 0 && index[at] == UNSEEN {
                    index[at] = clock;
                    low[at] = clock;
                    clock += 1;
                    stack.push(*state);
                }
                if let Some((to, _)) = self.edges(*state).get(*edge).copied() {
                    *edge += 1;
                    let next = to as usize;
                    if from[next] == UNSEEN {
                        continue;
                    }
                    if index[next] == UNSEEN {
                        calls.push((to, 0));
                    } else if of[next] == UNSEEN {
                        low[at] = low[at].min(index[next]);
                    }
                    continue;
                }
                if low[at] == index[at] {
                    while let Some(member) = stack.pop() {
                        of[member as usize] = count;
                        if member as usize == at {
                            break;
                        }
                    }
                    count += 1;
                }
                let done = low[at];
                calls.pop();
                if let Some((caller, _)) = calls.last() {
                    let caller = *caller as usize;
                    low[caller] = low[caller].min(done);
                }
            }
        }
        Components {
            of,
            count: count as usize,
        }
    }
}

/// Which component each state belongs to.
struct Components {
    of: Vec<u32>,
    count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Edges with class 0, or without a class where marked.
    fn graph(reached: &[u32], edges: &[&[(u32, Option<u8>)]]) -> Graph {
        let mut graph = Graph {
            reached: reached.to_vec(),
            ..Graph::default()
        };
        for edges in edges {
            graph.push(edges.iter().copied());
        }
        graph
    }

    #[test]
    fn a_dead_end_without_the_goal_is_a_counterexample_and_one_with_it_is_not() {
        let edges: &[&[_]] = &[&[(1, Some(0)), (2, Some(0))], &[], &[]];
        let lasso = graph(&[0, 1, 0], edges).lasso(1, 1).unwrap();
        assert_eq!((lasso.states, lasso.cycle), (alloc::vec![0, 2], 1));
        assert_eq!(graph(&[0, 1, 1], edges).lasso(1, 1), None);
        assert_eq!(graph(&[1, 0, 0], edges).lasso(1, 1), None, "met at once");
    }

    #[test]
    fn a_cycle_counts_only_if_it_starves_no_class() {
        // 0 and 1 go round with class 0; class 1 would leave to the goal, from both or from one of them.
        let both: &[&[_]] = &[
            &[(1, Some(0)), (2, Some(1))],
            &[(0, Some(0)), (2, Some(1))],
            &[],
        ];
        assert_eq!(graph(&[0, 0, 1], both).lasso(1, 1), None);
        let one: &[&[_]] = &[&[(1, Some(0))], &[(0, Some(0)), (2, Some(1))], &[]];
        let lasso = graph(&[0, 0, 1], one).lasso(1, 1).unwrap();
        assert_eq!((lasso.states, lasso.cycle), (alloc::vec![0, 1, 0], 0));
    }

    #[test]
    fn a_lasso_goes_through_every_class_that_it_owes() {
        // Two loops through 0, of two classes, both enabled only at 0.
        let edges: &[&[_]] = &[
            &[(1, Some(0)), (2, Some(1)), (0, None)],
            &[(0, Some(0)), (0, Some(1))],
            &[(0, Some(1)), (0, Some(0))],
        ];
        let lasso = graph(&[0, 0, 0], edges).lasso(1, 1).unwrap();
        assert_eq!(lasso.states.first(), lasso.states.last());
        assert_eq!(lasso.cycle, 0);
        assert!(lasso.states.len() >= 3);
    }
}
