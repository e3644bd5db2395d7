//! What index.html and worker.js call. Two entries, so that a worker does not start the page.

use wasm_bindgen::prelude::*;

/// Replaces the poster by the page.
#[wasm_bindgen]
pub fn start_page() {
    crate::page::mount();
}

/// Takes the page away, for another program to start.
#[wasm_bindgen]
pub fn stop_page() {
    crate::page::unmount();
}

/// Runs a node or the chain of a live room in this worker, as the page orders.
#[cfg(feature = "live")]
#[wasm_bindgen]
pub fn worker_main(order: JsValue) {
    crate::browser::worker::obey(order);
}
