//! What is said of a file that is no scenario: where, what stands there, and what was expected.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::ScenarioError;

pub(super) fn refuse(file: &str, source: &str, error: &toml::de::Error) -> ScenarioError {
    let line = error.span().map(|span| line_at(source, span.start));
    ScenarioError {
        file: file.to_owned(),
        line,
        message: readable(error.message()),
    }
}

/// Turns serde's "unknown field `lantency_ms`, expected one of ..." into a question that helps.
fn readable(message: &str) -> String {
    if message.starts_with("wanted exactly 1 element") {
        return "expected exactly one kind with its keys, such as { kind = { key = 1 } }"
            .to_string();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (Some(found), true) = (quoted.next(), message.starts_with("unknown field")) else {
        return message.trim_end().to_string();
    };
    let known: Vec<&str> = quoted.collect();
    unknown_word("key", found, &known)
}

/// `unknown key "lantency_ms"; did you mean latency_ms?`
pub(super) fn unknown_word(what: &str, found: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .min_by_key(|word| distance(found, word))
        .filter(|word| {
            // Of a short word little may differ: every word is near to "at".
            let longer = found.chars().count().max(word.chars().count());
            distance(found, word) <= (longer / 3).min(3)
        });
    match nearest {
        Some(word) => format!("unknown {what} \"{found}\"; did you mean {word}?"),
        None => format!(
            "unknown {what} \"{found}\"; expected one of {}",
            known.join(", ")
        ),
    }
}

/// Edit distance by insertion, deletion and replacement.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = previous + usize::from(from != *to);
            previous = row[j + 1];
            row[j + 1] = replaced.min(previous + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

pub(super) fn line_at(source: &str, offset: usize) -> usize {
    source
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

/// The line of a key, for errors that are found after parsing.
pub(super) fn line_of_key(source: &str, key: &str) -> Option<usize> {
    let is_key = |line: &str| {
        let after = line.trim_start().strip_prefix(key);
        after.is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('='))
    };
    source.lines().position(is_key).map(|index| index + 1)
}

/// The line of the first word of a message that is a key of the file: `threshold_m = 9: expected ...`.
pub(super) fn line_of_message(source: &str, message: &str) -> Option<usize> {
    let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.len() > 3)
        .find_map(|word| line_of_key(source, word))
}
