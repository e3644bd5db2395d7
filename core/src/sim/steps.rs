//! Steps: what is due is handed to a node, and what comes out goes on its way.

use super::log::{CauseId, Told};
use super::network::{Packet, What};
use super::{ClientReply, ClientRequest, Decision, Sim, global_time, local_time};
use crate::entropy::{Purpose, draw, scale};
use crate::event::{Event, EventKind, Level};
use crate::replica::{Output, Released};
use crate::scenario::{CrashPoint, Schedule};
use crate::types::{ClientId, Duration, NodeId, Round, Time};

impl Sim {
    /// `None` if nothing happened; else the node at which it happened.
    pub(super) fn deliver(&mut self, packet: u32, to: NodeId) -> Option<Option<NodeId>> {
        let from = self.net.packet(packet).from;
        if self.slot(to).replica.is_none() || self.net.is_cut(from, to) {
            self.drop_message(packet, to);
            self.net.release(packet);
            return Some(Some(to));
        }
        if self.slot(to).crash == Some(CrashPoint::BeforeHandling) {
            self.net.release(packet);
            self.crash(to);
            return Some(Some(to));
        }
        let now = self.local_time(to);
        let Packet {
            digest,
            mut info,
            cause: sent,
            ..
        } = *self.net.packet(packet);
        self.hash_step(b'd', to, &digest);
        let replica = self.slots[usize::from(to.0) - 1].replica.as_deref();
        if let Some(replica) = replica
            && let Ok(opened) = self.net.opened(packet, replica)
        {
            // A liar's second version is not what its replica said.
            info = opened.info;
        }
        let cause = self.tell(to, Told::Message { from, info, sent });
        let slot = &mut self.slots[usize::from(to.0) - 1];
        let replica = slot.replica.as_mut().expect("checked above");
        let again = self.scenario.schedule == Schedule::Manual;
        let output = match self.net.opened(packet, replica.as_ref()) {
            Ok(opened) if again => replica.receive_again(now, opened),
            Ok(opened) => replica.receive(now, Ok(opened)),
            Err(why) => replica.receive(now, Err(*why)),
        };
        self.net.note_delivery(packet, to);
        self.net.release(packet);
        self.absorb(to, output, cause);
        Some(Some(to))
    }

    pub(super) fn wake(&mut self, node: NodeId, at: Time) -> Option<Option<NodeId>> {
        let slot = self.slot_mut(node);
        if slot.wake != Some(at) {
            return None;
        }
        slot.wake = None;
        let now = self.local_time(node);
        let replica = self.slot_mut(node).replica.as_mut()?;
        if replica.deadline().is_none_or(|deadline| deadline > now) {
            self.schedule_wake(node);
            return None;
        }
        if self.slot(node).crash == Some(CrashPoint::BeforeHandling) {
            self.crash(node);
            return Some(Some(node));
        }
        self.hash_step(b't', node, &[]);
        let due = self.slot(node).replica.as_ref()?.due();
        let cause = due.and_then(|timer| self.tell(node, Told::Timer(timer)));
        let output = self.slot_mut(node).replica.as_mut()?.tick(now);
        self.absorb(node, output, cause);
        Some(Some(node))
    }

    pub(super) fn start(&mut self, node: NodeId) -> Option<Option<NodeId>> {
        if self.slot(node).replica.is_some() || self.slot(node).disk.is_lost() {
            return None;
        }
        let seed = self.scenario.seed;
        let mut replica = match self.cluster.node(node, self.slot(node).disk.rows(), seed) {
            Ok(replica) => replica,
            Err(error) => panic!("a simulated disk gives its state back: {error}"),
        };
        replica.set_level(self.level);
        let now = self.local_time(node);
        self.hash_step(b's', node, &[]);
        let cause = self.tell(node, Told::Start);
        let output = replica.start(now);
        self.slot_mut(node).replica = Some(replica);
        self.absorb(node, output, cause);
        if let Some(fact) = self.environment.full_view(self.now, node) {
            self.give_fact(node, &fact);
        }
        self.schedule_environment();
        Some(Some(node))
    }

