//! The world outside of a live room without its surroundings: the environment actor, saved before it is heard.
//!
//! What the actor says waits until the state that it follows from is saved: a chain that forgot a block it had shown
//! would have lied to the nodes.

use phaselab_core::codec;
use phaselab_core::engine::Genesis;
use phaselab_core::environment::Environment;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{NodeId, Time};

/// What the actor tells nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A fact for one node: the bytes of the protocol's `Fact`.
    Fact(NodeId, Vec<u8>),
    /// A node's report with this number is taken and saved.
    Taken(NodeId, String),
}

/// The actor, and what it may say once its state is saved.
pub struct Chain {
    environment: Box<dyn Environment>,
    members: Vec<NodeId>,
    unsaved: Vec<Told>,
    saving: Option<Vec<Told>>,
    is_dirty: bool,
}

impl Chain {
    /// The actor at genesis, or as it was saved.
    ///
    /// # Errors
    /// A sentence, if the genesis or the saved state is not of this version.
    pub fn open(genesis: &Genesis, saved: Option<&[u8]>) -> Result<Chain, String> {
        let kind = ProtocolKind::from_tag(genesis.protocol)
            .ok_or_else(|| format!("no protocol has the tag {}", genesis.protocol))?;
        let members: Vec<NodeId> = genesis.members.iter().map(|member| member.id).collect();
        let seed = codec::encode(&genesis.hash())
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let setting = kind.default_environment();
        let mut environment = kind
            .environment_of(&setting, genesis, seed)
            .ok_or_else(|| "the settings are of another version".to_owned())?;
        if let Some(saved) = saved {
            environment.restore(saved)?;
        }
        Ok(Chain {
            environment,
            members,
            unsaved: Vec::new(),
            saving: None,
            is_dirty: true,
        })
    }

    /// Shows every node the whole view, as after a start.
    pub fn start(&mut self, now: Time) {
        for node in self.members.clone() {
            self.hello(now, node);
        }
    }

    /// A node starts, and sees nothing yet.
    pub fn hello(&mut self, now: Time, node: NodeId) {
        if !self.members.contains(&node) {
            return;
        }
        if let Some(view) = self.environment.full_view(now, node) {
            self.unsaved.push(Told::Fact(node, view));
            self.is_dirty = true;
        }
    }

    /// A node reports. The same report may come twice.
    pub fn report(&mut self, now: Time, node: NodeId, number: String, report: &[u8]) {
        if !self.members.contains(&node) {
            return;
        }
        self.environment.report(now, node, report);
        self.unsaved.push(Told::Taken(node, number));
        self.is_dirty = true;
        self.poll(now);
    }

    /// Lets time pass.
    pub fn poll(&mut self, now: Time) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        self.is_dirty = true;
        let facts = self.environment.poll(now);
        self.unsaved
            .extend(facts.into_iter().map(|(node, fact)| Told::Fact(node, fact)));
    }

    /// When something happens next of itself.
    pub fn deadline(&self) -> Option<Time> {
        self.environment.deadline()
    }

    /// The state to save now; nothing while another save is on its way, or if nothing happened.
    pub fn begin_save(&mut self) -> Option<Vec<u8>> {
        if !self.is_dirty || self.saving.is_some() {
            return None;
        }
        self.is_dirty = false;
        self.saving = Some(std::mem::take(&mut self.unsaved));
        Some(self.environment.save())
    }

    /// The state is saved: what may be said now.
    pub fn saved(&mut self) -> Vec<Told> {
        self.saving.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::room::{Room, tests::counting_entropy};

    #[test]
    fn nothing_is_said_before_it_is_saved_and_the_state_comes_back() {
        let room = Room::create(
            ProtocolKind::TwoPhase,
            "den",
            3,
            None,
            0,
            &mut counting_entropy(),
        )
        .unwrap();
        let mut chain = Chain::open(&room.genesis, None).unwrap();
        chain.start(Time::ZERO);
        let state = chain
            .begin_save()
            .expect("a started chain has something to save");
        assert!(chain.begin_save().is_none(), "one save at a time");
        let told = chain.saved();
        for node in [1, 2, 3] {
            assert!(
                told.iter()
                    .any(|told| matches!(told, Told::Fact(id, _) if *id == NodeId(node)))
            );
        }
        chain.report(Time::from_ms(5), NodeId(2), "1.1".to_owned(), b"junk");
        assert!(chain.begin_save().is_some());
        assert_eq!(chain.saved(), [Told::Taken(NodeId(2), "1.1".to_owned())]);
        assert!(Chain::open(&room.genesis, Some(&state)).is_ok());
        assert!(Chain::open(&room.genesis, Some(b"junk")).is_err());
    }

    #[test]
    fn strangers_are_not_heard() {
        let room = Room::create(
            ProtocolKind::TwoPhase,
            "den",
            3,
            None,
            0,
            &mut counting_entropy(),
        )
        .unwrap();
        let mut chain = Chain::open(&room.genesis, None).unwrap();
        chain.begin_save();
        chain.saved();
        chain.hello(Time::ZERO, NodeId(9));
        chain.report(Time::ZERO, NodeId(9), String::new(), &[]);
        assert!(chain.begin_save().is_none());
    }
}
