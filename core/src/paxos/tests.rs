//! A group in a network that loses, repeats and reorders, whose members crash between any two steps: no slot is ever
//! chosen twice, and once the faults stop everyone has the same log.

use alloc::format;
use alloc::string::String;

use super::*;
use crate::entropy::{Entropy, Prng};
use crate::store::{TableId, WriteBatch};
use crate::types::Incarnation;

const TABLES: Tables = Tables {
    promised: TableSpec {
        id: TableId(1),
        name: "promised",
    },
    log: TableSpec {
        id: TableId(2),
        name: "log",
    },
};

type Packet = (NodeId, NodeId, Message<u32>);

/// A member: its log, what of it is durable, and the commands that it applied.
struct Member {
    paxos: Paxos<u32>,
    rows: Rows,
    applied: Vec<Option<u32>>,
}

struct Lab {
    ids: Vec<NodeId>,
    members: Vec<Member>,
    mail: Vec<Packet>,
    draws: Prng,
    next_command: u32,
    /// What was chosen per slot, by whoever saw it first.
    chosen: Map<Slot, Option<u32>>,
}

impl Lab {
    fn new(members: u16, seed: u64) -> Lab {
        let ids: Vec<NodeId> = (1..=members).map(NodeId).collect();
        let member = |_| Member {
            paxos: Paxos::load(TABLES, &Rows::default()).unwrap(),
            rows: Rows::default(),
            applied: Vec::new(),
        };
        Lab {
            members: ids.iter().map(member).collect(),
            ids,
            mail: Vec::new(),
            draws: Prng::new(seed, "paxos", 0, 0),
            next_command: 1,
            chosen: Map::new(),
        }
    }

