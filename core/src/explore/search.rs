//! Breadth-first search by layers: what was seen, what is to be expanded, and the way back to a state.

use alloc::vec::Vec;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::graph::Graph;
use super::{Model, Outcome, Violation, When};
use crate::ordered::Map;

/// What bounds a search beyond the model's own bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most distinct states.
    pub states: u64,
    /// The deepest layer; the initial states are layer 1.
    pub depth: u32,
}

impl Default for Limits {
    /// As far as state numbers go.
    fn default() -> Self {
        let states = u64::from(NOWHERE) - 1;
        let depth = u32::MAX;
        Limits { states, depth }
    }
}

/// Where a state was first found: its parent, and which of the actions that the parent lists led here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    parent: u32,
    ordinal: u32,
}

/// The parent of initial states, whose ordinal is their number.
const NOWHERE: u32 = u32::MAX;

/// What comes out of one state.
#[derive(Debug)]
pub struct Expanded<S> {
    parent: u32,
    generated: u64,
    /// Whether the model's bounds keep the search from going on here.
    outside: bool,
    found: Vec<Found<S>>,
    /// Where each action leads, with its fairness class; only for models with something to reach at last.
    edges: Vec<(Fingerprint, Option<u8>)>,
}

#[derive(Debug)]
struct Found<S> {
    fingerprint: Fingerprint,
    ordinal: u32,
    state: S,
    verdict: Verdict,
}

/// What the properties say of a state.
#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    /// The first invariant that is broken.
    broken: Option<&'static str>,
    /// One bit for each property that should hold at last, and does here.
    reached: u32,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Distinct states found.
    pub distinct: u64,
    /// States generated, the initial ones and those found again included.
    pub generated: u64,
    /// The deepest layer that has states; the initial states are layer 1.
    pub depth: u32,
    /// States found and not yet expanded.
    pub frontier: u64,
}

/// A breadth-first search that can be taken further in slices.
pub struct Search<M: Model> {
    model: M,
    limits: Limits,
    /// State numbers by fingerprint.
    ids: HashTable<u32>,
    /// By state number.
    prints: Vec<Fingerprint>,
    origins: Vec<Origin>,
    graph: Option<Graph>,
    /// The layer that is being expanded, whose states have consecutive numbers, and how many of them are done.
    layer: Vec<M::State>,
    first: u32,
    done: usize,
    /// The layer that comes next.
    next: Vec<M::State>,
    depth: u32,
    generated: u64,
    /// Whether something within the model's reach was left out.
    cut: bool,
    broken: Option<(u32, &'static str)>,
}

impl<M: Model> Search<M> {
    /// Starts at the initial states.
    pub fn new(model: M, limits: Limits) -> Search<M> {
        let at_last = |property: &&super::Property<M>| property.when == When::Eventually;
        let wanted = model.properties().iter().filter(at_last).count();
        assert!(wanted <= 32, "at most 32 properties that hold at last");
        let mut search = Search {
            limits,
            ids: HashTable::new(),
            prints: Vec::new(),
            origins: Vec::new(),
            graph: (wanted > 0).then(Graph::default),
            layer: Vec::new(),
            first: 0,
            done: 0,
            next: Vec::new(),
            depth: 0,
            generated: 0,
            cut: false,
            broken: None,
            model,
        };
        for (ordinal, state) in search.model.init().into_iter().enumerate() {
            search.generated += 1;
            let found = Found {
                fingerprint: Fingerprint::of(&state),
                ordinal: ordinal as u32,
                verdict: verdict(&search.model, &state),
                state,
            };
            search.add(NOWHERE, found);
        }
        search.turn();
        search
    }

    /// What is searched.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// What was searched.
    pub fn into_model(self) -> M {
        self.model
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        Progress {
            distinct: self.prints.len() as u64,
            generated: self.generated,
            depth: self.depth + u32::from(!self.next.is_empty()),
            frontier: (self.layer.len() - self.done + self.next.len()) as u64,
        }
    }

    /// Whether there is nothing left to do: all is expanded, a limit is reached, or an invariant is broken.
    pub fn is_over(&self) -> bool {
        self.broken.is_some() || self.done == self.layer.len() || self.is_full()
    }

