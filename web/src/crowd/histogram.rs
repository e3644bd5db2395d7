//! How confident how many are: a bar for each confidence, stacked by what they prefer.

use super::Crowd;

/// Bars that are told apart; of a larger `beta`, several confidences share one.
const BARS_MAX: u32 = 24;

/// How much higher than nothing the lowest part is, as a share of the whole height: one of ten thousand is seen.
const PART_MIN: f64 = 0.015;

/// A bar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// The confidences that it stands for, from and to.
    pub range: (u32, u32),
    /// How many prefer each choice, in the order of the crowd's.
    pub counts: Vec<usize>,
    /// How many of all are final.
    pub finals: usize,
}

impl Bar {
    /// How many there are.
    pub fn total(&self) -> usize {
        self.counts.iter().sum()
    }
}

/// The bars, from no confidence to finality. Who prefers nothing stands nowhere.
pub fn bars(crowd: &Crowd) -> Vec<Bar> {
    let beta = crowd.polls.parameters.beta.max(1);
    // The last bar is finality alone.
    let width = beta.div_ceil(BARS_MAX - 1).max(1);
    let last = beta.div_ceil(width);
    let mut bars: Vec<Bar> = (0..=last)
        .map(|place| Bar {
            range: match place == last {
                true => (beta, beta),
                false => (place * width, ((place + 1) * width - 1).min(beta - 1)),
            },
            counts: vec![0; crowd.choices.len()],
            finals: 0,
        })
        .collect();
    for cell in crowd.cells.iter() {
        let place = match cell.confidence >= beta {
            true => last,
            false => cell.confidence / width,
        };
        let bar = bars.get_mut(place as usize);
        if let (Some(bar), Some(choice)) = (bar, cell.choice) {
            if let Some(count) = bar.counts.get_mut(usize::from(choice)) {
                *count += 1;
            }
            bar.finals += usize::from(cell.is_final);
        }
    }
    bars
}

/// The parts of a bar from the bottom: which choice, from where and how high, as shares of the highest bar.
pub fn parts(bar: &Bar, highest: usize) -> Vec<(usize, f64, f64)> {
    let mut from = 0.0;
    let counts = bar.counts.iter().enumerate();
    counts
        .filter(|(_, count)| **count > 0)
        .map(|(choice, count)| {
            let height = (*count as f64 / highest.max(1) as f64).max(PART_MIN);
            let part = (choice, from, height);
            from += height;
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::tests::{cell, crowd};

    #[test]
    fn everybody_with_a_preference_stands_in_one_bar() {
        let crowd = crowd(20, vec![cell(0, 0), cell(1, 19), cell(1, 19), cell(0, 20)]);
        let bars = bars(&crowd);
        assert_eq!(bars.len(), 21);
        assert_eq!(bars.iter().map(Bar::total).sum::<usize>(), 4);
        assert_eq!(bars[0].counts, [1, 0]);
        assert_eq!(bars[19].counts, [0, 2]);
        assert_eq!((bars[20].total(), bars[20].finals), (1, 1));
        assert_eq!(parts(&bars[19], 2), [(1, 0.0, 1.0)]);
    }

    #[test]
    fn of_a_large_beta_several_confidences_share_a_bar_and_finality_has_its_own() {
        let crowd = crowd(150, vec![cell(0, 149), cell(0, 150), cell(0, 3)]);
        let bars = bars(&crowd);
        assert!(bars.len() <= BARS_MAX as usize, "{}", bars.len());
        let places = bars.iter().map(|bar| bar.range);
        let mut next = 0;
        for (from, to) in places {
            assert!(from == next && to >= from, "{from} {to}");
            next = to + 1;
        }
        assert_eq!(next, 151);
        let last = bars.last().unwrap();
        assert_eq!((last.range, last.total()), ((150, 150), 1));
    }
}
