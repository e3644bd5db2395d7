//! A simulated run as the page shows it: a cursor, playing, and what is selected. Plain Rust; components only draw it.
//!
//! Whatever takes long is done in slices: [`Session::frame`] is called once per animation frame and asks `has_time`
//! before each step, so that a long run never freezes the page.

use phaselab_core::event::EventKind;
use phaselab_core::scenario::Scenario;
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::Logged;
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::types::{Hash32, InstanceId, NodeId, Time};
use phaselab_core::view::{Shape, ViewScope};

use crate::axis::Axis;
use crate::few::insert_sorted;
use crate::history::History;
use crate::scene::{FlightScene, Label, NodePicture, NodeScene, Scene, Standing, Topic};

mod scout;
mod story;

use scout::Scout;
use story::Story;
pub use story::{Guess, GuessResult};

/// Speeds, as multiples of the scenario's pace.
pub const SPEEDS: [f64; 7] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// The place of the ordinary speed in [`SPEEDS`].
const SPEED_DEFAULT: usize = 2;

/// Virtual milliseconds per second, where the scenario does not say.
const PACE_MS: u64 = 50;

/// Playing skips what is longer than this, in seconds, if nothing happens in it but synchronisation.
const SKIP_S: f64 = 1.5;

/// How much of it is left, in seconds.
const SKIP_REST_S: f64 = 0.4;

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
    /// The time that is drawn: at least that of the last step, and before the next.
    cursor_ms: f64,
    is_playing: bool,
    goal: Option<Goal>,
    speed: usize,
    selected: Option<NodeId>,
    focus: Option<InstanceId>,
}

impl Session {
    /// A run before its first step.
    ///
    /// # Errors
    /// A sentence, when a node cannot be built.
    pub fn open(scenario: &Scenario) -> Result<Session, String> {
        let timeline = Timeline::new(scenario).map_err(|error| error.to_string())?;
        let scout = Scout::new(scenario)?;
        Ok(Session {
            timeline,
            scout,
            story: Story::new(&scenario.view),
            history: History::default(),
            cursor_ms: 0.0,
            is_playing: false,
            goal: None,
            speed: SPEED_DEFAULT,
            selected: None,
            focus: None,
        })
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
        self.is_playing || self.goal.is_some() || !self.scout.is_done()
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

    /// What the learner guessed, and whether it came so.
    pub fn guess(&self) -> Option<(Guess, GuessResult)> {
        self.story.guess(self.sim())
    }

    /// The story so far: every event, or only those worth telling; the last `max` of them.
    pub fn events(&self, all: bool, max: usize) -> Vec<EventLine> {
        let sim = self.sim();
        let mut lines = Vec::new();
        for place in (0..sim.log().len()).rev() {
            let Some(entry) = sim.log().get(place) else {
                break;
            };
            if all || phaselab_core::narrate::is_told(entry.event.kind) {
                lines.push(event_line(sim, &entry));
            }
            if lines.len() == max {
                break;
            }
        }
        lines.reverse();
        lines
    }

    /// Everything on the stage.
    pub fn scene(&self) -> Scene {
        let sim = self.sim();
        let scope = if usize::from(sim.scenario().nodes) <= NODES_DRAWN_MAX {
            ViewScope::Full
        } else {
            ViewScope::Summary
        };
        let focus = self
            .focus
            .or_else(|| self.history.topics().first().copied());
        let ids: Vec<NodeId> = sim.scenario().ids().take(NODES_DRAWN_MAX).collect();
        let nodes: Vec<NodeScene> = ids
            .iter()
            .map(|id| self.node_scene(*id, scope, focus))
            .collect();
        let label = |value: Hash32| Some((value, label(sim, focus?, value)?));
        let known = nodes
            .iter()
            .filter_map(|node| node.picture.instance(focus?));
        let mut values: Vec<Hash32> = Vec::new();
        for instance in known {
            let chosen = instance.choices.iter().map(|choice| choice.value);
            let own = instance
                .value
                .into_iter()
                .chain(instance.signed)
                .chain(instance.locked.map(|(_, value)| value));
            chosen
                .chain(own)
                .for_each(|value| insert_sorted(&mut values, value));
        }
        Scene {
            spec: sim.spec(),
            flights: self.flights(),
            axis: Axis::new(
                0.0,
                self.horizon_ms(),
                self.scout.moments_ms(),
                self.cursor_ms,
            ),
            topics: self.topics(&nodes),
            focus,
            labels: values.into_iter().filter_map(label).collect(),
            selected: self.selected.map(|node| node.0),
            nodes,
        }
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
            self.timeline.seek_time(from_ms(ms));
            self.arrive();
            self.cursor_ms = ms.max(self.cursor_ms);
        } else {
            self.goal = Some(Goal::Time(ms));
        }
    }

