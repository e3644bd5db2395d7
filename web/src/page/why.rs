//! Why an instance ended at a node, or whom it lacks there: an answer, whose lines lead to their steps.

use phaselab_core::types::{InstanceId, NodeId};
use phaselab_core::why::Why;
use yew::prelude::*;

use super::StageAct;
use super::icons::{Icon, icon};
use crate::session::to_ms;

/// The element that takes the focus when an answer opens.
pub(super) const HEADING: &str = "why";

/// The element that takes the focus back when it closes.
pub(super) fn button_id(instance: InstanceId) -> String {
    format!("why-{}", instance.0.short())
}

/// A button that asks.
pub(super) fn button(node: u16, id: InstanceId, name: &str, act: &Callback<StageAct>) -> Html {
    let ask = act.reform(move |_: MouseEvent| StageAct::Why(Some((NodeId(node), id))));
    html! {
        <button type="button" class="small" id={button_id(id)} onclick={ask} data-testid="ask-why"
            aria-label={["Why? ", name].concat()}>{ "Why?" }</button>
    }
}

/// Draws an answer.
pub(super) fn answer(why: &Why, time: &dyn Fn(f64) -> String, act: &Callback<StageAct>) -> Html {
    let close = act.reform(|_: MouseEvent| StageAct::Why(None));
    let line = |step: Option<u64>, at: Html, sentence: &str| {
        let content = html! { <>{ at }{ sentence }</> };
        let Some(step) = step else {
            return html! { <span class="why-line">{ content }</span> };
        };
        let seek = act.reform(move |_: MouseEvent| StageAct::SeekAfter(step));
        html! {
            <button type="button" class="why-line" onclick={seek} data-testid="why-line" data-step={step.to_string()}
                title="Go to just after this">{ content }</button>
        }
    };
    let causes = why.lines.iter().map(|it| {
        let from: Vec<String> = it.because.iter().map(|at| (at + 1).to_string()).collect();
        let at = html! { <span class="event-time">{ time(to_ms(it.at)) }</span> };
        html! {
            <li>
                { line(Some(it.step), at, &it.sentence) }
                if !from.is_empty() {
                    <span class="muted">{ "because of " }{ from.join(", ") }</span>
                }
            </li>
        }
    });
    let lacks = why.lacks.iter().map(|lack| {
        let missing = lack.missing.iter();
        html! {
            <>
                <p>{ &lack.sentence }</p>
                <ul>{ for missing.map(|it| html! { <li>{ line(it.step, html! {}, &it.sentence) }</li> }) }</ul>
            </>
        }
    });
    html! {
        <section class="why" aria-labelledby={HEADING} data-testid="why">
            <div class="inspector-head">
                <h3 id={HEADING} tabindex="-1">{ "Why? " }{ &why.instance }</h3>
                <button type="button" class="quiet icon-button" aria-label="Close the answer" onclick={close}>
                    { icon(Icon::Close) }
                </button>
            </div>
            <p><strong>{ &why.summary }</strong></p>
            <ol>{ for causes }</ol>
            { for lacks }
            { for why.note }
        </section>
    }
}
