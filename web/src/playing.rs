//! What a person does with time, whatever plays: one run, or two side by side.

use crate::session::Session;
use crate::split::Split;

/// What a person does with a run's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TransportAct {
    /// Plays, or pauses.
    PlayOrPause,
    /// One step forward.
    Step,
    /// One step back.
    Back,
    /// To the beginning.
    Home,
    /// To the end.
    End,
    /// To a time, in milliseconds.
    Seek(f64),
    /// The speed, by its place in [`crate::session::SPEEDS`].
    Speed(usize),
}

/// What has a clock that obeys.
pub trait Plays {
    /// Does what a person wants.
    fn obey(&mut self, act: TransportAct);
}

macro_rules! plays {
    ($kind:ty) => {
        impl Plays for $kind {
            fn obey(&mut self, act: TransportAct) {
                match act {
                    TransportAct::PlayOrPause => self.play_or_pause(),
                    TransportAct::Step => self.step(),
                    TransportAct::Back => self.back(),
                    TransportAct::Home => self.home(),
                    TransportAct::End => self.end(),
                    TransportAct::Seek(ms) => self.seek_ms(ms),
                    TransportAct::Speed(place) => self.set_speed(place),
                }
            }
        }
    };
}

plays!(Session);
plays!(Split);

/// How long frames take, while they follow one another.
#[derive(Debug, Default)]
pub struct FrameClock {
    last_ms: Option<f64>,
}

/// A frame that took longer, as after the page was hidden, counts as this much.
const FRAME_MS_MAX: f64 = 100.0;

impl FrameClock {
    /// What a frame at a time counts, in milliseconds.
    pub fn frame(&mut self, at_ms: f64) -> f64 {
        let last = self.last_ms.replace(at_ms);
        last.map_or(0.0, |last| (at_ms - last).min(FRAME_MS_MAX))
    }

    /// No frame follows.
    pub fn stop(&mut self) {
        self.last_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_what_passed_but_no_pause() {
        let mut clock = FrameClock::default();
        assert_eq!(
            [5.0, 21.0, 9_000.0].map(|ms| clock.frame(ms)),
            [0.0, 16.0, 100.0]
        );
        clock.stop();
        assert_eq!(clock.frame(9_016.0), 0.0);
    }
}
