//! What nodes say.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Snowball;
use super::conflict::ConflictKey;
use crate::engine::{Env, MessageInfo};
use crate::ledger::{Block, Signed};
use crate::types::{Hash32, Round};
use crate::view::{MessageKind, Shape};

/// What nodes say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// "Which of them do you prefer?" (S1-03)
    TransactionVoteRequest {
        /// Which of the asker's polls it is. (S1-F7)
        poll_id: u64,
        /// Which of its polls about this key; for people.
        round: u32,
        /// What it is about.
        key: ConflictKey,
        /// What the asker prefers, so that whoever does not know it can fetch it.
        choice: Hash32,
    },
    /// "This one", or no vote. (S1-04)
    TransactionVoteResponse {
        /// The asker's poll.
        poll_id: u64,
        /// Its round, as it was said.
        round: u32,
        /// What it is about.
        key: ConflictKey,
        /// The voter's preference; `None` if it knows no choice.
        preference: Option<Hash32>,
    },
    /// "I do not know this choice: tell me." (S1-F11)
    Fetch(Hash32),
    /// A transaction, signed. (S1-22)
    Transaction(Box<Signed>),
    /// A block. (S1-29)
    Block(Box<Block>),
    /// "My chain is so long; what do you have?"
    Status {
        /// The height of the sender's chain.
        height: u64,
    },
    /// "These are not in a block of mine yet."
    Known(Vec<Hash32>),
}

/// The most transactions that one answer to `Status` names.
pub(super) const KNOWN_MAX: usize = 64;

pub(super) const REQUEST: u8 = 0;
pub(super) const RESPONSE: u8 = 1;

/// How messages are drawn.
pub(super) static MESSAGES: [MessageKind; 7] = [
    kind("vote-request", Shape::Sync),
    kind("vote-response", Shape::Vote),
    kind("fetch", Shape::Sync),
    kind("transaction", Shape::Propose),
    kind("block", Shape::Certificate),
    kind("status", Shape::Sync),
    kind("known", Shape::Sync),
];

const fn kind(name: &'static str, shape: Shape) -> MessageKind {
    MessageKind { name, shape }
}

pub(super) fn describe(message: &Message) -> MessageInfo {
    match message {
        Message::TransactionVoteRequest {
            round, key, choice, ..
        } => MessageInfo {
            kind: REQUEST,
            instance: Some(key.id()),
            round: Round(*round),
            value: Some(*choice),
        },
        Message::TransactionVoteResponse {
            round,
            key,
            preference,
            ..
        } => MessageInfo {
            kind: RESPONSE,
            instance: Some(key.id()),
            round: Round(*round),
            value: *preference,
        },
        Message::Fetch(choice) => MessageInfo {
            kind: 2,
            value: Some(*choice),
            ..MessageInfo::default()
        },
        Message::Transaction(signed) => MessageInfo {
            kind: 3,
            instance: signed
                .transaction
                .inputs
                .first()
                .map(|(outpoint, _)| ConflictKey::Spend(*outpoint).id()),
            value: Some(signed.id()),
            ..MessageInfo::default()
        },
        Message::Block(block) => MessageInfo {
            kind: 4,
            instance: Some(ConflictKey::Height(block.height).id()),
            value: Some(block.id()),
            ..MessageInfo::default()
        },
        Message::Status { .. } => MessageInfo {
            kind: 5,
            ..MessageInfo::default()
        },
        Message::Known(_) => MessageInfo {
            kind: 6,
            ..MessageInfo::default()
        },
    }
}

pub(super) fn check(env: &Env<Snowball>, message: &Message) -> Result<(), &'static str> {
    match message {
        Message::TransactionVoteRequest { .. }
        | Message::TransactionVoteResponse { .. }
        | Message::Fetch(_)
        | Message::Status { .. } => Ok(()),
        Message::Transaction(signed) => signed.check().map_err(|_| "transaction"),
        Message::Block(block) => {
            block.check().map_err(|_| "block")?;
            // Nobody builds one: it would win a height for a reward alone.
            if env.is_hardened() && block.transactions.is_empty() {
                return Err("empty block");
            }
            if env.keyring.contains(block.creator) {
                Ok(())
            } else {
                Err("creator")
            }
        }
        Message::Known(choices) if choices.len() > KNOWN_MAX => Err("too many"),
        Message::Known(_) => Ok(()),
    }
}
