//! A room from this page: its charter, its locks, and the workers of what this tab runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_timers::callback::Interval;
use gloo_timers::future::sleep;
use js_sys::{Function, Promise, Uint8Array};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{ClientId, Time};
use phaselab_wasm::live::clock::Clock;
use phaselab_wasm::live::room::encode_genesis;
use phaselab_wasm::live::wire::{Channel, ClientFrame, field, object};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{MessageEvent, Worker, WorkerOptions, WorkerType};

use super::locks::{HeldLock, Locks};
use super::stores::Charter;
use super::worker::{frame_from_js, frame_to_js};
use super::{page_time_ms, random_bytes};
use crate::few::FewMap;
use crate::live::room_state::{Hosted, Notice, RoomState, tab_id};
use crate::live::watch::WatchFrame;
use crate::picture;

/// How often the page counts tabs, in milliseconds.
const COUNT_TABS_EVERY_MS: u32 = 1_000;

/// How long a tab that passed a lock on keeps out of its queue.
const PASS_ON: std::time::Duration = std::time::Duration::from_millis(300);

/// The worker's script, beside index.html.
const WORKER: &str = "./worker.js";

/// A page's part in a room, until it is dropped.
pub(crate) struct RoomHandle {
    room: Rc<Room>,
}

/// What the component is told: that something changed.
pub(crate) type OnNews = Rc<dyn Fn()>;

struct Room {
    name: String,
    charter: Charter,
    clock: Clock,
    locks: Option<Locks>,
    state: RefCell<RoomState>,
    slots: RefCell<FewMap<u16, Slot>>,
    chain: RefCell<Option<Thread>>,
    watch: RefCell<Option<Channel>>,
    clients: RefCell<Option<Channel>>,
    interval: RefCell<Option<Interval>>,
    /// Held for as long as the page is in the room: who holds one is a tab of it.
    presence: RefCell<Option<HeldLock>>,
    chain_lock: RefCell<Option<HeldLock>>,
    is_gone: Cell<bool>,
    on_news: OnNews,
}

/// A node whose lock this tab holds.
struct Slot {
    thread: Option<Thread>,
    /// Lets the task that holds the lock go on.
    release: Function,
}

/// A worker and what listens to it; terminated when it is dropped.
struct Thread {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(JsValue)>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

impl Drop for RoomHandle {
    fn drop(&mut self) {
        let room = &self.room;
        room.is_gone.set(true);
        if let Some(locks) = &room.locks {
            locks.leave_queues();
        }
        *room.interval.borrow_mut() = None;
        *room.watch.borrow_mut() = None;
        *room.clients.borrow_mut() = None;
        *room.chain.borrow_mut() = None;
        *room.chain_lock.borrow_mut() = None;
        *room.presence.borrow_mut() = None;
        let slots = std::mem::take(&mut *room.slots.borrow_mut());
        for slot in slots.into_values() {
            drop(slot.thread);
            // Resolves the promise that the lock's task waits for; that cannot fail.
            let _released = slot.release.call0(&JsValue::UNDEFINED);
        }
    }
}

impl RoomHandle {
    /// Joins a room, and makes it first if there is none.
    ///
    /// # Errors
    /// What the browser lacks.
    pub(crate) async fn join(
        name: &str,
        kind: ProtocolKind,
        nodes: u16,
        on_news: OnNews,
    ) -> Result<RoomHandle, String> {
        let locks = Locks::open();
        // Without locks tabs cannot share a room: each has its own.
        let name = if locks.is_some() {
            name.to_owned()
        } else {
            private_name(name)
        };
        let charter = charter(&name, kind, nodes, locks.as_ref()).await?;
        let [a, b, c, d, e, f, g, h, ..] = random_bytes();
        let me = tab_id(js_sys::Date::now() as u64, u16::from_le_bytes([g, h]));
        // 48 random bits: a client of its own for each page, exact as a number.
        let client = ClientId(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
        let mut state = RoomState::new(charter.kind, charter.nodes(), me, client);
        if locks.is_none() {
            state.notice = Notice::Alone;
        }
        let room = Rc::new(Room {
            clock: Clock::since(charter.created_ms),
            name,
            charter,
            locks,
            state: RefCell::new(state),
            slots: RefCell::default(),
            chain: RefCell::default(),
            watch: RefCell::default(),
            clients: RefCell::default(),
            interval: RefCell::default(),
            presence: RefCell::default(),
            chain_lock: RefCell::default(),
            is_gone: Cell::new(false),
            on_news,
        });
        room.listen()?;
        room.start();
        Ok(RoomHandle { room })
    }

    /// Looks at the room.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&RoomState) -> T) -> T {
        look(&self.room.state.borrow())
    }

    /// Changes what only this page sees.
    pub(crate) fn change(&self, change: impl FnOnce(&mut RoomState)) {
        change(&mut self.room.state.borrow_mut());
    }

    /// The room's name.
    pub(crate) fn name(&self) -> &str {
        &self.room.name
    }

    /// When the room was made, in milliseconds since 1970.
    pub(crate) fn created_ms(&self) -> u64 {
        self.room.charter.created_ms
    }

