//! What is told of the run above its pictures: a broken rule, what it waits for, why it stopped, what could not be done.

use yew::html::Scope;
use yew::prelude::*;

use super::deed::button;
use super::hand::{Hand, HandAct, Panel};
use super::{Msg, Simulate};
use crate::session::Session;

/// The bar above the stage.
pub(super) fn bar(link: &Scope<Simulate>, hand: &Hand, session: &Session) -> Html {
    let act = link.callback(Msg::Hand);
    let is_open = |panel: Panel| (hand.panel == Some(panel)).to_string();
    let opener = |panel: Panel, text: &'static str| {
        let onclick = act.reform(move |_: MouseEvent| HandAct::Toggle(panel));
        html! {
            <button type="button" class="small" id={panel.button()} aria-expanded={is_open(panel)} {onclick}
                data-testid={panel.button()}>{ text }</button>
        }
    };
    let as_recorded = session.is_as_recorded().map(|is| match is {
        true => html! { <span class="verdict holds" data-testid="as-recorded">{ "✓ the recorded hash" }</span> },
        false => html! { <span class="verdict broken" data-testid="as-recorded">{ "✕ not the recorded hash" }</span> },
    });
    html! {
        <div class="by-hand">
            if !session.sim().is_live() {
                if session.branches().is_read_only() {
                    <span class="muted" data-testid="read-only">{ "Replayed: read-only until you fork it." }</span>
                } else {
                    { opener(Panel::Deed, "Do something") }
                }
                { button("Fork (F)", "fork", &act, HandAct::Fork) }
            }
            { opener(Panel::Breakpoints, "Breakpoints (B)") }
            { for as_recorded }
            <span class="stopped" role="status" data-testid="stopped">
                { session.breakpoints().hit().unwrap_or_default() }
            </span>
        </div>
    }
}

/// What is wrong, or could not be done.
pub(super) fn told(link: &Scope<Simulate>, hand: &Hand, session: &Session) -> Html {
    let mut verdicts = session.sim().verdicts().into_iter();
    let broken = verdicts.find(|verdict| !verdict.holds);
    let why = link.callback(|_: MouseEvent| Msg::WhyBroken);
    let hardened = link.callback(|_: MouseEvent| Msg::Hardened);
    let stalled = if broken.is_none() {
        session.stalled()
    } else {
        None
    };
    html! {
        <>
            if let Some(verdict) = broken {
                <div class="alarm" role="alert" data-testid="violated">
                    { format!("Safety broken: {}. {}", verdict.name, verdict.detail) }
                    <span class="alarm-acts">
                        <button type="button" class="small" onclick={why} data-testid="why-broken">{ "Why" }</button>
                        if !session.is_hardened() {
                            <button type="button" class="small" onclick={hardened} data-testid="hardened">
                                { "Same run hardened" }</button>
                        }
                    </span>
                </div>
            }
            if let Some(lack) = stalled {
                <p class="warning" role="status" data-testid="stalled">{ "Stalled: " }{ lack }</p>
            }
            if let Some(refusal) = &hand.refusal {
                <p class="warning" role="alert" data-testid="refusal">{ refusal }</p>
            }
        </>
    }
}
