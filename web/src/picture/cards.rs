//! The values on the table as cards, one per hash and round: of any protocol whose views have choices.

use phaselab_core::types::Hash32;

use crate::few::{FewMap, insert_sorted};
use crate::scene::Scene;

/// A value on the table: what some node knows of it, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its hash.
    pub value: Hash32,
    /// In which round it was proposed.
    pub round: u32,
    /// The number on the card: the amount paid.
    pub amount: u64,
    /// What distinguishes it.
    pub detail: String,
    /// Who proposed it, as far as any node knows.
    pub proposers: Vec<u16>,
    /// Whether some node decided it.
    pub is_decided: bool,
}

/// The cards of the instance in focus, by round and then by letter.
pub fn cards(scene: &Scene) -> Vec<Card> {
    let mut cards: FewMap<(u32, String, Hash32), Card> = FewMap::default();
    let instances = || scene.nodes.iter().filter_map(|node| scene.focused(node));
    for choice in instances().flat_map(|instance| &instance.choices) {
        let letter = scene
            .label(choice.value)
            .map(|label| label.letter.clone())
            .unwrap_or_default();
        let card = cards.get_or_insert_with((choice.round, letter, choice.value), || Card {
            value: choice.value,
            round: choice.round,
            amount: choice.amount,
            detail: String::new(),
            proposers: Vec::new(),
            is_decided: instances().any(|instance| instance.value == Some(choice.value)),
        });
        choice
            .proposers
            .iter()
            .for_each(|node| insert_sorted(&mut card.proposers, *node));
        // A node that only heard of the hash has no detail.
        if card.detail.is_empty() {
            card.detail.clone_from(&choice.detail);
        }
    }
    cards.values().cloned().collect()
}

#[cfg(target_arch = "wasm32")]
pub(super) mod drawn {
    use yew::prelude::*;

    use super::{Card, cards};
    use crate::page::parts::chip;
    use crate::scene::Scene;

    /// Draws them under a title.
    pub(in crate::picture) fn table(scene: &Scene, title: &str) -> Html {
        let cards = cards(scene);
        let content = if cards.is_empty() {
            html! { <p class="empty">{ "Nothing is proposed yet." }</p> }
        } else {
            html! { <ul class="cards">{ for cards.iter().map(|shown| card(scene, shown)) }</ul> }
        };
        html! {
            <div class="table" data-testid="cards">
                <h2 class="table-title">{ title }</h2>
                { content }
            </div>
        }
    }

    fn card(scene: &Scene, card: &Card) -> Html {
        let label = scene.label(card.value);
        let short = label.map_or_else(
            || card.value.short().to_string(),
            |label| label.short.clone(),
        );
        let by: Vec<String> = card.proposers.iter().map(u16::to_string).collect();
        let dots = "●".repeat(by.len());
        let nodes = if by.len() == 1 { "node" } else { "nodes" };
        html! {
            <li class={classes!("card", card.is_decided.then_some("decided"))} data-testid="card"
                data-value={card.value.to_string()} data-round={card.round.to_string()} title={card.detail.clone()}>
                { chip(label) }
                <span class="card-text">
                    <span class="card-line">
                        <code>{ short }</code>
                        <span class="card-amount">{ format!("pays {}", card.amount) }</span>
                    </span>
                    <span class="card-line card-by">
                        <span class="dots" aria-hidden="true">{ dots }</span>
                        { format!("{nodes} {} · round {}", by.join(" "), card.round) }
                    </span>
                </span>
            </li>
        }
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario;

    use super::*;
    use crate::session::Session;

    #[test]
    fn there_is_one_card_per_template_and_round_with_all_its_proposers() {
        let entry = scenario::find("three-signers").unwrap();
        let mut session = Session::open(&scenario::parse(entry.name, entry.text).unwrap()).unwrap();
        session.end();
        while session.is_busy() {
            session.frame(16.0, &mut || true);
        }
        let scene = session.scene();
        let cards = cards(&scene);
        let proposers: usize = cards
            .iter()
            .filter(|card| card.round == 0)
            .map(|card| card.proposers.len())
            .sum();
        assert_eq!(proposers, 3, "{cards:?}");
        assert_eq!(cards.iter().filter(|card| card.is_decided).count(), 1);
        assert!(
            cards
                .iter()
                .all(|card| card.amount == 25 && card.detail.starts_with("spends"))
        );
    }
}
