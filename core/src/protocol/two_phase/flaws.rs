//! The rules that a flaw of seeds/000 answers otherwise: each flaw that can be restored alone is asked about in exactly
//! one function here. What the flaws are stands in [`table`].

use super::config::QuorumRule;
use super::phase::EventPhase;
use crate::engine::RuleSet;
use crate::flaw::FlawSet;
use crate::types::{Duration, Round, Time};

mod table;

pub(super) use table::FLAWS;

/// The flaws that can be restored, by their places in [`FLAWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Switch {
    NoCarryOver = 0,
    MinorityQuorum = 2,
    SilentListener = 3,
    NoWayBack = 4,
    BareClaim = 6,
    StuckFastForward = 7,
    CommittedIsForgotten = 8,
    NoTombstone = 10,
    OtherRoundsDropped = 12,
    SaidOnce = 13,
    RoundOfFirstMessage = 14,
    PeersClock = 15,
    WithdrawsLocked = 16,
    LocksUnseen = 17,
    NoLeader = 20,
    EntriesCounted = 22,
    QuorumAsGiven = 24,
    LateVotesUnanswered = 30,
    NoJitter = 32,
    BodyNotGossiped = 35,
}

const fn has(flaws: FlawSet, switch: Switch) -> bool {
    flaws.has(switch as usize)
}

/// From whom a node hears of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A client asks for it.
    Client,
    /// A peer voted in this round, at this time of its own clock where it says so.
    Peer(Round, Option<u64>),
}

/// What a commit broadcast has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// A quorum of locks.
    Certificate,
    /// Its sender's word.
    Claim,
}

/// S0-F1: whether what was locked or proven in one round binds a node in another.
pub(super) fn carries_over(flaws: FlawSet, from: Round, to: Round) -> bool {
    from == to || !has(flaws, Switch::NoCarryOver)
}

/// S0-F3, S0-F25: which quorums are accepted, and which is derived.
pub(super) fn quorum_rule(rules: RuleSet, flaws: FlawSet) -> QuorumRule {
    if rules == RuleSet::AsWritten {
        QuorumRule::AsWritten
    } else if has(flaws, Switch::QuorumAsGiven) {
        QuorumRule::AsGiven
    } else if has(flaws, Switch::MinorityQuorum) {
        QuorumRule::ThresholdM
    } else {
        QuorumRule::Majority
    }
}

/// S0-F4: whether a node proposes in the round in which it first hears of an event.
pub(super) fn proposes_at_once(flaws: FlawSet, source: Source) -> bool {
    source == Source::Client || !has(flaws, Switch::SilentListener)
}

/// S0-F5: whether a failed event is ever proposed again.
pub(super) fn reenters(flaws: FlawSet) -> bool {
    !has(flaws, Switch::NoWayBack)
}

/// S0-F7: what a commit broadcast has to show.
pub(super) fn evidence(rules: RuleSet, flaws: FlawSet) -> Evidence {
    if rules == RuleSet::AsWritten || has(flaws, Switch::BareClaim) {
        Evidence::Claim
    } else {
        Evidence::Certificate
    }
}

/// S0-F8: whether a commit of one round moves a node that is in this phase and round.
pub(super) fn fast_forwards(flaws: FlawSet, phase: EventPhase, own: Round, commit: Round) -> bool {
    (phase == EventPhase::Proposing && own == commit) || !has(flaws, Switch::StuckFastForward)
}

/// S0-F9: whether a committed event is taken up again, on every tick, on news of the chain, and after a restart.
pub(super) fn redrives(flaws: FlawSet) -> bool {
    !has(flaws, Switch::CommittedIsForgotten)
}

/// S0-F11: whether a garbage collection leaves the tombstone.
pub(super) fn keeps_tombstone(flaws: FlawSet) -> bool {
    !has(flaws, Switch::NoTombstone)
}

/// S0-F13: whether votes of other rounds mean anything to a node: whether they count, and whether it follows them.
pub(super) fn hears_other_rounds(flaws: FlawSet) -> bool {
    !has(flaws, Switch::OtherRoundsDropped)
}

