//! The bar at the top: mode, what is shown, and how it is made.

use yew::prelude::*;

use super::icons::{Icon, icon};

/// Draws the bar. `tools` is what the mode adds, `badge` says how what is shown comes about.
pub(super) fn top(is_live: bool, tools: Html, badge: &str, skip: Html) -> Html {
    let current = |is_current: bool| is_current.then_some("page");
    html! {
        <header class="top">
            { skip }
            <a class="brand" href="#" aria-label="Phaselab, start">{ icon(Icon::Mark) }<span>{ "Phaselab" }</span></a>
            <nav class="modes" aria-label="Mode">
                <a href="#" aria-current={current(!is_live)} data-testid="mode-simulate">{ "Simulate" }</a>
                <a href="#live" aria-current={current(is_live)} data-testid="mode-live">{ "Live" }</a>
            </nav>
            <div class="tools">{ tools }</div>
            <span class="made" data-testid="badge">{ badge }</span>
        </header>
    }
}
