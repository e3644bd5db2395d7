//! What a node can do next that somebody hears.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Cluster;
use super::action::{Action, What};
use super::step::Step;
use super::world::{Local, Packet, Used};
use crate::engine::{Env, Protocol};
use crate::explore::fingerprint::Fingerprint;
use crate::ordered::Set;
use crate::types::{InstanceId, NodeId};

/// What a node may be given in a state of the cluster.
pub(super) struct Inbox<'a, P: Protocol> {
    pub(super) packets: Vec<&'a Arc<Packet<P>>>,
    pub(super) asks: Vec<usize>,
    pub(super) may_crash: bool,
    pub(super) may_keep_house: bool,
    pub(super) may_time_out: bool,
}

impl<P: Protocol> Inbox<'_, P> {
    pub(super) fn print(&self) -> Fingerprint {
        let prints: Vec<Fingerprint> = self.packets.iter().map(|packet| packet.print).collect();
        let may = (self.may_crash, self.may_keep_house, self.may_time_out);
        Fingerprint::of(&(prints, &self.asks, may))
    }
}

impl<P: Protocol> Cluster<P> {
    /// The requests that a node may still be given.
    pub(super) fn asks(&self, used: Used, node: NodeId) -> Vec<usize> {
        let asks = self.requests.iter().enumerate();
        let open = asks.filter(|(index, asking)| {
            let again = used.asked & self.bit(*index, node) != 0;
            asking.to.contains(&node) && (!again || used.repeats < self.bounds.repeats)
        });
        open.map(|(index, _)| index).collect()
    }

    /// What a node can do that is heard: each with the shortest quiet way to it.
    pub(super) fn moves(
        &self,
        env: &Env<P>,
        local: &Arc<Local<P>>,
        inbox: &Inbox<'_, P>,
    ) -> Vec<Action<P>> {
        let mut moves = Vec::new();
        let mut known = Set::new();
        let mut add = |way: &[What<P>], last: What<P>, step: Arc<Step<P>>, crash: bool| {
            let sends: Vec<Fingerprint> = step.sends.iter().map(|packet| packet.print).collect();
            // Budgets tell outcomes apart that are otherwise alike.
            let cost = match &last {
                What::Submit(request) => (1, *request),
                What::Fire(timer) if P::timer_info(timer).round.is_none() => (2, 0),
                What::Fire(_) if self.bounds.timeouts.is_some() => (4, usize::from(crash)),
                What::Restart => (3, 0),
                _ => (usize::from(crash) * 3, 0),
            };
            if known.insert(Fingerprint::of(&(step.local.face, sends, cost))) {
                let steps = way.iter().cloned().chain([last]).collect();
                let node = env.id;
                moves.push(Action {
                    node,
                    steps,
                    crash,
                    step,
                });
            }
        };
        let mut seen = Set::from([local.print]);
        let mut queue = VecDeque::from([(local.clone(), Vec::new())]);
        while let Some((local, way)) = queue.pop_front() {
            let is_heard = |instance: Option<InstanceId>| {
                self.bounds.beyond_decisions || !instance.is_some_and(|id| local.decided(id))
            };
            let fires = local.armed.iter().filter(|timer| {
                let info = P::timer_info(timer);
                let may = match info.round {
                    Some(round) => inbox.may_time_out && round.0 < self.bounds.rounds,
                    None => inbox.may_keep_house,
                };
                may && is_heard(info.instance)
            });
            let heard = inbox
                .packets
                .iter()
                .filter(|packet| is_heard(packet.info.instance))
                .filter(|packet| !local.heard.contains(&packet.print));
            let inputs = (inbox.asks.iter().map(|request| What::Submit(*request)))
                .chain(self.next_view(env, &local).map(What::See))
                .chain(fires.map(|timer| What::Fire(*timer)))
                .chain(heard.map(|packet| What::Deliver((*packet).clone())));
            for what in inputs {
                let Some(step) = self.step_once(&local, env.id, &what) else {
                    continue;
                };
                let costs = match &what {
                    What::Submit(_) => true,
                    What::Fire(timer) => {
                        P::timer_info(timer).round.is_none() || self.bounds.timeouts.is_some()
                    }
                    What::Deliver(_) | What::See(_) | What::Restart => false,
                };
                let is_heard = !step.sends.is_empty() || step.local.said_print != local.said_print;
                let is_quiet = self.defers && !is_heard;
                if is_quiet && !costs && step.local.recovers {
                    if seen.insert(step.local.print) {
                        let way = way.iter().cloned().chain([what]).collect();
                        queue.push_back((step.local.clone(), way));
                    }
                    continue;
                }
                if inbox.may_crash {
                    let after = self.crash_once(env.id, &local, &step.local);
                    add(&way, what.clone(), after, true);
                }
                add(&way, what, step, false);
            }
            if inbox.may_crash
                && let Some(after) = self.step_once(&local, env.id, &What::Restart)
            {
                add(&way, What::Restart, after, false);
            }
        }
        moves
    }
}
