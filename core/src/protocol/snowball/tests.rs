//! Steps of one validator, whose peers say what a test wants them to.

use alloc::vec::Vec;
use std::format;
use std::string::String;

use super::conflict::ConflictKey;
use super::*;
use crate::codec::decode;
use crate::crypto::{Crypto, Signer};
use crate::engine::{Genesis, To};
use crate::entropy::Prng;
use crate::protocol::members;
use crate::replica::{self, Node, Output, Released, Replica, opened_for_tests};
use crate::scenario::member_seed;
use crate::types::{GroupId, Time};

mod blocks;
mod polls;
mod transactions;

/// Validator 1 of a few, with its store.
struct Lab {
    env: Env<Snowball>,
    node: Node<Snowball>,
    disk: Rows,
    now: Time,
    released: Released,
}

impl Lab {
    /// With two successful polls in a row until finality.
    fn new(nodes: u16) -> Lab {
        let config = SnowballConfig {
            finality_confidence: 2,
            ..SnowballConfig::default()
        };
        Lab::with(nodes, config, &[])
    }

    fn with(nodes: u16, config: SnowballConfig, flaws: &[&str]) -> Lab {
        let crypto = Crypto::Simulated;
        let genesis = Genesis {
            protocol: Snowball::TAG,
            rules: RuleSet::Hardened,
            flaws: flaws.iter().map(|id| String::from(*id)).collect(),
            crypto,
            name: "lab".into(),
            members: members(crypto, &alloc::vec![GroupId(0); usize::from(nodes)]),
            config: crate::codec::encode(&config),
        };
        let signer = Signer::from_seed(crypto, &member_seed(NodeId(1)));
        let env = replica::env::<Snowball>(&genesis, NodeId(1), signer).unwrap();
        let disk = Rows::default();
        let node = open(&env, &disk);
        let mut lab = Lab {
            env,
            node,
            disk,
            now: Time::ZERO,
            released: Released::default(),
        };
        let output = lab.node.start(Time::ZERO);
        lab.absorb(output);
        lab
    }

    /// Writes what a step left, and lets go what waited for it.
    fn absorb(&mut self, output: Output) {
        self.disk.apply(&output.writes);
        let durable = output.writes.durable();
        let released = output.after_persist(&durable);
        self.released.sends.extend(released.sends);
        self.released.replies.extend(released.replies);
        self.released.records.extend(released.records);
        self.node.check_recovery(&self.disk).unwrap();
    }

    fn restart(&mut self) {
        self.node = open(&self.env, &self.disk);
        let output = self.node.start(self.now);
        self.absorb(output);
    }

    fn hear(&mut self, from: u16, message: Message) {
        super::message::check(&self.env, &message).expect("a sound message");
        let packet = opened_for_tests(NodeId(from), message);
        let output = self.node.receive_again(self.now, &packet);
        self.absorb(output);
    }

    fn submit(&mut self, number: u64, request: &Request) {
        let bytes = crate::codec::encode(request);
        let output = self.node.request(self.now, ClientId(7), number, &bytes);
        self.absorb(output);
    }

    /// Lets time pass until the next timer fires.
    fn tick(&mut self) {
        self.now = self.node.deadline().expect("a timer is armed");
        let output = self.node.tick(self.now);
        self.absorb(output);
    }

    fn state(&self) -> &Snowball {
        self.node.state()
    }

    /// What it said since the last look: to whom, and what.
    fn said(&mut self) -> Vec<(NodeId, Message)> {
        let sends = core::mem::take(&mut self.released.sends);
        let sends = sends.into_iter().map(|send| {
            let To::Node(to) = send.to else {
                panic!("said to {:?}", send.to);
            };
            let opened = self.node.open(&send.packet).unwrap();
            (to, Message::clone(&opened.message::<Snowball>().unwrap()))
        });
        sends.collect()
    }

    fn told(&mut self) -> Vec<Reply> {
        let replies = core::mem::take(&mut self.released.replies);
        let replies = replies.iter().map(|(_, _, reply)| decode(reply).unwrap());
        replies.collect()
    }

    /// The poll about a key that runs: its id, and who is asked.
    fn poll(&mut self, key: &ConflictKey) -> Option<(u64, Vec<NodeId>)> {
        let running = self.state().voting.get(&key.id())?.poll.as_ref()?;
        let asked = running.votes.waiting().copied().collect();
        Some((running.id, asked))
    }

    /// Everybody who is asked says the same.
    fn answer(&mut self, key: &ConflictKey, preference: Option<Hash32>) {
        let (poll_id, asked) = self.poll(key).expect("a poll runs");
        for from in asked {
            self.hear(from.0, vote(poll_id, *key, preference));
        }
    }

    /// Polls about a key until it is decided, or so often; everybody says the same.
    fn answers(&mut self, key: &ConflictKey, preference: Hash32, polls: u32) {
        for _ in 0..polls {
            while self.poll(key).is_none() {
                self.tick();
            }
            self.answer(key, Some(preference));
        }
    }

    fn confidence(&self, key: &ConflictKey) -> u32 {
        let voting = self.state().voting.get(&key.id());
        voting.map_or(0, |voting| voting.snow.confidence())
    }
}

fn open(env: &Env<Snowball>, disk: &Rows) -> Node<Snowball> {
    let entropy = |life: crate::types::Incarnation| Prng::new(7, "lab", 1, life.0);
    Node::open(env.clone(), disk, entropy).unwrap()
}

fn vote(poll_id: u64, key: ConflictKey, preference: Option<Hash32>) -> Message {
    Message::TransactionVoteResponse {
        poll_id,
        round: 1,
        key,
        preference,
    }
}

fn ask(key: ConflictKey, choice: Hash32) -> Message {
    Message::TransactionVoteRequest {
        poll_id: 9,
        round: 1,
        key,
        choice,
    }
}

/// A payment that spends these coins of one owner.
fn payment(memo: &str, spend: &[&str]) -> Request {
    let owner = spend[0].split(':').next().unwrap();
    let payment = Payment {
        memo: memo.into(),
        spend: spend.iter().map(|name| String::from(*name)).collect(),
        fee: 1,
        ..Payment::new(owner, "carol", 25)
    };
    payment.sign().unwrap()
}

/// The key of the n-th input.
fn key(request: &Request, input: usize) -> ConflictKey {
    ConflictKey::Spend(request.signed.transaction.inputs[input].0)
}

fn tell(request: &Request) -> Message {
    Message::Transaction(Box::new(request.signed.clone()))
}
