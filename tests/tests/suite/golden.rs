//! Golden files: what a run or an encoding looked like when somebody last read it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p phaselab-tests --test suite golden` writes them anew; the diff is then what is
//! reviewed.

use std::fs;
use std::path::PathBuf;

/// The folder of golden files.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))
}

/// Compares a text with the golden file of this name, or writes the file if the environment asks for it.
pub(crate) fn compare(name: &str, found: &str) {
    let path = folder().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let parent = path.parent().expect("a file stands in a folder");
        fs::create_dir_all(parent).expect("a folder for golden files");
        fs::write(&path, found).expect("a golden file");
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if let Some(difference) = first_difference(&golden, found) {
        panic!("tests/golden/{name} differs; UPDATE_GOLDEN=1 writes it anew\n{difference}");
    }
}

/// The first line that differs, with its number.
fn first_difference(golden: &str, found: &str) -> Option<String> {
    if golden == found {
        return None;
    }
    let mut lines = golden.lines().zip(found.lines()).enumerate();
    let differs = lines.find(|(_, (before, now))| before != now);
    let count = golden.lines().count().min(found.lines().count());
    let (line, before, now) = match differs {
        Some((line, (before, now))) => (line, before, now),
        None => (
            count,
            golden.lines().nth(count).unwrap_or("(the end)"),
            found.lines().nth(count).unwrap_or("(the end)"),
        ),
    };
    Some(format!("line {}:\n- {before}\n+ {now}", line + 1))
}

#[test]
fn a_difference_is_shown_with_its_line() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(
        first_difference("a\nb\n", "a\nc\n").as_deref(),
        Some("line 2:\n- b\n+ c")
    );
    assert_eq!(
        first_difference("a\n", "a\nb\n").as_deref(),
        Some("line 2:\n- (the end)\n+ b")
    );
}
