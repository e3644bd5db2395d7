//! `check`, `museum` and what `sweep` finds as-written, from outside.

use super::support::{Folder, json, text};

#[test]
fn check_reproduces_published_numbers_and_keeps_its_contract() {
    let folder = Folder::new();
    for (model, size, distinct, depth) in [
        ("tcommit", "3", 34, 7),
        ("two-phase-commit", "3", 288, 11),
        ("two-phase-commit", "4", 1_568, 14),
    ] {
        let ran = folder.phaselab(&["check", "--model", model, "--size", size, "--json"]);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        let found = json(&ran);
        let numbers = ["distinct", "depth"].map(|key| found[key].as_u64().unwrap());
        assert_eq!(numbers, [distinct, depth], "{model} {size}");
        assert_eq!(found["protocol"], model);
        assert!(found["rules"].is_null() && found["violation"].is_null());
        assert_eq!(found["complete"], true);
    }

    let broken = folder.phaselab(&["check", "--model", "broken-commit", "--json"]);
    assert_eq!(broken.status.code(), Some(1));
    let violation = &json(&broken)["violation"];
    assert_eq!(violation["invariant"], "consistent");
    let steps = violation["steps"].as_u64().unwrap() as usize;
    assert_eq!(violation["trace"].as_array().unwrap().len(), steps);

    let said = folder.refused(&["check", "--model", "paxos", "--size", "0"]);
    assert!(said.contains("expected 1 to 6 clients"), "{said}");
    let said = folder.refused(&["check", "--model", "raft"]);
    assert!(said.contains("expected one of tcommit"), "{said}");
    let said = folder.refused(&["check", "three-signers", "--resume", "nothing.bin"]);
    assert!(said.contains("nothing.bin: no such file"), "{said}");
    // What would be ignored is refused.
    let ignored: [(&[&str], &str); 6] = [
        (&["--walks", "5"], "expected it with --search walks"),
        (
            &["--search", "walks", "--ends"],
            "--ends says nothing about --search walks",
        ),
        (
            &["--search", "depth", "--save", "s"],
            "expected it with --search breadth",
        ),
        (&["--max-states", "0"], "0 is not in 1.."),
        (&["--minutes", "307445734561825861"], "is not in 1..=100000"),
        (&["--write", "none/found.toml"], "none: no such folder"),
    ];
    for (words, expected) in ignored {
        let said = folder.refused(&[&["check", "three-signers"], words].concat());
        assert!(said.contains(expected), "{said}");
    }
    let said = folder.refused(&["check", "--model", "tcommit", "--crashes", "1"]);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn a_search_is_saved_and_gone_on_with_and_a_counterexample_is_a_scenario() {
    let folder = Folder::new();
    let words = ["check", "divergent-views", "--rounds", "1", "--json"];
    let whole = json(&folder.phaselab(&words));
    assert_eq!(whole["complete"], true);
    let part = [&words[..], &["--max-states", "300", "--save", "part.bin"]].concat();
    let part = json(&folder.phaselab(&part));
    assert_eq!(
        (&part["complete"], part["distinct"].as_u64()),
        (&false.into(), Some(300))
    );
    let rest = json(&folder.phaselab(&[&words[..], &["--resume", "part.bin"]].concat()));
    for key in ["distinct", "depth", "violation"] {
        assert_eq!(rest[key], whole[key], "{key}");
    }

    let flawed = "title = \"t\"\nprotocol = \"two-phase\"\nnodes = 3\nflaws = [\"S0-F17\"]\n\
                  [config]\nthreshold_m = 2\n[config.retry]\nmax_retries = 0\n\
                  [[at]]\nms = 100\ndo = \"submit\"\nto = [1, 2, 3]\nrequest = { event = \"e\", amount = 25 }\n";
    std::fs::write(folder.0.join("flawed.toml"), flawed).unwrap();
    let words = [
        "check",
        "flawed.toml",
        "--rounds",
        "1",
        "--write",
        "found.toml",
    ];
    let ran = folder.phaselab(&words);
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran.stdout));
    assert!(text(&ran.stdout).contains("unsafe rules"));
    let played = folder.phaselab(&["sim", "found.toml", "--json"]);
    let broken = json(&played)["invariants"]
        .as_array()
        .unwrap()
        .iter()
        .any(|verdict| verdict["name"] == "withdrawal" && verdict["holds"] == false);
    assert!(broken, "{}", text(&played.stdout));
}

#[test]
fn the_museum_lists_plays_and_finds_again() {
    let folder = Folder::new();
    let listed = json(&folder.phaselab(&["museum", "--json"]));
    let ids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|exhibit| &exhibit["id"])
        .collect();
    assert!(ids.len() >= 18 && ids.contains(&&"S0-F1".into()), "{ids:?}");
    let played = folder.phaselab(&["museum", "s0-f3"]);
    assert_eq!(played.status.code(), Some(0), "{}", text(&played.stderr));
    let told = text(&played.stdout);
    assert!(
        told.contains("broken    agreement") && told.contains("hardened rules"),
        "{told}"
    );
    let found = folder.phaselab(&["museum", "--verify", "S0-F17", "S0-F25", "--json"]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    for line in json(&found).as_array().unwrap() {
        assert_eq!(line["found"], true);
        assert!(line["steps"].as_u64().unwrap() > 0 && line["invariant"].is_string());
    }
    let said = folder.refused(&["museum", "S0-F22"]);
    assert!(
        said.contains("outside") || said.contains("fault model"),
        "{said}"
    );
    let said = folder.refused(&["museum", "S9-F9"]);
    assert!(said.contains("expected one of S0-F1"), "{said}");
}

#[test]
fn what_a_sweep_finds_as_written_can_be_run_again_and_made_smaller() {
    let folder = Folder::new();
    let swept = folder.phaselab(&[
        "sweep",
        "--protocol",
        "two-phase",
        "--rules",
        "as-written",
        "--seeds",
        "0..12",
        "--json",
    ]);
    assert_eq!(swept.status.code(), Some(1));
    let lines: Vec<serde_json::Value> = text(&swept.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let broken = &lines.last().unwrap()["broken"];
    for promise in ["agreement", "one signature"] {
        let replay = broken[promise]["replay"]
            .as_str()
            .unwrap_or_else(|| panic!("{broken}"));
        let words: Vec<&str> = replay.split_whitespace().skip(1).collect();
        let again = folder.phaselab(&[&words[..], &["--json"]].concat());
        assert_eq!(again.status.code(), Some(1), "{replay}");
    }
    let replay = broken["agreement"]["replay"].as_str().unwrap();
    let words: Vec<&str> = replay.split_whitespace().skip(1).collect();
    let smaller = folder.phaselab(&[&words[..], &["--minimize", "--json"]].concat());
    assert!(
        text(&smaller.stderr).starts_with("minimized: "),
        "{}",
        text(&smaller.stderr)
    );
    assert_eq!(smaller.status.code(), Some(1));
}
