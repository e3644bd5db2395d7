//! The event loop: one task owns the replica, and nothing leaves before the store has it.
//!
//! ```text
//! input -> replica -> Output -> Outbox -> (batch) -> store, on a thread that may block -> Durable -> Outbox -> outside
//! ```
//!
//! While one batch is on its way to the disk the node goes on handling input, and what that writes is merged into the
//! next batch: group commit. When the next batch is full, input waits. A store that fails ends the node with nothing
//! released: what it would have said was never promised.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phaselab_core::engine::To;
use phaselab_core::event::{Event, EventKind, Level};
use phaselab_core::narrate;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::recording::Input as Recorded;
use phaselab_core::replica::{Outbox, Output, Released, Replica};
use phaselab_core::store::{Durable, WriteBatch};
use phaselab_core::types::{ClientId, Hash32, InstanceId, NodeId, Time};
use phaselab_core::view::ViewScope;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::report::{self, ChainReport, Known, NodeReport, Scope};
use super::watch::Seen;
use super::{Answer, Input};
use crate::failure::{Failure, Outcome};
use crate::log::{About, note};
use crate::metrics::Metrics;
use crate::net::PeerState;
use crate::recording::Tape;
use crate::store::Store;

mod measure;
#[cfg(test)]
mod tests;

use measure::{Meter, Waiting};

/// Where a node's writes become durable.
pub(crate) trait Disk: Send + Sync + 'static {
    /// Commits a batch; returns only when it is durable.
    ///
    /// # Errors
    /// Why it is not.
    fn commit(&self, batch: &WriteBatch) -> Result<Durable, String>;
}

impl Disk for Store {
    fn commit(&self, batch: &WriteBatch) -> Result<Durable, String> {
        Store::commit(self, batch).map_err(|error| error.to_string())
    }
}

/// Where what leaves a node goes.
pub(crate) trait Outside: Send + 'static {
    /// Sends a packet to a member.
    fn send(&self, to: NodeId, packet: &Arc<[u8]>);
    /// Whether observers want every message.
    fn is_watched(&self) -> bool {
        false
    }
    /// Shows observers what happened.
    fn show(&self, _at: Time, _events: &[Event]) {}
    /// Tells the world outside.
    fn report(&self, report: Vec<u8>);
    /// What is known of the peers.
    fn peers(&self) -> Vec<PeerState>;
}

/// Clients that wait at once; the oldest requests are forgotten when there are more.
const CLIENTS_MAX: usize = 1024;
/// Instances whose names and letters are remembered, and letters of each.
const KNOWN_MAX: usize = 4096;
const LETTERS_MAX: usize = 64;
/// Accounts of this node that wait for the store; the oldest are given up when there are more.
const UNSEEN_MAX: usize = 64;
/// Outputs that wait for the store; input waits when there are more.
const HELD_MAX: usize = 65_536;
/// How long a stopping node waits for its last packets to leave.
const FLUSH: Duration = Duration::from_millis(50);

/// A node at work.
pub(crate) struct EventLoop<D, O> {
    replica: Box<dyn Replica>,
    members: Vec<(NodeId, phaselab_core::types::GroupId)>,
    outbox: Outbox,
    held: usize,
    /// Outputs that were held and are released.
    let_go: u64,
    /// Accounts of this node that show what is not durable yet: after how many outputs they may be seen, and by whom.
    unseen: VecDeque<(u64, NodeReport, oneshot::Sender<NodeReport>)>,
    disk: Arc<D>,
    outside: O,
    protocol: ProtocolKind,
    started: Instant,
    committing: Option<JoinHandle<Result<Durable, String>>>,
    waiting: BTreeMap<(ClientId, u64), Waiting>,
    known: BTreeMap<InstanceId, Known>,
    chain: ChainReport,
    meter: Meter,
    tape: Tape,
}

