//! What the screen shows and what keys mean: `State` and a `Msg` give the next `State`, and what is to be done.

use std::collections::{BTreeMap, VecDeque};

use phaselab_core::scenario::Link;
use phaselab_core::types::{Hash32, NodeId};
use phaselab_core::view::Spec;

use crate::cluster::supervise::Life;
use crate::net::faults::Fault;
use crate::node::NodeReport;
use crate::node::report::InstanceReport;

/// Lines of the log that are kept.
const LOG_MAX: usize = 200;
/// How late packets of a slowed link are, in milliseconds.
pub(super) const SLOW_MS: [u64; 2] = [200, 400];

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) spec: &'static Spec,
    /// Where the page is, or why there is none.
    pub(super) page: String,
    pub(super) nodes: Vec<Node>,
    /// The node that keys act on, by its place.
    pub(super) selected: usize,
    pub(super) mode: Mode,
    /// The oldest first: which node, and what.
    pub(super) log: VecDeque<(NodeId, String)>,
    /// What the last key did.
    pub(super) said: String,
    /// Events that are scrolled past, from the newest.
    pub(super) scrolled: usize,
}

/// A node as it is shown.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) life: Life,
    /// Its last account of itself.
    pub(super) report: Option<NodeReport>,
}

/// What the next key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A command.
    Command,
    /// The peer of a link that is cut, slowed, or mended again.
    Peer(LinkKey),
}

/// What is done to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKey {
    Cut,
    Slow,
}

/// What happens to the screen.
#[derive(Debug)]
pub(super) enum Msg {
    Key(Key),
    /// How a node is.
    Life(NodeId, Life),
    /// What it says of itself.
    Report(Box<NodeReport>),
    /// A line of its log.
    Log(NodeId, String),
    /// What came of something that was done.
    Said(String),
}

/// A key, as far as any is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Left,
    Right,
    Up,
    Down,
    Escape,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Kill(NodeId),
    Pause(NodeId),
    Resume(NodeId),
    Restart(NodeId),
    Break(Vec<Fault>),
    /// Ask every node for the event of this name.
    Submit(String),
    Quit,
}

impl State {
    /// Nodes that start.
    pub(super) fn new(spec: &'static Spec, ids: &[NodeId], page: String) -> State {
        let node = |id: &NodeId| Node {
            id: *id,
            life: Life::Starting,
            report: None,
        };
        State {
            spec,
            page,
            nodes: ids.iter().map(node).collect(),
            selected: 0,
            mode: Mode::Command,
            log: VecDeque::new(),
            said: String::new(),
            scrolled: 0,
        }
    }

