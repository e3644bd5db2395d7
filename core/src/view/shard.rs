//! What a member of a group keeps for it, as pictures need it: the end of its log, its accounts, its side of transfers.
//!
//! The types are whole values without static names, so that a live node's picture carries them as they are.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::types::InstanceId;

/// The most slots that are listed; older ones are counted.
pub const SLOTS_MAX: usize = 8;

/// The most accounts that are listed; of more, those that are held and those with the lowest numbers.
pub const ACCOUNTS_MAX: usize = 32;

/// A member's part of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    /// The group.
    pub group: u16,
    /// The ballot of the leader that it follows, or leads by.
    pub ballot: BallotView,
    /// Whether it leads.
    pub leads: bool,
    /// The last slot that is executed here.
    pub executed: u64,
    /// How many slots came before those that are listed.
    pub older: u64,
    /// The last slots, in order.
    pub slots: Vec<SlotView>,
    /// The accounts that differ from the beginning, are held or were named in the beginning, in order.
    pub accounts: Vec<AccountView>,
    /// How many more there are.
    pub more: u64,
    /// What all of them hold here, listed or not.
    pub sum: u64,
    /// What those of them that began here held then.
    pub first: u64,
    /// Its side of transfers.
    pub sides: Vec<SideView>,
}

/// A ballot: its round, and who leads by it; 0 is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BallotView {
    /// The round.
    pub round: u64,
    /// The member.
    pub node: u16,
}

/// What stands in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotView {
    /// Its number.
    pub slot: u64,
    /// The ballot by which it was accepted.
    pub ballot: BallotView,
    /// What is done with it.
    pub standing: SlotStanding,
    /// What its entry does.
    pub marker: SlotMarker,
    /// The label that it carries again: the slot of the transaction's P.
    pub seq: Option<u64>,
    /// The transfer that it is about.
    pub transfer: Option<InstanceId>,
    /// Whether that is decided in this group, where the entry says so.
    pub decides: Option<bool>,
    /// The group on the other side, where the entry says so.
    pub other: Option<u16>,
    /// The entry in a few words.
    pub text: String,
}

/// How far a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotStanding {
    /// Stored here.
    Accepted,
    /// Stored by a majority.
    Chosen,
    /// Applied.
    Executed,
}

impl SlotStanding {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            SlotStanding::Accepted => "accepted",
            SlotStanding::Chosen => "chosen",
            SlotStanding::Executed => "executed",
        }
    }
}

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotMarker {
    /// It holds a part of a transfer.
    Prepare,
    /// The part takes effect.
    Commit,
    /// The hold is dropped.
    Abort,
    /// A transfer within the group.
    Transfer,
    /// The other group has applied the outcome.
    Acknowledged,
    /// Nothing: a gap that a leader filled.
    Noop,
}

impl SlotMarker {
    /// The letter that stands for it in a cell.
    pub const fn letter(self) -> &'static str {
        match self {
            SlotMarker::Prepare => "P",
            SlotMarker::Commit => "C",
            SlotMarker::Abort => "A",
            SlotMarker::Transfer => "T",
            SlotMarker::Acknowledged => "\u{2713}",
            SlotMarker::Noop => "no-op",
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Its number.
    pub item: u64,
    /// What it holds; `None` if it lives elsewhere.
    pub balance: Option<u64>,
    /// What is held of it, or for it.
    pub hold: Option<HoldView>,
}

/// What a transaction keeps back until its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// The transfer.
    pub transfer: InstanceId,
    /// Its name.
    pub name: String,
    /// How much.
    pub amount: u64,
    /// Whether it comes, or goes.
    pub comes: bool,
}

/// A group's side of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideView {
    /// The transfer.
    pub transfer: InstanceId,
    /// Whether the outcome is decided here.
    pub decides: bool,
    /// The group on the other side.
    pub other: u16,
    /// Its label; 0 if there is none.
    pub seq: u64,
    /// Why it is refused or aborted; empty if it is not.
    pub reason: String,
    /// Whether the outcome, if there is one, is that it happens.
    pub commits: bool,
}
