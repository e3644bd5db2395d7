//! The lanes' clock: x is time, but long stretches in which nothing happens are drawn short, with a break.

/// Where times stand on the lanes, and the cursor.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Times in milliseconds and their places in per cent of the width, both rising.
    knots: Vec<(f64, f64)>,
    /// The places of breaks.
    breaks: Vec<f64>,
    /// The cursor.
    at_ms: f64,
    /// What ticks count from.
    origin_ms: f64,
}

/// A gap is long if it takes more than this share of the whole, and this many milliseconds.
const LONG_SHARE: f64 = 0.2;
const LONG_MS: f64 = 40.0;

/// How wide a long gap is drawn, as a share of all that is not long.
const BREAK_SHARE: f64 = 0.12;

/// Room for a break's sign, and for the words of a tick before it, in per cent.
const BREAK_ROOM: (f64, f64) = (8.0, 1.5);

/// How wide the stretch after the last moment is drawn at most, as a share of all before it.
const TAIL_SHARE: f64 = 0.17;

/// The place after which a tick has no room for its words, in per cent.
const TICKS_END: f64 = 93.0;

impl Axis {
    /// An axis from one time to another. `moments` are those at which something happens, in order.
    pub fn new(from_ms: f64, to_ms: f64, moments: &[f64], at_ms: f64) -> Axis {
        let to_ms = to_ms.max(from_ms + f64::EPSILON);
        let within = moments
            .iter()
            .copied()
            .filter(|ms| *ms > from_ms && *ms < to_ms);
        let points: Vec<f64> = std::iter::once(from_ms)
            .chain(within)
            .chain([to_ms])
            .collect();
        let widths = widths(&points);
        let total: f64 = widths.iter().sum();
        let mut axis = Axis {
            knots: vec![(from_ms, 0.0)],
            breaks: Vec::new(),
            at_ms,
            origin_ms: 0.0,
        };
        let mut place = 0.0;
        for (index, (pair, width)) in points.windows(2).zip(&widths).enumerate() {
            let drawn = width / total * 100.0;
            let is_tail = index + 1 == widths.len();
            if *width < pair[1] - pair[0] && !is_tail {
                axis.breaks.push(place + drawn / 2.0);
            }
            place += drawn;
            axis.knots.push((pair[1], place));
        }
        axis
    }

    /// The same axis, whose ticks count from a time.
    pub fn counted_from(mut self, origin_ms: f64) -> Axis {
        self.origin_ms = origin_ms;
        self
    }

    /// The stretch of this axis around the cursor that is so many times narrower, over the whole width. It moves in leaps
    /// of half its width, so that nothing slides while the cursor does.
    pub fn zoomed(&self, times: f64) -> Axis {
        let width = 100.0 / times.max(1.0);
        let half = (self.cursor() / width * 2.0).floor() / 2.0;
        let left = (half * width - width / 4.0).clamp(0.0, 100.0 - width);
        let to_window = |x: f64| (x - left) / width * 100.0;
        let is_inside = |x: &f64| *x > left && *x < left + width;
        let inside = self.knots.iter().filter(|(_, x)| is_inside(x));
        let mut knots = vec![(self.ms(left), 0.0)];
        knots.extend(inside.map(|(ms, x)| (*ms, to_window(*x))));
        knots.push((self.ms(left + width), 100.0));
        let breaks = self.breaks.iter().copied().filter(is_inside);
        Axis {
            knots,
            breaks: breaks.map(to_window).collect(),
            ..*self
        }
    }

    /// From which time to which it goes, in milliseconds.
    pub fn range(&self) -> (f64, f64) {
        let ms = |knot: Option<&(f64, f64)>| knot.map_or(0.0, |(ms, _)| *ms);
        (ms(self.knots.first()), ms(self.knots.last()))
    }

