//! Sharded two-phase commit: a box for each cluster with its log as a table of slots, a crown on whoever leads, chips for
//! items, a rail for the transfer in focus between coordinator and participant, and the sum of it all.

use phaselab_core::codec;
use phaselab_core::protocol::sharded_2pc::{Reply, Request, ShardedConfig, phase};
use phaselab_core::view::Spec;

use super::{Form, FormField, Picture, Redirect, Tone};
use crate::scene::{BoxSizes, Scene};

#[cfg(target_arch = "wasm32")]
mod drawn;
pub mod rail;
pub mod sum;
pub mod table;

/// What is moved, from where to where.
static TRANSFER: Form = Form {
    what: "Submit a transfer",
    fields: &[
        number("from", "From item", "1001"),
        number("to", "To item", "3001"),
        number("amount", "Amount", "10"),
    ],
    ways: &["Transfer", "Read the first item"],
    counts: false,
    by_hand: None,
};

const fn number(id: &'static str, name: &'static str, first: &'static str) -> FormField {
    FormField {
        id,
        name,
        first,
        is_number: true,
    }
}

/// Draws sharded two-phase commit.
pub struct ShardedPicture;

impl Picture for ShardedPicture {
    fn tone(&self, _: &Spec, of: u8) -> Tone {
        match of {
            phase::PREPARED | phase::ACCEPTED => Tone::Busy,
            phase::COMMITTED | phase::CHOSEN => Tone::Decided,
            phase::DONE | phase::EXECUTED => Tone::Done,
            phase::REFUSED => Tone::Stalled,
            phase::ABORTED => Tone::Ended,
            _ => Tone::Idle,
        }
    }

    fn form(&self) -> Option<&'static Form> {
        Some(&TRANSFER)
    }

    /// A transfer, or a read of the first item.
    fn request(&self, fields: &[&str], way: usize) -> Result<Vec<u8>, String> {
        let [from, to, amount] = fields else {
            return Err("A transfer has two items and an amount.".to_owned());
        };
        let of = TRANSFER.fields;
        let request = match way {
            0 => Request::Transfer {
                sender: of[0].whole(from)?,
                receiver: of[1].whole(to)?,
                amount: of[2].whole(amount)?,
            },
            _ => Request::Read {
                item: of[0].whole(from)?,
            },
        };
        Ok(codec::encode(&request))
    }

    /// The reference's accounts; and timers for a browser, where threads share a processor and people look on.
    fn room_config(&self) -> Option<Vec<u8>> {
        Some(codec::encode(&ShardedConfig {
            balances: vec![(1001, 100), (3001, 50)],
            heartbeat_ms: 150,
            election_timeout_ms: 700,
            resend_ms: 300,
            ..ShardedConfig::default()
        }))
    }

    fn room_nodes(&self) -> u16 {
        6
    }

    fn redirect(&self, reply: &[u8]) -> Option<Redirect> {
        match codec::decode(reply).ok()? {
            Reply::NotLeader { hint, .. } => Some(Redirect::Member(hint.map(|node| node.0))),
            Reply::WrongCluster { cluster } => Some(Redirect::Group(cluster.0)),
            _ => None,
        }
    }

    fn box_sizes(&self) -> Option<BoxSizes> {
        Some(BoxSizes {
            head: 46.0,
            row: 32.0,
            foot: 36.0,
            between: 72.0,
            apart: 12.0,
            nodes_width: 34.0,
        })
    }

    /// The coordinator's, above the participant's.
    fn groups_first(&self, scene: &Scene) -> Vec<u16> {
        rail::rail(scene).map_or_else(Vec::new, |rail| {
            std::iter::once(rail.coordinator)
                .chain(rail.participant)
                .collect()
        })
    }

    #[cfg(target_arch = "wasm32")]
    fn table(&self, _: &Scene) -> yew::Html {
        drawn::legend()
    }

    #[cfg(target_arch = "wasm32")]
    fn sign(&self, scene: &Scene, node: &crate::scene::NodeScene) -> yew::Html {
        drawn::crown(scene, node)
    }

    #[cfg(target_arch = "wasm32")]
    fn group(&self, scene: &Scene, of: &crate::scene::GroupBox) -> yew::Html {
        drawn::cluster(scene, of)
    }

    #[cfg(target_arch = "wasm32")]
    fn between(&self, scene: &Scene, boxes: &[crate::scene::GroupBox]) -> yew::Html {
        drawn::between(scene, boxes)
    }
}

#[cfg(test)]
mod tests;
