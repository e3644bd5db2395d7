//! A live node for JavaScript: in a thread of a browser, or in a `worker_thread` of Node.js.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use js_sys::{Array, Function, Promise};
use phaselab_core::event::Level;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::replica::Released;
use phaselab_core::sim::log::letter_at;
use phaselab_core::store::WriteBatch;
use phaselab_core::types::{ClientId, Hash32, InstanceId};
use phaselab_core::view::ViewScope;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::convert::{self, EventObject, error, to_js, write_to_js};
use super::scenarios::system_entropy;
use crate::live::clock::Clock;
use crate::live::host::Host;
use crate::live::node::{LiveNode as Node, Observer};
use crate::live::room::{Secret, decode_genesis};
use crate::live::store::{Commit, MemoryStore, Store, StoreError};
use crate::live::wire::{field, message, number_from_js};

/// A node that takes part in a room until it is closed.
#[wasm_bindgen]
pub struct LiveNode {
    node: Node,
    kind: ProtocolKind,
    watcher: Rc<Watcher>,
    client: ClientId,
    requests: Cell<u64>,
}

#[wasm_bindgen]
impl LiveNode {
    /// Joins a room. With `commit`, rows are the caller's to keep: it is called with each batch and must resolve once
    /// the batch is durable. Without, they are in memory, and a node that starts anew has forgotten its promises.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "LiveNodeOptions")] options: JsValue,
    ) -> Result<LiveNode, JsError> {
        let room = convert::text(&options, "room")?;
        let (genesis, kind) =
            decode_genesis(&convert::bytes(&options, "genesis")?).map_err(error)?;
        let nodes = genesis.members.len() as u16;
        let id = convert::node_id(field(&options, "node").as_f64().unwrap_or_default(), nodes)?;
        let secret = Secret::from_bytes(&convert::bytes(&options, "secret")?)
            .ok_or_else(|| error("secret: expected 32 bytes"))?;
        let rows = convert::rows(&options)?;
        let mut host =
            Host::open(&genesis, id, &secret, &rows, system_entropy()?, None).map_err(error)?;
        let store: Rc<dyn Store> = match convert::function(&options, "commit")? {
            Some(commit) => Rc::new(CallbackStore { commit }),
            None => Rc::new(MemoryStore::new(rows)),
        };
        let on_event = convert::function(&options, "onEvent")?;
        host.replica_mut().set_level(if on_event.is_some() {
            Level::Full
        } else {
            Level::None
        });
        let watcher = Rc::new(Watcher {
            kind,
            on_event,
            on_stop: convert::function(&options, "onStop")?,
            letters: RefCell::default(),
            asked: RefCell::default(),
            heard: Cell::new(0),
        });
        let created_ms = number_from_js(&field(&options, "createdMs")).unwrap_or(0);
        let clock = Clock::since(created_ms);
        let node = Node::start(&room, &genesis, host, clock, store, watcher.clone(), None)
            .map_err(error)?;
        let [a, b, c, d, e, f, ..] = system_entropy()?;
        // 48 random bits: a client of its own for each life, exact as a number.
        let client = ClientId(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
        Ok(LiveNode {
            node,
            kind,
            watcher,
            client,
            requests: Cell::new(0),
        })
    }

    /// The node's number.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> u16 {
        self.node.id().0
    }

    /// How many packets, requests and facts it refused in this life.
    #[wasm_bindgen(getter)]
    pub fn refused(&self) -> f64 {
        self.node.with(|host, _| host.replica().refused() as f64)
    }

    /// Whether it was closed, or stopped because its store failed.
    #[wasm_bindgen(getter)]
    pub fn closed(&self) -> bool {
        self.node.is_closed()
    }

    /// The node in full.
    #[wasm_bindgen(unchecked_return_type = "NodeView")]
    pub fn view(&self) -> Result<JsValue, JsError> {
        self.node
            .with(|host, _| to_js(&host.replica().view(ViewScope::Full)))
    }

    /// Asks this node: a request's TOML, such as `event = "withdraw-1"` and `amount = 25` on lines of their own. Resolves
    /// with the last reply.
    #[wasm_bindgen(unchecked_return_type = "Promise<Reply>")]
    pub fn submit(&self, toml: &str) -> Result<Promise, JsError> {
        if self.closed() {
            return Err(error("the node is closed"));
        }
        let request = self.kind.parse_request("request", toml).map_err(error)?;
        let number = self.requests.get() + 1;
        self.requests.set(number);
        let promise = Promise::new(&mut |resolve, reject| {
            self.watcher
                .asked
                .borrow_mut()
                .insert((self.client, number), (resolve, reject));
        });
        self.node.request(self.client, number, request);
        Ok(promise)
    }

    /// Leaves the room. Requests without an answer reject.
    pub fn close(&self) {
        self.node.close();
        self.watcher.reject_all("the node was closed");
    }
}

