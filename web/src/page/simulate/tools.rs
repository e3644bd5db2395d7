//! The top of a simulated run: which scenario, which seed, files, the checker; and how the run is made.

use phaselab_core::crypto::Crypto;
use web_sys::{HtmlElement, HtmlInputElement, HtmlSelectElement};
use yew::html::Scope;
use yew::prelude::*;

use super::super::check::Check;
use super::super::top::{self, Mode};
use super::super::{open, share};
use super::{Msg, Simulate};
use crate::session::Session;
use crate::session::share::Refused;
use crate::{WORKBENCH, builtin};

/// Of more nodes there are too many schedules for a browser.
const CHECK_NODES_MAX: u16 = 4;

/// The checker's panel for what is shown.
pub(super) fn checker(name: &str, session: &Session) -> Check {
    let scenario = session.scenario();
    let flaws = scenario.protocol.flaws().iter();
    let flaws = flaws.filter(|flaw| flaw.is_switchable());
    let flaws = flaws.map(|flaw| flaw.id).collect();
    Check::new(name.to_owned(), scenario.seed, flaws)
}

/// A link past everything.
pub(super) fn skip(play: &NodeRef) -> Html {
    let play = play.clone();
    let skip = Callback::from(move |_: MouseEvent| {
        if let Some(button) = play.cast::<HtmlElement>() {
            // A button that is drawn takes the focus.
            let _focused = button.focus();
        }
    });
    html! { <button type="button" class="skip" onclick={skip}>{ "Skip to Play" }</button> }
}

/// The controls.
pub(super) fn tools(
    link: &Scope<Simulate>,
    session: &Session,
    name: &str,
    (is_checking, is_sharing): (bool, bool),
) -> Html {
    let reseed = link.batch_callback(|event: Event| {
        event
            .target_dyn_into::<HtmlInputElement>()
            .map(|input| Msg::Seed(input.value()))
    });
    // What happened has no seed, and no other schedule.
    let is_live = session.sim().is_live();
    html! {
        <>
            { chooser(link, name) }
            if WORKBENCH {
                { open::control(link.callback(Msg::Open)) }
            } else {
                <button type="button" class="small" onclick={link.callback(|_: MouseEvent| Msg::ToOpen)}>{ "Open" }</button>
            }
            if !is_live {
                <label class="seed">
                    <span>{ "Seed" }</span>
                    <input type="number" min="0" step="1" value={session.scenario().seed.to_string()}
                        onchange={reseed} data-testid="seed" />
                </label>
            }
            <button type="button" class="small" onclick={link.callback(|_: MouseEvent| Msg::Share)} id={share::BUTTON}
                aria-expanded={is_sharing.to_string()} data-testid="share">{ "Share" }</button>
            if !is_live && session.scenario().nodes <= CHECK_NODES_MAX {
                <button type="button" class="small" onclick={link.callback(|_: MouseEvent| Msg::Check)}
                    aria-expanded={is_checking.to_string()} data-testid="check">{ "Check" }</button>
            }
        </>
    }
}

fn chooser(link: &Scope<Simulate>, shown: &str) -> Html {
    let choose = link.batch_callback(|event: Event| {
        event
            .target_dyn_into::<HtmlSelectElement>()
            .map(|select| Msg::Scenario(select.value()))
    });
    html! {
        <label class="scenario">
            <span>{ "Scenario" }</span>
            <select onchange={choose} data-testid="scenario">
                { for builtin::protocols().into_iter().map(|protocol| html! {
                    <optgroup label={protocol}>
                        { for builtin::names().filter_map(|whole| {
                            let name = whole.strip_prefix(protocol)?.strip_prefix('/')?;
                            Some(html! {
                                <option value={whole} selected={whole == shown}>{ name }</option>
                            })
                        }) }
                    </optgroup>
                }) }
            </select>
        </label>
    }
}

/// The page of a scenario that cannot be shown.
pub(super) fn refused(link: &Scope<Simulate>, name: &str, why: &Refused) -> Html {
    html! {
        <div class="page simulate">
            { top::top(Mode::Simulate, chooser(link, name), "Simulated", html! {}, None) }
            <main class="stage">{ share::refused(why) }</main>
        </div>
    }
}

/// How the run is made.
pub(super) fn badge(session: &Session) -> String {
    let scenario = session.scenario();
    let crypto = match scenario.crypto {
        Crypto::Ed25519 => "Ed25519",
        Crypto::Simulated => "simulated signatures",
    };
    let rules = if scenario.flaws.is_empty() {
        scenario.rules.name().to_owned()
    } else {
        format!("with {}: unsafe", scenario.flaws.join(", "))
    };
    if session.sim().is_live() {
        return format!("Live, recorded · {rules} · {crypto}");
    }
    format!("Simulated · {rules} · seed {} · {crypto}", scenario.seed)
}
