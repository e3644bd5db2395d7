//! From what was counted and what was sampled to the text that Prometheus reads.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

use super::catalog::{self, Metric};
use super::{Around, CATALOG_IS_VALID, Metrics, Sample, counter_vec, registry_of};
use crate::net::PeerState;

/// What a protocol calls a proposal whose hash is not its template's. (S0-89)
const HASH_MISMATCH: &str = "proposal_hash_mismatch";
/// The replica's counters of refusals begin with this.
const REFUSED: &str = "refused_";
/// The refusal that protocols tell the reason of.
const INVALID: &str = "invalid";

impl Metrics {
    /// The whole text. Without a sample it says what is known without the event loop.
    pub(crate) fn expose(&self, sample: Option<&Sample>, around: Around) -> String {
        let page = Page(registry_of(self.node));
        let build = [env!("CARGO_PKG_VERSION"), self.protocol.name()];
        page.gauges(
            &catalog::BUILD_INFO,
            [(build.map(str::to_owned).to_vec(), 1.0)],
        );
        page.gauge(&catalog::START_TIME, self.begun_at.as_secs_f64());
        page.gauge(
            &catalog::COMMIT_PENDING,
            self.commit_pending().as_secs_f64(),
        );
        page.gauge(&catalog::LOOP_ANSWERS, one_if(around.answers));
        page.gauge(&catalog::INBOX, around.inbox as f64);
        page.gauge(&catalog::INBOX_MAX, around.inbox_max as f64);
        if let Some(bytes) = around.store_bytes {
            page.gauge(&catalog::STORE_BYTES, bytes as f64);
        }
        if let Some(sample) = sample {
            self.show(&page, sample);
        }
        let mut families: Vec<MetricFamily> = self.registry.gather();
        families.extend(page.0.gather());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let text = TextEncoder::new().encode_to_string(&families);
        text.expect("families that a registry gathered are encoded")
    }

    fn show(&self, page: &Page, sample: &Sample) {
        page.gauge(&catalog::INCARNATION, f64::from(sample.incarnation));
        page.gauge(&catalog::OUTBOX, sample.held as f64);
        page.gauge(&catalog::CLIENTS, sample.clients as f64);
        if self.protocol.has_world() {
            page.gauge(&catalog::CHAIN_CONNECTED, one_if(sample.chain.connected));
            page.counters(
                &catalog::CHAIN_REPORTS,
                [(Vec::new(), sample.chain.reported)],
            );
        }
        let phases = self.spec.phases.iter();
        page.gauges(
            &catalog::EVENTS,
            phases.map(|phase| {
                let count = sample.phases.get(phase.name).copied().unwrap_or(0);
                (vec![phase.name.to_owned()], count as f64)
            }),
        );
        let peers = || sample.peers.iter();
        let label = |peer: &PeerState| vec![peer.id.0.to_string()];
        let connected = peers().filter(|peer| peer.connected).count();
        page.gauge(&catalog::PEERS, sample.peers.len() as f64);
        page.gauge(&catalog::PEERS_CONNECTED, connected as f64);
        page.gauges(
            &catalog::PEER_CONNECTED,
            peers().map(|peer| (label(peer), one_if(peer.connected))),
        );
        page.gauges(
            &catalog::PEER_SILENT,
            peers().filter_map(|peer| Some((label(peer), peer.heard?.as_secs_f64()))),
        );
        page.gauges(
            &catalog::PEER_ROUND_TRIP,
            peers().filter_map(|peer| Some((label(peer), peer.round_trip?.as_secs_f64()))),
        );
        let count = |metric: &Metric, counted: fn(&PeerState) -> u64| {
            page.counters(metric, peers().map(|peer| (label(peer), counted(peer))));
        };
        count(&catalog::PEER_SENT, |peer| peer.sent);
        count(&catalog::PEER_RECEIVED, |peer| peer.received);
        count(&catalog::PEER_RECEIVED_BYTES, |peer| peer.received_bytes);
        count(&catalog::PEER_SLOWED, |peer| peer.slowed);
        count(&catalog::PEER_DROPPED, |peer| peer.dropped);
        self.show_counters(page, sample);
    }