    /// Fires an armed timer, as a manual schedule says.
    pub(super) fn fire(&mut self, node: NodeId, armed: usize) {
        if self.slot(node).crash == Some(CrashPoint::BeforeHandling) {
            return self.crash(node);
        }
        let now = self.local_time(node);
        self.hash_step(b't', node, &(armed as u64).to_le_bytes());
        let armed_timers = self
            .slot(node)
            .replica
            .as_ref()
            .map(|replica| replica.armed());
        let timer = armed_timers.and_then(|timers| timers.get(armed).copied());
        let cause = timer.and_then(|timer| self.tell(node, Told::Timer(timer)));
        if let Some(replica) = self.slot_mut(node).replica.as_mut() {
            let output = replica.fire(now, armed);
            self.absorb(node, output, cause);
        }
    }

    /// Shows every node its whole view again.
    pub(super) fn tell_views(&mut self) {
        for node in self.scenario.ids() {
            if self.is_alive(node)
                && let Some(fact) = self.environment.full_view(self.now, node)
            {
                self.give_fact(node, &fact);
            }
        }
    }

    fn give_fact(&mut self, node: NodeId, fact: &[u8]) {
        let now = self.local_time(node);
        self.hash_step(b'f', node, fact);
        let cause = self.tell(node, Told::Fact);
        if let Some(replica) = self.slot_mut(node).replica.as_mut() {
            let output = replica.fact(now, fact);
            self.absorb(node, output, cause);
        }
    }

    /// A client asks a node.
    pub(super) fn submit(&mut self, node: NodeId, client: ClientId, number: u64, request: &[u8]) {
        let now = self.local_time(node);
        self.hash_step(b'q', node, request);
        if self.is_alive(node) {
            self.oracle
                .on_request(self.now, node, client, number, request);
            self.requests.push(ClientRequest {
                at: self.now,
                node,
                client,
                number,
                request: request.to_vec(),
                told: self.replies.len(),
            });
        }
        let cause = self.tell(node, Told::Request);
        if let Some(replica) = self.slot_mut(node).replica.as_mut() {
            let output = replica.request(now, client, number, request);
            self.absorb(node, output, cause);
        }
    }

    pub(super) fn poll_environment(&mut self, at: Time) -> Option<Option<NodeId>> {
        if self.environment_wake != Some(at) {
            return None;
        }
        self.environment_wake = None;
        let facts = self.environment.poll(self.now);
        let any = !facts.is_empty();
        for (node, fact) in facts {
            if self.is_alive(node) {
                self.give_fact(node, &fact);
            }
        }
        self.schedule_environment();
        any.then_some(None)
    }

    /// Keeps what a node is told, where observers hear more than decisions.
    pub(super) fn tell(&mut self, node: NodeId, what: Told) -> Option<CauseId> {
        (self.level >= Level::Protocol).then(|| self.log.tell(node, what))
    }

    pub(super) fn hash_writes(&mut self, output: &Output) {
        for write in output.writes.writes() {
            self.hash.update(&[b'w', write.table.0]).update(&write.key);
            if let Some(value) = &write.value {
                self.hash.update(value);
            }
        }
    }

    fn absorb(&mut self, node: NodeId, output: Output, cause: Option<CauseId>) {
        self.hash_writes(&output);
        let writes = !output.writes.is_empty();
        let delay = self.disk_latency(node, writes);
        let slot = self.slot_mut(node);
        if writes && slot.disk.is_failing() {
            return self.crash(node);
        }
        let released = slot.disk.push(output, cause, delay.is_some());
        if writes && slot.crash == Some(CrashPoint::AfterPersist) {
            slot.disk.flush();
            return self.crash(node);
        }
        if let Some(delay) = delay {
            self.queue.push(self.now + delay, What::Persisted { node });
        }
        if self.check_recovery && delay.is_none() {
            let slot = self.slot(node);
            if let Some(replica) = &slot.replica
                && let Some(rows) = slot.disk.settled()
                && let Err(difference) = replica.check_recovery(rows)
            {
                panic!(
                    "step {}: {node} would recover another state: {difference}",
                    self.steps
                );
            }
        }
        for (released, cause) in released {
            self.release(node, released, cause);
        }
        self.schedule_wake(node);
    }

