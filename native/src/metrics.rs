//! What a node says about itself to Prometheus: `/metrics`, in the text format 0.0.4.
//!
//! ```text
//! the event loop counts as it goes -> Metrics (histograms, counters) -+
//! the event loop is asked          -> Sample (what it holds now)     -+-> expose -> text
//! ```
//!
//! What would cost something is asked for when somebody scrapes, and not more often than [`listener`] allows. A node
//! whose event loop does not answer still tells what it counted, and that it does not answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use phaselab_core::event::EventKind;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::NodeId;
use phaselab_core::view::Spec;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use crate::net::PeerState;
use crate::node::ChainReport;

pub(crate) mod catalog;
mod expose;
pub(crate) mod listener;
#[cfg(test)]
mod tests;

use catalog::{Kind, Metric};

/// What is counted as it happens.
#[derive(Debug)]
pub(crate) struct Metrics {
    node: NodeId,
    protocol: ProtocolKind,
    spec: &'static Spec,
    registry: Registry,
    begun: Instant,
    begun_at: Duration,
    /// When the commit under way began, in nanoseconds after `begun`; 0 if there is none.
    committing: AtomicU64,
    commits: IntCounter,
    commit_rows: Histogram,
    commit_seconds: Histogram,
    submit_seconds: HistogramVec,
    inputs: IntCounterVec,
    packets_sent: IntCounter,
    phases_entered: IntCounterVec,
}

/// What an event loop holds at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The life.
    pub(crate) incarnation: u32,
    /// The replica's counters, by the names that it gives them.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Messages that the protocol refuses, by its reason.
    pub(crate) invalid: BTreeMap<String, u64>,
    /// Instances by the name of their phase.
    pub(crate) phases: BTreeMap<&'static str, u64>,
    /// The other members.
    pub(crate) peers: Vec<PeerState>,
    /// Steps whose effects wait for the store.
    pub(crate) held: usize,
    /// Requests that wait for their last answer.
    pub(crate) clients: usize,
    /// The link to the world outside.
    pub(crate) chain: ChainReport,
}

/// What is seen of an event loop from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    /// Whether it answered this time.
    pub(crate) answers: bool,
    /// Inputs that wait for it.
    pub(crate) inbox: usize,
    /// Inputs that may.
    pub(crate) inbox_max: usize,
    /// The size of the store's file, if it can be told.
    pub(crate) store_bytes: Option<u64>,
}

impl Metrics {
    /// The metrics of a node that starts now.
    pub(crate) fn new(node: NodeId, protocol: ProtocolKind) -> Metrics {
        let registry = registry_of(node);
        let spec = protocol.spec();
        let counters = |metric: &Metric| keep(&registry, counter_vec(metric));
        let (inputs, phases_entered) = (
            counters(&catalog::INPUTS),
            counters(&catalog::PHASES_ENTERED),
        );
        for phase in spec.phases {
            phases_entered.with_label_values(&[phase.name]);
        }
        let submit_seconds = HistogramVec::new(
            histogram_opts(&catalog::SUBMIT_SECONDS),
            catalog::SUBMIT_SECONDS.labels,
        );
        let submit_seconds = keep(&registry, submit_seconds.expect(CATALOG_IS_VALID));
        for outcome in catalog::SUBMIT_SECONDS.shown {
            submit_seconds.with_label_values(&[*outcome]);
        }
        let counter = |metric: &Metric| {
            let made = IntCounter::with_opts(Opts::new(metric.name, metric.help));
            keep(&registry, made.expect(CATALOG_IS_VALID))
        };
        let histogram = |metric: &Metric| {
            let made = Histogram::with_opts(histogram_opts(metric));
            keep(&registry, made.expect(CATALOG_IS_VALID))
        };
        Metrics {
            node,
            protocol,
            spec,
            begun: Instant::now(),
            begun_at: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            committing: AtomicU64::new(0),
            commits: counter(&catalog::COMMITS),
            packets_sent: counter(&catalog::PACKETS_SENT),
            commit_rows: histogram(&catalog::COMMIT_ROWS),
            commit_seconds: histogram(&catalog::COMMIT_SECONDS),
            submit_seconds,
            inputs,
            phases_entered,
            registry,
        }
    }

    /// Which node this is about.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// How long it runs.
    pub(crate) fn uptime(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Counts an input: `packet`, `submit`, `fact` or `timer`.
    pub(crate) fn input(&self, kind: &'static str) {
        self.inputs.with_label_values(&[kind]).inc();
    }

    /// Counts a packet for one receiver.
    pub(crate) fn packet_sent(&self) {
        self.packets_sent.inc();
    }

    /// Counts what an observer is told.
    pub(crate) fn event(&self, kind: EventKind) {
        if let EventKind::PhaseEntered(phase) = kind
            && let Some(phase) = self.spec.phases.get(usize::from(phase))
        {
            self.phases_entered.with_label_values(&[phase.name]).inc();
        }
    }

    /// Notes a client's last answer.
    pub(crate) fn answered(&self, outcome: &str, waited: Duration) {
        let of_outcome = self.submit_seconds.with_label_values(&[outcome]);
        of_outcome.observe(waited.as_secs_f64());
    }

    /// Times a commit of so many rows, which may block.
    ///
    /// # Errors
    /// What the commit returns.
    pub(crate) fn commit<T, E>(
        &self,
        rows: usize,
        commit: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let began = self.begun.elapsed();
        let nanos = u64::try_from(began.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.committing.store(nanos, Ordering::Relaxed);
        let made = commit();
        self.committing.store(0, Ordering::Relaxed);
        if made.is_ok() {
            let took = self.begun.elapsed().saturating_sub(began);
            self.commits.inc();
            self.commit_rows.observe(rows as f64);
            self.commit_seconds.observe(took.as_secs_f64());
        }
        made
    }

    /// How long the commit under way has taken so far.
    pub(crate) fn commit_pending(&self) -> Duration {
        match self.committing.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            began => self
                .begun
                .elapsed()
                .saturating_sub(Duration::from_nanos(began)),
        }
    }
}

const CATALOG_IS_VALID: &str = "a test makes every metric of the catalog";

/// A registry whose series all say which node they are of.
fn registry_of(node: NodeId) -> Registry {
    let labels = HashMap::from([("node".to_owned(), node.0.to_string())]);
    Registry::new_custom(None, Some(labels)).expect("no prefix can be wrong")
}

fn keep<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    let kept = registry.register(Box::new(collector.clone()));
    kept.expect(CATALOG_IS_VALID);
    collector
}

fn counter_vec(metric: &Metric) -> IntCounterVec {
    let made = IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels);
    let made = made.expect(CATALOG_IS_VALID);
    for value in metric.shown {
        made.with_label_values(&[*value]);
    }
    made
}

fn histogram_opts(metric: &Metric) -> HistogramOpts {
    let opts = HistogramOpts::new(metric.name, metric.help);
    match metric.kind {
        Kind::Histogram(bounds) => opts.buckets(bounds.to_vec()),
        Kind::Counter | Kind::Gauge => opts,
    }
}
