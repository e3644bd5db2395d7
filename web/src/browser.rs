//! What browsers offer: the address, frames, keys, locks, IndexedDB and workers, each wrapped as thinly as it goes.

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Event, EventTarget, Window};

pub(crate) mod checker;
pub(crate) mod files;
pub(crate) mod frames;
pub(crate) mod handover;
pub(crate) mod idb;
pub(crate) mod keys;
pub(crate) mod locks;
pub(crate) mod reels;
pub(crate) mod room;
pub(crate) mod stores;
pub(crate) mod worker;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// Milliseconds since the page was opened.
pub(crate) fn page_time_ms() -> f64 {
    performance_now()
}

fn window() -> Option<Window> {
    web_sys::window()
}

/// The part of the address after `#`.
pub(crate) fn hash() -> String {
    window()
        .and_then(|window| window.location().hash().ok())
        .unwrap_or_default()
}

/// The address without the part after `#`.
pub(crate) fn address_without_hash() -> String {
    let address = window().and_then(|window| window.location().href().ok());
    let mut address = address.unwrap_or_default();
    address.truncate(address.find('#').unwrap_or(address.len()));
    address
}

/// The address's path.
pub(crate) fn path() -> String {
    window()
        .and_then(|window| window.location().pathname().ok())
        .unwrap_or_default()
}

/// Changes the part of the address after `#`; the page hears of it as of a link.
pub(crate) fn set_hash(hash: &str) {
    if let Some(window) = window() {
        // A browser that refuses leaves the page as it is.
        let _set = window.location().set_hash(hash);
    }
}

/// The same, without a step in the history, and without anybody being told.
pub(crate) fn replace_hash(hash: &str) {
    let history = window().and_then(|window| window.history().ok());
    if let Some(history) = history {
        // A browser that refuses leaves the address as it is.
        let _set = history.replace_state_with_url(&JsValue::NULL, "", Some(hash));
    }
}

/// Lets `index.html` load the program of the address and start it in the place of this one; whether it could.
pub(crate) async fn start_program() -> bool {
    let start = window().and_then(|window| Reflect::get(&window, &"phaselabStart".into()).ok());
    let start = start.and_then(|start| start.dyn_into::<Function>().ok());
    let started = start.and_then(|start| start.call0(&JsValue::NULL).ok());
    match started.and_then(|started| started.dyn_into::<Promise>().ok()) {
        Some(started) => JsFuture::from(started).await.is_ok(),
        None => false,
    }
}

/// Loads the page again, with the program of its new address.
pub(crate) fn load_anew() {
    if let Some(window) = window() {
        // A browser that refuses leaves the page as it is.
        let _reloaded = window.location().reload();
    }
}

/// A parameter of the address: `?name=value`.
pub(crate) fn query_parameter(name: &str) -> Option<String> {
    let search = window()?.location().search().ok()?;
    web_sys::UrlSearchParams::new_with_str(&search)
        .ok()?
        .get(name)
}

/// Whether the person asked for little motion.
pub(crate) fn wants_little_motion() -> bool {
    let query = window().and_then(|window| {
        window
            .match_media("(prefers-reduced-motion: reduce)")
            .ok()
            .flatten()
    });
    query.is_some_and(|query| query.matches())
}

/// Whether the poster's Play was pressed before this program had arrived.
pub(crate) fn take_autoplay() -> bool {
    let Some(window) = window() else { return false };
    let (name, global): (JsValue, JsValue) = ("phaselabPlay".into(), window.into());
    let pressed = js_sys::Reflect::get(&global, &name).is_ok_and(|value| value.is_truthy());
    // Pressed once, played once.
    let _cleared = js_sys::Reflect::set(&global, &name, &JsValue::FALSE);
    pressed
}

/// Listens on the window or the document until it is dropped.
pub(crate) struct Listener {
    target: Option<EventTarget>,
    kind: &'static str,
    closure: Closure<dyn FnMut(Event)>,
}

impl Listener {
    pub(crate) fn new(kind: &'static str, heard: impl FnMut(Event) + 'static) -> Listener {
        Listener::of(window().map(EventTarget::from), kind, heard)
    }

    /// On the document, which alone hears that its tab is frozen and wakes up.
    pub(crate) fn on_document(kind: &'static str, heard: impl FnMut(Event) + 'static) -> Listener {
        let document = window().and_then(|window| window.document());
        Listener::of(document.map(EventTarget::from), kind, heard)
    }

    fn of(
        target: Option<EventTarget>,
        kind: &'static str,
        heard: impl FnMut(Event) + 'static,
    ) -> Listener {
        let closure = Closure::new(heard);
        if let Some(target) = &target {
            // It takes listeners of any kind.
            let _added =
                target.add_event_listener_with_callback(kind, closure.as_ref().unchecked_ref());
        }
        Listener {
            target,
            kind,
            closure,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(target) = &self.target {
            let callback = self.closure.as_ref().unchecked_ref();
            let _removed = target.remove_event_listener_with_callback(self.kind, callback);
        }
    }
}

/// Hears of changes of the part after `#`.
pub(crate) struct HashListener {
    _listener: Listener,
}

impl HashListener {
    pub(crate) fn new(mut heard: impl FnMut() + 'static) -> HashListener {
        HashListener {
            _listener: Listener::new("hashchange", move |_| heard()),
        }
    }
}

/// Random bytes from the browser; it has them also where an origin is not secure.
pub(crate) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Every browser that runs wasm has `crypto.getRandomValues`: without it keys must not be made.
    getrandom::fill(&mut bytes).expect_throw("the browser has no random numbers");
    bytes
}

/// The attribute of the page, and the name under which browsers keep it, that says that the page is shown to a class.
const PRESENTER: &str = "data-presenter";

/// Whether the page is shown to a class.
pub(crate) fn presenter() -> bool {
    let kept = storage().and_then(|storage| storage.get_item(PRESENTER).ok().flatten());
    kept.is_some() || page_root().is_some_and(|root| root.has_attribute(PRESENTER))
}

/// Shows the page to a class, or not; kept for the next visit where the browser keeps anything.
pub(crate) fn set_presenter(is_on: bool) {
    if let Some(root) = page_root() {
        // The name is one.
        let _set = root.toggle_attribute_with_force(PRESENTER, is_on);
    }
    if let Some(storage) = storage() {
        // A browser that keeps nothing has the attribute.
        let _kept = match is_on {
            true => storage.set_item(PRESENTER, ""),
            false => storage.remove_item(PRESENTER),
        };
    }
}

fn page_root() -> Option<web_sys::Element> {
    window()?.document()?.document_element()
}

fn storage() -> Option<web_sys::Storage> {
    window()?.local_storage().ok().flatten()
}
