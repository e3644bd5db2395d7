//! Web Locks: who runs what. Held until released, or until the tab is gone, whatever became of it.
//!
//! web-sys has them behind a compiler flag; these bindings need none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Function, Promise};
use phaselab_wasm::live::wire::{field, object};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortController;

#[wasm_bindgen]
extern "C" {
    type LockManager;

    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &JsValue,
        callback: &JsValue,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn query(this: &LockManager) -> Result<Promise, JsValue>;
}

/// The locks of this origin.
#[derive(Clone)]
pub(crate) struct Locks {
    manager: Rc<LockManager>,
    abort: Rc<AbortController>,
}

/// A lock that this page holds.
pub(crate) struct HeldLock {
    release: Function,
}

impl HeldLock {
    /// Lets the next in the queue have it.
    pub(crate) fn release(self) {}
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        // Resolves the promise that holds it; that cannot fail.
        let _released = self.release.call0(&JsValue::UNDEFINED);
    }
}

impl Locks {
    /// `None` where the origin is not secure.
    pub(crate) fn open() -> Option<Locks> {
        let manager = field(&field(&js_sys::global(), "navigator"), "locks");
        if !manager.is_object() {
            return None;
        }
        let abort = Rc::new(AbortController::new().ok()?);
        Some(Locks {
            manager: Rc::new(manager.unchecked_into()),
            abort,
        })
    }

    /// Waits for a lock; `None` once the queue was left.
    pub(crate) async fn acquire(&self, name: &str) -> Option<HeldLock> {
        self.acquire_until(name, || {}).await
    }

    /// Waits for a lock, and hears if it is taken away again.
    pub(crate) async fn acquire_until(
        &self,
        name: &str,
        on_loss: impl Fn() + 'static,
    ) -> Option<HeldLock> {
        let held: Rc<RefCell<Option<Function>>> = Rc::default();
        let (is_held, on_loss) = (Rc::new(Cell::new(false)), Rc::new(on_loss));
        let options = object(&[("signal", &self.abort.signal())]);
        let granted = Promise::new(&mut |granted, refused| {
            let (held, is_granted) = (held.clone(), is_held.clone());
            let on_grant = Closure::once_into_js(move |_lock: JsValue| {
                is_granted.set(true);
                let until_released =
                    Promise::new(&mut |release, _| *held.borrow_mut() = Some(release));
                let _resolved = granted.call0(&JsValue::UNDEFINED);
                until_released
            });
            match self.manager.request(name, &options, &on_grant) {
                // Rejects when the queue is left, or when somebody steals the lock.
                Ok(done) => {
                    let (is_held, on_loss) = (is_held.clone(), on_loss.clone());
                    let on_refusal = Closure::once_into_js(move |why: JsValue| {
                        if is_held.get() {
                            on_loss();
                        }
                        let _rejected = refused.call1(&JsValue::UNDEFINED, &why);
                    });
                    let then: Function = field(&done, "catch").unchecked_into();
                    let _handled = then.call1(&done, &on_refusal);
                }
                Err(why) => {
                    let _rejected = refused.call1(&JsValue::UNDEFINED, &why);
                }
            }
        });
        JsFuture::from(granted).await.ok()?;
        let release = held.borrow_mut().take()?;
        Some(HeldLock { release })
    }

    /// The names of the locks that are held now, by any tab.
    pub(crate) async fn held(&self) -> Vec<String> {
        let Ok(asked) = self.manager.query() else {
            return Vec::new();
        };
        let Ok(state) = JsFuture::from(asked).await else {
            return Vec::new();
        };
        let Ok(held) = field(&state, "held").dyn_into::<Array>() else {
            return Vec::new();
        };
        held.iter()
            .filter_map(|lock| field(&lock, "name").as_string())
            .collect()
    }

    /// Leaves every queue. Locks that are held stay held until they are released.
    pub(crate) fn leave_queues(&self) {
        self.abort.abort();
    }
}
