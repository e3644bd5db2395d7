//! Flaws of the source documents: what each one is called, what it breaks, and which of them are restored in a run.
//!
//! A protocol lists the flaws of its document once ([`crate::engine::Protocol::FLAWS`]). A run restores some of them on
//! top of hardened rules by id; a [`FlawSet`] says which, and the protocol asks it in one pure function per rule.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::engine::{Protocol, RuleSet};

/// A flaw of a source document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its id, such as `S0-F1`.
    pub id: &'static str,
    /// What goes wrong, in one sentence.
    pub story: &'static str,
    /// The hardened rule that stops it.
    pub rule: &'static str,
    /// What the literature calls it.
    pub term: &'static str,
    /// Whether it can be restored, and how.
    pub kind: FlawKind,
    /// The invariant, or the promise of liveness, that it breaks when it is restored; empty if it cannot be.
    pub promise: &'static str,
}

/// Whether a flaw can be restored, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// One rule answers otherwise.
    Policy,
    /// A part of the algorithm is another one.
    Structural,
    /// There is nothing to restore: a contradiction of the text, an overflow, a race, a wire format.
    NotSwitchable {
        /// Why, and which test pins the hardened rule.
        why: &'static str,
    },
    /// It takes a liar, which the fault model excludes.
    OutsideFaultModel {
        /// The built-in scenario that shows what a liar does, where there is one.
        shown_by: Option<&'static str>,
    },
}

impl Flaw {
    /// Whether it can be restored alone on top of hardened rules.
    pub const fn is_switchable(&self) -> bool {
        matches!(self.kind, FlawKind::Policy | FlawKind::Structural)
    }
}

/// The most flaws that one document may have.
pub const FLAWS_MAX: usize = 64;

/// Which flaws of one protocol are restored, by their places in its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlawSet(u64);

impl FlawSet {
    /// None: hardened rules as they are.
    pub const NONE: FlawSet = FlawSet(0);

    /// With the flaw at this place of the table.
    ///
    /// # Panics
    /// If no table is that long.
    #[must_use]
    pub const fn with(self, place: usize) -> FlawSet {
        assert!(place < FLAWS_MAX, "a place in a table of flaws");
        FlawSet(self.0 | 1 << place)
    }

    /// Whether the flaw at this place is restored.
    pub const fn has(self, place: usize) -> bool {
        place < FLAWS_MAX && self.0 >> place & 1 == 1
    }

    /// Whether none is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Which flaws a run restores, if its rules can be had at all.
///
/// # Errors
/// What cannot be had, and what can.
pub fn check<P: Protocol>(rules: RuleSet, ids: &[String]) -> Result<FlawSet, String> {
    if rules == RuleSet::AsWritten && !P::HAS_AS_WRITTEN {
        return Err(format!(
            "rules = \"as-written\": {} has hardened rules only",
            P::NAME
        ));
    }
    if rules == RuleSet::AsWritten && !ids.is_empty() {
        return Err(format!(
            "flaws: as-written rules have every flaw of the document already; {} restores {} one by one on top of \
             hardened rules",
            P::NAME,
            switchable(P::FLAWS)
        ));
    }
    ids.iter().try_fold(FlawSet::NONE, |set, id| {
        let place = P::FLAWS.iter().position(|flaw| flaw.id == id);
        let place = place.ok_or_else(|| {
            format!(
                "flaws: {} has no flaw \"{id}\"; expected some of {}",
                P::NAME,
                switchable(P::FLAWS)
            )
        })?;
        match P::FLAWS[place].kind {
            FlawKind::Policy | FlawKind::Structural => Ok(set.with(place)),
            FlawKind::NotSwitchable { why } => Err(format!(
                "flaws: {id} cannot be restored ({why}); expected some of {}",
                switchable(P::FLAWS)
            )),
            FlawKind::OutsideFaultModel { .. } => Err(format!(
                "flaws: {id} takes a liar, which the fault model excludes; expected some of {}",
                switchable(P::FLAWS)
            )),
        }
    })
}

/// The ids that can be restored, as a list for people.
pub fn switchable(flaws: &[Flaw]) -> String {
    let ids: Vec<&str> = flaws
        .iter()
        .filter(|flaw| flaw.is_switchable())
        .map(|flaw| flaw.id)
        .collect();
    match ids.as_slice() {
        [] => "none".to_string(),
        ids => ids.join(", "),
    }
}

/// Asserts that a table holds every flaw of a document in the order of ids, each told in full, and that the switches are
/// those that can be restored, in their places.
#[cfg(test)]
pub(crate) fn assert_table(document: u8, flaws: &[Flaw], switches: &[(usize, &str)]) {
    for (place, flaw) in flaws.iter().enumerate() {
        let id = flaw.id;
        assert_eq!(id, format!("S{document}-F{}", place + 1));
        assert_eq!(flaw.is_switchable(), !flaw.promise.is_empty(), "{id}");
        assert!(flaw.story.ends_with('.'), "{id}");
        assert!(flaw.rule.ends_with('.'), "{id}");
    }
    for (place, id) in switches {
        assert_eq!(flaws[*place].id, *id);
    }
    let switchable = flaws.iter().filter(|flaw| flaw.is_switchable());
    let listed: Vec<&str> = switchable.map(|flaw| flaw.id).collect();
    let known: Vec<&str> = switches.iter().map(|(_, id)| *id).collect();
    assert_eq!(listed, known);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_its_places() {
        let set = FlawSet::NONE.with(0).with(63);
        assert!(set.has(0) && set.has(63) && !set.has(1) && !set.has(64));
        assert!(FlawSet::NONE.is_empty() && !set.is_empty());
    }
}