impl<D: Disk, O: Outside> EventLoop<D, O> {
    /// A node before its first step.
    pub(crate) fn new(
        mut replica: Box<dyn Replica>,
        members: &[phaselab_core::crypto::Member],
        disk: Arc<D>,
        outside: O,
        protocol: ProtocolKind,
    ) -> EventLoop<D, O> {
        replica.set_level(if outside.is_watched() {
            Level::Full
        } else {
            Level::Protocol
        });
        let metrics = Arc::new(Metrics::new(replica.id(), protocol));
        EventLoop {
            replica,
            meter: Meter::new(metrics),
            members: members
                .iter()
                .map(|member| (member.id, member.group))
                .collect(),
            outbox: Outbox::new(),
            held: 0,
            let_go: 0,
            unseen: VecDeque::new(),
            disk,
            outside,
            protocol,
            started: Instant::now(),
            committing: None,
            waiting: BTreeMap::new(),
            known: BTreeMap::new(),
            chain: ChainReport::default(),
            tape: Tape::off(),
        }
    }

    /// The same, recorded. The tape is begun with the moment at which the node's clock stands at zero.
    pub(crate) fn recorded(mut self, begin: impl FnOnce(&dyn Replica, Instant) -> Tape) -> Self {
        self.tape = begin(self.replica.as_ref(), self.started);
        self
    }

