//! The nodes of a live room: where each runs, what it refused, and how to crash and restart those of this tab.

use yew::prelude::*;

use super::topology::standing_class;
use crate::live::room_state::{Hosted, RoomState};
use crate::scene::{Scene, Standing};

/// What a person does with a node of this tab.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NodeAct {
    Crash(u16),
    Restart(u16),
}

/// One card per node.
pub(super) fn nodes(
    state: &RoomState,
    now_ms: f64,
    scene: &Scene,
    act: &Callback<NodeAct>,
) -> Html {
    let cards = scene.nodes.iter().map(|node| {
        let report = state.observatory.report(node.id);
        let standing = state.observatory.standing(node.id, now_ms);
        let phase = scene.phase_name(scene.phase(node));
        let word = standing.word().unwrap_or(phase);
        let (refused, peers) = report.map_or((0, 0), |report| (report.refused, report.peers));
        let place = if node.place.is_empty() { "nowhere yet" } else { node.place.as_str() };
        html! {
            <li class={classes!("live-node", standing_class(standing))} data-testid={format!("live-node-{}", node.id)}
                data-node={node.id.to_string()} data-phase={phase} data-standing={standing_name(standing)}
                data-tab={report.map(|report| report.tab.clone())} data-refused={refused.to_string()}
                data-life={report.map_or(0, |report| report.life).to_string()}>
                <span class="live-node-head">
                    <strong>{ format!("Node {}", node.id) }</strong>
                    <span data-testid={format!("live-phase-{}", node.id)}>{ word }</span>
                </span>
                <span class="muted">
                    { format!("{place} · {peers} peers · ") }
                    <span data-testid={format!("refused-{}", node.id)}>{ format!("refused {refused}") }</span>
                </span>
                { button(state, node.id, act) }
            </li>
        }
    });
    html! { <ul class="live-nodes" aria-label="Nodes">{ for cards }</ul> }
}

/// What the inspector adds in a room.
pub(super) fn controls(state: &RoomState, node: u16, act: &Callback<NodeAct>) -> Html {
    let report = state.observatory.report(node);
    let why = state.observatory.crash_reason(node);
    html! {
        <section>
            <h3>{ "Thread" }</h3>
            <dl class="facts">
                <dt>{ "runs in" }</dt>
                <dd>{ report.map_or_else(|| "nowhere yet".to_owned(), |report| state.tab_name(&report.tab)) }</dd>
                <dt>{ "life" }</dt><dd>{ report.map_or(0, |report| report.life) }</dd>
                <dt>{ "refused" }</dt><dd>{ report.map_or(0, |report| report.refused) }</dd>
            </dl>
            { for why.map(|why| html! { <p class="warning">{ why }</p> }) }
            { button(state, node, act) }
        </section>
    }
}

/// Only the tab that runs a node can crash it.
fn button(state: &RoomState, node: u16, act: &Callback<NodeAct>) -> Html {
    let (word, what) = match state.hosted.get(&node) {
        None => return html! {},
        Some(Hosted::Running) => ("Crash", NodeAct::Crash(node)),
        Some(Hosted::Stopped { .. }) => ("Restart", NodeAct::Restart(node)),
    };
    let act = act.clone();
    let onclick = Callback::from(move |_: MouseEvent| act.emit(what));
    html! {
        <button type="button" class="small" {onclick} aria-label={format!("{word} node {node}")}
            data-testid={format!("{}-{node}", word.to_ascii_lowercase())}>{ word }</button>
    }
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Up => "up",
        Standing::Crashed => "crashed",
        Standing::Byzantine => "byzantine",
        Standing::Unheard => "unheard",
    }
}
