//! Animation frames, one at a time, only while somebody asks.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;

/// Calls back once per request, before the next frame is drawn.
pub(crate) struct Frames {
    callback: Closure<dyn FnMut(f64)>,
    pending: Rc<Cell<Option<i32>>>,
}

impl Frames {
    /// `on_frame` is told the time in milliseconds.
    pub(crate) fn new(on_frame: impl Fn(f64) + 'static) -> Frames {
        let pending = Rc::new(Cell::new(None));
        let cleared = pending.clone();
        let callback = Closure::new(move |ms: f64| {
            cleared.set(None);
            on_frame(ms);
        });
        Frames { callback, pending }
    }

    /// Asks for a frame; asking twice gives one.
    pub(crate) fn request(&self) {
        if self.pending.get().is_some() {
            return;
        }
        let window = web_sys::window();
        let request = window.and_then(|window| {
            window
                .request_animation_frame(self.callback.as_ref().unchecked_ref())
                .ok()
        });
        self.pending.set(request);
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let (Some(window), Some(request)) = (web_sys::window(), self.pending.get()) {
            // A frame that was already drawn cannot be cancelled, and need not be.
            let _cancelled = window.cancel_animation_frame(request);
        }
    }
}