    /// To just after a step.
    pub fn seek_after_step(&mut self, step: u64) {
        self.pause();
        if step < self.sim().steps() {
            self.timeline.seek(step + 1);
            self.arrive();
        } else {
            self.goal = Some(Goal::Step(step + 1));
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
        let next = self.scout.next_moment_ms(self.cursor_ms)?;
        let is_quiet = || {
            let messages = self.sim().spec().messages;
            let shape = |kind: u8| messages.get(usize::from(kind)).map(|kind| kind.shape);
            self.sim()
                .flights()
                .iter()
                .all(|flight| shape(flight.info.kind) == Some(Shape::Sync))
        };
        let is_far = next - self.cursor_ms > per_second * SKIP_S;
        (is_far && is_quiet()).then_some(next - per_second * SKIP_REST_S)
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
        self.note_from(before)
    }

    /// Notes the events from a place on.
    fn note_from(&mut self, place: usize) -> Told {
        let mut told = Told::default();
        let sim = self.timeline.sim();
        for entry in sim.log().iter_from(place) {
            self.history.note(entry.at.0, entry.node.0, &entry.event);
            told.is_caption |= self.story.note(&entry);
            told.is_phase |= is_phase_change(entry.event.kind);
        }
        told
    }

    /// After the cursor was moved back: what lies behind it is read again.
    fn arrive(&mut self) {
        self.history = History::default();
        self.story.rewind();
        self.note_from(0);
        self.story.skip_hold();
        self.cursor_ms = to_ms(self.sim().now());
    }

    fn pause(&mut self) {
        self.is_playing = false;
        self.goal = None;
        self.story.skip_hold();
    }

    // --- drawing ----------------------------------------------------------------------------------------------------

    fn node_scene(&self, id: NodeId, scope: ViewScope, focus: Option<InstanceId>) -> NodeScene {
        let sim = self.sim();
        let standing = match (sim.is_alive(id), sim.is_byzantine(id)) {
            (false, _) if sim.steps() > 0 => Standing::Crashed,
            (_, true) => Standing::Byzantine,
            _ => Standing::Up,
        };
        NodeScene {
            id: id.0,
            standing,
            place: String::new(),
            picture: NodePicture::from(&sim.view(id, scope)),
            ribbon: self
                .history
                .ribbon(id.0, focus, standing != Standing::Crashed),
            marks: self.history.marks(id.0, focus),
        }
    }

    fn flights(&self) -> Vec<FlightScene> {
        let sim = self.sim();
        let drawn = |node: NodeId| usize::from(node.0) <= NODES_DRAWN_MAX;
        let flights = sim
            .flights()
            .into_iter()
            .filter(|flight| drawn(flight.from) && drawn(flight.to));
        let scene = |flight: phaselab_core::sim::Flight| {
            let kind = sim.spec().messages.get(usize::from(flight.info.kind))?;
            Some(FlightScene {
                from: flight.from.0,
                to: flight.to.0,
                sent_ms: to_ms(flight.sent),
                arrives_ms: to_ms(flight.arrives),
                kind: kind.name,
                shape: kind.shape,
                value: flight
                    .info
                    .instance
                    .zip(flight.info.value)
                    .and_then(|(of, value)| label(sim, of, value)),
            })
        };
        flights
            .filter_map(scene)
            .filter(|flight| flight.sent_ms <= self.cursor_ms)
            .collect()
    }

    fn topics(&self, nodes: &[NodeScene]) -> Vec<Topic> {
        let name = |id: &InstanceId| {
            let known = nodes.iter().find_map(|node| node.picture.instance(*id));
            known.map_or_else(
                || id.0.short().to_string(),
                |instance| instance.name.clone(),
            )
        };
        self.history
            .topics()
            .iter()
            .map(|id| Topic {
                id: *id,
                name: name(id),
            })
            .collect()
    }
}

/// What a step told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    is_caption: bool,
    is_phase: bool,
}

