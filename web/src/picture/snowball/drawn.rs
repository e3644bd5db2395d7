//! Draws the selected node's poll and strengths, blocks, and the line about errors.

use yew::prelude::*;

use super::bound;
use super::figures;
use super::poll::{Stance, Strength, Strip, strengths, strip};
use crate::crowd::{Crowd, grouped};
use crate::page::parts::{chip, percent};
use crate::scene::Scene;

/// The edge of a slot, in the strip's own units.
const SLOT: usize = 18;

/// How high the strip is, and how far the line stands out of it.
const HEIGHT: usize = 20;
const OUT: usize = 3;

/// Beneath the lanes or the grid.
pub(super) fn table(scene: &Scene) -> Html {
    let Some(crowd) = &scene.crowd else {
        return html! {};
    };
    html! {
        <div class="snow" data-testid="cards">
            { selected(scene) }
            <div class="figures">
                { figures::confidence(crowd) }
                { figures::shares(scene, crowd) }
            </div>
            { tray(crowd) }
            <p class="bound" data-testid="bound">{ bound::line(crowd) }</p>
        </div>
    }
}

fn selected(scene: &Scene) -> Html {
    let Some(node) = scene.selected.and_then(|id| scene.node(id)) else {
        return html! { <p class="empty">{ "Select a node to see whom it asks." }</p> };
    };
    let instance = scene.focused(node);
    let poll = instance.and_then(strip);
    let strengths = instance.map_or_else(Vec::new, |own| strengths(scene, own));
    let most = strengths.iter().map(|of| of.polls).max().unwrap_or(0);
    let head = match &poll {
        Some(poll) => format!("Node {} · poll {}", node.id, poll.round),
        None => format!("Node {} · {}", node.id, scene.phase_word(node)),
    };
    html! {
        <section class="poll" aria-label={format!("The poll of node {}", node.id)} data-testid="poll"
            data-node={node.id.to_string()}>
            <h2 class="table-title">{ head }</h2>
            { for poll.as_ref().map(|poll| slots(scene, poll)) }
            if poll.is_none() { <p class="empty">{ "It asks nobody now." }</p> }
            if most > 0 {
                <ul class="strengths" aria-label="Polls won">{ for strengths.iter().map(|of| bar(scene, of, most)) }</ul>
            }
        </section>
    }
}

/// A slot for each of the sample, and a line at alpha.
fn slots(scene: &Scene, strip: &Strip) -> Html {
    let slot = |(place, slot): (usize, &super::poll::Slot)| {
        let x = place * SLOT;
        let label = slot.value.and_then(|value| scene.label(value));
        let class = match (slot.stance, label) {
            (Stance::Awaited, _) => "awaiting",
            (Stance::Nothing, _) => "nil",
            (_, Some(label)) => label.class(),
            (_, None) => "value-other",
        };
        let sign = match (slot.stance, label) {
            (Stance::Awaited, _) => "",
            (Stance::Nothing, _) => "∅",
            (_, Some(label)) => label.letter.as_str(),
            (_, None) => "?",
        };
        html! {
            <g class={classes!("segment", class, (slot.stance == Stance::Against).then_some("against"))}
                data-node={slot.node.to_string()} data-stance={slot.stance.word()}>
                <rect x={format!("{x}.75")} y="0.75" width={format!("{}.5", SLOT - 2)} height={format!("{}.5", HEIGHT - 2)} rx="2" />
                <text x={(x + SLOT / 2).to_string()} y="14" text-anchor="middle">{ sign }</text>
            </g>
        }
    };
    let width = strip.slots.len() * SLOT;
    let line = strip.need * SLOT as u64;
    let high = HEIGHT + 2 * OUT;
    html! {
        <>
            <svg class="poll-strip" viewBox={format!("-2 -{OUT} {} {high}", width + 4)} style={format!("max-width:{}px", width + 4)}
                aria-hidden="true" focusable="false" data-testid="poll-strip">
                { for strip.slots.iter().enumerate().map(slot) }
                <line class="threshold" x1={line.to_string()} x2={line.to_string()} y1={format!("-{OUT}")}
                    y2={(HEIGHT + OUT).to_string()} />
            </svg>
            <p class="poll-words"><span data-testid="poll-words">{ strip.words() }</span>
                <strong data-testid="poll-confidence">{ strip.confidence_words() }</strong></p>
        </>
    }
}

fn bar(scene: &Scene, of: &Strength, most: u64) -> Html {
    let label = scene.label(of.value);
    let class = label.map_or("value-other", |label| label.class());
    let width = of.polls as f64 / most.max(1) as f64 * 100.0;
    html! {
        <li data-testid="strength">
            { chip(label) }
            <span class="strength-name">{ &of.name }</span>
            <span class="strength-track" aria-hidden="true"><span class={classes!("strength", class)} style={format!("width:{}", percent(width))}></span></span>
            <span>{ format!("{} polls won", of.polls) }</span>
        </li>
    }
}

/// Where what is final ends up: blocks.
fn tray(crowd: &Crowd) -> Html {
    let tally = crowd.tally();
    let (blocks, before) = &crowd.blocks;
    let waiting = tally.finals - tally.in_block;
    let block = |block: &crate::crowd::Block| {
        let count = block.transactions;
        let unit = if count == 1 {
            "transaction"
        } else {
            "transactions"
        };
        html! {
            <li class="block" data-testid="block"><strong>{ &block.name }</strong><span>{ format!("{count} {unit}") }</span></li>
        }
    };
    html! {
        <section class="tray" aria-label="Blocks" data-testid="tray">
            <h2 class="table-title">{ "Blocks" }</h2>
            <ul class="blocks">
                if *before > 0 { <li class="block-more">{ format!("{before} before") }</li> }
                { for blocks.iter().map(block) }
                if blocks.is_empty() { <li class="block-more">{ "No block yet." }</li> }
                if waiting > 0 {
                    <li class="block pending" data-testid="pending"><strong>{ "final" }</strong>
                        <span>{ format!("not in a block yet at {}", grouped(waiting)) }</span></li>
                }
            </ul>
        </section>
    }
}
