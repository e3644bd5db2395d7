//! A cluster of the nodes that ship, as a model: the very code of [`Protocol::handle`], under every schedule.
//!
//! What is abstracted, and what that means:
//! - *Untimed.* Any armed timer may fire next. Bounds say which: see [`Bounds`].
//! - *The network is the set of all messages ever sent.* Any of them may arrive anywhere it is addressed to, at any
//!   time, again and again; once, where the bounds say so. Loss is a message that never arrives, delay
//!   one that arrives late, so that neither needs a budget.
//! - *Envelopes are stripped*; replay windows and counters with them. Inner signatures stay: a keyed hash per member.
//! - *Crashes lose what is not in tables.* A node that stays down is one that nothing happens to any more; a crash is
//!   therefore a restart: between two steps, or after a step is durable and before it has sent. A crash before handling
//!   is one between steps, since the message can arrive again.
//! - *The world outside* shows each node its view at the start of every life, and then the views that the scenario
//!   says, in that order and at any time. What nodes report to it changes nothing.
//! - Random draws give the number of the node's life: those of the protocols here only spread load and time.
//!
//! Two things make it fast. A step of one node depends on its own state and the input alone, and far fewer of these
//! pairs exist than states of the cluster: each is computed once. And a step that sends nothing and says nothing is
//! *quiet*: nobody but the node can tell when it happens, and nothing that others do takes it away, so that it is only
//! ever taken together with a step of the same node that somebody hears. What is checked is what was sent and said;
//! no quiet step changes that, so that no violation is missed. (Layers count moves: any quiet steps and one heard one.)

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::fingerprint::Fingerprint;
use super::memo::Memo;
use super::{Model, Property, Visitor};
use crate::codec;
use crate::crypto::{Crypto, Signer};
use crate::engine::{Env, Opened, Protocol};
use crate::environment::Environment;
use crate::oracle::Oracle;
use crate::ordered::Set;
use crate::protocol::{Simulated, simulated_genesis, with_protocol};
use crate::replica;
use crate::scenario::{Act, At, Scenario, member_seed, script};
use crate::store::Rows;
use crate::types::{ClientId, Incarnation, NodeId, Time};

mod action;
mod bounds;
mod moves;
mod schedule;
mod step;
mod world;

pub use action::{Action, What};
pub use bounds::Bounds;
use moves::Inbox;
use step::{History, Step};
use world::{Judged, Sent, Used};
pub use world::{Local, Packet, World};

/// What the nodes see of the world, and the act that made it so.
struct View<P: Protocol> {
    seen: Vec<Option<P::Fact>>,
    act: Option<Act>,
}

/// A request, by whom and of whom.
struct Asking<P: Protocol> {
    to: Vec<NodeId>,
    client: ClientId,
    number: u64,
    request: P::Request,
    /// How it stands in the scenario.
    act: Act,
}

/// A cluster of one protocol within bounds.
pub struct Cluster<P: Protocol> {
    envs: Vec<Env<P>>,
    oracle: fn(&Env<P>) -> Box<dyn Oracle>,
    /// What it was made of.
    scenario: Scenario,
    /// What each node is shown: at first, and then with each change, which the act says.
    views: Vec<View<P>>,
    requests: Vec<Asking<P>>,
    liars: Set<NodeId>,
    promise: Option<&'static str>,
    /// What is no invariant.
    probable: &'static [&'static str],
    /// Whether quiet steps are left for later; always, but where a test compares.
    defers: bool,
    bounds: Bounds,
    properties: Vec<Property<Cluster<P>>>,
    steps: Memo<(Fingerprint, Fingerprint), Option<Arc<Step<P>>>>,
    moves: Memo<(Fingerprint, Fingerprint), Arc<[Action<P>]>>,
    verdicts: Memo<Fingerprint, Judged>,
}

