//! Phaselab for JavaScript: the simulator, and live nodes over BroadcastChannel, in browsers and Node.js.
//!
//! Conversion only: what a run or a node does is core's business. The classes of the npm package are in `bindings`;
//! [`live`] is also what the page's workers run.

pub mod live;

#[cfg(all(target_arch = "wasm32", feature = "bindings"))]
pub mod bindings;
