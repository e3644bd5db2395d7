//! What the tests of the whole share: a cluster that reads like a scenario, and sketches of other protocols.

pub mod cluster;
pub mod drawn;
pub mod fixture;
pub mod machine;
pub mod recorded;
pub mod sketch;
pub mod workload;

pub use cluster::Cluster;
