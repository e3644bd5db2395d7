//! Frames come back, proofs speak for one thing, and the layout is frozen.

use super::*;
use crate::protocol::ProtocolKind;
use alloc::vec;

fn signer(id: u8) -> Signer {
    Signer::from_seed(Crypto::Ed25519, &[id; 32])
}

fn genesis() -> Genesis {
    let kind = ProtocolKind::TwoPhase;
    let member = |id: u8| Member {
        id: NodeId(u16::from(id)),
        group: GroupId(0),
        key: signer(id).public(),
    };
    Genesis {
        protocol: kind.tag(),
        rules: Default::default(),
        flaws: Vec::new(),
        crypto: Crypto::Ed25519,
        name: "den".into(),
        members: (1..=3).map(member).collect(),
        config: kind.default_config(),
    }
}

#[test]
fn frames_come_back_and_cut_or_unknown_ones_are_refused() {
    let to = [
        ToGateway::Join {
            invite: [7; 16],
            key: signer(1).public(),
            place: Place::Browser,
            proof: sign_join(&signer(1), &[3; 32], &[7; 16]),
        },
        ToGateway::Hello {
            node: NodeId(2),
            genesis: Hash32([9; 32]),
            place: Place::Terminal,
            proof: Signature([5; 64]),
        },
    ];
    for frame in &to {
        let bytes = frame.encode();
        assert!(bytes.len() <= FIRST_BYTES_MAX);
        assert_eq!(ToGateway::decode(&bytes).as_ref(), Some(frame));
        for cut in 0..bytes.len() {
            assert_eq!(ToGateway::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert_eq!(ToGateway::decode(&longer), None, "trailing bytes");
    }
    let open_ended = [
        ToGateway::Packet {
            to: None,
            bytes: vec![1, 2],
        },
        ToGateway::Packet {
            to: Some(NodeId(300)),
            bytes: vec![],
        },
        ToGateway::Report {
            number: 1 << 40,
            bytes: vec![3],
        },
        ToGateway::Watch(vec![4]),
    ];
    for frame in open_ended {
        assert_eq!(ToGateway::decode(&frame.encode()), Some(frame));
    }
    let placed = vec![(NodeId(1), Place::Browser), (NodeId(2), Place::Terminal)];
    let from = [
        FromGateway::Challenge([1; 32]),
        FromGateway::Lobby {
            you: NodeId(1),
            needed: 5,
            joined: placed.clone(),
        },
        FromGateway::Begun {
            genesis: genesis(),
            begun_ms: 12,
            text: "protocol".into(),
        },
        FromGateway::Welcome { begun_ms: 12 },
        FromGateway::Online(placed),
        FromGateway::Packet(vec![1]),
        FromGateway::Fact(vec![2]),
        FromGateway::Taken(3),
        FromGateway::Watch(vec![]),
        FromGateway::Refused("no".into()),
    ];
    for frame in from {
        assert_eq!(FromGateway::decode(&frame.encode()), Some(frame));
    }
    for junk in [&[][..], &[0], &[255, 1], &vec![4; FRAME_BYTES_MAX + 1]] {
        assert_eq!(ToGateway::decode(junk), None);
        assert_eq!(FromGateway::decode(junk), None);
    }
}

#[test]
fn a_proof_speaks_for_one_key_one_challenge_and_one_purpose() {
    let (nonce, invite, key) = ([3; 32], [7; 16], signer(1).public());
    let proof = sign_join(&signer(1), &nonce, &invite);
    assert!(verify_join(&nonce, &invite, &key, &proof));
    assert!(!verify_join(&[4; 32], &invite, &key, &proof));
    assert!(!verify_join(&nonce, &[8; 16], &key, &proof));
    assert!(!verify_join(&nonce, &invite, &signer(2).public(), &proof));
    assert!(
        !verify_join(&nonce, &invite, &PublicKey([0; 32]), &proof),
        "a key of low order is nobody's"
    );

    let genesis = genesis();
    let ring = Keyring::new(Crypto::Ed25519, &genesis.members).unwrap();
    let hash = genesis.hash();
    let proof = sign_hello(&signer(2), &nonce, &hash, NodeId(2));
    assert!(verify_hello(&ring, &nonce, &hash, NodeId(2), &proof));
    assert!(!verify_hello(&ring, &nonce, &hash, NodeId(1), &proof));
    assert!(!verify_hello(&ring, &[4; 32], &hash, NodeId(2), &proof));
    assert!(!verify_hello(
        &ring,
        &nonce,
        &Hash32([1; 32]),
        NodeId(2),
        &proof
    ));
    assert!(!verify_hello(&ring, &nonce, &hash, NodeId(9), &proof));
    let joined = sign_join(&signer(2), &nonce, &invite);
    assert!(!verify_hello(&ring, &nonce, &hash, NodeId(2), &joined));
}

#[test]
fn the_layout_is_frozen() {
    let all = [
        ToGateway::Packet {
            to: Some(NodeId(258)),
            bytes: vec![9],
        }
        .encode(),
        ToGateway::Report {
            number: 3,
            bytes: vec![9],
        }
        .encode(),
        FromGateway::Online(vec![(NodeId(5), Place::Terminal)]).encode(),
    ];
    assert_eq!(all[0], [3, 2, 1, 9]);
    assert_eq!(all[1], [5, 3, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(all[2], [67, 5, 0, 1]);
    let hello = sign_hello(&signer(1), &[1; 32], &Hash32([2; 32]), NodeId(1));
    let join = sign_join(&signer(1), &[1; 32], &[2; 16]);
    let golden = blake3::hash(&[hello.0, join.0].concat());
    assert_eq!(&golden.to_hex()[..16], "d85e1f4cd5664412");
}
