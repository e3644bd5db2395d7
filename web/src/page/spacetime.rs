//! Space-time: nodes as lines, messages as lines between them. Few are drawn as SVG, many on a canvas; a slider goes
//! through them one by one, for the keyboard and for those who do not see the picture.

use std::rc::Rc;

use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;

use super::StageAct;
use super::canvas::Canvas;
use super::lanes::{axis, badge, cursor};
use super::parts::{fixed, outline, percent};
use crate::look::{Look, LookAct, View};
use crate::scene::Scene;
use crate::session::Session;
use crate::spacetime::{ELEMENTS_MAX, Item, Spacetime, What};

/// How large a message's shape is drawn, of 24.
const SHAPE: f64 = 0.5;

/// Of more nodes each has a row too low for two lines.
const ROOMY_NODES_MAX: usize = 4;

/// Chooses the picture over time, and how much of it.
pub(super) fn bar(look: &Look, act: &Callback<LookAct>) -> Html {
    let view = |view: View, name: &'static str, testid: &'static str| {
        let onclick = act.reform(move |_: MouseEvent| LookAct::View(view));
        html! {
            <button type="button" class="topic" aria-pressed={(look.view == view).to_string()} {onclick}
                data-testid={testid}>{ name }</button>
        }
    };
    let (can_narrow, can_widen) = look.can_zoom();
    let zoom = |by: i8, can: bool, sign: &'static str, name: &'static str| {
        let onclick = act.reform(move |_: MouseEvent| LookAct::Zoom(by));
        html! {
            <button type="button" class="topic" aria-label={name} title={name} aria-disabled={(!can).to_string()}
                {onclick}>{ sign }</button>
        }
    };
    html! {
        <div class="bar" role="group" aria-label="Picture">
            { view(View::Lanes, "Lanes", "view-lanes") }
            { view(View::SpaceTime, "Space-time", "view-spacetime") }
            <span class="fill"></span>
            { zoom(-1, can_widen, "−", "More time") }
            { zoom(1, can_narrow, "+", "Less time, larger") }
        </div>
    }
}

/// Draws the picture.
pub(super) fn spacetime(
    session: &Session,
    scene: &Scene,
    chosen: Option<usize>,
    act: &Callback<StageAct>,
    look: &Callback<LookAct>,
) -> Html {
    let picture = Rc::new(Spacetime::of(session.sim().log(), scene));
    let height = picture.height_px(scene);
    let row = format!("height:{}px", fixed(picture.row_px, 2));
    let (messages, lost) = picture.counts();
    let mut told = format!("{messages} messages, {lost} of them lost");
    if picture.is_cut {
        told.push_str("; only the latest are drawn");
    }
    let chooser = chooser(session, &picture, chosen, act, look);
    let picked = {
        let (act, look, picture) = (act.clone(), look.clone(), picture.clone());
        Callback::from(move |event: MouseEvent| {
            let Some(plot) = event.target_dyn_into::<HtmlElement>() else {
                return;
            };
            let at = (f64::from(event.offset_x()), f64::from(event.offset_y()));
            if let Some(item) = picture.hit(at, f64::from(plot.client_width()))
                && let Some((place, step)) = item.event
            {
                look.emit(LookAct::Choose(place));
                act.emit(StageAct::Select(Some(item.node)));
                act.emit(StageAct::SeekAfter(step));
            }
        })
    };
    let drawn = if picture.items.len() > ELEMENTS_MAX {
        html! { <Canvas {picture} {chosen} rows={scene.nodes.len()} /> }
    } else {
        svg(scene, &picture, chosen)
    };
    html! {
        <div class="lanes spacetime" data-testid="spacetime">
            <div class="st-rows">
                <div class={classes!("st-badges", (scene.nodes.len() > ROOMY_NODES_MAX).then_some("many"))}>
                    { for scene.nodes.iter().map(|node| html! {
                        <div style={row.clone()} data-node={node.id.to_string()}
                            data-phase={scene.phase_word(node)}>{ badge(scene, node, act) }</div>
                    }) }
                </div>
                <div class="st-plot" style={format!("height:{}px", fixed(height, 2))} onclick={picked}>
                    { drawn }
                    { cursor(scene) }
                </div>
            </div>
            { axis(scene) }
            <p class="st-told" data-testid="spacetime-told">{ told }</p>
            { chooser }
        </div>
    }
}

