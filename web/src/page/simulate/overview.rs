//! What the inspector shows while nothing is selected: what is decided, promised and expected.

use phaselab_core::types::NodeId;
use yew::prelude::*;

use crate::session::{NODES_DRAWN_MAX, Session, TOPICS_MAX};

/// Draws it.
pub(super) fn overview(session: &Session) -> Html {
    let (decided, is_more) = session.decided();
    let verdicts = session.sim().verdicts();
    let expectations = session.sim().expectations();
    let expected = expectations.len();
    let met = expectations.iter().filter(|entry| entry.met).count();
    html! {
        <aside class="inspector" aria-label="The run" data-testid="overview" tabindex="0">
            <p class="empty">{ "Select a node to inspect it." }</p>
            <section>
                <h3>{ "Decided" }</h3>
                if decided.is_empty() { <p class="empty">{ "Nothing yet." }</p> }
                if is_more { <p class="empty">{ format!("The last {TOPICS_MAX}.") }</p> }
                <ul class="changes">
                    { for decided.iter().map(|decision| html! {
                        <li data-testid="decision">
                            { format!("{} = {} ", decision.name, decision.letter.as_deref().unwrap_or("?")) }
                            <code>{ decision.value.short().to_string() }</code>
                            { format!(" at nodes {}", words(&decision.nodes)) }
                        </li>
                    }) }
                </ul>
            </section>
            <section>
                <h3>{ "Invariants" }</h3>
                <dl class="facts">
                    { for verdicts.iter().map(|verdict| html! {
                        <><dt>{ verdict.name }</dt><dd>{ &verdict.detail }</dd></>
                    }) }
                </dl>
            </section>
            if expected > 0 {
                <section>
                    <h3>{ format!("Expected: {met} of {expected} met so far") }</h3>
                    <ul class="expected">
                        { for expectations.iter().map(|entry| html! {
                            <li><span aria-hidden="true">{ if entry.met { "✓" } else { "○" } }</span>
                                { &entry.text }<span class="unseen">{ if entry.met { ", met" } else { ", not yet" } }</span></li>
                        }) }
                    </ul>
                </section>
            }
            <section>
                <h3>{ "Fault model" }</h3>
                <p>{ session.sim().spec().fault_model }</p>
            </section>
        </aside>
    }
}

/// The nodes by number; of many, how many they are.
fn words(nodes: &[NodeId]) -> String {
    if nodes.len() > NODES_DRAWN_MAX {
        return format!(
            "1 to {}: {} of them",
            nodes.last().map_or(0, |node| node.0),
            nodes.len()
        );
    }
    nodes
        .iter()
        .map(|node| node.0.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}
