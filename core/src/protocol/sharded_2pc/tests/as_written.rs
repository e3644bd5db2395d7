//! The document's rules step by step: nodes whose every message waits until a test delivers it.

use std::string::String;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::codec;
use crate::engine::{RuleSet, To};
use crate::replica::{Node, Outgoing, Output, Replica};
use crate::types::Time;

mod flaws;

/// Two clusters of three, under the document's rules.
struct Lab {
    genesis: Genesis,
    nodes: Vec<Option<Node<Sharded2pc>>>,
    disks: Vec<Rows>,
    mail: Vec<(NodeId, NodeId, Outgoing)>,
    replies: Vec<(u64, u64, Reply)>,
    now: Time,
}

impl Lab {
    fn new() -> Lab {
        let config = ShardedConfig {
            balances: vec![(1001, 100), (1002, 100), (3001, 50)],
            ..ShardedConfig::default()
        };
        let genesis = Genesis {
            protocol: ProtocolKind::Sharded2pc.tag(),
            rules: RuleSet::AsWritten,
            flaws: Vec::new(),
            crypto: Crypto::Simulated,
            name: "lab".into(),
            members: members(Crypto::Simulated, &[ONE, ONE, ONE, TWO, TWO, TWO]),
            config: codec::encode(&config),
        };
        let mut lab = Lab {
            genesis,
            nodes: (0..6).map(|_| None).collect(),
            disks: vec![Rows::default(); 6],
            mail: Vec::new(),
            replies: Vec::new(),
            now: Time::from_ms(1),
        };
        (1..=6).for_each(|id| lab.start(id));
        // The configured leaders lead.
        for id in [1, 4] {
            lab.fire(id, "election");
        }
        lab.flow();
        lab
    }

    fn start(&mut self, id: u16) {
        let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(id)));
        let env = replica::env::<Sharded2pc>(&self.genesis, NodeId(id), signer).unwrap();
        let rows = &self.disks[usize::from(id) - 1];
        let mut node =
            Node::open(env, rows, |life| Prng::new(1, "lab", u64::from(id), life.0)).unwrap();
        let output = node.start(self.now);
        self.nodes[usize::from(id) - 1] = Some(node);
        self.absorb(id, output);
    }

    fn crash(&mut self, id: u16) {
        self.nodes[usize::from(id) - 1] = None;
        self.mail.retain(|(from, to, _)| from.0 != id && to.0 != id);
    }

    fn restart(&mut self, id: u16) {
        self.crash(id);
        self.start(id);
    }

    fn node(&self, id: u16) -> &Node<Sharded2pc> {
        self.nodes[usize::from(id) - 1].as_ref().expect("it runs")
    }

    fn with(&mut self, id: u16, step: impl FnOnce(&mut Node<Sharded2pc>, Time) -> Output) {
        let now = self.now;
        if let Some(node) = self.nodes[usize::from(id) - 1].as_mut() {
            let output = step(node, now);
            self.absorb(id, output);
        }
    }

    fn absorb(&mut self, id: u16, output: Output) {
        let disk = &mut self.disks[usize::from(id) - 1];
        disk.apply(&output.writes);
        let node = self.nodes[usize::from(id) - 1].as_ref().unwrap();
        node.check_recovery(disk).unwrap();
        let durable = output.writes.durable();
        let released = output.after_persist(&durable);
        for send in released.sends {
            let group = |group: GroupId| if group == ONE { 1..=3 } else { 4..=6 };
            let to: Vec<u16> = match send.to {
                To::Node(node) => vec![node.0],
                To::Group(of) => group(of).filter(|to| *to != id).collect(),
                To::All => (1..=6).filter(|to| *to != id).collect(),
            };
            for to in to {
                self.mail.push((NodeId(id), NodeId(to), send.clone()));
            }
        }
        for (client, number, reply) in released.replies {
            let reply = codec::decode(&reply).unwrap();
            if reply != Reply::Accepted {
                self.replies.push((client.0, number, reply));
            }
        }
    }

    fn kind(send: &Outgoing) -> &'static str {
        message::MESSAGES[usize::from(send.info.kind)].name
    }

    fn hand_over(&mut self, (_, to, send): (NodeId, NodeId, Outgoing)) {
        self.with(to.0, |node, now| {
            let opened = node.open(&send.packet).unwrap();
            node.receive_again(now, &opened)
        });
    }

    /// Delivers what waits, in order, until nothing does but what is held back.
    fn flow_but(&mut self, held: impl Fn(u16, u16, &str) -> bool) {
        let is_held =
            |(from, to, send): &(NodeId, NodeId, Outgoing)| held(from.0, to.0, Self::kind(send));
        while let Some(at) = self.mail.iter().position(|entry| !is_held(entry)) {
            let entry = self.mail.remove(at);
            self.hand_over(entry);
        }
    }

    fn flow(&mut self) {
        self.flow_but(|_, _, _| false);
    }

    /// Delivers the first message of a kind that waits between two nodes.
    fn deliver(&mut self, from: u16, to: u16, kind: &str) {
        let is_meant = |(of, at, send): &(NodeId, NodeId, Outgoing)| {
            (of.0, at.0, Self::kind(send)) == (from, to, kind)
        };
        let at = self.mail.iter().position(is_meant);
        let at = at.unwrap_or_else(|| panic!("no {kind} from {from} to {to}"));
        let entry = self.mail.remove(at);
        self.hand_over(entry);
    }

    fn lose(&mut self, lost: impl Fn(u16, u16, &str) -> bool) {
        self.mail
            .retain(|(from, to, send)| !lost(from.0, to.0, Self::kind(send)));
    }

    fn fire(&mut self, id: u16, name: &str) {
        let armed = self.node(id).armed();
        let at = armed.iter().position(|timer| timer.name == name);
        let at = at.unwrap_or_else(|| panic!("node {id} has no timer {name}"));
        self.with(id, |node, now| node.fire(now, at));
    }

    fn ask(&mut self, id: u16, client: u64, number: u64, request: Request) {
        let request = codec::encode(&request);
        self.with(id, |node, now| {
            node.request(now, ClientId(client), number, &request)
        });
    }

    fn transfer(&mut self, id: u16, client: u64, number: u64, of: (u32, u32, u64)) {
        let (sender, receiver, amount) = of;
        let request = Request::Transfer {
            sender,
            receiver,
            amount,
        };
        self.ask(id, client, number, request);
    }

    /// The reference transfer, as far as it comes when the participant's answer is lost.
    fn transfer_without_answer(&mut self) {
        self.transfer(1, 1, 1, REFERENCE);
        self.flow_but(|_, _, kind| kind == "2pc-prepared");
        self.lose(|_, _, kind| kind == "2pc-prepared");
    }

    fn read(&mut self, id: u16, item: u32) -> Reply {
        self.ask(id, 99, 1, Request::Read { item });
        self.replies.pop().expect("an answer at once").2
    }

    fn fields(&self, id: u16, name: &str) -> Vec<String> {
        let view = self.node(id).view(ViewScope::Full);
        let meant = view.fields.into_iter().filter(|field| field.name == name);
        meant.map(|field| field.text).collect()
    }

    fn balance(&self, id: u16, item: u32) -> u64 {
        let start = std::format!("{item}: ");
        let texts = self.fields(id, "item");
        let text = texts.iter().find_map(|text| text.strip_prefix(&start));
        let first = match item {
            3001 => 50,
            _ => 100,
        };
        text.map_or(first, |text| {
            text.split(',').next().unwrap().parse().unwrap()
        })
    }

    fn balances(&self, ids: [u16; 3], item: u32) -> [u64; 3] {
        ids.map(|id| self.balance(id, item))
    }

    fn last(&self) -> &Reply {
        &self.replies.last().expect("an answer").2
    }
}

