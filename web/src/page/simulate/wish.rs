//! What the program of a first visit leaves to the workbench, as words in the address: where the run stands, and what the
//! person was about to do.

use super::hand::{HandAct, Panel};
use super::{LookAct, Msg, View};
use crate::route::Stand;
use crate::session::{Guess, Session};

/// What a message asks of the workbench, if it does.
pub(super) fn of(msg: &Msg) -> Option<String> {
    let word = match msg {
        Msg::Check => "check",
        Msg::Share => "share",
        Msg::ToOpen => "open",
        Msg::Hardened => "hardened",
        Msg::Look(LookAct::OtherView | LookAct::View(View::SpaceTime)) => "picture",
        Msg::Hand(HandAct::Toggle(Panel::Deed)) => "deed",
        Msg::Hand(HandAct::Toggle(Panel::Breakpoints)) => "breakpoints",
        Msg::Hand(HandAct::Fork) => "fork",
        Msg::Hand(HandAct::CrashOrRestart) => "crash",
        Msg::Hand(HandAct::CutOrMend) => "cut",
        Msg::Hand(HandAct::Drop) => "drop",
        Msg::Hand(HandAct::Break(place)) => return Some(format!("break-{place}")),
        _ => return None,
    };
    Some(word.to_owned())
}

/// The message of a word.
pub(super) fn message(word: &str) -> Option<Msg> {
    Some(match word {
        "check" => Msg::Check,
        "share" => Msg::Share,
        "open" => Msg::ToOpen,
        "hardened" => Msg::Hardened,
        "picture" => Msg::Look(LookAct::OtherView),
        "deed" => Msg::Hand(HandAct::Toggle(Panel::Deed)),
        "breakpoints" => Msg::Hand(HandAct::Toggle(Panel::Breakpoints)),
        "fork" => Msg::Hand(HandAct::Fork),
        "crash" => Msg::Hand(HandAct::CrashOrRestart),
        "cut" => Msg::Hand(HandAct::CutOrMend),
        "drop" => Msg::Hand(HandAct::Drop),
        word => Msg::Hand(HandAct::Break(word.strip_prefix("break-")?.parse().ok()?)),
    })
}

/// Where a run stands.
pub(super) fn stand(session: &Session, wish: String) -> Stand {
    Stand {
        step: session.sim().steps(),
        node: session.selected(),
        guess: session.guess().map(|(guess, _)| guess.name().to_owned()),
        wish: Some(wish),
    }
}

/// Puts a run where it stood.
pub(super) fn resume(session: &mut Session, stand: &Stand) {
    let guess = |name: &String| Guess::ALL.into_iter().find(|guess| guess.name() == name);
    if let Some(guess) = stand.guess.as_ref().and_then(guess) {
        session.set_guess(guess);
    }
    if let Some(before) = stand.step.checked_sub(1) {
        session.seek_after_step(before);
    }
    session.select(stand.node);
}
