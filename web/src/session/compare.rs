//! Two futures side by side: both are run to their ends, slice by slice, and the first thing that differs is looked for.

use phaselab_core::narrate;
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::Logged;

use super::{outcome, to_ms};

/// One of two futures.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// The branch's number.
    pub branch: u16,
    /// Its name.
    pub name: String,
    /// What happens there where the other one is different; `None` if its run is over by then.
    pub event: Option<String>,
    /// What is decided at its end.
    pub decisions: Vec<String>,
    /// The rules that are broken at its end.
    pub broken: Vec<String>,
    /// The trace hash at its end.
    pub hash: String,
}

/// What differs between two futures.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The step of the first difference, and when that is, in milliseconds; `None` if there is none.
    pub first: Option<(u64, f64)>,
    /// Both futures.
    pub sides: [Side; 2],
}

/// Two futures on their way to be compared.
pub struct Compare {
    runs: [Sim; 2],
    branches: [(u16, String); 2],
    /// How many events are alike.
    alike: usize,
    first: Option<[Option<Logged>; 2]>,
}

impl Compare {
    /// Both runs before their first step, with their branches' numbers and names.
    pub(super) fn new(runs: [Sim; 2], branches: [(u16, String); 2]) -> Compare {
        let runs = runs.map(|mut run| {
            run.set_check_recovery(false);
            run
        });
        Compare {
            runs,
            branches,
            alike: 0,
            first: None,
        }
    }

    /// Goes on for as long as `has_time` says so; gives what differs once both are at their ends.
    pub(super) fn work(&mut self, has_time: &mut dyn FnMut() -> bool) -> Option<Difference> {
        loop {
            let [a, b] = &mut self.runs;
            // Neither goes far ahead: what is alike is seen early.
            let is_first =
                a.next_at().is_some() && (a.steps() <= b.steps() || b.next_at().is_none());
            let turn = if is_first { &mut *a } else { &mut *b };
            turn.step();
            let is_over = a.next_at().is_none() && b.next_at().is_none();
            self.look(is_over);
            if is_over {
                return Some(self.finish());
            }
            if !has_time() {
                return None;
            }
        }
    }

    fn look(&mut self, is_over: bool) {
        while self.first.is_none() {
            let [a, b] = self.runs.each_ref().map(|run| run.log().get(self.alike));
            match (&a, &b) {
                (Some(here), Some(there)) if is_alike(here, there) => self.alike += 1,
                (None, None) => return,
                (Some(_), Some(_)) => self.first = Some([a, b]),
                // One of them is behind, or has nothing more to tell.
                _ if is_over => self.first = Some([a, b]),
                _ => return,
            }
        }
    }

    fn finish(&self) -> Difference {
        let first = self.first.unwrap_or_default();
        let earliest = first.iter().flatten().min_by_key(|entry| entry.id);
        let side = |place: usize| {
            let sim = &self.runs[place];
            let (branch, name) = self.branches[place].clone();
            let tell = |entry: Logged| {
                let letter = entry.event.instance.zip(entry.event.value);
                let letter = letter.and_then(|(of, value)| sim.log().letter(of, value));
                narrate::sentence(sim.spec(), entry.node, &entry.event, letter.as_deref())
            };
            Side {
                branch,
                name,
                event: first[place].map(tell),
                decisions: outcome::decisions(sim),
                broken: outcome::broken(sim),
                hash: sim.trace_hash().to_string(),
            }
        };
        Difference {
            first: earliest.map(|entry| (entry.id.step, to_ms(entry.at))),
            sides: [side(0), side(1)],
        }
    }
}

fn is_alike(here: &Logged, there: &Logged) -> bool {
    (here.id, here.at, here.node, here.event) == (there.id, there.at, there.node, there.event)
}
