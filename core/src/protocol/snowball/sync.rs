//! Fetching what others speak of, and comparing notes with one peer at a time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::message::{KNOWN_MAX, Message};
use super::{Cx, Snowball, Standing, Timer, sample};
use crate::engine::To;
use crate::types::{Duration, Hash32, NodeId};

/// The most choices that are asked for at a time.
const WANTED_MAX: usize = 256;

impl Snowball {
    /// Asks a peer for a choice that it spoke of; nobody else until it had time to answer.
    pub(super) fn want(&mut self, cx: Cx<'_, '_>, choice: Hash32, from: NodeId) {
        let is_known = self.knows(&choice) || self.orphans.contains_key(&choice);
        if is_known || self.wanted.len() >= WANTED_MAX || !self.wanted.insert(choice) {
            return;
        }
        cx.send(To::Node(from), Message::Fetch(choice));
        let wait = Duration::from_ms(cx.env().config.vote_timeout_ms);
        cx.set_timer(Timer::Fetch(choice), wait);
    }

    pub(super) fn on_fetch(&mut self, cx: Cx<'_, '_>, from: NodeId, choice: &Hash32) {
        let signed = self.transactions.get(choice).map(|known| &known.signed);
        let body = match signed.or_else(|| self.orphans.get(choice)) {
            Some(signed) => Message::Transaction(Box::new(signed.clone())),
            None => {
                let decided = self
                    .heights
                    .get(choice)
                    .and_then(|height| self.blocks.get(height));
                let Some(block) = decided.or_else(|| self.candidates.get(choice)) else {
                    return;
                };
                Message::Block(Box::new(block.clone()))
            }
        };
        cx.send(To::Node(from), body);
    }

    /// Tells one peer how far the own chain is.
    pub(super) fn on_sync(&mut self, cx: Cx<'_, '_>) {
        let height = self.height();
        for peer in sample::draw(cx, 1) {
            cx.send(To::Node(peer), Message::Status { height });
        }
        cx.set_timer(Timer::Sync, Duration::from_ms(cx.env().config.sync_ms));
    }

    pub(super) fn on_status(&mut self, cx: Cx<'_, '_>, from: NodeId, height: u64) {
        if height > self.height() {
            self.ahead = Some((from, height));
        }
        let next = height
            .checked_add(1)
            .and_then(|height| self.blocks.get(&height));
        if let Some(block) = next {
            cx.send(To::Node(from), Message::Block(Box::new(block.clone())));
        }
        let open = self
            .transactions
            .iter()
            .filter(|(_, known)| !matches!(known.standing, Standing::InBlock(_)));
        let open: Vec<Hash32> = open.map(|(txid, _)| *txid).take(KNOWN_MAX).collect();
        let candidates = self.candidates.iter().map(|(id, _)| *id);
        let room = KNOWN_MAX - open.len();
        let known: Vec<Hash32> = open.into_iter().chain(candidates.take(room)).collect();
        if !known.is_empty() {
            cx.send(To::Node(from), Message::Known(known));
        }
    }

    pub(super) fn on_known(&mut self, cx: Cx<'_, '_>, from: NodeId, choices: &[Hash32]) {
        for choice in choices {
            self.want(cx, *choice, from);
        }
    }
}
