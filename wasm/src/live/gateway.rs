//! The way through the gateway of a hybrid cluster: one WebSocket, opened again whenever it closes.
//!
//! A frame that finds no connection, or one whose other end does not read, is lost, as on any network.

use std::cell::RefCell;
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use js_sys::{ArrayBuffer, Uint8Array};
use phaselab_core::gateway::{FRAME_BYTES_MAX, FromGateway, Nonce, ToGateway};
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, MessageEvent, WebSocket};

/// The pause before a connection is tried again, in milliseconds: longer each time, up to the longest.
const BACKOFF_MS: (u32, u32) = (250, 4_000);

/// The most that waits in the browser, in bytes.
const BUFFERED_MAX: u32 = 8 << 20;

/// Answers the gateway's challenge with the first frame of a connection.
pub type Greet = Box<dyn Fn(&Nonce) -> ToGateway>;

/// Hears a frame, also as it came, or that the connection is gone.
pub type Hear = Box<dyn Fn(Option<(FromGateway, Uint8Array)>)>;

/// The way to a gateway, until it is closed. Copies share it.
#[derive(Clone)]
pub struct Uplink(Rc<Inner>);

struct Inner {
    url: String,
    greet: Greet,
    hear: Hear,
    open: RefCell<Option<Open>>,
    again: RefCell<Option<Timeout>>,
    backoff_ms: RefCell<u32>,
}

/// A WebSocket and what listens to it; closed when it is dropped.
struct Open {
    socket: WebSocket,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // One that is closed already stays so.
        let _closed = self.socket.close();
    }
}

impl Uplink {
    /// The way to a gateway, `ws://host/ws`, before it is taken.
    pub fn new(url: String, greet: Greet, hear: Hear) -> Uplink {
        Uplink(Rc::new(Inner {
            url,
            greet,
            hear,
            open: RefCell::default(),
            again: RefCell::default(),
            backoff_ms: RefCell::new(BACKOFF_MS.0),
        }))
    }

    /// Sends a frame, if that goes now.
    pub fn send(&self, frame: &ToGateway) {
        let frame = frame.encode();
        if let Some(open) = self.0.open.borrow().as_ref()
            && frame.len() <= FRAME_BYTES_MAX
            && open.socket.ready_state() == WebSocket::OPEN
            && open.socket.buffered_amount() < BUFFERED_MAX
        {
            let _lost = open.socket.send_with_u8_array(&frame);
        }
    }

    /// Leaves the gateway, until it is connected to again. Not to be called from within what hears it.
    pub fn close(&self) {
        let open = self.0.open.borrow_mut().take();
        let again = self.0.again.borrow_mut().take();
        drop((open, again));
    }

    /// Connects, and again whenever the connection is gone.
    pub fn connect(&self) {
        let Ok(socket) = WebSocket::new(&self.0.url) else {
            return self.connect_later();
        };
        socket.set_binary_type(BinaryType::Arraybuffer);
        let uplink = self.clone();
        let on_message = Closure::new(move |event: MessageEvent| uplink.on_message(&event.data()));
        let uplink = self.clone();
        let on_close = Closure::new(move || {
            (uplink.0.hear)(None);
            uplink.connect_later();
        });
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        *self.0.open.borrow_mut() = Some(Open {
            socket,
            _on_message: on_message,
            _on_close: on_close,
        });
    }

    fn connect_later(&self) {
        let mut backoff_ms = self.0.backoff_ms.borrow_mut();
        let uplink = self.clone();
        let again = Timeout::new(*backoff_ms, move || {
            let fired = uplink.0.again.borrow_mut().take();
            // The one before is closed, and goes.
            let before = uplink.0.open.borrow_mut().take();
            drop(before);
            uplink.connect();
            // Its closure is this one: it must outlive the call.
            drop(fired);
        });
        *backoff_ms = (*backoff_ms * 2).min(BACKOFF_MS.1);
        *self.0.again.borrow_mut() = Some(again);
    }

    fn on_message(&self, data: &JsValue) {
        let Some(buffer) = data.dyn_ref::<ArrayBuffer>() else {
            return;
        };
        if buffer.byte_length() as usize > FRAME_BYTES_MAX {
            return;
        }
        let raw = Uint8Array::new(buffer);
        match FromGateway::decode(&raw.to_vec()) {
            Some(FromGateway::Challenge(nonce)) => self.send(&(self.0.greet)(&nonce)),
            Some(frame) => {
                if !matches!(frame, FromGateway::Refused(_)) {
                    *self.0.backoff_ms.borrow_mut() = BACKOFF_MS.0;
                }
                (self.0.hear)(Some((frame, raw)));
            }
            None => {}
        }
    }
}