    fn is_full(&self) -> bool {
        self.prints.len() as u64 >= self.limits.states
    }

    /// The next states of the layer, with the number of the first: what [`Search::expand`] takes.
    pub fn chunk(&self, most: usize) -> (u32, &[M::State]) {
        let rest = &self.layer[self.done..];
        let chunk = &rest[..rest.len().min(most)];
        (self.first + self.done as u32, chunk)
    }

    /// What comes out of a state of the chunk. Changes nothing, so that states can be expanded on many threads.
    pub fn expand(
        &self,
        id: u32,
        state: &M::State,
        actions: &mut Vec<M::Action>,
    ) -> Expanded<M::State> {
        let mut expanded = Expanded {
            parent: id,
            generated: 0,
            outside: !self.model.within(state),
            found: Vec::new(),
            edges: Vec::new(),
        };
        if expanded.outside {
            return expanded;
        }
        actions.clear();
        self.model.actions(state, actions);
        for (ordinal, action) in actions.iter().enumerate() {
            let Some(next) = self.model.next(state, action) else {
                continue;
            };
            expanded.generated += 1;
            let fingerprint = Fingerprint::of(&next);
            if self.graph.is_some() {
                expanded.edges.push((fingerprint, self.model.class(action)));
            }
            if self.id_of(fingerprint).is_none() {
                expanded.found.push(Found {
                    fingerprint,
                    ordinal: ordinal as u32,
                    verdict: verdict(&self.model, &next),
                    state: next,
                });
            }
        }
        expanded
    }

    /// Takes in what came out of the next states of the layer, in their order.
    pub fn absorb(&mut self, expanded: impl IntoIterator<Item = Expanded<M::State>>) {
        for expanded in expanded {
            if self.broken.is_some() {
                return;
            }
            let expected = self.first + self.done as u32;
            assert_eq!(expanded.parent, expected, "states are taken in in order");
            self.generated += expanded.generated;
            self.cut |= expanded.outside;
            for found in expanded.found {
                if self.is_full() {
                    self.cut = true;
                    return;
                }
                self.add(expanded.parent, found);
                if self.broken.is_some() {
                    return;
                }
            }
            if let Some(mut graph) = self.graph.take() {
                let to = |(print, class): (Fingerprint, Option<u8>)| {
                    let id = self.id_of(print).expect("every successor was added");
                    (id, class)
                };
                graph.push(expanded.edges.into_iter().map(to));
                self.graph = Some(graph);
            }
            self.done += 1;
        }
        if self.done == self.layer.len() {
            self.turn();
        }
    }

    /// Expands up to so many states on this thread.
    pub fn advance(&mut self, mut states: usize) {
        let mut actions = Vec::new();
        while states > 0 && !self.is_over() {
            let (first, chunk) = self.chunk(states.min(256));
            states -= chunk.len();
            let expand = |(id, state)| self.expand(id, state, &mut actions);
            let expanded: Vec<_> = (first..).zip(chunk).map(expand).collect();
            self.absorb(expanded);
        }
    }

    /// The verdict so far; final once the search is over.
    pub fn outcome(&self) -> Outcome<M::Action> {
        let progress = self.progress();
        let finished = self.broken.is_none() && self.done == self.layer.len();
        let complete = finished && !self.cut;
        let violation = match self.broken {
            Some((id, property)) => {
                let (init, steps) = self.path(id);
                Some(Violation {
                    property,
                    init,
                    steps,
                    cycle: None,
                })
            }
            // A bound may have cut off the way to what should happen at last.
            None if complete => self.never_reached(),
            None => None,
        };
        Outcome {
            distinct: progress.distinct,
            generated: progress.generated,
            depth: progress.depth,
            complete,
            violation,
        }
    }

    /// The number of a state that was found.
    pub(super) fn id_of(&self, print: Fingerprint) -> Option<u32> {
        let is_it = |id: &u32| self.prints[*id as usize] == print;
        self.ids.find(print.0[0], is_it).copied()
    }