/// A line of the list of events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLine {
    /// Its id: step and place in the step.
    pub id: String,
    /// The step, where the run can be seeked.
    pub step: Option<u64>,
    /// When, in milliseconds.
    pub at_ms: f64,
    /// At which node; 0 for the network.
    pub node: u16,
    /// The sentence.
    pub sentence: String,
    /// The kind's name.
    pub kind: &'static str,
    /// What it is about.
    pub value: Option<Label>,
}

/// Whether a ribbon changes: phase, round or lock.
fn is_phase_change(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::PhaseEntered(_) | EventKind::RoundEntered | EventKind::Locked
    )
}

fn event_line(sim: &Sim, entry: &Logged) -> EventLine {
    let label = entry
        .event
        .instance
        .zip(entry.event.value)
        .and_then(|(of, value)| label(sim, of, value));
    let letter = label.as_ref().map(|label| label.letter.as_str());
    EventLine {
        id: format!("{}.{}", entry.id.step, entry.id.index),
        step: Some(entry.id.step),
        at_ms: to_ms(entry.at),
        node: entry.node.0,
        sentence: phaselab_core::narrate::sentence(sim.spec(), entry.node, &entry.event, letter),
        kind: phaselab_core::narrate::event_name(entry.event.kind),
        value: label,
    }
}

fn label(sim: &Sim, instance: InstanceId, value: Hash32) -> Option<Label> {
    let letter = sim.log().letter(instance, value)?;
    Some(Label {
        letter,
        short: value.short().to_string(),
    })
}

/// Milliseconds with their fraction.
fn to_ms(time: Time) -> f64 {
    time.0 as f64 / 1e6
}

