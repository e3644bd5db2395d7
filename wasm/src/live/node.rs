//! A live node: a [`Host`] on the channels of its room or behind a gateway, with timers and a store.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use gloo_timers::callback::Timeout;
use gloo_timers::future::sleep;
use phaselab_core::engine::{Genesis, To};
use phaselab_core::gateway::{FromGateway, ToGateway};
use phaselab_core::replica::{Outgoing, Released};
use phaselab_core::store::Durable;
use phaselab_core::types::{ClientId, Duration, NodeId, Time};
use wasm_bindgen_futures::spawn_local;

use super::clock::Clock;
use super::faults::{FaultFrame, RoomFaults};
use super::gateway::Uplink;
use super::host::Host;
use super::store::{Store, StoreError};
use super::wire::{ChainFrame, Channel, ClientFrame, FRAME_BYTES_MAX, Packet, bytes_from_js};

/// The most reports that wait for the world outside to take them.
const REPORTS_WAITING_MAX: usize = 256;

/// The most packets that are late on purpose at once; more are lost.
const LATE_MAX: usize = 4_096;

/// The most inputs that wait while a node stands still; more are lost.
const HELD_MAX: usize = 4_096;

/// What a node tells the thread that runs it. Never called while the node is in a step.
pub trait Observer {
    /// Something left the node, or something was refused.
    fn heard(&self, node: &LiveNode, released: Vec<Released>);
    /// The node stopped by itself.
    fn stopped(&self, why: StoreError);
}

/// A node that runs in this thread until it is closed. Copies share it.
#[derive(Clone)]
pub struct LiveNode(Rc<RefCell<Running>>);

struct Running {
    host: Host,
    members: Vec<(NodeId, phaselab_core::types::GroupId)>,
    clock: Clock,
    store: Rc<dyn Store>,
    observer: Rc<dyn Observer>,
    /// `None` once it is closed.
    channels: Option<Channels>,
    timer: Option<(Time, Timeout)>,
    /// Not taken yet, by number in this life.
    reports: VecDeque<(u64, Vec<u8>)>,
    reported: u64,
    /// What came while the node stands still.
    held: VecDeque<Handling>,
    /// How many packets are late on purpose.
    late: Rc<Cell<usize>>,
}

/// What handles an input.
type Handling = Box<dyn FnOnce(&mut Host, Time) -> Vec<Released>>;

struct Channels {
    road: Road,
    clients: Channel,
    _faults: Channel,
}

/// How a node reaches the others and the world outside.
enum Road {
    Room { packets: Channel, chain: Channel },
    Gateway(Uplink),
}

impl LiveNode {
    /// Joins the room and makes the first step. With an uplink the room is this node's alone, and what the gateway says
    /// is the caller's to pass on to [`LiveNode::hear`].
    ///
    /// # Errors
    /// The browser's message, where BroadcastChannel is missing.
    pub fn start(
        room: &str,
        genesis: &Genesis,
        host: Host,
        clock: Clock,
        store: Rc<dyn Store>,
        observer: Rc<dyn Observer>,
        uplink: Option<Uplink>,
    ) -> Result<LiveNode, String> {
        let members = genesis
            .members
            .iter()
            .map(|member| (member.id, member.group))
            .collect();
        let node = LiveNode(Rc::new(RefCell::new(Running {
            host,
            members,
            clock,
            store,
            observer,
            channels: None,
            timer: None,
            reports: VecDeque::new(),
            reported: 0,
            held: VecDeque::new(),
            late: Rc::default(),
        })));
        let road = match uplink {
            Some(uplink) => Road::Gateway(uplink),
            None => node.open_road(room)?,
        };
        let channels = Channels {
            road,
            clients: node.open_clients(room)?,
            _faults: node.open_faults(room)?,
        };
        node.0.borrow_mut().channels = Some(channels);
        node.step(Host::start);
        let id = node.id();
        node.0.borrow().on_chain(&ChainFrame::Hello(id));
        Ok(node)
    }

    /// Which member this is.
    pub fn id(&self) -> NodeId {
        self.0.borrow().host.replica().id()
    }

    /// Looks at the node.
    pub fn with<T>(&self, look: impl FnOnce(&Host, Time) -> T) -> T {
        let running = self.0.borrow();
        look(&running.host, running.clock.now())
    }

    /// The gateway said something.
    pub fn hear(&self, frame: FromGateway) {
        match frame {
            FromGateway::Packet(bytes) => self.step(move |host, now| host.packet(now, &bytes)),
            FromGateway::Fact(fact) => self.step(move |host, now| host.fact(now, &fact)),
            FromGateway::Taken(number) => self.taken(number),
            FromGateway::Welcome { .. } => self.0.borrow().repeat_reports(),
            _ => {}
        }
    }

    /// A client of this thread asks.
    pub fn request(&self, client: ClientId, number: u64, request: Vec<u8>) {
        self.step(move |host, now| host.request(now, client, number, &request));
    }

