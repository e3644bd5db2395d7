//! Where playing stops by itself: at a phase, at a kind of event, and where an invariant breaks.

use phaselab_core::event::EventKind;
use phaselab_core::narrate;
use phaselab_core::sim::log::Logged;
use phaselab_core::types::NodeId;
use phaselab_core::view::Spec;

/// The most breakpoints beside the one for invariants.
pub const BREAKPOINTS_MAX: usize = 12;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A node enters the phase with this index.
    Phase(u8),
    /// Something is locked.
    Lock,
    /// Something is decided.
    Decision,
    /// A certificate is taken, or a quorum makes one.
    Certificate,
    /// Something was broken on purpose, or lost.
    Fault,
}

impl Wait {
    /// The kinds of event that can be waited for.
    pub const EVENTS: [Wait; 4] = [Wait::Lock, Wait::Decision, Wait::Certificate, Wait::Fault];

    /// As lists show it.
    pub fn name(self, spec: &Spec) -> &'static str {
        match self {
            Wait::Phase(phase) => spec
                .phases
                .get(usize::from(phase))
                .map_or("unknown", |phase| phase.name),
            Wait::Lock => "a lock",
            Wait::Decision => "a decision",
            Wait::Certificate => "a certificate",
            Wait::Fault => "a fault",
        }
    }

    fn is_met(self, kind: EventKind) -> bool {
        match self {
            Wait::Phase(phase) => kind == EventKind::PhaseEntered(phase),
            Wait::Lock => kind == EventKind::Locked,
            Wait::Decision => matches!(kind, EventKind::Decided | EventKind::FastForwarded),
            Wait::Certificate => {
                matches!(kind, EventKind::FastForwarded | EventKind::QuorumReached(_))
            }
            Wait::Fault => {
                super::scout::is_fault(kind) || matches!(kind, EventKind::MessageDropped(_))
            }
        }
    }
}

/// Where playing stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    /// What is waited for.
    pub wait: Wait,
    /// At which node; `None` means any.
    pub node: Option<NodeId>,
}

impl Breakpoint {
    /// In words.
    pub fn text(&self, spec: &Spec) -> String {
        let name = self.wait.name(spec);
        match self.node {
            Some(node) => format!("{name} at node {}", node.0),
            None => name.to_owned(),
        }
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Breakpoints {
    list: Vec<Breakpoint>,
    /// Whether a broken invariant stops.
    pub on_broken: bool,
    hit: Option<String>,
}

impl Default for Breakpoints {
    fn default() -> Self {
        Breakpoints {
            list: Vec::new(),
            on_broken: true,
            hit: None,
        }
    }
}

impl Breakpoints {
    /// Those for phases and events.
    pub fn list(&self) -> &[Breakpoint] {
        &self.list
    }

    /// What playing was stopped by, in a sentence.
    pub fn hit(&self) -> Option<&str> {
        self.hit.as_deref()
    }

    /// Sets one, or takes it away.
    pub fn toggle(&mut self, breakpoint: Breakpoint) {
        let place = self.list.iter().position(|known| *known == breakpoint);
        match place {
            Some(place) => {
                self.list.remove(place);
            }
            None if self.list.len() < BREAKPOINTS_MAX => self.list.push(breakpoint),
            None => {}
        }
    }

    /// Forgets what playing was stopped by.
    pub(super) fn go_on(&mut self) {
        self.hit = None;
    }

    /// Whether an event is waited for. What is met first is told.
    pub(super) fn note(&mut self, entry: &Logged, spec: &Spec) -> bool {
        let is_here = |it: &&Breakpoint| it.node.is_none_or(|node| node == entry.node);
        let mut here = self.list.iter().filter(is_here);
        let Some(met) = here.find(|it| it.wait.is_met(entry.event.kind)) else {
            return false;
        };
        let sentence = narrate::sentence(spec, entry.node, &entry.event, None);
        self.hit = Some(format!("Stopped at {}: {sentence}", met.text(spec)));
        true
    }

    /// Whether a rule that breaks stops.
    pub(super) fn note_broken(&mut self) -> bool {
        if self.on_broken {
            self.hit = Some("Stopped: a rule is broken.".to_owned());
        }
        self.on_broken
    }
}