    /// What is counted as it happens.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.meter.metrics.clone()
    }

    /// What the store gave back, in words.
    pub(crate) fn recovered(&self) -> String {
        report::recovered(self.replica.as_ref())
    }

    /// Handles inputs until `stop` is ready, then finishes the batch that is on its way.
    ///
    /// # Errors
    /// If a commit fails.
    pub(crate) async fn run(
        mut self,
        inputs: mpsc::Receiver<Input>,
        stop: impl Future<Output = ()>,
    ) -> Outcome {
        let ended = self.work(inputs, stop).await;
        self.tape.finish();
        ended
    }

    async fn work(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        stop: impl Future<Output = ()>,
    ) -> Outcome {
        let mut stop = pin!(stop);
        let now = self.now();
        let output = self.replica.start(now);
        self.absorb(now, Recorded::Start, output);
        loop {
            self.commit_next();
            let deadline = self
                .replica
                .deadline()
                .map(|at| self.started + Duration::from_nanos(at.0));
            let full = self.outbox.is_full() || self.held >= HELD_MAX;
            tokio::select! {
                biased;
                () = &mut stop => break,
                durable = committed(&mut self.committing) => self.on_durable(durable?),
                () = sleep_until(deadline), if !full => {
                    self.meter.metrics.input("timer");
                    let now = self.now();
                    let output = self.replica.tick(now);
                    self.absorb(now, Recorded::Tick, output);
                }
                input = inputs.recv(), if !full => match input {
                    Some(input) => self.on_input(input),
                    None => break,
                },
            }
        }
        note(tracing::Level::INFO, About::default(), "stopping");
        self.commit_next();
        while self.committing.is_some() {
            let durable = committed(&mut self.committing).await?;
            self.on_durable(durable);
            self.commit_next();
        }
        tokio::time::sleep(FLUSH).await;
        Ok(())
    }

    /// Monotonic time since this process started.
    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn on_input(&mut self, input: Input) {
        let now = self.now();
        let metrics = &self.meter.metrics;
        let (input, output) = match input {
            Input::Packet { peer, bytes } => {
                metrics.input("packet");
                let opened = self.replica.open(&bytes);
                if let Err(why) = &opened {
                    self.meter.refused(why);
                    note(
                        tracing::Level::WARN,
                        About::peer(peer),
                        format!("refused a packet: {why}"),
                    );
                }
                let output = self
                    .replica
                    .receive(now, opened.as_ref().map_err(|why| *why));
                (Recorded::Packet(bytes), output)
            }
            Input::Peer { peer, up } => match self.protocol.peer_fact(peer, up) {
                Some(fact) => {
                    metrics.input("fact");
                    let output = self.replica.fact(now, &fact);
                    (Recorded::Fact(fact), output)
                }
                None => return,
            },
            Input::Submit {
                client,
                number,
                request,
                replies,
            } => {
                metrics.input("submit");
                self.await_reply((client, number), replies);
                let output = self.replica.request(now, client, number, &request);
                let input = Recorded::Request {
                    client,
                    number,
                    request,
                };
                (input, output)
            }
            Input::Fact(fact) => {
                metrics.input("fact");
                let output = self.replica.fact(now, &fact);
                (Recorded::Fact(fact), output)
            }
            Input::Look(answer) => {
                let _ = answer.send(Seen::of(self.replica.as_ref(), now));
                return;
            }
            Input::Status(scope, answer) => {
                self.show(scope, answer);
                return;
            }
            Input::Measure(answer) => {
                let _ = answer.send(self.sample());
                return;
            }
            Input::Chain { up } => {
                if up != self.chain.connected {
                    note(
                        tracing::Level::INFO,
                        About::default(),
                        if up {
                            "chain connected"
                        } else {
                            "chain unreachable"
                        },
                    );
                }
                self.chain.connected = up;
                return;
            }
        };
        self.absorb(now, input, output);
    }

    fn await_reply(&mut self, key: (ClientId, u64), replies: mpsc::Sender<Answer>) {
        self.waiting
            .retain(|_, waiting| !waiting.replies.is_closed());
        if self.waiting.len() == CLIENTS_MAX {
            self.waiting.pop_first();
        }
        let since = Instant::now();
        self.waiting.insert(key, Waiting { replies, since });
    }

    fn absorb(&mut self, now: Time, input: Recorded, output: Output) {
        self.tape.input(now, input, &output);
        if output.is_empty() {
            return;
        }
        match self.outbox.push(output) {
            Some(released) => self.release(released),
            None => self.held += 1,
        }
    }

    /// Hands the next batch to a thread that may block, if the store is idle.
    fn commit_next(&mut self) {
        if self.committing.is_none()
            && let Some(batch) = self.outbox.take_batch()
        {
            let (disk, metrics) = (self.disk.clone(), self.metrics());
            self.committing = Some(tokio::task::spawn_blocking(move || {
                metrics.commit(batch.writes().len(), || disk.commit(&batch))
            }));
        }
    }

    fn on_durable(&mut self, durable: Durable) {
        self.tape.durable(self.now(), &durable);
        for released in self.outbox.durable(durable) {
            self.held -= 1;
            self.let_go += 1;
            self.release(released);
        }
        while let Some((_, report, answer)) = self
            .unseen
            .pop_front_if(|(after, ..)| *after <= self.let_go)
        {
            let _ = answer.send(report);
        }
    }

    /// Gives an account of this node once what it shows is durable: nothing that was seen is unseen after a restart.
    fn show(&mut self, scope: Scope, answer: oneshot::Sender<NodeReport>) {
        let report = self.report(scope);
        if self.held == 0 {
            let _ = answer.send(report);
            return;
        }
        self.unseen.retain(|(.., waiting)| !waiting.is_closed());
        if self.unseen.len() == UNSEEN_MAX {
            self.unseen.pop_front();
        }
        let after = self.let_go + self.held as u64;
        self.unseen.push_back((after, report, answer));
    }

    fn release(&mut self, released: Released) {
        self.outside.show(self.now(), &released.events);
        for event in &released.events {
            self.meter.metrics.event(event.kind);
            self.tell(event);
        }
        for outgoing in &released.sends {
            for to in self.receivers(outgoing.to) {
                self.meter.metrics.packet_sent();
                self.outside.send(to, &outgoing.packet);
            }
        }
        for report in released.reports {
            self.chain.reported += 1;
            self.outside.report(report);
        }
        for (client, number, reply) in released.replies {
            self.answer((client, number), &reply);
        }
    }

    fn receivers(&self, to: To) -> Vec<NodeId> {
        let own = self.replica.id();
        let others = self.members.iter().filter(|(id, _)| *id != own);
        match to {
            To::Node(id) => vec![id],
            To::Group(group) => others
                .filter(|(_, of)| *of == group)
                .map(|(id, _)| *id)
                .collect(),
            To::All => others.map(|(id, _)| *id).collect(),
        }
    }

    fn answer(&mut self, key: (ClientId, u64), reply: &[u8]) {
        let Some(view) = self.protocol.read_reply(reply) else {
            return;
        };
        let Some(waiting) = self.waiting.get(&key) else {
            return;
        };
        let is_last = view.last;
        if is_last {
            let waited = waiting.since.elapsed();
            self.meter.metrics.answered(view.outcome, waited);
        }
        let label = view.value.and_then(|value| self.label_of_value(value));
        let parts = self.protocol.reply_parts(reply);
        let answer = Answer { view, label, parts };
        let is_over = is_last || answer.is_elsewhere();
        let gone = waiting.replies.try_send(answer).is_err();
        if is_over || gone {
            self.waiting.remove(&key);
        }
    }

    /// Logs an event, with the same sentence that the simulator tells.
    fn tell(&mut self, event: &Event) {
        let (spec, id) = (self.replica.spec(), self.replica.id());
        let known = event
            .instance
            .map(|instance| self.know(instance, event.value));
        let letter = known
            .zip(event.value)
            .and_then(|(known, value)| known.letter(value));
        let sentence = narrate::sentence(spec, id, event, letter.as_deref());
        let level = match event.kind {
            EventKind::Evidence => tracing::Level::WARN,
            // Said already, with the reason.
            EventKind::Refused => tracing::Level::DEBUG,
            kind if narrate::is_told(kind) => tracing::Level::INFO,
            _ => tracing::Level::DEBUG,
        };
        let name = known.map(|known| known.name.as_str());
        let about = About {
            event: name,
            round: event.instance.map(|_| event.round.0),
            peer: event.peer,
        };
        note(level, about, sentence);
    }

    /// What people call an instance; a value that appears for the first time gets the next letter.
    fn know(&mut self, instance: InstanceId, value: Option<Hash32>) -> &Known {
        if !self.known.contains_key(&instance) {
            if self.known.len() == KNOWN_MAX {
                self.known.pop_first();
            }
            let view = self
                .replica
                .view(ViewScope::Instance(instance))
                .instances
                .into_iter()
                .next();
            let name = view.map_or_else(|| instance.0.short().to_string(), |view| view.name);
            self.known.insert(
                instance,
                Known {
                    name,
                    values: Vec::new(),
                },
            );
        }
        let known = self.known.entry(instance).or_default();
        if let Some(value) = value
            && !known.values.contains(&value)
            && known.values.len() < LETTERS_MAX
        {
            known.values.push(value);
        }
        known
    }

    fn label_of_value(&self, value: Hash32) -> Option<String> {
        self.known.values().find_map(|known| known.letter(value))
    }

    fn report(&self, scope: Scope) -> NodeReport {
        report::of(
            self.replica.as_ref(),
            scope,
            &self.known,
            self.started.elapsed(),
            &self.outside.peers(),
            self.chain,
            self.outbox.group_commits(),
        )
    }
}

/// Waits for the commit that is on its way; for ever if there is none.
async fn committed(
    committing: &mut Option<JoinHandle<Result<Durable, String>>>,
) -> Result<Durable, Failure> {
    let Some(task) = committing else {
        return std::future::pending().await;
    };
    let result = task.await;
    *committing = None;
    match result {
        Ok(Ok(durable)) => Ok(durable),
        Ok(Err(what)) => Err(Failure::Failed(format!(
            "{what}; the node stops, and nothing of this write was sent"
        ))),
        Err(panic) => Err(Failure::Failed(format!(
            "the store failed: {panic}; the node stops, and nothing of this write was sent"
        ))),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