    /// The replica's counters: refusals by reason, the others by their documents' names.
    fn show_counters(&self, page: &Page, sample: &Sample) {
        let mut refused = sample.invalid.clone();
        let mut named: BTreeMap<&str, Vec<Series>> = BTreeMap::new();
        for (name, count) in &sample.counters {
            match name.strip_prefix(REFUSED) {
                // Told by reason instead.
                Some(INVALID) => {}
                Some(reason) => *refused.entry(reason.to_owned()).or_default() += count,
                None => {
                    let (name, label) = split(name);
                    named.entry(name).or_default().push((label, *count));
                }
            }
        }
        let mismatches = sample.invalid.get(HASH_MISMATCH).copied().unwrap_or(0);
        page.counters(
            &catalog::REFUSED,
            refused
                .into_iter()
                .map(|(reason, count)| (vec![reason], count)),
        );
        for metric in catalog::of_protocol(self.protocol) {
            let series = if metric.name == catalog::HASH_MISMATCH.name {
                vec![(Some(("kind", HASH_MISMATCH)), mismatches)]
            } else {
                named.remove(metric.name).unwrap_or_default()
            };
            let values = series.into_iter().map(|(label, count)| {
                let value = label.map(|(_, value)| value.to_owned());
                (value.into_iter().collect(), count)
            });
            page.counters(metric, values);
        }
        for (name, series) in named {
            page.unknown(name, &series);
        }
    }
}

/// A counter's one label, if it has one, and its count.
type Series<'a> = (Option<(&'a str, &'a str)>, u64);

/// The registry of one scrape.
struct Page(Registry);

impl Page {
    fn add(&self, collector: impl Collector + 'static) {
        self.0
            .register(Box::new(collector))
            .expect(CATALOG_IS_VALID);
    }

    fn gauge(&self, metric: &Metric, value: f64) {
        self.gauges(metric, [(Vec::new(), value)]);
    }

    fn gauges(&self, metric: &Metric, values: impl IntoIterator<Item = (Vec<String>, f64)>) {
        let gauge = GaugeVec::new(Opts::new(metric.name, metric.help), metric.labels);
        let gauge = gauge.expect(CATALOG_IS_VALID);
        for (labels, value) in values {
            gauge.with_label_values(&labels).set(value);
        }
        self.add(gauge);
    }

    fn counters(&self, metric: &Metric, values: impl IntoIterator<Item = (Vec<String>, u64)>) {
        let counter = counter_vec(metric);
        if metric.labels.is_empty() {
            counter.with_label_values::<&str>(&[]);
        }
        for (labels, value) in values {
            counter.with_label_values(&labels).inc_by(value);
        }
        self.add(counter);
    }

    /// A counter that the catalog does not know is shown all the same, if its name can be.
    fn unknown(&self, name: &str, series: &[Series<'_>]) {
        let labels: Vec<&str> = series
            .iter()
            .filter_map(|(label, _)| Some(label.as_ref()?.0))
            .take(1)
            .collect();
        let opts = Opts::new(name, "A counter of the protocol.");
        let Ok(counter) = IntCounterVec::new(opts, &labels) else {
            return;
        };
        for (label, count) in series {
            let value: Vec<&str> = label.iter().map(|(_, value)| *value).collect();
            if let Ok(one) = counter.get_metric_with_label_values(&value) {
                one.inc_by(*count);
            }
        }
        let _ = self.0.register(Box::new(counter));
    }
}

/// `a_total{method="quorum"}` as name and label.
fn split(name: &str) -> (&str, Option<(&str, &str)>) {
    let parts = || {
        let (name, rest) = name.split_once('{')?;
        let (label, value) = rest.strip_suffix("\"}")?.split_once("=\"")?;
        Some((name, (label, value)))
    };
    match parts() {
        Some((name, label)) => (name, Some(label)),
        None => (name, None),
    }
}

fn one_if(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
