//! A seat in a hybrid cluster: an invite, a worker that holds the key, and what the gateway says.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_timers::callback::Interval;
use js_sys::{Function, Promise, Uint8Array};
use phaselab_core::crypto::Transcript;
use phaselab_core::gateway::{FRAME_BYTES_MAX, FromGateway, Invite, Placed};
use phaselab_wasm::live::room::decode_genesis;
use phaselab_wasm::live::wire::{bytes_from_js, field};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::slots::Slot;
use super::threads::Thread;
use super::{OnNews, Room, RoomHandle, new_state};
use crate::browser::locks::Locks;
use crate::browser::stores::Charter;
use crate::live::room_state::{Notice, Seat};

/// The largest genesis that a page takes.
const GENESIS_BYTES_MAX: usize = 1 << 20;

/// How often the page looks at what is silent, in milliseconds.
const LOOK_EVERY_MS: u32 = 1_000;

/// What a page with an invite waits for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Waiting {
    /// The gateway answers.
    Gateway,
    /// Another tab has this seat.
    OtherTab,
    /// The lobby is not complete.
    Lobby {
        you: u16,
        needed: u16,
        joined: Vec<Placed>,
    },
}

/// Where what the worker says goes: to whoever waits, and to the room once there is one.
#[derive(Default)]
struct Hearing {
    room: RefCell<Option<Rc<Room>>>,
    begun: RefCell<Option<(Function, Function)>>,
}

impl RoomHandle {
    /// Takes the seat of an invite, or returns to it, and waits until the cluster begins.
    ///
    /// # Errors
    /// Why there is no seat.
    pub(crate) async fn sit(
        invite: Invite,
        on_wait: Rc<dyn Fn(Waiting)>,
        on_news: OnNews,
    ) -> Result<RoomHandle, String> {
        let name = seat_name(&invite);
        // Only one tab runs a seat; where there are no locks, the fence of its store sees to that.
        let mut presence = None;
        if let Some(locks) = Locks::open() {
            let lock = format!("phaselab/{name}");
            if locks.held().await.contains(&lock) {
                on_wait(Waiting::OtherTab);
            }
            presence = locks.acquire(&lock).await;
        }
        on_wait(Waiting::Gateway);
        let hearing = Rc::new(Hearing::default());
        let begun = Promise::new(&mut |begun, refused| {
            hearing.begun.replace(Some((begun, refused)));
        });
        let thread = start(&name, &invite, &hearing, on_wait)?;
        let begun = JsFuture::from(begun)
            .await
            .map_err(|why| why.as_string().unwrap_or_default())?;
        let charter = charter(&begun)?;
        let you = field(&begun, "node").as_f64().unwrap_or_default() as u16;
        let mut state = new_state(&charter);
        state.sit(Seat::new(you));
        state.notice = Notice::Shared;
        let room = Rc::new(Room::new(name, charter, None, Some(invite), state, on_news));
        room.presence.replace(presence);
        room.listen()?;
        let mut release = None;
        let _until_given_up = Promise::new(&mut |resolve, _| release = Some(resolve));
        if let Some(release) = release {
            let slot = Slot {
                thread: Some(thread),
                release,
            };
            room.slots.borrow_mut().insert(you, slot);
        }
        hearing.room.replace(Some(room.clone()));
        let looking = Rc::downgrade(&room);
        room.interval
            .replace(Some(Interval::new(LOOK_EVERY_MS, move || {
                if let Some(room) = looking.upgrade() {
                    room.look();
                }
            })));
        Ok(RoomHandle { room })
    }
}

/// A room of its own for each invite.
fn seat_name(invite: &Invite) -> String {
    let hash = Transcript::new("phaselab 2026-11 seat name v1")
        .bytes(invite)
        .finish();
    format!("seat-{}", &hash.to_string()[..16])
}

fn charter(begun: &JsValue) -> Result<Charter, String> {
    let genesis = bytes_from_js(&field(begun, "genesis"), GENESIS_BYTES_MAX);
    let (genesis, kind) = decode_genesis(&genesis.unwrap_or_default())?;
    Ok(Charter {
        genesis,
        kind,
        created_ms: field(begun, "createdMs").as_f64().unwrap_or_default() as u64,
    })
}

fn start(
    name: &str,
    invite: &Invite,
    hearing: &Rc<Hearing>,
    on_wait: Rc<dyn Fn(Waiting)>,
) -> Result<Thread, String> {
    let order: &[(&str, &JsValue)] = &[
        ("role", &"seat".into()),
        ("room", &name.into()),
        ("invite", &Uint8Array::from(invite.as_slice())),
        ("tab", &"browser".into()),
    ];
    let (heard, failed) = (hearing.clone(), hearing.clone());
    Thread::start(
        order,
        move |data| heard.hear(data, &on_wait),
        move |why| failed.stopped(why),
    )
}

impl Hearing {
    fn hear(&self, data: &JsValue, on_wait: &Rc<dyn Fn(Waiting)>) {
        let text = |name: &str| field(data, name).as_string().unwrap_or_default();
        match text("kind").as_str() {
            "begun" => {
                if let Some((begun, _)) = self.begun.take() {
                    let _resolved = begun.call1(&JsValue::UNDEFINED, data);
                }
            }
            "stopped" => self.stopped(text("text")),
            "slept" | "waits" => {
                if let Some(room) = self.room.borrow().as_ref() {
                    let you = room.state.borrow().seat.as_ref().map(|seat| seat.you);
                    room.hear_thread(you, data);
                }
            }
            "gone" => {
                on_wait(Waiting::Gateway);
                self.change(|seat| seat.online = None);
            }
            "gateway" => {
                let bytes = bytes_from_js(&field(data, "bytes"), FRAME_BYTES_MAX);
                match bytes.and_then(|bytes| FromGateway::decode(&bytes)) {
                    Some(FromGateway::Lobby {
                        you,
                        needed,
                        joined,
                    }) => on_wait(Waiting::Lobby {
                        you: you.0,
                        needed,
                        joined,
                    }),
                    Some(FromGateway::Online(online)) => self.change(|seat| {
                        seat.online = Some(online);
                        seat.refusal.clear();
                    }),
                    Some(FromGateway::Refused(why)) => self.change(|seat| seat.refusal = why),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn change(&self, change: impl FnOnce(&mut Seat)) {
        if let Some(room) = self.room.borrow().as_ref() {
            if let Some(seat) = room.state.borrow_mut().seat.as_mut() {
                change(seat);
            }
            room.news();
        }
    }

    fn stopped(&self, why: String) {
        if let Some((_, refused)) = self.begun.take() {
            let _rejected = refused.call1(&JsValue::UNDEFINED, &why.into());
        } else if let Some(room) = self.room.borrow().as_ref() {
            let you = room.state.borrow().seat.as_ref().map(|seat| seat.you);
            room.on_thread_stopped(you, why);
        }
    }
}

impl Room {
    /// Starts the seat's worker again.
    pub(super) fn spawn_seat(self: &Rc<Self>) -> Result<Thread, String> {
        let Some(invite) = &self.seat else {
            return Err("this room has no seat".to_owned());
        };
        let hearing = Hearing::default();
        hearing.room.replace(Some(self.clone()));
        start(&self.name, invite, &Rc::new(hearing), Rc::new(|_| {}))
    }
}
