//! Votes: signed once per (instance, round, kind), counted once per member, with proof when a member contradicts itself.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::crypto::{Keyring, Signature, Signer, Transcript};
use crate::engine::{Env, Protocol};
use crate::ordered::{Map, Set};
use crate::types::{Hash32, InstanceId, NodeId, Round};

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum VoteKind {
    /// "I would accept this value in this round." ([TM] PREVOTE; two-phase: the proposal itself)
    Prevote,
    /// "A quorum would; I am locked on it." ([TM] PRECOMMIT; two-phase: the lock)
    Precommit,
    /// "I never locked, and I never will." (two-phase: Abandon; its round and value are empty)
    Abandon,
}

/// Everything that a vote's signature covers, besides the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// About which instance.
    pub instance: InstanceId,
    /// In which round.
    pub round: Round,
    /// What it says.
    pub kind: VoteKind,
    /// For which value; `None` is nil.
    pub value: Option<Hash32>,
}

impl Ballot {
    /// The hash that is signed: context, genesis, protocol, instance, round, kind, value, in fixed-width little-endian.
    pub fn preimage(&self, genesis: &Hash32, protocol: u8) -> Hash32 {
        let mut transcript = Transcript::new("phaselab 2026-11 vote v1");
        transcript
            .hash(genesis)
            .u8(protocol)
            .hash(&self.instance.0)
            .u32(self.round.0)
            .u8(self.kind as u8);
        transcript.option(self.value.as_ref()).finish()
    }

    /// Signs the ballot as this node.
    pub fn sign<P: Protocol>(self, env: &Env<P>) -> Vote {
        self.sign_with(&env.genesis, P::TAG, env.id, &env.signer)
    }

    /// Signs the ballot with any key.
    pub fn sign_with(self, genesis: &Hash32, protocol: u8, signer: NodeId, key: &Signer) -> Vote {
        Vote {
            ballot: self,
            signer,
            signature: key.sign(&self.preimage(genesis, protocol)),
        }
    }
}

/// A signed ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// What it says.
    pub ballot: Ballot,
    /// Who says so.
    pub signer: NodeId,
    /// Its signature over [`Ballot::preimage`].
    pub signature: Signature,
}

impl Vote {
    /// Whether the signer is a member and signed this.
    pub fn verify(&self, genesis: &Hash32, protocol: u8, keyring: &Keyring) -> bool {
        keyring.verify(
            self.signer,
            &self.ballot.preimage(genesis, protocol),
            &self.signature,
        )
    }
}

/// Proof that a member contradicted itself: two ballots of one (instance, round, kind) with different values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// The first vote that was seen; it counts.
    pub first: Vote,
    /// The second; it does not.
    pub second: Vote,
}

impl Evidence {
    /// Whether both votes are the same member's, exclude each other, and are signed.
    pub fn verify(&self, genesis: &Hash32, protocol: u8, keyring: &Keyring) -> bool {
        let (a, b) = (&self.first, &self.second);
        a.signer == b.signer
            && (a.ballot.instance, a.ballot.round, a.ballot.kind)
                == (b.ballot.instance, b.ballot.round, b.ballot.kind)
            && a.ballot.value != b.ballot.value
            && a.verify(genesis, protocol, keyring)
            && b.verify(genesis, protocol, keyring)
    }
}

/// What became of a vote that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It counts.
    New,
    /// The same vote was there.
    Duplicate,
    /// The member had voted otherwise: the first vote stands.
    Equivocation(Box<Evidence>),
}

/// The votes of one instance by round and kind. One per member counts.
///
/// Callers verify votes before they add them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VoteSet {
    votes: Map<(Round, VoteKind), Map<NodeId, Vote>>,
}

impl VoteSet {
    /// Adds a verified vote.
    pub fn add(&mut self, vote: Vote) -> Added {
        let cell = self
            .votes
            .get_or_default((vote.ballot.round, vote.ballot.kind));
        match cell.get(&vote.signer) {
            None => {
                cell.insert(vote.signer, vote);
                Added::New
            }
            Some(first) if first.ballot == vote.ballot => Added::Duplicate,
            Some(first) => Added::Equivocation(Box::new(Evidence {
                first: *first,
                second: vote,
            })),
        }
    }

    /// Adds the votes of a verified certificate; what contradicts an earlier vote is left out.
    pub fn add_all(&mut self, votes: impl Iterator<Item = Vote>) {
        votes.for_each(|vote| {
            self.add(vote);
        });
    }

    /// The votes of a kind in a round, in signer order.
    pub fn of(&self, round: Round, kind: VoteKind) -> impl Iterator<Item = &Vote> {
        self.votes
            .get(&(round, kind))
            .into_iter()
            .flat_map(Map::values)
    }

    /// The votes for one value.
    pub fn for_value(
        &self,
        round: Round,
        kind: VoteKind,
        value: Option<Hash32>,
    ) -> impl Iterator<Item = &Vote> {
        self.of(round, kind)
            .filter(move |vote| vote.ballot.value == value)
    }

    /// How many members voted for one value.
    pub fn count(&self, round: Round, kind: VoteKind, value: Option<Hash32>) -> u128 {
        self.for_value(round, kind, value).count() as u128
    }

    /// A member's vote.
    pub fn by(&self, round: Round, kind: VoteKind, signer: NodeId) -> Option<&Vote> {
        self.votes.get(&(round, kind))?.get(&signer)
    }

