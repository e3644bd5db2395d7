//! What a node says about itself: the JSON of `phaselab status`, and the line it prints when it starts.

use std::collections::BTreeMap;
use std::time::Duration;

use phaselab_core::replica::{GroupCommits, Replica};
use phaselab_core::sim::log::letter_at;
use phaselab_core::types::{Hash32, InstanceId, NodeId};
use phaselab_core::view::{Field, InstanceView, ViewScope, WAITS_FOR};
use serde::{Deserialize, Serialize};

use crate::net::PeerState;
use crate::net::faults::LinkFaults;

/// A node's own account of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeReport {
    /// Its number.
    pub(crate) id: NodeId,
    /// Its process.
    pub(crate) pid: u32,
    /// Its life.
    pub(crate) incarnation: u32,
    /// How long this life has lasted.
    pub(crate) uptime_ms: u64,
    /// The instance that it is at, or was at last.
    pub(crate) current: Option<InstanceReport>,
    /// All instances.
    pub(crate) instances: Vec<InstanceReport>,
    /// The other members.
    pub(crate) peers: Vec<PeerReport>,
    /// Packets, requests and facts that were refused in this life.
    pub(crate) refused: u64,
    /// Counters of this life by name.
    pub(crate) counters: BTreeMap<String, u64>,
    /// The link to the world outside.
    pub(crate) chain: ChainReport,
    /// What was written.
    #[serde(default)]
    pub(crate) store: StoreReport,
    /// What it shows of itself: of a view in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<FieldReport>,
}

/// How much a node tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Where everything stands.
    Summary,
    /// And the fields of all of it.
    Full,
}

/// Something shown by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FieldReport {
    /// What it is.
    pub(crate) name: String,
    /// In words.
    pub(crate) text: String,
}

fn fields(all: &[Field]) -> Vec<FieldReport> {
    let told = all.iter().map(|field| FieldReport {
        name: field.name.to_owned(),
        text: field.text.clone(),
    });
    told.collect()
}

/// What was written in this life.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoreReport {
    /// Transactions.
    pub(crate) commits: u64,
    /// Steps that wrote: one transaction holds those that waited for it together.
    pub(crate) steps: u64,
}

/// An instance at a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceReport {
    /// Its id: names may be short forms of something longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<InstanceId>,
    /// Its name.
    pub(crate) instance: String,
    /// Its phase.
    pub(crate) phase: String,
    /// Whether something follows that phase.
    pub(crate) open: bool,
    /// Its round.
    pub(crate) round: u32,
    /// The decided value, in full.
    pub(crate) value: Option<Hash32>,
    /// That value's letter at this node.
    pub(crate) label: Option<String>,
    /// The value that this node signed.
    pub(crate) signed: Option<Hash32>,
    /// The last meter: what it counts, and how far it is.
    pub(crate) meter: Option<MeterReport>,
    /// What must come from outside before this node can do its part.
    #[serde(default)]
    pub(crate) waits_for: Option<String>,
    /// What it shows: of a view in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<FieldReport>,
}

/// A meter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MeterReport {
    /// What is counted.
    pub(crate) name: String,
    /// Counted.
    pub(crate) have: u64,
    /// Needed.
    pub(crate) need: u64,
    /// Registered.
    pub(crate) total: u64,
}

/// A peer as this node sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PeerReport {
    /// Its number.
    pub(crate) id: NodeId,
    /// Whether a connection is up.
    pub(crate) connected: bool,
    /// For how long there has been a connection without a break.
    #[serde(default)]
    pub(crate) connected_ms: Option<u64>,
    /// The round trip to it, as QUIC estimates it.
    #[serde(default)]
    pub(crate) round_trip_us: Option<u64>,
    /// How long ago it was last heard.
    pub(crate) heard_ms_ago: Option<u64>,
    /// Packets to it that were written.
    #[serde(default)]
    pub(crate) sent: u64,
    /// Packets of it that were read.
    #[serde(default)]
    pub(crate) received: u64,
    /// And their bytes.
    #[serde(default)]
    pub(crate) received_bytes: u64,
    /// How often it had to wait, being over its rate.
    #[serde(default)]
    pub(crate) slowed: u64,
    /// Packets to it that were dropped because its queue was full.
    pub(crate) dropped: u64,
    /// How the link to it is broken on purpose.
    #[serde(default)]
    pub(crate) faults: LinkFaults,
}

/// The link to the world outside.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ChainReport {
    /// Whether it is up.
    pub(crate) connected: bool,
    /// Reports made in this life.
    pub(crate) reported: u64,
}