/// S0-F14: whether a vote is sent again, and told to those who ask.
pub(super) fn repeats(flaws: FlawSet) -> bool {
    !has(flaws, Switch::SaidOnce)
}

/// S0-F15: the round in which a node begins.
pub(super) fn first_round(flaws: FlawSet, source: Source) -> Round {
    match source {
        Source::Peer(round, _) if has(flaws, Switch::RoundOfFirstMessage) => round,
        _ => Round(0),
    }
}

/// S0-F16: how long the first round lasts from now on.
pub(super) fn first_round_lasts(
    flaws: FlawSet,
    source: Source,
    now: Time,
    timeout: Duration,
) -> Duration {
    match source {
        Source::Peer(_, Some(began)) if has(flaws, Switch::PeersClock) => {
            Duration(began.saturating_add(timeout.0).saturating_sub(now.0))
        }
        _ => timeout,
    }
}

/// S0-F17: whether a node that is out of retries may withdraw.
pub(super) fn may_withdraw(flaws: FlawSet, is_locked: bool) -> bool {
    !is_locked || has(flaws, Switch::WithdrawsLocked)
}

/// S0-F18: whether a template must be valid here before it is counted and locked.
pub(super) fn validates_first(flaws: FlawSet) -> bool {
    !has(flaws, Switch::LocksUnseen)
}

/// S0-F21: whether a round has a leader whom the others follow; without one each proposes its own template.
pub(super) fn has_leader(flaws: FlawSet, round: Round) -> bool {
    round > Round(0) && !has(flaws, Switch::NoLeader)
}

/// S0-F23: whether a vote that comes again counts again.
pub(super) fn counts_entries(flaws: FlawSet) -> bool {
    has(flaws, Switch::EntriesCounted)
}

/// S0-F31: whether a late vote about an ended event is answered.
pub(super) fn answers_late(flaws: FlawSet) -> bool {
    !has(flaws, Switch::LateVotesUnanswered)
}

/// S0-F33: what is added to a backoff.
pub(super) fn jitter(flaws: FlawSet, drawn: Duration) -> Duration {
    if has(flaws, Switch::NoJitter) {
        Duration::ZERO
    } else {
        drawn
    }
}

/// S0-F36: whether a node takes an event's body from this source.
pub(super) fn learns_from(flaws: FlawSet, source: Source) -> bool {
    source == Source::Client || !has(flaws, Switch::BodyNotGossiped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCHES: [(Switch, &str); 20] = [
        (Switch::NoCarryOver, "S0-F1"),
        (Switch::MinorityQuorum, "S0-F3"),
        (Switch::SilentListener, "S0-F4"),
        (Switch::NoWayBack, "S0-F5"),
        (Switch::BareClaim, "S0-F7"),
        (Switch::StuckFastForward, "S0-F8"),
        (Switch::CommittedIsForgotten, "S0-F9"),
        (Switch::NoTombstone, "S0-F11"),
        (Switch::OtherRoundsDropped, "S0-F13"),
        (Switch::SaidOnce, "S0-F14"),
        (Switch::RoundOfFirstMessage, "S0-F15"),
        (Switch::PeersClock, "S0-F16"),
        (Switch::WithdrawsLocked, "S0-F17"),
        (Switch::LocksUnseen, "S0-F18"),
        (Switch::NoLeader, "S0-F21"),
        (Switch::EntriesCounted, "S0-F23"),
        (Switch::QuorumAsGiven, "S0-F25"),
        (Switch::LateVotesUnanswered, "S0-F31"),
        (Switch::NoJitter, "S0-F33"),
        (Switch::BodyNotGossiped, "S0-F36"),
    ];

    #[test]
    fn the_table_is_in_the_order_of_ids_and_every_switch_is_in_its_place() {
        assert_eq!(FLAWS.len(), 36);
        let switches = SWITCHES.map(|(switch, id)| (switch as usize, id));
        crate::flaw::assert_table(0, FLAWS, &switches);
    }
}
