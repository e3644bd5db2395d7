//! IndexedDB: one transaction at a time, every request placed before anything is awaited, strictly durable.
//!
//! web-sys has the durability option behind a compiler flag; these bindings need none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Function, Promise, Uint8Array};
use phaselab_wasm::live::store::StoreError;
use phaselab_wasm::live::wire::{field, message, object};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::few::insert_sorted;

#[wasm_bindgen]
extern "C" {
    type Factory;
    #[wasm_bindgen(method, catch)]
    fn open(this: &Factory, name: &str, version: u32) -> Result<Request, JsValue>;

    type Connection;
    #[wasm_bindgen(method, catch, js_name = createObjectStore)]
    fn create_object_store(this: &Connection, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn transaction(
        this: &Connection,
        stores: &Array,
        mode: &str,
        options: &JsValue,
    ) -> Result<Transaction, JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &Connection);
    #[wasm_bindgen(method, setter, js_name = onversionchange)]
    fn set_on_version_change(this: &Connection, handler: &JsValue);

    type Transaction;
    #[wasm_bindgen(method, catch, js_name = objectStore)]
    fn object_store(this: &Transaction, name: &str) -> Result<ObjectStore, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn abort(this: &Transaction) -> Result<(), JsValue>;
    #[wasm_bindgen(method, setter, js_name = oncomplete)]
    fn set_on_complete(this: &Transaction, handler: &Function);
    #[wasm_bindgen(method, setter, js_name = onabort)]
    fn set_on_abort(this: &Transaction, handler: &Function);

    type ObjectStore;
    #[wasm_bindgen(method, catch)]
    fn get(this: &ObjectStore, key: &JsValue) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAll)]
    fn get_all(this: &ObjectStore) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAllKeys)]
    fn get_all_keys(this: &ObjectStore) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn put(this: &ObjectStore, value: &JsValue, key: &JsValue) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn delete(this: &ObjectStore, key: &JsValue) -> Result<Request, JsValue>;

    type Request;
    #[wasm_bindgen(method, getter, catch)]
    fn result(this: &Request) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, setter, js_name = onsuccess)]
    fn set_on_success(this: &Request, handler: &Function);
    #[wasm_bindgen(method, setter, js_name = onerror)]
    fn set_on_error(this: &Request, handler: &Function);
    #[wasm_bindgen(method, setter, js_name = onupgradeneeded)]
    fn set_on_upgrade(this: &Request, handler: &JsValue);
    #[wasm_bindgen(method, setter, js_name = onblocked)]
    fn set_on_blocked(this: &Request, handler: &JsValue);
}

/// What stands between two versions of this page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// A newer version wants the databases, and this one has let go of them.
    Newer,
    /// An older version still has them, and this one waits.
    Older,
    /// It waits no longer.
    Over,
}

impl Clash {
    /// As it stands in messages between a worker and its page.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Clash::Newer => "A newer version of this page is open; reload.",
            Clash::Older => {
                "An older version of this page is open in another tab. Close or reload it; this one waits."
            }
            Clash::Over => "",
        }
    }
}

type Listener = Rc<dyn Fn(Clash)>;

thread_local! {
    /// Who is told in this thread.
    static ON_CLASH: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Says who is told of other versions of this page, in this thread.
pub(crate) fn on_clash(told: impl Fn(Clash) + 'static) {
    ON_CLASH.set(Some(Rc::new(told)));
}

fn tell_clash(clash: Clash) {
    if let Some(told) = ON_CLASH.with_borrow(Clone::clone) {
        told(clash);
    }
}

/// A change to one row: store, key, and the new value or nothing.
pub(crate) struct Put {
    pub(crate) store: &'static str,
    pub(crate) key: JsValue,
    pub(crate) value: Option<JsValue>,
}

/// What must stand in a row for a transaction to be allowed: else another life has written since.
pub(crate) struct Fence {
    pub(crate) store: &'static str,
    pub(crate) key: &'static str,
    /// `None` means that there is no such row.
    pub(crate) expected: Option<u32>,
}

/// An open database.
pub(crate) struct Database {
    connection: Connection,
    _on_version_change: Closure<dyn FnMut(JsValue)>,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.connection.close();
    }
}

