//! A node's disk: what is durable, what is on its way, and what is lost with a crash.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::log::CauseId;
use crate::replica::{Output, Released};
use crate::store::{Durable, META, Rows};

/// A disk that takes writes in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    rows: Rows,
    /// Outputs whose writes are on their way, and those without writes that wait behind them.
    waiting: VecDeque<(Output, Option<CauseId>)>,
    durable: Option<Durable>,
    failing: bool,
    lost: bool,
    draws: u64,
}

impl Disk {
    /// A disk that holds these rows.
    pub(super) fn with(rows: Rows) -> Disk {
        Disk {
            rows,
            ..Disk::default()
        }
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The rows, if nothing is in flight: what a crash right now would leave.
    pub(super) fn settled(&self) -> Option<&Rows> {
        self.waiting.is_empty().then_some(&self.rows)
    }

    /// Takes an output. With `later`, its writes are durable only at the next [`Disk::persist_next`].
    pub(super) fn push(
        &mut self,
        output: Output,
        cause: Option<CauseId>,
        later: bool,
    ) -> Vec<(Released, Option<CauseId>)> {
        if later || !self.waiting.is_empty() {
            self.waiting.push_back((output, cause));
            return Vec::new();
        }
        alloc::vec![(self.persist(output), cause)]
    }

    /// Makes the oldest write in flight durable; returns what may leave, in order.
    pub(super) fn persist_next(&mut self) -> Vec<(Released, Option<CauseId>)> {
        let mut released = Vec::new();
        if let Some((output, cause)) = self.waiting.pop_front() {
            released.push((self.persist(output), cause));
        }
        while self
            .waiting
            .front()
            .is_some_and(|(output, _)| output.writes.is_empty())
        {
            let (output, cause) = self.waiting.pop_front().expect("there is a front");
            released.push((self.persist(output), cause));
        }
        released
    }

    /// Makes the writes up to a batch durable; returns what may leave, in order.
    pub(super) fn persist_to(&mut self, batch: u64) -> Vec<(Released, Option<CauseId>)> {
        let mut released = Vec::new();
        while let Some((output, cause)) = self.waiting.pop_front_if(|(output, _)| {
            output.writes.is_empty() || output.writes.durable().number() <= batch
        }) {
            released.push((self.persist(output), cause));
        }
        released
    }

    /// Makes everything in flight durable and drops what it would have released.
    pub(super) fn flush(&mut self) {
        while let Some((output, _)) = self.waiting.pop_front() {
            self.persist(output);
        }
    }

    fn persist(&mut self, output: Output) -> Released {
        if !output.writes.is_empty() {
            self.rows.apply(&output.writes);
            self.durable = Some(output.writes.durable());
        }
        let durable = self
            .durable
            .expect("a life's first step writes its incarnation");
        output.after_persist(&durable)
    }

    /// The node stops: writes in flight are gone.
    pub(super) fn crash(&mut self) {
        self.waiting.clear();
        self.durable = None;
    }

    /// Writes fail from now on.
    pub(super) fn fail(&mut self) {
        self.failing = true;
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Writes work again.
    pub(super) fn repair(&mut self) {
        self.failing = false;
    }

    /// Everything is gone, the key too: this member never comes back.
    pub(super) fn lose(&mut self) {
        *self = Disk {
            lost: true,
            ..Disk::default()
        };
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Forgets every table but the replica's own: votes are gone, key and incarnation are not.
    pub(super) fn forget_votes(&mut self) {
        let tables: Vec<_> = self.rows.tables().filter(|table| *table != META).collect();
        for table in tables {
            self.rows.clear_table(table);
        }
    }

    pub(super) fn next_draw(&mut self) -> u64 {
        self.draws += 1;
        self.draws
    }
}
