//! Snowball: a lane for each node where they are few, and a cell for each where they are many; whom the selected node asks,
//! how strong each choice is, how confident all are, who prefers what over time, blocks, and how likely an error is.

use phaselab_core::codec;
use phaselab_core::protocol::snowball::{Payment, SnowballConfig, phase};
use phaselab_core::types::Hash32;
use phaselab_core::view::Spec;

use super::{Form, FormField, Picture, Tone};
use crate::crowd::Polls;
use crate::scene::InstancePicture;

pub mod bound;
#[cfg(target_arch = "wasm32")]
mod drawn;
#[cfg(target_arch = "wasm32")]
mod figures;
pub mod poll;

/// The meter of a poll's votes.
pub const VOTES_METER: u8 = 0;
/// The meter of successful polls in a row.
pub const CONFIDENCE_METER: u8 = 1;

/// What is paid, of which coin.
static PAYMENT: Form = Form {
    what: "Submit a payment",
    fields: &[
        text("from", "From", "alice:0"),
        text("to", "To", "bob"),
        number("amount", "Amount", "25"),
        text("memo", "Memo", "T1"),
        number("fee", "Fee", "1"),
    ],
    ways: &["Pay"],
    counts: true,
    by_hand: None,
};

const fn text(id: &'static str, name: &'static str, first: &'static str) -> FormField {
    FormField {
        id,
        name,
        first,
        is_number: false,
    }
}

const fn number(id: &'static str, name: &'static str, first: &'static str) -> FormField {
    FormField {
        id,
        name,
        first,
        is_number: true,
    }
}

/// Draws snowball.
pub struct SnowballPicture;

impl Picture for SnowballPicture {
    /// Between two polls, as before the first, nothing is asked.
    fn tone(&self, _: &Spec, of: u8) -> Tone {
        match of {
            phase::QUERYING => Tone::Busy,
            phase::FINALIZED => Tone::Decided,
            phase::IN_BLOCK => Tone::Done,
            phase::REJECTED => Tone::Ended,
            _ => Tone::Idle,
        }
    }

    fn form(&self) -> Option<&'static Form> {
        Some(&PAYMENT)
    }

    /// A payment of one coin: `alice` is her first one, `alice:2` her third.
    fn request(&self, fields: &[&str], _: usize) -> Result<Vec<u8>, String> {
        let [from, to, amount, memo, fee] = fields else {
            return Err("A payment has a payer, a payee, an amount, a memo and a fee.".to_owned());
        };
        let of = PAYMENT.fields;
        let (from, to) = (from.trim(), to.trim());
        if from.is_empty() || to.is_empty() {
            return Err("A payment has a payer and a payee.".to_owned());
        }
        let owner = from.split(':').next().unwrap_or(from);
        let mut payment = Payment::new(owner, to, of[2].whole(amount)?);
        if owner != from {
            payment.spend = vec![from.to_owned()];
        }
        payment.memo = memo.trim().to_owned();
        payment.fee = of[4].whole(fee)?;
        Ok(codec::encode(&payment.sign()?))
    }

    fn room_nodes(&self) -> u16 {
        5
    }

    fn polls(&self, config: &[u8], nodes: u16, is_hardened: bool) -> Option<Polls> {
        let config: SnowballConfig = codec::decode(config).ok()?;
        Some(Polls {
            parameters: config.parameters(nodes.saturating_sub(1)),
            finalized: phase::FINALIZED,
            in_block: phase::IN_BLOCK,
            confidence_meter: CONFIDENCE_METER,
            is_by_the_book: is_hardened && config.weights.is_empty(),
        })
    }

    /// The choice that leads its meters.
    fn preference(&self, instance: &InstancePicture) -> Option<Hash32> {
        instance.meters.first()?.value
    }

    #[cfg(target_arch = "wasm32")]
    fn table(&self, scene: &crate::scene::Scene) -> yew::Html {
        drawn::table(scene)
    }
}

#[cfg(test)]
mod tests;
