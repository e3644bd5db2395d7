//! Models from the textbook, on which the search itself is tested: their numbers of states are published.
//!
//! [`Textbook`] names them; [`with_textbook`](crate::with_textbook) makes one and runs anything with it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

pub mod paxos;
pub mod paxos_commit;
pub mod tcommit;
pub mod two_phase_commit;

/// The textbook's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Textbook {
    /// What a transaction commit is.
    TCommit,
    /// Two-phase commit.
    TwoPhaseCommit,
    /// A register on single-decree Paxos.
    Paxos,
    /// Paxos Commit.
    PaxosCommit,
    /// Two-phase commit whose resource managers are impatient, which is unsafe.
    BrokenCommit,
    /// The log of a group, in the code that ships: no textbook's, and run in the same way.
    MultiPaxos,
    /// The same, and a member crashes once.
    MultiPaxosCrash,
}

impl Textbook {
    /// Every model.
    pub const ALL: [Textbook; 7] = [
        Textbook::TCommit,
        Textbook::TwoPhaseCommit,
        Textbook::Paxos,
        Textbook::PaxosCommit,
        Textbook::BrokenCommit,
        Textbook::MultiPaxos,
        Textbook::MultiPaxosCrash,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Textbook::TCommit => "tcommit",
            Textbook::TwoPhaseCommit => "two-phase-commit",
            Textbook::Paxos => "paxos",
            Textbook::PaxosCommit => "paxos-commit",
            Textbook::BrokenCommit => "broken-commit",
            Textbook::MultiPaxos => "multi-paxos",
            Textbook::MultiPaxosCrash => "multi-paxos-crash",
        }
    }

    /// The names of all.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }

    /// The model with this name.
    pub fn from_name(name: &str) -> Option<Textbook> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The sizes that it can have, and what they count.
    pub fn sizes(self) -> (RangeInclusive<usize>, &'static str) {
        const MANAGERS: &str = "resource managers";
        match self {
            Textbook::TCommit | Textbook::TwoPhaseCommit => {
                (1..=two_phase_commit::MANAGERS_MAX, MANAGERS)
            }
            Textbook::Paxos => (1..=paxos::CLIENTS_MAX, "clients of 3 servers"),
            Textbook::PaxosCommit => (1..=paxos_commit::MANAGERS_MAX, MANAGERS),
            // One alone contradicts nobody.
            Textbook::BrokenCommit => (2..=two_phase_commit::MANAGERS_MAX, MANAGERS),
            Textbook::MultiPaxos => (1..=3, "ballots of 3 members"),
            Textbook::MultiPaxosCrash => (
                1..=3,
                "ballots of 3 members; one crashes once, and only leaders learn what is chosen",
            ),
        }
    }

    /// Whether it can have this size.
    ///
    /// # Errors
    /// What was expected.
    pub fn check(self, size: usize) -> Result<(), String> {
        let (sizes, of_what) = self.sizes();
        if sizes.contains(&size) {
            return Ok(());
        }
        let (least, most) = sizes.into_inner();
        Err(format!(
            "{}: size {size}: expected {least} to {most} {of_what}",
            self.name()
        ))
    }
}

/// Runs an expression with a model of a checked size: `Ok` of what it gives, or the error of
/// [`Textbook::check`](crate::explore::textbook::Textbook::check). The one place that maps names to models.
#[macro_export]
macro_rules! with_textbook {
    ($kind:expr, $size:expr, $model:ident => $body:expr) => {{
        let kind: $crate::explore::textbook::Textbook = $kind;
        let size: usize = $size;
        match kind.check(size) {
            Err(error) => Err(error),
            Ok(()) => Ok(match kind {
                $crate::explore::textbook::Textbook::TCommit => {
                    let $model = $crate::explore::textbook::tcommit::TCommit { managers: size };
                    $body
                }
                $crate::explore::textbook::Textbook::TwoPhaseCommit => {
                    let $model = $crate::explore::textbook::two_phase_commit::TwoPhaseCommit {
                        managers: size,
                        impatient: false,
                    };
                    $body
                }
                $crate::explore::textbook::Textbook::Paxos => {
                    let $model = $crate::explore::textbook::paxos::Paxos { clients: size };
                    $body
                }
                $crate::explore::textbook::Textbook::PaxosCommit => {
                    let $model =
                        $crate::explore::textbook::paxos_commit::PaxosCommit { managers: size };
                    $body
                }
                $crate::explore::textbook::Textbook::BrokenCommit => {
                    let $model = $crate::explore::textbook::two_phase_commit::TwoPhaseCommit {
                        managers: size,
                        impatient: true,
                    };
                    $body
                }
                $crate::explore::textbook::Textbook::MultiPaxos => {
                    let $model = $crate::explore::multi_paxos::MultiPaxos::new(3, size as u8, 0);
                    $body
                }
                $crate::explore::textbook::Textbook::MultiPaxosCrash => {
                    let $model = $crate::explore::multi_paxos::MultiPaxos::new(3, size as u8, 1);
                    $body
                }
            }),
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Limits, Search};

    /// Distinct states, and what is broken.
    fn explore(kind: Textbook, size: usize) -> Result<(u64, Option<&'static str>), String> {
        with_textbook!(kind, size, model => {
            let mut search = Search::new(model, Limits::default());
            search.advance(usize::MAX);
            let outcome = search.outcome();
            (outcome.distinct, outcome.violation.map(|violation| violation.property))
        })
    }

    #[test]
    fn every_model_is_found_by_name_and_only_the_broken_one_is_unsafe() {
        for name in Textbook::names() {
            let kind = Textbook::from_name(name).unwrap();
            let (_, broken) = explore(kind, *kind.sizes().0.start()).unwrap();
            let expected = (kind == Textbook::BrokenCommit).then_some("consistent");
            assert_eq!((kind.name(), broken), (name, expected));
        }
        assert_eq!(Textbook::from_name("pax"), None);
    }

    #[test]
    fn an_impossible_size_gets_a_sentence() {
        assert_eq!(
            explore(Textbook::Paxos, 0).unwrap_err(),
            "paxos: size 0: expected 1 to 6 clients of 3 servers"
        );
        assert_eq!(
            explore(Textbook::BrokenCommit, 1).unwrap_err(),
            "broken-commit: size 1: expected 2 to 12 resource managers"
        );
    }
}
