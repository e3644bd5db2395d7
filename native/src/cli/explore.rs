//! A search on all cores, under a memory limit, that can be saved and gone on with.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use phaselab_core::explore::{Limits, Model, Outcome, Progress, Saved, Search};
use rayon::prelude::*;

use crate::failure::{Failure, io_words, write_file};

/// How a search is driven.
pub(crate) struct Drive<'a> {
    pub(crate) limits: Limits,
    pub(crate) memory_mb: u64,
    pub(crate) until: Option<Instant>,
    pub(crate) resume: Option<&'a Path>,
    pub(crate) save: Option<&'a Path>,
}

/// Why a search stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The process holds more than this.
    Memory(u64),
    /// Its time was over.
    Time,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Memory(mb) => write!(f, "stopped at {mb} MB (--memory-mb)"),
            Stopped::Time => write!(f, "stopped when its time was over (--minutes)"),
        }
    }
}

/// How a search ended.
pub(crate) struct Ended<M: Model> {
    pub(crate) found: Outcome<M::Action>,
    pub(crate) stopped: Option<Stopped>,
    pub(crate) model: M,
}

/// States that are expanded before their successors are taken in: enough to keep cores busy.
const CHUNK: usize = 8_192;

const TELL_EVERY: Duration = Duration::from_millis(250);

impl Drive<'_> {
    /// Searches to the end, or to a limit; `tell` hears how far it is, and states generated per second.
    pub(crate) fn run<M: Model>(
        &self,
        model: M,
        mut tell: impl FnMut(Progress, u64),
    ) -> Result<Ended<M>, Failure> {
        let mut search = match self.resume {
            None => Search::new(model, self.limits),
            Some(path) => {
                let bytes = std::fs::read(path)
                    .map_err(|error| Failure::in_file(path, io_words(&error)))?;
                Saved::from_bytes(&bytes)
                    .and_then(|saved| Search::restore(model, self.limits, &saved))
                    .map_err(|what| Failure::in_file(path, what))?
            }
        };
        let started = Instant::now();
        let before = search.progress().generated;
        let mut told = started;
        let mut stopped = None;
        while !search.is_over() && stopped.is_none() {
            let (first, chunk) = search.chunk(CHUNK);
            let expanded: Vec<_> = chunk
                .par_iter()
                .enumerate()
                .with_min_len(32)
                .map_init(Vec::new, |actions, (index, state)| {
                    search.expand(first + index as u32, state, actions)
                })
                .collect();
            search.absorb(expanded);
            let now = Instant::now();
            if now - told >= TELL_EVERY {
                told = now;
                let progress = search.progress();
                let seconds = (now - started).as_secs_f64();
                tell(
                    progress,
                    ((progress.generated - before) as f64 / seconds) as u64,
                );
                if resident_mb().is_some_and(|mb| mb >= self.memory_mb) {
                    stopped = Some(Stopped::Memory(self.memory_mb));
                }
            }
            if self.until.is_some_and(|until| now >= until) && !search.is_over() {
                stopped = Some(Stopped::Time);
            }
        }
        let found = search.outcome();
        if let Some(path) = self.save
            && !found.complete
            && found.violation.is_none()
        {
            let saved = search.save().ok_or_else(|| {
                Failure::Input("--save: a search for what happens at last is not saved".to_owned())
            })?;
            write_file(path, saved.to_bytes())?;
        }
        Ok(Ended {
            found,
            stopped,
            model: search.into_model(),
        })
    }
}

/// What this process holds in memory, in megabytes, where the system tells.
pub(crate) fn resident_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1_000)
}
