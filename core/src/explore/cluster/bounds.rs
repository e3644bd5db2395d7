//! How much of a cluster's behaviour is searched.

use core::fmt;

use serde::Serialize;

/// How much of a cluster's behaviour is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// Timers of rounds from this one on do not fire.
    pub rounds: u32,
    /// How often timers of rounds fire, all together; as often as they can with `None`. What a timer begins, such as a
    /// ballot, is bounded with it, whoever begins it.
    pub timeouts: Option<u8>,
    /// How often nodes crash, all together.
    pub crashes: u8,
    /// How often timers fire that belong to no round, such as the tick of anti-entropy, all together.
    pub housekeeping: u8,
    /// How often a node is asked again what it was asked before, all together.
    pub repeats: u8,
    /// Whether a request may arrive after messages did. Without it every node is asked at the very start.
    pub late_requests: bool,
    /// Whether a node goes on hearing of an instance that it decided. Without it a decided instance is at rest there,
    /// and how it came to its decision is forgotten; that decisions never change is then for smaller searches to show.
    pub beyond_decisions: bool,
    /// Whether what was said arrives at most once at a node. Replay windows see to it for each envelope; with this, what
    /// is said again in the same words does not arrive again either, and what a crash took is not said again.
    pub once: bool,
}

impl Bounds {
    /// Two rounds and a crash; nothing is resent, and what is decided is at rest.
    pub const DEFAULT: Bounds = Bounds {
        rounds: 2,
        timeouts: None,
        crashes: 1,
        housekeeping: 0,
        repeats: 0,
        late_requests: false,
        beyond_decisions: false,
        once: false,
    };
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds::DEFAULT
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rounds below {}, {} crashes, {} housekeeping timers, {} repeated requests",
            self.rounds, self.crashes, self.housekeeping, self.repeats
        )?;
        if let Some(timeouts) = self.timeouts {
            write!(f, ", {timeouts} timers of rounds")?;
        }
        if !self.late_requests {
            write!(f, ", requests come first")?;
        }
        if !self.beyond_decisions {
            write!(f, ", a decided instance is at rest")?;
        }
        if self.once {
            write!(f, ", a message arrives once")?;
        }
        Ok(())
    }
}
