//! Faults by hand in a live room: what can be broken at a node and on its links, and what is in force.

use yew::prelude::*;

use super::StageAct;
use super::icons::{Icon, icon};
use crate::live::deeds::{Deed, LinkState, in_force, is_isolated, link_state};
use crate::live::room_state::{Remedy, RoomState};

/// What a person does with a node of a live room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NodeAct {
    /// Something of which every tab is told.
    Deed(Deed),
    /// Starts a thread of this tab again that is gone.
    StartAgain(u16),
}

/// Crashes a node, or brings it back.
pub(super) fn button(state: &RoomState, node: u16, now_ms: f64, act: &Callback<NodeAct>) -> Html {
    let Some((word, what)) = crash_or_restart(state, node, now_ms) else {
        return html! {};
    };
    small(
        word,
        &format!("{word} node {node}"),
        &format!("{}-{node}", word.to_ascii_lowercase()),
        None,
        what,
        act,
    )
}

/// What key and button do with a node's thread.
pub(super) fn crash_or_restart(
    state: &RoomState,
    node: u16,
    now_ms: f64,
) -> Option<(&'static str, NodeAct)> {
    match state.remedy(node, now_ms) {
        Remedy::Crash => Some(("Crash", NodeAct::Deed(Deed::Crash(node)))),
        Remedy::TakeBack => Some(("Restart", NodeAct::Deed(Deed::Restart(node)))),
        Remedy::StartAgain => Some(("Restart", NodeAct::StartAgain(node))),
        Remedy::None => None,
    }
}

/// What can be broken at a node and on each of its links.
pub(super) fn controls(state: &RoomState, node: u16, now_ms: f64, act: &Callback<NodeAct>) -> Html {
    let faults = &state.faults;
    let is_paused = faults.is_paused(node);
    let (pause, paused) = match is_paused {
        true => ("Resume", Deed::Resume(node)),
        false => ("Pause", Deed::Pause(node)),
    };
    let is_own = state.seat.as_ref().is_none_or(|seat| seat.you == node);
    let can_pause = is_own && !faults.is_down(node);
    let is_cut_off = is_isolated(faults, node, state.nodes);
    let isolate = if is_cut_off { "Reconnect" } else { "Cut off" };
    // In a hybrid cluster the links of this tab's node are all that this tab can break.
    let others = (1..=state.nodes).filter(|other| *other != node && state.can_break(node, *other));
    let links = others.map(|other| link(state, node, other, act));
    html! {
        <section data-testid="break">
            <h3>{ "Break it" }</h3>
            <div class="row">
                { button(state, node, now_ms, act) }
                if can_pause {
                    { small(pause, &format!("{pause} node {node}"), "pause", None, NodeAct::Deed(paused), act) }
                }
                if state.can_cut_off(node) {
                    { small(isolate, &format!("{isolate} node {node}"), "isolate", None,
                        NodeAct::Deed(Deed::Isolate(node)), act) }
                }
            </div>
            <ul class="links-of" aria-label={format!("Links of node {node}")}>{ for links }</ul>
        </section>
    }
}

/// What a person does with the key that cuts: the selected link, or all of the selected node.
pub(super) fn cut_or_join(state: &RoomState) -> Option<Deed> {
    let Some((a, b)) = state.picked else {
        let node = state.selected.filter(|node| state.can_cut_off(*node));
        return node.map(Deed::Isolate);
    };
    let next = match link_state(&state.faults, a, b) {
        LinkState::Cut => LinkState::Whole,
        _ => LinkState::Cut,
    };
    state.can_break(a, b).then_some(Deed::Link(a, b, next))
}

/// The inspector of a link.
pub(super) fn picked(
    state: &RoomState,
    act: &Callback<NodeAct>,
    stage: &Callback<StageAct>,
) -> Html {
    let Some((a, b)) = state.picked else {
        return html! {};
    };
    let close = stage.reform(|_: MouseEvent| StageAct::Select(None));
    html! {
        <aside class="inspector open" aria-label={format!("Link {a} – {b}")} data-testid="inspector">
            <div class="inspector-head">
                <h2>{ format!("Link {a} – {b}") }</h2>
                <button type="button" class="quiet icon-button" aria-label="Close the inspector" onclick={close}>
                    { icon(Icon::Close) }
                </button>
            </div>
            <section data-testid="break">
                <h3>{ "Break it" }</h3>
                if state.can_break(a, b) {
                    <ul class="links-of">{ link(state, a, b, act) }</ul>
                } else {
                    <p>{ "Both ends run elsewhere; only the links of this tab's node can be broken here." }</p>
                }
            </section>
        </aside>
    }
}

fn link(state: &RoomState, node: u16, other: u16, act: &Callback<NodeAct>) -> Html {
    let (a, b) = (node.min(other), node.max(other));
    let now = link_state(&state.faults, a, b);
    let choices = [
        ("Cut", "cut", LinkState::Cut),
        ("1 s late", "late", LinkState::Late),
        ("Half lost", "lossy", LinkState::Lossy),
    ];
    let buttons = choices.map(|(word, id, wanted)| {
        let is_so = now == wanted;
        let next = if is_so { LinkState::Whole } else { wanted };
        let name = format!("Link {a} – {b}: {}", word.to_lowercase());
        let deed = NodeAct::Deed(Deed::Link(a, b, next));
        small(
            word,
            &name,
            &format!("link-{a}-{b}-{id}"),
            Some(is_so),
            deed,
            act,
        )
    });
    html! {
        <li data-testid={format!("break-{a}-{b}")} data-state={state_name(now)}>
            <span>{ format!("To node {other}") }</span>
            <span class="row" role="group" aria-label={format!("Link {a} – {b}")}>{ for buttons }</span>
        </li>
    }
}

fn small(
    word: &'static str,
    name: &str,
    id: &str,
    pressed: Option<bool>,
    what: NodeAct,
    act: &Callback<NodeAct>,
) -> Html {
    let act = act.clone();
    let onclick = Callback::from(move |_: MouseEvent| act.emit(what));
    html! {
        <button type="button" class="small" {onclick} aria-label={name.to_owned()}
            aria-pressed={pressed.map(|pressed| pressed.to_string())} data-testid={id.to_owned()}>{ word }</button>
    }
}

/// What is in force, for every tab to see.
pub(super) fn told(state: &RoomState, act: &Callback<NodeAct>) -> Html {
    let lines = in_force(&state.faults, state.nodes);
    if lines.is_empty() {
        return html! {};
    }
    html! {
        <section class="in-force" data-testid="in-force" aria-label="Faults in force">
            <ul aria-live="polite">{ for lines.iter().map(|line| html! { <li>{ line }</li> }) }</ul>
            if !state.faults.network.is_whole() {
                { small("Heal all links", "Heal all links", "heal", None, NodeAct::Deed(Deed::Heal), act) }
            }
        </section>
    }
}

fn state_name(state: LinkState) -> &'static str {
    match state {
        LinkState::Whole => "whole",
        LinkState::Late => "late",
        LinkState::Lossy => "lossy",
        LinkState::Cut => "cut",
    }
}