    /// Which time stands at a place.
    fn ms(&self, x: f64) -> f64 {
        let next = self.knots.partition_point(|(_, known)| *known <= x);
        match (self.knots.get(next.saturating_sub(1)), self.knots.get(next)) {
            (Some((t0, x0)), Some((t1, x1))) => t0 + (t1 - t0) * (x - x0) / (x1 - x0),
            _ => self.range().1,
        }
    }

    /// Whether a time is on the axis at all.
    pub fn contains(&self, ms: f64) -> bool {
        let (first, last) = (self.knots.first(), self.knots.last());
        first.is_some_and(|(from, _)| *from <= ms) && last.is_some_and(|(to, _)| ms <= *to)
    }

    /// Where a time stands, in per cent of the width.
    pub fn percent(&self, ms: f64) -> f64 {
        let next = self.knots.partition_point(|(known, _)| *known <= ms);
        match (
            next.checked_sub(1).and_then(|index| self.knots.get(index)),
            self.knots.get(next),
        ) {
            (None, _) => 0.0,
            (Some(_), None) => 100.0,
            (Some((t0, x0)), Some((t1, x1))) => x0 + (x1 - x0) * (ms - t0) / (t1 - t0),
        }
    }

    /// Where the cursor stands.
    pub fn cursor(&self) -> f64 {
        self.percent(self.at_ms)
    }

    /// The cursor's time.
    pub fn at_ms(&self) -> f64 {
        self.at_ms
    }

    /// The places at which a long gap is drawn short.
    pub fn breaks(&self) -> &[f64] {
        &self.breaks
    }

    /// Round times since the origin and their places, at least `apart` per cent from one another.
    pub fn ticks(&self, apart: f64) -> Vec<(f64, f64)> {
        let mut ticks: Vec<(f64, f64)> = Vec::new();
        let mut edges: Vec<f64> = self.breaks.clone();
        edges.push(100.0);
        let mut left = 0.0;
        for right in edges {
            // One stretch between two breaks: linear but for the halves of breaks at its ends.
            let inside: Vec<&(f64, f64)> = self
                .knots
                .iter()
                .filter(|(_, x)| *x >= left && *x <= right)
                .collect();
            if let (Some((t0, x0)), Some((t1, x1))) = (inside.first(), inside.last()) {
                let count = ((x1 - x0) / apart).max(1.0);
                for ms in round_times(*t0 - self.origin_ms, *t1 - self.origin_ms, count) {
                    let x = self.percent(ms + self.origin_ms);
                    let is_free = self
                        .breaks
                        .iter()
                        .all(|place| x < place - BREAK_ROOM.0 || x > place + BREAK_ROOM.1);
                    if is_free
                        && x <= TICKS_END
                        && ticks.last().is_none_or(|(_, last)| x - last >= apart)
                    {
                        ticks.push((ms, x));
                    }
                }
            }
            left = right;
        }
        ticks
    }
}

/// How wide each gap between two points is drawn, in milliseconds of a gap that is not long.
fn widths(points: &[f64]) -> Vec<f64> {
    let mut gaps: Vec<f64> = points.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // After the last moment there is only room for its word.
    let tail = if gaps.len() > 1 { gaps.pop() } else { None };
    let whole: f64 = gaps.iter().sum();
    let long = (whole * LONG_SHARE).max(LONG_MS);
    let short: f64 = gaps.iter().filter(|gap| **gap <= long).sum();
    let count = gaps.iter().filter(|gap| **gap > long).count();
    if short > 0.0 {
        let drawn = (short * BREAK_SHARE).min(short / count.max(1) as f64);
        gaps.iter_mut()
            .filter(|gap| **gap > long)
            .for_each(|gap| *gap = gap.min(drawn));
    }
    let room = gaps.iter().sum::<f64>() * TAIL_SHARE;
    gaps.extend(tail.map(|gap| gap.min(room.max(f64::EPSILON))));
    gaps
}

