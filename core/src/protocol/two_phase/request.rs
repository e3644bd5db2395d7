//! What clients ask, and what they are told.

use alloc::borrow::ToOwned;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::message::SigningEvent;
use crate::ledger::Script;
use crate::types::{Hash32, InstanceId};

/// What a client asks: to sign a payment. (S0-90)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitEvent {
    /// The event's name.
    pub event: String,
    /// How much to pay.
    pub amount: u64,
    /// To whom, as text; absent means the event's own address.
    #[serde(default)]
    pub destination: Option<String>,
    /// The event that this one replaces, because its input was spent elsewhere.
    #[serde(default)]
    pub supersedes: Option<Superseded>,
}

/// Which event is replaced: all that its id is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superseded {
    /// Its name.
    pub event: String,
    /// Its amount.
    pub amount: u64,
    /// Its destination, if it named one.
    #[serde(default)]
    pub destination: Option<String>,
    /// The id of the event that it replaced itself, if it did.
    #[serde(default)]
    pub supersedes: Option<InstanceId>,
}

impl SubmitEvent {
    /// The event's body.
    pub fn signing_material(&self) -> SigningEvent {
        let body = |event: &str, amount, destination: Option<&String>, supersedes| SigningEvent {
            name: event.to_owned(),
            amount,
            destination: Script {
                version: 0,
                bytes: destination
                    .map_or(event, String::as_str)
                    .as_bytes()
                    .to_vec(),
            },
            supersedes,
        };
        let supersedes = self.supersedes.as_ref().map(|old| {
            let destination = old.destination.as_ref();
            body(&old.event, old.amount, destination, old.supersedes).id()
        });
        body(
            &self.event,
            self.amount,
            self.destination.as_ref(),
            supersedes,
        )
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// The event is in progress; a decision follows. It omits the template until then. (S0-90)
    Accepted,
    /// "Already in progress": as `Accepted`, for an event that was known. (S0-90)
    InProgress,
    /// The event is decided.
    Decided {
        /// The template.
        tx_template_hash: Hash32,
        /// How many locks prove it.
        locks: u16,
    },
    /// The event ended without a value, with proof.
    Abandoned {
        /// How many withdrawals prove it.
        withdrawals: u16,
    },
    /// The event cannot be signed as asked.
    Refused(String),
}
