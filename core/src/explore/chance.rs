//! How likely few nodes that poll at random decide differently: exactly, by the checker's states.
//!
//! ```text
//! Chance: c correct nodes with one of two preferences, f faulty ones
//!    |
//!    v   Search: every state, polls with the same effect merged, nodes in the same state interchangeable
//! Chain: state -> (probability, state)                  counts of samples are exact; each is divided once
//!    |
//!    v   Gauss-Seidel from zero, until no value rises by more than [`RESIDUAL`]
//! Odds { agree, disagree, undecided }
//! ```
//!
//! **The model.** One poll after the other, each of a node drawn uniformly among the correct ones that are undecided;
//! its sample is uniform among the others, and nothing is lost. A correct node answers with its preference, a faulty
//! one with the opposite of the asker's: one adversary, and not the worst of all. A poll's effect is that of
//! [`crate::snow`].
//!
//! **Strengths grow without bound**, and only their difference matters. Beyond [`Rule::Snowball`]'s cap a run ends
//! unresolved: such runs, those that never end, and what the iteration has not reached are `undecided`. So nothing is
//! approximated silently, and the cap errs on neither side: values rise from zero and stay below the true ones, up to
//! rounding, and the probability of disagreement lies in `disagree ..= disagree + undecided`. A higher cap narrows
//! this. Where decisions are rare, leads grow first, and no cap that fits is enough. [`Rule::Forgetful`] then gives one
//! number instead of an interval, for nodes that change their minds sooner than those that ship. Its runs are the same
//! until one goes beyond the cap, so it is wrong by no more than what [`Rule::Snowball`] leaves undecided; on which side
//! is not known. A snowflake has no strengths, and needs neither.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::fingerprint::Fingerprint;
use super::{Limits, Model, Property, Search};
use crate::snow::Parameters;

/// How a preference follows from polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The last successful poll's choice.
    Snowflake,
    /// The choice that won more polls.
    Snowball {
        /// By how many, at most, until a run is given up as unresolved.
        cap: u8,
    },
    /// The same, but a lead grows no further than the cap: a node gives in sooner than one that ships.
    Forgetful {
        /// By how many, at most.
        cap: u8,
    },
}

/// Nodes that poll each other about two choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance {
    nodes: u16,
    byzantine: u16,
    blue: u16,
    rule: Rule,
    /// Scaled to the number of others.
    parameters: Parameters,
}

/// What comes of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// Distinct states.
    pub states: u64,
    /// That all correct nodes decide the same, at least.
    pub agree: f64,
    /// That two of them decide differently, at least.
    pub disagree: f64,
    /// What is neither: runs that never end, runs beyond the cap, and what the iteration has not reached.
    pub undecided: f64,
    /// The part of it that ran beyond the cap.
    pub capped: f64,
    /// How much the last sweep still changed.
    pub residual: f64,
}

impl Odds {
    /// That two correct nodes decide differently, at most.
    pub fn disagree_at_most(&self) -> f64 {
        self.disagree + self.undecided
    }
}

/// One of the two choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// The first.
    Red,
    /// The second.
    Blue,
}
use Choice::{Blue, Red};

/// What becomes of a correct node's polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Correct {
    /// It polls.
    Open {
        /// What it answers.
        preference: Choice,
        /// How many more polls Blue won than Red; 0 under [`Rule::Snowflake`].
        lead: i16,
        /// What the confidence is for; Red without confidence, since it makes no difference.
        candidate: Choice,
        /// Polls in a row.
        confidence: u32,
    },
    /// It decided, and answers with that.
    Final(Choice),
}

impl Correct {
    fn new(preference: Choice) -> Correct {
        Correct::Open {
            preference,
            lead: 0,
            candidate: Red,
            confidence: 0,
        }
    }

    /// What it answers.
    pub fn preference(&self) -> Choice {
        match self {
            Correct::Open { preference, .. } => *preference,
            Correct::Final(choice) => *choice,
        }
    }
}

