//! The bar at the top: mode, what is shown, and how it is made.

use yew::prelude::*;

use super::icons::{Icon, icon};

/// What the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Simulate,
    Live,
    Museum,
}

/// Draws the bar. `tools` is what the mode adds, `badge` says how what is shown comes about.
pub(super) fn top(mode: Mode, tools: Html, badge: &str, skip: Html) -> Html {
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
        </header>
    }
}
