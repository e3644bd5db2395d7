//! A simulated run as the page shows it: a cursor, playing, and what is selected. Plain Rust; components only draw it.
//!
//! Whatever takes long is done in slices: [`Session::frame`] is called once per animation frame and asks `has_time`
//! before each step, so that a long run never freezes the page.

use phaselab_core::event::EventKind;
use phaselab_core::scenario::{Intervention, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::sim::timeline::{NODES_MANY, Timeline};
use phaselab_core::trace::Trace;
use phaselab_core::types::{Hash32, InstanceId, NodeId, Time};
use phaselab_core::view::Shape;
use phaselab_core::why::{Why, why};

#[cfg(feature = "snowball")]
use crate::crowd::{Polls, shares::Shares};
use crate::history::History;

pub mod branches;
pub mod breakpoints;
pub mod compare;
#[cfg(feature = "snowball")]
mod crowd;
pub mod deed;
#[cfg(test)]
mod fault_tests;
mod faults;
mod lockstep;
pub mod opening;
mod outcome;
mod scout;
pub mod share;
mod stage;
mod story;
mod summary;
#[cfg(test)]
mod tests;
pub mod words;

use branches::Branches;
use breakpoints::Breakpoints;
use faults::Comparing;
pub use faults::{Catch, Picked};
use scout::Scout;
pub use stage::EventLine;
use story::Story;
pub use story::{Guess, GuessResult};
pub use summary::{Decided, TOPICS_MAX};

/// Speeds, as multiples of the scenario's pace.
pub const SPEEDS: [f64; 7] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// The place of the ordinary speed in [`SPEEDS`].
const SPEED_DEFAULT: usize = 2;

/// Virtual milliseconds per second, where the scenario does not say.
pub(crate) const PACE_MS: u64 = 50;

/// Playing skips what is longer than this, in seconds, if nothing happens in it but synchronisation.
pub(crate) const SKIP_S: f64 = 1.5;

/// How much of it is left, in seconds.
pub(crate) const SKIP_REST_S: f64 = 0.4;

/// Steps that are made at once when the cursor is moved.
const STEPS_AT_ONCE: u32 = 500;

/// Nodes that are drawn; of more, the page says how many.
pub const NODES_DRAWN_MAX: usize = 16;

/// A place that the cursor is on its way to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    /// A time, in milliseconds.
    Time(f64),
    /// Just before a step.
    Step(u64),
    /// The next moment at which a node enters a phase.
    Phase,
    /// The end of the run.
    End,
}

/// A run with a cursor.
pub struct Session {
    timeline: Timeline,
    scout: Scout,
    story: Story,
    history: History,
    /// How nodes poll one another, where they do.
    #[cfg(feature = "snowball")]
    polls: Option<Polls>,
    /// Who preferred what over time.
    #[cfg(feature = "snowball")]
    shares: Shares,
    /// The time that is drawn: at least that of the last step, and before the next.
    cursor_ms: f64,
    is_playing: bool,
    goal: Option<Goal>,
    speed: usize,
    selected: Option<NodeId>,
    focus: Option<InstanceId>,
    picked: Option<Picked>,
    why: Option<Why>,
    branches: Branches,
    breakpoints: Breakpoints,
    comparing: Option<Comparing>,
    /// Whether every rule held after the last step.
    holds: bool,
    /// How the run ends that was recorded, if it was: after how many steps, and with which hash.
    recorded: Option<(u64, Hash32)>,
}

impl Session {
    /// A run before its first step.
    ///
    /// # Errors
    /// A sentence, when a node cannot be built.
    pub fn open(scenario: &Scenario) -> Result<Session, String> {
        let run = || Sim::new(scenario).map_err(|error| error.to_string());
        Ok(Session::of(run()?, run()?))
    }

    /// Any run before its first step; `ahead` is the same run once more, which goes ahead.
    pub fn of(run: Sim, ahead: Sim) -> Session {
        let story = Story::new(&run.scenario().view);
        let history = History::of(run.spec());
        #[cfg(feature = "snowball")]
        let polls = crowd::polls(run.scenario());
        Session {
            timeline: Timeline::of(run),
            scout: Scout::new(ahead),
            story,
            history,
            #[cfg(feature = "snowball")]
            polls,
            #[cfg(feature = "snowball")]
            shares: Shares::default(),
            cursor_ms: 0.0,
            is_playing: false,
            goal: None,
            speed: SPEED_DEFAULT,
            selected: None,
            focus: None,
            picked: None,
            why: None,
            branches: Branches::new(Vec::new(), false),
            breakpoints: Breakpoints::default(),
            comparing: None,
            holds: true,
            recorded: None,
        }
    }

