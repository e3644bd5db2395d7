//! A run that can be seeked: nearest checkpoint, then simulation again.

use alloc::string::String;
use alloc::vec::Vec;

use super::log::Mark;
use super::{Sim, Stepped};
use crate::event::Level;
use crate::replica::BuildError;
use crate::scenario::{Act, At, Intervention, Scenario};
use crate::types::Time;

/// The most checkpoints that are kept.
pub const CHECKPOINTS_MAX: usize = 64;

/// Steps between the first checkpoints; the spacing doubles when there are too many.
const FIRST_SPACING: u64 = 64;

/// Of more nodes than this, messages are not told and checkpoints are fewer: a checkpoint holds every node, and there are
/// millions of messages.
pub const NODES_MANY: u16 = 64;

/// The least number of checkpoints that are kept.
const CHECKPOINTS_MIN: usize = 4;

/// A run with a cursor that moves both ways.
///
/// Doing something to the run at the cursor forgets what lay ahead: the run goes on from there.
pub struct Timeline {
    live: Sim,
    /// Runs at multiples of `spacing`, oldest first; without their logs, which are prefixes of the live one.
    checkpoints: Vec<(u64, Mark, Sim)>,
    spacing: u64,
    /// The most of them.
    kept: usize,
}

impl Timeline {
    /// A run before its first step, with everything that observers can hear.
    ///
    /// # Errors
    /// When a node cannot be built.
    pub fn new(scenario: &Scenario) -> Result<Timeline, BuildError> {
        Sim::new(scenario).map(Timeline::of)
    }

    /// The same of any run that is before its first step. Of more than [`NODES_MANY`] nodes, observers hear everything but
    /// messages.
    pub fn of(mut sim: Sim) -> Timeline {
        let nodes = sim.scenario().nodes;
        let times = u64::from(nodes / NODES_MANY).max(1);
        sim.set_level(match nodes > NODES_MANY {
            true => Level::Protocol,
            false => Level::Full,
        });
        let mut timeline = Timeline {
            live: sim,
            checkpoints: Vec::new(),
            // What they hold, and how much happens between two, grow with the nodes.
            spacing: FIRST_SPACING * times * times,
            kept: (CHECKPOINTS_MAX / times as usize).max(CHECKPOINTS_MIN),
        };
        timeline.checkpoint();
        timeline
    }

    /// The run at the cursor.
    pub fn sim(&self) -> &Sim {
        &self.live
    }

    /// One step forward; `None` at the end.
    pub fn step(&mut self) -> Option<Stepped> {
        let stepped = self.live.step()?;
        if self.live.steps().is_multiple_of(self.spacing) {
            self.checkpoint();
        }
        self.live.meet_by_hand();
        Some(stepped)
    }

    /// Forward until virtual time passes `until`.
    pub fn run_until(&mut self, until: Time) {
        while self.live.next_at().is_some_and(|at| at <= until) {
            if self.step().is_none() {
                break;
            }
        }
    }

    /// Forward to the end.
    pub fn run(&mut self) {
        while self.step().is_some() {}
    }

    /// Moves the cursor to just before the step with this number, or to the end if there are fewer. What was done by hand
    /// before that step is done there.
    pub fn seek(&mut self, step: u64) {
        if step < self.live.steps() {
            self.rewind(step);
        }
        while self.live.steps() < step && self.step().is_some() {}
        self.live.meet_by_hand();
    }

    /// Moves the cursor to the first step after `at`.
    pub fn seek_time(&mut self, at: Time) {
        self.rewind_time(at);
        self.run_until(at);
        self.live.meet_by_hand();
    }

    /// If the cursor is past `at`, moves it back to where one can go on from: the last checkpoint whose clock does not
    /// pass `at`.
    pub fn rewind_time(&mut self, at: Time) {
        if at < self.live.now() {
            let place = self
                .checkpoints
                .iter()
                .rposition(|(_, _, sim)| sim.now() <= at)
                .unwrap_or(0);
            self.rewind(self.checkpoints[place].0);
        }
    }

    /// Does something to the run at the cursor, and records it.
    ///
    /// # Errors
    /// What is impossible.
    pub fn intervene(&mut self, act: Act) -> Result<(), String> {
        let mut changed = self.live.clone();
        changed.by_hand_ahead.clear();
        changed.intervene(act)?;
        self.forget_from(self.live.steps());
        self.live = changed;
        self.live.log.relearn_letters();
        Ok(())
    }

    /// Makes it the run in which exactly these things were done by hand, in order of their steps. The cursor goes back
    /// to where the two runs part, unless it stands before.
    pub fn redo(&mut self, by_hand: &[Intervention]) {
        let live = &self.live;
        let known: Vec<&Intervention> = live
            .by_hand
            .iter()
            .chain(live.by_hand_ahead.iter().rev())
            .collect();
        let is_same = |(old, new): &(&&Intervention, &Intervention)| **old == *new;
        let same = known.iter().zip(by_hand).take_while(is_same).count();
        let parting = [known.get(same).copied(), by_hand.get(same)];
        let steps = parting.into_iter().flatten().map(|entry| match entry.at {
            At::Step(step) => step,
            At::Time(_) => 0,
        });
        let Some(step) = steps.min() else { return };
        let cursor = self.live.steps();
        self.forget_from(step);
        if step <= self.live.steps() {
            self.rewind(step);
            self.live.log.relearn_letters();
        }
        let done = self.live.by_hand.len();
        self.live.plan_by_hand(&by_hand[done..]);
        self.seek(step.min(cursor));
    }

    /// Forgets checkpoints at which a change before a step is not yet, or no longer, what happened. The first one has
    /// nothing behind it: what is done before step 0 is done again from there.
    fn forget_from(&mut self, step: u64) {
        self.checkpoints.retain(|(at, ..)| *at < step || *at == 0);
    }

    fn checkpoint(&mut self) {
        let steps = self.live.steps();
        if self.checkpoints.last().is_some_and(|(at, ..)| *at >= steps) {
            return;
        }
        if self.checkpoints.len() == self.kept {
            self.spacing *= 2;
            let spacing = self.spacing;
            self.checkpoints
                .retain(|(at, ..)| at.is_multiple_of(spacing));
        }
        let mark = self.live.log.mark();
        let log = core::mem::take(&mut self.live.log);
        let copy = self.live.clone();
        self.live.log = log;
        self.checkpoints.push((steps, mark, copy));
    }

    fn rewind(&mut self, step: u64) {
        let place = self
            .checkpoints
            .iter()
            .rposition(|(at, ..)| *at <= step)
            .unwrap_or(0);
        let (_, mark, copy) = &self.checkpoints[place];
        let mut log = core::mem::take(&mut self.live.log);
        log.cut(*mark);
        // Looking back is not undoing: what was done by hand since is done again on the way forward.
        let mut ahead = core::mem::take(&mut self.live.by_hand_ahead);
        let kept = copy.by_hand.len();
        ahead.extend(self.live.by_hand.drain(kept..).rev());
        self.live = copy.clone();
        self.live.log = log;
        self.live.by_hand_ahead = ahead;
    }
}
