//! Whether a history is linearizable: the search of Wing and Gong (1993), with Lowe's memory of what was tried (2017).
//!
//! Operations are put in an order one by one. Next may be whatever was invoked before the first end of those that are
//! left. Where nothing fits, the last one is taken back. What was tried is a set of operations and the state that they
//! lead to: whatever order led there again, it leads no further. Operations that may take effect at any time, or never,
//! are tried after those that did, and need not be placed.

use alloc::vec;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hash};

use hashbrown::HashSet;

use crate::explore::fingerprint::{Fingerprint, Lanes};

/// A sequential machine.
pub(super) trait Machine {
    type State: Clone + Hash;
    /// The state after an operation; `None` if it would not have done what it did.
    fn step(&self, state: &Self::State, operation: usize) -> Option<Self::State>;
}

/// When an operation began and ended, by places in the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) begin: usize,
    /// `None` if it may take effect at any time.
    pub(super) end: Option<usize>,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is an order.
    Order,
    /// There is none; the search came as far as this operation, which fits nowhere then.
    None { stuck: usize },
    /// Too much was tried.
    TooMuch,
}

/// The most steps of a search, unless fewer are asked for: seconds.
pub(super) const STEPS_MAX: u64 = 20_000_000;

/// The most sets of operations that are remembered.
const TRIED_MAX: usize = 4_000_000;

/// The end of a list.
const NONE: usize = usize::MAX;

/// Begins and ends that are left, in order, as lists through which both ways lead. Operation `o` begins at `2 * o` and
/// ends at `2 * o + 1`; those that may never have happened are in a list of their own.
struct Left {
    next: Vec<usize>,
    before: Vec<usize>,
    /// Where the list of what ended begins, and that of what may not have.
    heads: [usize; 2],
}

impl Left {
    fn new(spans: &[Span]) -> Left {
        let nodes = 2 * spans.len();
        // Two more nodes are the heads.
        let mut left = Left {
            next: vec![NONE; nodes + 2],
            before: vec![NONE; nodes + 2],
            heads: [nodes, nodes + 1],
        };
        let mut ended: Vec<(usize, usize)> = Vec::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (operation, span) in spans.iter().enumerate() {
            match span.end {
                Some(end) => ended.extend([(span.begin, 2 * operation), (end, 2 * operation + 1)]),
                None => open.push((span.begin, 2 * operation)),
            }
        }
        for (mut nodes, head) in [(ended, left.heads[0]), (open, left.heads[1])] {
            nodes.sort_unstable();
            let mut last = head;
            for (_, node) in nodes {
                left.next[last] = node;
                left.before[node] = last;
                last = node;
            }
        }
        left
    }

    fn first(&self, list: usize) -> usize {
        self.next[self.heads[list]]
    }

    fn take_out(&mut self, node: usize) {
        let (before, next) = (self.before[node], self.next[node]);
        self.next[before] = next;
        if next != NONE {
            self.before[next] = before;
        }
    }

    fn put_back(&mut self, node: usize) {
        let (before, next) = (self.before[node], self.next[node]);
        self.next[before] = node;
        if next != NONE {
            self.before[next] = node;
        }
    }

    /// The first end that is left.
    fn first_end(&self) -> usize {
        let mut node = self.first(0);
        while node != NONE && node.is_multiple_of(2) {
            node = self.next[node];
        }
        node
    }
}

/// Looks for an order of the operations.
pub(super) fn search<M: Machine>(
    machine: &M,
    init: M::State,
    spans: &[Span],
    steps_max: u64,
) -> Found {
    let mut left = Left::new(spans);
    let mut to_place = spans.iter().filter(|span| span.end.is_some()).count();
    let mut placed = vec![0_u64; spans.len().div_ceil(64)];
    let mut tried: HashSet<Fingerprint, BuildHasherDefault<Lanes>> = HashSet::default();
    let mut way: Vec<(usize, M::State)> = Vec::new();
    let (mut state, mut steps) = (init, 0);
    let (mut most, mut stuck) = (None, 0);
    let mut node = left.first(0);
    while to_place > 0 {
        steps += 1;
        if steps > steps_max || tried.len() > TRIED_MAX {
            return Found::TooMuch;
        }
        if node != NONE && node % 2 == 1 {
            // Nothing that begins later comes first; what may not have happened is left to be tried.
            node = left.first(1);
        }
        let first_end = left.first_end();
        let may_be_next = |node: usize| {
            let Span { begin, end } = spans[node / 2];
            end.is_some() || spans[first_end / 2].end.is_some_and(|end| begin < end)
        };
        if node != NONE && may_be_next(node) {
            let operation = node / 2;
            if let Some(after) = machine.step(&state, operation) {
                placed[operation / 64] ^= 1 << (operation % 64);
                if tried.insert(Fingerprint::of(&(&placed, &after))) {
                    way.push((operation, core::mem::replace(&mut state, after)));
                    left.take_out(2 * operation);
                    if spans[operation].end.is_some() {
                        left.take_out(2 * operation + 1);
                        to_place -= 1;
                    }
                    node = left.first(0);
                    continue;
                }
                placed[operation / 64] ^= 1 << (operation % 64);
            }
            node = left.next[node];
            continue;
        }
        if most.is_none_or(|most| way.len() > most) {
            (most, stuck) = (Some(way.len()), first_end / 2);
        }
        let Some((operation, before)) = way.pop() else {
            return Found::None { stuck };
        };
        state = before;
        placed[operation / 64] ^= 1 << (operation % 64);
        if spans[operation].end.is_some() {
            left.put_back(2 * operation + 1);
            to_place += 1;
        }
        left.put_back(2 * operation);
        node = left.next[2 * operation];
    }
    Found::Order
}
