//! The event queue, packets in flight, and what a network does to them.

use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Sim;
use super::log::CauseId;
use crate::engine::{MessageInfo, Opened, To};
use crate::entropy::{Purpose, draw, scale};
use crate::envelope::Refusal;
use crate::event::{Event, EventKind, Level};
use crate::ordered::Map;
use crate::replica::{Outgoing, Replica};
use crate::scenario::{Act, Link, Network, Scenario, Schedule, Selector};
use crate::types::{Duration, InstanceId, NodeId, Round, Time};
use crate::view::Spec;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Deliver { packet: u32, to: NodeId },
    Wake { node: NodeId },
    Start { node: NodeId },
    Persisted { node: NodeId },
    Intervene { index: u32 },
    World,
}

/// A queue entry: 32 bytes at most, because millions of them are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Time,
    order: u64,
    pub(super) what: What,
}

const _: () = assert!(size_of::<Entry>() <= 32);

impl Ord for Entry {
    /// The earliest entry is the greatest, as a max-heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is due, by time and then by order of insertion.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Entry>,
    order: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Time, what: What) {
        self.order += 1;
        self.heap.push(Entry {
            at,
            order: self.order,
            what,
        });
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        self.heap.pop()
    }

    pub(super) fn next_at(&self) -> Option<Time> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.heap.iter()
    }
}

/// A packet in flight: encoded and signed once, opened once however many receive it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) from: NodeId,
    pub(super) sent: Time,
    pub(super) step: u64,
    pub(super) info: MessageInfo,
    /// The last bytes of the packet, which its signature makes a digest of the whole.
    pub(super) digest: [u8; 16],
    /// What its sender had been told.
    pub(super) cause: Option<CauseId>,
    bytes: Arc<[u8]>,
    opened: Option<Result<Opened, Refusal>>,
    refs: u32,
}

/// The network: links, packets in flight, rules that catch single messages.
#[derive(Clone, Debug)]
pub(super) struct Net {
    base: Network,
    links: Vec<Link>,
    /// The group of each node while the network is cut; nodes of different groups do not reach each other.
    cut: Option<Map<NodeId, u16>>,
    rules: Vec<Rule>,
    packets: Vec<Packet>,
    /// Everything that was sent in a manual schedule, with its receiver, in order.
    held: Vec<(u32, NodeId)>,
    free: Vec<u32>,
    sent_by: Vec<u64>,
    pub(super) delivered: u64,
    pub(super) dropped: u64,
    lost: u64,
    duplicated: u64,
    delayed: u64,
    corrupted: u64,
    cut_off: u64,
    reordered: u64,
    /// When the newest message that a link delivered had left, by sender and receiver; of small groups only.
    newest: Vec<Time>,
}

/// The most nodes whose links are watched for reordering.
const WATCHED_NODES_MAX: u16 = 64;

#[derive(Clone, Debug)]
struct Rule {
    select: Selector,
    kind: Option<u8>,
    effect: Effect,
    matched: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Drop,
    Delay(Duration),
    Duplicate,
    Corrupt,
}

impl Net {
    pub(super) fn new(scenario: &Scenario) -> Net {
        Net {
            base: scenario.network.clone(),
            links: scenario.network.link.clone(),
            cut: None,
            rules: Vec::new(),
            packets: Vec::new(),
            held: Vec::new(),
            free: Vec::new(),
            sent_by: alloc::vec![0; usize::from(scenario.nodes)],
            delivered: 0,
            dropped: 0,
            lost: 0,
            duplicated: 0,
            delayed: 0,
            corrupted: 0,
            cut_off: 0,
            reordered: 0,
            newest: if scenario.nodes <= WATCHED_NODES_MAX {
                alloc::vec![Time::ZERO; usize::from(scenario.nodes) * usize::from(scenario.nodes)]
            } else {
                Vec::new()
            },
        }
    }