    /// What is broken on purpose changed. A node that goes on handles what came while it stood still, in order.
    pub fn learn(&self, faults: RoomFaults) {
        {
            let mut running = self.0.borrow_mut();
            if !running.host.broken_mut().faults.learn(faults) || running.is_paused() {
                return;
            }
        }
        loop {
            let next = {
                let mut running = self.0.borrow_mut();
                match running.is_paused() {
                    true => None,
                    false => running.held.pop_front(),
                }
            };
            match next {
                Some(handling) => self.handle(handling),
                None => return,
            }
        }
    }

    /// Leaves the room: channels, timers and all. What is on its way into the store may still arrive there.
    pub fn close(&self) {
        let (channels, timer) = {
            let mut running = self.0.borrow_mut();
            (running.channels.take(), running.timer.take())
        };
        if let Some(Road::Gateway(uplink)) = channels.as_ref().map(|channels| &channels.road) {
            uplink.close();
        }
        drop((channels, timer));
    }

    /// Whether it was closed, or stopped by itself.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().channels.is_none()
    }

    fn open_road(&self, room: &str) -> Result<Road, String> {
        let id = self.id();
        let node = self.clone();
        let packets = Channel::open(room, None, move |data| match Packet::from_js(&data) {
            Ok(packet) if packet.to.is_empty() || packet.to.contains(&id) => {
                node.step(move |host, now| host.packet(now, &packet.bytes));
            }
            Ok(_) => {}
            Err(bytes) => node.step(move |host, now| host.junk(now, bytes)),
        })?;
        let node = self.clone();
        let chain = Channel::open(room, Some("chain"), move |data| {
            match ChainFrame::from_js(&data) {
                Some(ChainFrame::Fact(to, fact)) if to == id => {
                    node.step(move |host, now| host.fact(now, &fact))
                }
                Some(ChainFrame::Taken(to, number)) if to == id => {
                    let life = node.0.borrow().host.replica().incarnation().0;
                    let number = number.strip_prefix(&format!("{life}."));
                    if let Some(number) = number.and_then(|number| number.parse().ok()) {
                        node.taken(number);
                    }
                }
                Some(ChainFrame::Here) => node.0.borrow().repeat_reports(),
                _ => {}
            }
        })?;
        Ok(Road::Room { packets, chain })
    }

    fn open_clients(&self, room: &str) -> Result<Channel, String> {
        let (id, node) = (self.id(), self.clone());
        Channel::open(room, Some("client"), move |data| {
            if let Some(ClientFrame::Submit {
                to,
                client,
                number,
                request,
            }) = ClientFrame::from_js(&data)
                && (to.is_empty() || to.contains(&id))
            {
                node.request(client, number, request);
            }
        })
    }

    fn open_faults(&self, room: &str) -> Result<Channel, String> {
        let node = self.clone();
        let nodes = self.0.borrow().members.len() as u16;
        Channel::open(room, Some("faults"), move |data| {
            let bytes = bytes_from_js(&data, FRAME_BYTES_MAX);
            let frame = bytes.and_then(|bytes| FaultFrame::from_bytes(&bytes, nodes));
            if let Some(FaultFrame::State(faults)) = frame {
                node.learn(faults);
            }
        })
    }

    /// The world outside has kept a report.
    fn taken(&self, number: u64) {
        let reports = &mut self.0.borrow_mut().reports;
        reports.retain(|(waiting, _)| *waiting != number);
    }

    /// One input: handled now, or when the node no longer stands still.
    fn step(&self, input: impl FnOnce(&mut Host, Time) -> Vec<Released> + 'static) {
        let handling: Handling = Box::new(input);
        {
            let mut running = self.0.borrow_mut();
            if running.is_paused() {
                if running.held.len() < HELD_MAX {
                    running.held.push_back(handling);
                }
                return;
            }
        }
        self.handle(handling);
    }

    /// A batch is durable: never lost, also while the node stands still.
    fn committed(&self, durable: Durable) {
        let handling: Handling = Box::new(move |host, now| host.committed(now, durable));
        let is_paused = self.0.borrow().is_paused();
        match is_paused {
            true => self.0.borrow_mut().held.push_back(handling),
            false => self.handle(handling),
        }
    }

    /// Handles an input, lets out what may leave, begins a commit and arms the timer.
    fn handle(&self, input: Handling) {
        let (released, observer) = {
            let mut running = self.0.borrow_mut();
            if running.channels.is_none() {
                return;
            }
            let refused = running.host.replica().refused();
            let now = running.clock.now();
            let released = input(&mut running.host, now);
            for released in &released {
                running.let_out(released, self);
            }
            self.begin_commit(&mut running);
            self.arm_timer(&mut running);
            let is_news = !released.is_empty() || running.host.replica().refused() != refused;
            (released, is_news.then(|| running.observer.clone()))
        };
        if let Some(observer) = observer {
            observer.heard(self, released);
        }
    }

    fn begin_commit(&self, running: &mut Running) {
        let Some(batch) = running.host.begin_commit() else {
            return;
        };
        // The writes are placed here, before anything is awaited.
        let commit = running.store.commit(batch);
        let node = self.clone();
        spawn_local(async move {
            match commit.await {
                Ok(durable) => node.committed(durable),
                Err(why) => node.stop(why),
            }
        });
    }

    fn arm_timer(&self, running: &mut Running) {
        let Some(deadline) = running.host.deadline() else {
            running.timer = None;
            return;
        };
        if running
            .timer
            .as_ref()
            .is_some_and(|(at, _)| *at == deadline)
        {
            return;
        }
        let node = self.clone();
        let timeout = Timeout::new(running.clock.until_ms(deadline), move || {
            let fired = node.0.borrow_mut().timer.take();
            node.step(Host::tick);
            // Its closure is this one: it must outlive the call.
            drop(fired);
        });
        running.timer = Some((deadline, timeout));
    }

    async fn send_late(self, to: NodeId, by: Duration, bytes: Vec<u8>) {
        sleep(std::time::Duration::from_nanos(by.0)).await;
        let running = self.0.borrow();
        running.late.set(running.late.get() - 1);
        // Cut while it was on its way.
        if !running.host.broken().is_mute_to(to) {
            running.send(vec![to], bytes);
        }
    }

    fn stop(&self, why: StoreError) {
        if self.is_closed() {
            return;
        }
        self.close();
        let observer = self.0.borrow().observer.clone();
        observer.stopped(why);
    }
}

