//! The inside of a worker: one node, or the chain, of a room. It has its own channels, timers and database, so that a
//! hidden tab does not stall it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use gloo_timers::callback::{Interval, Timeout};
use js_sys::Uint8Array;
use phaselab_core::codec::{self, MESSAGE_BYTES_MAX};
use phaselab_core::event::Level;
use phaselab_core::gateway::{Invite, ToGateway};
use phaselab_core::replica::Released;
use phaselab_core::types::NodeId;
use phaselab_core::view::ViewScope;
use phaselab_wasm::live::chain::Chain;
use phaselab_wasm::live::clock::Clock;
use phaselab_wasm::live::faults::FaultFrame;
use phaselab_wasm::live::gateway::Uplink;
use phaselab_wasm::live::host::Host;
use phaselab_wasm::live::keeper::Keeper;
use phaselab_wasm::live::node::{LiveNode, Observer};
use phaselab_wasm::live::room::decode_genesis;
use phaselab_wasm::live::store::StoreError;
use phaselab_wasm::live::wire::{Channel, FRAME_BYTES_MAX, bytes_from_js, field, object};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::DedicatedWorkerGlobalScope;

use super::idb::{Clash, on_clash};
use super::random_bytes;
use super::reels::Reel;
use super::stores::{NodeStore, open_chain};
use crate::live::watch::{NodeReport, WatchFrame, WatchedEvent};
use crate::scene::NodePicture;

mod seat;

/// Reports come at least this often, in milliseconds.
const REPORT_EVERY_MS: u32 = 500;

/// A thread whose reports are further apart than this stood still: its tab was frozen, or the machine slept.
const SLEPT_MS_MIN: f64 = 3_000.0;

/// What happens within this time goes into one report, in milliseconds.
const REPORT_AFTER_MS: u32 = 20;

/// The most events of one report; observers are lossy.
const EVENTS_MAX: usize = 256;

/// The largest genesis that a worker takes.
const GENESIS_BYTES_MAX: usize = 1 << 20;

/// Runs what the page asks for. Called once per worker.
pub(crate) fn obey(order: JsValue) {
    on_clash(|clash| match clash {
        // Nothing can be written any more: the node stops before it says what it could not keep.
        Clash::Newer => tell_page("stopped", clash.text()),
        Clash::Older | Clash::Over => tell_page("waits", clash.text()),
    });
    spawn_local(async move {
        if let Err(why) = run(&order).await {
            tell_page("stopped", &why);
        }
    });
}

async fn run(order: &JsValue) -> Result<(), String> {
    let text = |name: &str| {
        field(order, name)
            .as_string()
            .ok_or_else(|| format!("the order names no {name}"))
    };
    let room = text("room")?;
    if text("role")? == "seat" {
        let invite = bytes_from_js(&field(order, "invite"), size_of::<Invite>());
        let invite = invite.and_then(|bytes| bytes.try_into().ok());
        return seat::sit(room, invite.ok_or("the order has no invite")?, text("tab")?).await;
    }
    let genesis = bytes_from_js(&field(order, "genesis"), GENESIS_BYTES_MAX)
        .ok_or("the order has no genesis")?;
    let (genesis, _) = decode_genesis(&genesis)?;
    let created_ms = field(order, "createdMs").as_f64().unwrap_or_default() as u64;
    let clock = Clock::since(created_ms);
    match text("role")?.as_str() {
        "node" => {
            let node = field(order, "node").as_f64().unwrap_or_default() as u16;
            let (secret, rows, store) = NodeStore::open(&room, node).await?;
            let (reel, id) = (store.reel(), NodeId(node));
            let recorded = Some((reel.tape(), created_ms));
            let mut host = Host::open(&genesis, id, &secret, &rows, random_bytes(), recorded)
                .map_err(|error| error.to_string())?;
            host.replica_mut().set_level(Level::Full);
            let faults = bytes_from_js(&field(order, "faults"), FRAME_BYTES_MAX);
            let nodes = genesis.members.len() as u16;
            if let Some(FaultFrame::State(faults)) =
                faults.and_then(|bytes| FaultFrame::from_bytes(&bytes, nodes))
            {
                host.broken_mut().faults = faults;
            }
            let reporter = Reporter::start(&room, text("tab")?, None)?;
            let node = LiveNode::start(
                &room,
                &genesis,
                host,
                clock,
                Rc::new(store),
                reporter.clone(),
                None,
            )?;
            reporter.follow(node, reel);
        }
        "chain" => {
            let (saved, save) = open_chain(&room).await?;
            let chain = Chain::open(&genesis, saved.as_deref())?;
            let on_stop = Rc::new(|why: StoreError| tell_page("stopped", &why.to_string()));
            // It runs for as long as its worker does.
            std::mem::forget(Keeper::start(&room, chain, clock, save, on_stop)?);
        }
        role => return Err(format!("no worker has the role {role}")),
    }
    tell_page("ready", "");
    Ok(())
}

/// A message to observers as it stands on the channel: core's encoding, which reads back or not at all.
pub(crate) fn frame_to_js(frame: &WatchFrame) -> JsValue {
    Uint8Array::from(codec::encode(frame).as_slice()).into()
}