/// The reference transfer.
const REFERENCE: (u32, u32, u64) = (1001, 3001, 10);

fn failed(reason: Reason) -> Reply {
    Reply::Failed { reason }
}

/// S4-06, S4-11, S4-20 .. S4-27, S4-31, S4-32, S4-56, S4-61: the flow, and what every node keeps on its way.
#[test]
fn the_reference_transfer_step_by_step() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, REFERENCE);
    // Before anybody accepted: locked, the record saved, the own acceptance counted; both sides at once. (S4-10)
    assert_eq!(lab.fields(1, "item"), ["1001: 100, held by 2pc-1-1"]);
    assert_eq!(lab.fields(1, "WAL"), ["twoPCWAL[2pc-1-1][1001]=100"]);
    let kinds: Vec<_> = lab
        .mail
        .iter()
        .map(|(_, to, send)| (to.0, Lab::kind(send)))
        .collect();
    assert_eq!(kinds, [(4, "2pc-prepare"), (2, "accept"), (3, "accept")]);
    // One more acceptance is a majority of three. (S4-13)
    lab.deliver(1, 2, "accept");
    assert_eq!(lab.fields(2, "WAL"), ["twoPCWAL[2pc-1-1][1001]=100"]);
    lab.deliver(2, 1, "accepted");
    assert_eq!(lab.fields(1, "item"), ["1001: 90, held by 2pc-1-1"]);
    assert_eq!(lab.balance(2, 1001), 100, "COMMIT is on its way");
    lab.deliver(1, 2, "commit");
    assert_eq!(lab.balance(2, 1001), 90);
    assert_eq!(
        lab.fields(2, "item"),
        ["1001: 90"],
        "locked at the leader alone"
    );
    assert_eq!(
        lab.fields(2, "WAL"),
        ["twoPCWAL[2pc-1-1][1001]=100"],
        "COMMIT of P leaves the record"
    );
    lab.flow_but(|_, _, kind| kind == "2pc-prepared");
    assert_eq!(lab.balances([4, 5, 6], 3001), [60; 3]);
    lab.flow_but(|_, _, kind| kind == "2pc-commit");
    // C at the coordinator, in the same seq; the participant does not know.
    for id in [1, 2, 3] {
        assert!(lab.fields(id, "WAL").is_empty());
    }
    assert_eq!(lab.fields(5, "WAL"), ["twoPCWAL[2pc-1-1][3001]=50"]);
    assert!(lab.replies.is_empty());
    lab.flow();
    assert!(matches!(lab.last(), Reply::Success { txn } if txn.number == 1));
    assert_eq!(lab.fields(1, "lastExecuted"), ["1"]);
    assert_eq!(lab.fields(1, "item"), ["1001: 90"]);
    assert_eq!(lab.fields(4, "item"), ["3001: 60"]);
    assert_eq!(
        lab.fields(4, "log"),
        [
            "Allocated NEW seq=1",
            "Saved receiver WAL[3001]=50",
            "REUSING seq=1",
            "Deleted WAL (changes committed)"
        ]
    );
    // S4-04, S4-33: who asks again is told the same, and nothing moves.
    lab.transfer(1, 1, 1, REFERENCE);
    assert!(matches!(lab.last(), Reply::Success { txn } if txn.number == 1) && lab.mail.is_empty());
}

