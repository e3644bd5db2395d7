//! Whom a poll asks: peers drawn by registered weight, without replacement. (S1-11, S1-F6)

use alloc::vec::Vec;

use super::Cx;
use crate::ordered::Set;
use crate::types::NodeId;

/// Draws `k` other members, or all where there are not as many.
pub(super) fn draw(cx: Cx<'_, '_>, k: u16) -> Vec<NodeId> {
    let env = cx.env();
    let members = env.members();
    let wanted = usize::from(k);
    if env.config.weights.is_empty() && wanted * 4 < members.len() {
        // Few of many: draw again whoever was drawn, which costs as much as the sample and not as the membership.
        let mut drawn = Set::new();
        while drawn.len() < wanted {
            let member = members[cx.below(members.len() as u64) as usize];
            if member != env.id {
                drawn.insert(member);
            }
        }
        return drawn.iter().copied().collect();
    }
    let mut left: Vec<(NodeId, u64)> = env
        .others()
        .map(|node| (node, env.config.weight(node)))
        .collect();
    let mut total: u64 = left.iter().map(|(_, weight)| weight).sum();
    let mut drawn = Vec::with_capacity(wanted);
    while drawn.len() < wanted && total > 0 {
        let mut ticket = cx.below(total);
        let is_hit = |(_, weight): &(NodeId, u64)| {
            let hit = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            hit
        };
        let Some(place) = left.iter().position(is_hit) else {
            break;
        };
        let (node, weight) = left.remove(place);
        total -= weight;
        drawn.push(node);
    }
    drawn
}
