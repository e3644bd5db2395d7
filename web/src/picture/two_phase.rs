//! Two-phase: a pen slot per node and event, dots for retries, and how its phases feel.

use phaselab_core::codec;
use phaselab_core::protocol::two_phase::SubmitEvent;
use phaselab_core::view::Spec;

use super::{Form, FormField, Picture, Tone};
use crate::scene::{InstancePicture, NodeScene, Scene};

/// What is paid, and by what name.
static PAYMENT: Form = Form {
    what: "Submit a payment",
    fields: &[
        FormField {
            id: "event",
            name: "Event",
            first: "withdraw-1",
            is_number: false,
        },
        FormField {
            id: "amount",
            name: "Amount",
            first: "25",
            is_number: true,
        },
    ],
    ways: &["Submit"],
    counts: true,
    by_hand: Some("by-hand-1"),
};

/// Draws two-phase.
pub struct TwoPhasePicture;

impl Picture for TwoPhasePicture {
    fn tone(&self, _: &Spec, phase: u8) -> Tone {
        match phase {
            1 => Tone::Busy,
            2 => Tone::Decided,
            3 => Tone::Done,
            4 => Tone::Stalled,
            5 => Tone::Ended,
            _ => Tone::Idle,
        }
    }

    fn form(&self) -> Option<&'static Form> {
        Some(&PAYMENT)
    }

    /// A payment to be signed.
    fn request(&self, fields: &[&str], _: usize) -> Result<Vec<u8>, String> {
        let [name, amount] = fields else {
            return Err("A payment has a name and an amount.".to_owned());
        };
        if name.trim().is_empty() {
            return Err("Give the request a name.".to_owned());
        }
        Ok(codec::encode(&SubmitEvent {
            event: name.trim().to_owned(),
            amount: PAYMENT.fields[1].whole(amount)?,
            destination: None,
            supersedes: None,
        }))
    }

    fn table_title(&self) -> &'static str {
        "Templates on the table"
    }

    #[cfg(target_arch = "wasm32")]
    fn slot(&self, scene: &Scene, node: &NodeScene) -> yew::Html {
        drawn::slot(scene, node)
    }
}

/// What the pen slot says, and whether that is a broken promise.
pub fn pen(scene: &Scene, node: &NodeScene) -> (String, bool) {
    let letters: Vec<String> = node
        .signed
        .iter()
        .map(|value| match scene.label(*value) {
            Some(label) => label.letter.clone(),
            None => value.short().to_string(),
        })
        .collect();
    match letters.len() {
        0 => ("not signed".to_owned(), false),
        1 => ("signed ".to_owned() + &letters[0], false),
        _ => ("signed ".to_owned() + &letters.join(" and "), true),
    }
}

/// How often a node has tried again.
pub fn retries(instance: &InstancePicture) -> usize {
    let count = instance
        .fields
        .iter()
        .find(|field| field.name == "retry_count");
    count.and_then(|field| field.text.parse().ok()).unwrap_or(0)
}

#[cfg(target_arch = "wasm32")]
mod drawn {
    use yew::prelude::*;

    use super::{pen, retries};
    use crate::scene::{NodeScene, Scene};

    /// As many dots as are told apart; the title has the number.
    const DOTS_MAX: usize = 5;

    pub(super) fn slot(scene: &Scene, node: &NodeScene) -> Html {
        let (text, is_broken) = pen(scene, node);
        let is_used = !node.signed.is_empty();
        let tries = scene.focused(node).map_or(0, retries);
        let dots = "●".repeat(tries.min(DOTS_MAX));
        html! {
            <span class="slots">
                if tries > 0 {
                    <span class="retries" data-testid={format!("retries-{}", node.id)}>
                        <span aria-hidden="true">{ dots }</span>
                        { format!(" {tries} retried") }
                    </span>
                }
                <span class={classes!("pen", is_used.then_some("pen-used"), is_broken.then_some("pen-broken"))}
                    data-testid={format!("pen-{}", node.id)}>
                    <span aria-hidden="true">{ if is_broken { "✎✎" } else { "✎" } }</span>
                    { text }
                </span>
            </span>
        }
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::protocol::ProtocolKind;

    use super::*;
    use crate::picture;
    use crate::session::Session;

    fn at_end(mut session: Session) -> Session {
        session.end();
        while session.is_busy() {
            session.frame(16.0, &mut || true);
        }
        session
    }

    #[test]
    fn every_phase_has_its_own_tone() {
        let spec = ProtocolKind::TwoPhase.spec();
        let phases = spec.phases.len() as u8;
        let tones: Vec<_> = (0..phases)
            .map(|phase| picture::of(spec).tone(spec, phase).class())
            .collect();
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
        let request = |name, amount| picture::request(ProtocolKind::TwoPhase, &[name, amount], 0);
        assert_eq!(request("rent", "25"), Ok(parsed));
        assert!(request(" ", "25").is_err() && request("rent", "much").is_err());
    }

    #[test]
    fn a_second_pen_is_seen_for_what_it_is() {
        let entry = phaselab_core::scenario::find("three-signers").unwrap();
        let scenario = phaselab_core::scenario::parse(entry.name, entry.text).unwrap();
        let mut scene = at_end(Session::open(&scenario).unwrap()).scene();
        let once = pen(&scene, &scene.nodes[0]);
        assert_eq!(once, ("signed A".to_owned(), false));
        let other = scene.labels.iter().find(|(_, label)| label.letter == "B");
        let other = other.unwrap().0;
        scene.nodes[0].signed.push(other);
        let twice = pen(&scene, &scene.nodes[0]);
        assert_eq!(twice, ("signed A and B".to_owned(), true));
        scene.nodes[0].signed.clear();
        assert_eq!(pen(&scene, &scene.nodes[0]).0, "not signed");
    }
}