    fn add(&mut self, parent: u32, found: Found<M::State>) {
        if self.id_of(found.fingerprint).is_some() {
            return;
        }
        let id = self.prints.len() as u32;
        self.prints.push(found.fingerprint);
        let prints = &self.prints;
        let hash = |id: &u32| prints[*id as usize].0[0];
        self.ids.insert_unique(found.fingerprint.0[0], id, hash);
        self.origins.push(Origin {
            parent,
            ordinal: found.ordinal,
        });
        if let Some(graph) = &mut self.graph {
            graph.reached.push(found.verdict.reached);
        }
        if let Some(property) = found.verdict.broken {
            self.broken = Some((id, property));
        }
        self.next.push(found.state);
    }

    /// On to the next layer.
    fn turn(&mut self) {
        if self.next.is_empty() {
            return;
        }
        if self.depth >= self.limits.depth {
            self.cut = true;
            return;
        }
        self.first += self.layer.len() as u32;
        self.layer = core::mem::take(&mut self.next);
        self.done = 0;
        self.depth += 1;
    }

    /// The initial state's number and the actions that lead from it to a state.
    fn path(&self, id: u32) -> (usize, Vec<M::Action>) {
        let mut ordinals = Vec::new();
        let mut origin = self.origins[id as usize];
        while origin.parent != NOWHERE {
            ordinals.push(origin.ordinal);
            origin = self.origins[origin.parent as usize];
        }
        let init = origin.ordinal as usize;
        let mut state = self.model.init().swap_remove(init);
        let mut steps = Vec::with_capacity(ordinals.len());
        for ordinal in ordinals.into_iter().rev() {
            let (action, next) = self.step(&state, ordinal);
            steps.push(action);
            state = next;
        }
        (init, steps)
    }

    fn step(&self, state: &M::State, ordinal: u32) -> (M::Action, M::State) {
        let mut actions = Vec::new();
        self.model.actions(state, &mut actions);
        let action = actions.swap_remove(ordinal as usize);
        let next = self.model.next(state, &action);
        (
            action,
            next.expect("an action that led somewhere does so again"),
        )
    }

    /// The first property that some fair path never meets, with that path.
    fn never_reached(&self) -> Option<Violation<M::Action>> {
        let graph = self.graph.as_ref()?;
        let roots = self.origins.iter().take_while(|o| o.parent == NOWHERE);
        let roots = roots.count() as u32;
        let at_last = |property: &&super::Property<M>| property.when == When::Eventually;
        let wanted = self.model.properties().iter().filter(at_last);
        wanted.enumerate().find_map(|(bit, property)| {
            let lasso = graph.lasso(roots, 1 << bit)?;
            let (init, steps) = self.replay(lasso.states[0], &lasso.states);
            Some(Violation {
                property: property.name,
                init,
                steps,
                cycle: Some(lasso.cycle),
            })
        })
    }

    /// The actions along a path of state numbers.
    fn replay(&self, root: u32, states: &[u32]) -> (usize, Vec<M::Action>) {
        let init = self.origins[root as usize].ordinal as usize;
        let mut state = self.model.init().swap_remove(init);
        let mut steps = Vec::new();
        for to in &states[1..] {
            let mut actions = Vec::new();
            self.model.actions(&state, &mut actions);
            let (action, next) = actions
                .into_iter()
                .find_map(|action| {
                    let next = self.model.next(&state, &action)?;
                    let print = Fingerprint::of(&next);
                    (print == self.prints[*to as usize]).then_some((action, next))
                })
                .expect("an edge of the graph is an action of the model");
            steps.push(action);
            state = next;
        }
        (init, steps)
    }
}

impl Saved {
    /// As bytes, for a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("numbers are serialised")
    }

    /// From bytes; whether they are of this model is for [`Search::restore`] to say.
    ///
    /// # Errors
    /// If they are not a saved search.
    pub fn from_bytes(bytes: &[u8]) -> Result<Saved, &'static str> {
        postcard::from_bytes(bytes).map_err(|_| "not a saved search of this version")
    }
}

/// A search in a form that can be stored: everything but the states, which come back by replaying their origins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    prints: Vec<[u64; 2]>,
    origins: Vec<Origin>,
    first: u32,
    layer: u32,
    done: u32,
    depth: u32,
    generated: u64,
    cut: bool,
}