    /// Takes a message in; what is to be done, if anything.
    pub(super) fn update(&mut self, msg: Msg) -> Option<Wish> {
        match msg {
            Msg::Key(key) => return self.on_key(key),
            Msg::Life(id, life) => {
                if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
                    node.life = life;
                }
            }
            Msg::Report(report) => {
                let node = self.nodes.iter_mut().find(|node| node.id == report.id);
                if let Some(node) = node {
                    node.report = Some(*report);
                }
            }
            Msg::Log(id, line) => {
                if self.log.len() == LOG_MAX {
                    self.log.pop_front();
                }
                self.log.push_back((id, in_short(&line)));
            }
            Msg::Said(said) => self.said = said,
        }
        None
    }

    fn on_key(&mut self, key: Key) -> Option<Wish> {
        if let Mode::Peer(what) = self.mode {
            self.mode = Mode::Command;
            return self.on_peer(what, key);
        }
        let last = self.nodes.len() - 1;
        let node = &self.nodes[self.selected];
        let (id, life) = (node.id, node.life);
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Left => self.selected = self.selected.saturating_sub(1),
            Key::Right => self.selected = (self.selected + 1).min(last),
            Key::Up => self.scrolled = self.scrolled.saturating_sub(1),
            Key::Down => {
                let most = self.events().len().saturating_sub(1);
                self.scrolled = (self.scrolled + 1).min(most);
            }
            Key::Char(digit @ '1'..='9') => {
                let place = self.place(digit);
                self.selected = place.unwrap_or(self.selected);
            }
            Key::Char('k') => match life {
                Life::Ended => self.said = format!("node {} has ended already; r starts it", id.0),
                _ => return Some(Wish::Kill(id)),
            },
            Key::Char('p') => match life {
                Life::Ready => return Some(Wish::Pause(id)),
                Life::Paused => return Some(Wish::Resume(id)),
                _ => self.said = format!("node {} does not run", id.0),
            },
            Key::Char('r') => match life {
                Life::Ended => return Some(Wish::Restart(id)),
                _ => self.said = format!("node {} runs; k kills it", id.0),
            },
            Key::Char('c') => self.ask_for_peer(LinkKey::Cut),
            Key::Char('l') => self.ask_for_peer(LinkKey::Slow),
            Key::Char('h') => {
                self.said = "healed: every link is whole".to_owned();
                return Some(Wish::Break(vec![Fault::Heal]));
            }
            Key::Char('s') => return Some(Wish::Submit(self.next_event())),
            Key::Char(_) | Key::Escape => {}
        }
        None
    }

    fn ask_for_peer(&mut self, what: LinkKey) {
        if self.nodes.len() > 1 {
            self.mode = Mode::Peer(what);
        } else {
            self.said = "there is no other node".to_owned();
        }
    }

    fn on_peer(&mut self, what: LinkKey, key: Key) -> Option<Wish> {
        let id = self.nodes[self.selected].id;
        let peers: Vec<NodeId> = match key {
            Key::Char('a') => self.ids().filter(|peer| *peer != id).collect(),
            Key::Char(digit @ '1'..='9') => {
                let place = self.place(digit).map(|place| self.nodes[place].id);
                place.into_iter().filter(|peer| *peer != id).collect()
            }
            _ => Vec::new(),
        };
        if peers.is_empty() {
            self.said = "no such peer".to_owned();
            return None;
        }
        let is_so = |peer: &NodeId| match what {
            LinkKey::Cut => self.is_cut(id, *peer),
            LinkKey::Slow => self.late_ms(id, *peer)[1] > 0,
        };
        // All of them are as asked for: the key takes it back.
        let is_back = peers.iter().all(is_so);
        let names: Vec<String> = peers.iter().map(|peer| peer.0.to_string()).collect();
        let names = names.join(" ");
        let did = match (what, is_back) {
            (LinkKey::Cut, false) => "cut off from",
            (LinkKey::Cut, true) => "joined again to",
            (LinkKey::Slow, false) => "slowed to and from",
            (LinkKey::Slow, true) => "at full speed to and from",
        };
        self.said = format!("node {} {did} {names}", id.0);
        let both = |peer: NodeId| [(id, peer), (peer, id)];
        let word = |(from, to): (NodeId, NodeId)| {
            Fault::Link(Link {
                from: Some(from),
                to: Some(to),
                latency_ms: (what == LinkKey::Slow).then_some(if is_back {
                    [0, 0]
                } else {
                    SLOW_MS
                }),
                loss_permille: (what == LinkKey::Cut).then_some(if is_back { 0 } else { 1000 }),
            })
        };
        Some(Wish::Break(
            peers.into_iter().flat_map(both).map(word).collect(),
        ))
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.iter().map(|node| node.id)
    }

    fn place(&self, digit: char) -> Option<usize> {
        let number = digit.to_digit(10)? as u16;
        self.ids().position(|id| id == NodeId(number))
    }

    fn report(&self, id: NodeId) -> Option<&NodeReport> {
        self.nodes
            .iter()
            .find(|node| node.id == id)?
            .report
            .as_ref()
    }

    /// Whether nothing passes from one node to another, as the sender has it.
    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.peer(from, to)
            .is_some_and(|peer| peer.faults.cut || peer.faults.loss_permille == 1000)
    }

    /// By how many milliseconds packets from one node to another are late.
    pub(super) fn late_ms(&self, from: NodeId, to: NodeId) -> [u64; 2] {
        self.peer(from, to)
            .map_or([0, 0], |peer| peer.faults.latency_ms)
    }

    /// What one node says of another.
    pub(super) fn peer(
        &self,
        from: NodeId,
        to: NodeId,
    ) -> Option<&crate::node::report::PeerReport> {
        let peers = &self.report(from)?.peers;
        peers.iter().find(|peer| peer.id == to)
    }

    /// The names of all events that any node knows, the newest first.
    pub(super) fn events(&self) -> Vec<&str> {
        let mut place: BTreeMap<&str, usize> = BTreeMap::new();
        for report in self.nodes.iter().filter_map(|node| node.report.as_ref()) {
            for (at, instance) in report.instances.iter().enumerate() {
                let newest = place.entry(&instance.instance).or_default();
                *newest = at.max(*newest);
            }
        }
        let mut names: Vec<(usize, &str)> =
            place.into_iter().map(|(name, at)| (at, name)).collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// An event at a node.
    pub(super) fn at(&self, node: &Node, event: &str) -> Option<InstanceReport> {
        let mut known = node.report.as_ref()?.instances.iter();
        known.find(|known| known.instance == event).cloned()
    }

    /// Whether two nodes hold different values of an event: the one thing that must never be.
    pub(super) fn is_split(&self, event: &str) -> bool {
        let values = self
            .nodes
            .iter()
            .filter_map(|node| self.at(node, event)?.value);
        let mut values: Vec<Hash32> = values.collect();
        values.sort_unstable();
        values.dedup();
        values.len() > 1
    }

    /// The first name of its kind that no node knows.
    fn next_event(&self) -> String {
        let known = self.events();
        let mut number = known.len() + 1;
        loop {
            let name = format!("withdraw-{number}");
            if !known.contains(&name.as_str()) {
                return name;
            }
            number += 1;
        }
    }
}

