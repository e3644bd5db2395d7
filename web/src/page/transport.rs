//! Play, step and seek; the clock, the verdicts and the trace hash.

use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use super::icons::{Icon, icon};
use super::parts::time;
use crate::session::{SPEEDS, Session};

/// What a person does with the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TransportAct {
    PlayOrPause,
    Step,
    Back,
    Home,
    End,
    Seek(f64),
    Speed(usize),
}

/// Draws the bottom bar.
pub(super) fn transport(session: &Session, play: &NodeRef, act: &Callback<TransportAct>) -> Html {
    let button = |name: &'static str,
                  testid: &'static str,
                  shown: Icon,
                  what: TransportAct,
                  is_off: bool| {
        let act = act.clone();
        let onclick = Callback::from(move |_: MouseEvent| act.emit(what));
        html! {
            <button type="button" class="control" aria-label={name} title={name} data-testid={testid} {onclick}
                aria-disabled={is_off.to_string()}>{ icon(shown) }</button>
        }
    };
    let is_start = session.sim().steps() == 0 && session.cursor_ms() == 0.0;
    let is_end = session.is_at_end();
    let (word, shown) = if session.is_playing() {
        ("Pause", Icon::Pause)
    } else {
        ("Play", Icon::Play)
    };
    let toggle = {
        let act = act.clone();
        Callback::from(move |_: MouseEvent| act.emit(TransportAct::PlayOrPause))
    };
    html! {
        <footer class="transport" aria-label="Transport">
            <div class="controls">
                { button("To the start", "home", Icon::Home, TransportAct::Home, is_start) }
                { button("One step back", "back", Icon::Back, TransportAct::Back, is_start) }
                <button type="button" class="control play" ref={play.clone()} onclick={toggle} data-testid="play"
                    title={format!("{word} (space)")}>{ icon(shown) }<span>{ word }</span></button>
                { button("One step forward", "step", Icon::Step, TransportAct::Step, is_end) }
                { button("To the end", "end", Icon::End, TransportAct::End, is_end) }
            </div>
            <div class="clock">
                <span data-testid="clock">{ time(session.cursor_ms()) }</span>
                <span class="muted" data-testid="steps">{ format!("step {}", session.sim().steps()) }</span>
                if session.is_seeking() { <span class="muted" role="status">{ "running ahead" }</span> }
            </div>
            { speed(session, act) }
            { verdicts(session) }
            { scrubber(session, act) }
            <p class="hash">
                <span class="muted">{ "trace " }</span>
                <code data-testid="trace-hash">{ session.sim().trace_hash().to_string() }</code>
            </p>
        </footer>
    }
}

fn speed(session: &Session, act: &Callback<TransportAct>) -> Html {
    let act = act.clone();
    let change = Callback::from(move |event: Event| {
        let place = event
            .target_dyn_into::<HtmlSelectElement>()
            .map_or(0, |select| select.selected_index().max(0));
        act.emit(TransportAct::Speed(place as usize));
    });
    html! {
        <label class="speed">
            <span class="muted">{ "speed" }</span>
            <select onchange={change} data-testid="speed" aria-label="Speed">
                { for SPEEDS.iter().map(|speed| html! {
                    <option selected={*speed == session.speed()}>{ format!("{speed}×") }</option>
                }) }
            </select>
        </label>
    }
}

fn verdicts(session: &Session) -> Html {
    let badges = session.sim().verdicts().into_iter().map(|verdict| {
        let (class, sign) = if verdict.holds { ("holds", "✓") } else { ("broken", "✕") };
        html! {
            <li class={classes!("verdict", class)} title={verdict.detail.clone()}
                data-testid={format!("verdict-{}", verdict.name.replace(' ', "-"))}
                data-holds={verdict.holds.to_string()}>
                <span aria-hidden="true">{ sign }</span>
                { verdict.name }
                <span class={verdict.holds.then_some("unseen")}>{ if verdict.holds { "holds" } else { "is broken" } }</span>
            </li>
        }
    });
    html! { <ul class="verdicts" aria-label="Invariants">{ for badges }</ul> }
}

fn scrubber(session: &Session, act: &Callback<TransportAct>) -> Html {
    let horizon = session.horizon_ms().ceil();
    let act = act.clone();
    let seek = Callback::from(move |event: InputEvent| {
        if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
            act.emit(TransportAct::Seek(input.value_as_number()));
        }
    });
    let at = session.cursor_ms();
    let marks = session.faults_ms().iter().map(|ms| {
        let style = format!("left:{:.3}%", (ms / horizon * 100.0).clamp(0.0, 100.0));
        html! { <span class="fault" {style} title={format!("fault at {}", time(*ms))}></span> }
    });
    html! {
        <div class="scrubber">
            <div class="faults" aria-hidden="true">{ for marks }</div>
            <input type="range" min="0" max={horizon.to_string()} step="1" value={at.min(horizon).floor().to_string()}
                oninput={seek} aria-label="Time" aria-valuetext={format!("{} of {}", time(at), time(horizon))}
                data-testid="scrubber" />
        </div>
    }
}
