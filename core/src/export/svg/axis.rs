//! The time axis: six pixels for a millisecond, and a mark where a wait is cut.

use alloc::vec::Vec;

use crate::types::Time;

/// Tenths of a pixel for a millisecond.
const SCALE: u64 = 60;

/// A longer wait is cut.
const WAIT_MAX: u64 = 2_400;

/// What is left of it.
const WAIT_CUT: i64 = 700;

/// Between ticks.
const TICK_MS: u64 = 20;
const TICK_GAP: i64 = 500;

pub(super) struct Axis {
    /// Where each moment stands at which something happens.
    places: Vec<(Time, i64)>,
    ticks: Vec<(i64, Time)>,
    breaks: Vec<i64>,
}

impl Axis {
    /// The axis from 0 through these moments, in order.
    pub(super) fn new(left: i64, moments: impl Iterator<Item = Time>) -> Axis {
        let mut axis = Axis {
            places: Vec::from([(Time::ZERO, left)]),
            ticks: Vec::from([(left, Time::ZERO)]),
            breaks: Vec::new(),
        };
        let (mut last, mut x) = (Time::ZERO, left);
        for at in moments.filter(|at| *at > Time::ZERO) {
            if at <= last {
                continue;
            }
            let wait = scaled(at.0 - last.0);
            if wait > WAIT_MAX {
                axis.breaks.push(x + WAIT_CUT / 2);
                x += WAIT_CUT;
                axis.tick(x, at);
            } else {
                let step = TICK_MS * 1_000_000;
                let mut tick = last.0 / step * step + step;
                while tick <= at.0 {
                    axis.tick(x + scaled(tick - last.0) as i64, Time(tick));
                    tick += step;
                }
                x += wait as i64;
            }
            axis.places.push((at, x));
            last = at;
        }
        axis
    }

    fn tick(&mut self, x: i64, at: Time) {
        if self
            .ticks
            .last()
            .is_none_or(|(last, _)| x - last >= TICK_GAP)
        {
            self.ticks.push((x, at));
        }
    }

    /// Where a moment stands.
    pub(super) fn x(&self, at: Time) -> i64 {
        let place = self.places.partition_point(|(known, _)| *known <= at);
        self.places[place.saturating_sub(1)].1
    }

    pub(super) fn right(&self) -> i64 {
        self.places.last().map_or(0, |(_, x)| *x)
    }

    pub(super) fn ticks(&self) -> &[(i64, Time)] {
        &self.ticks
    }

    pub(super) fn breaks(&self) -> &[i64] {
        &self.breaks
    }
}

/// A span of nanoseconds in tenths of a pixel.
fn scaled(ns: u64) -> u64 {
    (u128::from(ns) * u128::from(SCALE) / 1_000_000) as u64
}
