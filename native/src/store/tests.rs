//! New stores, foreign ones, and stores that went bad in every way a byte can.

use super::*;
use crate::testing::scratch;

mod damage;
mod faults;

const PROTOCOL: ProtocolKind = ProtocolKind::TwoPhase;

fn refusal(path: &Path) -> String {
    let before = std::fs::read(path).unwrap();
    let error = Store::open(path, PROTOCOL).unwrap_err().to_string();
    assert!(
        std::fs::read(path).unwrap() == before,
        "a refused file stays as it was"
    );
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn a_new_store_has_its_key_is_private_and_is_never_overwritten() {
    let dir = scratch("store-new");
    let path = dir.join("node.redb");
    Store::create(&path, &[7; 32]).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    assert!(
        Store::create(&path, &[8; 32])
            .unwrap_err()
            .to_string()
            .contains("exists already")
    );
    let store = Store::open(&path, PROTOCOL).unwrap();
    assert_eq!(store.secret().unwrap(), [7; 32]);
    assert!(
        store.rows().unwrap().is_empty(),
        "the shell's keys are not the replica's rows"
    );
    assert!(
        Store::open(&path, PROTOCOL)
            .unwrap_err()
            .to_string()
            .contains("another process")
    );
}

#[test]
fn a_store_belongs_to_one_genesis() {
    let dir = scratch("store-genesis");
    let path = dir.join("node.redb");
    Store::create(&path, &[7; 32]).unwrap();
    let store = Store::open(&path, PROTOCOL).unwrap();
    store.bind(&Hash32([1; 32])).unwrap();
    store.bind(&Hash32([1; 32])).unwrap();
    let error = store.bind(&Hash32([2; 32])).unwrap_err().to_string();
    assert!(
        error.contains("genesis 0101") && error.contains("genesis 0202"),
        "{error}"
    );
}

#[test]
fn foreign_and_damaged_files_are_refused_and_left_alone() {
    let dir = scratch("store-bad");
    let path = dir.join("node.redb");
    for junk in [&b""[..], b"hello", &[0xa5; 100_000]] {
        std::fs::write(&path, junk).unwrap();
        assert!(refusal(&path).contains("not a node's store"));
    }
    std::fs::remove_file(&path).unwrap();

    Database::create(&path).unwrap();
    assert!(
        refusal(&path).contains("not a node's store"),
        "some other redb file"
    );
    std::fs::remove_file(&path).unwrap();

    Store::create(&path, &[7; 32]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(
        refusal(&path).contains("damaged"),
        "a store that was cut off"
    );
    let key_at = whole
        .windows(32)
        .position(|bytes| bytes == [7; 32])
        .unwrap();
    let mut bent = whole.clone();
    bent[key_at] ^= 1;
    std::fs::write(&path, &bent).unwrap();
    assert!(refusal(&path).contains("damaged"), "a bent byte");
    std::fs::write(&path, &whole).unwrap();
    Store::open(&path, PROTOCOL).unwrap();
}
