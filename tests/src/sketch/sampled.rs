//! `sampled`: one of two colours by repeated polls of a few peers, after Snowball. No leader, no quorum, no certificate.
//!
//! Upon a request for a colour while it has none: prefer it, and begin a poll.
//! Upon beginning a poll: draw `k` peers from the entropy, without replacement, and ask them. A poll has a number, so that
//! a late answer counts for nothing.
//! Upon a question: answer with the preference; who has none takes the asker's first, which is what wakes it.
//! Upon `alpha` answers for a colour: one more for its strength, prefer the strongest, and one more for the confidence if
//! it is the same colour as last time, else one. Upon a poll that ends without: no confidence.
//! Upon a confidence of `beta`: decided.
//!
//! What of the engine it takes: `Context::below` for sampling, so that a run is a function of its seed; a poll's end as a
//! timer that carries the poll's number; a table for the preference alone, which is durable before it is told, while
//! strength and confidence may start anew after a crash; a reply that comes many steps after its request; records, by
//! which an oracle from outside judges agreement. It promises agreement only with high probability.

use std::collections::{BTreeMap, BTreeSet};

use phaselab_core::crypto::{Member, Transcript};
use phaselab_core::engine::{
    Context, Env, Input, MessageInfo, Never, Protocol, RuleSet, TimerInfo, To,
};
use phaselab_core::event::{Event, EventKind, Level, Record, RecordKind};
use phaselab_core::flaw::FlawSet;
use phaselab_core::store::{AnyTable, RecoverError, Rows, Table, TableId, TableSpec};
use phaselab_core::types::{ClientId, Duration, Hash32, InstanceId, NodeId, Round};
use phaselab_core::view::{
    Glance, InstanceKind, InstanceView, MessageKind, NodeView, Phase, Shape, Spec, ViewScope,
};
use serde::{Deserialize, Serialize};

/// One of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Colour {
    /// One.
    Red,
    /// The other.
    Blue,
}

impl Colour {
    fn value(self) -> Hash32 {
        Hash32([self as u8 + 1; 32])
    }
}

/// How polls are made and judged: valid iff `k / 2 < alpha <= k` and `beta > 0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SampledConfig {
    /// How many peers are asked.
    pub k: u16,
    /// How many answers for one colour make a poll succeed.
    pub alpha: u16,
    /// How many successes in a row decide.
    pub beta: u32,
    /// How long a poll waits for answers, in milliseconds.
    pub poll_ms: u64,
}

impl Default for SampledConfig {
    fn default() -> Self {
        SampledConfig {
            k: 10,
            alpha: 7,
            beta: 8,
            poll_ms: 200,
        }
    }
}

/// What voters say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// "Which do you prefer? I prefer this one."
    Query(u32, Colour),
    /// "This one."
    Answer(u32, Colour),
}

/// What lasts: changed rarely, durable before it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Opinion {
    preference: Colour,
    decided: bool,
}

/// A voter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sampled {
    opinion: Table<u8, Opinion>,
    poll: u32,
    asked: BTreeSet<NodeId>,
    answers: BTreeMap<Colour, u16>,
    strength: BTreeMap<Colour, u32>,
    streak: Option<(Colour, u32)>,
    waiting: Vec<(ClientId, u64)>,
}

const OPINION: TableSpec = TableSpec {
    id: TableId(1),
    name: "opinion",
};
/// There is one question.
const ONLY: u8 = 0;

static SPEC: Spec = Spec {
    name: "sampled",
    title: "One of two colours by repeated polls",
    instances: &[InstanceKind {
        name: "question",
        parent: None,
    }],
    phases: &[
        Phase {
            name: "querying",
            meaning: "asking samples of peers",
            instance: 0,
            terminal: false,
        },
        Phase {
            name: "decided",
            meaning: "confident enough",
            instance: 0,
            terminal: true,
        },
    ],
    transitions: &[(0, 1)],
    messages: &[
        MessageKind {
            name: "query",
            shape: Shape::Sync,
        },
        MessageKind {
            name: "answer",
            shape: Shape::Vote,
        },
    ],
    meters: &[],
    fields: &[],
    fault_model: "Agreement holds with high probability while few lie.",
};

