//! Interventions: what is done to a run from outside.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Sim;
use crate::event::EventKind;
use crate::scenario::{Act, CrashPoint, DiskFault, Schedule};
use crate::types::{ClientId, NodeId};
use crate::view::ViewScope;

impl Sim {
    pub(super) fn apply_or_log(&mut self, act: &Act) {
        if self.apply(act).is_err() {
            *self.faults.get_or_default("impossible") += 1;
        }
    }

    pub(super) fn apply(&mut self, act: &Act) -> Result<(), String> {
        self.log.begin(self.steps, self.now);
        self.hash.update(b"i").update(&crate::codec::encode(act));
        match act {
            Act::Submit { to, request } => {
                let known = self.submitted.len() as u64;
                let hash = blake3::hash(request).into();
                let nth = *self.submitted.get_or_insert_with(hash, || known + 1);
                if nth <= known {
                    self.count_fault("resubmission");
                }
                self.submit_to(to, ClientId(nth), 1, request);
            }
            Act::SubmitAs {
                to,
                client,
                number,
                request,
            } => {
                if !self.numbered.insert((*client, *number)) {
                    self.count_fault("resubmission");
                }
                self.submit_to(to, *client, *number, request);
            }
            Act::Crash {
                node,
                when: CrashPoint::BetweenSteps,
            } => self.crash(*node),
            Act::Crash { node, when } => self.slot_mut(*node).crash = Some(*when),
            Act::Restart { node } => {
                if self.slot(*node).disk.is_lost() {
                    return Err(alloc::format!(
                        "restart: {node} lost its disk, and its key with it"
                    ));
                }
                self.slot_mut(*node).crash = None;
                self.slot_mut(*node).disk.repair();
                if !self.is_alive(*node) {
                    self.note_fault(*node, EventKind::Restarted);
                    self.start(*node);
                }
            }
            Act::Partition { groups } => {
                self.net.partition(groups);
                self.count_fault("partition");
                self.note_fault(NodeId(0), EventKind::Partitioned);
            }
            Act::Heal => {
                self.net.heal();
                self.note_fault(NodeId(0), EventKind::Healed);
            }
            Act::Link(link) => {
                self.net.set_link(link.clone());
                self.fault_injected(link.from);
            }
            Act::Drop(_) | Act::Delay { .. } | Act::Duplicate(_) | Act::Corrupt(_) => {
                let select = self.net.add_rule(act, self.cluster.spec())?;
                self.fault_injected(select);
            }
            Act::Deliver(select) => self.deliver_held(select)?,
            Act::Fire {
                node,
                timer,
                round,
                instance,
            } => {
                let names = self.names();
                let is_named = |id| names.get(&id) == instance.as_ref();
                let armed = self.slot(*node).replica.as_ref().and_then(|replica| {
                    replica.armed().iter().position(|info| {
                        info.name == timer
                            && round.is_none_or(|round| info.round == Some(round))
                            && (instance.is_none() || info.instance.is_some_and(is_named))
                    })
                });
                let Some(armed) = armed else {
                    return Err(alloc::format!("fire: {node} has no {timer} timer armed"));
                };
                self.fire(*node, armed);
            }
            Act::Byzantine { node, behaviour } => {
                self.oracle.on_byzantine(*node);
                self.count_fault("byzantine");
                self.fault_injected(Some(*node));
                self.become_liar(*node, *behaviour);
            }
            Act::Fact { node, change } => {
                self.environment.change(self.now, *node, change)?;
                self.count_fault("view_change");
                if self.scenario.schedule == Schedule::Manual {
                    self.tell_views();
                }
                self.schedule_environment();
            }
            Act::Disk { node, fault } => {
                self.count_fault("disk");
                self.fault_injected(Some(*node));
                match fault {
                    DiskFault::Fail => self.slot_mut(*node).disk.fail(),
                    DiskFault::Lose => {
                        self.crash(*node);
                        self.slot_mut(*node).disk.lose();
                    }
                }
            }
            Act::Skew {
                node,
                rate_permille,
            } => {
                self.slot_mut(*node).rate_permille = *rate_permille;
                self.count_fault("skew");
                self.fault_injected(Some(*node));
                self.slot_mut(*node).wake = None;
                self.schedule_wake(*node);
            }
        }
        Ok(())
    }

    /// A client asks these nodes, or the first where none is named.
    fn submit_to(&mut self, to: &[NodeId], client: ClientId, number: u64, request: &[u8]) {
        let to: Vec<NodeId> = if to.is_empty() {
            self.scenario.ids().take(1).collect()
        } else {
            to.to_vec()
        };
        for node in to {
            self.submit(node, client, number, request);
        }
    }

    fn fault_injected(&mut self, node: Option<NodeId>) {
        self.note_fault(node.unwrap_or(NodeId(0)), EventKind::FaultInjected);
    }

    fn count_fault(&mut self, kind: &'static str) {
        *self.faults.get_or_default(kind) += 1;
    }

    pub(super) fn crash(&mut self, node: NodeId) {
        let slot = self.slot_mut(node);
        let kind = match slot.crash.take() {
            Some(CrashPoint::BeforeHandling) => "crash_before_handling",
            Some(CrashPoint::AfterPersist) => "crash_after_persist",
            _ => "crash_between_steps",
        };
        let Some(replica) = slot.replica.take() else {
            return;
        };
        slot.last_view = Some(Arc::new(replica.view(ViewScope::Full)));
        slot.last_glance = replica.glance();
        for (name, count) in replica.counters() {
            *slot.past.get_or_default(name.clone()) += count;
        }
        slot.disk.crash();
        slot.wake = None;
        self.hash_step(b'x', node, &[]);
        self.count_fault(kind);
        self.note_fault(node, EventKind::Crashed);
    }
}
