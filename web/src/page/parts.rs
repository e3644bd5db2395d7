//! Small things that many pictures share: a value's chip, a message's shape, a time.

use js_sys::Number;
use phaselab_core::view::Shape;
use yew::prelude::*;

use crate::scene::Label;

/// A value: its letter on its colour.
pub(crate) fn chip(label: Option<&Label>) -> Html {
    match label {
        Some(label) => html! {
            <span class={classes!("chip", label.class())} title={format!("{} {}", label.letter, label.short)}>
                { &label.letter }
            </span>
        },
        None => html! { <span class="chip chip-none" aria-hidden="true"></span> },
    }
}

/// The outline of a kind of message, 24 x 24.
pub(super) fn outline(shape: Shape) -> &'static str {
    match shape {
        Shape::Propose => "M3 12a9 9 0 1 0 18 0 9 9 0 1 0-18 0z",
        Shape::Vote => "M12 2.5 22 20.5H2z",
        Shape::Lock => "M3 3h18v18H3z",
        Shape::Certificate => "M6.5 2.5h11L23 12l-5.5 9.5h-11L1 12z",
        Shape::Abort => "M6 2.5 12 8.5l6-6L21.5 6l-6 6 6 6L18 21.5l-6-6-6 6L2.5 18l6-6-6-6z",
        Shape::Sync => "M8 12a4 4 0 1 0 8 0 4 4 0 1 0-8 0z",
    }
}

/// A message: its kind by shape, its value by colour and letter.
pub(super) fn message(shape: Shape, label: Option<&Label>) -> Html {
    let class = classes!("shape", label.map_or("shape-none", |label| label.class()));
    let letter = label.filter(|_| shape != Shape::Sync && shape != Shape::Abort).map(|label| {
        let y = if shape == Shape::Vote { "18" } else { "16.2" };
        html! { <text x="12" y={y} text-anchor="middle">{ label.letter.chars().next().unwrap_or(' ') }</text> }
    });
    html! {
        <svg class={class} viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" focusable="false">
            <path d={outline(shape)} />
            { for letter }
        </svg>
    }
}

/// A number with so many decimals, as the browser writes it: Rust's way of writing floats is eighteen kilobytes of the
/// program.
pub(crate) fn fixed(number: f64, decimals: u8) -> String {
    // Refused only for more than a hundred decimals.
    let text = Number::from(number).to_fixed(decimals);
    text.map_or_else(|_| String::new(), String::from)
}

/// A number with as many decimals as it has.
pub(super) fn plain(number: f64) -> String {
    // Refused only for bases that do not exist.
    let text = Number::from(number).to_string_with_radix(10);
    text.map_or_else(|_| String::new(), String::from)
}

/// A place in per cent, for a style.
pub(crate) fn percent(number: f64) -> String {
    fixed(number, 3) + "%"
}

/// A time for people: `122.8 ms`, `9.000 s`.
pub(super) fn time(ms: f64) -> String {
    if ms.abs() < 10_000.0 {
        format!("{} ms", fixed(ms, 1))
    } else {
        format!("{} s", fixed(ms / 1e3, 2))
    }
}

/// A time on an axis, where the step is round.
pub(crate) fn short_time(ms: f64) -> String {
    if ms.abs() < 10_000.0 {
        format!("{} ms", fixed(ms, 0))
    } else {
        format!("{} s", fixed(ms / 1e3, 1))
    }
}
