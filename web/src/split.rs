//! One schedule twice, on one clock: with a flaw, and under hardened rules. Plain Rust; components only draw it.
//!
//! Both sides are always at the same virtual time, after everything that happens until then.

use phaselab_core::scenario::{Scenario, Schedule};

use crate::axis::Axis;
use crate::scene::Scene;
use crate::session::{PACE_MS, SKIP_REST_S, SKIP_S, SPEEDS, Session};

/// Two runs of a schedule.
pub struct Split {
    flawed: Session,
    kept: Result<Session, String>,
    promise: String,
    cursor_ms: f64,
    is_playing: bool,
    /// The time that both sides are on their way to.
    goal: Option<f64>,
    speed: usize,
}

/// What became of the promise on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The run has to end first.
    Open,
    /// It holds.
    Kept,
    /// It does not.
    Broken,
}

impl Split {
    /// Both runs before their first step. `refused` says why hardened rules do not take the configuration.
    ///
    /// # Errors
    /// A sentence, when the schedule cannot be run with the flaw.
    pub fn open(
        scenario: &Scenario,
        promise: &str,
        refused: Option<String>,
    ) -> Result<Split, String> {
        let mut hardened = scenario.clone();
        hardened.flaws.clear();
        let kept = match refused {
            Some(why) => Err(why),
            None => Session::open(&hardened),
        };
        // Manual schedules have a tenth of a second between two steps: one step in a second.
        let speed = if scenario.schedule == Schedule::Manual {
            3
        } else {
            2
        };
        Ok(Split {
            flawed: Session::open(scenario)?,
            kept,
            promise: promise.to_owned(),
            cursor_ms: 0.0,
            is_playing: false,
            goal: None,
            speed,
        })
    }

    // --- what components read ---------------------------------------------------------------------------------------

    /// The run with the flaw.
    pub fn flawed(&self) -> &Session {
        &self.flawed
    }

    /// The run without, or why there is none.
    pub fn kept(&self) -> Result<&Session, &str> {
        self.kept.as_ref().map_err(String::as_str)
    }

    /// The time that is drawn on both sides, in milliseconds.
    pub fn cursor_ms(&self) -> f64 {
        self.cursor_ms
    }

    /// The right edge of the lanes of both sides.
    pub fn horizon_ms(&self) -> f64 {
        let horizons = self.sides().map(Session::horizon_ms);
        horizons.fold(0.0, f64::max)
    }

    /// Whether it plays.
    pub fn is_playing(&self) -> bool {
        self.is_playing
    }

    /// Whether neither side has begun.
    pub fn is_at_start(&self) -> bool {
        self.sides().all(|side| side.sim().steps() == 0)
    }

    /// Whether neither side has a next step.
    pub fn is_at_end(&self) -> bool {
        self.sides().all(Session::is_at_end)
    }

    /// Whether the cursor is on its way to a far place.
    pub fn is_seeking(&self) -> bool {
        self.goal.is_some()
    }

    /// Whether a frame is needed.
    pub fn is_busy(&self) -> bool {
        self.is_playing || self.goal.is_some() || !self.sides().all(Session::has_looked_ahead)
    }

    /// The speed, as a multiple of the scenario's pace.
    pub fn speed(&self) -> f64 {
        SPEEDS[self.speed]
    }

    /// A side's stage, on the time axis that both share.
    pub fn scene(&self, side: &Session) -> Scene {
        Scene {
            axis: Axis::new(0.0, self.horizon_ms(), &self.moments_ms(), self.cursor_ms),
            ..side.scene()
        }
    }

    /// What became of the promise on a side, and what there is to say about it.
    ///
    /// An invariant is judged at every step. That something happens at last is judged at the end, by what the scenario
    /// expects of its rules.
    pub fn promise(&self, side: &Session) -> (Promise, String) {
        let verdicts = side.sim().verdicts();
        if let Some(verdict) = verdicts.iter().find(|it| it.name == self.promise) {
            let promise = if verdict.holds {
                Promise::Kept
            } else {
                Promise::Broken
            };
            return (promise, verdict.detail.clone());
        }
        if !side.is_at_end() {
            return (Promise::Open, String::new());
        }
        let has_flaw = !side.scenario().flaws.is_empty();
        let expectations = side.sim().report().expectations;
        let missed = expectations.iter().find(|entry| !entry.met);
        let told = missed.or(expectations.first());
        let detail = told.map_or_else(String::new, |entry| entry.text.clone());
        // With the flaw the expectations say what goes wrong, without that nothing does.
        if missed.is_none() == has_flaw {
            (Promise::Broken, detail)
        } else {
            (Promise::Kept, detail)
        }
    }

