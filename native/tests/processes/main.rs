//! Real processes: nodes that decide over a real network, are killed and come back; and wrong input of all kinds.

#![cfg(unix)]
// All of this is test; clippy knows only the functions that are.
#![allow(clippy::unwrap_used)]

mod chaos;
mod cluster;
mod commands;
mod deciding;
mod explore;
mod exposition;
mod founding;
mod gateway;
mod hosts;
mod observing;
mod operation;
mod recording;
mod sharded;
mod snowball;
mod storage;
mod strangers;
mod support;
mod tui;
