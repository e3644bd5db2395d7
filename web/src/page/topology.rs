//! The cluster: nodes on an ellipse, links, and messages on their way between them.

use js_sys::Math;
use yew::prelude::*;

use super::StageAct;
use super::parts::{chip, fixed, message, percent};
use crate::scene::{FlightScene, NodeScene, Scene, Standing};

/// Places are in per cent of the picture.
type Place = (f64, f64);

/// How far messages keep from the middle of a badge, as a share of the link.
const KEEP_OFF: f64 = 0.17;

/// Draws the cluster. `now_ms` is the clock of the flights; with `still` messages rest in the middle of their link.
pub(super) fn topology(scene: &Scene, now_ms: f64, still: bool, act: &Callback<StageAct>) -> Html {
    let count = scene.nodes.len();
    let links = (0..count)
        .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
        .map(|(a, b)| {
            let ((x1, y1), (x2, y2)) = (place(a, count), place(b, count));
            html! {
                <line x1={fixed(x1, 2)} y1={fixed(y1, 2)} x2={fixed(x2, 2)} y2={fixed(y2, 2)} />
            }
        });
    let links: Vec<Html> = links.collect();
    html! {
        <section class="topology" aria-label="Cluster" data-testid="topology">
            <svg class="links" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                { for links }
            </svg>
            { for scene.flights.iter().filter_map(|message| flight(scene, message, now_ms, still)) }
            { for scene.nodes.iter().enumerate().map(|(index, node)| badge(scene, node, place(index, count), act)) }
        </section>
    }
}

/// Nodes stand on an ellipse, the first at the top, clockwise.
fn place(index: usize, count: usize) -> Place {
    // The browser's sines: those of Rust are four kilobytes of the program. Pictures may use floats, runs may not.
    let angle =
        std::f64::consts::TAU * index as f64 / count.max(1) as f64 - std::f64::consts::FRAC_PI_2;
    let (rx, ry) = if count <= 3 {
        (36.0, 36.0)
    } else {
        (38.0, 37.0)
    };
    let lift = if count == 3 { 8.0 } else { 0.0 };
    (
        50.0 + rx * Math::cos(angle),
        50.0 + lift + ry * Math::sin(angle),
    )
}

fn flight(scene: &Scene, flight: &FlightScene, now_ms: f64, still: bool) -> Option<Html> {
    let count = scene.nodes.len();
    let at = |id: u16| {
        scene
            .nodes
            .iter()
            .position(|node| node.id == id)
            .map(|index| place(index, count))
    };
    let ((x1, y1), (x2, y2)) = (at(flight.from)?, at(flight.to)?);
    let progress = if still { 0.5 } else { flight.progress(now_ms) };
    let along = KEEP_OFF + (1.0 - 2.0 * KEEP_OFF) * progress;
    let style = format!(
        "left:{};top:{}",
        percent(x1 + (x2 - x1) * along),
        percent(y1 + (y2 - y1) * along)
    );
    Some(html! {
        <span class="flight" style={style} data-testid="flight" data-from={flight.from.to_string()}
            data-to={flight.to.to_string()} data-kind={flight.kind} data-sent={fixed(flight.sent_ms, 3)}
            data-arrives={fixed(flight.arrives_ms, 3)}>
            { message(flight.shape, flight.value.as_ref()) }
        </span>
    })
}

fn badge(scene: &Scene, node: &NodeScene, (x, y): Place, act: &Callback<StageAct>) -> Html {
    let phase = scene.phase_name(scene.phase(node));
    let label = scene.stands_for(node).and_then(|value| scene.label(value));
    let is_selected = scene.selected == Some(node.id);
    let word = node.standing.word().unwrap_or(phase);
    let select = {
        let (act, target) = (act.clone(), (!is_selected).then_some(node.id));
        Callback::from(move |_: MouseEvent| act.emit(StageAct::Select(target)))
    };
    html! {
        <button type="button" class={classes!("node", standing_class(node.standing))} onclick={select}
            style={format!("left:{};top:{}", percent(x), percent(y))} aria-pressed={is_selected.to_string()}
            data-testid={format!("node-{}", node.id)} data-node={node.id.to_string()} data-phase={phase}>
            <span class="node-number"><span class="unseen">{ "Node " }</span>{ node.id }</span>
            <span class="node-word">{ word }</span>
            { chip(label) }
        </button>
    }
}

/// The class that draws a badge's edge.
pub(super) fn standing_class(standing: Standing) -> &'static str {
    match standing {
        Standing::Up => "standing-up",
        Standing::Crashed => "standing-crashed",
        Standing::Byzantine => "standing-byzantine",
        Standing::Unheard => "standing-unheard",
    }
}