    pub(super) fn faults(&self) -> [(&'static str, u64); 6] {
        [
            ("loss", self.lost),
            ("duplication", self.duplicated),
            ("delay", self.delayed),
            ("corruption", self.corrupted),
            ("cut_off", self.cut_off),
            ("reordering", self.reordered),
        ]
    }

    /// Counts a delivery, and whether it overtook an older message of its link.
    pub(super) fn note_delivery(&mut self, packet: u32, to: NodeId) {
        self.delivered += 1;
        let Packet { from, sent, .. } = self.packets[packet as usize];
        let nodes = self.sent_by.len();
        let link = (usize::from(from.0) - 1) * nodes + usize::from(to.0) - 1;
        if let Some(newest) = self.newest.get_mut(link) {
            if sent < *newest {
                self.reordered += 1;
            }
            *newest = sent.max(*newest);
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent_by.iter().sum()
    }

    pub(super) fn packet(&self, index: u32) -> &Packet {
        &self.packets[index as usize]
    }

    /// The packet's message, opened by whoever receives it first.
    pub(super) fn opened(&mut self, index: u32, by: &dyn Replica) -> &Result<Opened, Refusal> {
        let packet = &mut self.packets[index as usize];
        packet.opened.get_or_insert_with(|| by.open(&packet.bytes))
    }

    fn insert(&mut self, packet: Packet) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.packets[index as usize] = packet;
                index
            }
            None => {
                self.packets.push(packet);
                (self.packets.len() - 1) as u32
            }
        }
    }

    pub(super) fn release(&mut self, index: u32) {
        let packet = &mut self.packets[index as usize];
        packet.refs -= 1;
        if packet.refs == 0 {
            packet.opened = None;
            packet.bytes = Arc::from([]);
            self.free.push(index);
        }
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut
            .as_ref()
            .is_some_and(|groups| match (groups.get(&from), groups.get(&to)) {
                (Some(a), Some(b)) => a != b,
                _ => true,
            })
    }

    pub(super) fn partition(&mut self, groups: &[Vec<NodeId>]) {
        let member = |(index, group): (usize, &Vec<NodeId>)| -> Vec<(NodeId, u16)> {
            group.iter().map(|&node| (node, index as u16)).collect()
        };
        self.cut = Some(groups.iter().enumerate().flat_map(member).collect());
    }

    pub(super) fn heal(&mut self) {
        self.cut = None;
        self.rules.clear();
        self.links.clone_from(&self.base.link);
        self.base.loss_permille = 0;
        self.base.duplicate_permille = 0;
        self.base.delay_permille = 0;
        self.base.corrupt_permille = 0;
    }

    pub(super) fn set_link(&mut self, link: Link) {
        // The newest word on a link wins.
        self.links.insert(0, link);
    }

    /// Adds a rule that catches single messages; returns the sender that it names.
    pub(super) fn add_rule(&mut self, act: &Act, spec: &Spec) -> Result<Option<NodeId>, String> {
        let (select, effect) = match act {
            Act::Drop(select) => (select, Effect::Drop),
            Act::Delay { select, by_ms } => (select, Effect::Delay(Duration::from_ms(*by_ms))),
            Act::Duplicate(select) => (select, Effect::Duplicate),
            Act::Corrupt(select) => (select, Effect::Corrupt),
            _ => return Err(String::from("not a rule about messages")),
        };
        let kind = match &select.kind {
            None => None,
            Some(name) => {
                let index = spec.messages.iter().position(|known| known.name == name);
                let known = || {
                    spec.messages
                        .iter()
                        .map(|known| known.name)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                Some(index.ok_or_else(|| {
                    alloc::format!("no message \"{name}\"; expected one of {}", known())
                })? as u8)
            }
        };
        self.rules.push(Rule {
            select: select.clone(),
            kind,
            effect,
            matched: 0,
        });
        Ok(select.from)
    }

    /// What the rules do to a message; the first that catches it wins.
    fn caught(
        &mut self,
        from: NodeId,
        to: NodeId,
        info: &MessageInfo,
        is_named: impl Fn(InstanceId, &str) -> bool,
    ) -> Option<Effect> {
        for rule in &mut self.rules {
            let select = &rule.select;
            let matches = select.from.is_none_or(|id| id == from)
                && select.to.is_none_or(|id| id == to)
                && rule.kind.is_none_or(|kind| kind == info.kind)
                && select.round.is_none_or(|round| round == info.round)
                && select
                    .instance
                    .as_ref()
                    .is_none_or(|name| info.instance.is_some_and(|id| is_named(id, name)));
            if matches {
                rule.matched += 1;
                if rule.select.nth.is_none_or(|nth| nth == rule.matched) {
                    return Some(rule.effect);
                }
            }
        }
        None
    }

    fn latency(&self, from: NodeId, to: NodeId) -> [u64; 2] {
        let special = self
            .links
            .iter()
            .find_map(|link| link.covers(from, to).then_some(link.latency_ms).flatten());
        special.unwrap_or(self.base.latency_ms)
    }

    pub(super) fn loss(&self, from: NodeId, to: NodeId) -> u16 {
        let special = self.links.iter().find_map(|link| {
            link.covers(from, to)
                .then_some(link.loss_permille)
                .flatten()
        });
        special.unwrap_or(self.base.loss_permille)
    }
}

