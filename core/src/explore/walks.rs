//! Searches that are not exhaustive, or not shortest first: random walks, and depth first.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::fingerprint::Fingerprint;
use super::{Limits, Model, Outcome, Violation};
use crate::entropy::{Entropy, Prng};

/// States seen, by fingerprint.
#[derive(Default)]
struct Seen(HashTable<Fingerprint>);

impl Seen {
    /// Whether it is new.
    fn insert(&mut self, print: Fingerprint) -> bool {
        let hash = |print: &Fingerprint| print.0[0];
        let entry = self.0.entry(print.0[0], |seen| *seen == print, hash);
        let is_new = matches!(entry, hashbrown::hash_table::Entry::Vacant(_));
        entry.or_insert(print);
        is_new
    }
}

/// Walks at random from an initial state until nothing leads on or the walk is `length` actions long, `walks` times.
/// Never complete; checks invariants alone.
pub fn random_walks<M: Model>(model: &M, seed: u64, walks: u64, length: u32) -> Outcome<M::Action> {
    let mut seen = Seen::default();
    let mut outcome = Outcome::default();
    let init = model.init();
    let mut actions = Vec::new();
    for walk in 0..walks {
        let mut random = Prng::new(seed, "random walk", walk, 0);
        let root = random.below(init.len() as u64) as usize;
        let mut state = init[root].clone();
        let mut steps = Vec::new();
        loop {
            outcome.generated += 1;
            outcome.distinct += u64::from(seen.insert(Fingerprint::of(&state)));
            outcome.depth = outcome.depth.max(steps.len() as u32 + 1);
            if let Some(property) = model.broken(&state) {
                outcome.violation = Some(Violation {
                    property,
                    init: root,
                    steps,
                    cycle: None,
                });
                return outcome;
            }
            if steps.len() >= length as usize || !model.within(&state) {
                break;
            }
            actions.clear();
            model.actions(&state, &mut actions);
            // An action that does not apply is drawn again, without it.
            let next = loop {
                if actions.is_empty() {
                    break None;
                }
                let drawn = random.below(actions.len() as u64) as usize;
                let action = actions.swap_remove(drawn);
                if let Some(next) = model.next(&state, &action) {
                    break Some((action, next));
                }
            };
            let Some((action, next)) = next else { break };
            steps.push(action);
            state = next;
        }
    }
    outcome
}

/// Depth first: little memory on the way to a violation, which is rarely the shortest. Checks invariants alone.
pub fn depth_first<M: Model>(model: &M, limits: Limits) -> Outcome<M::Action> {
    struct Level<S, A> {
        state: S,
        actions: Vec<A>,
        next: usize,
    }
    let mut seen = Seen::default();
    let mut outcome = Outcome {
        complete: true,
        ..Outcome::default()
    };
    for (init, state) in model.init().into_iter().enumerate() {
        let mut levels: Vec<Level<M::State, M::Action>> = Vec::new();
        let mut arrived = Some(state);
        loop {
            if let Some(state) = arrived.take() {
                outcome.generated += 1;
                if seen.insert(Fingerprint::of(&state)) {
                    outcome.distinct += 1;
                    outcome.depth = outcome.depth.max(levels.len() as u32 + 1);
                    if let Some(property) = model.broken(&state) {
                        let taken = |level: &Level<M::State, M::Action>| {
                            level.actions[level.next - 1].clone()
                        };
                        outcome.complete = false;
                        outcome.violation = Some(Violation {
                            property,
                            init,
                            steps: levels.iter().map(taken).collect(),
                            cycle: None,
                        });
                        return outcome;
                    }
                    if outcome.distinct >= limits.states {
                        outcome.complete = false;
                        return outcome;
                    }
                    let deep = levels.len() as u32 + 1 >= limits.depth;
                    let mut actions = Vec::new();
                    if deep || !model.within(&state) {
                        outcome.complete = false;
                    } else {
                        model.actions(&state, &mut actions);
                    }
                    levels.push(Level {
                        state,
                        actions,
                        next: 0,
                    });
                }
            }
            let Some(level) = levels.last_mut() else {
                break;
            };
            match level.actions.get(level.next) {
                Some(action) => {
                    level.next += 1;
                    arrived = model.next(&level.state, action);
                }
                None => {
                    levels.pop();
                }
            }
        }
    }
    outcome
}
