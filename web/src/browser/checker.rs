//! The thread of the checker, the museum and the exports: a program of its own, fetched when it is first asked for.

use js_sys::{Array, Uint8Array};
use phaselab_core::codec;
use phaselab_core::scenario::Scenario;
use phaselab_wasm::live::wire::{field, message};
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

/// The worker's script, beside index.html.
const WORKER: &str = "./checker.js";

/// What it is asked, and what answers; terminated when it is dropped.
pub(crate) struct Asked {
    worker: Worker,
    _on_message: Closure<dyn FnMut(JsValue)>,
}

impl Asked {
    /// Starts the thread with an order. Answers are objects whose `kind` says what they are; `failed` has a `text`.
    pub(crate) fn start(
        order: &JsValue,
        mut heard: impl FnMut(Answer) + 'static,
    ) -> Result<Asked, String> {
        let failed = |error: JsValue| message(&error);
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(WORKER, &options).map_err(failed)?;
        // Errors come here too: they have no data.
        let on_message = Closure::new(move |event: JsValue| {
            let data = event.dyn_ref::<MessageEvent>().map(MessageEvent::data);
            heard(Answer(data.unwrap_or_default()));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_message.as_ref().unchecked_ref()));
        worker.post_message(order).map_err(failed)?;
        Ok(Asked {
            worker,
            _on_message: on_message,
        })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

/// What the thread says.
pub(crate) struct Answer(JsValue);

impl Answer {
    /// Text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        field(&self.0, name).as_string().unwrap_or_default()
    }

    /// A number; 0 where there is none.
    pub(crate) fn number(&self, name: &str) -> f64 {
        field(&self.0, name).as_f64().unwrap_or_default()
    }

    /// Whether something is so.
    pub(crate) fn is(&self, name: &str) -> bool {
        field(&self.0, name).is_truthy()
    }

    /// Answers within this one.
    pub(crate) fn list(&self, name: &str) -> Vec<Answer> {
        let list = field(&self.0, name).dyn_into::<Array>();
        list.map_or_else(|_| Vec::new(), |list| list.iter().map(Answer).collect())
    }

    /// Itself as text.
    pub(crate) fn line(&self) -> String {
        self.0.as_string().unwrap_or_default()
    }

    /// Bytes.
    pub(crate) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let bytes = field(&self.0, name).dyn_into::<Uint8Array>().ok()?;
        Some(bytes.to_vec())
    }

    /// A scenario in core's encoding.
    pub(crate) fn scenario(&self, name: &str) -> Option<Scenario> {
        codec::decode(&self.bytes(name)?).ok()
    }
}