impl Database {
    /// Opens a database with these object stores, and makes it if there is none.
    pub(crate) async fn open(
        name: &str,
        stores: &'static [&'static str],
    ) -> Result<Database, String> {
        let factory: Factory = Some(field(&js_sys::global(), "indexedDB"))
            .filter(JsValue::is_object)
            .ok_or("this browser has no IndexedDB here")?
            .unchecked_into();
        let request = factory
            .open(name, VERSION)
            .map_err(|error| message(&error))?;
        let upgrade = Closure::once_into_js(move |event: JsValue| {
            let connection: Connection = field(&field(&event, "target"), "result").unchecked_into();
            for store in stores {
                // One that an older version made stays as it is.
                let _made = connection.create_object_store(store);
            }
        });
        request.set_on_upgrade(&upgrade);
        let is_blocked = Rc::new(Cell::new(false));
        let blocked = is_blocked.clone();
        let on_blocked = Closure::<dyn FnMut(JsValue)>::new(move |_| {
            blocked.set(true);
            tell_clash(Clash::Older);
        });
        request.set_on_blocked(on_blocked.as_ref());
        let asked: JsValue = request.clone();
        let opened = finish(request).await;
        if is_blocked.get() {
            tell_clash(Clash::Over);
        }
        let connection: Connection = opened.map_err(|why| refusal(&asked, why))?.unchecked_into();
        // Whoever wants another version, or to delete it, must not wait for this tab.
        let on_version_change = Closure::new(|event: JsValue| {
            field(&event, "target")
                .unchecked_into::<Connection>()
                .close();
            tell_clash(Clash::Newer);
        });
        connection.set_on_version_change(on_version_change.as_ref());
        Ok(Database {
            connection,
            _on_version_change: on_version_change,
        })
    }

    /// One row.
    pub(crate) async fn get(&self, store: &str, key: &str) -> Result<Option<JsValue>, String> {
        let transaction = self.begin(&[store], "readonly", STRICT)?;
        let found = transaction
            .object_store(store)
            .and_then(|store| store.get(&key.into()));
        let value = finish(found.map_err(|error| message(&error))?).await?;
        Ok((!value.is_undefined()).then_some(value))
    }

    /// The keys of a store, in order.
    pub(crate) async fn keys(&self, store: &str) -> Result<Vec<JsValue>, String> {
        let transaction = self.begin(&[store], "readonly", STRICT)?;
        let keys = transaction
            .object_store(store)
            .and_then(|store| store.get_all_keys());
        let keys: Array = finish(keys.map_err(|error| message(&error))?)
            .await?
            .unchecked_into();
        Ok(keys.iter().collect())
    }

    /// Every row of a store, as one moment shows them.
    pub(crate) async fn rows(&self, store: &str) -> Result<Vec<(JsValue, JsValue)>, String> {
        let transaction = self.begin(&[store], "readonly", STRICT)?;
        let store = transaction
            .object_store(store)
            .map_err(|error| message(&error))?;
        let keys = store.get_all_keys().map_err(|error| message(&error))?;
        let values = store.get_all().map_err(|error| message(&error))?;
        let (keys, values) = (settled(&keys), settled(&values));
        let keys: Array = keys.await?.unchecked_into();
        let values: Array = values.await?.unchecked_into();
        Ok(keys.iter().zip(values.iter()).collect())
    }

    /// Begins to write: all of it or nothing, and nothing if the fence is not as expected. The future resolves once it
    /// is durable. What was placed before in `after` is written first.
    pub(crate) fn write(
        &self,
        fence: Option<Fence>,
        puts: &[Put],
        after: Option<&'static str>,
    ) -> impl Future<Output = Result<(), StoreError>> + 'static {
        self.finish_write(self.place(fence.as_ref(), puts, after, STRICT), fence)
    }

    /// Begins to write what may be lost with the machine's power: quickly.
    pub(crate) fn write_loosely(
        &self,
        puts: &[Put],
    ) -> impl Future<Output = Result<(), StoreError>> + 'static {
        self.finish_write(self.place(None, puts, None, RELAXED), None)
    }

    fn finish_write(
        &self,
        placed: Result<Placed, String>,
        fence: Option<Fence>,
    ) -> impl Future<Output = Result<(), StoreError>> + use<> {
        async move {
            let failed = |why: String| StoreError::Failed(why);
            let Placed {
                transaction,
                stored,
                complete,
            } = placed.map_err(failed)?;
            if let (Some(stored), Some(fence)) = (stored, fence) {
                let stored = stored.await.map_err(failed)?.as_f64();
                if stored != fence.expected.map(f64::from) {
                    // The transaction may have failed by itself; it is undone either way.
                    let _aborted = transaction.abort();
                    return Err(StoreError::Fenced);
                }
            }
            complete.await.map(drop).map_err(|event| {
                StoreError::Failed(message(&field(&field(&event, "target"), "error")))
            })
        }
    }

    /// Places every request of a write.
    fn place(
        &self,
        fence: Option<&Fence>,
        puts: &[Put],
        after: Option<&'static str>,
        durability: &str,
    ) -> Result<Placed, String> {
        let mut stores = Vec::new();
        puts.iter()
            .map(|put| put.store)
            .chain(fence.map(|fence| fence.store))
            .chain(after)
            .for_each(|name| {
                insert_sorted(&mut stores, name);
            });
        let transaction = self.begin(&stores, "readwrite", durability)?;
        let complete = JsFuture::from(Promise::new(&mut |resolve, reject| {
            transaction.set_on_complete(&resolve);
            transaction.set_on_abort(&reject);
        }));
        let place = || -> Result<Option<Settled>, JsValue> {
            let stored = match fence {
                Some(fence) => Some(settled(
                    &transaction
                        .object_store(fence.store)?
                        .get(&fence.key.into())?,
                )),
                None => None,
            };
            for put in puts {
                let store = transaction.object_store(put.store)?;
                match &put.value {
                    Some(value) => store.put(value, &put.key)?,
                    None => store.delete(&put.key)?,
                };
            }
            Ok(stored)
        };
        match place() {
            Ok(stored) => Ok(Placed {
                stored,
                complete,
                transaction,
            }),
            Err(error) => {
                let _aborted = transaction.abort();
                Err(message(&error))
            }
        }
    }

    fn begin(&self, stores: &[&str], mode: &str, durability: &str) -> Result<Transaction, String> {
        let names: Array = stores.iter().map(|name| JsValue::from_str(name)).collect();
        let options = object(&[("durability", &durability.into())]);
        self.connection
            .transaction(&names, mode, &options)
            .map_err(|error| message(&error))
    }
}

