//! Polls: asking a sample, counting votes, and what a poll that has ended does to the confidence.

use alloc::vec::Vec;

use super::conflict::ConflictKey;
use super::flaws::{self, LastRound};
use super::message::Message;
use super::{
    CONFIDENCE_METER, Cx, PATIENCE_MAX, Snowball, Timer, VOTES_METER, config, phase, sample,
};
use crate::engine::To;
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::snow::{self, Parameters};
use crate::types::{Duration, Hash32, InstanceId, NodeId, Round};

/// The pause between polls doubles, and is drawn at random, each time so many polls in a row had no success: what is in
/// conflict for long costs little.
const FRUITLESS_STEP: u32 = 8;
/// And doubles so often at most.
const SLOWNESS_MAX: u32 = 6;

/// A poll that runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) id: u64,
    pub(super) votes: snow::Poll<NodeId, Hash32>,
}

/// What a node makes of its polls about a conflict key. Lost in a restart, which only delays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Voting {
    pub(super) key: ConflictKey,
    pub(super) snow: snow::Snowball<Hash32>,
    /// How many polls were begun.
    pub(super) round: u32,
    pub(super) poll: Option<Running>,
    /// The last poll that its timer ended.
    expired: Option<u64>,
    /// How many did.
    pub(super) timed_out: u32,
    /// How many polls in a row had no success.
    fruitless: u32,
}

impl Voting {
    pub(super) fn new(key: ConflictKey, preference: Hash32) -> Voting {
        Voting {
            key,
            snow: snow::Snowball::new(preference),
            round: 0,
            poll: None,
            expired: None,
            timed_out: 0,
            fruitless: 0,
        }
    }
}

/// How this node's polls are judged.
pub(super) fn parameters(cx: Cx<'_, '_>) -> Parameters {
    let env = cx.env();
    env.config.parameters(config::others(env))
}

