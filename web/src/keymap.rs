//! The keys: one table decides what each means and on which stage, and help is drawn from the same table.

use crate::playing::TransportAct;

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// Something with the clock.
    Transport(TransportAct),
    /// To the next moment at which a node enters a phase.
    NextPhase,
    /// To the last one before.
    PreviousPhase,
    /// Faster (+1) or slower (-1).
    Speed(isize),
    /// Selects the node with the key's digit.
    Node(u16),
    /// Crashes the selected node, or starts it again.
    Crash,
    /// Cuts the selected node or link off, or joins it again.
    Cut,
    /// Drops the selected message, or selects the next one.
    Drop,
    /// Begins another future.
    Fork,
    /// Opens breakpoints.
    Breakpoints,
    /// Asks why.
    Why,
    /// Lanes or space-time.
    Picture,
    /// A narrower (+1) or wider (-1) stretch of time.
    Zoom(i8),
    /// Into the field that filters events.
    Filter,
    /// Presenter mode, or back.
    Presenter,
    /// Opens help.
    Help,
    /// Closes what is open, or lets go of what is selected.
    Escape,
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    /// The keys, as help writes them.
    pub shown: &'static str,
    /// What they do, as help says it.
    pub does: &'static str,
    /// Where: [`SIMULATE`], [`MUSEUM`] and [`LIVE`], together.
    pub stages: u8,
    /// Each key by the browser's name for it, whether with shift (of letters and signs that does not matter), and what it
    /// means.
    keys: &'static [(&'static str, bool, Meaning)],
}

/// Simulated runs.
pub const SIMULATE: u8 = 1;
/// The museum.
pub const MUSEUM: u8 = 2;
/// Live rooms.
pub const LIVE: u8 = 4;

const PLAYED: u8 = SIMULATE | MUSEUM;
const EVERYWHERE: u8 = SIMULATE | MUSEUM | LIVE;

use Meaning::{
    Breakpoints, Crash, Cut, Drop, Escape, Filter, Fork, Help, NextPhase, Node, Picture, Presenter,
    PreviousPhase, Speed, Transport, Why, Zoom,
};
use TransportAct::{Back, End, Home, PlayOrPause, Step};

const fn binding(
    stages: u8,
    shown: &'static str,
    does: &'static str,
    keys: &'static [(&'static str, bool, Meaning)],
) -> Binding {
    Binding {
        shown,
        does,
        stages,
        keys,
    }
}

/// Every key.
pub const BINDINGS: &[Binding] = &[
    binding(
        PLAYED,
        "Space",
        "play or pause",
        &[(" ", false, Transport(PlayOrPause))],
    ),
    binding(
        PLAYED,
        "← →",
        "one step back, forward",
        &[
            ("ArrowLeft", false, Transport(Back)),
            ("ArrowRight", false, Transport(Step)),
        ],
    ),
    binding(
        SIMULATE,
        "Shift ← →",
        "to the previous, next phase",
        &[
            ("ArrowLeft", true, PreviousPhase),
            ("ArrowRight", true, NextPhase),
        ],
    ),
    binding(
        PLAYED,
        "Home End",
        "to the start, the end",
        &[
            ("Home", false, Transport(Home)),
            ("End", false, Transport(End)),
        ],
    ),
    binding(
        SIMULATE,
        "[ ]",
        "slower, faster",
        &[("[", false, Speed(-1)), ("]", false, Speed(1))],
    ),
    binding(
        EVERYWHERE,
        "1 to 9",
        "select a node",
        &[
            ("1", false, Node(1)),
            ("2", false, Node(2)),
            ("3", false, Node(3)),
            ("4", false, Node(4)),
            ("5", false, Node(5)),
            ("6", false, Node(6)),
            ("7", false, Node(7)),
            ("8", false, Node(8)),
            ("9", false, Node(9)),
        ],
    ),
    binding(
        SIMULATE | LIVE,
        "C",
        "crash the selected node, or start it",
        &[("c", false, Crash)],
    ),
    binding(
        SIMULATE | LIVE,
        "X",
        "cut the selected node or link off, or join it",
        &[("x", false, Cut)],
    ),
    binding(
        SIMULATE,
        "D",
        "drop the selected message, or select the next",
        &[("d", false, Drop)],
    ),
    binding(
        SIMULATE,
        "F",
        "fork: begin another future here",
        &[("f", false, Fork)],
    ),
    binding(SIMULATE, "B", "breakpoints", &[("b", false, Breakpoints)]),
    binding(
        SIMULATE,
        "W",
        "ask why the selected node decided, or did not",
        &[("w", false, Why)],
    ),
    binding(
        SIMULATE,
        "S",
        "lanes, or space-time",
        &[("s", false, Picture)],
    ),
    binding(
        SIMULATE,
        "+ −",
        "less, more time in the picture",
        &[("+", false, Zoom(1)), ("-", false, Zoom(-1))],
    ),
    binding(SIMULATE, "/", "filter the events", &[("/", false, Filter)]),
    binding(
        EVERYWHERE,
        "P",
        "presenter mode: larger, and without what a class does not need",
        &[("p", false, Presenter)],
    ),
    binding(EVERYWHERE, "?", "this help", &[("?", false, Help)]),
    binding(
        EVERYWHERE,
        "Esc",
        "close, or let go",
        &[("Escape", false, Escape)],
    ),
];

/// What a key means on a stage. A button or link that has the focus keeps the space bar.
pub fn meaning(stage: u8, name: &str, shift: bool, on_button: bool) -> Option<Meaning> {
    if on_button && name == " " {
        return None;
    }
    let mut letter = [0; 4];
    // A letter means the same with shift and with the lock; a sign needs shift on some keyboards.
    let name = match name.as_bytes() {
        [byte] => char::from(byte.to_ascii_lowercase()).encode_utf8(&mut letter),
        _ => name,
    };
    let shift = shift && name.len() > 1;
    let of_stage = BINDINGS.iter().filter(|line| line.stages & stage != 0);
    let mut keys = of_stage.flat_map(|line| line.keys);
    keys.find(|(known, with, _)| (*known, *with) == (name, shift))
        .map(|(.., meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_and_every_line_is_told() {
        for stage in [SIMULATE, MUSEUM, LIVE] {
            let lines = BINDINGS.iter().filter(|line| line.stages & stage != 0);
            let keys: Vec<_> = lines
                .flat_map(|line| line.keys)
                .map(|(name, shift, _)| (name, shift))
                .collect();
            for (place, key) in keys.iter().enumerate() {
                assert!(!keys[..place].contains(key), "{key:?} twice");
            }
        }
        for line in BINDINGS {
            assert!(!line.shown.is_empty() && !line.does.is_empty() && !line.keys.is_empty());
        }
    }

    #[test]
    fn keys_mean_what_the_table_says_on_the_stages_that_it_says() {
        let on = |name, shift| meaning(SIMULATE, name, shift, false);
        assert_eq!(on("ArrowRight", false), Some(Transport(Step)));
        assert_eq!(on("ArrowRight", true), Some(NextPhase));
        assert_eq!(on("W", true), Some(Why), "capitals are letters too");
        assert_eq!(on("?", true), Some(Help), "a sign that takes shift");
        assert_eq!(on("3", false), Some(Node(3)));
        assert_eq!(on("0", false), None);
        assert_eq!(on("é", false), None);
        assert_eq!(meaning(SIMULATE, " ", false, true), None);
        assert_eq!(meaning(LIVE, " ", false, false), None);
        assert_eq!(meaning(MUSEUM, "w", false, false), None);
        assert_eq!(meaning(MUSEUM, "End", false, false), Some(Transport(End)));
    }
}
