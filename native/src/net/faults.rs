//! Faults on purpose: what this node does to its own packets when it is told that the network is broken.
//!
//! ```text
//! send to a peer    cut? lost? -> late? -> the delay line -> the peer's queue
//! heard from a peer cut? -> the node's inbox
//! ```
//!
//! The words are those of scenarios, and so is what they mean: `partition` cuts the network into groups, and a node in no
//! group is alone; `link` changes the loss and the latency of one direction, and the newest word on a link wins; `heal`
//! takes all of it back. Loss and travel time are drawn per packet, as in the simulator: with a range of latencies a
//! packet overtakes those that left before it, with a single one none does.
//!
//! A cut is kept at both of its ends, so that one end is enough and a node that was started again does not mend it. Loss
//! and latency are the sender's, or they would count twice. Connections stay up: what is cut are packets.
//!
//! What holds has a revision: the moment at which somebody last changed it. Whoever breaks the network of a whole cluster
//! asks for the newest state, changes it, and gives it to every node ([`FaultState`]); a node that was away is given the
//! newest by whoever brings it back, and an older state never replaces a newer one.
//!
//! A node takes faults only if it was started to take them ([`Faults`] exists). Until the first fault a packet costs one
//! look at a flag.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use phaselab_core::faults as core_faults;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario;
use phaselab_core::types::NodeId;
use serde::Deserialize;

use crate::entry::{self, Entry};

mod delay;
mod rules;

pub(super) use delay::DelayLine;
pub(crate) use rules::{Fault, FaultState, LinkFaults};
use rules::{Rules, next_revision};

/// Words on links that hold at once; more are refused.
const LINKS_MAX: usize = 1_024;
/// Entries of one request.
const ENTRIES_MAX: usize = 256;
/// What errors call the text that was given.
const SOURCE: &str = "faults";

/// The faults of one node's network.
#[derive(Debug)]
pub(crate) struct Faults {
    own: NodeId,
    members: Vec<NodeId>,
    protocol: ProtocolKind,
    /// Draws are a function of this, the link, and how many packets it carried.
    seed: u64,
    any: AtomicBool,
    rules: Mutex<Rules>,
    /// Packets that were lost on purpose, by peer.
    lost: BTreeMap<NodeId, AtomicU64>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Passes,
    Lost,
    Late(Duration),
}

impl Faults {
    /// A network that is whole.
    pub(crate) fn new(
        own: NodeId,
        members: Vec<NodeId>,
        protocol: ProtocolKind,
        seed: u64,
    ) -> Faults {
        let none = |id: &NodeId| (*id, AtomicU64::new(0));
        Faults {
            own,
            lost: members.iter().map(none).collect(),
            members,
            protocol,
            seed,
            any: AtomicBool::new(false),
            rules: Mutex::new(Rules::default()),
        }
    }

