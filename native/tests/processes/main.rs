//! Real processes: nodes that decide over a real network, are killed and come back; and wrong input of all kinds.

#![cfg(unix)]
// All of this is test; clippy knows only the functions that are.
#![allow(clippy::unwrap_used)]

mod commands;
mod deciding;
mod explore;
mod strangers;
mod support;
