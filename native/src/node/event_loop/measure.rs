//! What the event loop counts, and what it holds, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phaselab_core::envelope::Refusal;
use phaselab_core::replica::Replica;
use phaselab_core::view::ViewScope;
use tokio::sync::mpsc;

use super::{Answer, Disk, EventLoop, Outside};
use crate::metrics::{Metrics, Sample};

/// A client that waits for its answers.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Where they go.
    pub(super) replies: mpsc::Sender<Answer>,
    /// Since when.
    pub(super) since: Instant,
}

/// Counts what only the event loop sees.
#[derive(Debug)]
pub(super) struct Meter {
    pub(super) metrics: Arc<Metrics>,
    /// Messages that the protocol refuses, by its reason: the replica counts them as one.
    invalid: BTreeMap<&'static str, u64>,
    /// Instances by phase, as they were counted last.
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    at: Instant,
    took: Duration,
    phases: BTreeMap<&'static str, u64>,
}

/// Instances are counted again only after this many times as long as it took: whoever scrapes has at most so small a
/// part of the event loop's time, however many instances there are.
const PAUSE: u32 = 100;

impl Meter {
    pub(super) fn new(metrics: Arc<Metrics>) -> Meter {
        Meter {
            metrics,
            invalid: BTreeMap::new(),
            counted: None,
        }
    }

    /// Instances by the name of their phase.
    fn phases(&mut self, replica: &dyn Replica) -> BTreeMap<&'static str, u64> {
        if let Some(counted) = &self.counted
            && counted.at.elapsed() < counted.took * PAUSE
        {
            return counted.phases.clone();
        }
        let began = Instant::now();
        let mut phases = BTreeMap::new();
        for instance in replica.view(ViewScope::Summary).instances {
            let phase = replica.spec().phases[usize::from(instance.phase)].name;
            *phases.entry(phase).or_default() += 1;
        }
        self.counted = Some(Counted {
            at: Instant::now(),
            took: began.elapsed(),
            phases: phases.clone(),
        });
        phases
    }

    /// Counts why a packet was refused, where the replica's own counter does not tell.
    pub(super) fn refused(&mut self, why: &Refusal) {
        if let Refusal::Invalid(reason) = why {
            *self.invalid.entry(reason).or_default() += 1;
        }
    }
}

impl<D: Disk, O: Outside> EventLoop<D, O> {
    /// What the node holds now.
    pub(super) fn sample(&mut self) -> Sample {
        let replica = self.replica.as_ref();
        let phases = self.meter.phases(replica);
        let counters = replica.counters().iter();
        let invalid = self.meter.invalid.iter();
        Sample {
            incarnation: replica.incarnation().0,
            counters: counters
                .map(|(name, count)| (name.to_string(), *count))
                .collect(),
            invalid: invalid
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            phases,
            peers: self.outside.peers(),
            held: self.held,
            clients: self.waiting.len(),
            chain: self.chain,
        }
    }
}