/// Reads a message to observers; `None` if it is none.
pub(crate) fn frame_from_js(data: &JsValue) -> Option<WatchFrame> {
    codec::decode(&bytes_from_js(data, MESSAGE_BYTES_MAX)?).ok()
}

fn tell_page(kind: &str, text: &str) {
    tell_page_of(kind, &[("text", &text.into())]);
}

fn tell_page_of(kind: &str, fields: &[(&str, &JsValue)]) {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let kind = kind.into();
    let fields: Vec<(&str, &JsValue)> = fields.iter().copied().chain([("kind", &kind)]).collect();
    // A page that is gone need not be told.
    let _posted = scope.post_message(&object(&fields));
}

/// Tells observers what a node does.
struct Reporter {
    tab: String,
    node: RefCell<Option<LiveNode>>,
    watch: RefCell<Option<Channel>>,
    /// In a hybrid cluster observers are behind the gateway as well.
    uplink: Option<Uplink>,
    reel: RefCell<Option<Reel>>,
    events: RefCell<VecDeque<WatchedEvent>>,
    sequence: Cell<u64>,
    soon: RefCell<Option<Timeout>>,
    this: Weak<Reporter>,
}

impl Reporter {
    fn start(room: &str, tab: String, uplink: Option<Uplink>) -> Result<Rc<Reporter>, String> {
        let reporter = Rc::new_cyclic(|this: &Weak<Reporter>| Reporter {
            tab,
            node: RefCell::default(),
            watch: RefCell::default(),
            uplink,
            reel: RefCell::default(),
            events: RefCell::default(),
            sequence: Cell::new(0),
            soon: RefCell::default(),
            this: this.clone(),
        });
        let this = reporter.this.clone();
        let watch = Channel::open(room, Some("watch"), move |data| {
            let is_hello = matches!(frame_from_js(&data), Some(WatchFrame::Hello));
            if let Some(reporter) = this.upgrade().filter(|_| is_hello) {
                reporter.keep();
                reporter.report();
            }
        })?;
        *reporter.watch.borrow_mut() = Some(watch);
        Ok(reporter)
    }

    /// Reports regularly from now on, and sees to it that what is recorded is kept.
    fn follow(self: &Rc<Self>, node: LiveNode, reel: Reel) {
        *self.node.borrow_mut() = Some(node);
        *self.reel.borrow_mut() = Some(reel);
        self.report();
        let reporter = self.clone();
        let last_ms = Cell::new(js_sys::Date::now());
        // It runs for as long as its worker does.
        Interval::new(REPORT_EVERY_MS, move || {
            // By the time of day: other clocks stand still with the machine.
            let now_ms = js_sys::Date::now();
            let passed_ms = now_ms - last_ms.replace(now_ms);
            if passed_ms > SLEPT_MS_MIN {
                tell_page_of("slept", &[("ms", &passed_ms.into())]);
            }
            reporter.keep();
            reporter.report();
        })
        .forget();
    }

    fn keep(&self) {
        if let Some(reel) = self.reel.borrow().as_ref() {
            reel.keep();
        }
    }

    fn report_soon(&self) {
        let mut soon = self.soon.borrow_mut();
        if soon.is_none() {
            let this = self.this.clone();
            *soon = Some(Timeout::new(REPORT_AFTER_MS, move || {
                if let Some(reporter) = this.upgrade() {
                    let fired = reporter.soon.borrow_mut().take();
                    reporter.report();
                    // Its closure is this one: it must outlive the call.
                    drop(fired);
                }
            }));
        }
    }

    fn report(&self) {
        let Some(node) = self.node.borrow().clone().filter(|node| !node.is_closed()) else {
            return;
        };
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence);
        let events: Vec<WatchedEvent> = self.events.borrow_mut().drain(..).collect();
        let report = node.with(|host, now| {
            let replica = host.replica();
            NodeReport {
                node: replica.id().0,
                tab: self.tab.clone(),
                life: replica.incarnation().0,
                sequence,
                at_us: now.0 / 1_000,
                refused: replica.refused(),
                peers: host.peers() as u16,
                picture: NodePicture::of(replica.spec(), replica.view(ViewScope::Full)),
                events,
            }
        });
        let bytes = codec::encode(&WatchFrame::Node(report));
        if let Some(watch) = self.watch.borrow().as_ref() {
            watch.post(&Uint8Array::from(bytes.as_slice()));
        }
        if let Some(uplink) = &self.uplink {
            uplink.send(&ToGateway::Watch(bytes));
        }
    }
}

impl Observer for Reporter {
    fn heard(&self, node: &LiveNode, released: Vec<Released>) {
        let at_us = node.with(|_, now| now.0 / 1_000);
        let mut events = self.events.borrow_mut();
        for event in released.iter().flat_map(|released| &released.events) {
            if events.len() == EVENTS_MAX {
                events.pop_front();
            }
            events.push_back(WatchedEvent::new(at_us, event));
        }
        drop(events);
        self.report_soon();
    }

    fn stopped(&self, why: StoreError) {
        tell_page("stopped", &why.to_string());
    }
}
