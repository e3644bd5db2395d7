//! How confident how many are, and who prefers what over time.

use yew::prelude::*;

use crate::crowd::histogram::{Bar, bars, parts};
use crate::crowd::{Crowd, grouped};
use crate::page::parts::{chip, fixed, percent, short_time};
use crate::scene::{Label, Scene};

/// How high a figure is, in pixels.
const HEIGHT: f64 = 96.0;

/// The least height of a part that has room for its letter.
const LETTER_PX: f64 = 13.0;

/// The least share of a band that has room for its letter, in per cent.
const LETTER_SHARE: f64 = 24.0;

/// A bar for each confidence, stacked by preference.
pub(super) fn confidence(crowd: &Crowd) -> Html {
    let bars = bars(crowd);
    let highest = bars.iter().map(Bar::total).max().unwrap_or(0);
    let width = 100.0 / bars.len().max(1) as f64;
    let beta = crowd.polls.parameters.beta;
    let drawn = bars.iter().enumerate().map(|(place, bar)| {
        let x = place as f64 * width;
        html! { <g data-testid="bar" data-count={bar.total().to_string()}>{ for parts(bar, highest).into_iter().map(|part| stacked(crowd, part, x, width)) }</g> }
    });
    let drawn: Vec<Html> = drawn.collect();
    let tally = crowd.tally();
    let mut chips = crowd
        .choices
        .iter()
        .zip(&tally.preferring)
        .map(|((_, label), count)| {
            html! { <li>{ chip(Some(label)) }{ grouped(*count) }</li> }
        });
    html! {
        <figure class="figure" data-testid="histogram">
            <figcaption class="table-title">{ "Confidence" }<ul class="key">{ for chips.by_ref() }</ul></figcaption>
            <svg class="histogram" width="100%" height={fixed(HEIGHT, 0)} role="img" aria-label={told(&bars)}>{ for drawn }</svg>
            <div class="figure-axis" aria-hidden="true"><span>{ "0" }</span><span>{ format!("{beta} final") }</span></div>
        </figure>
    }
}

fn stacked(crowd: &Crowd, (choice, from, height): (usize, f64, f64), x: f64, width: f64) -> Html {
    let label = crowd.choices.get(choice).map(|(_, label)| label);
    let (y, high) = (
        (1.0 - from - height).max(0.0) * (HEIGHT - 2.0) + 1.0,
        height * (HEIGHT - 2.0),
    );
    let class = label.map_or("value-other", Label::class);
    html! {
        <g class={classes!("segment", class)}>
            <rect x={percent(x + width * 0.08)} width={percent(width * 0.84)} y={fixed(y, 2)} height={fixed(high, 2)} />
            if high >= LETTER_PX {
                <text x={percent(x + width / 2.0)} y={fixed(y + high / 2.0 + 3.5, 2)} text-anchor="middle">
                    { label.map_or("?", |label| label.letter.as_str()) }</text>
            }
        </g>
    }
}

fn told(bars: &[Bar]) -> String {
    let some = bars.iter().filter(|bar| bar.total() > 0);
    let words: Vec<String> = some
        .map(|bar| match bar.range {
            (from, to) if from == to => format!("{} at {from}", grouped(bar.total())),
            (from, to) => format!("{} at {from} to {to}", grouped(bar.total())),
        })
        .collect();
    match words.is_empty() {
        true => "Nobody prefers anything yet".to_owned(),
        false => format!("Nodes by confidence: {}", words.join(", ")),
    }
}

/// Bands, one for each choice, as high as its share of all nodes at a time.
pub(super) fn shares(scene: &Scene, crowd: &Crowd) -> Html {
    if crowd.shares.len() < 2 {
        return html! {};
    }
    let all = crowd.cells.len().max(1) as f64;
    let mut beneath = vec![0.0; crowd.shares.len()];
    let mut bands = Vec::new();
    for (place, (_, label)) in crowd.choices.iter().enumerate() {
        let edge: Vec<f64> = crowd
            .shares
            .iter()
            .zip(&beneath)
            .map(|(share, from)| {
                from + share.counts.get(place).copied().unwrap_or(0) as f64 / all * 100.0
            })
            .collect();
        bands.push(band(crowd, label, &beneath, &edge));
        beneath = edge;
    }
    html! {
        <figure class="figure" data-testid="shares">
            <figcaption class="table-title">{ "Preferences over time" }</figcaption>
            <div class="shares" role="img" aria-label={format!("Now {}", crowd.told())}>
                <svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height={fixed(HEIGHT, 0)} aria-hidden="true" focusable="false">
                    { for bands.iter().map(|(path, _)| path.clone()) }
                </svg>
                { for bands.into_iter().map(|(_, letter)| letter) }
            </div>
            <div class="figure-axis" aria-hidden="true"><span>{ "0 ms" }</span><span>{ short_time(scene.axis.at_ms()) }</span></div>
        </figure>
    }
}

/// A band, and its letter at the end.
fn band(crowd: &Crowd, label: &Label, beneath: &[f64], edge: &[f64]) -> (Html, Html) {
    let mut path = String::new();
    let mut go = |x: f64, y: f64| {
        path.push(if path.is_empty() { 'M' } else { 'L' });
        path.push_str(&fixed(x, 2));
        path.push(' ');
        path.push_str(&fixed(100.0 - y, 2));
    };
    let end_ms = crowd
        .shares
        .last()
        .map_or(1.0, |share| share.at_ms)
        .max(f64::EPSILON);
    let times = crowd
        .shares
        .iter()
        .map(|share| share.at_ms / end_ms * 100.0);
    let xs: Vec<f64> = times.collect();
    xs.iter().zip(edge).for_each(|(x, y)| go(*x, *y));
    xs.iter().zip(beneath).rev().for_each(|(x, y)| go(*x, *y));
    path.push('Z');
    let low = beneath.last().copied().unwrap_or(0.0);
    let high = edge.last().copied().unwrap_or(0.0);
    let letter = match high - low >= LETTER_SHARE {
        true => html! {
            <span class="share-letter" style={format!("bottom:{}", percent(f64::midpoint(low, high)))}>{ chip(Some(label)) }</span>
        },
        false => html! {},
    };
    let drawn = html! { <g class={classes!("band", label.class())}><path d={path} /></g> };
    (drawn, letter)
}
