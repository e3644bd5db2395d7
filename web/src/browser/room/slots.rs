//! Which tab runs which node: locks, and counting tabs.

use std::rc::Rc;

use gloo_timers::callback::Interval;
use gloo_timers::future::sleep;
use js_sys::Function;
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::Room;
use super::threads::Thread;
use crate::browser::locks::Locks;

/// How often the page counts tabs, in milliseconds.
const COUNT_TABS_EVERY_MS: u32 = 1_000;

/// How long a tab that passed a lock on keeps out of its queue.
const PASS_ON: std::time::Duration = std::time::Duration::from_millis(300);

/// A node whose lock this tab holds.
pub(super) struct Slot {
    pub(super) thread: Option<Thread>,
    /// Lets the task that holds the lock go on.
    pub(super) release: Function,
}

impl Room {
    pub(super) fn start(self: &Rc<Self>) {
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
                room.look();
            }
        });
        *self.interval.borrow_mut() = Some(interval);
    }

    fn tab_prefix(&self) -> String {
        format!("phaselab/{}/tab/", self.name)
    }

    pub(super) fn count_tabs_soon(self: &Rc<Self>) {
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
        let room = Rc::downgrade(&self);
        let on_loss = move || {
            if let Some(room) = room.upgrade() {
                // Somebody took it from a tab that stood still: the node runs there, and this life of it is fenced off.
                room.state.borrow_mut().placement.drop_node(node);
                room.give_up(node);
            }
        };
        while let Some(lock) = locks.acquire_until(&name, on_loss.clone()).await {
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
        let on_loss = {
            let room = Rc::downgrade(&self);
            let locks = locks.clone();
            move || {
                if let Some(room) = room.upgrade().filter(|room| !room.is_gone.get()) {
                    // Taken from a tab that stood still: the chain runs elsewhere.
                    *room.chain.borrow_mut() = None;
                    room.state.borrow_mut().has_chain = false;
                    *room.chain_lock.borrow_mut() = None;
                    spawn_local(room.keep_chain(locks.clone()));
                }
            }
        };
        let Some(lock) = locks.acquire_until(&name, on_loss).await else {
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
}