impl<P: Simulated> Cluster<P> {
    /// The cluster that a scenario describes. Of what is done to a run, requests, changes of views and liars are taken;
    /// their times are not.
    ///
    /// # Errors
    /// What the checker cannot do with it.
    pub fn new(scenario: &Scenario, bounds: Bounds) -> Result<Cluster<P>, String> {
        let given = scenario;
        let mut scenario = given.clone();
        // Signatures are symbols here: a keyed hash says who signed what, and nobody computes another's.
        scenario.crypto = Crypto::Simulated;
        scenario.check()?;
        let genesis = simulated_genesis(&scenario);
        let build = |id| {
            let signer = Signer::from_seed(genesis.crypto, &member_seed(id));
            replica::env::<P>(&genesis, id, signer).map_err(|error| format!("{error}"))
        };
        let envs = scenario.ids().map(build).collect::<Result<Vec<_>, _>>()?;
        let mut world = scenario.protocol.environment(&scenario);
        let (mut requests, mut liars) = (Vec::new(), Set::new());
        let (mut views, mut change_act) = (Vec::new(), None);
        let see = |world: &mut dyn Environment, id| {
            let fact = world.full_view(Time::ZERO, id)?;
            Some(codec::decode(&fact).expect("the world tells facts of this protocol"))
        };
        let mut known: Vec<&[u8]> = Vec::new();
        for entry in &scenario.interventions {
            match &entry.act {
                Act::Submit { to, request } | Act::SubmitAs { to, request, .. } => {
                    let (client, number) = match &entry.act {
                        Act::SubmitAs { client, number, .. } => (*client, *number),
                        _ => {
                            // As the simulator does: what comes again is the same client's.
                            let place = known.iter().position(|known| *known == request);
                            let place = place.unwrap_or_else(|| {
                                known.push(request);
                                known.len() - 1
                            });
                            (ClientId(place as u64 + 1), 1)
                        }
                    };
                    let request = codec::decode(request)
                        .map_err(|_| String::from("a request is not of this protocol"))?;
                    requests.push(Asking {
                        to: to.clone(),
                        client,
                        number,
                        request,
                        act: entry.act.clone(),
                    });
                }
                Act::Fact { node, change } => {
                    let at_first = entry.at == At::Time(Time::ZERO);
                    if !at_first && node.is_none() {
                        return Err(String::from(
                            "fact: the checker shows changes to one node at a time; expected node",
                        ));
                    }
                    if !at_first {
                        let seen = scenario.ids().map(|id| see(world.as_mut(), id)).collect();
                        views.push(View {
                            seen,
                            act: change_act.take(),
                        });
                        change_act = Some(entry.act.clone());
                    }
                    world.change(Time::ZERO, *node, change)?;
                }
                Act::Byzantine { node, .. } => {
                    liars.insert(*node);
                }
                Act::Disk { .. } => {
                    return Err(String::from(
                        "disk: the checker's disks neither fail nor lose",
                    ));
                }
                // When nodes crash and which messages arrive when is what the checker tries out.
                _ => {}
            }
        }
        if requests.len() * envs.len() > 64 {
            return Err(format!(
                "{} requests to {} nodes: expected at most 64 pairs",
                requests.len(),
                envs.len()
            ));
        }
        let seen = scenario.ids().map(|id| see(world.as_mut(), id)).collect();
        views.push(View {
            seen,
            act: change_act,
        });
        Ok(Cluster {
            envs,
            oracle: P::oracle,
            scenario: given.clone(),
            views,
            requests,
            liars,
            promise: None,
            probable: P::PROBABLE,
            defers: true,
            bounds,
            properties: Vec::new(),
            steps: Memo::new(),
            moves: Memo::new(),
            verdicts: Memo::new(),
        })
    }

    /// Looks for a breach of this invariant alone: a flaw often breaks another on the way.
    pub fn only(mut self, promise: &'static str) -> Cluster<P> {
        self.promise = Some(promise);
        self
    }

    /// Asks besides that every instance ends at every node, on every fair path that the bound on rounds does not cut.
    pub fn and_ends(mut self) -> Cluster<P> {
        self.properties = Vec::from([Property::eventually(
            "every event ends",
            |cluster: &Cluster<P>, world: &World<P>| world.judged.ended || cluster.is_cut(world),
        )]);
        self
    }
}