impl Running {
    fn is_paused(&self) -> bool {
        let faults = &self.host.broken().faults;
        !faults.paused.is_empty() && faults.is_paused(self.host.replica().id().0)
    }

    fn let_out(&mut self, released: &Released, node: &LiveNode) {
        for outgoing in &released.sends {
            let to = self.receivers(outgoing);
            let ways = self.host.broken_mut().ways(to);
            if let Some(to) = ways.now {
                self.send(to, outgoing.packet.to_vec());
            }
            for (to, by) in ways.late {
                if self.late.get() < LATE_MAX {
                    let bytes = outgoing.packet.to_vec();
                    self.late.set(self.late.get() + 1);
                    spawn_local(node.clone().send_late(to, by, bytes));
                }
            }
        }
        let id = self.host.replica().id();
        for (client, number, reply) in &released.replies {
            let reply = ClientFrame::Reply {
                from: id,
                client: *client,
                number: *number,
                reply: reply.clone(),
            };
            if let Some(channels) = &self.channels {
                channels.clients.post(&reply.to_js());
            }
        }
        for report in &released.reports {
            self.reported += 1;
            self.report(self.reported, report);
            if self.reports.len() == REPORTS_WAITING_MAX {
                self.reports.pop_front();
            }
            self.reports.push_back((self.reported, report.clone()));
        }
    }

    /// Sends to these members, or to all if there are none.
    fn send(&self, to: Vec<NodeId>, bytes: Vec<u8>) {
        match self.channels.as_ref().map(|channels| &channels.road) {
            Some(Road::Room { packets, .. }) => packets.post(&Packet { to, bytes }.to_js()),
            Some(Road::Gateway(uplink)) => send_through(uplink, &to, bytes),
            None => {}
        }
    }

    fn receivers(&self, outgoing: &Outgoing) -> Vec<NodeId> {
        match outgoing.to {
            To::All => Vec::new(),
            To::Node(node) => vec![node],
            To::Group(group) => self
                .members
                .iter()
                .filter(|(_, of)| *of == group)
                .map(|(id, _)| *id)
                .collect(),
        }
    }

    fn repeat_reports(&self) {
        for (number, report) in &self.reports {
            self.report(*number, report);
        }
    }

    fn report(&self, number: u64, report: &[u8]) {
        if let Some(Road::Gateway(uplink)) = self.channels.as_ref().map(|channels| &channels.road) {
            let bytes = report.to_vec();
            return uplink.send(&ToGateway::Report { number, bytes });
        }
        let replica = self.host.replica();
        // With the life: the actor may still know an earlier one's.
        let number = format!("{}.{number}", replica.incarnation().0);
        self.on_chain(&ChainFrame::Report(replica.id(), number, report.to_vec()));
    }

    fn on_chain(&self, frame: &ChainFrame) {
        if let Some(Road::Room { chain, .. }) =
            self.channels.as_ref().map(|channels| &channels.road)
        {
            chain.post(&frame.to_js());
        }
    }
}

/// Sends a packet to these members, or to all if there are none.
fn send_through(uplink: &Uplink, to: &[NodeId], bytes: Vec<u8>) {
    if to.is_empty() {
        return uplink.send(&ToGateway::Packet { to: None, bytes });
    }
    for node in to {
        uplink.send(&ToGateway::Packet {
            to: Some(*node),
            bytes: bytes.clone(),
        });
    }
}
