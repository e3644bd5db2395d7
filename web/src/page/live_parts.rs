//! What the page of a live room says: where it is, what there is to know, and what became of what was submitted.

use yew::prelude::*;

use super::live::Wanted;
use super::live_seat;
use crate::browser::handover::Kept;
use crate::browser::room::RoomHandle;
use crate::live::room_state::{Notice, RoomState};
use crate::live::submissions::Submission;
use crate::scene::Scene;

/// The time of day, with milliseconds.
pub(super) fn wall_time(ms: f64) -> String {
    let date = js_sys::Date::new(&ms.into());
    let (hours, minutes) = (date.get_hours(), date.get_minutes());
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}",
        date.get_seconds(),
        date.get_milliseconds()
    )
}

/// `rent-9` follows on `rent-8`, and `alice:1` on `alice:0`.
pub(super) fn next_name(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u32 = name[stem.len()..].parse().unwrap_or(1);
    let dash = if stem.ends_with(['-', ':']) { "" } else { "-" };
    format!("{stem}{dash}{}", number.saturating_add(1))
}

fn tabs(count: usize) -> String {
    if count == 1 {
        "one tab".to_owned()
    } else {
        format!("{count} tabs")
    }
}

/// Where the nodes are.
pub(super) fn places(state: &RoomState) -> String {
    match state.seat {
        Some(_) => "browsers and terminals".to_owned(),
        None => tabs(state.tabs()),
    }
}

/// What runs where.
pub(super) fn title(state: &RoomState) -> String {
    let (nodes, places) = (state.nodes, places(state));
    match state.clusters() {
        0 | 1 => format!("{nodes} signers in {places}"),
        clusters => format!("{clusters} clusters, {nodes} nodes in {places}"),
    }
}

pub(super) fn badge(state: &RoomState) -> String {
    format!("Live · hardened · Ed25519 · {}", places(state))
}

pub(super) fn notice(state: &RoomState, room: &RoomHandle) -> Html {
    html! {
        <>
            { place(state, room) }
            if !state.clash.is_empty() {
                <p class="warning" role="status" data-testid="clash">{ state.clash }</p>
            }
            { for state.sleep.as_ref().map(|sleep| html! {
                <p class={if sleep.is_over() { "note" } else { "warning" }} role="status" data-testid="slept">
                    { sleep.text() }
                </p>
            }) }
        </>
    }
}

fn place(state: &RoomState, room: &RoomHandle) -> Html {
    match (&state.seat, &state.notice) {
        (Some(seat), Notice::Shared) => live_seat::notice(seat, state.nodes),
        (_, Notice::Failed(why)) => html! { <p class="alarm" role="alert">{ why }</p> },
        (_, Notice::Alone) => html! {
            <p class="warning" role="status" data-testid="alone">
                { "Tabs cannot share nodes at this address. Use localhost, https or the offline file." }
            </p>
        },
        (None, Notice::Shared) => {
            let address = format!("?room={}#live", room.name());
            let invitation = if state.tabs() == 1 {
                "Every node runs here. "
            } else {
                "Close a tab: its nodes move. "
            };
            html! {
                <p class="invitation">
                    { invitation }
                    <a class="link-button" href={address} target="_blank" rel="opener" data-testid="second-tab">{ "Open another tab" }</a>
                </p>
            }
        }
    }
}

