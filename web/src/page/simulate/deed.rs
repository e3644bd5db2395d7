//! The panel for any fault, and the inspector of a link or a message.

use web_sys::{HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use super::hand::{Hand, HandAct, Panel};
use crate::scene::Scene;
use crate::session::deed::{Field, Verb};
use crate::session::{Catch, Picked, Session};

/// A list to choose from.
pub(super) fn choose(
    id: &'static str,
    name: &'static str,
    options: impl Iterator<Item = String>,
    chosen: usize,
    act: &Callback<HandAct>,
    mean: fn(usize) -> HandAct,
) -> Html {
    let onchange = act.reform(move |event: Event| {
        let select = event.target_dyn_into::<HtmlSelectElement>();
        mean(select.map_or(0, |select| select.selected_index().max(0)) as usize)
    });
    html! {
        <label>
            <span>{ name }</span>
            <select {id} {onchange} data-testid={id}>
                { for options.enumerate().map(|(place, option)| html! {
                    <option selected={place == chosen}>{ option }</option>
                }) }
            </select>
        </label>
    }
}

/// Of more nodes than this one writes the number: a list of thousands is no help.
const LISTED_MAX: u16 = 64;

/// Which node; with `any`, or any of them.
pub(super) fn which(
    id: &'static str,
    name: &'static str,
    session: &Session,
    any: Option<&str>,
    chosen: usize,
    act: &Callback<HandAct>,
    mean: fn(usize) -> HandAct,
) -> Html {
    let last = session.scenario().nodes;
    if last <= LISTED_MAX {
        return choose(id, name, nodes(session, any), chosen, act, mean);
    }
    // In a list, whoever can be any stands first.
    let (first, shift) = if any.is_some() { (0, 0) } else { (1, 1) };
    let oninput = act.reform(move |event: InputEvent| {
        let input = event.target_dyn_into::<HtmlInputElement>();
        let number = input.map_or(0.0, |input| input.value_as_number());
        let number = number.clamp(f64::from(first), f64::from(last)) as usize;
        mean(number.saturating_sub(shift))
    });
    html! {
        <label><span>{ name }</span>
            <input {id} type="number" min={first.to_string()} max={last.to_string()} value={(chosen + shift).to_string()} {oninput}
                data-testid={id} /></label>
    }
}

/// A field to write in.
fn write(
    id: &'static str,
    name: &'static str,
    value: &str,
    act: &Callback<HandAct>,
    mean: impl Fn(String) -> HandAct + 'static,
) -> Html {
    let oninput = act.reform(move |event: InputEvent| {
        let input = event.target_dyn_into::<HtmlInputElement>();
        mean(input.map_or_else(String::new, |input| input.value()))
    });
    html! {
        <label><span>{ name }</span><input {id} value={value.to_owned()} {oninput} data-testid={id} /></label>
    }
}

/// A small button.
pub(super) fn button(
    text: &'static str,
    testid: &'static str,
    act: &Callback<HandAct>,
    what: HandAct,
) -> Html {
    let onclick = act.reform(move |_: MouseEvent| what.clone());
    html! { <button type="button" class="small" {onclick} data-testid={testid}>{ text }</button> }
}

/// `node 1`, `node 2`; with `any` first if that can be meant.
fn nodes(session: &Session, any: Option<&str>) -> impl Iterator<Item = String> {
    let any = any.map(str::to_owned).into_iter();
    any.chain((1..=session.scenario().nodes).map(|node| format!("node {node}")))
}

/// Draws the panel.
pub(super) fn panel(hand: &Hand, session: &Session, act: &Callback<HandAct>) -> Html {
    let deed = &hand.deed;
    let all = Verb::all(session.scenario().protocol);
    let verb = all.iter().position(|verb| *verb == deed.verb);
    let verbs = all.into_iter().map(|verb| verb.name().to_owned());
    let fields = deed
        .fields(session.scenario())
        .into_iter()
        .map(|field| match field {
            Field::Node => {
                let chosen = usize::from(deed.node.saturating_sub(1));
                which(
                    "deed-node",
                    "Node",
                    session,
                    None,
                    chosen,
                    act,
                    HandAct::Node,
                )
            }
            Field::Other => {
                let chosen = usize::from(deed.other);
                which(
                    "deed-other",
                    "To",
                    session,
                    Some("any"),
                    chosen,
                    act,
                    HandAct::Other,
                )
            }
            Field::How => {
                let ways = deed.ways(session.scenario()).into_iter().map(str::to_owned);
                choose("deed-how", "How", ways, deed.how, act, HandAct::How)
            }
            Field::Number(name) => write("deed-number", name, &deed.number, act, HandAct::Number),
            Field::Text(name) => write("deed-text", name, &deed.text, act, HandAct::Text),
            Field::Also(name) => write("deed-also", name, &deed.also, act, HandAct::Also),
            Field::More(place, name) => {
                let (id, value) = match place {
                    0 => ("deed-more-0", deed.more.first()),
                    _ => ("deed-more-1", deed.more.get(place)),
                };
                let value = value.map_or("", String::as_str);
                write(id, name, value, act, move |text| HandAct::More(place, text))
            }
        });
    let onsubmit = act.reform(|event: SubmitEvent| {
        event.prevent_default();
        HandAct::Do
    });
    html! {
        <form class="check" aria-label="Do something" data-testid="deed" {onsubmit}>
            <div class="check-form">
                { choose("deed-verb", "Do something", verbs, verb.unwrap_or(0), act, HandAct::Verb) }
                { for fields }
                <button type="submit" class="primary" data-testid="deed-do">{ "Do it" }</button>
                { button("Close", "deed-close", act, HandAct::Toggle(Panel::Deed)) }
            </div>
        </form>
    }
}

/// What can be done to the node that is selected.
pub(super) fn of_node(session: &Session, node: u16, act: &Callback<HandAct>) -> Html {
    let is_up =
        session.sim().steps() == 0 || session.sim().is_alive(phaselab_core::types::NodeId(node));
    let (word, form) = (if is_up { "Crash (C)" } else { "Restart (C)" }, |verb| {
        HandAct::Form(verb, node, 0)
    });
    html! {
        <div class="deeds" role="group" aria-label={format!("Do something to node {node}")}>
            { button(word, "crash", act, HandAct::CrashOrRestart) }
            { button("Cut or mend links (X)", "cut", act, HandAct::CutOrMend) }
            { button("Let it lie…", "lie", act, form(Verb::Lie)) }
            { button("Disk…", "disk", act, form(Verb::Disk)) }
            { button("Clock…", "skew", act, form(Verb::Clock)) }
        </div>
    }
}

/// The inspector of a link or a message.
pub(super) fn of_picked(
    session: &Session,
    scene: &Scene,
    picked: Picked,
    act: &Callback<HandAct>,
    close: Callback<MouseEvent>,
) -> Html {
    let (title, from, to, kind) = match picked {
        Picked::Link(a, b) => (format!("Link {a} – {b}"), a, b, None),
        Picked::Message { from, to, kind, .. } => {
            (format!("{kind} {from} → {to}"), from, to, Some(kind))
        }
    };
    let id = phaselab_core::types::NodeId;
    let is_cut = session.is_cut(id(from), id(to));
    let letter = scene
        .flights
        .iter()
        .find(|flight| (flight.from, flight.to) == (from, to) && Some(flight.kind) == kind);
    let letter = letter.and_then(|flight| flight.value.as_ref());
    let word = if is_cut {
        "Mend the link (X)"
    } else {
        "Cut the link (X)"
    };
    html! {
        <aside class="inspector open" aria-label={title.clone()} data-testid="picked">
            <div class="inspector-head">
                <h2>{ title }</h2>
                <button type="button" class="quiet" onclick={close} aria-label="Close the inspector">{ "Close" }</button>
            </div>
            if let Some(letter) = letter {
                <p>{ "It speaks for " }{ super::super::parts::chip(Some(letter)) }</p>
            }
            <div class="deeds">
                if kind.is_some() {
                    { button("Drop it (D)", "drop", act, HandAct::Catch(Catch::Drop)) }
                    { button("Delay it by 100 ms", "delay", act, HandAct::Catch(Catch::Delay(100))) }
                    { button("Double it", "duplicate", act, HandAct::Catch(Catch::Duplicate)) }
                    { button("Bend it", "corrupt", act, HandAct::Catch(Catch::Corrupt)) }
                }
                { button(word, "cut", act, HandAct::CutOrMend) }
                { button("Drop the next…", "drop-next", act, HandAct::Form(Verb::Drop, from, to)) }
                { button("Delay the next…", "delay-next", act, HandAct::Form(Verb::Delay, from, to)) }
            </div>
            if is_cut { <p class="muted">{ "It is cut: nothing passes." }</p> }
        </aside>
    }
}
