//! A quorum meter: one segment per registered voter, a line at the threshold, and the same in words.

use yew::prelude::*;

use super::parts::fixed;
use crate::scene::{MeterPicture, Scene, VotePicture};

/// The track's width in its own units; it is 12 high, and the threshold stands out by 2.
const WIDTH: f64 = 120.0;

/// The least width of a segment that has room for its letter.
const LETTER: f64 = 9.0;

/// Draws a meter of a node. `name` is the plural of what it counts.
pub(super) fn meter(scene: &Scene, node: u16, name: &str, meter: Option<&MeterPicture>) -> Html {
    let text = meter.map_or_else(
        || "none yet".to_owned(),
        |meter| match is_bar(scene, meter) {
            true => format!("{} of {}", meter.have, meter.need),
            false => meter.text(),
        },
    );
    let is_reached = meter.is_some_and(MeterPicture::is_reached);
    html! {
        <div class={classes!("meter", is_reached.then_some("reached"))}>
            <span class="meter-name">{ name }</span>
            { for meter.map(|meter| track(scene, meter)) }
            <span class="meter-text" data-testid={format!("meter-{name}-{node}")}>{ text }</span>
        </div>
    }
}

/// A meter as an example: one vote of three is counted, and two are needed.
pub(super) fn sample() -> Html {
    let segment = |x: &'static str, class: &'static str| {
        html! { <g class={classes!("segment", class)}><rect {x} y="0.75" width="18.5" height="10.5" rx="1.5" /></g> }
    };
    html! {
        <svg class="meter-track" viewBox="0 -2 60 16" width="60" height="16" aria-hidden="true" focusable="false">
            { segment("0.75", "value-a") }
            { segment("20.75", "awaiting") }
            { segment("40.75", "awaiting") }
            <line class="threshold" x1="40" x2="40" y1="-2" y2="14" />
        </svg>
    }
}

/// Whether nobody votes on it: it counts what the node did itself, and has no segments.
fn is_bar(scene: &Scene, meter: &MeterPicture) -> bool {
    let kind = scene.spec.meters.get(usize::from(meter.kind));
    kind.is_some_and(|kind| kind.messages.is_empty())
}

/// As far as it got, in the colour of its value.
fn bar(scene: &Scene, meter: &MeterPicture) -> Html {
    let class = meter.value.and_then(|value| scene.label(value));
    let class = class.map_or("value-other", |label| label.class());
    let width = meter.have.min(meter.total) as f64 / meter.total.max(1) as f64 * (WIDTH - 1.5);
    html! {
        <svg class="meter-track" viewBox="0 -2 120 16" width="120" height="16" aria-hidden="true" focusable="false">
            <g class="segment awaiting"><rect x="0.75" y="0.75" width={fixed(WIDTH - 1.5, 2)} height="10.5" rx="1.5" /></g>
            if meter.have > 0 {
                <g class={classes!("segment", class)}>
                    <rect x="0.75" y="0.75" width={fixed(width, 2)} height="10.5" rx="1.5" data-width={fixed(width, 2)} /></g>
            }
        </svg>
    }
}

fn track(scene: &Scene, meter: &MeterPicture) -> Html {
    if is_bar(scene, meter) {
        return bar(scene, meter);
    }
    let total = meter.total.max(1) as f64;
    let mut place = 0.0;
    let segments = meter.segments.iter().map(|segment| {
        let (x, width) = (place / total * WIDTH, segment.weight as f64 / total * WIDTH);
        place += segment.weight as f64;
        let (class, text) = match segment.vote {
            VotePicture::Awaiting => ("awaiting", None),
            VotePicture::Nil => ("nil", Some("∅".to_owned())),
            VotePicture::For(value) => {
                let label = scene.label(value);
                (
                    label.map_or("value-other", |label| label.class()),
                    label.map(|label| label.letter.clone()),
                )
            }
        };
        let (middle, data_width) = (x + width / 2.0, fixed(width, 2));
        html! {
            <g class={classes!("segment", class)} data-node={segment.node.to_string()}>
                <rect x={fixed(x + 0.75, 2)} y="0.75" width={fixed((width - 1.5).max(0.5), 2)}
                    height="10.5" rx="1.5" data-width={data_width} />
                { for text.filter(|_| width >= LETTER).map(|text| html! {
                    <text x={fixed(middle, 2)} y="9.7" text-anchor="middle">{ text }</text>
                }) }
            </g>
        }
    });
    let segments: Vec<Html> = segments.collect();
    let threshold = meter.need as f64 / total * WIDTH;
    html! {
        <svg class="meter-track" viewBox="0 -2 120 16" width="120" height="16"
            aria-hidden="true" focusable="false">
            if segments.is_empty() {
                <g class="segment awaiting"><rect x="0.75" y="0.75" width={fixed(WIDTH - 1.5, 2)} height="10.5" rx="1.5" /></g>
            }
            { for segments }
            <line class="threshold" x1={fixed(threshold, 2)} x2={fixed(threshold, 2)} y1="-2" y2="14" />
        </svg>
    }
}
