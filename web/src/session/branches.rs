//! The futures of a run that are kept: what was done by hand in each, and where it left the one before. Simulators are not
//! kept: a run is made again from what was done.

use phaselab_core::scenario::{At, Intervention};

use super::words;

/// The most futures that are kept, with the scenario's own.
pub const BRANCHES_MAX: usize = 8;

/// The longest name that a person may give one, in characters.
const NAME_CHARS_MAX: usize = 40;

/// One future.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Its number, for good.
    pub id: u16,
    /// The one that it left; `None` for the scenario's own.
    pub parent: Option<u16>,
    /// The step before which it left.
    pub step: u64,
    /// When that was, in milliseconds.
    pub at_ms: f64,
    /// Everything done by hand in it, in order, with what was done before it left.
    pub by_hand: Vec<Intervention>,
    /// How many of these were done before it left.
    inherited: usize,
    /// The furthest step that was seen: what is done before it changes a known future.
    reached: u64,
    name: Option<String>,
}

impl Branch {
    /// What a person called it; empty if nobody did.
    pub fn given_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Its name: what a person called it, else what was done in it.
    pub fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.trim().to_owned();
        }
        if self.parent.is_none() {
            return "as planned".to_owned();
        }
        let at = words::milliseconds(self.at_ms);
        let own = self.by_hand.get(self.inherited..).unwrap_or_default();
        match own {
            [] => ["fork at ", &at].concat(),
            [first, rest @ ..] => {
                let what = words::act(&first.act);
                let more = match rest.len() {
                    0 => String::new(),
                    count => format!(" +{count}"),
                };
                [&what, " at ", &at, &more].concat()
            }
        }
    }
}

/// Every future that is kept; there is always the scenario's own, and always one that is shown.
#[derive(Clone, Debug)]
pub struct Branches {
    list: Vec<Branch>,
    shown: usize,
    next: u16,
    /// Whether the first one came from a file and is only shown.
    is_replay: bool,
}

impl Branches {
    /// The scenario's own future, with what was done in it already.
    pub fn new(by_hand: Vec<Intervention>, is_replay: bool) -> Branches {
        let own = Branch {
            id: 0,
            parent: None,
            step: 0,
            at_ms: 0.0,
            inherited: by_hand.len(),
            by_hand,
            reached: 0,
            name: None,
        };
        Branches {
            list: vec![own],
            shown: 0,
            next: 1,
            is_replay,
        }
    }

    /// All of them, parents before their children.
    pub fn list(&self) -> &[Branch] {
        &self.list
    }

    /// The one that is shown.
    pub fn shown(&self) -> &Branch {
        &self.list[self.shown]
    }

    /// How many others it descends from.
    pub fn depth(&self, branch: &Branch) -> usize {
        let parent = |of: &&Branch| self.list.iter().find(|it| Some(it.id) == of.parent);
        std::iter::successors(Some(branch), parent).count() - 1
    }

    /// Whether what is shown may not be changed before it is forked.
    pub fn is_read_only(&self) -> bool {
        self.is_replay && self.shown == 0
    }

    /// Notes how far the run was seen.
    pub(super) fn reach(&mut self, step: u64) {
        let branch = &mut self.list[self.shown];
        branch.reached = branch.reached.max(step);
    }

    /// Whether doing something at a step needs a future of its own, so that nothing that was seen is lost.
    pub(super) fn must_fork(&self, step: u64) -> bool {
        self.shown == 0 || step < self.shown().reached
    }

    /// Refuses one more than can be kept.
    pub(super) fn check_room(&self) -> Result<(), String> {
        if self.list.len() < BRANCHES_MAX {
            return Ok(());
        }
        Err(format!(
            "{BRANCHES_MAX} futures are kept, and no more. Delete one first."
        ))
    }

    /// A new future from a step on, shown from now on; what is planned after that step is not in it.
    pub(super) fn fork(&mut self, step: u64, at_ms: f64) -> Result<(), String> {
        self.check_room()?;
        let from = self.shown();
        let before = |entry: &&Intervention| entry.at <= At::Step(step);
        let by_hand: Vec<Intervention> = from.by_hand.iter().filter(before).cloned().collect();
        let branch = Branch {
            id: self.next,
            parent: Some(from.id),
            step,
            at_ms,
            inherited: by_hand.len(),
            by_hand,
            reached: step,
            name: None,
        };
        self.next += 1;
        // Behind its parent and everything that left the parent before: a tree in the order in which it is drawn.
        let place = self.end_of(self.shown);
        self.list.insert(place, branch);
        self.shown = place;
        Ok(())
    }

    /// Notes what is done in the one that is shown.
    pub(super) fn set_by_hand(&mut self, by_hand: Vec<Intervention>) {
        self.list[self.shown].by_hand = by_hand;
    }

    /// Shows another; whether there is one with this number.
    pub(super) fn show(&mut self, id: u16) -> bool {
        let place = self.list.iter().position(|branch| branch.id == id);
        self.shown = place.unwrap_or(self.shown);
        place.is_some()
    }

    /// Gives one a name; an empty one takes it back.
    pub fn rename(&mut self, id: u16, name: &str) {
        let name: String = name.chars().take(NAME_CHARS_MAX).collect();
        if let Some(branch) = self.list.iter_mut().find(|branch| branch.id == id) {
            branch.name = (!name.trim().is_empty()).then_some(name);
        }
    }

    /// Forgets one that is not shown and not the scenario's own; those that left it belong to its parent then.
    pub(super) fn delete(&mut self, id: u16) {
        let shown = self.shown().id;
        let Some(place) = self.list.iter().position(|branch| branch.id == id) else {
            return;
        };
        if place == 0 || id == shown {
            return;
        }
        let gone = self.list.remove(place);
        for branch in &mut self.list {
            if branch.parent == Some(id) {
                branch.parent = gone.parent;
            }
        }
        self.show(shown);
    }

    /// The place behind a branch and all that descends from it.
    fn end_of(&self, place: usize) -> usize {
        let depth = self.depth(&self.list[place]);
        let rest = self.list[place + 1..].iter();
        place + 1 + rest.take_while(|branch| self.depth(branch) > depth).count()
    }
}