impl Sim {
    /// Sends a packet on its way to each receiver, as the sender's lies have it.
    pub(super) fn transmit(&mut self, from: NodeId, outgoing: Outgoing, cause: Option<CauseId>) {
        let slot = &mut self.slots[usize::from(from.0) - 1];
        let Some(replica) = slot.replica.as_mut() else {
            return;
        };
        let versions = slot.lies.versions(outgoing, replica.as_mut());
        for version in versions {
            let to = version.outgoing.to;
            let packet = self.enqueue(from, &version.outgoing, cause);
            if version.is_own {
                // The oracle hears what is said once, whether or not it arrives.
                let slot = &self.slots[usize::from(from.0) - 1];
                if let Some(replica) = &slot.replica
                    && let Ok(opened) = self.net.opened(packet, replica.as_ref())
                {
                    self.oracle.on_send(self.now, from, opened);
                }
            }
            match to {
                To::Node(node) => self.send_to(packet, from, node, &version),
                To::All => {
                    for node in (1..=self.scenario.nodes).map(NodeId) {
                        self.send_to(packet, from, node, &version);
                    }
                }
                To::Group(group) => {
                    let scenario = self.scenario.clone();
                    for (node, _) in scenario
                        .ids()
                        .zip(&scenario.groups)
                        .filter(|(_, of)| **of == group)
                    {
                        self.send_to(packet, from, node, &version);
                    }
                }
            }
            self.net.release(packet);
        }
    }

    /// Whether a manual schedule has such a message at hand.
    pub(crate) fn is_held(
        &self,
        from: NodeId,
        to: NodeId,
        is_meant: &dyn Fn(&MessageInfo) -> bool,
    ) -> bool {
        let mut held = self
            .net
            .held
            .iter()
            .map(|(id, to)| (self.net.packet(*id), *to));
        held.any(|(packet, at)| (packet.from, at) == (from, to) && is_meant(&packet.info))
    }

    /// Delivers a message that is held, whether or not it was delivered before.
    pub(super) fn deliver_held(&mut self, select: &Selector) -> Result<(), String> {
        let kinds = self.cluster.spec().messages;
        let names = self.names();
        let mut matching = self.net.held.iter().filter(|(packet, to)| {
            let Packet { from, info, .. } = self.net.packet(*packet);
            let named =
                |name: &String| info.instance.is_some_and(|id| names.get(&id) == Some(name));
            let kind = kinds.get(usize::from(info.kind)).map(|kind| kind.name);
            select.from.is_none_or(|id| id == *from)
                && select.to.is_none_or(|id| id == *to)
                && select.kind.as_deref().is_none_or(|name| Some(name) == kind)
                && select.round.is_none_or(|round| round == info.round)
                && select.instance.as_ref().is_none_or(named)
        });
        let nth = select.nth.unwrap_or(1).saturating_sub(1) as usize;
        let Some((packet, to)) = matching.nth(nth).copied() else {
            return Err(String::from("deliver: no such message was sent"));
        };
        self.net.packets[packet as usize].refs += 1;
        self.deliver(packet, to);
        Ok(())
    }

    fn enqueue(&mut self, from: NodeId, outgoing: &Outgoing, cause: Option<CauseId>) -> u32 {
        let bytes = outgoing.packet.clone();
        let mut digest = [0; 16];
        let tail = bytes.len().saturating_sub(16);
        digest[..bytes.len() - tail].copy_from_slice(&bytes[tail..]);
        let packet = Packet {
            from,
            sent: self.now,
            step: self.steps,
            info: outgoing.info,
            digest,
            cause,
            bytes,
            opened: None,
            refs: 1,
        };
        self.net.insert(packet)
    }

