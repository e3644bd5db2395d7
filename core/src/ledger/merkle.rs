//! The hash over a list of transactions, from which one of them can be shown without the others.
//!
//! Leaves, inner nodes and the empty list are hashed in domains of their own, so that no inner node passes for a leaf. A
//! node without a neighbour is carried up as it is. Pairing it with itself instead gives `a b c` and `a b c c` one root
//! (CVE-2012-2459): whoever sends the second makes the first, valid block look bad. Here the root tells its whole tree,
//! and so the list and its length.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::crypto::Transcript;
use crate::types::Hash32;

/// The root over leaves in their order.
pub fn root(leaves: &[Hash32]) -> Hash32 {
    if leaves.is_empty() {
        return Transcript::new("phaselab 2026-11 merkle empty v1").finish();
    }
    let mut nodes: Vec<Hash32> = leaves.iter().map(leaf).collect();
    while nodes.len() > 1 {
        nodes = parents(&nodes);
    }
    nodes[0]
}

/// The way from one leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proof {
    /// Which leaf, from 0.
    pub index: u32,
    /// Of how many. Neither is proven by the root alone: a verifier that needs the place knows the count.
    pub count: u32,
    /// The neighbours on the way, from the leaf up; a node that is carried up has none.
    pub neighbours: Vec<Hash32>,
}

/// Shows the leaf at `index`; `None` if there is none.
pub fn proof(leaves: &[Hash32], index: usize) -> Option<Proof> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Proof {
        index: u32::try_from(index).ok()?,
        count: u32::try_from(leaves.len()).ok()?,
        neighbours: Vec::new(),
    };
    let mut nodes: Vec<Hash32> = leaves.iter().map(leaf).collect();
    let mut at = index;
    while nodes.len() > 1 {
        proof.neighbours.extend(nodes.get(at ^ 1));
        nodes = parents(&nodes);
        at /= 2;
    }
    Some(proof)
}

/// Whether the root is over a list that holds this leaf.
pub fn verify(root: &Hash32, held: &Hash32, proof: &Proof) -> bool {
    let (mut at, mut count) = (proof.index, proof.count);
    if at >= count {
        return false;
    }
    let mut node = leaf(held);
    let mut neighbours = proof.neighbours.iter();
    while count > 1 {
        // The last of an odd number is carried up.
        if at % 2 == 1 || at + 1 < count {
            let Some(neighbour) = neighbours.next() else {
                return false;
            };
            node = match at % 2 {
                0 => inner(&node, neighbour),
                _ => inner(neighbour, &node),
            };
        }
        at /= 2;
        count = count.div_ceil(2);
    }
    neighbours.next().is_none() && node == *root
}

fn parents(nodes: &[Hash32]) -> Vec<Hash32> {
    let parent = |pair: &[Hash32]| match pair {
        [left, right] => inner(left, right),
        alone => alone[0],
    };
    nodes.chunks(2).map(parent).collect()
}

fn leaf(held: &Hash32) -> Hash32 {
    Transcript::new("phaselab 2026-11 merkle leaf v1")
        .hash(held)
        .finish()
}