    /// One step of a member: its writes are durable before what it sends is on its way, and a crash between loses that.
    fn step(
        &mut self,
        at: usize,
        sends: bool,
        act: impl FnOnce(&mut Paxos<u32>, Group<'_>) -> Out<u32>,
    ) {
        let group = Group {
            me: self.ids[at],
            members: &self.ids,
        };
        let member = &mut self.members[at];
        let out = act(&mut member.paxos, group);
        let mut batch = WriteBatch::new(group.me, Incarnation(1), 1);
        member.paxos.tables(&mut |table| table.drain(&mut batch));
        member.rows.apply(&batch);
        let again = Paxos::<u32>::load(TABLES, &member.rows).unwrap();
        assert_eq!(again.promised(), member.paxos.promised());
        assert!(again.entries().eq(member.paxos.entries()));
        assert_eq!(
            again.chosen(),
            member.paxos.chosen(),
            "{:?}\n{again:?}",
            member.paxos
        );
        if sends {
            for (whom, message) in out.sends {
                let to = self.ids.iter().copied();
                let to = to.filter(|id| {
                    *id != group.me && (whom == Whom::Others || whom == Whom::One(*id))
                });
                self.mail
                    .extend(to.map(|to| (group.me, to, message.clone())));
            }
            if let Some(behind) = out.lags {
                self.give_snapshot(at, usize::from(behind.0) - 1);
            }
        }
        self.apply(at);
        let entries = self.members[at].paxos.entries();
        let known: Vec<_> = entries.filter(|(_, entry)| entry.chosen).collect();
        for (slot, entry) in known {
            let first = self.chosen.get_or_insert_with(slot, || entry.req);
            assert_eq!(*first, entry.req, "slot {slot} is chosen twice");
        }
    }

    fn apply(&mut self, at: usize) {
        let member = &mut self.members[at];
        while (member.applied.len() as u64) < member.paxos.chosen() {
            let slot = member.applied.len() as u64 + 1;
            let entry = member
                .paxos
                .entry(slot)
                .expect("what is chosen and not dropped");
            member.applied.push(entry.req);
        }
    }

    fn give_snapshot(&mut self, from: usize, to: usize) {
        let (applied, slot) = (
            self.members[from].applied.clone(),
            self.members[from].applied.len() as u64,
        );
        if slot > self.members[to].paxos.chosen() {
            self.members[to].applied = applied;
            self.step(to, true, |paxos, _| {
                paxos.install(slot);
                Out::default()
            });
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.draws.below(bound as u64) as usize
    }

    fn deliver(&mut self, at: usize, keeps: bool, sends: bool) {
        let (from, to, message) = if keeps {
            self.mail[at].clone()
        } else {
            self.mail.swap_remove(at)
        };
        self.step(usize::from(to.0) - 1, sends, |paxos, group| {
            paxos.receive(group, from, &message)
        });
    }

    fn propose(&mut self, at: usize) {
        let command = self.next_command;
        self.next_command += 1;
        self.step(at, true, |paxos, group| {
            paxos
                .propose(group, command)
                .map_or_else(Out::default, |(_, out)| out)
        });
    }

    fn restart(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.paxos = Paxos::load(TABLES, &member.rows).unwrap();
    }

    /// One thing that can happen; the temper of a run says how likely elections, proposals and losses are.
    fn anything(&mut self, temper: [usize; 3]) {
        let at = self.below(self.ids.len());
        let [elections, proposals, losses] = temper;
        let mut drawn = self.below(60);
        let mut is = |weight: usize| {
            let hit = drawn < weight;
            drawn = drawn.wrapping_sub(weight);
            hit
        };
        if is(elections) {
            self.step(at, true, |paxos, group| paxos.elect(group));
        } else if is(proposals) {
            self.propose(at);
        } else if is(1) {
            self.step(at, true, |paxos, _| paxos.beat());
        } else if is(1) {
            self.restart(at);
        } else if is(1) {
            let slot = self.members[at].applied.len() as u64;
            let slot = slot.saturating_sub(self.below(4) as u64);
            self.step(at, true, |paxos, _| {
                paxos.drop_to(slot);
                Out::default()
            });
        } else if self.mail.is_empty() {
        } else if is(losses) {
            let lost = self.below(self.mail.len());
            self.mail.swap_remove(lost);
        } else if is(2) {
            let (packet, crash) = (self.below(self.mail.len()), self.below(2) == 0);
            let to = usize::from(self.mail[packet].1.0) - 1;
            self.deliver(packet, !crash, !crash);
            if crash {
                self.restart(to);
            }
        } else {
            let packet = self.below(self.mail.len());
            self.deliver(packet, false, true);
        }
    }

    /// No faults any more: the first member seeks to lead until it does, and everything arrives.
    fn settle(&mut self) {
        for _ in 0..20 {
            if !self.members[0].paxos.leads() {
                self.step(0, true, |paxos, group| paxos.elect(group));
            }
            self.step(0, true, |paxos, _| paxos.beat());
            while !self.mail.is_empty() {
                self.deliver(0, false, true);
            }
        }
    }

    fn story(&self) -> String {
        format!(
            "{:?}",
            self.members
                .iter()
                .map(|member| &member.paxos)
                .collect::<Vec<_>>()
        )
    }
}

#[test]
fn no_slot_is_chosen_twice_and_all_have_one_log_in_the_end() {
    let (mut commands, mut snapshots) = (0, 0);
    for seed in 0..600 {
        let mut lab = Lab::new([3, 3, 5, 1, 2][seed as usize % 5], seed);
        let temper = [1 + lab.below(12), 1 + lab.below(12), lab.below(25)];
        for _ in 0..400 {
            lab.anything(temper);
        }
        lab.settle();
        lab.propose(0);
        let last = lab.next_command - 1;
        lab.settle();
        let first = &lab.members[0].applied;
        assert_eq!(
            first.iter().filter(|req| **req == Some(last)).count(),
            1,
            "{seed}: {}",
            lab.story()
        );
        for member in &lab.members {
            assert_eq!(&member.applied, first, "{seed}");
        }
        let mut seen = Set::new();
        assert!(
            first.iter().flatten().all(|command| seen.insert(*command)),
            "{seed}: applied once"
        );
        commands += seen.len();
        snapshots += lab
            .members
            .iter()
            .filter(|member| member.paxos.dropped() > 0)
            .count();
    }
    assert!(
        commands > 2_000,
        "{commands} commands were chosen under way"
    );
    assert!(snapshots > 100, "{snapshots} logs were cut");
}

fn entry(round: u64, node: u16, req: u32) -> LogEntry<u32> {
    LogEntry {
        ballot: ballot(round, node),
        req: Some(req),
        chosen: false,
    }
}

fn ballot(round: u64, node: u16) -> Ballot {
    Ballot {
        round,
        node: NodeId(node),
    }
}

fn asked(out: &Out<u32>) -> Vec<(Slot, Option<u32>)> {
    let asked = out.sends.iter().filter_map(|(_, message)| match message {
        Message::AcceptRequest { seq, req, .. } => Some((*seq, *req)),
        _ => None,
    });
    asked.collect()
}

/// S4-39, S4-F24: the highest ballot wins its slot, gaps are filled with no-ops, and the own no-op comes last.
#[test]
fn a_new_leader_carries_on_what_may_have_been_chosen() {
    let ids = [1, 2, 3, 4, 5].map(NodeId);
    let group = Group {
        me: NodeId(1),
        members: &ids,
    };
    let mut paxos = Paxos::<u32>::load(TABLES, &Rows::default()).unwrap();
    paxos.receive(
        group,
        NodeId(2),
        &Message::AcceptRequest {
            ballot: ballot(1, 2),
            seq: 1,
            req: Some(10),
        },
    );
    let Out { sends, .. } = paxos.elect(group);
    let [
        (
            Whom::Others,
            Message::Elect {
                ballot: sought,
                from: 1,
            },
        ),
    ] = sends[..]
    else {
        panic!("{sends:?}");
    };
    assert_eq!(sought, ballot(2, 1));
    let promise = |entries| Message::Promise {
        ballot: sought,
        base: 1,
        entries,
    };
    let of_three = promise(Vec::from([(1, entry(1, 3, 11)), (3, entry(1, 3, 31))]));
    let out = paxos.receive(group, NodeId(3), &of_three);
    assert!(out.sends.is_empty(), "two of five are no majority");
    let again = paxos.receive(group, NodeId(3), &of_three);
    assert!(again.sends.is_empty(), "nor is one of them twice");
    let out = paxos.receive(
        group,
        NodeId(4),
        &promise(Vec::from([(1, entry(1, 2, 10)), (3, entry(1, 2, 30))])),
    );
    assert_eq!(
        asked(&out),
        [(1, Some(11)), (2, None), (3, Some(31)), (4, None)]
    );
    assert!(paxos.leads() && !paxos.is_ready());
}

#[test]
fn a_lower_ballot_is_refused_and_a_higher_one_deposes() {
    let ids = [1, 2, 3].map(NodeId);
    let group = Group {
        me: NodeId(1),
        members: &ids,
    };
    let mut paxos = Paxos::<u32>::load(TABLES, &Rows::default()).unwrap();
    paxos.elect(group);
    let mine = ballot(1, 1);
    let nothing = Vec::new();
    paxos.receive(
        group,
        NodeId(2),
        &Message::Promise {
            ballot: mine,
            base: 1,
            entries: nothing,
        },
    );
    assert!(paxos.leads());
    let low = Message::AcceptRequest {
        ballot: ballot(0, 3),
        seq: 1,
        req: Some(7),
    };
    let out = paxos.receive(group, NodeId(3), &low);
    assert_eq!(
        out.sends,
        [(Whom::One(NodeId(3)), Message::Refused { ballot: mine })]
    );
    // Only its owner speaks for a ballot.
    let borrowed = Message::Heartbeat {
        ballot: ballot(9, 2),
        chosen: 0,
        probe: 0,
    };
    assert!(paxos.receive(group, NodeId(3), &borrowed).sends.is_empty() && paxos.leads());
    let high = Message::AcceptRequest {
        ballot: ballot(2, 3),
        seq: 1,
        req: Some(7),
    };
    let out = paxos.receive(group, NodeId(3), &high);
    assert!(out.postpone && !paxos.leads());
    let (ballot, seq) = (ballot(2, 3), 1);
    assert_eq!(
        out.sends,
        [(Whom::One(NodeId(3)), Message::AcceptedReply { ballot, seq })]
    );
    assert_eq!(paxos.leader(), Some(ballot));
    // A stranger to the group is not heard.
    assert!(paxos.receive(group, NodeId(9), &high).sends.is_empty());
}

/// S4-F23: a leader that was deposed without knowing it confirms nothing.
#[test]
fn a_read_waits_until_a_majority_still_follows() {
    let mut lab = Lab::new(3, 1);
    lab.settle();
    lab.step(0, false, |paxos, group| {
        assert!(paxos.is_ready());
        let (probe, out) = paxos.confirm().unwrap();
        assert_eq!((probe, paxos.confirmed(group)), (1, Some(0)));
        out
    });
    let heartbeat = Message::Heartbeat {
        ballot: lab.members[0].paxos.promised(),
        chosen: lab.members[0].paxos.chosen(),
        probe: 1,
    };
    lab.step(1, true, |paxos, group| {
        paxos.receive(group, NodeId(1), &heartbeat)
    });
    lab.deliver(0, false, true);
    let group = Group {
        me: NodeId(1),
        members: &lab.ids,
    };
    assert_eq!(lab.members[0].paxos.confirmed(group), Some(1));
    // The other two elect another: what the first asks from now on is refused.
    lab.step(2, true, |paxos, group| paxos.elect(group));
    lab.mail.retain(|(_, to, _)| *to != NodeId(1));
    while !lab.mail.is_empty() {
        lab.deliver(0, false, true);
        lab.mail.retain(|(_, to, _)| *to != NodeId(1));
    }
    assert!(lab.members[2].paxos.is_ready());
    lab.step(0, true, |paxos, _| paxos.confirm().unwrap().1);
    while !lab.mail.is_empty() {
        lab.deliver(0, false, true);
    }
    assert!(!lab.members[0].paxos.leads());
}
