//! Steps of two-phase, told as a handful of messages between nodes that a test moves by hand.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::config::TwoPhaseConfig;
use super::message::Message;
use super::phase::EventPhase;
use super::template::ChainFact;
use super::{SubmitEvent, Timer, TwoPhase};
use crate::codec;
use crate::crypto::{Crypto, Signer};
use crate::engine::{Genesis, Input, Lie, RuleSet, To};
use crate::entropy::Prng;
use crate::environment::Environment;
use crate::event::Level;
use crate::protocol::{Simulated, members};
use crate::replica::{self, Node, Outgoing, Output, Replica};
use crate::scenario::member_seed;
use crate::store::Rows;
use crate::types::{ClientId, GroupId, Hash32, InstanceId, NodeId, Round, Time};
use crate::view::{InstanceView, ViewScope};

mod as_written;
mod document;
mod flaws;
mod limits;
mod promises;
mod refusals;
mod rivals;
mod runs;
mod steps;

/// Nodes whose every message waits until a test delivers it.
struct Lab {
    genesis: Genesis,
    nodes: Vec<Option<Node<TwoPhase>>>,
    disks: Vec<Rows>,
    mail: Vec<(NodeId, Outgoing)>,
    replies: Vec<super::Reply>,
    reports: usize,
    chain: alloc::boxed::Box<dyn Environment>,
    now: Time,
}

impl Lab {
    fn new(n: u16, config: TwoPhaseConfig) -> Lab {
        Self::under(n, config, RuleSet::Hardened, &[])
    }

    fn under(n: u16, config: TwoPhaseConfig, rules: RuleSet, flaws: &[&str]) -> Lab {
        Self::beside(super::ChainSetting::default(), n, config, rules, flaws)
    }

    fn beside(
        setting: super::ChainSetting,
        n: u16,
        config: TwoPhaseConfig,
        rules: RuleSet,
        flaws: &[&str],
    ) -> Lab {
        let crypto = Crypto::Simulated;
        let genesis = Genesis {
            protocol: TwoPhase::TAG_BYTE,
            rules,
            flaws: flaws.iter().map(|id| String::from(*id)).collect(),
            crypto,
            name: "lab".into(),
            members: members(crypto, &vec![GroupId(0); usize::from(n)]),
            config: codec::encode(&config),
        };
        let chain = TwoPhase::environment(&setting, &genesis, 1);
        let count = usize::from(n);
        let mut lab = Lab {
            genesis,
            nodes: (0..n).map(|_| None).collect(),
            disks: vec![Rows::default(); count],
            mail: Vec::new(),
            replies: Vec::new(),
            reports: 0,
            chain,
            now: Time::from_ms(1),
        };
        (1..=n).for_each(|id| lab.start(id));
        lab
    }

    fn three() -> Lab {
        Lab::new(3, TwoPhaseConfig::default())
    }

