//! A cluster of real processes under a random schedule of kills, pauses and cuts, for a bounded time. The same by the
//! minute or by the kill: `npm run chaos`.

use crate::support::{Folder, json, text};

/// How long things are broken; then everything has to end.
const SECONDS: &str = "25";

/// `chaos` with these options, in a folder of its own: what it tells, once nothing was wrong.
fn chaos(folder: &Folder, dir: &str, options: &[&str]) -> serde_json::Value {
    let ran = folder.phaselab(&[&["chaos", "--dir", dir, "--json"], options].concat());
    let told = json(&ran);
    assert_eq!(told["violations"], serde_json::json!([]), "{told}");
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    told
}

#[test]
fn four_nodes_under_random_faults_lose_and_repeat_nothing() {
    let folder = Folder::new();
    let dir = folder.0.join("chaos").display().to_string();
    let told = chaos(&folder, &dir, &["--seconds", SECONDS, "--rate", "2"]);
    // A run in which nothing happens shows nothing.
    let count = |name: &str| told[name].as_u64().unwrap();
    let done = |name: &str| told["deeds"][name].as_u64().unwrap_or(0);
    assert!(
        done("kill") > 5 && done("restart") > 5 && done("cut") > 0,
        "{told}"
    );
    assert!(count("decided") > 5 && count("acknowledged") > 5, "{told}");
    assert!(count("signatures") > 5 && count("looks") > 50, "{told}");
    // No process of it is left.
    let all = std::process::Command::new("ps")
        .args(["-eo", "args="])
        .output()
        .unwrap();
    assert!(!text(&all.stdout).contains(&dir), "{}", text(&all.stdout));
}

/// How long the bank is under faults: nine processes weigh more.
const BANK_SECONDS: &str = "12";

#[test]
fn a_bank_of_nine_processes_under_random_faults_loses_and_makes_no_money() {
    let folder = Folder::new();
    let dir = folder.0.join("bank").display().to_string();
    let options = [
        "--protocol",
        "sharded-2pc",
        "--seconds",
        BANK_SECONDS,
        "--rate",
        "10",
    ];
    let told = chaos(&folder, &dir, &options);
    let count = |name: &str| told[name].as_u64().unwrap();
    assert_eq!((count("nodes"), count("sum_before")), (9, 240), "{told}");
    assert_eq!(count("sum_after"), 240, "{told}");
    // A run in which nothing happens shows nothing.
    assert!(told["deeds"]["kill"].as_u64() > Some(2), "{told}");
    assert!(count("committed") > 5 && count("cross_shard") > 2, "{told}");
    assert!(count("looks") > 20, "{told}");
}

/// How long payments are under faults.
const COINS_SECONDS: &str = "12";

#[test]
fn coins_of_five_processes_under_random_faults_are_spent_once() {
    let folder = Folder::new();
    let dir = folder.0.join("coins").display().to_string();
    let options = [
        "--protocol",
        "snowball",
        "--nodes",
        "5",
        "--seconds",
        COINS_SECONDS,
    ];
    let told = chaos(
        &folder,
        &dir,
        &[&options[..], &["--rate", "10", "--seed", "5"]].concat(),
    );
    let count = |name: &str| told[name].as_u64().unwrap();
    // A run in which nothing happens shows nothing.
    assert!(told["deeds"]["kill"].as_u64() > Some(2), "{told}");
    assert!(count("finalized") > 5 && count("blocks") > 0, "{told}");
    assert!(count("contradicted") > 1 && count("looks") > 20, "{told}");
}
