//! The list of events as sentences: the story, and the text for those who do not see the picture.

use yew::prelude::*;

use super::StageAct;
use super::parts::chip;
use crate::session::EventLine;

/// Draws the list. `all` says whether every event is shown, or those worth telling; `time` writes a time.
pub(super) fn events(
    lines: &[EventLine],
    all: bool,
    empty: &str,
    list: &NodeRef,
    time: &dyn Fn(f64) -> String,
    act: &Callback<StageAct>,
    toggle: &Callback<bool>,
) -> Html {
    let toggle_all = {
        let toggle = toggle.clone();
        Callback::from(move |_: MouseEvent| toggle.emit(!all))
    };
    let last = lines.len().saturating_sub(1);
    let rows = lines
        .iter()
        .enumerate()
        .map(|(index, line)| row(line, index == last, time, act));
    let rows: Vec<Html> = rows.collect();
    html! {
        <section class="events" aria-label="Events">
            <div class="events-head">
                <h2>{ "Events" }</h2>
                <button type="button" class="quiet" aria-pressed={all.to_string()} onclick={toggle_all}
                    data-testid="events-all">{ "Show all" }</button>
            </div>
            if rows.is_empty() {
                <p class="empty">{ empty }</p>
            }
            <ol class="events-list" ref={list.clone()} tabindex="0" aria-label="Events in order" data-testid="events">
                { for rows }
            </ol>
        </section>
    }
}

fn row(
    line: &EventLine,
    is_last: bool,
    time: &dyn Fn(f64) -> String,
    act: &Callback<StageAct>,
) -> Html {
    let content = html! {
        <>
            <span class="event-time">{ time(line.at_ms) }</span>
            <span class="event-text">{ &line.sentence }</span>
            { for line.value.as_ref().map(|label| chip(Some(label))) }
        </>
    };
    let class = classes!(
        "event",
        format!("event-{}", line.kind),
        is_last.then_some("latest"),
        line.is_cause.then_some("cause")
    );
    let key = line.id.clone();
    let current = is_last.then_some("step");
    match line.step {
        Some(step) => {
            let act = act.clone();
            let seek = Callback::from(move |_: MouseEvent| act.emit(StageAct::SeekAfter(step)));
            html! {
                <li {key}>
                    <button type="button" {class} onclick={seek} aria-current={current} data-testid="event"
                        data-event={line.id.clone()} data-kind={line.kind} data-node={line.node.to_string()}
                        title="Go to just after this">{ content }</button>
                </li>
            }
        }
        None => html! {
            <li {key}>
                <div {class} data-testid="event" data-event={line.id.clone()} data-kind={line.kind}
                    data-node={line.node.to_string()}>{ content }</div>
            </li>
        },
    }
}
