//! Steps of the checker as a manual schedule of the simulator.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Cluster;
use super::action::{Action, What, kind_name};
use super::step::{History, Step};
use super::world::Packet;
use crate::engine::{Protocol, To};
use crate::scenario::{Act, CrashPoint, Selector};
use crate::store::Rows;
use crate::types::NodeId;

impl<P: Protocol> Cluster<P> {
    /// The same steps as a manual schedule of the simulator says them.
    pub(super) fn acts(&self, steps: &[Action<P>]) -> Vec<Act> {
        let mut played = Played {
            sent: Vec::new(),
            acts: Vec::new(),
        };
        let mut locals = Vec::new();
        for env in &self.envs {
            let step = self.start(env, &Rows::default(), History::default());
            played.send(&step);
            locals.push(step.local);
        }
        let ask = |node, index: usize| {
            let mut act = self.requests[index].act.clone();
            if let Act::Submit { to, .. } | Act::SubmitAs { to, .. } = &mut act {
                *to = Vec::from([node]);
            }
            act
        };
        if !self.bounds.late_requests {
            for (env, local) in self.envs.iter().zip(&mut locals) {
                let asked = self.requests.iter().enumerate();
                for (index, _) in asked.filter(|(_, asking)| asking.to.contains(&env.id)) {
                    played.acts.push(ask(env.id, index));
                    if let Some(step) = self.step(env, local, &What::Submit(index)) {
                        played.send(&step);
                        *local = step.local;
                    }
                }
            }
        }
        for action in steps {
            let (env, node) = (self.env(action.node), action.node);
            let local = &mut locals[usize::from(node.0) - 1];
            for (index, what) in action.steps.iter().enumerate() {
                let crash = action.crash && index + 1 == action.steps.len();
                if crash {
                    let when = CrashPoint::AfterPersist;
                    played.acts.push(Act::Crash { node, when });
                }
                match what {
                    What::Submit(request) => played.acts.push(ask(node, *request)),
                    What::Deliver(packet) => played.deliver(node, packet),
                    What::Fire(timer) => {
                        let info = P::timer_info(timer);
                        played.acts.push(Act::Fire {
                            node,
                            timer: String::from(info.name),
                            round: info.round,
                            instance: None,
                        });
                    }
                    What::See(view) => {
                        played
                            .acts
                            .extend(self.views[usize::from(*view)].act.clone());
                    }
                    What::Restart => {
                        let when = CrashPoint::BetweenSteps;
                        played.acts.push(Act::Crash { node, when });
                        played.acts.push(Act::Restart { node });
                    }
                }
                let step = self.step(env, local, what);
                let step = if crash {
                    played.acts.push(Act::Restart { node });
                    step.map(|durable| self.crash(env, local, &durable.local))
                } else {
                    step
                };
                if let Some(step) = step {
                    played.send(&step);
                    *local = step.local;
                }
            }
        }
        played.acts
    }
}

/// A schedule while it is written down.
pub(super) struct Played<P: Protocol> {
    /// Every message in the order of sending, those sent again included: what selectors count.
    pub(super) sent: Vec<Arc<Packet<P>>>,
    pub(super) acts: Vec<Act>,
}

impl<P: Protocol> Played<P> {
    pub(super) fn send(&mut self, step: &Step<P>) {
        self.sent.extend(step.sends.iter().cloned());
    }

    pub(super) fn deliver(&mut self, to: NodeId, packet: &Packet<P>) {
        let info = packet.info;
        let reaches = |sent: &Packet<P>| match (packet.to, sent.to) {
            (_, To::Node(node)) => node == to,
            _ => true,
        };
        let alike = self.sent.iter().filter(|sent| {
            let same_kind = (sent.info.kind, sent.info.round) == (info.kind, info.round);
            sent.from == packet.from && same_kind && reaches(sent)
        });
        let before = alike.take_while(|sent| sent.print != packet.print).count();
        self.acts.push(Act::Deliver(Selector {
            from: Some(packet.from),
            to: Some(to),
            kind: Some(String::from(kind_name::<P>(info))),
            round: Some(info.round),
            nth: (before > 0).then_some(before as u32 + 1),
            instance: None,
        }));
    }
}
