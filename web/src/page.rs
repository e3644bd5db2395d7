//! What is drawn. Components hold a session or a room and draw it; nothing is decided here.

use std::cell::RefCell;

use phaselab_core::types::{InstanceId, NodeId};

use crate::keymap::Meaning;
use crate::session::Picked;

mod aids;
mod app;
mod canvas;
mod check;
#[cfg(feature = "snowball")]
mod crowd;
mod events;
mod icons;
mod inspector;
mod lanes;
mod live;
mod live_faults;
mod live_nodes;
mod live_parts;
mod live_seat;
mod meter;
mod museum;
mod open;
pub(crate) mod parts;
mod share;
mod simulate;
mod spacetime;
mod story;
mod top;
mod topology;
mod transport;
mod why;

/// What a person does on the stage, whether the run is simulated or live.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StageAct {
    /// Selects a node, or none.
    Select(Option<u16>),
    /// Shows another instance.
    Focus(InstanceId),
    /// Moves to just after a step.
    SeekAfter(u64),
    /// Selects a link or a message.
    Pick(Picked),
    /// Asks why an instance ended at a node or has not; with `None`, closes the answer.
    Why(Option<(NodeId, InstanceId)>),
}

impl StageAct {
    /// What a key means on any stage: a digit selects, Escape lets go.
    fn of(meaning: Meaning) -> Option<StageAct> {
        match meaning {
            Meaning::Escape => Some(StageAct::Select(None)),
            Meaning::Node(node) => Some(StageAct::Select(Some(node))),
            _ => None,
        }
    }
}

thread_local! {
    static MOUNTED: RefCell<Option<yew::AppHandle<app::App>>> = const { RefCell::new(None) };
}

/// Replaces the poster.
pub(crate) fn mount() {
    if let Some(root) = document().and_then(|document| document.get_element_by_id("app")) {
        MOUNTED.set(Some(yew::Renderer::<app::App>::with_root(root).render()));
    }
}

/// Makes room for another program.
pub(crate) fn unmount() {
    if let Some(app) = MOUNTED.take() {
        app.destroy();
    }
}

fn document() -> Option<web_sys::Document> {
    web_sys::window()?.document()
}
