//! Events: their bodies, the clients that ask for them, and how they are remembered.

use alloc::format;
use alloc::string::String;

use super::config::STATE_SYNC_COOLDOWN_MS;
use super::flaws::{self, Source};
use super::message::{Message, NAME_BYTES_MAX, SigningEvent};
use super::phase::{EventPhase, EventPhaseState};
use super::{Cx, Outcome, Reply, SubmitEvent, Timer, TwoPhase};
use crate::engine::To;
use crate::event::{Event, EventKind, Level};
use crate::types::{ClientId, Duration, Hash32, InstanceId, NodeId};

/// The most events that a node holds open at a time: those that are neither completed nor abandoned with proof. Unit
/// tests fill it.
pub(super) const EVENTS_OPEN_MAX: usize = if cfg!(test) { 64 } else { 16_384 };

/// What a client is told when no more events can be open.
pub(super) fn refused_for_being_full() -> Reply {
    Reply::Refused(format!(
        "{EVENTS_OPEN_MAX} events are open here: expected to wait until one of them ends"
    ))
}

/// Why a request cannot be an event, in a sentence.
pub(super) fn refusal(request: &SubmitEvent) -> Option<String> {
    let why = if request.event.is_empty() || request.event.len() > NAME_BYTES_MAX {
        "event: expected a name of 1 to 64 bytes"
    } else if request.amount == 0 || request.amount == u64::MAX {
        "amount: expected at least 1"
    } else if request.signing_material().destination.bytes.len() > 64 {
        "destination: expected at most 64 bytes"
    } else {
        return None;
    };
    Some(String::from(why))
}

impl TwoPhase {
    /// Whether there are as many open events as a node holds: each has its entry in `live` until it ends.
    pub(super) fn is_full(&self) -> bool {
        self.live.len() >= EVENTS_OPEN_MAX
    }

    /// A client asks to sign a payment. (S0-90)
    pub(super) fn on_request(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        request: &SubmitEvent,
    ) {
        if let Some(why) = refusal(request) {
            return cx.reply(client, number, Reply::Refused(why));
        }
        let body = request.signing_material();
        let event = body.id();
        if let Some(why) = self.refuses_to_supersede(&body) {
            return cx.reply(client, number, Reply::Refused(why));
        }
        if let Some(reply) = self.outcome_reply(&event) {
            return cx.reply(client, number, reply);
        }
        let is_new = self.phase(&event) == EventPhase::Unknown;
        if is_new && self.is_full() {
            cx.count("two_phase_events_refused_total");
            return cx.reply(client, number, refused_for_being_full());
        }
        cx.reply(
            client,
            number,
            if is_new {
                Reply::Accepted
            } else {
                Reply::InProgress
            },
        );
        self.live_mut(event).waiting.push((client, number));
        self.learn(cx, &body, event, Source::Client);
    }

    /// An event may be replaced only if its decided template can never take effect: an input was spent elsewhere.
    fn refuses_to_supersede(&self, body: &SigningEvent) -> Option<String> {
        let old = body.supersedes?;
        if self.decided_template(&old).is_none() {
            return Some(String::from("supersedes: that event is not decided here"));
        }
        (!self.is_dead(&old))
            .then(|| String::from("supersedes: the inputs of that event were not spent elsewhere"))
    }

    fn decided_template(&self, event: &InstanceId) -> Option<Hash32> {
        self.phases.get(event)?.canonical_hash
    }

    /// Whether an event is decided and can never take effect: another transaction was seen to spend an input.
    fn is_dead(&self, event: &InstanceId) -> bool {
        let Some(hash) = self.decided_template(event) else {
            return false;
        };
        let pskt = self.templates.get(&(*event, hash));
        pskt.is_some_and(|pskt| self.chain.is_dead(pskt, &hash))
    }

    /// Whether this node may vote for any template of an event: what it replaces must be dead, as far as this node itself
    /// sees. Whoever was asked first is not taken at its word, or both events could pay.
    pub(super) fn may_take_effect(&self, event: &InstanceId) -> bool {
        let body = self.events.get(event);
        let old = body.and_then(|body| body.supersedes);
        old.is_none_or(|old| self.is_dead(&old))
    }

