//! What a session needs to keep in step with another one: times that both move to.

use super::{Session, from_ms, to_ms};

impl Session {
    /// When the last step was.
    pub(crate) fn now_ms(&self) -> f64 {
        to_ms(self.sim().now())
    }

    /// When the next step is.
    pub(crate) fn next_ms(&self) -> Option<f64> {
        self.sim().next_at().map(to_ms)
    }

    /// Makes every step up to a time, as long as `has_time` says so; whether it got there.
    pub(crate) fn run_to(&mut self, ms: f64, has_time: &mut dyn FnMut() -> bool) -> bool {
        while self.next_ms().is_some_and(|at| at <= ms) {
            self.step_once();
            if !has_time() {
                return false;
            }
        }
        true
    }

    /// Goes back to after the last step up to a time, or with `None` to before the first.
    pub(crate) fn return_to(&mut self, ms: Option<f64>) {
        match ms {
            Some(ms) => self.timeline.seek_time(from_ms(ms)),
            None => self.timeline.seek(0),
        }
        self.arrive();
    }

    /// When the last step before a time was; `None` if there was none. Moves there.
    pub(crate) fn step_before(&mut self, ms: f64) -> Option<f64> {
        while self.sim().steps() > 0 && self.now_ms() >= ms {
            let steps = self.sim().steps();
            self.timeline.seek(steps - 1);
        }
        (self.sim().steps() > 0).then(|| self.now_ms())
    }

    /// Says which time is drawn: one at which nothing is still to happen.
    pub(crate) fn draw_at(&mut self, ms: f64) {
        self.cursor_ms = ms;
    }

    /// Reads on ahead.
    pub(crate) fn look_ahead(&mut self, has_time: &mut dyn FnMut() -> bool) {
        self.scout.work(has_time);
    }

    /// Whether everything ahead is known.
    pub(crate) fn has_looked_ahead(&self) -> bool {
        self.scout.is_done()
    }

    /// When something happens that is worth telling.
    pub(crate) fn moments_ms(&self) -> &[f64] {
        self.scout.moments_ms()
    }
}
