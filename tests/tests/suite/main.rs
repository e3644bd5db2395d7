//! What crosses modules: golden runs and bytes, properties, swarms, liars, and the proof that each check can fail.

mod arbitrary;
mod broken;
mod codec;
mod coverage;
mod determinism;
mod explorer;
mod export;
mod faulty;
mod flaws;
mod golden;
mod golden_bytes;
mod golden_runs;
mod ledger;
mod limits;
mod link;
mod museum;
mod quorum;
mod recording;
mod rounds;
mod sharded;
mod sharded_written;
mod signatures;
mod sketches;
mod swarm;
mod why;
mod window;
