//! Phased consensus protocols as deterministic state machines, and the simulator that runs them.
//!
//! ```text
//!             scenario (TOML)                    live: clock, sockets, stores
//!                  |                                        |
//!                  v                                        v
//!  bytes -> envelope -> replica::Node<P> -> Protocol::handle(&mut self, cx, Input) -> effects
//!                             |                                                         |
//!                             |          Output { writes, held }  <---------------------+
//!                             v                   |
//!                     store (tables)  --Durable-->|--> Released { sends, replies, reports, records, events }
//!                                                          |         |        |         |        |
//!                                                       network   clients  environment oracle  observers
//! ```
//!
//! `no_std` with `alloc`; no I/O, no clock, no thread, no float in a decision, no `HashMap`, no global. The same scenario
//! and seed give the same trace hash natively, in Node.js and in a browser.

#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod certificate;
pub mod client;
pub mod codec;
pub mod crypto;
pub mod engine;
pub mod entropy;
pub mod envelope;
pub mod environment;
pub mod event;
pub mod explore;
pub mod export;
pub mod faults;
pub mod flaw;
pub mod gateway;
pub mod history;
pub mod ledger;
pub mod link;
pub mod museum;
pub mod narrate;
pub mod oracle;
pub mod ordered;
pub mod paxos;
pub mod protocol;
pub mod quorum;
pub mod recording;
pub mod replica;
pub mod retry;
pub mod rounds;
pub mod scenario;
pub mod shards;
pub mod sim;
pub mod snow;
pub mod store;
pub mod trace;
pub mod types;
pub mod view;
pub mod votes;
pub mod watch;
pub mod why;
