//! What a person does to the run by hand: what is chosen, and what is told of it. The panels are files of their own.

use phaselab_core::types::NodeId;

use crate::session::breakpoints::{Breakpoint, Wait};
use crate::session::deed::{Deed, Verb};
use crate::session::{Catch, Picked, Session};

/// The panel that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panel {
    /// Any fault.
    Deed,
    /// Where playing stops.
    Breakpoints,
}

impl Panel {
    /// The element that takes the focus when it opens.
    pub(super) fn first(self) -> &'static str {
        match self {
            Panel::Deed => "deed-verb",
            Panel::Breakpoints => "wait",
        }
    }

    /// The button that opens it.
    pub(super) fn button(self) -> &'static str {
        match self {
            Panel::Deed => "open-deed",
            Panel::Breakpoints => "open-breakpoints",
        }
    }
}

/// What a person does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum HandAct {
    /// Opens a panel, or closes it.
    Toggle(Panel),
    /// Opens the form for something that is done to a node, or to the link between two.
    Form(Verb, u16, u16),
    /// Chooses what is done.
    Verb(usize),
    Node(usize),
    Other(usize),
    How(usize),
    Number(String),
    Text(String),
    Also(String),
    More(usize, String),
    /// Does what the form says.
    Do,
    CrashOrRestart,
    CutOrMend,
    Catch(Catch),
    /// Drops the message that is selected, or selects the next one that arrives.
    Drop,
    Break(usize),
    Fork,
    Switch(u16),
    Delete(u16),
    Rename(u16, String),
    Compare(u16),
    Uncompare,
    ToDifference(u16),
    Wait(usize),
    WaitAt(usize),
    /// Sets what is chosen as a breakpoint.
    SetWait,
    Unset(Breakpoint),
    OnBroken,
}

/// What is chosen and told.
#[derive(Default)]
pub(super) struct Hand {
    pub(super) panel: Option<Panel>,
    pub(super) deed: Deed,
    pub(super) wait: usize,
    pub(super) wait_at: usize,
    /// Why the last thing could not be done.
    pub(super) refusal: Option<String>,
    /// Whether the scenario's ways to break it were used.
    pub(super) has_broken: bool,
}

impl Hand {
    /// Does it. Gives the element that takes the focus then.
    pub(super) fn obey(&mut self, act: HandAct, session: &mut Session) -> Option<String> {
        let mut focus = None;
        let done = match act {
            HandAct::Toggle(panel) => {
                let is_open = self.panel == Some(panel);
                self.panel = (!is_open).then_some(panel);
                focus = Some(if is_open {
                    panel.button()
                } else {
                    panel.first()
                });
                if !is_open && let (Panel::Deed, Some(node)) = (panel, session.selected()) {
                    self.deed.node = node;
                }
                Ok(())
            }
            HandAct::Form(verb, node, other) => {
                self.deed.node = node;
                self.deed.choose(verb, session.scenario());
                if other != 0 {
                    self.deed.other = other;
                }
                self.panel = Some(Panel::Deed);
                focus = Some(Panel::Deed.first());
                Ok(())
            }
            HandAct::Verb(place) => {
                let verb = Verb::all(session.scenario().protocol).get(place).copied();
                self.deed
                    .choose(verb.unwrap_or(Verb::Crash), session.scenario());
                Ok(())
            }
            HandAct::Node(place) => {
                self.deed.node = place as u16 + 1;
                Ok(())
            }
            HandAct::Other(place) => {
                self.deed.other = place as u16;
                Ok(())
            }
            HandAct::How(place) => {
                self.deed.how = place;
                Ok(())
            }
            HandAct::Number(number) => {
                self.deed.number = number;
                Ok(())
            }
            HandAct::More(place, text) => {
                if let Some(more) = self.deed.more.get_mut(place) {
                    *more = text;
                }
                Ok(())
            }
            HandAct::Text(text) => {
                self.deed.text = text;
                Ok(())
            }
            HandAct::Also(text) => {
                self.deed.also = text;
                Ok(())
            }
            HandAct::Do => {
                let acts = self.deed.acts(session.scenario());
                acts.and_then(|acts| session.intervene(&acts))
            }
            HandAct::CrashOrRestart => session.crash_or_restart(),
            HandAct::CutOrMend => session.cut_or_mend(),
            HandAct::Catch(how) => session.catch(how),
            HandAct::Drop if matches!(session.picked(), Some(Picked::Message { .. })) => {
                session.catch(Catch::Drop)
            }
            HandAct::Drop => session.pick_next_message(),
            HandAct::Break(place) => {
                self.has_broken = true;
                session.break_it(place)
            }
            HandAct::Fork => session.fork(),
            HandAct::Switch(id) => {
                session.switch(id);
                Ok(())
            }
            HandAct::Delete(id) => {
                session.delete_branch(id);
                focus = Some(FUTURES);
                Ok(())
            }
            HandAct::Rename(id, name) => {
                session.rename_branch(id, &name);
                Ok(())
            }
            HandAct::Compare(id) => {
                session.compare(id);
                Ok(())
            }
            HandAct::Uncompare => {
                session.dismiss_comparison();
                focus = Some(FUTURES);
                Ok(())
            }
            HandAct::ToDifference(branch) => {
                session.seek_difference(branch);
                Ok(())
            }
            HandAct::Wait(place) => {
                self.wait = place;
                Ok(())
            }
            HandAct::WaitAt(place) => {
                self.wait_at = place;
                Ok(())
            }
            HandAct::SetWait => {
                let phases = session.sim().spec().phases.len();
                let wait = match self.wait.checked_sub(Wait::EVENTS.len()) {
                    None => Wait::EVENTS[self.wait],
                    Some(phase) => Wait::Phase(phase.min(phases.saturating_sub(1)) as u8),
                };
                let node = (self.wait_at != 0).then_some(NodeId(self.wait_at as u16));
                session.breakpoints_mut().toggle(Breakpoint { wait, node });
                Ok(())
            }
            HandAct::Unset(breakpoint) => {
                session.breakpoints_mut().toggle(breakpoint);
                focus = Some(Panel::Breakpoints.first());
                Ok(())
            }
            HandAct::OnBroken => {
                let breakpoints = session.breakpoints_mut();
                breakpoints.on_broken = !breakpoints.on_broken;
                Ok(())
            }
        };
        self.refusal = done.err();
        focus.map(str::to_owned)
    }
}

/// The element that takes the focus when a future is gone.
pub(super) const FUTURES: &str = "futures";
