//! The cluster: nodes on an ellipse, links, and messages on their way between them.

use js_sys::Math;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use super::StageAct;
use super::parts::{chip, fixed, message, percent};
use crate::picture;
use crate::scene::{FlightScene, GroupBox, NodeScene, Scene, Standing};
use crate::session::Picked;

/// Places are in per cent of the picture.
type Place = (f64, f64);

/// How far messages keep from the middle of a badge, as a share of the link.
const KEEP_OFF: f64 = 0.17;

/// Draws the cluster. `now_ms` is the clock of the flights; with `still` messages rest in the middle of their link.
/// With `picking`, links and messages are buttons.
pub(super) fn topology(
    scene: &Scene,
    now_ms: f64,
    still: bool,
    picking: Option<Picking<'_>>,
    act: &Callback<StageAct>,
) -> Html {
    let boxes = scene.boxes();
    let places: Vec<Place> = (0..scene.nodes.len())
        .map(|node| place(scene, &boxes, node))
        .collect();
    let links = pairs(scene)
        .filter(|(a, b)| is_drawn(scene, &boxes, picking.as_ref(), *a, *b))
        .map(|(a, b)| {
            let ((x1, y1), (x2, y2)) = (places[a], places[b]);
            let (ids, class) = ((scene.nodes[a].id, scene.nodes[b].id), |it: &Picking<'_>| it.class(scene.nodes[a].id, scene.nodes[b].id));
            let class = picking.as_ref().map(class);
            let pick = picking.is_some().then(|| act.reform(move |_: MouseEvent| StageAct::Pick(Picked::Link(ids.0, ids.1))));
            html! {
                <line {class} onclick={pick} x1={fixed(x1, 2)} y1={fixed(y1, 2)} x2={fixed(x2, 2)} y2={fixed(y2, 2)} />
            }
        });
    let links: Vec<Html> = links.collect();
    let height = boxes.first().map(|of| of.height_px).filter(|px| *px > 0.0);
    let style = height.map(|px| format!("height:{}px", fixed(px, 0)));
    let is_many = boxes.is_empty() && scene.nodes.len() > ROOMY_NODES_MAX;
    let class = classes!(
        "topology",
        height.map(|_| "grouped"),
        is_many.then_some("many")
    );
    html! {
        <section {class} {style} aria-label="Cluster" data-testid="topology">
            <svg class="links" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                { for links }
            </svg>
            { for boxes.iter().map(|of| group(scene, of)) }
            { picture::of(scene.spec).between(scene, &boxes) }
            <div role="group" aria-label="Links" onkeydown={roving()}>
                { for picking.iter().filter(|_| has_handles(scene)).flat_map(|it| handles(scene, &boxes, &places, it, act)) }
            </div>
            <div role="group" aria-label="Messages on their way" onkeydown={roving()}>
                { for scene.flights.iter().enumerate().filter_map(|(index, message)| {
                    flight(scene, &places, (message, index), (now_ms, still), picking.as_ref().filter(|it| it.with_messages), act)
                }) }
            </div>
            { for scene.nodes.iter().zip(&places).map(|(node, place)| badge(scene, node, *place, act)) }
        </section>
    }
}

/// Every pair of nodes, by their places.
fn pairs(scene: &Scene) -> impl Iterator<Item = (usize, usize)> {
    let count = scene.nodes.len();
    (0..count).flat_map(move |a| (a + 1..count).map(move |b| (a, b)))
}

/// Whether a link is drawn: from group to group only one that is selected or cut, so that boxes stay legible.
fn is_drawn(
    scene: &Scene,
    boxes: &[GroupBox],
    picking: Option<&Picking<'_>>,
    a: usize,
    b: usize,
) -> bool {
    let (a, b) = (&scene.nodes[a], &scene.nodes[b]);
    let is_special =
        |it: &Picking<'_>| it.picked == Some(Picked::Link(a.id, b.id)) || (it.is_cut)(a.id, b.id);
    boxes.is_empty() || a.group == b.group || picking.is_some_and(is_special)
}

/// Nodes stand in their group's box, or on an ellipse: the first at the top, clockwise.
fn place(scene: &Scene, boxes: &[GroupBox], index: usize) -> Place {
    if let Some(place) = scene.place_in_box(boxes, index) {
        return place;
    }
    let count = scene.nodes.len();
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

/// A group's box.
fn group(scene: &Scene, of: &GroupBox) -> Html {
    let style = format!("top:{};height:{}", percent(of.top), percent(of.height));
    html! {
        <div class="group-box" {style} data-group={of.group.to_string()}>
            { picture::of(scene.spec).group(scene, of) }
        </div>
    }
}

/// What is selected beside nodes, and what is cut.
pub(super) struct Picking<'a> {
    pub(super) picked: Option<Picked>,
    /// Whether messages are buttons too; of a live room they are gone before a person reaches them.
    pub(super) with_messages: bool,
    pub(super) is_cut: &'a dyn Fn(u16, u16) -> bool,
}

impl Picking<'_> {
    fn class(&self, a: u16, b: u16) -> Classes {
        let is_picked = self.picked == Some(Picked::Link(a, b));
        let is_cut = (self.is_cut)(a, b);
        classes!(is_picked.then_some("picked"), is_cut.then_some("is-cut"))
    }
}

/// Of more nodes each has room for its number and its value.
const ROOMY_NODES_MAX: usize = 8;

