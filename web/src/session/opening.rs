//! Opening files: a trace is a scenario; recordings of live nodes run again, slice by slice, and become one run.

use std::sync::Arc;

use phaselab_core::recording::{self, Recording, Rerun, Script, compare_stores};
use phaselab_core::sim::Sim;
use phaselab_core::trace::Trace;

use super::Session;

/// The most bytes that are opened at once.
pub const OPEN_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Recordings on their way to be a run.
pub struct Opening {
    reruns: Vec<Rerun>,
    /// The first that is not at its end.
    at: usize,
}

/// What came of it.
pub struct Opened {
    /// The run.
    pub session: Session,
    /// In a sentence: what it is, and whether it came the same.
    pub note: String,
    /// Whether a recorded node did something else than its recording says.
    pub differs: bool,
}

/// What stands in files.
pub enum Files {
    /// A run, at once.
    Run(Box<Opened>),
    /// Lives, which must run again first.
    Lives(Opening),
}

impl Files {
    /// Reads files, each with its name.
    ///
    /// # Errors
    /// A sentence: which file, and what is wrong with it.
    pub fn read(files: &[(String, Vec<u8>)]) -> Result<Files, String> {
        let wrong = |name: &str, why: &dyn std::fmt::Display| format!("{name}: {why}");
        if let [(name, bytes)] = files
            && !recording::is_recording(bytes)
        {
            let trace = Trace::from_bytes(bytes).map_err(|error| wrong(name, &error))?;
            let session = Session::replay(&trace)?;
            let note = format!("The run of {name}, with what was done to it by hand.");
            return Ok(Files::Run(Box::new(Opened {
                session,
                note,
                differs: false,
            })));
        }
        let mut lives: Vec<Recording> = Vec::new();
        for (name, bytes) in files {
            match recording::read(bytes) {
                Ok(read) => lives.extend(read),
                // A node that was killed before it began leaves this; among others it says nothing.
                Err(recording::RecordingError::Empty) if files.len() > 1 => {}
                Err(error) => return Err(wrong(name, &error)),
            }
        }
        if lives.is_empty() {
            return Err("Nothing was recorded in these files.".to_owned());
        }
        let reruns = lives.into_iter().map(Arc::new).map(Rerun::begin).collect();
        Ok(Files::Lives(Opening { reruns, at: 0 }))
    }
}

impl Opening {
    /// How much ran again, in percent.
    pub fn percent(&self) -> usize {
        let sum = |(done, all): (usize, usize), rerun: &Rerun| {
            let (more, of) = rerun.progress();
            (done + more, all + of)
        };
        let (done, all) = self.reruns.iter().fold((0, 0), sum);
        done * 100 / all.max(1)
    }

    /// Goes on for as long as `has_time` says so; gives the run once all lives are at their ends.
    pub fn work(&mut self, has_time: &mut dyn FnMut() -> bool) -> Option<Result<Opened, String>> {
        while let Some(rerun) = self.reruns.get_mut(self.at) {
            if !rerun.step() {
                self.at += 1;
            }
            if !has_time() {
                return None;
            }
        }
        compare_stores(&mut self.reruns);
        Some(self.finish())
    }

    fn finish(&self) -> Result<Opened, String> {
        let script = Script::new(&self.reruns).map_err(|error| error.to_string())?;
        let script = Arc::new(script);
        let run = || Sim::live(&script).map_err(|error| error.to_string());
        let session = Session::of(run()?, run()?);
        let mut differing = self.reruns.iter().filter_map(|rerun| {
            let head = &rerun.life.head;
            let difference = rerun.difference.as_ref()?;
            let (node, life) = (head.node.0, head.incarnation.0);
            Some(format!("node {node}, life {life}: {difference}"))
        });
        let first = differing.next();
        let lives = match self.reruns.len() {
            1 => "One recorded life".to_owned(),
            many => format!("{many} recorded lives"),
        };
        let came = match (&first, self.reruns.len()) {
            (Some(difference), _) => format!("and it is not the same run: {difference}"),
            (None, 1) => "which came the same".to_owned(),
            (None, _) => "which all came the same".to_owned(),
        };
        let gaps = match script.has_gaps {
            true => " Part of what the nodes did is not recorded.",
            false => "",
        };
        Ok(Opened {
            session,
            note: format!(
                "{lives} of {}, {came}.{gaps} This happened: nothing can be done to it.",
                script.scenario.name
            ),
            differs: first.is_some(),
        })
    }
}

#[cfg(test)]
mod tests;