/// A group's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// The correct nodes in order: which is which makes no difference.
    Open(Vec<Correct>),
    /// All correct nodes decided the same.
    Agreed,
    /// Two correct nodes decided differently.
    Disagreed,
    /// A node's lead went beyond the cap.
    Capped,
}

/// What a poll does to the node that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Too few votes for either choice.
    Unsuccessful,
    /// Enough for the preference.
    Prefers(Choice),
    /// Enough for confidence as well.
    Confident(Choice),
}

/// A poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The first of the nodes in the same state, any of which may ask.
    pub node: usize,
    /// What comes of it.
    pub effect: Effect,
    /// How many pairs of a node in this state and a sample have this effect.
    pub ways: u128,
}

/// More would overflow the exact counts; states run out long before.
const NODES_MAX: u16 = 64;

/// The iteration ends when no value rises by more than this in a sweep.
pub const RESIDUAL: f64 = 1e-13;

const SWEEPS_MAX: u32 = 100_000;

impl Chance {
    /// So many nodes, the last `byzantine` of them faulty; `blue` of the correct prefer Blue at first.
    ///
    /// # Errors
    /// Which argument is wrong, and what was expected.
    pub fn new(
        nodes: u16,
        byzantine: u16,
        blue: u16,
        parameters: Parameters,
        rule: Rule,
    ) -> Result<Chance, String> {
        if !(2..=NODES_MAX).contains(&nodes) {
            return Err(format!("nodes = {nodes}: expected 2 to {NODES_MAX}"));
        }
        if byzantine >= nodes {
            return Err(format!(
                "byzantine = {byzantine}: expected fewer than {nodes} nodes"
            ));
        }
        let correct = nodes - byzantine;
        if blue > correct {
            return Err(format!(
                "blue = {blue}: expected at most {correct} correct nodes"
            ));
        }
        parameters.check()?;
        let parameters = parameters.scaled_to(nodes - 1);
        Ok(Chance {
            nodes,
            byzantine,
            blue,
            rule,
            parameters,
        })
    }

    /// What comes of it, computed from at most so many states.
    ///
    /// # Errors
    /// If there are more.
    pub fn odds(&self, states_max: u64) -> Result<Odds, String> {
        Ok(Chain::new(*self, states_max)?.odds())
    }

    /// How many pairs of an undecided node and a sample there are, each as likely as the others.
    fn ways(&self, group: &[Correct]) -> u128 {
        let open = group
            .iter()
            .filter(|node| matches!(node, Correct::Open { .. }));
        open.count() as u128 * choose(self.nodes - 1, self.parameters.k)
    }

    fn effect(&self, blue: u16) -> Effect {
        let red = self.parameters.k - blue;
        let (choice, count) = if blue > red { (Blue, blue) } else { (Red, red) };
        if count >= self.parameters.alpha_confidence {
            Effect::Confident(choice)
        } else if count >= self.parameters.alpha_preference {
            Effect::Prefers(choice)
        } else {
            Effect::Unsuccessful
        }
    }

    /// The node after a poll; `None` beyond the cap.
    fn after(&self, node: Correct, effect: Effect) -> Option<Correct> {
        let Correct::Open {
            mut preference,
            mut lead,
            mut candidate,
            mut confidence,
        } = node
        else {
            return Some(node);
        };
        match effect {
            Effect::Unsuccessful => confidence = 0,
            Effect::Prefers(choice) | Effect::Confident(choice) => {
                if candidate != choice {
                    confidence = 0;
                }
                candidate = choice;
                confidence += 1;
                match self.rule {
                    Rule::Snowflake => preference = choice,
                    Rule::Snowball { .. } | Rule::Forgetful { .. } => {
                        lead += if choice == Blue { 1 } else { -1 };
                        // Only what is strictly stronger takes over.
                        if lead != 0 {
                            preference = if lead > 0 { Blue } else { Red };
                        }
                    }
                }
                if matches!(effect, Effect::Prefers(_)) {
                    confidence = 0;
                } else if confidence >= self.parameters.beta {
                    return Some(Correct::Final(choice));
                }
            }
        }
        match self.rule {
            Rule::Snowball { cap } if lead.unsigned_abs() > u16::from(cap) => return None,
            Rule::Forgetful { cap } => lead = lead.clamp(-i16::from(cap), i16::from(cap)),
            Rule::Snowball { .. } | Rule::Snowflake => {}
        }
        if confidence == 0 {
            candidate = Red;
        }
        Some(Correct::Open {
            preference,
            lead,
            candidate,
            confidence,
        })
    }

