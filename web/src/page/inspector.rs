//! Everything about the selected node: what changed, where it stands, its meters, its templates, its fields.

use yew::prelude::*;

use super::StageAct;
use super::icons::{Icon, icon};
use super::meter::meter;
use super::parts::chip;
use super::topology::standing_class;
use super::why;
use crate::scene::{FieldText, InstancePicture, NodeScene, Scene};
use crate::session::EventLine;

/// The most recent events of the node that are shown.
pub(super) const CHANGES_MAX: usize = 3;

/// Draws the inspector of a node. `changes` are its last events, `time` writes their times; `extra` is what the mode
/// adds, and `can_ask` whether it answers why.
pub(super) fn node(
    scene: &Scene,
    id: u16,
    changes: &[EventLine],
    time: &dyn Fn(f64) -> String,
    extra: Html,
    can_ask: bool,
    act: &Callback<StageAct>,
) -> Html {
    let Some(node) = scene.node(id) else {
        return html! {};
    };
    let instance = scene.focused(node);
    let close = {
        let act = act.clone();
        Callback::from(move |_: MouseEvent| act.emit(StageAct::Select(None)))
    };
    html! {
        <aside class="inspector open" aria-label={format!("Node {id}")} data-testid="inspector"
            data-node={id.to_string()}>
            <div class="inspector-head">
                <h2 class={standing_class(node.standing)}>{ format!("Node {id}") }</h2>
                { for node.standing.word().map(|word| html! { <span class="standing">{ word }</span> }) }
                <button type="button" class="quiet icon-button" aria-label="Close the inspector" onclick={close}>
                    { icon(Icon::Close) }
                </button>
            </div>
            { extra }
            { recent(changes, time) }
            { for instance.map(|instance| state(scene, node, instance, can_ask.then_some(act))) }
            if instance.is_none() {
                <p class="empty">{ "It has not heard of anything to decide. " }
                    { for scene.focus.filter(|_| can_ask).map(|focus| why::button(id, focus, "", act)) }</p>
            }
            { details("The node", &node.picture.fields) }
        </aside>
    }
}

fn recent(changes: &[EventLine], time: &dyn Fn(f64) -> String) -> Html {
    if changes.is_empty() {
        return html! {};
    }
    html! {
        <section>
            <h3>{ "Latest" }</h3>
            <ul class="changes">
                { for changes.iter().rev().map(|line| html! {
                    <li><span class="event-time">{ time(line.at_ms) }</span>{ " " }{ &line.sentence }</li>
                }) }
            </ul>
        </section>
    }
}

/// Where the node stands. With `ask`, there is a button for each of its instances that asks why.
fn state(
    scene: &Scene,
    node: &NodeScene,
    instance: &InstancePicture,
    ask: Option<&Callback<StageAct>>,
) -> Html {
    let phase = scene.spec.phases.get(usize::from(instance.phase));
    let kind = scene
        .spec
        .instances
        .first()
        .map_or("instance", |kind| kind.name);
    let why = |of: &InstancePicture| ask.map(|act| why::button(node.id, of.id, &of.name, act));
    let others = node
        .picture
        .instances
        .iter()
        .filter(|of| ask.is_some() && of.id != instance.id);
    let value = |value| html! { <>{ chip(scene.label(value)) }<code>{ value.short().to_string() }</code></> };
    html! {
        <>
            <section>
                <h3>{ "State" }</h3>
                <dl class="facts">
                    <dt>{ kind }</dt><dd>{ &instance.name }{ for why(instance) }</dd>
                    { for others.map(|of| html! { <><dt>{ "also" }</dt><dd>{ &of.name }{ for why(of) }</dd></> }) }
                    <dt>{ "phase" }</dt>
                    <dd data-testid="inspector-phase">
                        <strong>{ phase.map_or("unknown", |phase| phase.name) }</strong>
                        <span class="muted">{ phase.map_or("", |phase| phase.meaning) }</span>
                    </dd>
                    <dt>{ "round" }</dt><dd>{ instance.round }</dd>
                    if !scene.spec.has_nested() && !scene.polls() {
                        <dt>{ "locked" }</dt>
                        <dd>{ instance.locked.map_or(html! { "no" }, |(round, hash)| html! {
                            <>{ value(hash) }{ format!(" in round {round}") }</>
                        }) }</dd>
                        <dt>{ "signed" }</dt><dd>{ instance.signed.map_or(html! { "nothing" }, value) }</dd>
                    }
                    <dt>{ "decided" }</dt><dd>{ instance.value.map_or(html! { "not yet" }, value) }</dd>
                </dl>
            </section>
            <section>
                <h3>{ "Meters" }</h3>
                { for instance.meters.iter().map(|shown| {
                    let name = scene.spec.meters.get(usize::from(shown.kind)).map_or("votes", |meter| meter.name);
                    html! { <div class="meter-row">{ meter(scene, 0, name, Some(shown)) }{ voters(scene, shown) }</div> }
                }) }
            </section>
            if !instance.choices.is_empty() {
                <section>
                    <h3>{ format!("What node {} has seen proposed", node.id) }</h3>
                    <ul class="choices">
                        { for instance.choices.iter().map(|choice| html! {
                            <li>
                                { chip(scene.label(choice.value)) }
                                <span>{ format!("round {}{}", choice.round, list(&choice.proposers)) }</span>
                                <span class="muted">{ &choice.detail }</span>
                            </li>
                        }) }
                    </ul>
                </section>
            }
            { details("Fields", &instance.fields) }
        </>
    }
}

/// Who voted for what, in words: the meter for those who do not see it.
fn voters(scene: &Scene, meter: &crate::scene::MeterPicture) -> Html {
    use crate::scene::VotePicture;
    let words = meter.segments.iter().map(|segment| match segment.vote {
        VotePicture::Awaiting => format!("node {} awaited", segment.node),
        VotePicture::Nil => format!("node {} for nothing", segment.node),
        VotePicture::For(value) => {
            let letter = scene
                .label(value)
                .map_or_else(|| value.short().to_string(), |label| label.letter.clone());
            format!("node {} for {letter}", segment.node)
        }
    });
    html! { <span class="muted voters">{ words.collect::<Vec<_>>().join(", ") }</span> }
}

/// `, by nodes 1 2`; nothing where nobody is known for it.
fn list(nodes: &[u16]) -> String {
    let words: Vec<String> = nodes.iter().map(u16::to_string).collect();
    match words.len() {
        0 => String::new(),
        1 => format!(", by node {}", words[0]),
        _ => format!(", by nodes {}", words.join(" ")),
    }
}

fn details(title: &str, fields: &[FieldText]) -> Html {
    if fields.is_empty() {
        return html! {};
    }
    html! {
        <section>
            <h3>{ title }</h3>
            <dl class="facts fields">
                { for fields.iter().map(|field| html! {
                    <><dt>{ &field.name }</dt><dd><code>{ &field.text }</code></dd></>
                }) }
            </dl>
        </section>
    }
}
