//! Time since a room was made, for live nodes: monotonic within a life, comparable between threads of one machine.

use phaselab_core::types::Time;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// A clock that starts at the room's creation.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Milliseconds from the room's creation to the origin of `performance.now`.
    offset_ms: f64,
}

impl Clock {
    /// The clock of a room that was made at `created_ms` since 1970.
    pub fn since(created_ms: u64) -> Clock {
        // The wall clock is read once: if it is set back later, time in this life still never goes back.
        let elapsed = (js_sys::Date::now() - created_ms as f64).max(0.0);
        Clock {
            offset_ms: elapsed - performance_now(),
        }
    }

    /// Now.
    pub fn now(&self) -> Time {
        Time(((self.offset_ms + performance_now()).max(0.0) * 1e6) as u64)
    }

    /// Whole milliseconds from now until `deadline`, rounded up, as timers take them.
    pub fn until_ms(&self, deadline: Time) -> u32 {
        let nanos = deadline.since(self.now()).0;
        nanos.div_ceil(1_000_000).min(TIMEOUT_MS_MAX) as u32
    }
}

/// The longest timeout that `setTimeout` takes; a later deadline is looked at again then.
const TIMEOUT_MS_MAX: u64 = 0x7fff_ffff;
