//! Every metric that a node exposes: its name, its kind, its labels, and what it says.
//!
//! A protocol's counters have the names of its source document. The shell's own begin with `phaselab_`. No label takes
//! its values from what clients or peers choose: the number of series is bounded.

use phaselab_core::protocol::ProtocolKind;

/// A family of time series.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Its name, as it is written and queried.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) kind: Kind,
    /// What its series differ by, beside `node`.
    pub(crate) labels: &'static [&'static str],
    /// Values of its one label that are shown before they occur, so that a rate sees the first.
    pub(crate) shown: &'static [&'static str],
    /// What it says, in a sentence.
    pub(crate) help: &'static str,
}

/// The kinds of metrics.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Only rises, and begins anew with the process.
    Counter,
    /// A value of this moment.
    Gauge,
    /// How often each size occurred, in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Metric {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Metric {
        Metric {
            name,
            kind,
            labels: &[],
            shown: &[],
            help,
        }
    }

    const fn by(
        mut self,
        labels: &'static [&'static str],
        shown: &'static [&'static str],
    ) -> Metric {
        self.labels = labels;
        self.shown = shown;
        self
    }
}

/// Upper bounds of waiting for a disk, in seconds.
const DISK_SECONDS: Kind = Kind::Histogram(&[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
]);
/// Upper bounds of waiting for a decision, in seconds.
const DECISION_SECONDS: Kind = Kind::Histogram(&[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
]);
/// Upper bounds of what is merged into one commit.
const ROWS: Kind = Kind::Histogram(&[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
]);

use Kind::{Counter, Gauge};

pub(crate) const BUILD_INFO: Metric = Metric::new(
    "phaselab_build_info",
    Gauge,
    "Always 1; the labels say which version runs which protocol.",
)
.by(&["version", "protocol"], &[]);
pub(crate) const START_TIME: Metric = Metric::new(
    "process_start_time_seconds",
    Gauge,
    "When the process started, in seconds since 1970.",
);
pub(crate) const COMMITS: Metric = Metric::new(
    "phaselab_store_commits_total",
    Counter,
    "Transactions that the store made durable.",
);
pub(crate) const COMMIT_ROWS: Metric = Metric::new(
    "phaselab_store_commit_rows",
    ROWS,
    "Rows of one transaction: how much group commit merges.",
);
pub(crate) const COMMIT_SECONDS: Metric = Metric::new(
    "phaselab_store_commit_seconds",
    DISK_SECONDS,
    "How long one transaction took to be durable.",
);
pub(crate) const COMMIT_PENDING: Metric = Metric::new(
    "phaselab_store_commit_pending_seconds",
    Gauge,
    "How long the transaction under way has taken so far; 0 if there is none.",
);
pub(crate) const STORE_BYTES: Metric = Metric::new(
    "phaselab_store_bytes",
    Gauge,
    "The size of the store's file.",
);
pub(crate) const SUBMIT_SECONDS: Metric = Metric::new(
    "phaselab_submit_seconds",
    DECISION_SECONDS,
    "From a client's request to its last answer, by outcome.",
)
.by(&["outcome"], &["decided", "abandoned", "refused"]);
pub(crate) const INPUTS: Metric = Metric::new(
    "phaselab_inputs_total",
    Counter,
    "What the event loop handled, by kind.",
)
.by(&["kind"], &["packet", "submit", "fact", "timer"]);
pub(crate) const PACKETS_SENT: Metric = Metric::new(
    "phaselab_packets_sent_total",
    Counter,
    "Packets handed to the network, one for each receiver.",
);
pub(crate) const PHASES_ENTERED: Metric = Metric::new(
    "phaselab_phases_entered_total",
    Counter,
    "Events that entered a phase in this life.",
)
.by(&["phase"], &[]);
pub(crate) const EVENTS: Metric =
    Metric::new("phaselab_events", Gauge, "Events that are in a phase now.").by(&["phase"], &[]);
