//! What a person does to a run: faults by hand, each recorded, so that a trace does them again; and the futures that come
//! of them.

use phaselab_core::engine::RuleSet;
use phaselab_core::event::RecordKind;
use phaselab_core::scenario::{
    Act, At, BreakHow, CrashPoint, InForce, Intervention, Link, Schedule, Selector,
};
use phaselab_core::sim::{Flight, Sim};
use phaselab_core::types::{NodeId, Time};

use super::branches::Branches;
use super::compare::{Compare, Difference};
use super::scout::Scout;
use super::{Goal, Session, from_ms, to_ms};

/// What is selected beside a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Picked {
    /// The link between two nodes, the smaller number first.
    Link(u16, u16),
    /// A message on its way.
    Message {
        /// Sender.
        from: u16,
        /// Receiver.
        to: u16,
        /// The name of its kind.
        kind: &'static str,
        /// When it arrives, in milliseconds.
        arrives_ms: f64,
    },
}

/// What can be done to a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catch {
    /// It does not arrive.
    Drop,
    /// It arrives later, by so many milliseconds.
    Delay(u64),
    /// It arrives twice.
    Duplicate,
    /// It arrives with a flipped bit.
    Corrupt,
}

/// Two futures that are compared.
pub(super) enum Comparing {
    /// They run.
    Running(Box<Compare>),
    /// They are at their ends.
    Done(Box<Difference>),
}

impl Session {
    /// Every future that is kept.
    pub fn branches(&self) -> &Branches {
        &self.branches
    }

    /// Everything done by hand in the future that is shown, also what lies ahead of the cursor.
    pub fn interventions(&self) -> &[Intervention] {
        &self.branches.shown().by_hand
    }

    /// The link or message that is selected; a message only as long as it is on its way.
    pub fn picked(&self) -> Option<Picked> {
        let picked = self.picked?;
        match picked {
            Picked::Message { .. } => self.flight_of(picked).map(|_| picked),
            Picked::Link(..) => Some(picked),
        }
    }

    /// The node that is selected.
    pub fn selected(&self) -> Option<u16> {
        self.selected.map(|node| node.0)
    }

    /// Selects the message that arrives next.
    ///
    /// # Errors
    /// A sentence, when none is on its way.
    pub fn pick_next_message(&mut self) -> Result<(), String> {
        let flights = self.scene().flights;
        let next = flights.first().ok_or("No message is on its way.")?;
        self.pick(Picked::Message {
            from: next.from,
            to: next.to,
            kind: next.kind,
            arrives_ms: next.arrives_ms,
        });
        Ok(())
    }

    /// Whether no flaw is in force.
    pub fn is_hardened(&self) -> bool {
        self.scenario().in_force() == InForce::Hardened
    }

    /// The same run under hardened rules, with everything done by hand.
    ///
    /// # Errors
    /// A sentence: why hardened rules do not take it.
    pub fn hardened(&self) -> Result<Session, String> {
        let mut scenario = self.scenario().clone();
        scenario.rules = RuleSet::Hardened;
        scenario.flaws.clear();
        scenario.check()?;
        Session::with_by_hand(&scenario, self.interventions().to_vec(), false)
    }

    /// Asks why of what was decided last: where a rule is broken, that broke it.
    pub fn ask_last(&mut self) {
        let decisions = self.sim().decisions().iter().rev();
        let mut decided = decisions.filter(|it| it.record.kind == RecordKind::Decided);
        if let Some(last) = decided.next().copied() {
            self.ask(last.node, last.record.instance);
        }
    }

    /// Selects a link or a message.
    pub fn pick(&mut self, picked: Picked) {
        self.select(None);
        self.picked = Some(picked);
    }

