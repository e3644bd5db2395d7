//! The classes and functions that JavaScript sees. Nothing here panics on what it is given: it throws a readable `Error`.

pub mod checker;
mod convert;
pub mod export;
pub mod node;
pub mod room;
pub mod scenarios;
pub mod simulation;
mod types;
