//! Exhaustive search: every schedule of a model within its bounds, and the shortest way to what should not be.
//!
//! ```text
//!   Model { init, actions, next, properties }
//!      |
//!      v
//!   expand: one state -> its successors with fingerprints          pure; runs on as many threads as there are
//!      |
//!      v
//!   Search::absorb: new states, in the order of their parents      sequential; the least action wins ties
//!      |
//!      v
//!   Outcome { distinct, generated, depth, complete, violation }    the path is replayed, never stored
//! ```
//!
//! A model is anything that can list its actions: the textbook's protocols in [`textbook`], and a cluster of the nodes
//! that ship, in [`cluster`]; [`multi_paxos`] is one part of such nodes by itself. States are told apart by 128-bit fingerprints; the same model gives the same numbers and
//! the same counterexample natively, on any number of threads, and in a browser.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::hash::Hash;

use crate::scenario::Scenario;

pub mod chance;
pub mod cluster;
pub mod fingerprint;
mod graph;
mod memo;
mod minimize;
pub mod multi_paxos;
mod search;
pub mod textbook;
mod walks;

pub use minimize::minimize;
pub use search::{Expanded, Limits, Progress, Saved, Search};
pub use walks::{depth_first, random_walks};

/// A transition system.
///
/// `actions` lists what may happen in a fixed order; `next` may still refuse an action by giving `None`, as when it
/// would change nothing.
pub trait Model: Sync {
    /// A state. Equal states must hash alike, and only those.
    type State: Clone + Hash + Send + Sync;
    /// What may happen in a state.
    type Action: Clone + Debug + Send + Sync;

    /// The initial states.
    fn init(&self) -> Vec<Self::State>;

    /// Appends what may happen, in an order that depends on the state alone.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// The state after an action; `None` if it does not apply.
    fn next(&self, state: &Self::State, action: &Self::Action) -> Option<Self::State>;

    /// What should hold, in the order in which violations are reported.
    fn properties(&self) -> &[Property<Self>];

    /// The first invariant that a state breaks.
    fn broken(&self, state: &Self::State) -> Option<&'static str> {
        let mut invariants = self.properties().iter();
        let broken = invariants.find(|p| p.when == When::Always && !(p.holds)(self, state));
        broken.map(|property| property.name)
    }

    /// Whether the search goes on from this state. A state outside is counted and checked, and not expanded.
    fn within(&self, _state: &Self::State) -> bool {
        true
    }

    /// The fairness class of an action, below 64: a class that is enabled for ever happens at last. `None` for what
    /// need never happen, such as faults.
    fn class(&self, _action: &Self::Action) -> Option<u8> {
        Some(0)
    }

    /// An action in words.
    fn describe(&self, action: &Self::Action) -> String {
        alloc::format!("{action:?}")
    }

    /// What happens in an action, a line for each step.
    fn tell(&self, action: &Self::Action) -> Vec<String> {
        Vec::from([self.describe(action)])
    }

    /// The scenario in which exactly these actions happen, for models that the simulator can run too.
    fn play(&self, _steps: &[Self::Action]) -> Option<Scenario> {
        None
    }
}

/// Something that can be done with any model.
pub trait Visitor {
    /// What comes of it.
    type Out;
    /// Does it.
    fn visit<M: Model + 'static>(self, model: M) -> Self::Out;
}

/// What should hold of a model.
pub struct Property<M: Model + ?Sized> {
    /// Its name in reports.
    pub name: &'static str,
    /// In every state, or at last.
    pub when: When,
    /// The predicate.
    pub holds: fn(&M, &M::State) -> bool,
}

impl<M: Model + ?Sized> Property<M> {
    /// Holds in every state.
    pub const fn always(name: &'static str, holds: fn(&M, &M::State) -> bool) -> Self {
        let when = When::Always;
        Property { name, when, holds }
    }

    /// Holds at least once on every fair path.
    pub const fn eventually(name: &'static str, holds: fn(&M, &M::State) -> bool) -> Self {
        let when = When::Eventually;
        Property { name, when, holds }
    }
}

/// When a property should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In every reachable state.
    Always,
    /// In some state of every fair path.
    Eventually,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<A> {
    /// Distinct states.
    pub distinct: u64,
    /// States generated, the initial ones and those found again included.
    pub generated: u64,
    /// The deepest layer; the initial states are layer 1.
    pub depth: u32,
    /// Whether every state within the model's bounds was visited.
    pub complete: bool,
    /// The first property that does not hold.
    pub violation: Option<Violation<A>>,
}

impl<A> Default for Outcome<A> {
    fn default() -> Self {
        Outcome {
            distinct: 0,
            generated: 0,
            depth: 0,
            complete: false,
            violation: None,
        }
    }
}

/// A counterexample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation<A> {
    /// The property that does not hold.
    pub property: &'static str,
    /// Which initial state it starts from.
    pub init: usize,
    /// What happens, in order.
    pub steps: Vec<A>,
    /// For what never happens: after so many steps the rest repeats for ever; equal to their number if nothing leads
    /// on.
    pub cycle: Option<usize>,
}
