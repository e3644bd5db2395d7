//! Outputs of many steps on their way to one disk.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Output, Released};
use crate::store::{Durable, WriteBatch};

/// Outputs in order, and the writes that they wait for: the part of a shell that is easy to get wrong.
///
/// A shell pushes every output, takes the merged batch whenever its store is idle, and hands back the proof; what comes
/// out may leave. The node goes on handling input meanwhile.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Output>,
    batch: Option<WriteBatch>,
    durable: Option<Durable>,
    commits: GroupCommits,
}

/// How well steps share commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCommits {
    /// Batches that were taken to be committed.
    pub commits: u64,
    /// Steps that wrote; those of a batch share its commit.
    pub steps: u64,
}

/// The most writes that are merged into one commit.
pub const GROUP_COMMIT_WRITES_MAX: usize = 4096;

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Adds a step's output; returns what may leave at once, which is something only when no write is waiting.
    pub fn push(&mut self, mut output: Output) -> Option<Released> {
        if !output.writes.is_empty() {
            let writes = output.writes.clone();
            self.commits.steps += 1;
            match &mut self.batch {
                Some(batch) => batch.merge(writes),
                None => self.batch = Some(writes),
            }
        }
        match &self.durable {
            Some(durable) if self.waiting.is_empty() && output.may_leave(durable) => {
                Some(output.after_persist(durable))
            }
            _ => {
                output.writes.forget_writes();
                self.waiting.push_back(output);
                None
            }
        }
    }

    /// The writes to commit next, merged; the caller commits them in one transaction.
    pub fn take_batch(&mut self) -> Option<WriteBatch> {
        let batch = self.batch.take();
        self.commits.commits += u64::from(batch.is_some());
        batch
    }

    /// How many steps wrote so far, and how many commits they made.
    pub fn group_commits(&self) -> GroupCommits {
        self.commits
    }

    /// Whether the next batch is at its limit, so that the shell should commit before it handles more input.
    pub fn is_full(&self) -> bool {
        self.batch
            .as_ref()
            .is_some_and(|batch| batch.writes().len() >= GROUP_COMMIT_WRITES_MAX)
    }

    /// Notes that a batch is durable; returns what may leave now, in order.
    pub fn durable(&mut self, durable: Durable) -> Vec<Released> {
        self.durable = Some(durable);
        let ready = self
            .waiting
            .iter()
            .take_while(|output| output.may_leave(&durable))
            .count();
        self.waiting
            .drain(..ready)
            .map(|output| output.after_persist(&durable))
            .collect()
    }
}
