//! The page: a simulated run drawn phase by phase, and a live room whose nodes run in tabs.
//!
//! ```text
//! core: Timeline ----> session::Session ----\
//!                                            scene::Scene ----> page: components that only draw
//! workers, channels -> live::RoomState -----/
//! ```
//!
//! What is shown, and why, is plain Rust and tested without a browser; `page` draws it, `browser` is what browsers offer.

// Each program leaves out what only another one draws.
#![cfg_attr(
    not(all(feature = "workbench", feature = "museum", feature = "live")),
    allow(dead_code)
)]

pub mod announcer;
pub mod axis;
pub mod builtin;
#[cfg(feature = "snowball")]
pub mod crowd;
pub mod few;
pub mod history;
pub mod keymap;
pub mod listing;
pub mod live;
pub mod look;
pub mod picture;
pub mod playing;
pub mod route;
pub mod scene;
pub mod session;
pub mod spacetime;
pub mod split;

/// Whether this program is the workbench. The one of a first visit only shows runs, so that it is small; what somebody
/// wants to do to a run it leaves to the workbench, which goes on from there.
pub const WORKBENCH: bool = cfg!(feature = "workbench");

#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
pub mod entry;
#[cfg(target_arch = "wasm32")]
mod page;