/// S4-28, S4-29, S4-34, S4-59, S4-60: A in the seq of P on every node; locks and records are gone, FAILED.
#[test]
fn an_abort_puts_back_what_was_taken() {
    let mut lab = Lab::new();
    lab.transfer_without_answer();
    assert_eq!((lab.balance(1, 1001), lab.balance(4, 3001)), (90, 60));
    lab.fire(1, "prepare");
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::Timeout));
    assert_eq!(lab.balances([1, 2, 3], 1001), [100; 3]);
    assert_eq!(lab.balances([4, 5, 6], 3001), [50; 3]);
    let said = "Rolled back item 1001: 90 → 100";
    for id in [1, 2, 3] {
        assert!(lab.fields(id, "log").iter().any(|line| line == said));
        assert!(lab.fields(id, "WAL").is_empty());
    }
    assert_eq!(lab.fields(1, "item"), ["1001: 100"], "unlocked");
    assert_eq!(lab.fields(4, "item"), ["3001: 50"], "unlocked");
    let reused = |id: u16| {
        let lines = lab.fields(id, "log");
        lines.iter().any(|line| line == "REUSING seq=1")
    };
    assert!(reused(1) && reused(4));
}

/// S4-37, S4-45, S4-48, S4-64: within a cluster one entry without a phase; locked, short and nonsense are refused.
#[test]
fn within_a_cluster_and_what_is_refused() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, (1001, 1002, 30));
    lab.flow();
    assert!(matches!(lab.last(), Reply::Success { .. }));
    assert_eq!(lab.balances([1, 2, 3], 1001), [70; 3]);
    assert_eq!(lab.balances([1, 2, 3], 1002), [130; 3]);
    lab.transfer(1, 2, 1, (1001, 1002, 71));
    lab.flow();
    assert_eq!(*lab.last(), failed(Reason::InsufficientBalance));
    lab.transfer(1, 3, 1, (1001, 3001, 71));
    assert_eq!(*lab.last(), failed(Reason::InsufficientBalance));
    assert!(lab.mail.is_empty(), "nothing was logged");
    lab.transfer(1, 4, 1, (1001, 3001, 1));
    for (client, of) in [
        (5, (1001, 3001, 1)),
        (6, (1001, 1002, 1)),
        (7, (1002, 1001, 1)),
    ] {
        lab.transfer(1, client, 1, of);
        assert_eq!(*lab.last(), failed(Reason::Locked));
    }
    for of in [(1001, 1001, 1), (1001, 3001, 0), (1001, 9_001, 1)] {
        lab.transfer(1, 8, 1, of);
        assert_eq!(*lab.last(), failed(Reason::Invalid));
    }
    // S4-01.
    lab.transfer(4, 8, 1, REFERENCE);
    assert_eq!(*lab.last(), Reply::WrongCluster { cluster: ONE });
    lab.transfer(2, 8, 1, REFERENCE);
    let hint = Some(NodeId(1));
    assert_eq!(*lab.last(), Reply::NotLeader { hint, ballot: 1 });
}

/// S4-39, S4-40: another node leads; gaps are filled with no-ops, what was accepted is proposed anew.
#[test]
fn another_leader_takes_over_what_was_accepted() {
    let mut lab = Lab::new();
    lab.transfer(1, 1, 1, (1001, 1002, 5));
    // The first reaches nobody; the second is accepted by node 2.
    lab.lose(|_, _, kind| kind == "accept");
    lab.transfer(1, 2, 1, (1001, 1002, 7));
    lab.deliver(1, 2, "accept");
    lab.crash(1);
    lab.transfer(2, 3, 1, (1001, 1002, 1));
    assert!(matches!(lab.last(), Reply::NotLeader { .. }));
    lab.fire(2, "election");
    lab.flow();
    assert_eq!(lab.fields(3, "leader"), ["2"]);
    assert_eq!(lab.balance(2, 1001), 93);
    // The old leader comes back, hears of the new one, and is refused.
    lab.start(1);
    lab.transfer(1, 4, 1, (1001, 1002, 1));
    assert!(matches!(lab.last(), Reply::NotLeader { .. }));
    lab.fire(2, "heartbeat");
    lab.flow();
    assert_eq!(lab.fields(1, "leader"), ["2"]);
}