    /// Breaks or heals the network as a scenario's entries say: as TOML, one entry's keys or several `[[at]]` without
    /// their times; or as JSON, an object or a list of them. All of them, or none.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub(crate) fn apply(&self, text: &str, is_json: bool) -> Result<(), String> {
        let entries = entries(text, is_json)?;
        let mut faults = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let fault = self.read(entry).map_err(|why| match entries.len() {
                1 => why,
                _ => format!("entry {}: {why}", index + 1),
            })?;
            faults.push(fault);
        }
        self.change(|rules| {
            rules.revision = next_revision(rules.revision);
            faults.into_iter().for_each(|fault| rules.apply(fault));
        })
    }

    /// Takes the place of what holds, unless that is newer.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    pub(crate) fn replace(&self, state: &FaultState) -> Result<(), String> {
        let text = serde_json::to_string(&state.faults)
            .expect("derived serialisation into memory does not fail");
        let entries = if state.faults.is_empty() {
            Vec::new()
        } else {
            entries(&text, true)?
        };
        let faults: Vec<Fault> = entries
            .iter()
            .map(|entry| self.read(entry))
            .collect::<Result<_, _>>()?;
        self.change(|rules| {
            if state.revision > rules.revision {
                let sent = std::mem::take(&mut rules.sent);
                *rules = Rules {
                    revision: state.revision,
                    sent,
                    ..Rules::of(&faults)
                };
            }
        })
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) -> Result<(), String> {
        let mut rules = self.rules();
        let mut changed = rules.clone();
        change(&mut changed);
        let words = changed.faults.words();
        if words > LINKS_MAX {
            return Err(format!(
                "{words} words on links: expected at most {LINKS_MAX}; heal takes them back"
            ));
        }
        *rules = changed;
        self.any.store(!rules.faults.is_whole(), Ordering::Relaxed);
        Ok(())
    }

    fn read(&self, entry: &Entry) -> Result<Fault, String> {
        let known = ["partition", "heal", "link"];
        if let Some(other) = entry.get("do").and_then(|act| act.as_str())
            && !known.contains(&other)
        {
            return Err(format!(
                "do = \"{other}\": a running network takes {}",
                known.join(", ")
            ));
        }
        let text = entry::lines(entry);
        let act =
            scenario::parse_act(self.protocol, SOURCE, &text).map_err(|error| error.message)?;
        let nodes = self.members.iter().map(|id| id.0).max().unwrap_or(0);
        act.check(nodes, self.protocol.spec())?;
        Fault::of(act).ok_or_else(|| format!("expected one of {}", known.join(", ")))
    }

    /// The faults that hold.
    pub(crate) fn state(&self) -> FaultState {
        let rules = self.rules();
        FaultState {
            revision: rules.revision,
            faults: rules.in_force(),
        }
    }

    /// How the link to a peer is broken.
    pub(super) fn of_link(&self, peer: NodeId) -> LinkFaults {
        let lost = self.lost.get(&peer);
        let lost = lost.map_or(0, |lost| lost.load(Ordering::Relaxed));
        let rules = self.rules();
        LinkFaults {
            cut: rules.faults.is_cut(self.own, peer),
            loss_permille: rules.faults.loss_permille(self.own, peer),
            latency_ms: rules.faults.latency_ms(self.own, peer),
            lost,
        }
    }

    /// What becomes of a packet to a peer.
    pub(super) fn on_send(&self, peer: NodeId) -> Fate {
        if !self.any.load(Ordering::Relaxed) {
            return Fate::Passes;
        }
        let mut rules = self.rules();
        let number = {
            let number = rules.sent.entry(peer).or_default();
            *number += 1;
            *number
        };
        match rules.faults.fate(self.seed, self.own, peer, number) {
            core_faults::Fate::Passes => Fate::Passes,
            core_faults::Fate::Lost => self.lose(peer),
            core_faults::Fate::Late(late) => Fate::Late(Duration::from_nanos(late.0)),
        }
    }

    /// Whether nothing of a peer may be heard.
    pub(super) fn is_cut(&self, peer: NodeId) -> bool {
        let cut = self.any.load(Ordering::Relaxed) && self.rules().faults.is_cut(self.own, peer);
        if cut {
            self.lose(peer);
        }
        cut
    }

    fn lose(&self, peer: NodeId) -> Fate {
        if let Some(lost) = self.lost.get(&peer) {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        Fate::Lost
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        // Nothing panics while it holds the rules.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entries {
    Several(Vec<Entry>),
    One(Entry),
}

fn entries(text: &str, is_json: bool) -> Result<Vec<Entry>, String> {
    let entries = if is_json {
        let expected = "expected an object such as {\"do\": \"heal\"}, or a list of them";
        let read = serde_json::from_str(text).map_err(|_| format!("{SOURCE}: {expected}"))?;
        match read {
            Entries::Several(entries) => entries,
            Entries::One(entry) => vec![entry],
        }
    } else {
        let mut whole: Entry =
            scenario::from_toml(SOURCE, text).map_err(|error| error.to_string())?;
        match whole.remove("at") {
            None => vec![whole],
            Some(_) if !whole.is_empty() => {
                return Err(format!(
                    "{SOURCE}: expected one entry's keys, or [[at]] alone"
                ));
            }
            Some(at) => serde_json::from_value(at)
                .map_err(|_| format!("{SOURCE}: at: expected [[at]] entries"))?,
        }
    };
    if entries.is_empty() || entries.len() > ENTRIES_MAX {
        let found = entries.len();
        return Err(format!(
            "{SOURCE}: {found} entries: expected 1 to {ENTRIES_MAX}"
        ));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults() -> Faults {
        let members = (1..=3).map(NodeId).collect();
        Faults::new(NodeId(1), members, ProtocolKind::TwoPhase, 7)
    }

    fn json(faults: &Faults, text: &str) -> Result<(), String> {
        faults.apply(text, true)
    }

    #[test]
    fn a_partition_cuts_both_ways_and_heal_takes_it_back() {
        let faults = faults();
        assert_eq!(faults.on_send(NodeId(2)), Fate::Passes);
        json(&faults, r#"{"do": "partition", "groups": [[1, 3], [2]]}"#).unwrap();
        assert_eq!(faults.on_send(NodeId(2)), Fate::Lost);
        assert!(faults.is_cut(NodeId(2)) && !faults.is_cut(NodeId(3)));
        assert_eq!(faults.on_send(NodeId(3)), Fate::Passes);
        assert_eq!(faults.of_link(NodeId(2)).lost, 2);
        // Whoever is in no group is alone.
        json(&faults, r#"{"do": "partition", "groups": [[2, 3]]}"#).unwrap();
        assert!(faults.is_cut(NodeId(2)) && faults.is_cut(NodeId(3)));
        faults.apply("do = \"heal\"", false).unwrap();
        assert_eq!(faults.on_send(NodeId(2)), Fate::Passes);
        assert_eq!(faults.state().faults, []);
    }

    #[test]
    fn the_newest_word_on_a_link_wins_and_one_direction_is_meant() {
        let faults = faults();
        let toml = "[[at]]\ndo = \"link\"\nlatency_ms = [50, 80]\n\
                    [[at]]\ndo = \"link\"\nfrom = 1\nto = 2\nloss_permille = 1000\n\
                    [[at]]\ndo = \"link\"\nfrom = 3\nto = 1\nloss_permille = 1000\n";
        faults.apply(toml, false).unwrap();
        assert_eq!(faults.on_send(NodeId(2)), Fate::Lost);
        assert!(!faults.is_cut(NodeId(2)) && !faults.is_cut(NodeId(3)));
        for _ in 0..100 {
            let Fate::Late(late) = faults.on_send(NodeId(3)) else {
                panic!("every packet is late");
            };
            assert!((50..=80).contains(&late.as_millis()), "{late:?}");
        }
        json(
            &faults,
            r#"{"do": "link", "from": 1, "to": 2, "loss_permille": 0}"#,
        )
        .unwrap();
        assert_eq!(
            faults.of_link(NodeId(2)),
            LinkFaults {
                latency_ms: [50, 80],
                lost: 1,
                ..LinkFaults::default()
            }
        );
        // Told again in the same order, they mean the same.
        let again = self::faults();
        again.replace(&faults.state()).unwrap();
        assert_eq!(again.state(), faults.state());
        assert_eq!(again.of_link(NodeId(3)).latency_ms, [50, 80]);
    }

    #[test]
    fn an_older_state_never_replaces_a_newer_one() {
        let cut = Fault::Partition {
            groups: vec![vec![NodeId(1)], vec![NodeId(2), NodeId(3)]],
        };
        let before = FaultState::default().with(&cut);
        let after = before.with(&Fault::Heal);
        assert!(after.revision > before.revision && after.faults.is_empty());
        let faults = faults();
        faults.replace(&before).unwrap();
        assert!(faults.is_cut(NodeId(2)));
        faults.replace(&after).unwrap();
        faults.replace(&before).unwrap();
        assert!(!faults.is_cut(NodeId(2)));
        let wrong = FaultState {
            revision: u64::MAX,
            faults: vec![Fault::Partition {
                groups: vec![vec![NodeId(7)]],
            }],
        };
        assert!(
            faults
                .replace(&wrong)
                .unwrap_err()
                .contains("node 7 does not exist")
        );
    }

    #[test]
    fn some_of_a_thousand_are_lost() {
        let faults = faults();
        json(&faults, r#"{"do": "link", "loss_permille": 250}"#).unwrap();
        let lost = (0..4_000)
            .filter(|_| faults.on_send(NodeId(2)) == Fate::Lost)
            .count();
        assert!((800..1_200).contains(&lost), "{lost} of 4000");
    }

    #[test]
    fn what_is_not_a_fault_of_a_network_is_refused_and_nothing_of_it_is_done() {
        let faults = faults();
        let cases = [
            (
                r#"{"do": "crash", "node": 1}"#,
                "do = \"crash\": a running network takes partition, heal, link",
            ),
            (
                r#"{"do": "partition", "groups": [[1], [9]]}"#,
                "partition: node 9 does not exist; expected 1 to 3",
            ),
            (
                r#"{"do": "partition"}"#,
                "partition: the key groups is missing",
            ),
            (
                r#"{"do": "link", "loss_permille": 1001}"#,
                "link: loss_permille = 1001; expected 0 to 1000",
            ),
            (
                r#"{"do": "link", "latency_ms": [9, 2]}"#,
                "link: latency_ms = [9, 2]: expected the lower bound first",
            ),
            (
                r#"[{"do": "partition", "groups": [[1], [2]]}, {"do": "hael"}]"#,
                "entry 2: do = \"hael\": a running network takes partition, heal, link",
            ),
            (r#"[]"#, "faults: 0 entries: expected 1 to 256"),
            (
                "7",
                "faults: expected an object such as {\"do\": \"heal\"}, or a list of them",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(json(&faults, text), Err(expected.to_owned()), "{text}");
        }
        assert_eq!(
            faults
                .apply("do = \"heal", false)
                .map_err(|why| why.lines().count()),
            Err(1)
        );
        assert_eq!(faults.state().faults, []);
    }
}
