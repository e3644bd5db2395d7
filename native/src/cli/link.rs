//! Links that the page's Share copies: read, run, and found to be the same run.

use phaselab_core::link::{self, Link, LinkError, ROUTE};
use phaselab_core::scenario::{self, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::sim::timeline::Timeline;

use crate::failure::Failure;
use crate::panics;

/// A built-in scenario, and its whole name.
pub(super) fn find(name: &str) -> Option<(&'static str, Scenario)> {
    let entry = scenario::find(name).ok()?;
    let file = format!("{}.toml", entry.name);
    Some((entry.name, scenario::parse(&file, entry.text).ok()?))
}

/// Whether a word is an address of a shared run, rather than the name of something.
pub(super) fn is_address(word: &str) -> bool {
    word.contains(ROUTE)
}

/// Reads an address or a token.
pub(super) fn read(text: &str) -> Result<Link, Failure> {
    Link::parse(text).map_err(|error| refuse(&error))
}

/// The run of a link before its first step.
pub(super) fn open(link: &Link) -> Result<Sim, Failure> {
    link.to_sim(&find).map_err(|error| refuse(&error))
}

/// Makes sure that a link's run comes here to what its sharer saw.
pub(super) fn compare(link: &Link) -> Result<(), Failure> {
    let mut run = Timeline::of(open(link)?);
    let step = link.seen.step;
    panics::caught(|| run.seek(step)).map_err(|what| Failure::Failed(format!("link: {what}")))?;
    match link.is_as_seen(run.sim()) {
        Some(true) => Ok(()),
        _ => Err(Failure::Failed(format!(
            "link: the run differs before step {step} from the one that was shared, which another version made"
        ))),
    }
}

fn refuse(error: &LinkError) -> Failure {
    let format = phaselab_core::trace::FORMAT;
    Failure::Input(match error {
        LinkError::TooLong { chars } => format!(
            "link: {chars} characters; expected at most {}",
            link::CHARS_MAX
        ),
        LinkError::NotALink => format!(
            "link: expected what the page's Share copies: an address with {ROUTE}, or what follows it"
        ),
        LinkError::OtherFormat {
            format: found,
            scenario,
        } => {
            let hint = scenario.as_ref().map_or_else(String::new, |(name, seed)| {
                format!("; its scenario without the trace: phaselab sim {name} --seed {seed}")
            });
            format!("link: made by trace format {found}; this version reads {format}{hint}")
        }
        LinkError::UnknownScenario(name) => format!(
            "link: no scenario \"{name}\" in this version; `phaselab scenarios` lists those built in"
        ),
        LinkError::Impossible(what) => format!("link: it describes an impossible run: {what}"),
        LinkError::Damaged => "link: it is damaged: cut off or changed".to_owned(),
        LinkError::Live | LinkError::Build(_) => format!("link: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_link_is_refused_in_one_line() {
        for (text, expected) in [
            ("#/run/", "link: expected what the page's Share copies"),
            ("http://localhost:4700/#/run/AwAA%", "link: expected what"),
            ("AAAAAAAAAAAAAAAAAAAA", "link: it is damaged"),
        ] {
            let Err(Failure::Input(said)) = read(text) else {
                panic!("{text} was read");
            };
            assert!(said.starts_with(expected) && !said.contains('\n'), "{said}");
        }
        let long = "A".repeat(link::CHARS_MAX + 1);
        assert_eq!(
            read(&long),
            Err(Failure::Input(
                "link: 8001 characters; expected at most 8000".to_owned()
            ))
        );
    }
}
