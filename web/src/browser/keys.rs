//! The keyboard, where it is not used for typing or choosing.
//!
//! Whether a key means something is decided while the browser waits for the answer; what it does may come later.

use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};

use super::Listener;
use crate::keymap::{self, Meaning};

/// A key that was pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name, as browsers give it.
    pub(crate) name: String,
    pub(crate) shift: bool,
    /// Whether a button or link has the focus, which has its own use for the space bar.
    pub(crate) on_button: bool,
}

impl Key {
    /// What it means on a stage.
    pub(crate) fn meaning(&self, stage: u8) -> Option<Meaning> {
        keymap::meaning(stage, &self.name, self.shift, self.on_button)
    }
}

/// Hears keys until it is dropped.
pub(crate) struct Keys {
    _listener: Listener,
}

impl Keys {
    /// `heard` says whether the key meant something; then the browser does nothing with it. Keys of text fields, lists
    /// and sliders, and those with Ctrl, Alt or Meta, are left to the browser.
    pub(crate) fn listen(heard: impl Fn(Key) -> bool + 'static) -> Keys {
        let listener = Listener::new("keydown", move |event| {
            let Ok(event) = event.dyn_into::<KeyboardEvent>() else {
                return;
            };
            let target = event
                .target()
                .and_then(|target| target.dyn_into::<Element>().ok());
            // A dialog has keys of its own.
            let is_dialog = target
                .as_ref()
                .is_some_and(|target| matches!(target.closest("dialog"), Ok(Some(_))));
            // A slider has a use for arrows and the like, not for letters and the space bar.
            let is_slider = target
                .as_ref()
                .is_some_and(|target| target.get_attribute("type").as_deref() == Some("range"));
            let tag = target.map(|target| target.tag_name()).unwrap_or_default();
            let is_escape = event.key() == "Escape" && (is_slider || tag == "SELECT");
            let is_free = is_escape || is_slider && event.key().len() == 1;
            let is_typing = matches!(tag.as_str(), "INPUT" | "SELECT" | "TEXTAREA") && !is_free;
            if is_typing || is_dialog || event.ctrl_key() || event.alt_key() || event.meta_key() {
                return;
            }
            let on_button = matches!(tag.as_str(), "BUTTON" | "A");
            if heard(Key {
                name: event.key(),
                shift: event.shift_key(),
                on_button,
            }) {
                event.prevent_default();
            }
        });
        Keys {
            _listener: listener,
        }
    }
}
