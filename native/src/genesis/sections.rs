//! Sections of a TOML file as texts of their own, with the line numbers of the whole.

use phaselab_core::scenario::ScenarioError;

/// The text with the lines of these sections left empty, so that line numbers stay.
pub(super) fn without_sections(source: &str, sections: &[String]) -> String {
    by_section(source, |header, line| {
        let is_foreign =
            header.is_some_and(|header| sections.iter().any(|section| is_within(header, section)));
        if is_foreign {
            String::new()
        } else {
            line.to_owned()
        }
    })
}

/// The lines of one section as a text of their own: `[two_phase.retry]` becomes `[retry]`; line numbers stay.
pub(super) fn only_section(source: &str, section: &str) -> String {
    by_section(source, |header, line| match header {
        Some(header) if is_within(header, section) => {
            if header_of(line).is_none() {
                return line.to_owned();
            }
            match header
                .strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'))
            {
                Some(rest) if line.trim_start().starts_with("[[") => format!("[[{rest}]]"),
                Some(rest) => format!("[{rest}]"),
                None => String::new(),
            }
        }
        _ => String::new(),
    })
}

/// Maps every line, told the header of its section.
fn by_section(source: &str, map: impl Fn(Option<&str>, &str) -> String) -> String {
    let mut header = None;
    let mut out = String::with_capacity(source.len());
    for line in source.lines() {
        header = header_of(line).or(header);
        out.push_str(&map(header, line));
        out.push('\n');
    }
    out
}

/// `two_phase.retry` of `[two_phase.retry]  # comment`.
fn header_of(line: &str) -> Option<&str> {
    let line = line.split('#').next()?.trim();
    let inner = match line.strip_prefix("[[") {
        Some(rest) => rest.strip_suffix("]]")?,
        None => line.strip_prefix('[')?.strip_suffix(']')?,
    };
    let inner = inner.trim();
    let is_name = !inner.is_empty()
        && inner
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    is_name.then_some(inner)
}

fn is_within(header: &str, section: &str) -> bool {
    header
        .strip_prefix(section)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Takes the document's `enabled` out of a section: a node that runs a protocol has it enabled.
pub(super) fn switched_on(file: &str, body: String) -> Result<String, ScenarioError> {
    let mut lines: Vec<String> = body.lines().map(str::to_owned).collect();
    for (index, line) in lines.iter_mut().enumerate() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        if key.trim() != "enabled" {
            continue;
        }
        if value.split('#').next().map(str::trim) != Some("true") {
            let message =
                "enabled: expected true; a node without the protocol is one that is not started"
                    .to_owned();
            return Err(ScenarioError {
                file: file.to_owned(),
                line: Some(index + 1),
                message,
            });
        }
        line.clear();
    }
    Ok(lines.join("\n"))
}

/// The line at which a key or header stands.
pub(crate) fn line_of(source: &str, key: &str) -> Option<usize> {
    let at = |line: &str| {
        line.trim_start()
            .trim_start_matches('[')
            .starts_with(key.trim_start_matches('['))
    };
    source.lines().position(at).map(|index| index + 1)
}

/// The line of the first key that a message names: `commit_quorum = 9: expected ...`.
pub(super) fn line_of_first_key(source: &str, message: &str) -> Option<usize> {
    let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.len() > 3)
        .find_map(|word| line_of(source, word))
}
