//! The nodes of a live room: where each runs, what it refused, and how to crash and restart those of this tab.

use yew::prelude::*;

use super::live_faults::{self, NodeAct};
use super::topology::standing_class;
use crate::live::room_state::RoomState;
use crate::scene::{Scene, Standing};

/// One card per node.
pub(super) fn nodes(
    state: &RoomState,
    now_ms: f64,
    scene: &Scene,
    act: &Callback<NodeAct>,
) -> Html {
    let cards = scene.nodes.iter().map(|node| {
        let report = state.observatory.report(node.id);
        let standing = node.standing;
        let phase = scene.phase_word(node);
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
                { live_faults::button(state, node.id, now_ms, act) }
            </li>
        }
    });
    html! { <ul class="live-nodes" aria-label="Nodes">{ for cards }</ul> }
}

/// What the inspector adds in a room.
pub(super) fn controls(state: &RoomState, node: u16, now_ms: f64, act: &Callback<NodeAct>) -> Html {
    let report = state.observatory.report(node);
    let why = state.observatory.crash_reason(node);
    html! {
        <>
        <section>
            <h3>{ "Thread" }</h3>
            <dl class="facts">
                <dt>{ "runs in" }</dt>
                <dd>{ report.map_or_else(|| "nowhere yet".to_owned(), |report| state.tab_name(&report.tab)) }</dd>
                <dt>{ "life" }</dt><dd>{ report.map_or(0, |report| report.life) }</dd>
                <dt>{ "refused" }</dt><dd>{ report.map_or(0, |report| report.refused) }</dd>
            </dl>
            { for why.map(|why| html! { <p class="warning">{ why }</p> }) }
        </section>
        { live_faults::controls(state, node, now_ms, act) }
        </>
    }
}

fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Up => "up",
        Standing::Crashed => "crashed",
        Standing::Byzantine => "byzantine",
        Standing::Unheard => "unheard",
        Standing::Paused => "paused",
    }
}
