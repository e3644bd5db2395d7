//! `phaselab sim --why`: why an event ended at a node, or what it lacks there.

use phaselab_core::sim::Sim;
use phaselab_core::types::{InstanceId, NodeId};
use phaselab_core::why::{Line, Why, why};

use super::choose::is_near;
use crate::failure::Failure;
use crate::terminal::{Ink, Screen};

/// What is asked about: an event by its name, and a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    event: String,
    node: Option<u16>,
}

/// `--why`: `withdraw-1`, or `withdraw-1@3`.
pub(crate) fn question(text: &str) -> Result<Question, String> {
    let (event, node) = match text.rsplit_once('@') {
        None => (text, None),
        Some((event, node)) => {
            let number = node.parse().ok().filter(|number| *number > 0);
            (
                event,
                Some(number.ok_or("expected EVENT@NODE with a node's number")?),
            )
        }
    };
    if event.is_empty() {
        return Err("expected EVENT or EVENT@NODE".to_owned());
    }
    Ok(Question {
        event: event.to_owned(),
        node,
    })
}

/// Answers for a finished run.
pub(crate) fn answer(sim: &Sim, question: &Question) -> Result<Why, Failure> {
    let nodes = sim.scenario().nodes;
    if let Some(node) = question.node.filter(|node| *node > nodes) {
        return Err(Failure::Input(format!(
            "--why: node {node} does not exist; expected 1 to {nodes}"
        )));
    }
    let names = sim.names();
    let mut known = names.iter();
    let named =
        known.find(|(id, name)| **name == question.event || id.to_string() == question.event);
    let Some((instance, _)) = named else {
        return Err(Failure::Input(unknown(&question.event, names.values())));
    };
    let node = question
        .node
        .map_or_else(|| first_to_end(sim, *instance), NodeId);
    Ok(why(sim, node, *instance))
}

/// The node that ended it first; the first node if none did.
fn first_to_end(sim: &Sim, instance: InstanceId) -> NodeId {
    let mut ends = sim.log().iter().filter(|entry| entry.event.kind.is_end());
    let first = ends.find(|entry| entry.event.instance == Some(instance));
    first.map_or(NodeId(1), |entry| entry.node)
}

/// `--why: no event "withdraw-2" in this run; did you mean withdraw-1?`
fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let mut known: Vec<&str> = known.map(String::as_str).collect();
    known.sort_unstable();
    known.dedup();
    let near: Vec<&str> = known
        .iter()
        .copied()
        .filter(|known| is_near(name, known))
        .collect();
    let hint = match (near.as_slice(), known.as_slice()) {
        ([], []) => "no node has heard of any".to_owned(),
        ([], some) => {
            let shown: Vec<&str> = some.iter().copied().take(NAMES_MAX).collect();
            format!("there are {}", shown.join(", "))
        }
        (near, _) => format!("did you mean {}?", near.join(", ")),
    };
    format!("--why: no event \"{name}\" in this run; {hint}")
}

/// Of more names only the first are listed.
const NAMES_MAX: usize = 12;

/// Tells an answer.
pub(crate) fn tell(screen: &mut Screen, why: &Why) {
    screen.entry("why       ", Some(Ink::Bold), &why.summary);
    for (number, line) in why.lines.iter().enumerate() {
        let because: Vec<String> = line.because.iter().map(|at| (at + 1).to_string()).collect();
        let because = match because.as_slice() {
            [] => String::new(),
            lines => format!("  <- {}", lines.join(", ")),
        };
        let Line {
            at, step, sentence, ..
        } = line;
        screen.entry(
            &format!("{:>7} ms {:>3}. ", at.as_ms(), number + 1),
            Some(Ink::Dim),
            &format!("step {step}: {sentence}{because}"),
        );
    }
    for lack in &why.lacks {
        screen.entry("lacks     ", Some(Ink::Warn), &lack.sentence);
        for missing in &lack.missing {
            screen.entry("          ", None, &missing.sentence);
        }
    }
    if let Some(note) = why.note {
        screen.entry("          ", None, note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_an_event_and_perhaps_a_node() {
        let asked = |event: &str, node| {
            Ok(Question {
                event: event.to_owned(),
                node,
            })
        };
        assert_eq!(question("withdraw-1"), asked("withdraw-1", None));
        assert_eq!(question("a@b@3"), asked("a@b", Some(3)));
        for wrong in ["", "@1", "a@", "a@0", "a@x"] {
            assert!(question(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_names_list_near_ones() {
        let known = ["withdraw-1".to_owned(), "deposit".to_owned()];
        assert_eq!(
            unknown("withdraw-2", known.iter()),
            "--why: no event \"withdraw-2\" in this run; did you mean withdraw-1?"
        );
        assert!(unknown("zzz", known.iter()).ends_with("there are deposit, withdraw-1"));
    }
}
