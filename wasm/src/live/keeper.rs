//! The world outside of a live room: a [`Chain`] on its channel, with timers and a place to save its state.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use phaselab_core::types::Time;
use wasm_bindgen_futures::spawn_local;

use super::chain::{Chain, Told};
use super::clock::Clock;
use super::store::StoreError;
use super::wire::{ChainFrame, Channel};

/// Whether a state is saved.
pub type Save = Pin<Box<dyn Future<Output = Result<(), StoreError>>>>;

/// Begins to save the actor's state; the future says when it is durable.
pub type SaveFn = Rc<dyn Fn(Vec<u8>) -> Save>;

/// The actor of a room, until it is closed. Copies share it.
#[derive(Clone)]
pub struct Keeper(Rc<RefCell<Running>>);

struct Running {
    chain: Chain,
    clock: Clock,
    save: SaveFn,
    /// `None` once it is closed.
    channel: Option<Channel>,
    timer: Option<Timeout>,
    on_stop: Rc<dyn Fn(StoreError)>,
}

impl Keeper {
    /// Joins the room and shows every node the whole view.
    ///
    /// # Errors
    /// The browser's message, where BroadcastChannel is missing.
    pub fn start(
        room: &str,
        chain: Chain,
        clock: Clock,
        save: SaveFn,
        on_stop: Rc<dyn Fn(StoreError)>,
    ) -> Result<Keeper, String> {
        let running = Running {
            chain,
            clock,
            save,
            channel: None,
            timer: None,
            on_stop,
        };
        let keeper = Keeper(Rc::new(RefCell::new(running)));
        let listener = keeper.clone();
        let channel = Channel::open(room, Some("chain"), move |data| {
            match ChainFrame::from_js(&data) {
                Some(ChainFrame::Hello(node)) => listener.step(|chain, now| chain.hello(now, node)),
                Some(ChainFrame::Report(node, number, report)) => {
                    listener.step(|chain, now| chain.report(now, node, number, &report));
                }
                _ => {}
            }
        })?;
        channel.post(&ChainFrame::Here.to_js());
        keeper.0.borrow_mut().channel = Some(channel);
        keeper.step(Chain::start);
        Ok(keeper)
    }

    /// Leaves the room.
    pub fn close(&self) {
        let (channel, timer) = {
            let mut running = self.0.borrow_mut();
            (running.channel.take(), running.timer.take())
        };
        drop((channel, timer));
    }

    fn step(&self, input: impl FnOnce(&mut Chain, Time)) {
        let mut running = self.0.borrow_mut();
        if running.channel.is_none() {
            return;
        }
        let now = running.clock.now();
        input(&mut running.chain, now);
        if let Some(state) = running.chain.begin_save() {
            let save = (running.save)(state);
            let keeper = self.clone();
            spawn_local(async move {
                match save.await {
                    Ok(()) => keeper.saved(),
                    Err(why) => keeper.stop(why),
                }
            });
        }
        self.arm_timer(&mut running);
    }

    fn saved(&self) {
        let told = self.0.borrow_mut().chain.saved();
        if let Some(channel) = &self.0.borrow().channel {
            for told in told {
                let frame = match told {
                    Told::Fact(node, fact) => ChainFrame::Fact(node, fact),
                    Told::Taken(node, number) => ChainFrame::Taken(node, number),
                };
                channel.post(&frame.to_js());
            }
        }
        self.step(Chain::poll);
    }

    fn arm_timer(&self, running: &mut Running) {
        let Some(deadline) = running.chain.deadline() else {
            running.timer = None;
            return;
        };
        let keeper = self.clone();
        running.timer = Some(Timeout::new(running.clock.until_ms(deadline), move || {
            let fired = keeper.0.borrow_mut().timer.take();
            keeper.step(Chain::poll);
            // Its closure is this one: it must outlive the call.
            drop(fired);
        }));
    }

    fn stop(&self, why: StoreError) {
        self.close();
        let on_stop = self.0.borrow().on_stop.clone();
        on_stop(why);
    }
}
