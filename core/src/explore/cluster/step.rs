//! One step of one node: what the shipped code makes of an input, and what of it the checker keeps.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Cluster;
use super::action::What;
use super::world::{Local, Packet, Said};
use crate::codec;
use crate::engine::{Context, Effects, Env, Input, Lie, Protocol, Timers, To};
use crate::entropy::Entropy;
use crate::event::{Level, RecordKind};
use crate::explore::fingerprint::Fingerprint;
use crate::ordered::{Map, Set};
use crate::store::{Rows, TableId, WriteBatch};
use crate::types::{Incarnation, NodeId, Round, Time};

/// What a node's state does not hold of its past.
pub(super) struct History {
    pub(super) life: u8,
    pub(super) view: u8,
    pub(super) said: Set<Said>,
    pub(super) heard: Set<Fingerprint>,
}

impl Default for History {
    fn default() -> Self {
        History {
            life: 1,
            view: 0,
            said: Set::new(),
            heard: Set::new(),
        }
    }
}

/// What a step of one node gives.
pub(super) struct Step<P: Protocol> {
    pub(super) local: Arc<Local<P>>,
    pub(super) sends: Vec<Arc<Packet<P>>>,
}

/// Draws for the checker.
pub(super) struct Least(u8);

impl Entropy for Least {
    fn below(&mut self, bound: u64) -> u64 {
        u64::from(self.0) % bound
    }
}

impl<P: Protocol> Cluster<P> {
    /// The first step of a life, from rows.
    pub(super) fn start(&self, env: &Env<P>, rows: &Rows, history: History) -> Step<P> {
        let state = P::recover(env, rows).expect("a state's own rows give it back");
        let mut inputs = Vec::from([Input::Start]);
        inputs.extend(self.view(env, history.view).cloned().map(Input::Fact));
        self.run(env, state, Timers::new(), history, inputs)
    }

    /// What follows a crash after the step from `before` to `durable` was written and before it was heard: a life that
    /// begins with its rows. What the step said was said to nobody.
    pub(super) fn crash(&self, env: &Env<P>, before: &Local<P>, durable: &Local<P>) -> Step<P> {
        let history = History {
            life: durable.life.saturating_add(1),
            view: durable.view,
            said: before.said.clone(),
            heard: durable.heard.clone(),
        };
        self.start(env, &rows(&durable.state), history)
    }

    pub(super) fn crash_once(
        &self,
        node: NodeId,
        before: &Local<P>,
        durable: &Local<P>,
    ) -> Arc<Step<P>> {
        let crash = Fingerprint::of(&("crash", before.said_print));
        let step = self.steps.get_or_make(&(durable.print, crash), || {
            Some(Arc::new(self.crash(self.env(node), before, durable)))
        });
        step.expect("a life always begins")
    }

    pub(super) fn step(&self, env: &Env<P>, local: &Local<P>, what: &What<P>) -> Option<Step<P>> {
        let mut history = History {
            life: local.life,
            view: local.view,
            said: local.said.clone(),
            heard: local.heard.clone(),
        };
        let mut timers = Timers::new();
        for timer in local.armed.iter() {
            timers.set(*timer, Time::ZERO);
        }
        let input = match what {
            What::Submit(request) => {
                let asking = &self.requests[*request];
                Input::Request {
                    client: asking.client,
                    number: asking.number,
                    request: asking.request.clone(),
                }
            }
            What::Deliver(packet) => {
                if !packet.valid {
                    return None;
                }
                if self.bounds.once {
                    history.heard.insert(packet.print);
                }
                Input::Message {
                    from: packet.from,
                    message: packet.message.clone(),
                }
            }
            What::Fire(timer) => {
                timers.cancel(timer);
                Input::Timeout(*timer)
            }
            What::See(view) => {
                history.view = *view;
                Input::Fact(self.view(env, *view)?.clone())
            }
            What::Restart => {
                history.life = history.life.saturating_add(1);
                return Some(self.start(env, &rows(&local.state), history));
            }
        };
        let state = local.state.clone();
        let step = self.run(env, state, timers, history, Vec::from([input]));
        (step.local.bare != local.bare || !step.sends.is_empty()).then_some(step)
    }