fn from_ms(ms: f64) -> Time {
    Time((ms * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario;

    use super::*;

    fn open(name: &str) -> Session {
        let entry = scenario::find(name).unwrap();
        Session::open(&scenario::parse(entry.name, entry.text).unwrap()).unwrap()
    }

    /// Lets frames pass until nothing is left to do, with little time in each.
    fn finish(session: &mut Session) {
        for _ in 0..100_000 {
            if !session.is_busy() {
                return;
            }
            let mut steps = 5;
            session.frame(16.0, &mut || {
                steps -= 1;
                steps > 0
            });
        }
        panic!("it never comes to rest");
    }

    fn phase_of(session: &Session, node: u16) -> &'static str {
        let scene = session.scene();
        scene.phase_name(scene.phase(scene.node(node).unwrap()))
    }

    #[test]
    fn the_story_plays_to_its_end_and_every_scenario_gives_the_hash_of_a_plain_run() {
        for entry in scenario::builtin() {
            let scenario = scenario::parse(entry.name, entry.text).unwrap();
            let mut sim = Sim::new(&scenario).unwrap();
            sim.run();
            let mut session = Session::open(&scenario).unwrap();
            session.play_or_pause();
            finish(&mut session);
            assert!(
                session.is_at_end() && !session.is_playing(),
                "{}",
                entry.name
            );
            assert_eq!(
                session.sim().trace_hash(),
                sim.trace_hash(),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn what_is_drawn_after_a_seek_is_what_is_drawn_after_stepping() {
        for entry in scenario::builtin() {
            let mut session = open(entry.name);
            finish(&mut session);
            let mut drawn = Vec::new();
            while drawn.len() < 120 && !session.is_at_end() {
                session.step();
                drawn.push((
                    session.scene(),
                    session.events(true, 50),
                    session.caption().map(str::to_owned),
                ));
            }
            for place in (0..drawn.len() as u64).rev().step_by(7) {
                session.seek_after_step((place * 31 + 5) % drawn.len() as u64);
                session.seek_after_step(place);
                finish(&mut session);
                let now = (
                    session.scene(),
                    session.events(true, 50),
                    session.caption().map(str::to_owned),
                );
                assert!(
                    now == drawn[place as usize],
                    "{} after step {place}",
                    entry.name
                );
            }
        }
    }

    #[test]
    fn back_undoes_a_step_and_phases_are_found_both_ways() {
        let mut session = open("three-signers");
        finish(&mut session);
        session.next_phase();
        finish(&mut session);
        assert_eq!(phase_of(&session, 2), "proposing");
        let (scene, cursor) = (session.scene(), session.cursor_ms());
        session.step();
        session.back();
        assert_eq!((session.scene(), session.cursor_ms()), (scene, cursor));
        let mut stops = vec![cursor];
        for _ in 0..5 {
            session.next_phase();
            finish(&mut session);
            stops.push(session.cursor_ms());
        }
        assert!(stops.is_sorted_by(|a, b| a < b), "{stops:?}");
        while let Some(stop) = stops.pop() {
            assert_eq!(session.cursor_ms(), stop);
            session.previous_phase();
        }
        session.home();
        session.back();
        assert_eq!(session.cursor_ms(), 0.0);
    }

    #[test]
    fn all_three_complete_within_the_time_that_the_page_shows() {
        let mut session = open("three-signers");
        finish(&mut session);
        assert!(session.horizon_ms() <= 400.0, "{}", session.horizon_ms());
        session.seek_ms(400.0);
        finish(&mut session);
        assert_eq!(session.cursor_ms(), 400.0);
        assert_eq!(
            [1, 2, 3].map(|node| phase_of(&session, node)),
            ["completed"; 3]
        );
        let scene = session.scene();
        let locks = &scene.focused(scene.node(1).unwrap()).unwrap().meters[1];
        assert!(locks.is_reached());
        assert_eq!((locks.need, locks.segments.len()), (2, 3));
    }

    #[test]
    fn flights_are_drawn_between_leaving_and_arriving() {
        let mut session = open("three-signers");
        session.seek_ms(101.0);
        finish(&mut session);
        let flights = session.scene().flights;
        assert_eq!(flights.len(), 6, "three proposals to two each");
        assert!(
            flights
                .iter()
                .all(|flight| flight.sent_ms <= 101.0 && flight.arrives_ms >= 101.0)
        );
        assert!(
            flights
                .iter()
                .all(|flight| flight.shape == Shape::Propose && flight.value.is_some())
        );
    }

    #[test]
    fn a_guess_is_judged_once_something_is_decided() {
        let mut session = open("three-signers");
        session.set_guess(Guess::A);
        assert_eq!(session.guess(), Some((Guess::A, GuessResult::Open)));
        session.end();
        finish(&mut session);
        assert_eq!(session.guess(), Some((Guess::A, GuessResult::Right)));
        session.set_guess(Guess::Neither);
        assert_eq!(session.guess(), Some((Guess::Neither, GuessResult::Wrong)));
    }

    #[test]
    fn a_node_that_does_not_exist_is_not_selected() {
        let mut session = open("three-signers");
        session.select(Some(9));
        assert_eq!(session.scene().selected, None);
        session.select(Some(2));
        assert_eq!(session.scene().selected, Some(2));
    }
}
