//! How likely an error is at most, in one line; or that nothing is known of it.

use phaselab_core::snow::bound::Question;

use crate::crowd::Crowd;

/// Polls of one node about one conflict set that the bound allows for.
const POLLS: u64 = 1_000;

/// The line.
pub fn line(crowd: &Crowd) -> String {
    let nodes = u16::try_from(crowd.cells.len()).unwrap_or(u16::MAX);
    if !crowd.polls.is_by_the_book {
        return "error unknown: the bound is for hardened rules and equal weights".to_owned();
    }
    let question = Question {
        nodes,
        parameters: crowd.polls.parameters,
        byzantine: crowd.liars,
        polls: POLLS,
    };
    question.line()
}