    /// Submits a payment.
    pub(crate) fn submit(&self, name: &str, amount: u64) {
        let now = self.room.clock.now();
        {
            let mut state = self.room.state.borrow_mut();
            let (request, near) = (picture::request(state.kind, name, amount), state.near());
            state.submissions.submit(now, request, near);
        }
        self.room.ask();
    }

    /// Ends a node's thread, as a crash would.
    pub(crate) fn crash(&self, node: u16) {
        self.room.stopped(node, String::new());
    }

    /// Starts a node again from its store.
    pub(crate) fn restart(&self, node: u16) {
        self.room.run_node(node);
    }
}

/// Reads the room's charter, or makes it; one tab at a time.
async fn charter(
    name: &str,
    kind: ProtocolKind,
    nodes: u16,
    locks: Option<&Locks>,
) -> Result<Charter, String> {
    if let Some(charter) = Charter::load(name).await? {
        return Ok(charter);
    }
    let _lock = match locks {
        Some(locks) => locks.acquire(&format!("phaselab/{name}/charter")).await,
        None => None,
    };
    // Another tab may have been first.
    match Charter::load(name).await? {
        Some(charter) => Ok(charter),
        None => Charter::create(name, kind, nodes).await,
    }
}

/// The room of this tab alone, the same after a reload.
fn private_name(name: &str) -> String {
    let storage = field(&js_sys::global(), "sessionStorage");
    let key = "phaselab-tab";
    if let Some(known) = field(&storage, key).as_string() {
        return format!("{name}~{known}");
    }
    let fresh: String = random_bytes()[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Where nothing can be kept, a reload begins anew.
    let _kept = js_sys::Reflect::set(&storage, &key.into(), &fresh.as_str().into());
    format!("{name}~{fresh}")
}

impl Room {
    fn news(&self) {
        if !self.is_gone.get() {
            (self.on_news)();
        }
    }

    // --- channels ---------------------------------------------------------------------------------------------------

    fn listen(self: &Rc<Self>) -> Result<(), String> {
        let room = Rc::downgrade(self);
        let watch = Channel::open(&self.name, Some("watch"), move |data| {
            if let (Some(room), Some(frame)) = (room.upgrade(), frame_from_js(&data)) {
                room.hear(frame);
            }
        })?;
        let room = Rc::downgrade(self);
        let clients = Channel::open(&self.name, Some("client"), move |data| {
            if let (
                Some(room),
                Some(ClientFrame::Reply {
                    client,
                    number,
                    reply,
                    ..
                }),
            ) = (room.upgrade(), ClientFrame::from_js(&data))
            {
                let now = room.clock.now();
                let is_mine = room
                    .state
                    .borrow_mut()
                    .submissions
                    .on_reply(now, client, number, &reply);
                if is_mine {
                    room.ask();
                    room.news();
                }
            }
        })?;
        post(&watch, &WatchFrame::Hello);
        *self.watch.borrow_mut() = Some(watch);
        *self.clients.borrow_mut() = Some(clients);
        Ok(())
    }

    fn hear(self: &Rc<Self>, frame: WatchFrame) {
        let is_stranger = match &frame {
            WatchFrame::Node(report) => !self.state.borrow().knows_tab(&report.tab),
            WatchFrame::Hello => true,
            WatchFrame::Crashed { .. } => false,
        };
        let is_news = self
            .state
            .borrow_mut()
            .observatory
            .hear(frame, page_time_ms());
        if is_stranger {
            self.count_tabs_soon();
        }
        if is_news {
            self.news();
        }
    }

    fn ask(&self) {
        let now: Time = self.clock.now();
        let mut state = self.state.borrow_mut();
        let client = state.submissions.client();
        while let Ok((to, number, request)) = state.submissions.poll(now) {
            let frame = ClientFrame::Submit {
                to: vec![to],
                client,
                number,
                request,
            };
            if let Some(clients) = self.clients.borrow().as_ref() {
                clients.post(&frame.to_js());
            }
        }
    }

    // --- tabs and locks ---------------------------------------------------------------------------------------------

    fn start(self: &Rc<Self>) {
        let Some(locks) = self.locks.clone() else {
            self.state.borrow_mut().has_chain = true;
            self.run_chain();
            for node in 1..=self.charter.nodes() {
                self.state.borrow_mut().placement.take(node);
                self.run_node(node);
            }
            return;
        };
        let (room, tab) = (
            self.clone(),
            format!("{}{}", self.tab_prefix(), self.state.borrow().me()),
        );
        let own = locks.clone();
        spawn_local(async move {
            let presence = own.acquire(&tab).await;
            if room.is_gone.get() {
                return;
            }
            room.presence.replace(presence);
            room.count_tabs().await;
            for node in 1..=room.charter.nodes() {
                spawn_local(room.clone().keep_slot(own.clone(), node));
            }
            room.keep_chain(own).await;
        });
        let room = Rc::downgrade(self);
        let interval = Interval::new(COUNT_TABS_EVERY_MS, move || {
            if let Some(room) = room.upgrade() {
                room.count_tabs_soon();
                room.ask();
                room.news();
            }
        });
        *self.interval.borrow_mut() = Some(interval);
    }

    fn tab_prefix(&self) -> String {
        format!("phaselab/{}/tab/", self.name)
    }

    fn count_tabs_soon(self: &Rc<Self>) {
        let room = self.clone();
        spawn_local(async move { room.count_tabs().await });
    }

    async fn count_tabs(self: &Rc<Self>) {
        let Some(locks) = &self.locks else { return };
        let prefix = self.tab_prefix();
        let held = locks.held().await;
        if self.is_gone.get() {
            return;
        }
        let tabs = held
            .iter()
            .filter_map(|name| name.strip_prefix(&prefix))
            .map(str::to_owned);
        let has_changed = self.state.borrow_mut().set_tabs(tabs);
        loop {
            // Another tab came: it is its turn now.
            let Some(node) = self.state.borrow_mut().placement.surplus() else {
                break;
            };
            self.give_up(node);
        }
        if has_changed {
            self.news();
        }
    }

    /// Holds the node's lock whenever it is this tab's turn.
    async fn keep_slot(self: Rc<Self>, locks: Locks, node: u16) {
        let name = format!("phaselab/{}/node/{node}", self.name);
        while let Some(lock) = locks.acquire(&name).await {
            // The lock may be free because its tab is gone: count before deciding.
            self.count_tabs().await;
            if self.is_gone.get() {
                return;
            }
            if self.state.borrow_mut().placement.take(node) {
                let released = self.run_node(node);
                if let Some(released) = released {
                    let _resolved = JsFuture::from(released).await;
                }
            }
            lock.release();
            if self.is_gone.get() {
                return;
            }
            sleep(PASS_ON).await;
        }
    }

    async fn keep_chain(self: Rc<Self>, locks: Locks) {
        let name = format!("phaselab/{}/chain", self.name);
        let Some(lock) = locks.acquire(&name).await else {
            return;
        };
        if self.is_gone.get() {
            return;
        }
        self.state.borrow_mut().has_chain = true;
        self.run_chain();
        self.news();
        self.chain_lock.replace(Some(lock));
    }

    // --- workers ----------------------------------------------------------------------------------------------------

    /// Starts a node's thread. The promise resolves when the node is given up; `None` if it only starts again.
    fn run_node(self: &Rc<Self>, node: u16) -> Option<Promise> {
        let me = self.state.borrow().me().to_owned();
        let thread = self.spawn("node", Some((node, &me)));
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

    fn run_chain(self: &Rc<Self>) {
        match self.spawn("chain", None) {
            Ok(thread) => *self.chain.borrow_mut() = Some(thread),
            Err(why) => self.state.borrow_mut().notice = Notice::Failed(why),
        }
    }

    /// Another tab may run the node now.
    fn give_up(&self, node: u16) {
        let slot = self.slots.borrow_mut().remove(&node);
        self.state.borrow_mut().hosted.remove(&node);
        if let Some(slot) = slot {
            drop(slot.thread);
            // Resolves the promise that the lock's task waits for; that cannot fail.
            let _released = slot.release.call0(&JsValue::UNDEFINED);
        }
    }

    /// A node's thread is gone, and everybody should know.
    fn stopped(&self, node: u16, why: String) {
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
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let failed = |error: JsValue| phaselab_wasm::live::wire::message(&error);
        let worker = Worker::new_with_options(WORKER, &options).map_err(failed)?;
        let room = Rc::downgrade(self);
        let id = node.map(|(node, _)| node);
        let on_message = Closure::new(move |event: MessageEvent| {
            let data = event.data();
            if field(&data, "kind").as_string().as_deref() == Some("stopped")
                && let Some(room) = room.upgrade()
            {
                room.on_thread_stopped(id, field(&data, "text").as_string().unwrap_or_default());
            }
        });
        let room = Rc::downgrade(self);
        let on_error = Closure::new(move |event: JsValue| {
            if let Some(room) = room.upgrade() {
                let why = field(&event, "message")
                    .as_string()
                    .unwrap_or_else(|| "its thread failed".to_owned());
                room.on_thread_stopped(id, why);
            }
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let (number, tab) = node.unwrap_or((0, ""));
        let order = object(&[
            // Compiled once per page: a worker starts within milliseconds.
            ("module", &wasm_bindgen::module()),
            ("role", &role.into()),
            ("room", &self.name.as_str().into()),
            ("node", &number.into()),
            ("tab", &tab.into()),
            (
                "genesis",
                &Uint8Array::from(encode_genesis(&self.charter.genesis).as_slice()),
            ),
            ("createdMs", &(self.charter.created_ms as f64).into()),
        ]);
        worker.post_message(&order).map_err(failed)?;
        Ok(Thread {
            worker,
            _on_message: on_message,
            _on_error: on_error,
        })
    }

    fn on_thread_stopped(&self, node: Option<u16>, why: String) {
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

fn post(channel: &Channel, frame: &WatchFrame) {
    channel.post(&frame_to_js(frame));
}