fn round_times(from_ms: f64, to_ms: f64, count: f64) -> Vec<f64> {
    let rough = (to_ms - from_ms) / count;
    let Some(step) = TICK_STEPS_MS.into_iter().find(|step| *step >= rough) else {
        return vec![from_ms];
    };
    let first = (from_ms / step).ceil();
    let mut times: Vec<f64> = (0..TICKS_MAX)
        .map(|index| (first + f64::from(index)) * step)
        .take_while(|ms| *ms <= to_ms)
        .collect();
    if times.is_empty() {
        times.push(from_ms);
    }
    times
}

/// The most round times of one stretch.
const TICKS_MAX: u32 = 24;

/// Steps of the axis: 1, 2, 5 and on, up to a day.
const TICK_STEPS_MS: [f64; 24] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4,
    3e5, 6e5, 18e5, 36e5, 72e5, 288e5, 864e5,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_stretch_is_linear() {
        let axis = Axis::new(0.0, 400.0, &[73.0, 146.0, 219.0, 292.0, 365.0], 200.0);
        assert!(axis.breaks().is_empty());
        assert!((axis.cursor() - 50.0).abs() < 1e-9);
        assert_eq!(
            [-5.0, 0.0, 400.0, 900.0].map(|ms| axis.percent(ms).round()),
            [0.0, 0.0, 100.0, 100.0]
        );
        let ticks: Vec<f64> = axis.ticks(20.0).iter().map(|(ms, _)| *ms).collect();
        assert_eq!(ticks, [0.0, 100.0, 200.0, 300.0]);
    }

    #[test]
    fn a_long_wait_is_drawn_short() {
        let axis = Axis::new(
            0.0,
            20_300.0,
            &[50.0, 100.0, 150.0, 20_100.0, 20_200.0],
            0.0,
        );
        assert_eq!(axis.breaks().len(), 1);
        assert!(
            axis.percent(150.0) > 30.0,
            "what happens has room: {axis:?}"
        );
        assert!(axis.percent(20_100.0) - axis.percent(150.0) < 15.0);
        assert!(
            axis.percent(10_000.0) < axis.percent(20_000.0),
            "time still goes from left to right"
        );
        assert!(
            axis.ticks(10.0)
                .windows(2)
                .all(|pair| pair[1].1 - pair[0].1 >= 10.0)
        );
    }

    #[test]
    fn a_narrower_axis_shows_the_same_clock_around_the_cursor() {
        let moments: Vec<f64> = (1..100).map(|tenth| f64::from(tenth) * 10.0).collect();
        for at_ms in [0.0, 5.0, 333.0, 500.0, 871.0, 999.0, 1_000.0] {
            let whole = Axis::new(0.0, 1_000.0, &moments, at_ms);
            assert_eq!(whole.zoomed(1.0).range(), whole.range());
            let narrow = whole.zoomed(8.0);
            let (from, to) = narrow.range();
            assert!(from <= at_ms && at_ms <= to && narrow.contains(at_ms));
            for ms in [from, (from + to) / 2.0, to] {
                let expected = (whole.percent(ms) - whole.percent(from)) * 8.0;
                assert!((narrow.percent(ms) - expected).abs() < 1e-6, "{ms}");
            }
            // The window leaps; it does not slide.
            let after = Axis::new(0.0, 1_000.0, &moments, (at_ms + 1.0).min(1_000.0)).zoomed(8.0);
            let leap = (after.range().0 - from).abs();
            assert!(!(1e-6..=20.0).contains(&leap), "{leap}");
        }
    }

    #[test]
    fn waits_alone_are_not_drawn_short() {
        let axis = Axis::new(0.0, 3_000.0, &[1_000.0, 2_000.0], 1_500.0);
        assert!(axis.breaks().is_empty());
        assert!((axis.percent(1_000.0) * 2.0 - axis.percent(2_000.0)).abs() < 1e-9);
    }
}