/// Of more nodes the links are too many to be buttons; the form names their ends.
const LINKS_NODES_MAX: usize = 7;

/// Where a link's button stands: not in the middle, where diagonals meet.
const HANDLE: f64 = 0.42;

fn has_handles(scene: &Scene) -> bool {
    scene.nodes.len() <= LINKS_NODES_MAX
}

/// A button for each link; one of them is in the order of the focus, the arrows go to the others.
fn handles(
    scene: &Scene,
    boxes: &[GroupBox],
    places: &[Place],
    picking: &Picking<'_>,
    act: &Callback<StageAct>,
) -> Vec<Html> {
    let pairs = pairs(scene).filter(|(a, b)| is_drawn(scene, boxes, Some(picking), *a, *b));
    let one = |(number, (at, to)): (usize, (usize, usize))| {
        let ((x1, y1), (x2, y2)) = (places[at], places[to]);
        let (a, b) = (scene.nodes[at].id, scene.nodes[to].id);
        let link = Picked::Link(a, b);
        let style = format!(
            "left:{};top:{}",
            percent(x1 + (x2 - x1) * HANDLE),
            percent(y1 + (y2 - y1) * HANDLE)
        );
        let cut = if (picking.is_cut)(a, b) { ", cut" } else { "" };
        html! {
            <button type="button" class={classes!("link", picking.class(a, b))} {style}
                tabindex={if number == 0 { "0" } else { "-1" }} aria-pressed={(picking.picked == Some(link)).to_string()}
                aria-label={format!("Link between nodes {a} and {b}{cut}")} data-testid={format!("link-{a}-{b}")}
                onclick={act.reform(move |_: MouseEvent| StageAct::Pick(link))}></button>
        }
    };
    pairs.enumerate().map(one).collect()
}

/// Up and down go from one of a group to the next.
fn roving() -> Callback<KeyboardEvent> {
    Callback::from(|event: KeyboardEvent| {
        let Some(element) = event.target_dyn_into::<Element>() else {
            return;
        };
        let next = match event.key().as_str() {
            "ArrowDown" => element.next_element_sibling(),
            "ArrowUp" => element.previous_element_sibling(),
            _ => return,
        };
        event.prevent_default();
        if let Some(next) = next.and_then(|next| next.dyn_into::<HtmlElement>().ok()) {
            // What is drawn takes the focus.
            let _focused = next.focus();
        }
    })
}

fn flight(
    scene: &Scene,
    places: &[Place],
    (flight, index): (&FlightScene, usize),
    (now_ms, still): (f64, bool),
    picking: Option<&Picking<'_>>,
    act: &Callback<StageAct>,
) -> Option<Html> {
    let at = |id: u16| {
        let place = scene.nodes.iter().position(|node| node.id == id);
        place.and_then(|place| places.get(place).copied())
    };
    let ((x1, y1), (x2, y2)) = (at(flight.from)?, at(flight.to)?);
    let progress = if still { 0.5 } else { flight.progress(now_ms) };
    let along = KEEP_OFF + (1.0 - 2.0 * KEEP_OFF) * progress;
    let style = format!(
        "left:{};top:{}",
        percent(x1 + (x2 - x1) * along),
        percent(y1 + (y2 - y1) * along)
    );
    // Several of a kind may leave and arrive together: each entry of a log is accepted by a message of its own.
    let is_alike = |other: &&FlightScene| {
        (other.from, other.to, other.kind) == (flight.from, flight.to, flight.kind)
            && other.arrives_ms == flight.arrives_ms
    };
    let before = scene.flights.iter().take(index).filter(is_alike).count();
    let key = format!(
        "{}.{}.{}.{}.{before}",
        flight.from,
        flight.to,
        flight.kind,
        fixed(flight.arrives_ms, 6)
    );
    if let Some(picking) = picking {
        let picked = Picked::Message {
            from: flight.from,
            to: flight.to,
            kind: flight.kind,
            arrives_ms: flight.arrives_ms,
        };
        let letter = flight
            .value
            .as_ref()
            .map_or("", |value| value.letter.as_str());
        return Some(html! {
            <button type="button" {key} class="flight" style={style} data-testid="flight" data-from={flight.from.to_string()}
                data-to={flight.to.to_string()} data-kind={flight.kind} data-sent={fixed(flight.sent_ms, 3)}
                data-arrives={fixed(flight.arrives_ms, 3)} tabindex={if index == 0 { "0" } else { "-1" }}
                aria-pressed={(picking.picked == Some(picked)).to_string()}
                aria-label={format!("Message {} {letter} from node {} to node {}", flight.kind, flight.from, flight.to)}
                onclick={act.reform(move |_: MouseEvent| StageAct::Pick(picked))}>
                { message(flight.shape, flight.value.as_ref()) }
            </button>
        });
    }
    Some(html! {
        <span {key} class="flight" style={style} data-testid="flight" data-from={flight.from.to_string()}
            data-to={flight.to.to_string()} data-kind={flight.kind} data-sent={fixed(flight.sent_ms, 3)}
            data-arrives={fixed(flight.arrives_ms, 3)}>
            { message(flight.shape, flight.value.as_ref()) }
        </span>
    })
}

fn badge(scene: &Scene, node: &NodeScene, (x, y): Place, act: &Callback<StageAct>) -> Html {
    let phase = scene.phase_word(node);
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
            { picture::of(scene.spec).sign(scene, node) }
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
        Standing::Unheard | Standing::Paused => "standing-unheard",
    }
}
