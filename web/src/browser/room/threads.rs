//! The workers of what this tab runs.

use std::rc::Rc;

use js_sys::{Promise, Uint8Array};
use phaselab_wasm::live::room::encode_genesis;
use phaselab_wasm::live::wire::{field, message, object};
use wasm_bindgen::prelude::*;
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

use super::slots::Slot;
use super::{Room, post};
use crate::browser::idb::Clash;
use crate::browser::page_time_ms;
use crate::live::room_state::{Hosted, Notice};
use crate::live::sleep::Sleep;
use crate::live::watch::WatchFrame;

/// The worker's script, beside index.html.
const WORKER: &str = "./worker.js";

/// A worker and what listens to it; terminated when it is dropped.
pub(super) struct Thread {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(JsValue)>,
}

impl Thread {
    /// Starts a worker with an order; what it says, and that it failed, is heard.
    pub(super) fn start(
        order: &[(&str, &JsValue)],
        heard: impl Fn(&JsValue) + 'static,
        failed: impl Fn(String) + 'static,
    ) -> Result<Thread, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let refused = |error: JsValue| message(&error);
        let worker = Worker::new_with_options(WORKER, &options).map_err(refused)?;
        let on_message = Closure::new(move |event: MessageEvent| heard(&event.data()));
        let on_error = Closure::new(move |event: JsValue| {
            let why = field(&event, "message").as_string();
            failed(why.unwrap_or_else(|| "its thread failed".to_owned()));
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        // Compiled once per page: a worker starts within milliseconds.
        let module = wasm_bindgen::module();
        let order: Vec<(&str, &JsValue)> =
            order.iter().copied().chain([("module", &module)]).collect();
        worker.post_message(&object(&order)).map_err(refused)?;
        Ok(Thread {
            worker,
            _on_message: on_message,
            _on_error: on_error,
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

impl Room {
    /// Starts a node's thread. The promise resolves when the node is given up; `None` if it only starts again.
    pub(super) fn run_node(self: &Rc<Self>, node: u16) -> Option<Promise> {
        let is_down = self.state.borrow().faults.is_down(node);
        let thread = match self.seat {
            // Crashed by hand, and taken over by this tab: it stays so.
            _ if is_down => Err(String::new()),
            Some(_) => self.spawn_seat(),
            None => {
                let me = self.state.borrow().me().to_owned();
                self.spawn("node", Some((node, &me)))
            }
        };
        let outcome = match thread {
            Ok(_) => Hosted::Running,
            Err(ref why) => Hosted::Stopped { why: why.clone() },
        };
        self.state.borrow_mut().hosted.insert(node, outcome);
        let mut slots = self.slots.borrow_mut();
        let promise = match slots.get_mut(&node) {
            Some(slot) => {
                slot.thread = thread.ok();
                None
            }
            None => {
                let mut resolver = None;
                let promise = Promise::new(&mut |resolve, _| resolver = Some(resolve));
                let release = resolver?;
                slots.insert(
                    node,
                    Slot {
                        thread: thread.ok(),
                        release,
                    },
                );
                Some(promise)
            }
        };
        drop(slots);
        self.news();
        promise
    }

    pub(super) fn run_chain(self: &Rc<Self>) {
        match self.spawn("chain", None) {
            Ok(thread) => *self.chain.borrow_mut() = Some(thread),
            Err(why) => self.state.borrow_mut().notice = Notice::Failed(why),
        }
    }

    /// Another tab may run the node now.
    pub(super) fn give_up(&self, node: u16) {
        let slot = self.slots.borrow_mut().remove(&node);
        self.state.borrow_mut().hosted.remove(&node);
        if let Some(slot) = slot {
            drop(slot.thread);
            // Resolves the promise that the lock's task waits for; that cannot fail.
            let _released = slot.release.call0(&JsValue::UNDEFINED);
        }
    }

    /// A node's thread is gone, and everybody should know.
    pub(super) fn stopped(&self, node: u16, why: String) {
        let Some(thread) = self
            .slots
            .borrow_mut()
            .get_mut(&node)
            .map(|slot| slot.thread.take())
        else {
            return;
        };
        drop(thread);
        let tab = {
            let mut state = self.state.borrow_mut();
            state
                .hosted
                .insert(node, Hosted::Stopped { why: why.clone() });
            let tab = state.me().to_owned();
            state.observatory.crashed(node, &tab, why.clone());
            tab
        };
        if let Some(watch) = self.watch.borrow().as_ref() {
            post(watch, &WatchFrame::Crashed { node, tab, why });
        }
        self.news();
    }

    fn spawn(self: &Rc<Self>, role: &str, node: Option<(u16, &str)>) -> Result<Thread, String> {
        let (number, tab) = node.unwrap_or((0, ""));
        let id = node.map(|(node, _)| node);
        let genesis = encode_genesis(&self.charter.genesis);
        let order: &[(&str, &JsValue)] = &[
            ("role", &role.into()),
            ("room", &self.name.as_str().into()),
            ("node", &number.into()),
            ("tab", &tab.into()),
            ("genesis", &Uint8Array::from(genesis.as_slice())),
            ("createdMs", &(self.charter.created_ms as f64).into()),
            ("faults", &self.faults_to_js()),
        ];
        let (room, other) = (Rc::downgrade(self), Rc::downgrade(self));
        Thread::start(
            order,
            move |data| {
                if let Some(room) = room.upgrade() {
                    room.hear_thread(id, data);
                }
            },
            move |why| {
                if let Some(room) = other.upgrade() {
                    room.on_thread_stopped(id, why);
                }
            },
        )
    }

    /// A thread said something: of a node, or of the chain.
    pub(super) fn hear_thread(&self, node: Option<u16>, data: &JsValue) {
        let text = field(data, "text").as_string().unwrap_or_default();
        match field(data, "kind").as_string().as_deref() {
            Some("stopped") => self.on_thread_stopped(node, text),
            Some("slept") => {
                let slept_ms = field(data, "ms").as_f64().unwrap_or_default();
                if let Some(node) = node {
                    let mut state = self.state.borrow_mut();
                    let last = state.sleep.take();
                    state.sleep = Some(Sleep::of(last, node, slept_ms, page_time_ms()));
                }
                self.news();
            }
            Some("waits") => {
                let clash = [Clash::Older, Clash::Over];
                let clash = clash.into_iter().find(|clash| clash.text() == text);
                self.on_clash(clash.unwrap_or(Clash::Over));
            }
            _ => {}
        }
    }

    /// Another version of this page is open.
    pub(super) fn on_clash(&self, clash: Clash) {
        self.state.borrow_mut().clash = clash.text();
        self.news();
    }

    pub(super) fn on_thread_stopped(&self, node: Option<u16>, why: String) {
        if why == Clash::Newer.text() {
            self.on_clash(Clash::Newer);
        }
        match node {
            Some(node) => self.stopped(node, why),
            None => {
                self.state.borrow_mut().notice =
                    Notice::Failed(format!("The chain stopped: {why}"));
                self.news();
            }
        }
    }
}
