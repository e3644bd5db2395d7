//! What keys mean on the stage of a simulated run.

use super::super::StageAct;
use super::Msg;
use super::hand::{HandAct, Panel};
use crate::browser::keys::Key;
use crate::keymap::{Meaning, SIMULATE};
use crate::look::LookAct;

/// What a key means here.
pub(super) fn meaning(key: &Key) -> Option<Msg> {
    let meaning = key.meaning(SIMULATE)?;
    Some(match meaning {
        Meaning::Transport(act) => Msg::Transport(act),
        Meaning::NextPhase => Msg::NextPhase,
        Meaning::PreviousPhase => Msg::PreviousPhase,
        Meaning::Speed(by) => Msg::Speed(by),
        Meaning::Why => Msg::Ask,
        Meaning::Escape => Msg::Escape,
        Meaning::Picture => Msg::Look(LookAct::OtherView),
        Meaning::Zoom(by) => Msg::Look(LookAct::Zoom(by)),
        Meaning::Filter => Msg::ToFilter,
        Meaning::Node(_) => Msg::Stage(StageAct::of(meaning)?),
        Meaning::Crash => Msg::Hand(HandAct::CrashOrRestart),
        Meaning::Cut => Msg::Hand(HandAct::CutOrMend),
        Meaning::Drop => Msg::Hand(HandAct::Drop),
        Meaning::Fork => Msg::Hand(HandAct::Fork),
        Meaning::Breakpoints => Msg::Hand(HandAct::Toggle(Panel::Breakpoints)),
        // Those of every stage are heard elsewhere.
        _ => return None,
    })
}
