//! Faults by hand: what a person breaks here is told to every tab and to every node's thread, and each tab sees to those
//! that it runs.

use std::rc::Rc;

use js_sys::Uint8Array;
use phaselab_wasm::live::faults::FaultFrame;
use phaselab_wasm::live::wire::{Channel, FRAME_BYTES_MAX, bytes_from_js};
use wasm_bindgen::JsValue;

use super::Room;
use crate::live::deeds::Deed;
use crate::live::room_state::Hosted;

impl Room {
    /// Listens to what other tabs break, and asks what is broken.
    pub(super) fn listen_to_faults(self: &Rc<Self>) -> Result<(), String> {
        let room = Rc::downgrade(self);
        let nodes = self.charter.nodes();
        let faults = Channel::open(&self.name, Some("faults"), move |data| {
            let bytes = bytes_from_js(&data, FRAME_BYTES_MAX);
            let frame = bytes.and_then(|bytes| FaultFrame::from_bytes(&bytes, nodes));
            if let (Some(room), Some(frame)) = (room.upgrade(), frame) {
                room.hear_fault(frame);
            }
        })?;
        faults.post(&frame_to_js(&FaultFrame::Hello));
        *self.faults.borrow_mut() = Some(faults);
        Ok(())
    }

    fn hear_fault(self: &Rc<Self>, frame: FaultFrame) {
        match frame {
            FaultFrame::Hello => {
                if self.state.borrow().faults.revision > 0 {
                    self.tell_faults();
                }
            }
            FaultFrame::State(told) => {
                if self.state.borrow_mut().faults.learn(told) {
                    self.obey_faults();
                }
            }
        }
    }

    /// A person breaks or heals something.
    pub(super) fn commit_deed(self: &Rc<Self>, deed: Deed) -> Result<(), String> {
        let (kind, nodes) = (self.charter.kind, self.charter.nodes());
        let now_us = js_sys::Date::now() as u64 * 1_000;
        let known = self.state.borrow().faults.clone();
        let mut next = known.clone();
        for fault in deed.faults(&known, nodes) {
            next = next.with(kind, nodes, now_us, fault)?;
        }
        self.state.borrow_mut().faults = next;
        self.tell_faults();
        self.obey_faults();
        Ok(())
    }

    fn tell_faults(&self) {
        if let Some(faults) = self.faults.borrow().as_ref() {
            faults.post(&self.faults_to_js());
        }
    }

    /// What is broken, for a thread that starts.
    pub(super) fn faults_to_js(&self) -> JsValue {
        frame_to_js(&FaultFrame::State(self.state.borrow().faults.clone()))
    }

    /// Stops and starts the threads of this tab as it is now.
    fn obey_faults(self: &Rc<Self>) {
        let changes: Vec<(u16, bool)> = {
            let state = self.state.borrow();
            let hosted = state.hosted.iter();
            let change = |(node, hosted): (&u16, &Hosted)| {
                let is_down = state.faults.is_down(*node);
                match hosted {
                    Hosted::Running if is_down => Some((*node, false)),
                    // By hand; what failed by itself is started by hand as well.
                    Hosted::Stopped { why } if why.is_empty() && !is_down => Some((*node, true)),
                    _ => None,
                }
            };
            hosted.filter_map(change).collect()
        };
        for (node, runs) in changes {
            if runs {
                self.run_node(node);
            } else {
                self.stopped(node, String::new());
            }
        }
        self.news();
    }
}

fn frame_to_js(frame: &FaultFrame) -> JsValue {
    Uint8Array::from(frame.to_bytes().as_slice()).into()
}