impl Sampled {
    /// The question that is decided.
    pub fn question() -> InstanceId {
        InstanceId(Transcript::new("phaselab-tests sampled question").finish())
    }

    /// What this voter decided.
    pub fn decided(&self) -> Option<Colour> {
        let opinion = self.opinion.get(&ONLY).filter(|opinion| opinion.decided);
        opinion.map(|opinion| opinion.preference)
    }

    fn adopt(&mut self, cx: &mut Context<'_, Self>, preference: Colour) {
        if self.opinion.is_empty() {
            let decided = false;
            self.opinion.put(
                ONLY,
                Opinion {
                    preference,
                    decided,
                },
            );
            self.begin_poll(cx);
        }
    }

    fn begin_poll(&mut self, cx: &mut Context<'_, Self>) {
        let Some(opinion) = self.opinion.get(&ONLY).filter(|opinion| !opinion.decided) else {
            return;
        };
        let preference = opinion.preference;
        let (k, poll_ms) = (usize::from(cx.env().config.k), cx.env().config.poll_ms);
        let mut peers: Vec<NodeId> = cx.env().others().collect();
        self.poll += 1;
        self.answers.clear();
        self.asked.clear();
        while self.asked.len() < k && !peers.is_empty() {
            let drawn = cx.below(peers.len() as u64) as usize;
            let peer = peers.swap_remove(drawn);
            self.asked.insert(peer);
            cx.send(To::Node(peer), Message::Query(self.poll, preference));
        }
        cx.set_timer(self.poll, Duration::from_ms(poll_ms));
    }

    fn on_answer(&mut self, cx: &mut Context<'_, Self>, from: NodeId, poll: u32, colour: Colour) {
        if poll != self.poll || !self.asked.remove(&from) {
            return;
        }
        let count = self.answers.entry(colour).or_default();
        *count += 1;
        let (count, alpha) = (*count, cx.env().config.alpha);
        let best = self.answers.values().max().copied().unwrap_or_default();
        if count >= alpha {
            self.on_success(cx, colour);
        } else if usize::from(best) + self.asked.len() < usize::from(alpha) {
            self.end_poll(cx, None);
        }
    }

    fn on_success(&mut self, cx: &mut Context<'_, Self>, colour: Colour) {
        *self.strength.entry(colour).or_default() += 1;
        let strength = |colour| self.strength.get(&colour).copied().unwrap_or_default();
        let stronger = self
            .opinion
            .get(&ONLY)
            .is_some_and(|opinion| strength(colour) > strength(opinion.preference));
        if let Some(opinion) = self.opinion.get_mut(&ONLY).filter(|_| stronger) {
            opinion.preference = colour;
        }
        self.end_poll(cx, Some(colour));
    }

    fn end_poll(&mut self, cx: &mut Context<'_, Self>, success: Option<Colour>) {
        cx.cancel_timer(self.poll);
        self.streak = success.map(|colour| match self.streak {
            Some((same, streak)) if same == colour => (colour, streak + 1),
            _ => (colour, 1),
        });
        let sure = self
            .streak
            .filter(|(_, streak)| *streak >= cx.env().config.beta);
        match sure {
            Some((colour, _)) => self.decide(cx, colour),
            None => self.begin_poll(cx),
        }
    }

    fn decide(&mut self, cx: &mut Context<'_, Self>, preference: Colour) {
        self.asked.clear();
        let decided = true;
        self.opinion.put(
            ONLY,
            Opinion {
                preference,
                decided,
            },
        );
        cx.record(Record {
            kind: RecordKind::Decided,
            instance: Self::question(),
            value: Some(preference.value()),
            round: Round(self.poll),
        });
        cx.emit(Level::Decisions, || {
            Event::new(EventKind::Decided, Some(Self::question()), Round(self.poll))
                .value(Some(preference.value()))
        });
        for (client, number) in std::mem::take(&mut self.waiting) {
            cx.reply(client, number, preference);
        }
    }
}

