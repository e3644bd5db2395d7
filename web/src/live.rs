//! Live mode without a browser: which tab runs which node, what observers know, and what was submitted.

pub mod deeds;
pub mod observatory;
pub mod placement;
pub mod room_state;
pub mod sleep;
pub mod submissions;
pub mod watch;
