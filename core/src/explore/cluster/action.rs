//! What may happen to a cluster, and its words.

use alloc::sync::Arc;
use core::fmt;

use super::step::Step;
use super::world::Packet;
use crate::engine::{MessageInfo, Protocol};
use crate::types::NodeId;

/// What may happen: quiet steps of a node, and then one that is heard.
pub struct Action<P: Protocol> {
    /// To which node.
    pub node: NodeId,
    /// What, in order.
    pub steps: Arc<[What<P>]>,
    /// Whether the node crashes when the last step is durable, before it has sent.
    pub crash: bool,
    /// Where it leads.
    pub(super) step: Arc<Step<P>>,
}

/// What may happen to a node.
pub enum What<P: Protocol> {
    /// A client asks; the number of the request in the scenario.
    Submit(usize),
    /// A message arrives.
    Deliver(Arc<Packet<P>>),
    /// A timer fires.
    Fire(P::Timer),
    /// It is shown the next of its views of the world.
    See(u8),
    /// It crashes between two steps, and starts again.
    Restart,
}

impl<P: Protocol> Clone for Action<P> {
    fn clone(&self) -> Self {
        Action {
            node: self.node,
            steps: self.steps.clone(),
            crash: self.crash,
            step: self.step.clone(),
        }
    }
}

impl<P: Protocol> Clone for What<P> {
    fn clone(&self) -> Self {
        match self {
            What::Submit(request) => What::Submit(*request),
            What::Deliver(packet) => What::Deliver(packet.clone()),
            What::Fire(timer) => What::Fire(*timer),
            What::See(view) => What::See(*view),
            What::Restart => What::Restart,
        }
    }
}

impl<P: Protocol> fmt::Debug for Action<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}: ", self.node.0)?;
        for (index, what) in self.steps.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{what}")?;
        }
        if self.crash {
            write!(f, ", crashes before it sends, and restarts")?;
        }
        Ok(())
    }
}

impl<P: Protocol> fmt::Display for What<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Submit(request) => write!(f, "is asked (request {request})"),
            What::Deliver(packet) => {
                let name = kind_name::<P>(packet.info);
                let (round, from) = (packet.info.round.0, packet.from.0);
                write!(f, "receives {name} of round {round} from node {from}")
            }
            What::Fire(timer) => {
                let info = P::timer_info(timer);
                write!(f, "hears its {} timer", info.name)?;
                info.round
                    .map_or(Ok(()), |round| write!(f, " in round {}", round.0))
            }
            What::See(_) => write!(f, "sees the world change"),
            What::Restart => write!(f, "crashes and restarts"),
        }
    }
}

pub(super) fn kind_name<P: Protocol>(info: MessageInfo) -> &'static str {
    let kinds = P::spec().messages;
    kinds
        .get(usize::from(info.kind))
        .map_or("a message", |kind| kind.name)
}
