//! Writing for people: width, colour, and a reader that goes away.
//!
//! `NO_COLOR` and anything that is not a terminal turn colour off. Lines are wrapped at the terminal's width, at 80
//! columns where there is none. A closed pipe ends the output without a word, as `head` expects; output that is lost in
//! any other way makes the command fail ([`written`]).
//!
//! Names come from files and from other nodes. What in them would steer a terminal or turn the reading direction is
//! shown as an escape ([`plain`]).

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

use crate::failure::{Failure, Outcome, io_words};

/// The width when output does not go to a terminal.
const COLUMNS_DEFAULT: usize = 80;
/// Wider lines are hard to read.
const COLUMNS_MAX: usize = 100;
/// Narrower ones break words.
const COLUMNS_MIN: usize = 40;

/// A colour with a meaning: red only for broken safety and errors, amber for what stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// A heading.
    Bold,
    /// Beside the point.
    Dim,
    /// Holds.
    Good,
    /// Stalled, or unsafe by choice.
    Warn,
    /// Broken.
    Bad,
}

/// Standard output, written for people.
#[derive(Debug)]
pub(crate) struct Screen {
    colour: bool,
    columns: usize,
}

impl Screen {
    /// The screen that standard output is, as the environment describes it.
    pub(crate) fn stdout() -> Screen {
        let is_terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns = std::env::var("COLUMNS")
            .ok()
            .and_then(|columns| columns.parse().ok());
        let columns = columns
            .or_else(|| is_terminal.then(terminal_columns).flatten())
            .unwrap_or(COLUMNS_DEFAULT);
        Screen {
            colour: is_terminal && !set("NO_COLOR") && !dumb,
            columns: columns.clamp(COLUMNS_MIN, COLUMNS_MAX),
        }
    }

    /// The text, fit to be shown, in a colour if there is colour.
    fn paint(&self, ink: Ink, text: &str) -> String {
        let text = plain(text);
        if !self.colour {
            return text.into_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Good => "32",
            Ink::Warn => "33",
            Ink::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) {
        print_raw(&format!("{}\n", plain(text)));
    }

    /// Writes a line in a colour.
    pub(crate) fn painted(&mut self, ink: Ink, text: &str) {
        print_raw(&format!("{}\n", self.paint(ink, text)));
    }

    /// Writes `head` and then `text`, whose further lines start below the text.
    pub(crate) fn entry(&mut self, head: &str, ink: Option<Ink>, text: &str) {
        let (head, text) = (plain(head), plain(text));
        let width = head.chars().count();
        let lines = wrap(&text, self.columns.saturating_sub(width));
        for (index, line) in lines.iter().enumerate() {
            let head = match (index, ink) {
                (0, Some(ink)) => self.paint(ink, &head),
                (0, None) => head.to_string(),
                _ => " ".repeat(width),
            };
            print_raw(&format!("{}\n", format!("{head}{line}").trim_end()));
        }
    }
}

/// Writes JSON alone: one value on one line.
pub(crate) fn print_json<T: serde::Serialize + ?Sized>(value: &T) {
    let text =
        serde_json::to_string(value).expect("derived serialisation into memory does not fail");
    // Of these characters JSON asks only a part to be escaped; all stand inside strings and have four digits.
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            c if is_steering(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('\n');
    print_raw(&line);
}

/// Why standard output was lost, once it was; no word if its reader went away.
static LOST: OnceLock<Option<String>> = OnceLock::new();

/// Writes to standard output as it is. After a failure nothing more is written.
pub(crate) fn print_raw(text: &str) {
    if LOST.get().is_some() {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        lose(&error);
    }
}

/// Notes that standard output was lost.
pub(crate) fn lose(error: &std::io::Error) {
    // A reader that went away needs no more.
    let is_wanted = error.kind() != ErrorKind::BrokenPipe;
    LOST.get_or_init(|| is_wanted.then(|| io_words(error)));
}

/// Whether all that was to be written was, as far as somebody reads it.
///
/// # Errors
/// Why it was not.
pub(crate) fn written() -> Outcome {
    match LOST.get() {
        Some(Some(why)) => Err(Failure::Failed(format!(
            "standard output cannot be written: {why}"
        ))),
        Some(None) | None => Ok(()),
    }
}

/// The text with every character escaped that would steer a terminal or turn the reading direction.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_steering(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, line separators, and the marks and overrides of bidirectional text.
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Breaks a text at spaces into lines of at most `columns`; a longer word stands alone.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut width = 0;
    // Runs of spaces stay: they align columns.
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > columns {
            lines.push(String::new());
            width = 0;
            if word.is_empty() {
                continue;
            }
        } else if width > 0 || lines.last().is_some_and(|line| !line.is_empty()) {
            lines.last_mut().expect("there is a line").push(' ');
            width += 1;
        }
        lines.last_mut().expect("there is a line").push_str(word);
        width += length;
    }
    lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn terminal_columns() -> Option<usize> {
    let (_, columns) = console::Term::stdout().size_checked()?;
    Some(usize::from(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_name_holds_steers_the_terminal() {
        assert_eq!(plain("withdraw-1 · Ä"), "withdraw-1 · Ä");
        assert_eq!(
            plain("a\u{1b}]0;owned\u{7}b\u{202e}c\u{9b}2J\n"),
            "a\\u{1b}]0;owned\\u{7}b\\u{202e}c\\u{9b}2J\\n"
        );
    }

    #[test]
    fn text_is_wrapped_at_spaces_and_keeps_its_columns() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a  b", 80), ["a  b"]);
        assert_eq!(
            wrap("incomprehensibility is", 5),
            ["incomprehensibility", "is"]
        );
        assert_eq!(wrap("", 5), [""]);
        assert!(
            wrap(&"word ".repeat(100), 40)
                .iter()
                .all(|line| line.chars().count() <= 40)
        );
    }
}
