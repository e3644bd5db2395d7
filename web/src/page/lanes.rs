//! One lane per node: badge, ribbon of phases over time, meters, glyphs. One clock for all.

use yew::prelude::*;

use super::StageAct;
use super::meter::meter;
use super::parts::{chip, fixed, percent, short_time};
use super::topology::standing_class;
use crate::history::{Glyph, Mark, Span};
use crate::picture::Picture;
use crate::scene::{NodeScene, Scene, Timeout};

/// The least distance of two times on the axis, in per cent.
const TICKS_APART: f64 = 11.0;

/// The least distance of two signs of loss, in per cent.
const LOSSES_APART: f64 = 2.5;

/// How wide a glyph is.
const GLYPH_PX: usize = 12;

/// Draws the lanes, and under them the protocol's own picture.
pub(super) fn lanes(scene: &Scene, picture: &dyn Picture, act: &Callback<StageAct>) -> Html {
    framed(scene, picture, html! {}, body(scene, picture, act), act)
}

/// Draws a picture over time: `bar` chooses which, `body` is it.
pub(super) fn framed(
    scene: &Scene,
    picture: &dyn Picture,
    bar: Html,
    body: Html,
    act: &Callback<StageAct>,
) -> Html {
    html! {
        <section class="picture" aria-label="Over time">
            { bar }
            { topics(scene, act) }
            { body }
            { picture.table(scene) }
        </section>
    }
}

/// The lanes alone; of more nodes than there is room for lanes, a grid.
pub(super) fn body(scene: &Scene, picture: &dyn Picture, act: &Callback<StageAct>) -> Html {
    #[cfg(feature = "snowball")]
    if let Some(crowd) = scene.crowd.as_ref().filter(|crowd| crowd.is_grid()) {
        return super::crowd::grid(scene, crowd, act);
    }
    html! {
        <div class="lanes" data-testid="lanes">
            { for scene.nodes.iter().map(|node| lane(scene, node, picture, act)) }
            { axis(scene) }
        </div>
    }
}

/// Which instance is shown, where there are several.
fn topics(scene: &Scene, act: &Callback<StageAct>) -> Html {
    if scene.topics.len() < 2 {
        return html! {};
    }
    let buttons = scene.topics.iter().map(|topic| {
        let (act, id, is_on) = (act.clone(), topic.id, scene.focus == Some(topic.id));
        let focus = Callback::from(move |_: MouseEvent| act.emit(StageAct::Focus(id)));
        html! {
            <button type="button" class="topic" aria-pressed={is_on.to_string()} onclick={focus}>{ &topic.name }</button>
        }
    });
    let kind = scene
        .spec
        .instances
        .first()
        .map_or("instance", |kind| kind.name);
    html! { <div class="topics" role="group" aria-label={kind}>{ for buttons }</div> }
}

fn lane(scene: &Scene, node: &NodeScene, picture: &dyn Picture, act: &Callback<StageAct>) -> Html {
    let phase = scene.phase_word(node);
    let instance = scene.focused(node);
    let meters = scene.spec.meters.iter().enumerate().map(|(kind, spec)| {
        let shown = instance.and_then(|instance| {
            instance
                .meters
                .iter()
                .find(|meter| usize::from(meter.kind) == kind)
        });
        meter(scene, node.id, spec.name, shown)
    });
    html! {
        <div class="lane" data-testid={format!("lane-{}", node.id)} data-node={node.id.to_string()} data-phase={phase}
            data-standing={standing_class(node.standing)}>
            { badge(scene, node, act) }
            <div class="track">
                <div class="ribbon">
                    { for node.ribbon.iter().filter_map(|span| stretch(scene, span, picture)) }
                    { cursor(scene) }
                </div>
                <div class="meters">
                    <div>{ for meters }</div>
                    { picture.slot(scene, node) }
                </div>
                <div class="marks" aria-hidden="true">
                    { for glyphs(scene, &node.marks) }
                    { cursor(scene) }
                </div>
            </div>
        </div>
    }
}

/// The node's badge, which selects it.
pub(super) fn badge(scene: &Scene, node: &NodeScene, act: &Callback<StageAct>) -> Html {
    let is_selected = scene.selected == Some(node.id);
    let select = {
        let (act, target) = (act.clone(), (!is_selected).then_some(node.id));
        Callback::from(move |_: MouseEvent| act.emit(StageAct::Select(target)))
    };
    let label = scene.stands_for(node).and_then(|value| scene.label(value));
    html! {
        <button type="button" class={classes!("lane-badge", standing_class(node.standing))} onclick={select}
            aria-pressed={is_selected.to_string()}>
            <span class="lane-number">{ format!("Node {}", node.id) }</span>
            <span class="lane-place">{ node.standing.short_word().unwrap_or(&node.place) }</span>
            { chip(label) }
            { for node.timeout.map(|timeout| arc(node, timeout)) }
        </button>
    }
}

