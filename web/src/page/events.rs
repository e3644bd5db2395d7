//! The list of events as sentences: the story, and the text for those who do not see the picture. Only the rows in sight
//! are drawn; the browser scrolls the whole.

use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;

use super::StageAct;
use super::parts::{chip, fixed};
use crate::listing::{ROW_PX, ROWS};
use crate::look::LookAct;
use crate::session::EventLine;

/// The id of the field that filters.
pub(super) const FILTER: &str = "events-filter";

/// What is listed.
pub(super) struct Listed<'a> {
    /// The rows that are drawn.
    pub(super) lines: &'a [EventLine],
    /// The number of the first of them.
    pub(super) first: usize,
    /// How many rows there are.
    pub(super) len: usize,
    /// How high all rows are, and how far down the drawn ones stand, in pixels.
    pub(super) place_px: (f64, f64),
    /// Whether every event is listed, or those worth telling.
    pub(super) all: bool,
    /// The filter, where there is one.
    pub(super) filter: Option<&'a str>,
    /// What is said where there are none.
    pub(super) empty: &'a str,
}

impl<'a> Listed<'a> {
    /// A short list, of which every row is drawn.
    pub(super) fn whole(lines: &'a [EventLine], all: bool, empty: &'a str) -> Listed<'a> {
        Listed {
            lines,
            first: 0,
            len: lines.len(),
            place_px: (lines.len() as f64 * ROW_PX, 0.0),
            all,
            filter: None,
            empty,
        }
    }
}

/// Draws the list; `time` writes a time.
pub(super) fn events(
    listed: &Listed<'_>,
    list: &NodeRef,
    time: &dyn Fn(f64) -> String,
    act: &Callback<StageAct>,
    look: &Callback<LookAct>,
) -> Html {
    let all = listed.all;
    let toggle_all = look.reform(move |_: MouseEvent| LookAct::ShowAll(!all));
    let rows = listed.lines.iter().enumerate().map(|(index, line)| {
        let row = listed.first + index;
        let place = (row + 1, listed.len);
        html! {
            <li key={line.id.clone()} aria-posinset={place.0.to_string()} aria-setsize={place.1.to_string()}>
                { event(line, place.0 == place.1, time, act) }
            </li>
        }
    });
    let rows: Vec<Html> = rows.collect();
    let is_filtered = listed.filter.is_some_and(|text| !text.trim().is_empty());
    let empty = match is_filtered {
        true => "No event matches.",
        false => listed.empty,
    };
    let style = format!(
        "height:{}px;padding-top:{}px",
        fixed(listed.place_px.0, 0),
        fixed(listed.place_px.1, 2)
    );
    html! {
        <section class="events" aria-label="Events">
            <div class="events-head">
                <h2>{ "Events" }</h2>
                if listed.filter.is_some() {
                    <span class="muted events-count" role="status" data-testid="events-count">{ listed.len }</span>
                }
                <button type="button" class="quiet" aria-pressed={all.to_string()} onclick={toggle_all}
                    data-testid="events-all">{ "Show all" }</button>
            </div>
            { for listed.filter.map(|text| filter(text, look)) }
            if rows.is_empty() {
                <p class="empty">{ empty }</p>
            }
            <div class="events-list" ref={list.clone()} tabindex="0" role="group" aria-label="Events in order"
                data-testid="events" onscroll={scrolled(look)}>
                <ol {style}>{ for rows }</ol>
            </div>
        </section>
    }
}

fn filter(text: &str, look: &Callback<LookAct>) -> Html {
    let look = look.clone();
    let typed = Callback::from(move |event: InputEvent| {
        if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
            look.emit(LookAct::Filter(input.value()));
        }
    });
    html! {
        <input type="search" id={FILTER} class="events-filter" value={text.to_owned()} oninput={typed}
            placeholder="Filter: node 2 locked" aria-label="Filter events by node, kind, instance or value"
            autocomplete="off" data-testid={FILTER} />
    }
}

/// Tells of scrolling. A row that has the focus hands it to the list before it is taken out of the page.
fn scrolled(look: &Callback<LookAct>) -> Callback<Event> {
    let look = look.clone();
    Callback::from(move |event: Event| {
        let Some(list) = event.target_dyn_into::<HtmlElement>() else {
            return;
        };
        let (top, view) = (
            f64::from(list.scroll_top()),
            f64::from(list.client_height()),
        );
        let focused = super::document().and_then(|document| document.active_element());
        if let Some(row) = focused.filter(|row| list.contains(Some(row))) {
            let row = row.get_bounding_client_rect();
            let sight = list.get_bounding_client_rect();
            let far = ROWS as f64 / 5.0 * ROW_PX;
            if row.bottom() < sight.top() - far || row.top() > sight.bottom() + far {
                // The list can take the focus: it has a tabindex.
                let _focused = list.focus();
            }
        }
        look.emit(LookAct::Scroll(top, view));
    })
}

fn event(
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
    let current = is_last.then_some("step");
    match line.step {
        Some(step) => {
            let seek = act.reform(move |_: MouseEvent| StageAct::SeekAfter(step));
            html! {
                <button type="button" {class} onclick={seek} aria-current={current} data-testid="event"
                    data-event={line.id.clone()} data-kind={line.kind} data-node={line.node.to_string()}
                    title={line.sentence.clone()}>{ content }</button>
            }
        }
        None => html! {
            <div {class} data-testid="event" data-event={line.id.clone()} data-kind={line.kind}
                data-node={line.node.to_string()} title={line.sentence.clone()}>{ content }</div>
        },
    }
}