    // --- what a person does -----------------------------------------------------------------------------------------

    /// Plays, or pauses. At the end it plays from the beginning.
    pub fn play_or_pause(&mut self) {
        let plays = !self.is_playing;
        if plays && self.is_at_end() {
            self.home();
        }
        self.is_playing = plays;
        self.goal = None;
    }

    /// To the next time at which something happens on a side.
    pub fn step(&mut self) {
        self.pause();
        if let Some(ms) = self.sides().filter_map(Session::next_ms).reduce(f64::min) {
            self.goal = Some(ms);
            self.approach(ms, &mut || true);
        }
    }

    /// To the last time before at which something happened on a side.
    pub fn back(&mut self) {
        self.pause();
        let now = self.sides().map(Session::now_ms).fold(0.0, f64::max);
        let before = |side: &mut Session| side.step_before(now);
        let before = self.each().filter_map(before).reduce(f64::max);
        self.return_to(before);
    }

    /// To the beginning.
    pub fn home(&mut self) {
        self.pause();
        self.return_to(None);
    }

    /// To the end of both runs.
    pub fn end(&mut self) {
        self.pause();
        self.goal = Some(f64::INFINITY);
    }

    /// To a time.
    pub fn seek_ms(&mut self, ms: f64) {
        self.pause();
        let ms = ms.max(0.0);
        if ms < self.cursor_ms {
            self.return_to(Some(ms));
        } else {
            self.goal = Some(ms);
        }
    }

    /// Sets the speed by its place in [`SPEEDS`].
    pub fn set_speed(&mut self, place: usize) {
        self.speed = place.min(SPEEDS.len() - 1);
    }

    /// Does something with both sessions, such as selecting a node.
    pub fn each(&mut self) -> impl Iterator<Item = &mut Session> {
        std::iter::once(&mut self.flawed).chain(self.kept.as_mut().ok())
    }

    // --- time -------------------------------------------------------------------------------------------------------

    /// Lets `elapsed_ms` of real time pass, working as long as `has_time` says so.
    pub fn frame(&mut self, elapsed_ms: f64, has_time: &mut dyn FnMut() -> bool) {
        if let Some(goal) = self.goal {
            self.approach(goal, has_time);
        } else if self.is_playing {
            self.play(elapsed_ms, has_time);
        }
        self.each().for_each(|side| side.look_ahead(has_time));
    }

    fn play(&mut self, elapsed_ms: f64, has_time: &mut dyn FnMut() -> bool) {
        let pace = self.flawed.scenario().view.pace_ms.unwrap_or(PACE_MS);
        let per_second = pace as f64 * self.speed();
        let moments = self.moments_ms();
        let next = moments.get(moments.partition_point(|ms| *ms <= self.cursor_ms));
        let is_far = |next: f64| next - self.cursor_ms > per_second * SKIP_S;
        let target = match next {
            Some(next) if is_far(*next) && self.sides().all(Session::is_quiet) => {
                next - per_second * SKIP_REST_S
            }
            _ => self.cursor_ms + elapsed_ms / 1e3 * per_second,
        };
        let is_known = self.sides().all(Session::has_looked_ahead);
        if self.is_at_end() || (is_known && target >= self.horizon_ms()) {
            // Nothing more is worth watching: the rest is run, so that the verdicts are final.
            self.is_playing = false;
            self.goal = Some(f64::INFINITY);
            return;
        }
        self.approach(target, has_time);
    }