/// A log line without its date and its fields: `17:04:05 INFO sends lock to all`.
fn in_short(line: &str) -> String {
    let line = line.split(" event_id=").next().unwrap_or(line);
    let line = line.split(" node=").next().unwrap_or(line);
    let is_stamped = line.as_bytes().get(10) == Some(&b'T');
    let (time, rest) = match line.split_once(' ') {
        Some((stamp, rest)) if is_stamped => (stamp.get(11..19).unwrap_or_default(), rest),
        _ => ("", line),
    };
    format!("{time} {}", rest.trim()).trim().to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use phaselab_core::protocol::ProtocolKind;

    /// Three nodes, of which two know an event; node 1 is cut off from node 2.
    pub(in super::super) fn state() -> State {
        let ids: Vec<NodeId> = (1..=3).map(NodeId).collect();
        let spec = ProtocolKind::TwoPhase.spec();
        let mut state = State::new(spec, &ids, "http://localhost:4700/".to_owned());
        for id in ids {
            state.update(Msg::Life(id, Life::Ready));
        }
        for (id, phase, open, value, have) in [
            (1, "completed", false, Some("aa"), 3),
            (2, "proposing", true, None, 1),
        ] {
            let value = value.map_or("null".to_owned(), |byte: &str| {
                format!("\"{}\"", byte.repeat(32))
            });
            let peers: Vec<String> = (1..=3)
                .filter(|peer| *peer != id)
                .map(|peer| {
                    let loss = if id + peer == 3 { 1000 } else { 0 };
                    let late = if id == 2 && peer == 3 {
                        "[200, 400]"
                    } else {
                        "[0, 0]"
                    };
                    format!(
                        r#"{{"id":{peer},"connected":true,"heard_ms_ago":1,"dropped":0,
                            "faults":{{"cut":false,"loss_permille":{loss},"latency_ms":{late},"lost":0}}}}"#
                    )
                })
                .collect();
            let text = format!(
                r#"{{"id":{id},"pid":1,"incarnation":1,"uptime_ms":0,"current":null,"instances":[
                    {{"instance":"withdraw-1","phase":"{phase}","open":{open},"round":2,"value":{value},"label":"A",
                      "signed":null,"meter":{{"name":"locks","have":{have},"need":2,"total":3}}}}],
                    "peers":[{}],"refused":0,"counters":{{}},"chain":{{"connected":true,"reported":0}}}}"#,
                peers.join(",")
            );
            state.update(Msg::Report(Box::new(serde_json::from_str(&text).unwrap())));
        }
        let line = "2026-11-20T17:04:05.123456Z  INFO locks A node=2 event_id=\"withdraw-1\" round=2 peer_id=-";
        state.update(Msg::Log(NodeId(2), line.to_owned()));
        state
    }

    fn key(state: &mut State, key: char) -> Option<Wish> {
        state.update(Msg::Key(Key::Char(key)))
    }

    #[test]
    fn keys_act_on_the_selected_node_as_far_as_they_can() {
        let mut state = state();
        assert_eq!(key(&mut state, 'k'), Some(Wish::Kill(NodeId(1))));
        state.update(Msg::Key(Key::Right));
        assert_eq!(key(&mut state, 'p'), Some(Wish::Pause(NodeId(2))));
        state.update(Msg::Life(NodeId(2), Life::Paused));
        assert_eq!(key(&mut state, 'p'), Some(Wish::Resume(NodeId(2))));
        assert_eq!(key(&mut state, 'r'), None);
        assert_eq!(state.said, "node 2 runs; k kills it");
        state.update(Msg::Life(NodeId(3), Life::Ended));
        key(&mut state, '3');
        assert_eq!(key(&mut state, 'k'), None);
        assert_eq!(key(&mut state, 'r'), Some(Wish::Restart(NodeId(3))));
        state.update(Msg::Key(Key::Right));
        assert_eq!(state.selected, 2, "there is none after the last");
        assert_eq!(
            key(&mut state, 's'),
            Some(Wish::Submit("withdraw-2".to_owned()))
        );
        assert_eq!(key(&mut state, 'z'), None);
        assert_eq!(key(&mut state, 'q'), Some(Wish::Quit));
    }

    #[test]
    fn a_link_is_cut_in_both_directions_and_the_same_keys_mend_it() {
        let word = |from, to, loss| {
            Fault::Link(Link {
                from: Some(NodeId(from)),
                to: Some(NodeId(to)),
                latency_ms: None,
                loss_permille: Some(loss),
            })
        };
        let mut state = state();
        assert_eq!(key(&mut state, 'c'), None);
        assert_eq!(state.mode, Mode::Peer(LinkKey::Cut));
        let cut = vec![word(1, 3, 1000), word(3, 1, 1000)];
        assert_eq!(key(&mut state, '3'), Some(Wish::Break(cut)));
        assert_eq!(state.said, "node 1 cut off from 3");
        // Node 1 says that it is cut off from node 2.
        key(&mut state, 'c');
        let mended = vec![word(1, 2, 0), word(2, 1, 0)];
        assert_eq!(key(&mut state, '2'), Some(Wish::Break(mended)));
        key(&mut state, 'c');
        let Some(Wish::Break(words)) = key(&mut state, 'a') else {
            panic!("all peers are cut off");
        };
        assert_eq!(words.len(), 4);
        key(&mut state, 'l');
        let Some(Wish::Break(words)) = key(&mut state, '2') else {
            panic!("the link is slowed");
        };
        assert!(matches!(&words[0], Fault::Link(link) if link.latency_ms == Some(SLOW_MS)));
        for wrong in ['1', '9', 'x'] {
            key(&mut state, 'c');
            assert_eq!(key(&mut state, wrong), None);
            assert_eq!(state.said, "no such peer");
        }
        assert_eq!(key(&mut state, 'h'), Some(Wish::Break(vec![Fault::Heal])));
    }

    #[test]
    fn a_log_line_is_shown_without_date_and_fields() {
        assert_eq!(state().log[0].1, "17:04:05 INFO locks A");
        assert_eq!(in_short("error: short"), "error: short");
        assert_eq!(in_short(""), "");
    }

    #[test]
    fn two_values_of_one_event_are_seen() {
        let mut state = state();
        assert!(!state.is_split("withdraw-1"));
        let mut other = state.nodes[0].report.clone().unwrap();
        other.id = NodeId(3);
        other.instances[0].value = Some(Hash32([7; 32]));
        state.update(Msg::Report(Box::new(other)));
        assert!(state.is_split("withdraw-1"));
    }
}
