//! Certificates: enough votes for one ballot that anyone can check.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::crypto::{Keyring, Signature};
use crate::engine::{Env, Protocol};
use crate::quorum::Quorum;
use crate::types::{Hash32, NodeId};
use crate::votes::{Ballot, Vote};

/// Signatures of distinct members under one ballot, in id order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// What they signed.
    pub ballot: Ballot,
    /// Who signed, and the signatures.
    pub signatures: Vec<(NodeId, Signature)>,
}

impl Certificate {
    /// Collects the votes for a ballot; `None` unless they reach the quorum. Takes no more than are needed.
    pub fn collect<'a>(
        ballot: Ballot,
        votes: impl Iterator<Item = &'a Vote>,
        quorum: Quorum,
    ) -> Option<Certificate> {
        let mut signatures: Vec<(NodeId, Signature)> = votes
            .filter(|vote| vote.ballot == ballot)
            .map(|vote| (vote.signer, vote.signature))
            .collect();
        signatures.sort_unstable_by_key(|(signer, _)| *signer);
        signatures.dedup_by_key(|(signer, _)| *signer);
        if !quorum.is_reached(signatures.len() as u128) {
            return None;
        }
        signatures.truncate(quorum.need() as usize);
        Some(Certificate { ballot, signatures })
    }

    /// Whether a quorum of distinct members signed the ballot.
    pub fn verify<P: Protocol>(&self, env: &Env<P>, quorum: Quorum) -> bool {
        self.verify_with(&env.genesis, P::TAG, &env.keyring, quorum)
    }

    /// The same, for whoever stands outside a node.
    pub fn verify_with(
        &self,
        genesis: &Hash32,
        protocol: u8,
        keyring: &Keyring,
        quorum: Quorum,
    ) -> bool {
        let in_order = self.signatures.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !in_order || !quorum.is_reached(self.signatures.len() as u128) {
            return false;
        }
        let preimage = self.ballot.preimage(genesis, protocol);
        self.signatures
            .iter()
            .all(|(signer, signature)| keyring.verify(*signer, &preimage, signature))
    }

    /// Who signed.
    pub fn signers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.signatures.iter().map(|(signer, _)| *signer)
    }

    /// The votes that it is made of.
    pub fn votes(&self) -> impl Iterator<Item = Vote> + '_ {
        self.signatures.iter().map(|(signer, signature)| Vote {
            ballot: self.ballot,
            signer: *signer,
            signature: *signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Crypto, Member, Signer};
    use crate::types::{GroupId, InstanceId, Round};
    use crate::votes::VoteKind;

    const GENESIS: Hash32 = Hash32([1; 32]);

    fn signed(signer: u16, value: u8) -> Vote {
        let ballot = Ballot {
            instance: InstanceId::default(),
            round: Round(3),
            kind: VoteKind::Precommit,
            value: Some(Hash32([value; 32])),
        };
        let key = Signer::from_seed(Crypto::Simulated, &[signer as u8; 32]);
        ballot.sign_with(&GENESIS, 1, NodeId(signer), &key)
    }

    fn ring() -> Keyring {
        let member = |id: u16| Member {
            id: NodeId(id),
            group: GroupId(0),
            key: Signer::from_seed(Crypto::Simulated, &[id as u8; 32]).public(),
        };
        Keyring::new(Crypto::Simulated, &[member(1), member(2), member(3)]).unwrap()
    }

    #[test]
    fn only_a_quorum_of_distinct_members_for_one_value_makes_one() {
        let quorum = Quorum::crash_majority(3);
        let votes = [signed(1, 9), signed(2, 8), signed(3, 9), signed(3, 9)];
        let ballot = votes[0].ballot;
        assert_eq!(
            Certificate::collect(ballot, votes[..2].iter(), quorum),
            None,
            "two values"
        );
        assert_eq!(
            Certificate::collect(ballot, votes[2..].iter(), quorum),
            None,
            "one member twice"
        );
        let certificate = Certificate::collect(ballot, votes.iter(), quorum).unwrap();
        assert!(certificate.verify_with(&GENESIS, 1, &ring(), quorum));
        assert_eq!(
            certificate.signers().collect::<Vec<_>>(),
            [NodeId(1), NodeId(3)]
        );
    }

    #[test]
    fn every_way_to_fake_one_is_refused() {
        let quorum = Quorum::crash_majority(3);
        let votes = [signed(1, 9), signed(3, 9)];
        let good = Certificate::collect(votes[0].ballot, votes.iter(), quorum).unwrap();
        let fakes = [
            Certificate {
                signatures: good.signatures[..1].to_vec(),
                ..good.clone()
            },
            Certificate {
                signatures: alloc::vec![good.signatures[0], good.signatures[0]],
                ..good.clone()
            },
            Certificate {
                signatures: alloc::vec![good.signatures[1], good.signatures[0]],
                ..good.clone()
            },
            Certificate {
                signatures: alloc::vec![good.signatures[0], (NodeId(2), good.signatures[1].1)],
                ..good.clone()
            },
            Certificate {
                signatures: alloc::vec![good.signatures[0], (NodeId(9), good.signatures[1].1)],
                ..good.clone()
            },
            Certificate {
                ballot: Ballot {
                    round: Round(4),
                    ..good.ballot
                },
                ..good.clone()
            },
            Certificate {
                ballot: Ballot {
                    kind: VoteKind::Prevote,
                    ..good.ballot
                },
                ..good.clone()
            },
        ];
        for (index, fake) in fakes.iter().enumerate() {
            assert!(
                !fake.verify_with(&GENESIS, 1, &ring(), quorum),
                "fake {index}"
            );
        }
    }
}