    fn approach(&mut self, goal: f64, has_time: &mut dyn FnMut() -> bool) {
        let mut is_there = true;
        self.each()
            .for_each(|side| is_there &= side.run_to(goal, has_time));
        self.goal = (!is_there).then_some(goal);
        if is_there {
            let now = self.sides().map(Session::now_ms).fold(0.0, f64::max);
            self.draw_at(if goal.is_finite() { goal } else { now });
        }
    }

    fn return_to(&mut self, ms: Option<f64>) {
        self.each().for_each(|side| side.return_to(ms));
        self.draw_at(ms.unwrap_or(0.0));
    }

    fn draw_at(&mut self, ms: f64) {
        self.cursor_ms = ms;
        self.each().for_each(|side| side.draw_at(ms));
    }

    fn pause(&mut self) {
        self.is_playing = false;
        self.goal = None;
    }

    fn sides(&self) -> impl Iterator<Item = &Session> {
        std::iter::once(&self.flawed).chain(self.kept.as_ref().ok())
    }

    /// When something happens on a side that is worth telling.
    fn moments_ms(&self) -> Vec<f64> {
        let mut left = self.flawed.moments_ms();
        let mut right = self.kept.as_ref().map_or(&[][..], Session::moments_ms);
        let mut merged = Vec::with_capacity(left.len() + right.len());
        while let Some(next) = [left, right]
            .iter()
            .filter_map(|rest| rest.first())
            .copied()
            .reduce(f64::min)
        {
            merged.push(next);
            for rest in [&mut left, &mut right] {
                *rest = rest.strip_prefix(&[next]).unwrap_or(rest);
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::museum;

    use super::*;

    fn open(flaw: &str) -> Split {
        let (protocol, exhibit) = museum::find(flaw).unwrap();
        let scenario = exhibit.scenario().unwrap();
        let refused = museum::hardened(&scenario).check().err();
        Split::open(&scenario, exhibit.about(protocol).promise, refused).unwrap()
    }

    /// Lets frames pass until nothing is left to do, with little time in each.
    fn finish(split: &mut Split) {
        for _ in 0..1_000_000 {
            if !split.is_busy() {
                return;
            }
            let mut steps = 5;
            split.frame(16.0, &mut || {
                steps -= 1;
                steps > 0
            });
        }
        panic!("it never comes to rest");
    }

    fn seen(split: &Split) -> Vec<(u64, f64, String)> {
        let side = |side: &Session| {
            let hash = side.sim().trace_hash().to_string();
            (side.sim().steps(), side.cursor_ms(), hash)
        };
        split.sides().map(side).collect()
    }

    #[test]
    fn every_exhibit_plays_to_a_broken_promise_and_a_kept_one() {
        for (_, exhibit) in museum::exhibits() {
            let mut split = open(exhibit.flaw);
            split.play_or_pause();
            finish(&mut split);
            assert!(split.is_at_end() && !split.is_playing(), "{}", exhibit.flaw);
            let (flawed, told) = split.promise(split.flawed());
            assert_eq!(flawed, Promise::Broken, "{}: {told}", exhibit.flaw);
            match split.kept() {
                Ok(kept) => {
                    let (kept, told) = split.promise(kept);
                    assert_eq!(kept, Promise::Kept, "{}: {told}", exhibit.flaw);
                }
                Err(why) => assert!(exhibit.flaw == "S0-F25" && !why.is_empty()),
            }
        }
    }

    #[test]
    fn both_sides_are_at_one_time_whichever_way_they_came() {
        for flaw in ["S0-F1", "S0-F7", "S0-F8"] {
            let mut split = open(flaw);
            finish(&mut split);
            let mut shown = Vec::from([seen(&split)]);
            while !split.is_at_end() && shown.len() < 60 {
                split.step();
                let cursor = split.cursor_ms();
                assert!(split.sides().all(|side| side.cursor_ms() == cursor));
                assert!(split.sides().all(|side| side.now_ms() <= cursor));
                shown.push(seen(&split));
            }
            let last = split.cursor_ms();
            for expected in shown.iter().rev().skip(1) {
                split.back();
                assert_eq!(seen(&split), *expected, "{flaw}");
            }
            assert!(split.is_at_start());
            split.seek_ms(last);
            finish(&mut split);
            assert_eq!(Some(&seen(&split)), shown.last(), "{flaw}");
        }
    }
}
