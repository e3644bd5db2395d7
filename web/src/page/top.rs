//! The bar at the top: mode, what is shown, and how it is made.

use phaselab_core::view::Spec;
use yew::prelude::*;

use super::aids::Aids;
use super::icons::{Icon, icon};
use crate::keymap;

/// What the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Simulate,
    Live,
    Museum,
}

impl Mode {
    /// The stage of its keys.
    fn stage(self) -> u8 {
        match self {
            Mode::Simulate => keymap::SIMULATE,
            Mode::Live => keymap::LIVE,
            Mode::Museum => keymap::MUSEUM,
        }
    }
}

/// Draws the bar. `tools` is what the mode adds, `badge` says how what is shown comes about; `spec` is of the protocol that is
/// shown.
pub(super) fn top(
    mode: Mode,
    tools: Html,
    badge: &str,
    skip: Html,
    spec: Option<&'static Spec>,
) -> Html {
    let links = [
        (Mode::Simulate, "#", "Simulate", "mode-simulate"),
        (Mode::Live, "#live", "Live", "mode-live"),
        (Mode::Museum, "#museum", "Museum", "mode-museum"),
    ];
    let link = |(of, href, name, testid): (Mode, &'static str, &'static str, &'static str)| {
        let current = (of == mode).then_some("page");
        html! { <a {href} aria-current={current} data-testid={testid}>{ name }</a> }
    };
    html! {
        <header class="top">
            { skip }
            <a class="brand" href="#" aria-label="Phaselab, start">{ icon(Icon::Mark) }<span>{ "Phaselab" }</span></a>
            <nav class="modes" aria-label="Mode">
                { for links.into_iter().map(link) }
            </nav>
            <div class="tools">{ tools }</div>
            <span class="made" data-testid="badge">{ badge }</span>
            <div class="aids"><Aids stage={mode.stage()} {spec} /></div>
        </header>
    }
}