    fn start(&mut self, id: u16) {
        let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(id)));
        let env = replica::env::<TwoPhase>(&self.genesis, NodeId(id), signer).unwrap();
        let rows = &self.disks[usize::from(id) - 1];
        let mut node =
            Node::open(env, rows, |life| Prng::new(1, "lab", u64::from(id), life.0)).unwrap();
        node.set_level(Level::Full);
        let output = node.start(self.now);
        self.nodes[usize::from(id) - 1] = Some(node);
        self.absorb(id, output);
        let fact = self.chain.full_view(self.now, NodeId(id)).unwrap();
        self.with(id, |node, now| node.fact(now, &fact));
    }

    fn crash(&mut self, id: u16) {
        self.nodes[usize::from(id) - 1] = None;
        self.mail.retain(|(from, _)| from.0 != id);
    }

    fn restart(&mut self, id: u16) {
        self.crash(id);
        self.start(id);
    }

    fn node(&self, id: u16) -> &Node<TwoPhase> {
        self.nodes[usize::from(id) - 1]
            .as_ref()
            .expect("the node runs")
    }

    fn with(&mut self, id: u16, step: impl FnOnce(&mut Node<TwoPhase>, Time) -> Output) {
        let now = self.now;
        let output = step(
            self.nodes[usize::from(id) - 1]
                .as_mut()
                .expect("the node runs"),
            now,
        );
        self.absorb(id, output);
    }

    fn absorb(&mut self, id: u16, output: Output) {
        self.disks[usize::from(id) - 1].apply(&output.writes);
        let node = self.node(id);
        node.check_recovery(&self.disks[usize::from(id) - 1])
            .unwrap();
        let durable = output.writes.durable();
        let released = output.after_persist(&durable);
        self.mail
            .extend(released.sends.into_iter().map(|send| (NodeId(id), send)));
        self.replies.extend(
            released
                .replies
                .iter()
                .map(|(_, _, reply)| codec::decode(reply).unwrap()),
        );
        self.reports += released.reports.len();
        for report in released.reports {
            self.chain.report(self.now, NodeId(id), &report);
        }
    }

    fn submit(&mut self, id: u16, name: &str) -> InstanceId {
        let request = SubmitEvent {
            event: name.into(),
            amount: 25,
            destination: None,
            supersedes: None,
        };
        let event = request.signing_material().id();
        self.with(id, |node, now| {
            node.request(now, ClientId(1), 1, &codec::encode(&request))
        });
        event
    }

    /// Delivers every waiting message of a kind from one node to another; returns how many there were.
    fn deliver(&mut self, from: u16, to: u16, kind: &str) -> usize {
        let kind = super::message::MESSAGES
            .iter()
            .position(|known| known.name == kind)
            .expect("a kind") as u8;
        let meant = |sender: &NodeId, send: &Outgoing| {
            sender.0 == from
                && send.info.kind == kind
                && (send.to == To::All || send.to == To::Node(NodeId(to)))
        };
        let packets: Vec<_> = self
            .mail
            .iter()
            .filter(|(s, send)| meant(s, send))
            .map(|(_, send)| send.packet.clone())
            .collect();
        for packet in &packets {
            self.receive(to, packet);
        }
        packets.len()
    }

    fn receive(&mut self, to: u16, packet: &[u8]) {
        self.with(to, |node, now| match node.open(packet) {
            Ok(opened) => node.receive(now, Ok(&opened)),
            Err(why) => node.receive(now, Err(why)),
        });
    }

    /// Lets time pass at one node: fires every timer that comes due.
    fn pass(&mut self, id: u16, ms: u64) {
        let until = self.now + crate::types::Duration::from_ms(ms);
        while let Some(at) = self.node(id).deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.with(id, |node, now| node.tick(now));
        }
        self.now = until;
    }

    /// The chain moves on, and every running node hears of it.
    fn confirm(&mut self) {
        self.now = self.now + crate::types::Duration::from_ms(200);
        for (node, fact) in self.chain.poll(self.now) {
            if self.nodes[usize::from(node.0) - 1].is_some() {
                self.with(node.0, |node, now| node.fact(now, &fact));
            }
        }
    }

    fn event(&self, id: u16, event: InstanceId) -> Option<InstanceView> {
        self.node(id)
            .view(ViewScope::Instance(event))
            .instances
            .into_iter()
            .next()
    }

    fn phase(&self, id: u16, event: InstanceId) -> EventPhase {
        self.node(id).state().phase(&event)
    }

    fn count(&self, id: u16, counter: &str) -> u64 {
        self.node(id).counters().get(counter).copied().unwrap_or(0)
    }

    /// The messages of a kind that wait, decoded.
    fn waiting(&self, from: u16, kind: &str) -> Vec<Message> {
        let kind = super::message::MESSAGES
            .iter()
            .position(|known| known.name == kind)
            .expect("a kind") as u8;
        let meant = self
            .mail
            .iter()
            .filter(|(sender, send)| sender.0 == from && send.info.kind == kind);
        meant
            .map(|(_, send)| {
                self.node(from)
                    .open(&send.packet)
                    .unwrap()
                    .message::<TwoPhase>()
                    .unwrap()
                    .as_ref()
                    .clone()
            })
            .collect()
    }

    /// Hides the outputs that a template spends from one node.
    fn hide_inputs(&mut self, id: u16, event: InstanceId, by: u16) {
        self.lose_inputs(id, event, by, None);
    }

    /// Takes the outputs that a template spends away from one node: hidden, or spent by somebody.
    fn lose_inputs(&mut self, id: u16, event: InstanceId, by: u16, spender: Option<Hash32>) {
        let choices = self.event(by, event).unwrap().choices;
        let hash = choices.first().expect("a proposal").value;
        let pskt = self
            .node(by)
            .state()
            .templates
            .get(&(event, hash))
            .unwrap()
            .clone();
        let lost: Vec<_> = pskt.inputs.iter().map(|input| input.outpoint).collect();
        let spent = spender.map(|spender| lost.iter().map(move |outpoint| (*outpoint, spender)));
        let fact = ChainFact {
            tip_score: 1_000,
            spent: spent.into_iter().flatten().collect(),
            removed: lost,
            ..ChainFact::default()
        };
        self.with(id, |node, now| node.fact(now, &codec::encode(&fact)));
    }
}
