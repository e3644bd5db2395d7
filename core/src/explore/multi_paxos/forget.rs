//! Which messages can change nothing any more: states that differ in nothing else are one.
//!
//! By the rules of Paxos a promise only rises, a ballot is led once, and what was counted stays counted; so a message that
//! means nothing once never will again. Whether the members obey these rules is what is searched for: a message is only
//! forgotten if, besides, it is seen to do nothing.

use alloc::sync::Arc;

use super::{MultiPaxos, Packet, State};
use crate::explore::fingerprint::Fingerprint;
use crate::ordered::Map;
use crate::paxos::{LogEntry, Message, Paxos};

impl MultiPaxos {
    /// Forgets what means nothing any more.
    pub(super) fn forget(&self, state: &mut State) {
        // Where promises are forgotten, what was promised may be promised again.
        if self.keeps || self.forgets {
            return;
        }
        let matters = |packet: &Packet| self.means(state, packet) || self.does(state, packet);
        if !state.sent.values().all(|packet| matters(packet)) {
            let mut sent = Map::clone(&state.sent);
            sent.retain(|_, packet| matters(packet));
            state.sent = Arc::new(sent);
        }
    }

    /// Whether a message means anything to who gets it, by the rules; a refusal aside.
    fn means(&self, state: &State, packet: &Packet) -> bool {
        let member = |id| &state.members[self.place(id)];
        let (from, to) = (member(packet.from), member(packet.to));
        match &packet.message {
            // Once it is promised, another promise helps whoever still needs one.
            Message::Elect { ballot, .. } => {
                to.promised() < *ballot || to.promised() == *ballot && from.seeks() == Some(*ballot)
            }
            Message::Promise { ballot, .. } => to.seeks() == Some(*ballot),
            Message::AcceptRequest { ballot, seq, .. } => {
                let is_kept = |entry: &LogEntry<u16>| entry.chosen || entry.ballot == *ballot;
                to.promised() < *ballot
                    || to.promised() == *ballot && !to.entry(*seq).is_some_and(is_kept)
            }
            Message::AcceptedReply { ballot, seq } => {
                let leads = to.leads() && to.leader() == Some(*ballot);
                leads && to.acceptances(*seq).is_some() && !to.has_accepted(*seq, packet.from)
            }
            Message::CommitRequest { ballot, seq, .. } => {
                to.promised() < *ballot || !to.entry(*seq).is_some_and(|entry| entry.chosen)
            }
            _ => true,
        }
    }

    /// Whether a message changes who gets it, or makes it say what it has not said and what means anything.
    fn does(&self, state: &State, packet: &Packet) -> bool {
        let member = &state.members[self.place(packet.to)];
        let mut after = Paxos::clone(member);
        let out = after.receive(self.group(packet.to), packet.from, &packet.message);
        let mut said = self.packets(packet.to, out);
        let is_new = |said: &Packet| state.sent.get(&Fingerprint::of(said)).is_none();
        after != **member
            || said
                .any(|said| is_new(&said) && (self.means(state, &said) || self.does(state, &said)))
    }
}
