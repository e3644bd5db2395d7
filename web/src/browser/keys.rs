//! The keyboard, where it is not used for typing or choosing.

use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};

use super::Listener;

/// Hears keys until it is dropped.
pub(crate) struct Keys {
    _listener: Listener,
}

impl Keys {
    /// Keys of text fields, lists and sliders, and those with Ctrl, Alt or Meta, are left to the browser.
    pub(crate) fn listen(heard: impl Fn(KeyboardEvent) + 'static) -> Keys {
        let listener = Listener::new("keydown", move |event| {
            let Ok(event) = event.dyn_into::<KeyboardEvent>() else { return };
            let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
            let tag = target.map(|target| target.tag_name()).unwrap_or_default();
            let is_typing = matches!(tag.as_str(), "INPUT" | "SELECT" | "TEXTAREA");
            if !is_typing && !event.ctrl_key() && !event.alt_key() && !event.meta_key() {
                heard(event);
            }
        });
        Keys { _listener: listener }
    }
}