/// The layout of every database here: since 2, nodes have a store for what is recorded.
const VERSION: u32 = 2;

/// A transaction is durable once it is complete.
const STRICT: &str = "strict";

/// A transaction may be complete before it is durable.
const RELAXED: &str = "relaxed";

/// Why a database does not open: that a newer version made it is told in words, the rest as the browser has it.
fn refusal(request: &JsValue, why: String) -> String {
    let name = field(&field(request, "error"), "name").as_string();
    match name.as_deref() {
        Some("VersionError") => Clash::Newer.text().to_owned(),
        _ => why,
    }
}

struct Placed {
    transaction: Transaction,
    stored: Option<Settled>,
    complete: JsFuture,
}

/// The outcome of a request that is placed.
type Settled = std::pin::Pin<Box<dyn Future<Output = Result<JsValue, String>>>>;

fn settled(request: &Request) -> Settled {
    let done = JsFuture::from(Promise::new(&mut |resolve, reject| {
        request.set_on_success(&resolve);
        request.set_on_error(&reject);
    }));
    let request: JsValue = request.into();
    Box::pin(async move {
        match done.await {
            Ok(_) => request
                .unchecked_ref::<Request>()
                .result()
                .map_err(|error| message(&error)),
            Err(_) => Err(message(&field(&request, "error"))),
        }
    })
}

async fn finish(request: Request) -> Result<JsValue, String> {
    settled(&request).await
}

/// Bytes as they are stored.
pub(crate) fn to_stored(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// Bytes as they come back: values as they were put, keys as an `ArrayBuffer`.
pub(crate) fn from_stored(value: &JsValue) -> Option<Vec<u8>> {
    value.is_object().then(|| Uint8Array::new(value).to_vec())
}