    /// Does something to the run at the cursor. Where a future was seen already, that one is kept, and a new one begins.
    ///
    /// # Errors
    /// A sentence: why it cannot be done.
    pub fn intervene(&mut self, acts: &[Act]) -> Result<(), String> {
        self.pause();
        self.check_open()?;
        self.begin()?;
        for act in acts {
            self.scenario().check_act(act)?;
            self.check_sense(act)?;
        }
        let step = self.sim().steps();
        let forks = self.branches.must_fork(step);
        if forks {
            self.branches.check_room()?;
        }
        for (place, act) in acts.iter().enumerate() {
            let done = self.timeline.intervene(act.clone());
            // The first one decides: those of a list are alike.
            if place == 0 {
                done?;
            }
        }
        if forks {
            self.branches.fork(step, to_ms(self.sim().now()))?;
        }
        let by_hand = self.sim().interventions_by_hand().to_vec();
        self.branches.set_by_hand(by_hand);
        self.run_changed();
        Ok(())
    }

    /// Does something to the message that is selected, as if it had been done when the message left.
    ///
    /// # Errors
    /// A sentence: why it cannot be done.
    pub fn catch(&mut self, how: Catch) -> Result<(), String> {
        self.pause();
        self.check_open()?;
        let flight = self.picked.and_then(|picked| self.flight_of(picked));
        let flight = flight.ok_or("Select a message on its way first.")?;
        let sim = self.sim();
        let kind = sim.spec().messages.get(usize::from(flight.info.kind));
        let select = Selector {
            from: Some(flight.from),
            to: Some(flight.to),
            kind: kind.map(|kind| kind.name.to_owned()),
            instance: flight
                .info
                .instance
                .and_then(|id| sim.names().get(&id).cloned()),
            round: Some(flight.info.round),
            nth: Some(1),
        };
        let (act, counted) = match how {
            Catch::Drop => (Act::Drop(select), "loss"),
            Catch::Delay(by_ms) => (Act::Delay { select, by_ms }, "delay"),
            Catch::Duplicate => (Act::Duplicate(select), "duplication"),
            Catch::Corrupt => (Act::Corrupt(select), "corruption"),
        };
        sim.scenario().check_act(&act)?;
        let count = |sim: &Sim| sim.faults().get(counted).copied().unwrap_or_default();
        let (step, before) = (sim.steps(), count(sim));
        let forks = self.branches.must_fork(step);
        if forks {
            self.branches.check_room()?;
        }
        let known = sim.interventions_by_hand().to_vec();
        let mut by_hand = known.clone();
        let at = At::Step(flight.step);
        // Before anything else of that step: a request by hand may have sent it.
        let place = by_hand.partition_point(|entry| entry.at < at);
        by_hand.insert(place, Intervention { at, act });
        // Nothing differs until the message would have arrived.
        self.timeline.redo(&by_hand);
        self.timeline.seek(step);
        if count(self.sim()) == before {
            self.timeline.redo(&known);
            self.timeline.seek(step);
            return Err("This message cannot be caught any more.".to_owned());
        }
        if forks {
            self.branches.fork(step, to_ms(self.sim().now()))?;
        }
        self.branches.set_by_hand(by_hand);
        self.run_changed();
        Ok(())
    }

    /// Stops the selected node, or starts it again.
    ///
    /// # Errors
    /// A sentence: why it cannot be done.
    pub fn crash_or_restart(&mut self) -> Result<(), String> {
        let node = self.selected.ok_or("Select a node first: keys 1 to 9.")?;
        self.check_open()?;
        self.begin()?;
        let act = if self.sim().is_alive(node) {
            let when = CrashPoint::BetweenSteps;
            Act::Crash { node, when }
        } else {
            Act::Restart { node }
        };
        self.intervene(&[act])
    }

    /// Cuts a link both ways, or mends it: the selected one, or else every link of the selected node.
    ///
    /// # Errors
    /// A sentence: why it cannot be done.
    pub fn cut_or_mend(&mut self) -> Result<(), String> {
        let pairs: Vec<(NodeId, NodeId)> = match (self.picked(), self.selected) {
            (Some(Picked::Link(a, b)), _) => vec![(NodeId(a), NodeId(b))],
            (Some(Picked::Message { from, to, .. }), _) => vec![(NodeId(from), NodeId(to))],
            (None, Some(node)) => {
                let others = self.scenario().ids().filter(|other| *other != node);
                others.map(|other| (node, other)).collect()
            }
            (None, None) => return Err("Select a link or a node first.".to_owned()),
        };
        let is_whole = pairs.iter().any(|(a, b)| !self.is_cut(*a, *b));
        let acts: Vec<Act> = pairs
            .iter()
            .flat_map(|(a, b)| [cut(*a, *b, is_whole), cut(*b, *a, is_whole)])
            .collect();
        self.intervene(&acts)
    }

