//! Play, step and seek; the clock, the verdicts and the trace hash.

use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use super::icons::{Icon, icon};
use super::parts::{fixed, percent, plain, time};
use crate::playing::TransportAct;
use crate::session::{SPEEDS, Session};

/// Where what is shown stands in time.
pub(super) struct Clock<'a> {
    pub(super) cursor_ms: f64,
    pub(super) horizon_ms: f64,
    pub(super) faults_ms: &'a [f64],
    /// Where two futures that are compared part.
    pub(super) parted_ms: Option<f64>,
    pub(super) speed: f64,
    pub(super) is_playing: bool,
    pub(super) is_seeking: bool,
    pub(super) is_start: bool,
    pub(super) is_end: bool,
    /// How many steps were made, if that is shown.
    pub(super) steps: Option<u64>,
}

/// Draws the bottom bar of a run.
pub(super) fn transport(session: &Session, play: &NodeRef, act: &Callback<TransportAct>) -> Html {
    let clock = Clock {
        cursor_ms: session.cursor_ms(),
        horizon_ms: session.horizon_ms(),
        faults_ms: session.faults_ms(),
        parted_ms: session.parted_ms(),
        speed: session.speed(),
        is_playing: session.is_playing(),
        is_seeking: session.is_seeking(),
        is_start: session.sim().steps() == 0 && session.cursor_ms() == 0.0,
        is_end: session.is_at_end(),
        steps: Some(session.sim().steps()),
    };
    let rest = html! {
        <>
            { verdicts(session) }
            <p class="hash">
                <span class="muted">{ "trace " }</span>
                <code data-testid="trace-hash">{ session.sim().trace_hash().to_string() }</code>
            </p>
        </>
    };
    bar(&clock, play, act, rest)
}

/// Draws the bottom bar; `rest` is what it says besides.
pub(super) fn bar(
    clock: &Clock<'_>,
    play: &NodeRef,
    act: &Callback<TransportAct>,
    rest: Html,
) -> Html {
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
    let (is_start, is_end) = (clock.is_start, clock.is_end);
    let (word, shown) = if clock.is_playing {
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
                <span data-testid="clock">{ time(clock.cursor_ms) }</span>
                if let Some(steps) = clock.steps {
                    <span class="muted" data-testid="steps">{ format!("step {steps}") }</span>
                }
                if clock.is_seeking { <span class="muted" role="status">{ "running ahead" }</span> }
            </div>
            { speed(clock, act) }
            { scrubber(clock, act) }
            { rest }
        </footer>
    }
}

fn speed(clock: &Clock<'_>, act: &Callback<TransportAct>) -> Html {
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
                    <option selected={*speed == clock.speed}>{ plain(*speed) + "×" }</option>
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

fn scrubber(clock: &Clock<'_>, act: &Callback<TransportAct>) -> Html {
    let horizon = clock.horizon_ms.ceil();
    let act = act.clone();
    let seek = Callback::from(move |event: InputEvent| {
        if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
            act.emit(TransportAct::Seek(input.value_as_number()));
        }
    });
    let at = clock.cursor_ms;
    let marks = clock.faults_ms.iter().map(|ms| {
        let style = format!("left:{}", percent((ms / horizon * 100.0).clamp(0.0, 100.0)));
        html! { <span class="fault" {style} title={format!("fault at {}", time(*ms))}></span> }
    });
    let parted = clock.parted_ms.map(|ms| {
        let style = format!("left:{}", percent((ms / horizon * 100.0).clamp(0.0, 100.0)));
        html! { <span class="parted" {style} title={format!("the futures part at {}", time(ms))} data-testid="parted"></span> }
    });
    html! {
        <div class="scrubber">
            <div class="faults" aria-hidden="true">{ for marks }{ for parted }</div>
            <input type="range" min="0" max={fixed(horizon, 0)} step="1" value={fixed(at.min(horizon).floor(), 0)}
                oninput={seek} aria-label="Time" aria-valuetext={format!("{} of {}", time(at), time(horizon))}
                data-testid="scrubber" />
        </div>
    }
}
