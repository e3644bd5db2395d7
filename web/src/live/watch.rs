//! What nodes tell observers on the lossy channel: core's, for workers and processes alike.

pub use phaselab_core::watch::{NodeReport, WatchFrame, WatchedEvent};