    /// Whether a link is cut both ways.
    pub fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        self.sim().is_cut(a, b) && self.sim().is_cut(b, a)
    }

    /// Breaks the run as one of the scenario's buttons says, and plays from there. An exhibit is not a thing to do here.
    ///
    /// # Errors
    /// A sentence: why it cannot be done.
    pub fn break_it(&mut self, place: usize) -> Result<(), String> {
        let how = self.scenario().view.breaks.get(place).map(|it| &it.how);
        let Some(BreakHow::Act(entry)) = how.cloned() else {
            return Ok(());
        };
        self.check_open()?;
        // Each button breaks the run as it was planned.
        self.switch(0);
        self.pause();
        match entry.at {
            At::Time(at) => self.timeline.seek_time(at),
            At::Step(step) => self.timeline.seek(step),
        }
        self.begin()?;
        self.arrive();
        // The same button again makes the same future again.
        let at = At::Step(self.sim().steps());
        let same = [Intervention {
            at,
            act: entry.act.clone(),
        }];
        let known = self
            .branches
            .list()
            .iter()
            .find(|branch| branch.by_hand == same);
        if let Some(id) = known.map(|branch| branch.id) {
            self.branches.delete(id);
        }
        self.intervene(&[entry.act])?;
        self.is_playing = true;
        Ok(())
    }

    /// A new future from the cursor on, in which nothing is done yet.
    ///
    /// # Errors
    /// A sentence: why it cannot be.
    pub fn fork(&mut self) -> Result<(), String> {
        if self.sim().is_live() {
            return Err(HAPPENED.to_owned());
        }
        self.pause();
        let step = self.sim().steps();
        self.branches.fork(step, to_ms(self.sim().now()))?;
        let by_hand = self.branches.shown().by_hand.clone();
        self.timeline.redo(&by_hand);
        self.run_changed();
        Ok(())
    }

    /// Shows another future at the same time.
    pub fn switch(&mut self, id: u16) {
        if self.branches.shown().id == id || !self.branches.show(id) {
            return;
        }
        self.pause();
        let cursor = self.cursor_ms;
        let by_hand = self.branches.shown().by_hand.clone();
        self.timeline.redo(&by_hand);
        self.run_changed();
        self.goal = Some(Goal::Time(cursor));
    }

    /// Gives a future a name.
    pub fn rename_branch(&mut self, id: u16, name: &str) {
        self.branches.rename(id, name);
    }

    /// Forgets a future; if it is shown, its parent is shown from then on.
    pub fn delete_branch(&mut self, id: u16) {
        let shown = self.branches.shown();
        if let (true, Some(parent)) = (shown.id == id, shown.parent) {
            self.switch(parent);
        }
        self.branches.delete(id);
        self.comparing = None;
    }

    /// Compares the future that is shown with another.
    pub fn compare(&mut self, id: u16) {
        let shown = self.branches.shown();
        let other = self.branches.list().iter().find(|branch| branch.id == id);
        let Some(other) = other.filter(|other| other.id != shown.id) else {
            return;
        };
        let run = |by_hand: &[Intervention]| {
            let mut sim = Sim::new(self.scenario()).ok()?;
            sim.plan_by_hand(by_hand);
            Some(sim)
        };
        let runs = run(&shown.by_hand).zip(run(&other.by_hand));
        let names = [shown, other].map(|branch| (branch.id, branch.name()));
        self.comparing =
            runs.map(|(a, b)| Comparing::Running(Box::new(Compare::new([a, b], names))));
    }

    /// Closes the comparison.
    pub fn dismiss_comparison(&mut self) {
        self.comparing = None;
    }

    /// What differs between the two futures that are compared; `None` within while they still run.
    pub fn comparison(&self) -> Option<Option<&Difference>> {
        match self.comparing.as_ref()? {
            Comparing::Running(_) => Some(None),
            Comparing::Done(difference) => Some(Some(difference)),
        }
    }

    /// Where two futures that are compared part, in milliseconds.
    pub fn parted_ms(&self) -> Option<f64> {
        self.comparison()??.first.map(|(_, ms)| ms)
    }

    /// Goes to the first difference, in one of the two futures.
    pub fn seek_difference(&mut self, branch: u16) {
        let known = self.comparing.take();
        if let Some(Comparing::Done(difference)) = &known
            && let Some((step, _)) = difference.first
        {
            self.switch(branch);
            self.seek_after_step(step);
        }
        self.comparing = known;
    }

    pub(super) fn work_at_comparison(&mut self, has_time: &mut dyn FnMut() -> bool) {
        if crate::WORKBENCH
            && let Some(Comparing::Running(compare)) = &mut self.comparing
            && let Some(difference) = compare.work(has_time)
        {
            self.comparing = Some(Comparing::Done(Box::new(difference)));
        }
    }

    /// The flight of a message that is selected.
    fn flight_of(&self, picked: Picked) -> Option<Flight> {
        let Picked::Message {
            from,
            to,
            kind,
            arrives_ms,
        } = picked
        else {
            return None;
        };
        let messages = self.sim().spec().messages;
        let is_meant = |flight: &Flight| {
            (flight.from.0, flight.to.0, flight.arrives) == (from, to, from_ms(arrives_ms))
                && messages
                    .get(usize::from(flight.info.kind))
                    .is_some_and(|known| known.name == kind)
        };
        self.sim().flights().into_iter().find(is_meant)
    }

    /// Everything that starts at 0 ms starts before anything is done by hand.
    fn begin(&mut self) -> Result<(), String> {
        let starts = |sim: &Sim| sim.now() == Time::ZERO && sim.next_at() == Some(Time::ZERO);
        if !starts(self.sim()) {
            return Ok(());
        }
        if self.sim().interventions_by_hand().len() < self.interventions().len() {
            // What was done at the start is not yet done here, and is not meant to be.
            self.fork()?;
        }
        while starts(self.sim()) {
            self.step_once();
        }
        Ok(())
    }

    /// Refuses to change what may only be looked at.
    fn check_open(&self) -> Result<(), String> {
        if self.sim().is_live() {
            return Err(HAPPENED.to_owned());
        }
        if self.branches.is_read_only() {
            return Err(
                "This run came from a file and stays as it is. Fork it (F) to change it."
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Refuses what would do nothing.
    fn check_sense(&self, act: &Act) -> Result<(), String> {
        let sim = self.sim();
        let down = |node: &NodeId| Err(format!("Node {} is down.", node.0));
        match act {
            Act::Crash { node, .. } if !sim.is_alive(*node) => down(node),
            Act::Submit { to, .. } | Act::SubmitAs { to, .. }
                if !to.is_empty() && to.iter().all(|node| !sim.is_alive(*node)) =>
            {
                down(&to[0])
            }
            Act::Restart { node } if sim.is_alive(*node) => {
                Err(format!("Node {} is up already.", node.0))
            }
            Act::Drop(_)
            | Act::Delay { .. }
            | Act::Duplicate(_)
            | Act::Corrupt(_)
            | Act::Link(_)
            | Act::Skew { .. }
                if self.scenario().schedule == Schedule::Manual =>
            {
                Err("In this run the scenario says itself what arrives and when.".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The run at the cursor has another future than before.
    fn run_changed(&mut self) {
        let cursor = self.cursor_ms;
        self.scout = Scout::again(self.sim().clone(), self.interventions());
        self.history.cut(0);
        #[cfg(feature = "snowball")]
        self.shares.cut(0);
        self.story.cut(0);
        self.arrive();
        let next = self.sim().next_at().map_or(f64::INFINITY, to_ms);
        self.cursor_ms = cursor.min(next).max(self.cursor_ms);
        self.why = None;
        self.comparing = None;
    }
}

const HAPPENED: &str = "This happened in a live room: nothing can be done to it any more.";

fn cut(from: NodeId, to: NodeId, is_lost: bool) -> Act {
    Act::Link(Link {
        from: Some(from),
        to: Some(to),
        latency_ms: None,
        loss_permille: Some(if is_lost { 1_000 } else { 0 }),
    })
}