    fn group(&self, mut nodes: Vec<Correct>) -> Group {
        let decided = |choice| nodes.contains(&Correct::Final(choice));
        if decided(Red) && decided(Blue) {
            return Group::Disagreed;
        }
        if nodes.iter().all(|node| matches!(node, Correct::Final(_))) {
            return Group::Agreed;
        }
        nodes.sort_unstable();
        Group::Open(nodes)
    }
}

impl Model for Chance {
    type State = Group;
    type Action = Ask;

    fn init(&self) -> Vec<Group> {
        let correct = self.nodes - self.byzantine;
        let first = |node| if node < self.blue { Blue } else { Red };
        let nodes = (0..correct).map(|node| Correct::new(first(node)));
        Vec::from([self.group(nodes.collect())])
    }

    /// One poll for each state of a node and each effect that it may have.
    fn actions(&self, group: &Group, actions: &mut Vec<Ask>) {
        let Group::Open(nodes) = group else { return };
        let blue = nodes.iter().filter(|node| node.preference() == Blue);
        let blue = blue.count() as u16;
        let k = self.parameters.k;
        let mut at = 0;
        while let Some(asker) = nodes.get(at) {
            let alike = nodes[at..].iter().take_while(|node| *node == asker).count();
            let node = at;
            at += alike;
            if matches!(asker, Correct::Final(_)) {
                continue;
            }
            let blue = match asker.preference() {
                Blue => blue - 1,
                Red => blue + self.byzantine,
            };
            let first = actions.len();
            for votes in 0..=k {
                let samples = choose(blue, votes) * choose(self.nodes - 1 - blue, k - votes);
                let (effect, ways) = (self.effect(votes), samples * alike as u128);
                let same = actions[first..].iter_mut().find(|ask| ask.effect == effect);
                match same {
                    Some(ask) => ask.ways += ways,
                    None if ways > 0 => actions.push(Ask { node, effect, ways }),
                    None => {}
                }
            }
        }
    }

    fn next(&self, group: &Group, ask: &Ask) -> Option<Group> {
        let Group::Open(nodes) = group else {
            return None;
        };
        let Some(node) = self.after(nodes[ask.node], ask.effect) else {
            return Some(Group::Capped);
        };
        let mut nodes = nodes.clone();
        nodes[ask.node] = node;
        Some(self.group(nodes))
    }

    /// Two decisions are no violation here: the question is how likely they are.
    fn properties(&self) -> &[Property<Self>] {
        &[]
    }
}

/// How many samples of `k` there are among `n`.
fn choose(n: u16, k: u16) -> u128 {
    if k > n {
        return 0;
    }
    (0..u128::from(k)).fold(1, |all, i| all * (u128::from(n) - i) / (i + 1))
}

/// The explored states with the probabilities of their successors.
struct Chain {
    states: Vec<Group>,
    /// Where the steps of a state end in `steps`; they begin where those of its predecessor end.
    ends: Vec<usize>,
    /// Steps to other states: those that change nothing are taken out, and the rest scaled to a sum of one.
    steps: Vec<(u32, f64)>,
    /// The probability of a poll that changes nothing, by state.
    stays: Vec<f64>,
}

