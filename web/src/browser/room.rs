//! A room from this page: its charter, its channels, and what this tab runs of it. A seat in a hybrid cluster is a room of
//! this tab alone, whose one node speaks to the others through the gateway.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_timers::callback::Interval;
use gloo_timers::future::sleep;
use phaselab_core::gateway::Invite;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{ClientId, Time};
use phaselab_wasm::live::clock::Clock;
use phaselab_wasm::live::wire::{Channel, ClientFrame, field};
use wasm_bindgen::prelude::*;

use super::locks::{HeldLock, Locks};
use super::stores::{Charter, SEAT};
use super::worker::{frame_from_js, frame_to_js};
use super::{Listener, page_time_ms, random_bytes, reels};
use crate::few::FewMap;
use crate::live::deeds::Deed;
use crate::live::room_state::{Notice, RoomState, tab_id};
use crate::live::watch::WatchFrame;
use crate::picture;

mod broken;
mod seat;
mod slots;
mod threads;

pub(crate) use seat::Waiting;
use slots::Slot;
use threads::Thread;

/// How long threads have for writing down what they recorded last.
const WRITTEN_DOWN: std::time::Duration = std::time::Duration::from_millis(300);

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
    /// The invite of a seat in a hybrid cluster.
    seat: Option<Invite>,
    state: RefCell<RoomState>,
    slots: RefCell<FewMap<u16, Slot>>,
    chain: RefCell<Option<Thread>>,
    watch: RefCell<Option<Channel>>,
    clients: RefCell<Option<Channel>>,
    faults: RefCell<Option<Channel>>,
    lifecycle: RefCell<Vec<Listener>>,
    interval: RefCell<Option<Interval>>,
    /// Held for as long as the page is in the room: who holds one is a tab of it.
    presence: RefCell<Option<HeldLock>>,
    chain_lock: RefCell<Option<HeldLock>>,
    is_gone: Cell<bool>,
    on_news: OnNews,
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
        *room.faults.borrow_mut() = None;
        room.lifecycle.borrow_mut().clear();
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
        let mut state = new_state(&charter);
        if locks.is_none() {
            state.notice = Notice::Alone;
        }
        let room = Rc::new(Room::new(name, charter, locks, None, state, on_news));
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

    /// Submits what stands in the form; `way` is the button.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn submit(&self, fields: &[&str], way: usize) -> Result<(), String> {
        let now = self.room.clock.now();
        {
            let mut state = self.room.state.borrow_mut();
            let (request, near) = (picture::request(state.kind, fields, way)?, state.near());
            state.submissions.submit(now, request, near);
        }
        self.room.ask();
        Ok(())
    }

    /// Breaks or heals something, in every tab.
    ///
    /// # Errors
    /// What is impossible.
    pub(crate) fn commit(&self, deed: Deed) -> Result<(), String> {
        self.room.commit_deed(deed)
    }

    /// Starts a node of this tab again from its store: its thread failed, or is not heard.
    pub(crate) fn start_again(&self, node: u16) {
        self.room.run_node(node);
    }

    /// What the nodes of this room recorded of their lives, as one file.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn recording(&self) -> impl Future<Output = Result<Vec<u8>, String>> + 'static {
        let room = self.room.clone();
        async move {
            // Threads write down what they have when somebody comes.
            if let Some(watch) = room.watch.borrow().as_ref() {
                post(watch, &WatchFrame::Hello);
            }
            sleep(WRITTEN_DOWN).await;
            let nodes = match room.seat {
                Some(_) => SEAT..=SEAT,
                None => 1..=room.charter.nodes(),
            };
            reels::file(&room.name, nodes).await
        }
    }
}

/// A tab that just came, as a client of its own.
fn new_state(charter: &Charter) -> RoomState {
    let [a, b, c, d, e, f, g, h, ..] = random_bytes();
    let me = tab_id(js_sys::Date::now() as u64, u16::from_le_bytes([g, h]));
    // 48 random bits: exact as a number.
    let mut client = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    if charter.kind.spec().has_nested() {
        // Transfers are called by their clients: 24 bits are unique enough among tabs, and can be read.
        client &= 0x00ff_ffff;
    }
    RoomState::new(charter.kind, charter.nodes(), me, ClientId(client))
        .with_groups(charter.groups())
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
    fn new(
        name: String,
        charter: Charter,
        locks: Option<Locks>,
        seat: Option<Invite>,
        state: RoomState,
        on_news: OnNews,
    ) -> Room {
        Room {
            clock: Clock::since(charter.created_ms),
            name,
            charter,
            locks,
            seat,
            state: RefCell::new(state),
            slots: RefCell::default(),
            chain: RefCell::default(),
            watch: RefCell::default(),
            clients: RefCell::default(),
            faults: RefCell::default(),
            lifecycle: RefCell::default(),
            interval: RefCell::default(),
            presence: RefCell::default(),
            chain_lock: RefCell::default(),
            is_gone: Cell::new(false),
            on_news,
        }
    }

    fn news(&self) {
        if !self.is_gone.get() {
            (self.on_news)();
        }
    }

    fn listen(self: &Rc<Self>) -> Result<(), String> {
        self.listen_to_faults()?;
        self.watch()?;
        let (freezing, waking) = (Rc::downgrade(self), Rc::downgrade(self));
        // What nodes show a tab that is frozen would pile up until it wakes: it says that it is back instead.
        let freeze = Listener::on_document("freeze", move |_| {
            if let Some(room) = freezing.upgrade() {
                *room.watch.borrow_mut() = None;
            }
        });
        let resume = Listener::on_document("resume", move |_| {
            if let Some(room) = waking.upgrade()
                && let Err(why) = room.watch()
            {
                room.state.borrow_mut().notice = Notice::Failed(why);
            }
        });
        self.lifecycle.borrow_mut().extend([freeze, resume]);
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
        *self.clients.borrow_mut() = Some(clients);
        Ok(())
    }

    /// Listens to what nodes show, and asks them to show all of it.
    fn watch(self: &Rc<Self>) -> Result<(), String> {
        let room = Rc::downgrade(self);
        let watch = Channel::open(&self.name, Some("watch"), move |data| {
            if let (Some(room), Some(frame)) = (room.upgrade(), frame_from_js(&data)) {
                room.hear(frame);
            }
        })?;
        post(&watch, &WatchFrame::Hello);
        *self.watch.borrow_mut() = Some(watch);
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

    /// Looks at what passes with time.
    fn look(&self) {
        self.state.borrow_mut().look(page_time_ms());
        self.ask();
        self.news();
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
}

fn post(channel: &Channel, frame: &WatchFrame) {
    channel.post(&frame_to_js(frame));
}
