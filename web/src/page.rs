//! What is drawn. Components hold a session or a room and draw it; nothing is decided here.

use phaselab_core::types::{InstanceId, NodeId};

use crate::browser::keys::Key;

mod app;
mod check;
mod events;
mod icons;
mod inspector;
mod lanes;
mod live;
mod live_nodes;
mod live_seat;
mod meter;
mod museum;
mod open;
pub(crate) mod parts;
mod simulate;
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
    /// Asks why an instance ended at a node or has not; with `None`, closes the answer.
    Why(Option<(NodeId, InstanceId)>),
}

impl StageAct {
    /// What a key means on any stage: a digit selects, Escape lets go.
    fn of_key(key: &Key) -> Option<StageAct> {
        match key.name.as_str() {
            "Escape" => Some(StageAct::Select(None)),
            digit if digit.len() == 1 && ("1"..="9").contains(&digit) => {
                Some(StageAct::Select(digit.parse().ok()))
            }
            _ => None,
        }
    }
}

/// Replaces the poster.
pub(crate) fn mount() {
    if let Some(root) = document().and_then(|document| document.get_element_by_id("app")) {
        yew::Renderer::<app::App>::with_root(root).render();
    }
}

fn document() -> Option<web_sys::Document> {
    web_sys::window()?.document()
}