/// The arc that depletes until a round ends by itself.
fn arc(node: &NodeScene, timeout: Timeout) -> Html {
    let told = format!("round ends in {} ms", fixed(timeout.left_ms, 0));
    html! {
        <span class="timeout" role="img" title={told.clone()} aria-label={told} data-testid={format!("timeout-{}", node.id)}
            style={format!("--left:{}", fixed(timeout.share, 3))}></span>
    }
}

/// Where the cursor stands.
pub(super) fn cursor(scene: &Scene) -> Html {
    html! { <span class="cursor" style={format!("left:{}", percent(scene.axis.cursor()))}></span> }
}

fn stretch(scene: &Scene, span: &Span, picture: &dyn Picture) -> Option<Html> {
    let left = scene.axis.percent(span.from_ms);
    let right = span
        .to_ms
        .map_or(scene.axis.cursor(), |ms| scene.axis.percent(ms))
        .max(left);
    if span.from_ms > scene.axis.at_ms() || (span.to_ms.is_some() && right <= left) {
        return None;
    }
    let name = if span.down {
        "down"
    } else {
        scene.phase_name(span.phase)
    };
    let round = if span.round > 0 && !span.down {
        format!(" r{}", span.round)
    } else {
        String::new()
    };
    let locked = span
        .locked
        .filter(|_| !span.down && name == "proposing")
        .and_then(|value| scene.label(value));
    let word = locked.map_or_else(
        || format!("{name}{round}"),
        |label| format!("locked {}{round}", label.letter),
    );
    let class = if span.down {
        "tone-down"
    } else {
        picture.tone(scene.spec, span.phase).class()
    };
    let style = format!("left:{};width:{}", percent(left), percent(right - left));
    Some(html! {
        <span class={classes!("span", class, locked.map(|_| "is-locked"))} style={style} title={word.clone()}>
            <span class="span-word">{ word }</span>
        </span>
    })
}

/// Every glyph, but of losses only as many as can be told apart.
fn glyphs(scene: &Scene, marks: &[Mark]) -> Vec<Html> {
    let mut last_loss = f64::NEG_INFINITY;
    let mut drawn = Vec::new();
    for (place, mark) in marks.iter().enumerate() {
        let x = scene.axis.percent(mark.at_ns as f64 / 1e6);
        if mark.glyph == Glyph::Lost {
            if x - last_loss < LOSSES_APART {
                continue;
            }
            last_loss = x;
        }
        drawn.extend(glyph(scene, mark, &marks[..place]));
    }
    drawn
}

/// `before` are the marks before it: those of the same moment stand beside one another.
fn glyph(scene: &Scene, mark: &Mark, before: &[Mark]) -> Option<Html> {
    let at_ms = mark.at_ns as f64 / 1e6;
    (scene.axis.contains(at_ms) && at_ms <= scene.axis.at_ms()).then(|| {
        let beside = before
            .iter()
            .rev()
            .take_while(|other| other.at_ns == mark.at_ns && other.glyph != Glyph::Lost)
            .count();
        let style = format!(
            "left:calc({} + {}px)",
            percent(scene.axis.percent(at_ms)),
            beside * GLYPH_PX
        );
        html! { <span class="glyph" style={style}>{ mark.glyph.symbol() }</span> }
    })
}

/// The times beneath.
pub(super) fn axis(scene: &Scene) -> Html {
    let breaks = scene.axis.breaks().iter().map(|x| {
        html! { <span class="break" style={format!("left:{}", percent(*x))} title="A long wait, drawn short">{ "⌇" }</span> }
    });
    html! {
        <div class="axis" aria-hidden="true">
            <div class="axis-track">{ ticks(scene) }{ for breaks }</div>
        </div>
    }
}

/// The times alone.
fn ticks(scene: &Scene) -> Html {
    let ticks = scene.axis.ticks(TICKS_APART).into_iter().map(|(ms, x)| {
        html! { <span class="tick" style={format!("left:{}", percent(x))}>{ short_time(ms) }</span> }
    });
    html! { <>{ for ticks }</> }
}
