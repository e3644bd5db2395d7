//! The futures that are kept, two of them side by side, and breakpoints.

use yew::prelude::*;

use super::super::parts::time;
use super::deed::{button, choose, which};
use super::hand::{FUTURES, Hand, HandAct, Panel};
use crate::session::Session;
use crate::session::branches::Branch;
use crate::session::breakpoints::Wait;
use crate::session::compare::{Difference, Side};
use web_sys::HtmlInputElement;

/// Draws the tree, and what differs if that was asked for.
pub(super) fn futures(session: &Session, act: &Callback<HandAct>) -> Html {
    let branches = session.branches();
    if branches.list().len() < 2 {
        return html! {};
    }
    html! {
        <section class="futures" aria-label="Futures" id={FUTURES} tabindex="-1" data-testid="futures">
            <ul>{ for branches.list().iter().map(|branch| row(session, branch, act)) }</ul>
            { for session.comparison().map(|difference| compared(difference, act)) }
        </section>
    }
}

fn row(session: &Session, branch: &Branch, act: &Callback<HandAct>) -> Html {
    let (branches, id, name) = (session.branches(), branch.id, branch.name());
    let is_shown = branches.shown().id == id;
    let show = act.reform(move |_: MouseEvent| HandAct::Switch(id));
    let compare = act.reform(move |_: MouseEvent| HandAct::Compare(id));
    let delete = act.reform(move |_: MouseEvent| HandAct::Delete(id));
    let rename = act.reform(move |event: InputEvent| {
        let input = event.target_dyn_into::<HtmlInputElement>();
        HandAct::Rename(id, input.map_or_else(String::new, |input| input.value()))
    });
    let twigs = "└ ".repeat(branches.depth(branch).min(1));
    let style = format!(
        "padding-left:{}px",
        branches.depth(branch).saturating_sub(1) * 16
    );
    html! {
        <li key={id} {style}>
            <span class="muted" aria-hidden="true">{ twigs }</span>
            <button type="button" class="topic" aria-pressed={is_shown.to_string()} onclick={show} data-testid="future"
                data-future={id.to_string()}>{ &name }</button>
            if is_shown && branch.parent.is_some() {
                <input class="rename" value={branch.given_name().to_owned()} oninput={rename} placeholder="Name it" aria-label="Name of this future"
                    data-testid="rename" maxlength="40" />
            }
            if !is_shown {
                <button type="button" class="quiet" onclick={compare} data-testid="compare"
                    aria-label={["Compare with ", &name].concat()}>{ "Compare" }</button>
            }
            if branch.parent.is_some() {
                <button type="button" class="quiet" onclick={delete} data-testid="delete"
                    aria-label={["Delete ", &name].concat()}>{ "Delete" }</button>
            }
        </li>
    }
}

fn compared(difference: Option<&Difference>, act: &Callback<HandAct>) -> Html {
    let Some(difference) = difference else {
        return html! { <p class="muted" role="status">{ "Both futures run to their ends." }</p> };
    };
    let first = match difference.first {
        Some((step, ms)) => format!("They part at {}, in step {step}.", time(ms)),
        None => "Nothing differs.".to_owned(),
    };
    html! {
        <div class="compared" data-testid="compared">
            <div class="check-head"><h3>{ first }</h3>{ button("Close", "uncompare", act, HandAct::Uncompare) }</div>
            <div class="compared-sides">
                { for difference.sides.iter().map(|side| one(side, difference.first.is_some(), act)) }
            </div>
        </div>
    }
}

fn one(side: &Side, has_parted: bool, act: &Callback<HandAct>) -> Html {
    let list = |items: &[String], none: &'static str| {
        html! {
            <dd>{ if items.is_empty() { none.to_owned() } else { items.join(", ") } }</dd>
        }
    };
    html! {
        <section data-testid="compared-side" data-future={side.branch.to_string()}>
            <h4>{ &side.name }</h4>
            <dl class="facts">
                <dt>{ "first" }</dt><dd>{ side.event.clone().unwrap_or_else(|| "nothing any more".to_owned()) }</dd>
                <dt>{ "decided" }</dt>{ list(&side.decisions, "nothing") }
                <dt>{ "broken" }</dt>{ list(&side.broken, "nothing") }
                <dt>{ "trace" }</dt><dd><code>{ &side.hash[..16] }</code></dd>
            </dl>
            if has_parted { { button("Go there", "to-difference", act, HandAct::ToDifference(side.branch)) } }
        </section>
    }
}

/// Draws the panel of breakpoints.
pub(super) fn breakpoints(hand: &Hand, session: &Session, act: &Callback<HandAct>) -> Html {
    let spec = session.sim().spec();
    let phases = (0..spec.phases.len() as u8).map(Wait::Phase);
    let waits = Wait::EVENTS.into_iter().chain(phases);
    let waits = waits.map(|wait| wait.name(spec).to_owned());
    let breakpoints = session.breakpoints();
    let on_broken = act.reform(|_: Event| HandAct::OnBroken);
    html! {
        <section class="check" aria-label="Breakpoints" data-testid="breakpoints">
            <div class="check-form">
                { choose("wait", "Stop at", waits, hand.wait, act, HandAct::Wait) }
                { which("wait-at", "Where", session, Some("any node"), hand.wait_at, act, HandAct::WaitAt) }
                { button("Set", "set-wait", act, HandAct::SetWait) }
                <label class="tick-box"><input type="checkbox" checked={breakpoints.on_broken} onchange={on_broken}
                    data-testid="on-broken" />{ "a broken rule" }</label>
                { button("Close", "breakpoints-close", act, HandAct::Toggle(Panel::Breakpoints)) }
            </div>
            <ul class="deeds">
                { for breakpoints.list().iter().map(|it| {
                    let (unset, text) = (*it, it.text(spec));
                    let onclick = act.reform(move |_: MouseEvent| HandAct::Unset(unset));
                    html! {
                        <li><button type="button" class="topic" aria-label={["Remove ", &text].concat()} {onclick}
                            data-testid="breakpoint">{ &text }{ " ×" }</button></li>
                    }
                }) }
            </ul>
        </section>
    }
}