/// Goes through messages and marks one by one.
fn chooser(
    session: &Session,
    picture: &Spacetime,
    chosen: Option<usize>,
    act: &Callback<StageAct>,
    look: &Callback<LookAct>,
) -> Html {
    let stops: Vec<(usize, &Item)> = picture.stops().collect();
    let Some(last) = stops.len().checked_sub(1) else {
        return html! {};
    };
    let at = stops.iter().position(|(place, _)| Some(*place) == chosen);
    let at = at.unwrap_or(last);
    let (place, item) = stops[at];
    let text = session
        .line(place)
        .map(|line| line.sentence)
        .unwrap_or_default();
    let places: Vec<usize> = stops.iter().map(|(place, _)| *place).collect();
    let look = look.clone();
    let choose = Callback::from(move |event: InputEvent| {
        let input = event.target_dyn_into::<HtmlInputElement>();
        let at = input.map_or(0, |input| input.value_as_number() as usize);
        if let Some(place) = places.get(at) {
            look.emit(LookAct::Choose(*place));
        }
    });
    let go = {
        let (act, node, step) = (act.clone(), item.node, item.event.map(|(_, step)| step));
        Callback::from(move |_: MouseEvent| {
            act.emit(StageAct::Select(Some(node)));
            step.into_iter()
                .for_each(|step| act.emit(StageAct::SeekAfter(step)));
        })
    };
    html! {
        <div class="st-chooser">
            <input type="range" min="0" max={last.to_string()} step="1" value={at.to_string()} oninput={choose}
                aria-label="Message or mark" aria-valuetext={text.clone()} data-testid="spacetime-choose" />
            <span class="st-text" data-testid="spacetime-chosen">{ text }</span>
            <button type="button" class="small" onclick={go} data-testid="spacetime-go">{ "Go there" }</button>
        </div>
    }
}

fn svg(scene: &Scene, picture: &Spacetime, chosen: Option<usize>) -> Html {
    let rows = scene.nodes.iter().enumerate().map(|(place, node)| {
        let y = fixed((place as f64 + 0.5) * picture.row_px, 2);
        let downs = node.ribbon.iter().filter(|span| span.down).map(|span| {
            let end = span.to_ms.unwrap_or(scene.axis.at_ms());
            html! {
                <line class="st-down" x1={percent(scene.axis.percent(span.from_ms))} x2={percent(scene.axis.percent(end))}
                    y1={y.clone()} y2={y.clone()} />
            }
        });
        html! {
            <><line class="st-world" x1="0" x2="100%" y1={y.clone()} y2={y.clone()} />{ for downs }</>
        }
    });
    html! {
        <svg class="st-drawn" width="100%" height="100%" aria-hidden="true" focusable="false">
            { for rows }
            { for picture.items.iter().map(|item| line(item, chosen)) }
            { for picture.items.iter().map(end) }
        </svg>
    }
}

fn line(item: &Item, chosen: Option<usize>) -> Html {
    let Some(start) = item.start else {
        return html! {};
    };
    let is_chosen = item.event.is_some_and(|(place, _)| Some(place) == chosen);
    let class = classes!(
        "st-line",
        item.is_dim.then_some("dim"),
        (item.what == What::Lost).then_some("lost"),
        is_chosen.then_some("chosen")
    );
    html! {
        <line {class} x1={percent(start.0)} y1={fixed(start.1, 2)} x2={percent(item.end.0)} y2={fixed(item.end.1, 2)}
            data-testid="st-message" data-step={item.event.map(|(_, step)| step.to_string())} />
    }
}

fn end(item: &Item) -> Html {
    let (x, y) = (percent(item.end.0), fixed(item.end.1, 2));
    let (class, content) = match item.what {
        What::Message(_) if item.is_dim => return html! {},
        What::Message(shape) => (
            classes!(
                "shape",
                item.value
                    .as_ref()
                    .map_or("shape-none", |label| label.class())
            ),
            html! {
                <>
                    <path d={outline(shape)} transform={format!("scale({SHAPE}) translate(-12 -12)")} />
                    { for item.value.as_ref().map(|label| html! {
                        <text y="3.5" text-anchor="middle">{ &label.letter }</text>
                    }) }
                </>
            },
        ),
        What::Lost => (
            classes!("st-mark", item.is_dim.then_some("dim")),
            html! { <text y="5" text-anchor="middle">{ "×" }</text> },
        ),
        What::Mark(glyph) => (
            classes!("st-mark"),
            html! { <text y="-8" text-anchor="middle">{ glyph.symbol() }</text> },
        ),
    };
    html! { <svg {class} {x} {y} overflow="visible">{ content }</svg> }
}