impl<P: Protocol> Cluster<P> {
    /// Its bounds.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn env(&self, node: NodeId) -> &Env<P> {
        &self.envs[usize::from(node.0) - 1]
    }

    /// Whether a timer is armed that the bounds forbid to fire.
    fn is_cut(&self, world: &World<P>) -> bool {
        let is_spent = |most: u8| world.used.timeouts >= most;
        let are_spent = self.bounds.timeouts.is_some_and(is_spent);
        let too_late = |timer: &P::Timer| {
            P::timer_info(timer)
                .round
                .is_some_and(|round| are_spent || round.0 >= self.bounds.rounds)
        };
        world
            .nodes
            .iter()
            .any(|local| local.armed.iter().any(too_late))
    }

    fn view(&self, env: &Env<P>, view: u8) -> Option<&P::Fact> {
        let seen = &self.views[usize::from(view)].seen;
        seen[usize::from(env.id.0) - 1].as_ref()
    }

    /// The next of a node's views that differs from the one that it sees.
    fn next_view(&self, env: &Env<P>, local: &Local<P>) -> Option<u8> {
        let seen = self.view(env, local.view);
        (local.view + 1..self.views.len() as u8).find(|view| self.view(env, *view) != seen)
    }

    fn judge(&self, world: &mut World<P>) {
        if world.nodes.iter().any(|local| !local.recovers) {
            world.judged.broken = Some("recovery");
            return;
        }
        let said: Vec<Fingerprint> = world.nodes.iter().map(|local| local.said_print).collect();
        let key = Fingerprint::of(&(world.sent.sum, said));
        world.judged = self.verdicts.get_or_make(&key, || self.ask_oracle(world));
    }

    fn ask_oracle(&self, world: &World<P>) -> Judged {
        let mut oracle = (self.oracle)(&self.envs[0]);
        for liar in self.liars.iter() {
            oracle.on_byzantine(*liar);
        }
        // In which order messages were sent is not kept. Protocols number their kinds from what is said first to what
        // rests on it, so that nothing is judged before what it rests on.
        let mut sent: Vec<_> = world.sent.packets.iter().collect();
        sent.sort_by_key(|packet| packet.info.kind);
        for packet in sent {
            let opened = Opened {
                from: packet.from,
                incarnation: Incarnation(1),
                counter: 1,
                info: packet.info,
                message: packet.message.clone(),
            };
            oracle.on_send(Time::ZERO, packet.from, &opened);
        }
        for (env, local) in self.envs.iter().zip(&world.nodes) {
            for (kind, instance, value, round) in local.said.iter() {
                let record = crate::event::Record {
                    kind: *kind,
                    instance: *instance,
                    value: *value,
                    round: *round,
                };
                oracle.on_record(Time::ZERO, env.id, &record);
            }
        }
        let verdicts = oracle.verdicts().into_iter();
        let mut asked = verdicts.filter(|verdict| match self.promise {
            Some(promise) => promise == verdict.name,
            None => !self.probable.contains(&verdict.name),
        });
        let broken = asked.find(|verdict| !verdict.holds);
        Judged {
            broken: broken.map(|verdict| verdict.name),
            ended: oracle.liveness().iter().all(|verdict| verdict.holds),
        }
    }
}

impl<P: Protocol> Model for Cluster<P> {
    type State = World<P>;
    type Action = Action<P>;

    fn init(&self) -> Vec<World<P>> {
        let mut sent = Sent {
            packets: Vec::new(),
            sum: [0; 2],
        };
        let mut nodes = Vec::new();
        let mut used = Used::default();
        for env in &self.envs {
            let step = self.start(env, &Rows::default(), History::default());
            let mut local = step.local;
            step.sends.iter().for_each(|packet| sent.add(packet));
            let asked = self.requests.iter().enumerate();
            let here = asked
                .filter(|(_, asking)| !self.bounds.late_requests && asking.to.contains(&env.id));
            for (index, _) in here {
                used.asked |= self.bit(index, env.id);
                if let Some(step) = self.step(env, &local, &What::Submit(index)) {
                    step.sends.iter().for_each(|packet| sent.add(packet));
                    local = step.local;
                }
            }
            nodes.push(local);
        }
        let mut world = World {
            nodes,
            sent: Arc::new(sent),
            used,
            judged: Judged {
                broken: None,
                ended: false,
            },
        };
        self.judge(&mut world);
        Vec::from([world])
    }