pub(crate) const REFUSED: Metric = Metric::new(
    "phaselab_refused_total",
    Counter,
    "Packets, requests and facts that were refused, by reason.",
)
.by(
    &["reason"],
    &[
        "malformed",
        "bad_signature",
        "unknown_sender",
        "wrong_genesis",
    ],
);
pub(crate) const INCARNATION: Metric = Metric::new(
    "phaselab_incarnation",
    Gauge,
    "Which life of the node this is.",
);
pub(crate) const LOOP_ANSWERS: Metric = Metric::new(
    "phaselab_event_loop_answers",
    Gauge,
    "1 if the event loop answered this scrape within a second; if 0, what it counts is as it was last told.",
);
pub(crate) const INBOX: Metric = Metric::new(
    "phaselab_inbox_length",
    Gauge,
    "Inputs that wait for the event loop.",
);
pub(crate) const INBOX_MAX: Metric = Metric::new(
    "phaselab_inbox_capacity",
    Gauge,
    "Inputs that may wait for the event loop; peers are slowed down when it is full.",
);
pub(crate) const OUTBOX: Metric = Metric::new(
    "phaselab_outbox_held",
    Gauge,
    "Steps whose messages wait until the store is durable.",
);
pub(crate) const CLIENTS: Metric = Metric::new(
    "phaselab_clients_waiting",
    Gauge,
    "Requests that wait for their last answer.",
);
pub(crate) const PEERS: Metric = Metric::new("phaselab_peers", Gauge, "The other members.");
pub(crate) const PEERS_CONNECTED: Metric = Metric::new(
    "phaselab_peers_connected",
    Gauge,
    "The other members to which a connection is up.",
);
pub(crate) const PEER_CONNECTED: Metric = Metric::new(
    "phaselab_peer_connected",
    Gauge,
    "Whether a connection to the member is up.",
)
.by(&["peer"], &[]);
pub(crate) const PEER_SILENT: Metric = Metric::new(
    "phaselab_peer_silent_seconds",
    Gauge,
    "How long ago the member was last heard; absent if never.",
)
.by(&["peer"], &[]);
pub(crate) const PEER_ROUND_TRIP: Metric = Metric::new(
    "phaselab_peer_round_trip_seconds",
    Gauge,
    "The round trip to the member, as QUIC estimates it; absent without a connection.",
)
.by(&["peer"], &[]);
pub(crate) const PEER_SENT: Metric = Metric::new(
    "phaselab_peer_packets_sent_total",
    Counter,
    "Packets to the member that were written to a connection.",
)
.by(&["peer"], &[]);
pub(crate) const PEER_RECEIVED: Metric = Metric::new(
    "phaselab_peer_packets_received_total",
    Counter,
    "Packets of the member that were read.",
)
.by(&["peer"], &[]);
pub(crate) const PEER_RECEIVED_BYTES: Metric = Metric::new(
    "phaselab_peer_bytes_received_total",
    Counter,
    "Bytes of the member's packets that were read.",
)
.by(&["peer"], &[]);
pub(crate) const PEER_SLOWED: Metric = Metric::new(
    "phaselab_peer_slowed_total",
    Counter,
    "Packets after which the member had to wait, being over its rate.",
)
.by(&["peer"], &[]);
pub(crate) const PEER_DROPPED: Metric = Metric::new(
    "phaselab_peer_packets_dropped_total",
    Counter,
    "Packets to the member that were dropped because its queue was full.",
)
.by(&["peer"], &[]);
pub(crate) const CHAIN_CONNECTED: Metric = Metric::new(
    "phaselab_chain_connected",
    Gauge,
    "Whether the link to the world outside is up.",
);
pub(crate) const CHAIN_REPORTS: Metric = Metric::new(
    "phaselab_chain_reports_total",
    Counter,
    "What the node told the world outside.",
);

/// The shell's own, all of them.
#[cfg(test)]
pub(crate) const SHELL: &[Metric] = &[
    BUILD_INFO,
    START_TIME,
    COMMITS,
    COMMIT_ROWS,
    COMMIT_SECONDS,
    COMMIT_PENDING,
    STORE_BYTES,
    SUBMIT_SECONDS,
    INPUTS,
    PACKETS_SENT,
    PHASES_ENTERED,
    EVENTS,
    REFUSED,
    INCARNATION,
    LOOP_ANSWERS,
    INBOX,
    INBOX_MAX,
    OUTBOX,
    CLIENTS,
    PEERS,
    PEERS_CONNECTED,
    PEER_CONNECTED,
    PEER_SILENT,
    PEER_ROUND_TRIP,
    PEER_SENT,
    PEER_RECEIVED,
    PEER_RECEIVED_BYTES,
    PEER_SLOWED,
    PEER_DROPPED,
    CHAIN_CONNECTED,
    CHAIN_REPORTS,
];