fn inner(left: &Hash32, right: &Hash32) -> Hash32 {
    Transcript::new("phaselab 2026-11 merkle inner v1")
        .hash(left)
        .hash(right)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, Prng};
    use alloc::vec;

    fn list(count: usize, random: &mut Prng) -> Vec<Hash32> {
        let mut fresh = || {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&random.next_u64().to_le_bytes());
            Hash32(bytes)
        };
        (0..count).map(|_| fresh()).collect()
    }

    #[test]
    fn roots_are_frozen() {
        let leaves: Vec<Hash32> = (1..=5).map(|byte| Hash32([byte; 32])).collect();
        let roots = [0, 1, 2, 5].map(|count| alloc::format!("{}", root(&leaves[..count])));
        let frozen = [
            "80bb59b06b3e3f52aa3b78110987a70f49d799b9023373dbc784dfb9891ffbf7",
            "ec5af11c81504a5d1bfd46fd0b969b3fbac5fe519fe683ebdb26966cb5001e3d",
            "b5de25295d534f720cc73ea8a5db80f945afef132aea1e4d0e87ef642b6514fe",
            "c9f73dfccd60161bae1bc0f63c116c86e74008b0741f07d451b9846447832450",
        ];
        assert_eq!(roots, frozen);
    }

    #[test]
    fn an_odd_node_is_carried_up_and_never_doubled() {
        let leaves: Vec<Hash32> = (1..=3).map(|byte| Hash32([byte; 32])).collect();
        let [a, b, c] = [0, 1, 2].map(|at| leaf(&leaves[at]));
        assert_eq!(root(&leaves), inner(&inner(&a, &b), &c));
        let doubled = [&leaves[..], &leaves[2..]].concat();
        assert_ne!(root(&leaves), root(&doubled), "CVE-2012-2459");
    }

    #[test]
    fn a_node_is_no_leaf() {
        let leaves: Vec<Hash32> = (1..=4).map(|byte| Hash32([byte; 32])).collect();
        let nodes: Vec<Hash32> = leaves.iter().map(leaf).collect();
        let upper = parents(&nodes);
        assert_ne!(root(&leaves), root(&nodes));
        assert_ne!(root(&leaves), root(&upper));
        assert_ne!(root(&leaves[..1]), leaves[0]);
        assert_ne!(root(&[root(&[])]), root(&[]));
    }

    #[test]
    fn every_other_list_has_another_root() {
        let mut random = Prng::from_seed([3; 32]);
        for count in 1..=33 {
            let leaves = list(count, &mut random);
            let base = root(&leaves);
            let mut others = vec![Vec::new()];
            for at in 0..count {
                let mut changed = leaves.clone();
                changed[at].0[random.below(32) as usize] ^= 1 << random.below(8);
                let mut missing = leaves.clone();
                missing.remove(at);
                others.extend([changed, missing, leaves[..at].to_vec()]);
                for to in 0..=count {
                    let mut doubled = leaves.clone();
                    doubled.insert(to, leaves[at]);
                    others.push(doubled);
                }
                for with in at + 1..count {
                    let mut swapped = leaves.clone();
                    swapped.swap(at, with);
                    others.push(swapped);
                    // A tail that repeats, which trees of doubled nodes confuse with the list.
                    others.push([&leaves[..], &leaves[at..with]].concat());
                }
            }
            for other in others {
                assert_ne!(root(&other), base, "{count} leaves, and {}", other.len());
            }
        }
    }

    #[test]
    fn a_proof_holds_for_its_leaf_alone() {
        let mut random = Prng::from_seed([4; 32]);
        for count in 1..=33 {
            let leaves = list(count, &mut random);
            let base = root(&leaves);
            assert_eq!(proof(&leaves, count), None);
            for at in 0..count {
                let good = proof(&leaves, at).unwrap();
                assert!(verify(&base, &leaves[at], &good), "{at} of {count}");
                assert!(good.neighbours.len() <= 6);
                for other in leaves.iter().filter(|other| **other != leaves[at]) {
                    assert!(!verify(&base, other, &good), "another leaf");
                }
                let mut bent = good.clone();
                bent.neighbours.push(Hash32::default());
                assert!(!verify(&base, &leaves[at], &bent), "one too many");
                let mut out = good.clone();
                out.index = out.count;
                assert!(!verify(&base, &leaves[at], &out), "outside");
                for place in 0..good.neighbours.len() {
                    let mut bent = good.clone();
                    bent.neighbours[place].0[7] ^= 4;
                    assert!(!verify(&base, &leaves[at], &bent), "a bent neighbour");
                    let mut short = good.clone();
                    short.neighbours.remove(place);
                    assert!(!verify(&base, &leaves[at], &short), "one too few");
                }
                // Another place of a list as long is another way up.
                for index in (0..count as u32).filter(|index| *index != good.index) {
                    let moved = Proof {
                        index,
                        ..good.clone()
                    };
                    assert!(!verify(&base, &leaves[at], &moved), "{at} as {index}");
                }
            }
        }
        let empty = Proof {
            index: 0,
            count: 0,
            neighbours: Vec::new(),
        };
        assert!(!verify(&root(&[]), &Hash32::default(), &empty));
    }
}