    fn outcome_reply(&self, event: &InstanceId) -> Option<Reply> {
        match self.outcomes.get(event)? {
            Outcome::Lock(certificate) => Some(Reply::Decided {
                tx_template_hash: certificate.ballot.value?,
                locks: certificate.signatures.len() as u16,
            }),
            Outcome::Abandon(certificate) => Some(Reply::Abandoned {
                withdrawals: certificate.signatures.len() as u16,
            }),
        }
    }

    /// Remembers an event's body and enters round 0; nothing happens if the event is known. (S0-56, S0-F4, S0-F36)
    pub(super) fn learn(
        &mut self,
        cx: Cx<'_, '_>,
        body: &SigningEvent,
        event: InstanceId,
        source: Source,
    ) {
        let env = cx.env();
        if self.events.contains(&event) || !flaws::learns_from(env.flaws, source) {
            return;
        }
        // A client's request took its place already.
        if self.is_full() && !self.live.contains_key(&event) {
            // Whoever floods the group with events is not answered with memory.
            return cx.count("two_phase_events_refused_total");
        }
        self.remember(event, body);
        self.enter_phase(cx, event, EventPhase::Proposing);
        let round = flaws::first_round(env.flaws, source);
        if let Some(row) = self.phases.get_mut(&event) {
            if round > row.rounds.round {
                row.rounds.enter(round);
            }
            if !flaws::proposes_at_once(env.flaws, source) {
                // The vote of this round is forgone: as if it had been cast for nothing, and told to nobody.
                row.rounds.prevote(None);
            }
        }
        let timeout = env.config.round_timeout(round);
        let lasts = flaws::first_round_lasts(env.flaws, source, cx.now(), timeout);
        self.begin_round_of(cx, event, lasts);
    }

    /// Puts an event's first rows.
    pub(super) fn remember(&mut self, event: InstanceId, body: &SigningEvent) {
        self.events.put(event, body.clone());
        self.phases.put(event, EventPhaseState::default());
        self.index.put((EventPhase::Unknown as u8, event), ());
        self.live_mut(event);
        self.sync.learned.push(event);
    }

    /// Takes up an open event after a restart: same round, same votes, fresh timers.
    pub(super) fn resume(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let (phase, round, retries) = (row.phase, row.rounds.round, row.retry_count);
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::Recovered, Some(event), round)
        });
        match phase {
            EventPhase::Proposing => {
                cx.set_timer(
                    Timer::Round(event, round),
                    cx.env().config.round_timeout(round),
                );
                if row.rounds.can_prevote() {
                    cx.set_timer(
                        Timer::Propose(event, round),
                        cx.env().config.propose_timeout(round),
                    );
                }
            }
            EventPhase::Failed => self.arm_retry(cx, event, round, retries),
            EventPhase::Committed => cx.set_timer(
                Timer::Gc(event),
                Duration::from_ms(cx.env().config.gc_after_ms),
            ),
            EventPhase::Unknown | EventPhase::Completed | EventPhase::Abandoned => {}
        }
    }

    /// Answers a vote about an ended event with its proof, at most once per peer and cooldown. (S0-F31)
    pub(super) fn answer_if_ended(
        &mut self,
        cx: Cx<'_, '_>,
        to: NodeId,
        event: InstanceId,
    ) -> bool {
        if !self.outcomes.contains(&event) {
            return false;
        }
        if !flaws::answers_late(cx.env().flaws) {
            return true;
        }
        let cooldown = Timer::Cooldown(to, event);
        let quiet = cx.is_timer_set(cooldown) || cx.is_timer_set(Timer::Cooldown(NodeId(0), event));
        if !quiet && let Some(proof) = self.outcome_message(cx, event) {
            cx.set_timer(cooldown, Duration::from_ms(STATE_SYNC_COOLDOWN_MS));
            cx.send(To::Node(to), proof);
        }
        true
    }

    /// The proof of how an event ended.
    pub(super) fn outcome_message(&self, cx: Cx<'_, '_>, event: InstanceId) -> Option<Message> {
        match self.outcomes.get(&event)? {
            Outcome::Lock(_) => self.commit_message(cx, event),
            Outcome::Abandon(certificate) => Some(Message::Abandon {
                certificate: certificate.clone(),
                signing_material: self.events.get(&event)?.clone(),
            }),
        }
    }
}