pub(super) fn submission(scene: &Scene, state: &RoomState, shown: &Submission) -> Html {
    let text = match &shown.reply {
        _ if shown.gave_up => "nobody answered".to_owned(),
        None => "asking".to_owned(),
        Some(reply) => {
            let letter = reply
                .value
                .and_then(|value| scene.label(value))
                .map(|label| format!(" {}", label.letter));
            let short = reply
                .value
                .map(|value| format!(" {}", value.short()))
                .unwrap_or_default();
            let took = shown
                .took
                .map(|took| format!(" in {} ms", took.as_ms()))
                .unwrap_or_default();
            format!(
                "{}{}{short}{took}: {}",
                reply.outcome,
                letter.unwrap_or_default(),
                reply.text
            )
        }
    };
    let outcome = shown.reply.as_ref().map_or("asking", |reply| reply.outcome);
    let focus = state.observatory.topics().into_iter().find(|topic| {
        let reply = shown.reply.as_ref();
        let is_told = reply.is_some_and(|reply| reply.text.split(' ').next() == Some(&topic.name));
        topic.name == shown.name || is_told
    });
    html! {
        <li class="submission" data-testid="submission" data-name={shown.name.clone()} data-outcome={outcome}
            data-instance={focus.map(|topic| topic.id.to_string())}>
            <strong>{ &shown.name }</strong>{ " " }{ text }
        </li>
    }
}

/// What the inspector shows while no node is selected.
pub(super) fn about(
    room: &RoomHandle,
    state: &RoomState,
    recording: Option<&Result<Kept, String>>,
    record: &Callback<Wanted>,
) -> Html {
    let recorded = recorded(recording, record);
    if let Some(seat) = &state.seat {
        return live_seat::about(seat, state, recorded);
    }
    let mine: Vec<String> = state.hosted.keys().map(u16::to_string).collect();
    html! {
        <aside class="inspector" aria-label="The room" data-testid="overview">
            <p class="empty">{ "Select a node to inspect it." }</p>
            <section>
                <h3>{ "The room" }</h3>
                <dl class="facts">
                    <dt>{ "name" }</dt><dd><code>{ room.name().to_owned() }</code></dd>
                    <dt>{ "tabs" }</dt><dd data-testid="tabs">{ state.tabs() }</dd>
                    <dt>{ "nodes here" }</dt>
                    <dd data-testid="nodes-here">{ if mine.is_empty() { "none".to_owned() } else { mine.join(" ") } }</dd>
                    <dt>{ "at most" }</dt><dd>{ format!("{} per tab", state.placement.share()) }</dd>
                    if state.kind.has_world() {
                        <><dt>{ "chain" }</dt><dd>{ if state.has_chain { "runs here" } else { "runs in another tab" } }</dd></>
                    }
                </dl>
            </section>
            { recorded }
            <section>
                <h3>{ "What runs where" }</h3>
                <p>{ "Each node is a thread of some tab of this browser and speaks to the others by signed packets. It \
                    writes down its votes before it sends them, and finds them again wherever it starts next." }</p>
            </section>
            <section>
                <h3>{ "Fault model" }</h3>
                <p>{ state.kind.spec().fault_model }</p>
            </section>
        </aside>
    }
}

/// What nodes recorded of their lives, to be kept or played.
fn recorded(recording: Option<&Result<Kept, String>>, record: &Callback<Wanted>) -> Html {
    let button = |word: &'static str, id: &'static str, wanted: Wanted| {
        let record = record.clone();
        let onclick = Callback::from(move |_: MouseEvent| record.emit(wanted));
        html! { <button type="button" class="small" {onclick} data-testid={id}>{ word }</button> }
    };
    let told = match recording {
        None => html! {},
        Some(Ok(kept)) => html! {
            <p role="status">
                <a href={kept.replay_address()} target="_blank" rel="opener" data-testid="replay-link">
                    { "The recording in another tab" }
                </a>
            </p>
        },
        Some(Err(why)) => {
            html! { <p class="warning" role="status" data-testid="no-recording">{ why }</p> }
        }
    };
    html! {
        <section>
            <h3>{ "The recording" }</h3>
            <p>{ "Each node writes down what happens to it. Played in Simulate, it decides the same again." }</p>
            <div class="row">
                { button("Save the recording", "save-recording", Wanted::File) }
                { button("Open in Simulate", "replay", Wanted::Replay) }
            </div>
            { told }
        </section>
    }
}