impl Chain {
    fn new(chance: Chance, states_max: u64) -> Result<Chain, String> {
        let mut limits = Limits::default();
        limits.states = limits.states.min(states_max.saturating_add(1));
        let mut search = Search::new(chance, limits);
        let mut chain = Chain {
            states: Vec::new(),
            ends: Vec::new(),
            steps: Vec::new(),
            stays: Vec::new(),
        };
        let mut asks = Vec::new();
        while !search.is_over() {
            let (first, chunk) = search.chunk(256);
            let expand = |(id, state)| search.expand(id, state, &mut asks);
            let expanded: Vec<_> = (first..).zip(chunk).map(expand).collect();
            let chunk = chunk.to_vec();
            search.absorb(expanded);
            for state in chunk {
                // Once a limit is reached, some successors have no number.
                let Some(()) = chain.push(&search, state) else {
                    break;
                };
            }
        }
        if !search.outcome().complete {
            return Err(format!("more than {states_max} states"));
        }
        Ok(chain)
    }

    /// Adds the steps of the next state.
    fn push(&mut self, search: &Search<Chance>, state: Group) -> Option<()> {
        let chance = search.model();
        let mut asks = Vec::new();
        chance.actions(&state, &mut asks);
        let this = self.states.len() as u32;
        let mut ways: Vec<(u32, u128)> = Vec::new();
        for ask in &asks {
            let next = chance.next(&state, ask)?;
            let to = search.id_of(Fingerprint::of(&next))?;
            match ways.iter_mut().find(|(other, _)| *other == to) {
                Some((_, ways)) => *ways += ask.ways,
                None => ways.push((to, ask.ways)),
            }
        }
        if let Group::Open(nodes) = &state {
            let sum: u128 = ways.iter().map(|(_, ways)| ways).sum();
            assert_eq!(sum, chance.ways(nodes), "every sample has one effect");
        }
        let all: u128 = ways.iter().map(|(_, ways)| ways).sum();
        let moves = ways.iter().filter(|(to, _)| *to != this);
        let moving: u128 = moves.clone().map(|(_, ways)| ways).sum();
        let share = |(to, ways): &(u32, u128)| (*to, *ways as f64 / moving as f64);
        self.steps.extend(moves.map(share));
        self.ends.push(self.steps.len());
        let stays = (all - moving) as f64;
        self.stays
            .push(if all == 0 { 1.0 } else { stays / all as f64 });
        self.states.push(state);
        Some(())
    }

    fn steps(&self, state: usize) -> &[(u32, f64)] {
        let start = state.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.steps[start..self.ends[state]]
    }

    fn odds(&self) -> Odds {
        let (agree, residual) = self.absorbed(&Group::Agreed);
        let (disagree, other) = self.absorbed(&Group::Disagreed);
        let residual = if other > residual { other } else { residual };
        let (capped, other) = self.absorbed(&Group::Capped);
        Odds {
            states: self.states.len() as u64,
            agree,
            disagree,
            undecided: (1.0 - agree - disagree).max(0.0),
            capped,
            residual: if other > residual { other } else { residual },
        }
    }

    /// The probability to end in this state, from below, and what the last sweep changed.
    ///
    /// The least solution of `x = sum of p x'` with 1 at the end: from zero, values only rise. The states that were
    /// found last come first, as they are the nearest to an end.
    fn absorbed(&self, end: &Group) -> (f64, f64) {
        let mut values = alloc::vec![0.0; self.states.len()];
        let Some(at) = self.states.iter().position(|state| state == end) else {
            return (0.0, 0.0);
        };
        values[at] = 1.0;
        let mut residual = 0.0;
        for _ in 0..SWEEPS_MAX {
            residual = 0.0;
            for state in (0..values.len()).rev().filter(|state| *state != at) {
                let value: f64 = self
                    .steps(state)
                    .iter()
                    .map(|(to, p)| p * values[*to as usize])
                    .sum();
                let rise = value - values[state];
                if rise > residual {
                    residual = rise;
                }
                values[state] = value;
            }
            if residual <= RESIDUAL {
                break;
            }
        }
        (values[0].min(1.0), residual)
    }
}

#[cfg(test)]
mod tests;