impl Protocol for Sampled {
    type Message = Message;
    /// A poll's number.
    type Timer = u32;
    type Request = Colour;
    type Reply = Colour;
    type Fact = Never;
    type Report = Never;
    type Config = SampledConfig;

    const TAG: u8 = 201;
    const NAME: &'static str = "sampled";
    const TABLES: &'static [TableSpec] = &[OPINION];

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn check_config(
        config: &SampledConfig,
        members: &[Member],
        _: RuleSet,
        _: FlawSet,
    ) -> Result<(), String> {
        let (k, n) = (usize::from(config.k), members.len());
        if config.beta == 0 || config.alpha > config.k || config.alpha <= config.k / 2 || k >= n {
            return Err("expected k / 2 < alpha <= k < nodes, and beta > 0".into());
        }
        Ok(())
    }

    fn recover(_: &Env<Self>, rows: &Rows) -> Result<Self, RecoverError> {
        Ok(Sampled {
            opinion: Table::load(OPINION, rows)?,
            poll: 0,
            asked: BTreeSet::new(),
            answers: BTreeMap::new(),
            strength: BTreeMap::new(),
            streak: None,
            waiting: Vec::new(),
        })
    }

    fn handle(&mut self, cx: &mut Context<'_, Self>, input: Input<Self>) {
        match input {
            Input::Start => {
                // Another life's polls have other numbers, so that an answer to an old one is not taken for a new one.
                self.poll = cx.below(1 << 31) as u32;
                self.begin_poll(cx);
            }
            Input::Message { from, message } => match *message {
                Message::Query(poll, asker) => {
                    self.adopt(cx, asker);
                    if let Some(opinion) = self.opinion.get(&ONLY) {
                        cx.send(To::Node(from), Message::Answer(poll, opinion.preference));
                    }
                }
                Message::Answer(poll, colour) => self.on_answer(cx, from, poll, colour),
            },
            Input::Timeout(poll) if poll == self.poll => self.end_poll(cx, None),
            Input::Timeout(_) => {}
            Input::Request {
                client,
                number,
                request,
            } => {
                self.adopt(cx, request);
                match self.decided() {
                    Some(colour) => cx.reply(client, number, colour),
                    None => self.waiting.push((client, number)),
                }
            }
            Input::Fact(fact) => match fact {},
        }
    }

    fn check(_: &Env<Self>, _: NodeId, _: &Message) -> Result<(), &'static str> {
        Ok(())
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        visit(&mut self.opinion);
    }

    fn describe(message: &Message) -> MessageInfo {
        let (kind, poll, colour) = match message {
            Message::Query(poll, colour) => (0, *poll, *colour),
            Message::Answer(poll, colour) => (1, *poll, *colour),
        };
        MessageInfo {
            kind,
            instance: Some(Self::question()),
            round: Round(poll),
            value: Some(colour.value()),
        }
    }

    fn timer_info(round: &u32) -> TimerInfo {
        TimerInfo {
            name: "poll",
            instance: None,
            round: Some(Round(*round)),
        }
    }

    fn glance(&self) -> Glance {
        Glance {
            instance: self.opinion.get(&ONLY).map(|_| Self::question()),
            phase: u8::from(self.decided().is_some()),
            round: Round(self.poll),
            value: self
                .opinion
                .get(&ONLY)
                .map(|opinion| opinion.preference.value()),
            have: self.streak.map_or(0, |(_, streak)| u64::from(streak)),
            need: 0,
        }
    }

    fn view(&self, _: &Env<Self>, _: ViewScope) -> NodeView {
        let instance = self.opinion.get(&ONLY).map(|_| InstanceView {
            id: Self::question(),
            name: "question".into(),
            kind: 0,
            phase: u8::from(self.decided().is_some()),
            round: Round(self.poll),
            value: self.decided().map(Colour::value),
            locked: None,
            signed: None,
            meters: Vec::new(),
            choices: Vec::new(),
            fields: Vec::new(),
        });
        NodeView {
            instances: instance.into_iter().collect(),
            fields: Vec::new(),
            shard: None,
        }
    }
}