    pub(super) fn run(
        &self,
        env: &Env<P>,
        mut state: P,
        mut timers: Timers<P::Timer>,
        history: History,
        inputs: Vec<Input<P>>,
    ) -> Step<P> {
        let History {
            life,
            view,
            mut said,
            heard,
        } = history;
        let mut effects = Effects::default();
        let mut counters = Map::new();
        for input in inputs {
            let mut cx = Context {
                env,
                now: Time::ZERO,
                level: Level::None,
                entropy: &mut Least(life),
                timers: &mut timers,
                counters: &mut counters,
                effects: &mut effects,
            };
            state.handle(&mut cx, input);
        }
        if env.is_hardened() {
            state.invariants(env);
        }
        let mut written = WriteBatch::new(env.id, Incarnation(1), 1);
        state.tables(&mut |table| table.drain(&mut written));
        said.extend(effects.records.iter().map(|record| {
            let is_decision = record.kind == RecordKind::Decided;
            let round = if is_decision { record.round } else { Round(0) };
            (record.kind, record.instance, record.value, round)
        }));
        let mut sends = Vec::new();
        for (to, message) in effects.sends {
            let other = if self.liars.contains(&env.id) {
                state.lie(env, &message, Lie::Value)
            } else {
                None
            };
            sends.push(self.packet(env, to, message));
            sends.extend(other.map(|other| self.packet(env, to, other)));
        }
        let armed: Set<P::Timer> = timers.armed().collect();
        let said_print = Fingerprint::of(&said);
        let at_rest = !self.bounds.beyond_decisions && self.has_decided_all(&said);
        let bare = Fingerprint::of(&(env.id, &state, &armed, life, view, said_print));
        let print = if heard.is_empty() {
            bare
        } else {
            Fingerprint::of(&(bare, &heard))
        };
        let face = if at_rest {
            Fingerprint::of(&(env.id, life, view, said_print))
        } else {
            print
        };
        let recovers = recovers(env, &state);
        let local = Local {
            state,
            armed,
            life,
            view,
            said,
            heard,
            bare,
            print,
            face,
            said_print,
            recovers,
            at_rest,
        };
        Step {
            local: Arc::new(local),
            sends,
        }
    }

    /// Whether each request's instance is decided.
    pub(super) fn has_decided_all(&self, said: &Set<Said>) -> bool {
        let decided = said
            .iter()
            .filter(|(kind, ..)| *kind == RecordKind::Decided);
        decided.count() >= self.requests.len()
    }

    pub(super) fn packet(&self, env: &Env<P>, to: To, message: P::Message) -> Arc<Packet<P>> {
        let bytes = codec::encode(&message);
        Arc::new(Packet {
            from: env.id,
            to,
            info: P::describe(&message),
            print: Fingerprint::of(&(env.id, to, bytes.as_slice())),
            valid: P::check(env, env.id, &message).is_ok(),
            message: Arc::new(message),
        })
    }

    pub(super) fn step_once(
        &self,
        local: &Local<P>,
        node: NodeId,
        what: &What<P>,
    ) -> Option<Arc<Step<P>>> {
        let input = match what {
            What::Submit(request) => Fingerprint::of(&("submit", request)),
            What::Deliver(packet) => packet.print,
            What::Fire(timer) => Fingerprint::of(&("fire", timer)),
            What::See(view) => Fingerprint::of(&("see", view)),
            What::Restart => Fingerprint::of("restart"),
        };
        let key = (local.print, input);
        self.steps.get_or_make(&key, || {
            self.step(self.env(node), local, what).map(Arc::new)
        })
    }
}

pub(super) type Dumped = Vec<(TableId, Vec<u8>, Vec<u8>)>;

pub(super) fn dump<P: Protocol>(state: &P) -> Dumped {
    let mut rows = Vec::new();
    state.clone().tables(&mut |table| table.dump(&mut rows));
    rows
}

pub(super) fn rows<P: Protocol>(state: &P) -> Rows {
    let mut rows = Rows::default();
    for (table, key, value) in dump(state) {
        rows.insert(table, &key, &value);
    }
    rows
}

pub(super) fn recovers<P: Protocol>(env: &Env<P>, state: &P) -> bool {
    P::recover(env, &rows(state)).is_ok_and(|recovered| dump(&recovered) == dump(state))
}