    fn send_to(&mut self, packet: u32, from: NodeId, to: NodeId, version: &super::faulty::Version) {
        // A manual schedule says itself who hears which version of a lie.
        let manual = self.scenario.schedule == Schedule::Manual;
        if to == from
            || to.0 == 0
            || to.0 > self.scenario.nodes
            || !manual && !version.reaches(to, self.scenario.nodes)
        {
            return;
        }
        let info = self.net.packets[packet as usize].info;
        if manual {
            self.net.packets[packet as usize].refs += 1;
            return self.net.held.push((packet, to));
        }
        if self.net.is_cut(from, to) {
            self.net.cut_off += 1;
            return self.drop_message(packet, to);
        }
        let count = &mut self.net.sent_by[usize::from(from.0) - 1];
        *count += 1;
        let (seed, link, count) = (
            self.scenario.seed,
            u64::from(from.0) << 16 | u64::from(to.0),
            *count,
        );
        let permille = |purpose| scale(draw(seed, purpose, link, count), 1000) as u16;

        let mut effect = None;
        if !self.net.rules.is_empty() {
            let names = if self
                .net
                .rules
                .iter()
                .any(|rule| rule.select.instance.is_some())
            {
                self.names()
            } else {
                Map::new()
            };
            effect = self.net.caught(from, to, &info, |id, name| {
                names.get(&id).is_some_and(|known| known == name)
            });
        }
        let loss = self.net.loss(from, to);
        if effect == Some(Effect::Drop) || (loss > 0 && permille(Purpose::Loss) < loss) {
            self.net.lost += 1;
            return self.drop_message(packet, to);
        }
        let [low, high] = self.net.latency(from, to);
        let span = (high - low) * 1_000_000 + 1;
        let mut travel =
            Duration(low * 1_000_000 + scale(draw(seed, Purpose::Latency, link, count), span));
        let late = self.net.base.delay_permille;
        if late > 0 && permille(Purpose::Delay) < late {
            let [low, high] = self.net.base.delay_ms;
            let extra = low + scale(draw(seed, Purpose::Delay, link, !count), high - low + 1);
            travel = travel + Duration::from_ms(extra);
            self.net.delayed += 1;
        }
        if let Some(Effect::Delay(by)) = effect {
            travel = travel + by;
            self.net.delayed += 1;
        }
        travel = travel + version.late;
        let corrupt = self.net.base.corrupt_permille;
        let mut packet = packet;
        if effect == Some(Effect::Corrupt) || (corrupt > 0 && permille(Purpose::Corrupt) < corrupt)
        {
            self.net.corrupted += 1;
            packet = self.corrupted(packet, draw(seed, Purpose::Corrupt, link, !count));
        } else {
            self.net.packets[packet as usize].refs += 1;
        }
        self.queue
            .push(self.now + travel, What::Deliver { packet, to });
        let twice = self.net.base.duplicate_permille;
        if effect == Some(Effect::Duplicate) || (twice > 0 && permille(Purpose::Duplicate) < twice)
        {
            self.net.duplicated += 1;
            self.net.packets[packet as usize].refs += 1;
            let extra = Duration(scale(
                draw(seed, Purpose::Duplicate, link, !count),
                2 * span,
            ));
            self.queue
                .push(self.now + travel + extra, What::Deliver { packet, to });
        }
    }

    /// A copy of the packet with one flipped bit.
    fn corrupted(&mut self, packet: u32, random: u64) -> u32 {
        let mut copy = self.net.packets[packet as usize].clone();
        let mut bytes = copy.bytes.to_vec();
        let bit = scale(random, bytes.len() as u64 * 8) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
        (copy.bytes, copy.opened, copy.refs) = (bytes.into(), None, 1);
        self.net.insert(copy)
    }

    /// A packet does not arrive.
    pub(super) fn drop_message(&mut self, packet: u32, to: NodeId) {
        self.net.dropped += 1;
        if self.level >= Level::Full {
            let Packet {
                from, info, cause, ..
            } = self.net.packets[packet as usize];
            let kind = EventKind::MessageDropped(info.kind);
            let event = Event::new(kind, info.instance, info.round);
            self.note(to, event.value(info.value).peer(from), cause);
        }
    }
}

impl Default for Packet {
    fn default() -> Self {
        Packet {
            from: NodeId(0),
            sent: Time::ZERO,
            step: 0,
            info: MessageInfo {
                round: Round(0),
                ..MessageInfo::default()
            },
            digest: [0; 16],
            cause: None,
            bytes: Arc::from([]),
            opened: None,
            refs: 0,
        }
    }
}