    /// Votes per value in a round: most first, then the lower hash. Nil comes last among equals.
    pub fn tally(&self, round: Round, kind: VoteKind) -> Vec<(Option<Hash32>, u128)> {
        let mut counts: Map<Option<Hash32>, u128> = Map::new();
        for vote in self.of(round, kind) {
            *counts.get_or_default(vote.ballot.value) += 1;
        }
        let mut tally: Vec<_> = counts.into_iter().collect();
        tally.sort_by_key(|(value, count)| (core::cmp::Reverse(*count), value.is_none(), *value));
        tally
    }

    /// The rounds in which anyone voted, lowest first.
    pub fn rounds(&self) -> impl DoubleEndedIterator<Item = Round> + '_ {
        let mut last = None;
        self.votes
            .keys()
            .map(|(round, _)| *round)
            .filter(move |round| last.replace(*round) != Some(*round))
    }

    /// The distinct members that voted in any round from `round` on.
    pub fn members_from(&self, round: Round) -> Set<NodeId> {
        self.votes
            .range((round, VoteKind::Prevote)..)
            .flat_map(|(_, cell)| cell.keys().copied())
            .collect()
    }

    /// Forgets the rounds before `round`, except those in `keep`.
    pub fn forget_before(&mut self, round: Round, keep: &[Round]) {
        self.votes
            .retain(|(at, _), _| *at >= round || keep.contains(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Crypto, Member};
    use crate::quorum::Quorum;
    use crate::types::GroupId;

    const GENESIS: Hash32 = Hash32([1; 32]);

    fn vote(signer: u16, round: u32, value: Option<u8>) -> Vote {
        let key = Signer::from_seed(Crypto::Simulated, &[signer as u8; 32]);
        let ballot = Ballot {
            instance: InstanceId(Hash32([5; 32])),
            round: Round(round),
            kind: VoteKind::Prevote,
            value: value.map(|v| Hash32([v; 32])),
        };
        ballot.sign_with(&GENESIS, 1, NodeId(signer), &key)
    }

    /// Case of ground-truth.md: prevotes v, v, nil, v -> nothing, nothing, any, quorum for v.
    #[test]
    fn thresholds_of_four_equal_voters() {
        let quorum = Quorum::more_than_two_thirds(4);
        let mut votes = VoteSet::default();
        let v = Some(Hash32([9; 32]));
        let mut seen = Vec::new();
        for vote in [
            vote(1, 0, Some(9)),
            vote(2, 0, Some(9)),
            vote(3, 0, None),
            vote(4, 0, Some(9)),
        ] {
            assert_eq!(votes.add(vote), Added::New);
            let any = quorum.is_reached(votes.of(Round(0), VoteKind::Prevote).count() as u128);
            let for_v = quorum.is_reached(votes.count(Round(0), VoteKind::Prevote, v));
            seen.push((any, for_v));
        }
        assert_eq!(
            seen,
            [(false, false), (false, false), (true, false), (true, true)]
        );
    }

    #[test]
    fn the_first_vote_counts_and_the_second_is_evidence() {
        let ring: Vec<Member> = (1..=2u16)
            .map(|id| Member {
                id: NodeId(id),
                group: GroupId(0),
                key: Signer::from_seed(Crypto::Simulated, &[id as u8; 32]).public(),
            })
            .collect();
        let ring = Keyring::new(Crypto::Simulated, &ring).unwrap();
        let mut votes = VoteSet::default();
        assert_eq!(votes.add(vote(1, 0, Some(9))), Added::New);
        assert_eq!(votes.add(vote(1, 0, Some(9))), Added::Duplicate);
        let Added::Equivocation(evidence) = votes.add(vote(1, 0, Some(8))) else {
            panic!("two values of one member")
        };
        assert!(evidence.verify(&GENESIS, 1, &ring));
        assert!(
            !evidence.verify(&Hash32([2; 32]), 1, &ring),
            "of another cluster"
        );
        let harmless = Evidence {
            first: vote(1, 0, Some(9)),
            second: vote(1, 1, Some(8)),
        };
        assert!(
            !harmless.verify(&GENESIS, 1, &ring),
            "two rounds are no contradiction"
        );
        let framed = Evidence {
            first: vote(1, 0, Some(9)),
            second: Vote {
                signer: NodeId(1),
                ..vote(2, 0, Some(8))
            },
        };
        assert!(
            !framed.verify(&GENESIS, 1, &ring),
            "another member's signature"
        );
        assert_eq!(
            votes.count(Round(0), VoteKind::Prevote, Some(Hash32([9; 32]))),
            1
        );
    }

    /// The order of S0-48: more votes, then the lower hash.
    #[test]
    fn the_tally_puts_more_votes_first_then_the_lower_hash() {
        let mut votes = VoteSet::default();
        for (signer, value) in [(1, 7), (2, 3), (3, 7), (4, 3), (5, 1)] {
            votes.add(vote(signer, 2, Some(value)));
        }
        let order: Vec<u8> = votes
            .tally(Round(2), VoteKind::Prevote)
            .iter()
            .map(|(v, _)| v.unwrap().0[0])
            .collect();
        assert_eq!(order, [3, 7, 1]);
        assert_eq!(votes.rounds().collect::<Vec<_>>(), [Round(2)]);
        assert_eq!(votes.members_from(Round(1)).len(), 5);
        assert_eq!(votes.members_from(Round(3)).len(), 0);
    }
}