/// A node's account of itself, now.
pub(crate) fn of(
    replica: &dyn Replica,
    scope: Scope,
    letters: &BTreeMap<InstanceId, Known>,
    uptime: Duration,
    peers: &[PeerState],
    chain: ChainReport,
    written: GroupCommits,
) -> NodeReport {
    let spec = replica.spec();
    let instance = |view: &InstanceView| InstanceReport {
        id: Some(view.id),
        instance: view.name.clone(),
        phase: spec.phases[usize::from(view.phase)].name.to_owned(),
        open: !spec.phases[usize::from(view.phase)].terminal,
        round: view.round.0,
        value: view.value,
        label: view
            .value
            .and_then(|value| letters.get(&view.id)?.letter(value)),
        signed: view.signed,
        meter: view.meters.last().map(|meter| MeterReport {
            name: spec
                .meters
                .get(usize::from(meter.kind))
                .map_or("votes", |kind| kind.name)
                .to_owned(),
            have: meter.have,
            need: meter.need,
            total: meter.total,
        }),
        waits_for: None,
        fields: match scope {
            Scope::Summary => Vec::new(),
            Scope::Full => fields(&view.fields),
        },
    };
    let current = replica.glance().instance.and_then(|id| {
        let view = replica.view(ViewScope::Instance(id));
        view.instances.first().map(instance)
    });
    let shown = replica.view(match scope {
        Scope::Summary => ViewScope::Summary,
        Scope::Full => ViewScope::Full,
    });
    let views = shown.instances;
    let mut instances: Vec<InstanceReport> = views.iter().map(instance).collect();
    let open = instances.iter_mut().zip(&views);
    let open = open.filter(|(report, _)| report.open && report.value.is_none());
    for (report, view) in open.take(LOOKED_INTO_MAX) {
        report.waits_for = waits_for(replica, view.id);
    }
    let peer = |peer: &PeerState| PeerReport {
        id: peer.id,
        connected: peer.connected,
        connected_ms: peer.connected_for.map(millis),
        round_trip_us: peer.round_trip.map(micros),
        heard_ms_ago: peer.heard.map(millis),
        sent: peer.sent,
        received: peer.received,
        received_bytes: peer.received_bytes,
        slowed: peer.slowed,
        dropped: peer.dropped,
        faults: peer.faults,
    };
    NodeReport {
        id: replica.id(),
        pid: std::process::id(),
        incarnation: replica.incarnation().0,
        uptime_ms: millis(uptime),
        current,
        instances,
        peers: peers.iter().map(peer).collect(),
        refused: replica.refused(),
        counters: replica
            .counters()
            .iter()
            .map(|(name, count)| (name.to_string(), *count))
            .collect(),
        chain,
        store: StoreReport {
            commits: written.commits,
            steps: written.steps,
        },
        fields: match scope {
            Scope::Summary => Vec::new(),
            Scope::Full => fields(&shown.fields),
        },
    }
}

/// Open instances that are looked into: a view in full costs more than a summary.
const LOOKED_INTO_MAX: usize = 20;

/// What an instance waits for, as its own fields tell it.
fn waits_for(replica: &dyn Replica, id: InstanceId) -> Option<String> {
    let views = replica.view(ViewScope::Instance(id)).instances;
    let mut fields = views.into_iter().flat_map(|view| view.fields);
    let told = fields.find(|field| field.name == WAITS_FOR);
    told.map(|field| field.text)
}

/// What the store gave back: `recovered withdraw-1: completed, round 0`.
pub(crate) fn recovered(replica: &dyn Replica) -> String {
    let instances = replica.view(ViewScope::Summary).instances;
    let current = replica.glance().instance;
    let Some(known) = instances
        .iter()
        .find(|known| Some(known.id) == current)
        .or(instances.last())
    else {
        return "started with an empty store".to_owned();
    };
    let phase = replica.spec().phases[usize::from(known.phase)].name;
    let said = format!("{}: {phase}, round {}", known.name, known.round.0);
    match instances.len() - 1 {
        0 => format!("recovered {said}"),
        more => format!("recovered {said}, and {more} more"),
    }
}

/// What people call an instance and its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Its name.
    pub(crate) name: String,
    /// Its values in order of first appearance at this node: a letter each.
    pub(crate) values: Vec<Hash32>,
}

impl Known {
    /// The letter of a value, if it appeared.
    pub(crate) fn letter(&self, value: Hash32) -> Option<String> {
        self.values
            .iter()
            .position(|known| *known == value)
            .map(letter_at)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