    /// A run in which something was done by hand; a replay is only shown, until it is forked.
    pub(crate) fn with_by_hand(
        scenario: &Scenario,
        by_hand: Vec<Intervention>,
        is_replay: bool,
    ) -> Result<Session, String> {
        let run = || {
            let mut sim = Sim::new(scenario).map_err(|error| error.to_string())?;
            sim.plan_by_hand(&by_hand);
            Ok::<Sim, String>(sim)
        };
        let mut session = Session::of(run()?, run()?);
        session.branches = Branches::new(by_hand, is_replay);
        Ok(session)
    }

    /// A run that was recorded, with what was done in it by hand; it is only shown, until it is forked.
    ///
    /// # Errors
    /// A sentence, when a node cannot be built.
    pub fn replay(trace: &Trace) -> Result<Session, String> {
        let mut session = Session::with_by_hand(&trace.scenario, trace.by_hand.clone(), true)?;
        session.recorded = Some((trace.steps, trace.trace_hash));
        Ok(session)
    }

    // --- what components read ---------------------------------------------------------------------------------------

    /// The run at the cursor.
    pub fn sim(&self) -> &Sim {
        self.timeline.sim()
    }

    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        self.sim().scenario()
    }

    /// The time that is drawn, in milliseconds.
    pub fn cursor_ms(&self) -> f64 {
        self.cursor_ms
    }

    /// The right edge of lanes and scrubber: a little after the last thing that is worth telling.
    pub fn horizon_ms(&self) -> f64 {
        self.scout.horizon_ms()
    }

    /// Where faults happen, in milliseconds.
    pub fn faults_ms(&self) -> &[f64] {
        self.scout.faults_ms()
    }

    /// Whether it plays.
    pub fn is_playing(&self) -> bool {
        self.is_playing
    }

    /// Whether there is no next step.
    pub fn is_at_end(&self) -> bool {
        self.sim().next_at().is_none()
    }

    /// Whether a frame is needed: something moves, or is worked at.
    pub fn is_busy(&self) -> bool {
        self.is_playing
            || self.goal.is_some()
            || !self.scout.is_done()
            || matches!(self.comparing, Some(Comparing::Running(_)))
    }

    /// Whether the cursor is on its way to a far place.
    pub fn is_seeking(&self) -> bool {
        self.goal.is_some()
    }

    /// The speed, as a multiple of the scenario's pace.
    pub fn speed(&self) -> f64 {
        SPEEDS[self.speed]
    }

    /// The caption of the moment.
    pub fn caption(&self) -> Option<&str> {
        self.story.caption()
    }

    /// Where playing stops by itself.
    pub fn breakpoints(&self) -> &Breakpoints {
        &self.breakpoints
    }

    /// The same, to be changed.
    pub fn breakpoints_mut(&mut self) -> &mut Breakpoints {
        &mut self.breakpoints
    }

    /// Whether the run ended as its recording says; `None` before its end, and where there is no recording of it.
    pub fn is_as_recorded(&self) -> Option<bool> {
        let recorded = self
            .recorded
            .filter(|_| self.branches.is_read_only() && self.is_at_end())?;
        Some(recorded == (self.sim().steps(), self.sim().trace_hash()))
    }

    /// The answer that is open.
    pub fn why(&self) -> Option<&Why> {
        self.why.as_ref()
    }

    /// What the learner guessed, and whether it came so.
    pub fn guess(&self) -> Option<(Guess, GuessResult)> {
        self.story.guess(self.sim())
    }

    // --- what a person does -----------------------------------------------------------------------------------------

    /// Plays, or pauses. At the end it plays from the beginning.
    pub fn play_or_pause(&mut self) {
        if self.is_playing {
            self.is_playing = false;
            return;
        }
        if self.is_at_end() {
            self.home();
        }
        self.breakpoints.go_on();
        self.is_playing = true;
    }

    /// One step forward.
    pub fn step(&mut self) {
        self.pause();
        self.step_once();
        self.cursor_ms = to_ms(self.sim().now());
    }

    /// One step back.
    pub fn back(&mut self) {
        self.pause();
        let steps = self.sim().steps();
        self.timeline.seek(steps.saturating_sub(1));
        self.arrive();
    }

    /// To the beginning.
    pub fn home(&mut self) {
        self.pause();
        self.timeline.seek(0);
        self.arrive();
    }

    /// To the end of the run.
    pub fn end(&mut self) {
        self.pause();
        self.goal = Some(Goal::End);
    }

    /// To the next moment at which a node enters a phase.
    pub fn next_phase(&mut self) {
        self.pause();
        self.goal = Some(Goal::Phase);
    }

    /// To the last moment before the cursor at which a node entered a phase.
    pub fn previous_phase(&mut self) {
        let now = to_ms(self.sim().now());
        self.seek_ms(self.history.last_change_before(now).unwrap_or(0.0));
    }

    /// To a time.
    pub fn seek_ms(&mut self, ms: f64) {
        self.pause();
        let ms = ms.max(0.0);
        if ms < to_ms(self.sim().now()) {
            self.timeline.rewind_time(from_ms(ms));
            self.arrive();
        }
        self.head_for(Goal::Time(ms));
    }

    /// To just after a step.
    pub fn seek_after_step(&mut self, step: u64) {
        self.pause();
        if step < self.sim().steps() {
            self.timeline.seek(step + 1);
            self.arrive();
        } else {
            self.head_for(Goal::Step(step + 1));
        }
    }

    /// Faster (+1) or slower (-1).
    pub fn change_speed(&mut self, by: isize) {
        self.speed = self.speed.saturating_add_signed(by).min(SPEEDS.len() - 1);
    }

    /// Sets the speed by its place in [`SPEEDS`].
    pub fn set_speed(&mut self, place: usize) {
        self.speed = place.min(SPEEDS.len() - 1);
    }

    /// Selects a node that exists, or none.
    pub fn select(&mut self, node: Option<u16>) {
        self.selected = node
            .map(NodeId)
            .filter(|id| id.0 >= 1 && id.0 <= self.scenario().nodes);
        self.picked = None;
        self.why = self
            .why
            .take()
            .filter(|why| Some(why.node) == self.selected);
    }

    /// Asks why an instance ended at a node, or has not, as the run stands. The answer stays while the cursor moves, so
    /// that its lines can be gone to.
    pub fn ask(&mut self, node: NodeId, instance: InstanceId) {
        self.pause();
        self.select(Some(node.0));
        self.why = Some(why(self.sim(), node, instance));
    }

    /// The same of the instance that is shown, at the selected node; whether there is one.
    pub fn ask_focused(&mut self) -> bool {
        let asked = self.selected.zip(self.focused());
        asked
            .inspect(|(node, instance)| self.ask(*node, *instance))
            .is_some()
    }

    /// Closes the answer, and gives it back.
    pub fn dismiss(&mut self) -> Option<Why> {
        self.why.take()
    }

    /// Shows another instance.
    pub fn focus_on(&mut self, instance: InstanceId) {
        self.focus = Some(instance);
    }

    /// Notes a guess.
    pub fn set_guess(&mut self, guess: Guess) {
        self.story.set_guess(guess);
    }

    // --- time -------------------------------------------------------------------------------------------------------

    /// Lets `elapsed_ms` of real time pass, working as long as `has_time` says so.
    pub fn frame(&mut self, elapsed_ms: f64, has_time: &mut dyn FnMut() -> bool) {
        if let Some(goal) = self.goal {
            self.approach(goal, has_time);
        } else if self.is_playing {
            self.play(elapsed_ms, has_time);
        }
        self.scout.work(has_time);
        self.work_at_comparison(has_time);
    }

    fn play(&mut self, elapsed_ms: f64, has_time: &mut dyn FnMut() -> bool) {
        if self
            .story
            .is_holding(elapsed_ms / 1e3 * self.speed().max(1.0))
        {
            return;
        }
        let per_second = self.scenario().view.pace_ms.unwrap_or(PACE_MS) as f64 * self.speed();
        let target = self
            .skip_target(per_second)
            .unwrap_or(self.cursor_ms + elapsed_ms / 1e3 * per_second);
        while let Some(at) = self.sim().next_at().map(to_ms).filter(|at| *at <= target) {
            let told = self.step_once();
            self.cursor_ms = at;
            if told.is_stop {
                self.is_playing = false;
                return;
            }
            if told.is_caption {
                // The clock stands still while the sentence is read.
                return;
            }
            if !has_time() {
                return;
            }
        }
        self.cursor_ms = target;
        if self.is_at_end() || (self.scout.is_done() && target >= self.horizon_ms()) {
            // Nothing more is worth watching: the rest is run, so that hash and verdicts are final.
            self.is_playing = false;
            self.goal = Some(Goal::End);
        }
    }

    /// Just before the next thing worth telling, if it is long until then and no message that matters is on its way.
    fn skip_target(&self, per_second: f64) -> Option<f64> {
        if self.scenario().nodes > NODES_MANY {
            // Between two decisions of many nodes there are polls to be seen, and thousands of messages to look through.
            return None;
        }
        let next = self.scout.next_moment_ms(self.cursor_ms)?;
        let is_far = next - self.cursor_ms > per_second * SKIP_S;
        (is_far && self.is_quiet()).then_some(next - per_second * SKIP_REST_S)
    }

    /// Whether no message is on its way but those of synchronisation.
    pub(crate) fn is_quiet(&self) -> bool {
        let messages = self.sim().spec().messages;
        let shape = |kind: u8| messages.get(usize::from(kind)).map(|kind| kind.shape);
        let flights = self.sim().flights();
        let mut kinds = flights.iter().map(|flight| flight.info.kind);
        kinds.all(|kind| shape(kind) == Some(Shape::Sync))
    }

    /// Begins to move to a place ahead. What is near is there at once; on the way to what is far, frames are drawn.
    fn head_for(&mut self, goal: Goal) {
        self.goal = Some(goal);
        let mut steps = STEPS_AT_ONCE;
        self.approach(goal, &mut || {
            steps -= 1;
            steps > 0
        });
    }

    fn approach(&mut self, goal: Goal, has_time: &mut dyn FnMut() -> bool) {
        loop {
            let next = self.sim().next_at().map(to_ms);
            let is_reached = match goal {
                Goal::Time(ms) => next.is_none_or(|at| at > ms),
                Goal::Step(step) => next.is_none() || self.sim().steps() >= step,
                Goal::Phase | Goal::End => next.is_none(),
            };
            if is_reached {
                self.cursor_ms = match goal {
                    Goal::Time(ms) => ms.max(to_ms(self.sim().now())),
                    _ => to_ms(self.sim().now()),
                };
                self.goal = None;
                return;
            }
            let told = self.step_once();
            if goal == Goal::Phase && told.is_phase {
                self.cursor_ms = to_ms(self.sim().now());
                self.goal = None;
                return;
            }
            if !has_time() {
                self.cursor_ms = to_ms(self.sim().now());
                return;
            }
        }
    }

    fn step_once(&mut self) -> Told {
        let before = self.history.events();
        if self.timeline.step().is_none() {
            return Told::default();
        }
        self.branches.reach(self.timeline.sim().steps());
        let mut told = self.note_from(before);
        let holds = self.timeline.sim().holds();
        if self.holds && !holds {
            told.is_stop |= self.is_playing && self.breakpoints.note_broken();
        }
        self.holds = holds;
        told
    }

    /// Notes the events from a place on.
    fn note_from(&mut self, place: usize) -> Told {
        let mut told = Told::default();
        let sim = self.timeline.sim();
        for (offset, entry) in sim.log().iter_from(place).enumerate() {
            self.history.note(entry.at.0, entry.node.0, &entry.event);
            #[cfg(feature = "snowball")]
            if self.polls.is_some() {
                let (place, node) = (place + offset, entry.node.0);
                self.shares.note(place, entry.at.0, node, &entry.event);
            }
            told.is_caption |= self.story.note(place + offset, &entry, sim.spec());
            told.is_phase |= is_phase_change(entry.event.kind);
            told.is_stop |= self.is_playing && self.breakpoints.note(&entry, sim.spec());
        }
        told
    }

    /// After the cursor was moved in the same run: what lies ahead of it is forgotten, and what lies behind it known.
    fn arrive(&mut self) {
        let events = self.sim().log().len();
        self.history.cut(events);
        #[cfg(feature = "snowball")]
        self.shares.cut(events);
        self.story.cut(events);
        self.note_from(self.history.events());
        self.story.skip_hold();
        self.cursor_ms = to_ms(self.sim().now());
        self.holds = self.sim().holds();
    }

    fn pause(&mut self) {
        self.is_playing = false;
        self.breakpoints.go_on();
        self.goal = None;
        self.story.skip_hold();
    }
}

/// What a step told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    is_caption: bool,
    is_phase: bool,
    is_stop: bool,
}

/// Whether a ribbon changes: phase, round or lock.
fn is_phase_change(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::PhaseEntered(_) | EventKind::RoundEntered | EventKind::Locked
    )
}

/// Milliseconds with their fraction.
pub(crate) fn to_ms(time: Time) -> f64 {
    time.0 as f64 / 1e6
}

fn from_ms(ms: f64) -> Time {
    Time((ms * 1e6).round() as u64)
}
