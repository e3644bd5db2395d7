//! Sharing a run: its link, the terminal's command for it, and what a link of somebody else opens.

use phaselab_core::engine::RuleSet;
use phaselab_core::link::{Link, LinkError, ROUTE, Seen, Shared};
use phaselab_core::sim::Sim;

use super::Session;
use crate::builtin;

/// What there is to share of a run as it stands.
pub struct Share {
    /// What stands behind the page's address; or why there is none.
    pub route: Result<String, String>,
    /// The command that makes the same run in a terminal, if one line can say it.
    pub command: Option<String>,
    /// The run for programs, however long; `None` if it happened.
    pub bytes: Option<Vec<u8>>,
}

impl Share {
    /// What there is to share.
    pub fn of(sim: &Sim) -> Share {
        let link = Link::of(sim, &builtin::find);
        let bytes = link.as_ref().ok().map(Link::to_bytes);
        let token = link.as_ref().map_err(Clone::clone).and_then(Link::token);
        let short = link.ok().and_then(|link| short_command(&link));
        let command = short.or_else(|| {
            let token = token.as_ref().ok()?;
            Some(["phaselab sim --link '", ROUTE, token, "'"].concat())
        });
        let route = token.map(|token| [ROUTE, &token].concat());
        Share {
            route: route.map_err(|error| error.to_string()),
            command,
            bytes,
        }
    }
}

/// Without what was done by hand, a name, a seed and rules say it all.
fn short_command(link: &Link) -> Option<String> {
    let Shared::Builtin {
        name,
        seed,
        rules,
        flaws,
    } = &link.scenario
    else {
        return None;
    };
    if !link.by_hand.is_empty() {
        return None;
    }
    let (_, known) = builtin::find(name)?;
    let bare = name.rsplit('/').next().unwrap_or(name);
    let mut command = ["phaselab sim ", bare, " --seed ", &seed.to_string()].concat();
    if known.rules != *rules {
        command.push_str(match rules {
            RuleSet::Hardened => " --rules hardened",
            RuleSet::AsWritten => " --rules as-written",
        });
    }
    match (known.flaws == *flaws, flaws.as_slice()) {
        (true, _) => {}
        // No option takes flaws away.
        (false, []) => return None,
        (false, flaws) => {
            command.push_str(" --flaws ");
            command.push_str(&flaws.join(","));
        }
    }
    Some(command)
}

/// A run that a link opened.
pub struct Linked {
    /// The scenario's name.
    pub name: String,
    /// The run, on its way to where its sharer stood.
    pub session: Session,
    /// Where that is.
    pub seen: Seen,
}

/// Why a link is not opened.
pub struct Refused {
    /// A sentence.
    pub why: String,
    /// The scenario that it names all the same, with its seed.
    pub instead: Option<(String, u64)>,
}

impl Refused {
    /// Something else that is not opened.
    pub fn of(why: String) -> Refused {
        Refused { why, instead: None }
    }
}

/// Opens a link.
///
/// # Errors
/// A sentence, and what can be opened instead.
pub fn open(token: &str) -> Result<Linked, Refused> {
    let refuse = |error: LinkError| Refused {
        why: error.to_string(),
        instead: match error {
            LinkError::OtherFormat { scenario, .. } => scenario,
            _ => None,
        },
    };
    let link = Link::parse(token).map_err(refuse)?;
    let scenario = link.scenario(&builtin::find).map_err(refuse)?;
    let name = match &link.scenario {
        Shared::Builtin { name, .. } => name.clone(),
        Shared::Whole(scenario) => scenario.name.clone(),
    };
    let session = Session::with_by_hand(&scenario, link.by_hand, false);
    let mut session = session.map_err(Refused::of)?;
    if let Some(before) = link.seen.step.checked_sub(1) {
        session.seek_after_step(before);
    }
    Ok(Linked {
        name,
        session,
        seen: link.seen,
    })
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario::{Act, CrashPoint};
    use phaselab_core::types::NodeId;

    use super::*;

    fn session(name: &str) -> Session {
        Session::open(&builtin::find(name).unwrap().1).unwrap()
    }

    fn arrive(session: &mut Session) {
        while session.is_seeking() {
            session.frame(16.0, &mut || true);
        }
    }

    #[test]
    fn an_untouched_run_has_a_short_command() {
        let session = session("three-signers");
        let share = Share::of(session.sim());
        assert_eq!(
            share.command.as_deref(),
            Some("phaselab sim three-signers --seed 7")
        );
        assert!(share.route.unwrap().starts_with("#/run/"));
        let (_, mut flawed) = builtin::find("three-signers").unwrap();
        flawed.flaws = vec!["S0-F1".to_owned()];
        let share = Share::of(Session::open(&flawed).unwrap().sim());
        assert_eq!(
            share.command.as_deref(),
            Some("phaselab sim three-signers --seed 7 --flaws S0-F1")
        );
    }

    #[test]
    fn a_run_that_was_touched_opens_where_it_stood_and_ends_the_same() {
        let (_, scenario) = builtin::find("three-signers").unwrap();
        let mut sim = Sim::new(&scenario).unwrap();
        for _ in 0..20 {
            sim.step();
        }
        let (node, when) = (NodeId(1), CrashPoint::BetweenSteps);
        sim.intervene(Act::Crash { node, when }).unwrap();
        for _ in 0..9 {
            sim.step();
        }
        let share = Share::of(&sim);
        let route = share.route.unwrap();
        assert_eq!(
            share.command.unwrap(),
            format!("phaselab sim --link '{route}'")
        );
        let mut linked = open(&route).ok().unwrap();
        assert_eq!(linked.name, "two-phase/three-signers");
        arrive(&mut linked.session);
        assert_eq!(linked.session.sim().steps(), 29);
        assert_eq!(linked.session.sim().trace_hash(), sim.trace_hash());
        assert_eq!(linked.seen.hash, sim.trace_hash().0[..4]);
        sim.run();
        linked.session.end();
        arrive(&mut linked.session);
        assert_eq!(linked.session.sim().trace_hash(), sim.trace_hash());
    }

    #[test]
    fn what_is_no_link_is_refused_in_a_sentence() {
        let refused = open("zzz").err().unwrap();
        assert!(refused.why.ends_with('.') && refused.instead.is_none());
    }
}
