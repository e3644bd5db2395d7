//! Two-phase: template cards, one per hash and round, and a pen slot per node and event.

use phaselab_core::codec;
use phaselab_core::protocol::two_phase::SubmitEvent;
use phaselab_core::types::Hash32;

use super::Tone;
use crate::few::{FewMap, insert_sorted};
use crate::scene::Scene;

/// A template on the table: what some node knows of it, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its hash.
    pub value: Hash32,
    /// In which round it was proposed.
    pub round: u32,
    /// The payment.
    pub amount: u64,
    /// What it spends.
    pub detail: String,
    /// Who proposed it, as far as any node knows.
    pub proposers: Vec<u16>,
    /// Whether some node decided it.
    pub is_decided: bool,
}

/// The cards of the event in focus, by round and then by letter.
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

/// How a phase feels, by its number.
pub fn tone(phase: u8) -> Tone {
    match phase {
        1 => Tone::Busy,
        2 => Tone::Decided,
        3 => Tone::Done,
        4 => Tone::Stalled,
        5 => Tone::Ended,
        _ => Tone::Idle,
    }
}

/// A payment to be signed.
pub fn request(name: &str, amount: u64) -> Vec<u8> {
    codec::encode(&SubmitEvent {
        event: name.to_owned(),
        amount,
        destination: None,
        supersedes: None,
    })
}

#[cfg(target_arch = "wasm32")]
pub use drawn::TwoPhasePicture;

#[cfg(target_arch = "wasm32")]
mod drawn {
    use yew::prelude::*;

    use super::{Card, cards};
    use crate::page::parts::chip;
    use crate::picture::{Picture, Tone};
    use crate::scene::{NodeScene, Scene};

    /// Draws two-phase.
    pub struct TwoPhasePicture;

    impl Picture for TwoPhasePicture {
        fn tone(&self, phase: u8) -> Tone {
            super::tone(phase)
        }

        fn table(&self, scene: &Scene) -> Html {
            let cards = cards(scene);
            let content = if cards.is_empty() {
                html! { <p class="empty">{ "No template is proposed yet." }</p> }
            } else {
                html! { <ul class="cards">{ for cards.iter().map(|shown| card(scene, shown)) }</ul> }
            };
            html! {
                <div class="table" data-testid="cards">
                    <h2 class="table-title">{ "Templates on the table" }</h2>
                    { content }
                </div>
            }
        }

        fn slot(&self, scene: &Scene, node: &NodeScene) -> Html {
            let signed = scene.focused(node).and_then(|instance| instance.signed);
            let label = signed.and_then(|value| scene.label(value));
            let text = label.map_or_else(
                || "not signed".to_owned(),
                |label| format!("signed {}", label.letter),
            );
            html! {
                <span class={classes!("pen", signed.map(|_| "pen-used"))} data-testid={format!("pen-{}", node.id)}>
                    <span aria-hidden="true">{ "✎" }</span>
                    { text }
                </span>
            }
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
    use phaselab_core::protocol::ProtocolKind;
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

    #[test]
    fn every_phase_has_its_own_tone() {
        let phases = ProtocolKind::TwoPhase.spec().phases.len() as u8;
        let tones: Vec<_> = (0..phases).map(|phase| tone(phase).class()).collect();
        assert!(
            (0..tones.len()).all(|index| !tones[..index].contains(&tones[index])),
            "{tones:?}"
        );
    }

    #[test]
    fn a_request_is_what_the_same_text_would_be() {
        let parsed = ProtocolKind::TwoPhase
            .parse_request("request", "event = \"rent\"\namount = 25\n")
            .unwrap();
        assert_eq!(request("rent", 25), parsed);
    }
}