/// Counted by the shell, with the name that two-phase's document gives it. (S0-89)
pub(crate) const HASH_MISMATCH: Metric = Metric::new(
    "tx_template_hash_mismatch_total",
    Counter,
    "Proposals whose hash is not that of their template.",
)
.by(&["kind"], &["proposal_hash_mismatch"]);

const TWO_PHASE: &[Metric] = &[
    Metric::new(
        "two_phase_canonical_selection_total",
        Counter,
        "Events for which a template was chosen, by method.",
    )
    .by(&["method"], &["quorum"]),
    Metric::new(
        "two_phase_proposal_timeouts_total",
        Counter,
        "Rounds that ended without a quorum in time.",
    ),
    Metric::new(
        "two_phase_events_abandoned_total",
        Counter,
        "Events that were given up after the last retry.",
    ),
    Metric::new(
        "two_phase_fast_forwards_total",
        Counter,
        "Events that a certificate moved straight to their decision.",
    ),
    Metric::new(
        "two_phase_events_refused_total",
        Counter,
        "Events that were refused because too many are open.",
    ),
    Metric::new(
        "two_phase_equivocations_total",
        Counter,
        "Members that contradicted themselves, with proof.",
    ),
    Metric::new(
        "two_phase_equivocations_untold_total",
        Counter,
        "Contradictions beyond the limit of what is kept as proof.",
    ),
    Metric::new(
        "two_phase_conflicting_commits_total",
        Counter,
        "Certificates for another value than the one that is decided: the promise is broken.",
    ),
    Metric::new(
        "session_stage_proposal_received_total",
        Counter,
        "Proposals that reached the stage in which they are counted.",
    ),
    HASH_MISMATCH,
];

const SHARDED_2PC: &[Metric] = &[
    Metric::new(
        "sharded_2pc_elections_total",
        Counter,
        "Elections that this member called.",
    ),
    Metric::new(
        "sharded_2pc_elections_won_total",
        Counter,
        "Elections after which this member led its cluster.",
    ),
    Metric::new(
        "sharded_2pc_snapshots_installed_total",
        Counter,
        "Accounts that were taken over as a whole, because the entries before them are dropped.",
    ),
    Metric::new(
        "sharded_2pc_commits_total",
        Counter,
        "Transfers whose outcome C was applied here.",
    ),
    Metric::new(
        "sharded_2pc_aborts_total",
        Counter,
        "Transfers whose outcome A was applied here.",
    ),
    Metric::new(
        "sharded_2pc_cross_shard_transactions_total",
        Counter,
        "Attempts at transfers between clusters that this member coordinated.",
    ),
    Metric::new(
        "sharded_2pc_lock_retries_total",
        Counter,
        "Attempts that met a lock and were made again.",
    ),
    Metric::new(
        "sharded_2pc_reads_total",
        Counter,
        "Balances that were told after leadership was confirmed.",
    ),
];

const SNOWBALL: &[Metric] = &[
    Metric::new(
        "snowball_polls_total",
        Counter,
        "Polls that this node began.",
    ),
    Metric::new(
        "snowball_vote_timeouts_total",
        Counter,
        "Polls that ended because vote_timeout_ms was over.",
    ),
    Metric::new(
        "snowball_votes_late_total",
        Counter,
        "Votes that did not count: of another poll, of whoever was not asked, or a second one.",
    ),
    Metric::new(
        "snowball_transactions_finalized_total",
        Counter,
        "Transactions that became final here.",
    ),
    Metric::new(
        "snowball_transactions_rejected_total",
        Counter,
        "Transactions that lost to another one here.",
    ),
    Metric::new(
        "snowball_blocks_built_total",
        Counter,
        "Blocks that this node built.",
    ),
    Metric::new(
        "snowball_blocks_decided_total",
        Counter,
        "Blocks that won their height here.",
    ),
];

/// The counters of a protocol, with the names of its source document.
pub(crate) const fn of_protocol(protocol: ProtocolKind) -> &'static [Metric] {
    match protocol {
        ProtocolKind::TwoPhase => TWO_PHASE,
        ProtocolKind::Sharded2pc => SHARDED_2PC,
        ProtocolKind::Snowball => SNOWBALL,
    }
}
