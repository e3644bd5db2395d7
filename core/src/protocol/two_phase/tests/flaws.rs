//! A flaw that takes a member that makes up a round: no scenario has one, so a test does.

use super::*;
use crate::votes::{Ballot, VoteKind};

/// S0-F15: the first message of a fresh event carries a round that no honest node ever reaches. Whoever adopts it hears
/// the others' round 0 no more, and its own round never ends.
#[test]
fn the_round_of_the_first_message_poisons_only_who_adopts_it() {
    for (flaws, is_poisoned) in [(&[][..], false), (&["S0-F15"][..], true)] {
        let mut lab = Lab::under(3, TwoPhaseConfig::default(), RuleSet::Hardened, flaws);
        let request = SubmitEvent {
            event: "withdraw-1".into(),
            amount: 25,
            destination: None,
            supersedes: None,
        };
        let signing_material = request.signing_material();
        let event = signing_material.id();
        let ballot = Ballot {
            instance: event,
            round: Round(u32::MAX),
            kind: VoteKind::Prevote,
            value: None,
        };
        let liar = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(3)));
        let vote = ballot.sign_with(&lab.genesis.hash(), TwoPhase::TAG_BYTE, NodeId(3), &liar);
        let message = Message::NoProposal {
            vote,
            signing_material,
        };
        let opened = crate::replica::opened_for_tests(NodeId(3), message);
        lab.with(2, |node, now| node.receive(now, Ok(&opened)));
        lab.crash(3);

        lab.submit(1, "withdraw-1");
        for _ in 0..120 {
            for kind in ["proposal", "no-proposal", "lock", "commit"] {
                lab.deliver(1, 2, kind);
                lab.deliver(2, 1, kind);
            }
            lab.mail.clear();
            lab.pass(1, 500);
            lab.pass(2, 500);
        }
        let ended = [1, 2].map(|id| lab.phase(id, event) == EventPhase::Committed);
        let round = lab.event(2, event).unwrap().round;
        if is_poisoned {
            assert_eq!((ended, round), ([false, false], Round(u32::MAX)));
        } else {
            assert_eq!((ended, round), ([true, true], Round(0)));
        }
    }
}