/// A store that JavaScript keeps.
struct CallbackStore {
    commit: Function,
}

impl Store for CallbackStore {
    fn commit(&self, batch: WriteBatch) -> Commit {
        let writes: Array = batch.writes().iter().map(write_to_js).collect();
        let called = self
            .commit
            .call2(&JsValue::UNDEFINED, &writes, &batch.incarnation().0.into());
        Box::pin(async move {
            let failed = |thrown: JsValue| StoreError::Failed(message(&thrown));
            let promise = called.map_err(failed)?;
            JsFuture::from(Promise::resolve(&promise))
                .await
                .map_err(failed)?;
            Ok(batch.durable())
        })
    }
}

type Settle = (Function, Function);

/// Hands events and replies on to JavaScript.
struct Watcher {
    kind: ProtocolKind,
    on_event: Option<Function>,
    on_stop: Option<Function>,
    letters: RefCell<BTreeMap<InstanceId, Vec<Hash32>>>,
    asked: RefCell<BTreeMap<(ClientId, u64), Settle>>,
    heard: Cell<u64>,
}

impl Watcher {
    fn letter(&self, instance: Option<InstanceId>, value: Option<Hash32>) -> Option<String> {
        let mut letters = self.letters.borrow_mut();
        let (values, value) = (letters.entry(instance?).or_default(), value?);
        let place = values
            .iter()
            .position(|known| *known == value)
            .unwrap_or_else(|| {
                values.push(value);
                values.len() - 1
            });
        Some(letter_at(place))
    }

    fn tell_events(&self, node: &Node, released: &Released, on_event: &Function) {
        let step = self.heard.get();
        self.heard.set(step + 1);
        let (id, at) = (node.id(), node.with(|_, now| now));
        for (index, event) in released.events.iter().enumerate() {
            let letter = self.letter(event.instance, event.value);
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            if let Ok(object) = to_js(&EventObject::new(
                (step, index),
                at,
                id,
                event,
                letter,
                self.kind.spec(),
            )) {
                // A listener's exception is its own affair.
                let _thrown = on_event.call1(&JsValue::UNDEFINED, &object);
            }
        }
    }

    fn settle(&self, client: ClientId, number: u64, reply: &[u8]) {
        let Some(view) = self.kind.read_reply(reply).filter(|view| view.last) else {
            return;
        };
        let Some((resolve, reject)) = self.asked.borrow_mut().remove(&(client, number)) else {
            return;
        };
        let _settled = match to_js(&view) {
            Ok(object) => resolve.call1(&JsValue::UNDEFINED, &object),
            Err(error) => reject.call1(&JsValue::UNDEFINED, &error.into()),
        };
    }

    fn reject_all(&self, why: &str) {
        let asked = std::mem::take(&mut *self.asked.borrow_mut());
        for (_, reject) in asked.into_values() {
            let _settled = reject.call1(&JsValue::UNDEFINED, &JsError::new(why).into());
        }
    }
}

impl Observer for Watcher {
    fn heard(&self, node: &Node, released: Vec<Released>) {
        for released in &released {
            if let Some(on_event) = &self.on_event {
                self.tell_events(node, released, on_event);
            }
            for (client, number, reply) in &released.replies {
                self.settle(*client, *number, reply);
            }
        }
    }

    fn stopped(&self, why: StoreError) {
        self.reject_all(&why.to_string());
        if let Some(on_stop) = &self.on_stop {
            let _thrown = on_stop.call1(&JsValue::UNDEFINED, &why.to_string().into());
        }
    }
}