impl<M: Model> Search<M> {
    /// What is needed to go on later; `None` for models with something to reach at last, which keep a graph.
    pub fn save(&self) -> Option<Saved> {
        if self.graph.is_some() {
            return None;
        }
        Some(Saved {
            prints: self.prints.iter().map(|print| print.0).collect(),
            origins: self.origins.clone(),
            first: self.first,
            layer: self.layer.len() as u32,
            done: self.done as u32,
            depth: self.depth,
            generated: self.generated,
            cut: self.cut,
        })
    }

    /// Goes on where a search of the same model stopped.
    ///
    /// # Errors
    /// A sentence, if what was saved is of another model or not whole.
    pub fn restore(model: M, limits: Limits, saved: &Saved) -> Result<Search<M>, &'static str> {
        const OTHER: &str = "the saved search is of another model, or not whole";
        let mut search = Search::new(model, limits);
        let count = saved.prints.len() as u32;
        let from = saved.first.checked_add(saved.done).ok_or(OTHER)?;
        let whole = saved.origins.len() == saved.prints.len()
            && saved.done <= saved.layer
            && saved
                .first
                .checked_add(saved.layer)
                .is_some_and(|end| end <= count);
        if search.graph.is_some() || !whole {
            return Err(OTHER);
        }
        // Ancestors of what is to be expanded. A parent's number is below its child's, and parents ascend.
        let mut needed = alloc::vec![false; saved.prints.len()];
        for id in (0..count).rev() {
            if id >= from || needed[id as usize] {
                needed[id as usize] = true;
                let parent = saved.origins[id as usize].parent;
                if parent != NOWHERE && parent >= id {
                    return Err(OTHER);
                }
                if let Some(parent) = needed.get_mut(parent as usize) {
                    *parent = true;
                }
            }
        }
        let init = search.model.init();
        let mut states: Map<u32, M::State> = Map::new();
        let (mut layer, mut next) = (Vec::new(), Vec::new());
        for id in (0..count).filter(|id| needed[*id as usize]) {
            let Origin { parent, ordinal } = saved.origins[id as usize];
            let state = if parent == NOWHERE {
                init.get(ordinal as usize).cloned()
            } else {
                while states
                    .first_key_value()
                    .is_some_and(|(first, _)| *first < parent)
                {
                    states.pop_first();
                }
                states.get(&parent).and_then(|parent| {
                    let mut actions = Vec::new();
                    search.model.actions(parent, &mut actions);
                    search.model.next(parent, actions.get(ordinal as usize)?)
                })
            };
            let state = state.ok_or(OTHER)?;
            if Fingerprint::of(&state).0 != saved.prints[id as usize] {
                return Err(OTHER);
            }
            if id >= saved.first + saved.layer {
                next.push(state.clone());
            } else if id >= from {
                layer.push(state.clone());
            }
            states.insert(id, state);
        }
        search.ids.clear();
        search.prints = saved
            .prints
            .iter()
            .map(|print| Fingerprint(*print))
            .collect();
        search.origins = saved.origins.clone();
        let prints = &search.prints;
        let hash = |id: &u32| prints[*id as usize].0[0];
        for (id, print) in (0..).zip(prints) {
            search.ids.insert_unique(print.0[0], id, hash);
        }
        // What is done of the layer is gone, and nobody asks for it.
        search.first = from;
        search.layer = layer;
        search.done = 0;
        search.next = next;
        search.depth = saved.depth;
        search.generated = saved.generated;
        search.cut = saved.cut;
        if search.layer.is_empty() {
            search.turn();
        }
        Ok(search)
    }
}

fn verdict<M: Model>(model: &M, state: &M::State) -> Verdict {
    let at_last = model
        .properties()
        .iter()
        .filter(|p| p.when == When::Eventually);
    let reached = at_last.enumerate().fold(0, |reached, (bit, property)| {
        reached | u32::from((property.holds)(model, state)) << bit
    });
    Verdict {
        broken: model.broken(state),
        reached,
    }
}
