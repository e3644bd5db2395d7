//! docs/coverage.md names a test for every feature and every flaw of the source documents; here those tests are looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The source documents whose protocols are built: number, features, flaws.
const DOCUMENTS: [(u32, u32, u32); 3] = [(0, 110, 36), (1, 48, 22), (4, 67, 31)];

/// Rows whose feature may be left out: documentation, non-goals, performance claims, or replaced with a test elsewhere.
const DECLINABLE: [&str; 11] = [
    "S0-09", "S0-10", "S0-92", "S0-106", "S0-107", "S1-37", "S1-38", "S1-42", "S1-46", "S4-38",
    "S4-44",
];
/// What is still missing. A row leaves this list when its test is written.
const OPEN: [&str; 3] = ["S0-06", "S0-07", "S0-F35"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of every row that begins with an id, in order.
fn rows() -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("docs/coverage.md")).expect("docs/coverage.md");
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    let is_row = |line: &&str| line.starts_with("| S");
    text.lines().filter(is_row).map(cells).collect()
}

#[test]
fn every_id_has_its_row_once() {
    let found: Vec<String> = rows()
        .into_iter()
        .map(|mut cells| cells.remove(0))
        .collect();
    let mut expected: Vec<String> = Vec::new();
    for (document, features, flaws) in DOCUMENTS {
        expected.extend((1..=features).map(|number| format!("S{document}-{number:02}")));
        expected.extend((1..=flaws).map(|number| format!("S{document}-F{number}")));
    }
    assert_eq!(found, expected);
}

#[test]
fn every_test_that_is_named_exists() {
    let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for cells in rows() {
        let named = cells[1..].iter().filter_map(|cell| {
            let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
            Some(inner.to_owned())
        });
        for name in named {
            let (file, test) = name
                .split_once("::")
                .map_or((name.as_str(), None), |(file, test)| {
                    (file, Some(format!("fn {test}(")))
                });
            let path = root().join(file);
            let text = texts
                .entry(path.clone())
                .or_insert_with(|| fs::read_to_string(&path).unwrap_or_default());
            let is_there = match &test {
                Some(test) => text.contains("#[test]") && text.contains(test.as_str()),
                None => file.ends_with(".toml") && !text.is_empty(),
            };
            if !is_there {
                missing.push(format!("{}: {name}", cells[0]));
            }
        }
    }
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
}

#[test]
fn what_has_no_test_says_why_and_is_known() {
    let mut declined = BTreeSet::new();
    let mut open = BTreeSet::new();
    for cells in rows() {
        let (id, test) = (&cells[0], &cells[1]);
        if test.starts_with("declined: ") {
            declined.insert(id.clone());
        } else if test.starts_with("open: ") {
            open.insert(id.clone());
        } else {
            assert!(test.starts_with('`'), "{id}: {test}");
        }
    }
    assert_eq!(declined, DECLINABLE.map(str::to_owned).into());
    assert_eq!(open, OPEN.map(str::to_owned).into());
}
