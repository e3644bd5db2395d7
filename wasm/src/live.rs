//! A live cluster among tabs and workers of one origin: nodes, and the world outside, over BroadcastChannels.
//!
//! ```text
//! phaselab/<room>          { to: number[], bytes: Uint8Array }     sealed packets between nodes; `to` empty means all
//! phaselab/<room>/client   submit, reply                           requests of clients, answers of nodes
//! phaselab/<room>/chain    hello, report, taken, fact, here        nodes and the one actor that is the world outside
//! phaselab/<room>/faults   hello, state                            what is broken on purpose, for tabs and nodes alike
//! phaselab/<room>/watch    whatever the page shows                 lossy; no node listens
//! ```
//!
//! A BroadcastChannel does not deliver to the object that posts, is best effort, and tells nobody who posted. Packets
//! are signed, so that whatever else arrives on the first channel is counted as refused. Requests and chain messages
//! are not: whoever runs script on this origin holds the keys anyway.
//!
//! In a hybrid cluster packets and what concerns the chain go through the gateway instead (`gateway`), and only clients
//! and watchers of the node's own tab are on channels.
//!
//! [`host`], [`chain`], [`faults`] and [`tape`] are the plain halves, tested natively; [`node`] and [`keeper`] add channels, timers and a
//! store.

pub mod chain;
pub mod faults;
pub mod host;
pub mod room;
pub mod tape;

#[cfg(target_arch = "wasm32")]
pub mod clock;
#[cfg(target_arch = "wasm32")]
pub mod gateway;
#[cfg(target_arch = "wasm32")]
pub mod keeper;
#[cfg(target_arch = "wasm32")]
pub mod node;
#[cfg(target_arch = "wasm32")]
pub mod store;
#[cfg(target_arch = "wasm32")]
pub mod wire;