    pub(super) fn persisted(&mut self, node: NodeId) -> Option<Option<NodeId>> {
        let released = self.slot_mut(node).disk.persist_next();
        let any = !released.is_empty();
        for (released, cause) in released {
            self.release(node, released, cause);
        }
        any.then_some(Some(node))
    }

    pub(super) fn release(&mut self, node: NodeId, released: Released, cause: Option<CauseId>) {
        for record in &released.records {
            let kind = record.kind as u8;
            self.hash.update(&[b'r', kind]).update(&record.instance.0.0);
            if let Some(value) = &record.value {
                self.hash.update(&value.0);
            }
            // A node that restarts tells again what it knows.
            if !self
                .told
                .insert((node, record.instance, record.kind, record.value))
            {
                continue;
            }
            self.decisions.push(Decision {
                at: self.now,
                step: self.steps,
                node,
                record: *record,
            });
        }
        for event in &released.events {
            self.note(node, *event, cause);
        }
        for outgoing in released.sends {
            self.hash
                .update(b"m")
                .update(&outgoing.packet[outgoing.packet.len().saturating_sub(64)..]);
            if self.is_live() {
                self.let_go(node, &outgoing, cause);
            } else {
                self.transmit(node, outgoing, cause);
            }
        }
        // After the messages of the same step: what a node decides may rest on what it said in that very step.
        for record in &released.records {
            self.oracle.on_record(self.now, node, record);
        }
        for (client, number, reply) in released.replies {
            self.hash.update(b"a").update(&reply);
            self.oracle.on_reply(self.now, node, client, number, &reply);
            self.replies.push(ClientReply {
                at: self.now,
                node,
                client,
                number,
                reply,
            });
        }
        if !released.reports.is_empty() {
            for report in released.reports {
                self.hash.update(b"o").update(&report);
                self.environment.report(self.now, node, &report);
            }
            self.schedule_environment();
        }
    }

    /// Tells observers, and the expectations that count events.
    pub(super) fn note(&mut self, node: NodeId, event: Event, cause: Option<CauseId>) {
        self.watch.on_event(self.now, node, &event);
        self.log.push(node, &event, cause);
    }

    pub(super) fn note_fault(&mut self, node: NodeId, kind: EventKind) {
        if self.level >= Level::Decisions {
            self.note(node, Event::new(kind, None, Round(0)), None);
        }
    }

    pub(super) fn schedule_wake(&mut self, node: NodeId) {
        if self.scenario.schedule == Schedule::Manual {
            return;
        }
        let slot = self.slot(node);
        let Some(deadline) = slot.replica.as_ref().and_then(|replica| replica.deadline()) else {
            return;
        };
        let at = global_time(deadline, slot.rate_permille).max(self.now);
        if slot.wake.is_none_or(|wake| at < wake) {
            self.slot_mut(node).wake = Some(at);
            self.queue.push(at, What::Wake { node });
        }
    }

    pub(super) fn schedule_environment(&mut self) {
        if self.scenario.schedule == Schedule::Manual {
            return;
        }
        let Some(at) = self.environment.deadline().map(|at| at.max(self.now)) else {
            return;
        };
        if self.environment_wake.is_none_or(|wake| at < wake) {
            self.environment_wake = Some(at);
            self.queue.push(at, What::World);
        }
    }

    fn disk_latency(&mut self, node: NodeId, writes: bool) -> Option<Duration> {
        let [low, high] = self.scenario.disk.latency_us;
        if high == 0 || !writes {
            return None;
        }
        let count = self.slot_mut(node).disk.next_draw();
        let random = draw(self.scenario.seed, Purpose::Disk, u64::from(node.0), count);
        Some(Duration::from_us(low + scale(random, high - low + 1)))
    }

    fn local_time(&self, node: NodeId) -> Time {
        local_time(self.now, self.slot(node).rate_permille)
    }

    pub(super) fn hash_step(&mut self, kind: u8, node: NodeId, what: &[u8]) {
        let mut head = [0; 11];
        head[0] = kind;
        head[1..9].copy_from_slice(&self.now.0.to_le_bytes());
        head[9..].copy_from_slice(&node.0.to_le_bytes());
        self.hash.update(&head).update(what);
    }
}