impl Snowball {
    pub(super) fn begin_poll(&mut self, cx: Cx<'_, '_>, id: InstanceId) {
        let env = cx.env();
        if !flaws::polls(env.flaws, self.is_own(id)) {
            return;
        }
        let parameters = parameters(cx);
        let asked = match flaws::sample_size(env.flaws, parameters.k) {
            Some(k) => sample::draw(cx, k),
            None => env.others().collect(),
        };
        let wait = flaws::patience(env.flaws, self.patience);
        let Some(row) = self.conflicts.get(&id).filter(|row| !row.decided) else {
            return;
        };
        let (key, choice) = (row.key, row.preference);
        let Some(voting) = self.voting.get_mut(&id) else {
            return;
        };
        let Some(round) = voting.round.checked_add(1) else {
            return;
        };
        voting.round = round;
        cx.count("snowball_polls_total");
        let poll_id = self.next_poll;
        self.next_poll += 1;
        voting.poll = Some(Running {
            id: poll_id,
            votes: snow::Poll::new(asked.iter().copied()),
        });
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::RoundEntered, Some(id), Round(round))
                .value(Some(choice))
                .count(
                    0,
                    u64::from(parameters.alpha_confidence),
                    asked.len() as u64,
                )
        });
        enter(cx, id, phase::QUERYING, round, Some(choice));
        for peer in asked {
            let question = Message::TransactionVoteRequest {
                poll_id,
                round,
                key,
                choice,
            };
            cx.send(To::Node(peer), question);
        }
        let timeout_ms = env
            .config
            .vote_timeout_ms
            .saturating_mul(1 + u64::from(wait));
        cx.set_timer(
            Timer::Vote(id, round, poll_id),
            Duration::from_ms(timeout_ms),
        );
    }

    pub(super) fn on_vote_request(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        poll_id: u64,
        round: u32,
        key: &ConflictKey,
        choice: Hash32,
    ) {
        if !self.knows(&choice) {
            self.want(cx, choice, from);
        }
        let own = self.preference(key);
        let knows = self.knows(&choice);
        let answer = Message::TransactionVoteResponse {
            poll_id,
            round,
            key: *key,
            preference: flaws::vote(cx.env().flaws, own, choice, knows),
        };
        cx.send(To::Node(from), answer);
    }

    pub(super) fn on_vote_response(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        poll_id: u64,
        key: &ConflictKey,
        preference: Option<Hash32>,
    ) {
        let id = key.id();
        let Some(voting) = self.voting.get_mut(&id) else {
            return;
        };
        if voting.expired.is_some_and(|expired| expired == poll_id) {
            // Voters are slower than polls wait. Once per poll, so that nobody makes them wait much longer at once.
            voting.expired = None;
            self.patience = (self.patience + 1).min(PATIENCE_MAX);
        }
        let Some(running) = &mut voting.poll else {
            cx.count("snowball_votes_late_total");
            return;
        };
        if !flaws::is_of_poll(cx.env().flaws, running.id, poll_id)
            || !running.votes.vote(from, preference)
        {
            cx.count("snowball_votes_late_total");
            return;
        }
        let (round, count) = (
            voting.round,
            preference.map_or(0, |choice| running.votes.count(choice)),
        );
        let parameters = parameters(cx);
        let is_over = flaws::is_over(cx.env().flaws, &running.votes, &parameters);
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::VoteCounted(VOTES_METER), Some(id), Round(round))
                .value(preference)
                .peer(from)
                .count(
                    u64::from(count),
                    u64::from(parameters.alpha_confidence),
                    u64::from(parameters.k),
                )
        });
        // Only whoever was asked makes this node fetch anything.
        if let Some(choice) = preference.filter(|choice| !self.knows(choice)) {
            self.want(cx, choice, from);
        }
        if is_over {
            self.end_poll(cx, id);
        }
    }

    pub(super) fn on_vote_timeout(&mut self, cx: Cx<'_, '_>, id: InstanceId, poll_id: u64) {
        let Some(voting) = self.voting.get_mut(&id) else {
            return;
        };
        if voting.poll.as_ref().is_some_and(|poll| poll.id == poll_id) {
            voting.expired = Some(poll_id);
            voting.timed_out += 1;
            cx.count("snowball_vote_timeouts_total");
            self.end_poll(cx, id);
        }
    }

    /// Counts the poll that ran.
    fn end_poll(&mut self, cx: Cx<'_, '_>, id: InstanceId) {
        let (flaws, config) = (cx.env().flaws, &cx.env().config);
        let parameters = parameters(cx);
        let Some(running) = self
            .voting
            .get_mut(&id)
            .and_then(|voting| voting.poll.take())
        else {
            return;
        };
        let winner = flaws::winner(flaws, &running.votes, &parameters);
        let winner = winner.filter(|(choice, _)| self.is_live(id, choice));
        let key = self.conflicts.get(&id).map(|row| row.key);
        if let (None, Some(ConflictKey::Height(height))) = (winner, key) {
            self.settle(cx.env(), id, height, &running.votes);
        }
        let Some(voting) = self.voting.get_mut(&id) else {
            return;
        };
        let round = voting.round;
        cx.cancel_timer(Timer::Vote(id, round, running.id));
        let parameters = flaws::judge(flaws, parameters, voting.timed_out);
        voting.fruitless = match winner {
            Some(_) => 0,
            None => voting.fruitless.saturating_add(1),
        };
        let slowness = 1 << (voting.fruitless / FRUITLESS_STEP).min(SLOWNESS_MAX);
        match winner {
            Some((choice, count)) => {
                voting.snow.record_poll(&parameters, choice, count);
                cx.emit(Level::Protocol, || {
                    Event::new(
                        EventKind::QuorumReached(VOTES_METER),
                        Some(id),
                        Round(round),
                    )
                    .value(Some(choice))
                    .count(
                        u64::from(count),
                        u64::from(parameters.alpha_confidence),
                        u64::from(parameters.k),
                    )
                });
            }
            None if flaws::clears(flaws) => voting.snow.record_unsuccessful_poll(),
            None => {}
        }
        let confidence = voting.snow.confidence();
        let preference = flaws::preference(flaws, &voting.snow, winner);
        let is_final = voting.snow.is_finalized();
        let after = flaws::after_round(flaws, round >= config.max_rounds);
        cx.emit(Level::Protocol, || {
            Event::new(
                EventKind::VoteCounted(CONFIDENCE_METER),
                Some(id),
                Round(round),
            )
            .value(Some(preference))
            .count(
                u64::from(confidence),
                u64::from(parameters.beta),
                u64::from(parameters.beta),
            )
        });
        if self.prefer(id, preference) {
            cx.emit(Level::Protocol, || {
                Event::new(EventKind::Preferred, Some(id), Round(round))
                    .value(Some(preference))
                    .count(
                        u64::from(confidence),
                        u64::from(parameters.beta),
                        u64::from(parameters.beta),
                    )
            });
        }
        enter(cx, id, phase::TALLYING, round, Some(preference));
        match (is_final, after) {
            (true, _) | (_, LastRound::Finalize) => self.win(cx, id),
            (_, LastRound::Stop) => {}
            (_, LastRound::None) => {
                let pause_ms = config.inter_round_delay_ms.saturating_mul(slowness);
                let jitter_ms = if slowness > 1 { cx.below(pause_ms) } else { 0 };
                let pause = Duration::from_ms(pause_ms.saturating_add(jitter_ms));
                cx.set_timer(Timer::Next(id, round), pause);
            }
        }
    }

    /// Changes a preference, durable before anybody hears it; whether it was another one.
    pub(super) fn prefer(&mut self, id: InstanceId, choice: Hash32) -> bool {
        let is_other = self
            .conflicts
            .get(&id)
            .is_some_and(|row| row.preference != choice);
        if is_other && let Some(row) = self.conflicts.get_mut(&id) {
            row.preference = choice;
        }
        is_other
    }

    /// Forgets the polls about a conflict key.
    pub(super) fn stop_polls(&mut self, cx: Cx<'_, '_>, id: InstanceId) -> u32 {
        let Some(voting) = self.voting.remove(&id) else {
            return 0;
        };
        if let Some(running) = &voting.poll {
            cx.cancel_timer(Timer::Vote(id, voting.round, running.id));
        }
        cx.cancel_timer(Timer::Next(id, voting.round));
        voting.round
    }

    /// Says again what is final here, since whoever stopped before it was heard has said it to nobody; and takes up every
    /// conflict key that no choice has won. (S1-F13)
    pub(super) fn resume(&mut self, cx: Cx<'_, '_>) {
        let spends = self.spent.iter();
        let spends = spends.map(|(outpoint, txid)| (ConflictKey::Spend(*outpoint).id(), *txid));
        let blocks = self.blocks.iter();
        let blocks = blocks.map(|(height, block)| (ConflictKey::Height(*height).id(), block.id()));
        for (instance, value) in spends.chain(blocks) {
            cx.record(Record {
                kind: RecordKind::Decided,
                instance,
                value: Some(value),
                round: Round(0),
            });
        }
        let open: Vec<_> = self
            .conflicts
            .iter()
            .filter(|(_, row)| !row.decided)
            .map(|(id, row)| (*id, *row))
            .collect();
        for (id, row) in open {
            cx.emit(Level::Protocol, || {
                Event::new(EventKind::Recovered, Some(id), Round(0)).value(Some(row.preference))
            });
            self.voting.insert(id, Voting::new(row.key, row.preference));
            self.begin_poll(cx, id);
        }
        self.consider_candidates(cx);
    }

    /// What a liar says instead of a vote: another choice, if it knows one.
    pub(super) fn other_vote(&self, message: &Message) -> Option<Message> {
        let Message::TransactionVoteResponse {
            poll_id,
            round,
            key,
            preference,
        } = message
        else {
            return None;
        };
        let other = self
            .choices(key)
            .into_iter()
            .find(|choice| Some(*choice) != *preference)?;
        Some(Message::TransactionVoteResponse {
            poll_id: *poll_id,
            round: *round,
            key: *key,
            preference: Some(other),
        })
    }
}

/// Tells observers of a phase.
pub(super) fn enter(cx: Cx<'_, '_>, id: InstanceId, phase: u8, round: u32, value: Option<Hash32>) {
    cx.emit(Level::Protocol, || {
        Event::new(EventKind::PhaseEntered(phase), Some(id), Round(round)).value(value)
    });
}
