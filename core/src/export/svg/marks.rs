//! Small things in a picture: shapes of messages, glyphs of events, and text that XML can hold.

use alloc::format;
use alloc::string::String;

use crate::event::EventKind;
use crate::view::Shape;

/// How a value is painted.
pub(super) struct Paint {
    fill: &'static str,
    ink: &'static str,
    letter: Option<String>,
}

impl Paint {
    /// By its letter; without one it is plain.
    pub(super) fn of(letter: Option<&str>) -> Paint {
        const DARK: &str = "#15181D";
        let (fill, ink) = match letter {
            Some("A") => ("#56B4E9", DARK),
            Some("B") => ("#F0E442", DARK),
            Some("C") => ("#CC79A7", DARK),
            Some("D") => ("#009E73", DARK),
            Some("E") => ("#0072B2", "#FFFFFF"),
            _ => ("#FFFFFF", DARK),
        };
        Paint {
            fill,
            ink,
            letter: letter.map(String::from),
        }
    }

    fn letter_at(&self, x: i64, y: i64) -> String {
        let letter = self.letter.as_deref().map(escape);
        letter.map_or_else(String::new, |letter| {
            format!(
                "<text class=\"letter\" x=\"{}\" y=\"{}\" style=\"fill:{}\">{letter}</text>",
                px(x),
                px(y),
                self.ink
            )
        })
    }
}

/// A message: its kind by shape, its value by colour and letter.
pub(super) fn shape(shape: Shape, (x, y): (i64, i64), paint: &Paint) -> String {
    let (cx, cy, fill) = (px(x), px(y), paint.fill);
    let path = match shape {
        Shape::Sync => {
            return format!("<circle cx=\"{cx}\" cy=\"{cy}\" r=\"2\" fill=\"#767F8C\"/>");
        }
        Shape::Propose => {
            let letter = paint.letter_at(x, y + 32);
            return format!(
                "<circle class=\"mark\" cx=\"{cx}\" cy=\"{cy}\" r=\"6.5\" fill=\"{fill}\"/>{letter}"
            );
        }
        Shape::Vote => "m0 -8l8 14h-16z",
        Shape::Lock => "m-6 -6h12v12h-12z",
        Shape::Certificate => "m-4 -7h8l4 7l-4 7h-8l-4 -7z",
        Shape::Abort => "m-6 -6l12 12m0 -12l-12 12",
    };
    let lower = if shape == Shape::Vote { 45 } else { 32 };
    let letter = match shape {
        Shape::Abort => String::new(),
        _ => paint.letter_at(x, y + lower),
    };
    format!("<path class=\"mark\" d=\"M{cx} {cy}{path}\" fill=\"{fill}\"/>{letter}")
}

/// What happened at a node, where it has a mark.
pub(super) fn glyph(kind: EventKind, (x, y): (i64, i64), paint: &Paint) -> Option<String> {
    let (cx, cy, fill) = (px(x), px(y), paint.fill);
    let mark = |d: &str, fill: &str, ink: &str| {
        format!("<path d=\"M{cx} {cy}{d}\" fill=\"{fill}\" stroke=\"{ink}\" stroke-width=\"1.5\"/>")
    };
    const DARK: &str = "#15181D";
    Some(match kind {
        EventKind::Locked => {
            let shackle = mark("m-4 -3v-3a4 4 0 0 1 8 0v3", "none", DARK);
            let case = mark("m-6 -3h12v9h-12z", fill, DARK);
            format!("{shackle}{case}{}", paint.letter_at(x, y + 45))
        }
        EventKind::Signed => {
            mark("m0 -7l7 7l-7 7l-7 -7z", fill, DARK) + &paint.letter_at(x, y + 32)
        }
        EventKind::Decided | EventKind::FastForwarded => {
            let disc = format!(
                "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"8\" fill=\"#00694D\" stroke=\"#FFFFFF\"/>"
            );
            disc + &mark("m-4 0l3 3l5 -6", "none", "#FFFFFF")
        }
        EventKind::Abandoned | EventKind::Withdrew => {
            mark("m-6 -6h12v12h-12z", "#FFF1D6", "#7A4B00") + &mark("m-4 0h8", "none", "#7A4B00")
        }
        EventKind::Evidence => {
            mark("m0 -8l8 14h-16z", "#FCE9E7", "#B3261E")
                + &mark("m0 -3v4m0 2v1", "none", "#B3261E")
        }
        EventKind::Crashed | EventKind::Partitioned | EventKind::FaultInjected => {
            let disc = format!(
                "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"7\" fill=\"#FCE9E7\" stroke=\"#B3261E\"/>"
            );
            disc + &mark("m-3 -3l6 6m0 -6l-6 6", "none", "#B3261E")
        }
        EventKind::Restarted | EventKind::Healed => {
            format!(
                "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"6\" fill=\"#FFFFFF\" stroke=\"#00694D\" stroke-width=\"2\"/>"
            )
        }
        _ => return None,
    })
}

/// Tenths of a pixel as pixels.
pub(super) fn px(tenths: i64) -> String {
    match tenths % 10 {
        0 => format!("{}", tenths / 10),
        rest => {
            let sign = if tenths < 0 { "-" } else { "" };
            format!("{sign}{}.{}", (tenths / 10).abs(), rest.abs())
        }
    }
}

/// Text as XML holds it: what XML 1.0 has no place for is shown as the replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\u{0}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}