    fn actions(&self, world: &World<P>, actions: &mut Vec<Action<P>>) {
        for (env, local) in self.envs.iter().zip(&world.nodes) {
            if local.at_rest {
                continue;
            }
            let inbox = Inbox {
                packets: world
                    .sent
                    .packets
                    .iter()
                    .filter(|packet| packet.is_for(env))
                    .collect(),
                asks: self.asks(world.used, env.id),
                may_crash: world.used.crashes < self.bounds.crashes,
                may_keep_house: world.used.housekeeping < self.bounds.housekeeping,
                may_time_out: self
                    .bounds
                    .timeouts
                    .is_none_or(|most| world.used.timeouts < most),
            };
            let key = (local.print, inbox.print());
            let moves = self
                .moves
                .get_or_make(&key, || self.moves(env, local, &inbox).into());
            actions.extend(moves.iter().cloned());
        }
    }

    fn next(&self, world: &World<P>, action: &Action<P>) -> Option<World<P>> {
        let at = usize::from(action.node.0) - 1;
        let local = &world.nodes[at];
        let step = &action.step;
        let mut used = world.used;
        match action.steps.last() {
            Some(What::Submit(request)) => {
                let bit = self.bit(*request, action.node);
                used.repeats += u8::from(used.asked & bit != 0);
                used.asked |= bit;
            }
            Some(What::Fire(timer)) if P::timer_info(timer).round.is_none() => {
                used.housekeeping += 1;
            }
            Some(What::Fire(_)) if self.bounds.timeouts.is_some() => used.timeouts += 1,
            Some(What::Restart) => used.crashes += 1,
            _ => {}
        }
        used.crashes += u8::from(action.crash);
        let new: Vec<_> = step
            .sends
            .iter()
            .filter(|packet| !world.sent.has(packet))
            .collect();
        if step.local.print == local.print && new.is_empty() && used == world.used {
            return None;
        }
        let mut next = world.clone();
        next.used = used;
        let heard = step.local.said_print != local.said_print;
        next.nodes[at] = step.local.clone();
        if !new.is_empty() {
            let sent = Arc::make_mut(&mut next.sent);
            new.iter().for_each(|packet| sent.add(packet));
        }
        if heard || !new.is_empty() || !step.local.recovers {
            self.judge(&mut next);
        }
        Some(next)
    }

    fn properties(&self) -> &[Property<Self>] {
        &self.properties
    }

    fn broken(&self, world: &World<P>) -> Option<&'static str> {
        world.judged.broken
    }

    fn tell(&self, action: &Action<P>) -> Vec<String> {
        let tell = |what: &What<P>| format!("node {} {what}", action.node.0);
        let mut lines: Vec<String> = action.steps.iter().map(tell).collect();
        if let (true, Some(last)) = (action.crash, lines.last_mut()) {
            last.push_str(", crashes before it sends, and restarts");
        }
        lines
    }

    fn play(&self, steps: &[Action<P>]) -> Option<Scenario> {
        script(&self.scenario, &self.acts(steps))
    }

    fn class(&self, action: &Action<P>) -> Option<u8> {
        let is_fault = action.crash || matches!(action.steps.last(), Some(What::Restart));
        (!is_fault).then_some(action.node.0 as u8 % 64)
    }
}

impl<P: Protocol> Cluster<P> {
    fn bit(&self, request: usize, node: NodeId) -> u64 {
        1 << (request * self.envs.len() + usize::from(node.0) - 1)
    }
}

/// What is asked of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Every invariant.
    Safety,
    /// Every invariant, and that every instance ends.
    Ends,
    /// One invariant.
    Only(&'static str),
}

/// Does something with the cluster that a scenario describes, whatever its protocol.
///
/// # Errors
/// What the checker cannot do with the scenario.
pub fn visit<V: Visitor>(
    scenario: &Scenario,
    bounds: Bounds,
    asked: Asked,
    visitor: V,
) -> Result<V::Out, String> {
    with_protocol!(scenario.protocol, P => {
        let cluster = Cluster::<P>::new(scenario, bounds)?;
        Ok(visitor.visit(match asked {
            Asked::Safety => cluster,
            Asked::Ends => cluster.and_ends(),
            Asked::Only(promise) => cluster.only(promise),
        }))
    })
}

#[cfg(test)]
mod tests;
