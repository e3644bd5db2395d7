//! `phaselab bound`: how likely it is at most that nodes that poll samples decide differently, and under which
//! assumptions; or that nothing can be said.

use clap::Args;
use phaselab_core::explore::chance::{Chance, Odds, Rule};
use phaselab_core::snow::Parameters;
use phaselab_core::snow::bound::{Bound, Question};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::terminal::{Ink, Screen, print_json};

/// Options of `bound`.
#[derive(Debug, Args)]
pub(crate) struct BoundArgs {
    /// How many nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..))]
    nodes: u16,
    /// How many others a poll asks; all of them where there are fewer
    #[arg(long, value_name = "K", default_value_t = Parameters::MAINNET.k)]
    sample_size: u16,
    /// Votes of a poll that move a preference; three quarters of the sample unless told
    #[arg(long, value_name = "A")]
    alpha_preference: Option<u16>,
    /// Votes of a poll that count towards finality; three quarters of the sample unless told
    #[arg(long, value_name = "A")]
    alpha_confidence: Option<u16>,
    /// Successful polls in a row that finalize
    #[arg(long, value_name = "B", default_value_t = Parameters::MAINNET.beta)]
    beta: u32,
    /// How many nodes may be faulty
    #[arg(long, value_name = "F", default_value_t = 0)]
    byzantine: u16,
    /// How often a node polls about one conflict, at most
    #[arg(long, value_name = "P", default_value_t = 1_000)]
    polls: u64,
    /// Also compute the exact probability, by all states of a few nodes of which half prefer each of two choices
    #[arg(long)]
    exact: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// A probability for people.
pub(super) fn share(of: f64) -> String {
    match of {
        0.0 => "0".to_owned(),
        1.0 => "1".to_owned(),
        of if of >= 0.01 => format!("{of:.3}"),
        of => format!("{of:.2e}"),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed {
    nodes: u16,
    /// As asked where there are as many others; else scaled down to all of them.
    sample_size: u16,
    alpha_preference: u16,
    alpha_confidence: u16,
    beta: u32,
    byzantine: u16,
    polls: u64,
    #[serde(flatten)]
    told: Told,
    exact: Option<Exact>,
}

/// A bound in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Told {
    /// `null` if nothing can be said.
    pub(super) error_at_most: Option<f64>,
    /// That one poll counts towards a wrong choice.
    per_poll: Option<f64>,
    /// Why nothing can be said.
    unknown: Option<String>,
    assumptions: &'static [&'static str],
}

impl Told {
    /// The bound, in parts.
    pub(super) fn of(bound: &Bound) -> Told {
        match bound {
            Bound::AtMost {
                probability,
                per_poll,
                assumptions,
            } => Told {
                error_at_most: Some(*probability),
                per_poll: Some(*per_poll),
                unknown: None,
                assumptions,
            },
            Bound::Unknown { why } => Told {
                error_at_most: None,
                per_poll: None,
                unknown: Some(why.clone()),
                assumptions: &[],
            },
        }
    }
}

/// What all states of a few nodes come to.
#[derive(Serialize)]
struct Exact {
    /// Why there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    #[serde(flatten)]
    found: Option<Found>,
}

#[derive(Serialize)]
struct Found {
    /// How many correct nodes prefer the second of two choices at first.
    minority: u16,
    /// By how many polls one choice may lead at a node until a run is given up.
    lead_max: u8,
    states: u64,
    agree_at_least: f64,
    disagree_at_least: f64,
    disagree_at_most: f64,
    /// For nodes whose lead grows no further than that, and that give in sooner than those that ship.
    disagree_about: Option<f64>,
}

/// Prints it.
pub(crate) fn run(args: &BoundArgs) -> Outcome {
    let asked = parameters(args)?;
    if args.byzantine >= args.nodes {
        return Err(Failure::Input(format!(
            "--byzantine {}: expected fewer than {} nodes",
            args.byzantine, args.nodes
        )));
    }
    let question = Question {
        nodes: args.nodes,
        parameters: asked,
        byzantine: args.byzantine,
        polls: args.polls,
    };
    let bound = question.bound();
    let parameters = asked.scaled_to(args.nodes - 1);
    let printed = Printed {
        nodes: args.nodes,
        sample_size: parameters.k,
        alpha_preference: parameters.alpha_preference,
        alpha_confidence: parameters.alpha_confidence,
        beta: parameters.beta,
        byzantine: args.byzantine,
        polls: args.polls,
        told: Told::of(&bound),
        exact: args.exact.then(|| exact(args, asked)),
    };
    if args.json {
        print_json(&printed);
    } else {
        show(&question, &bound, &printed);
    }
    Ok(())
}

fn parameters(args: &BoundArgs) -> Result<Parameters, Failure> {
    if args.sample_size == 0 {
        return Err(Failure::Input(
            "--sample-size 0: expected at least 1".to_owned(),
        ));
    }
    let share = Parameters::MAINNET.scaled_to(args.sample_size);
    // A sample that is larger than the main network's keeps its share.
    let usual = |alpha: u16| match args.sample_size > Parameters::MAINNET.k {
        true => {
            let scaled = u32::from(alpha) * u32::from(args.sample_size);
            u16::try_from(scaled.div_ceil(u32::from(Parameters::MAINNET.k))).unwrap_or(u16::MAX)
        }
        false => alpha,
    };
    let preference = args
        .alpha_preference
        .unwrap_or_else(|| match args.alpha_confidence {
            Some(confidence) => usual(share.alpha_preference).min(confidence),
            None => usual(share.alpha_preference),
        });
    let parameters = Parameters {
        k: args.sample_size,
        alpha_preference: preference,
        alpha_confidence: args
            .alpha_confidence
            .unwrap_or_else(|| usual(share.alpha_confidence).max(preference)),
        beta: args.beta,
    };
    parameters.check().map_err(|what| {
        let derived = match args.alpha_preference {
            None if args.alpha_confidence.is_some() => {
                "; it is at most --alpha-confidence, unless told"
            }
            _ => "",
        };
        // The options have the keys' names.
        let (key, rest) = what.split_once(" = ").unwrap_or((what.as_str(), ""));
        let option = match key {
            "k" => "sample-size".to_owned(),
            key => key.replace('_', "-"),
        };
        Failure::Input(format!("--{option} {rest}{derived}"))
    })?;
    Ok(parameters)
}

/// More states take more than some seconds.
const STATES_MAX: u64 = 200_000;
/// What is not known may be this much beside what is, and no more cap is tried.
const NARROW: f64 = 1e-9;

/// The odds with the highest lead whose states fit.
fn exact(args: &BoundArgs, parameters: Parameters) -> Exact {
    let minority = (args.nodes - args.byzantine) / 2;
    let (mut best, mut why): (Option<(u8, Odds)>, _) = (None, None);
    for cap in [2, 4, 8, 16, 32] {
        let rule = Rule::Snowball { cap };
        let chance = Chance::new(args.nodes, args.byzantine, minority, parameters, rule);
        match chance.and_then(|chance| chance.odds(STATES_MAX)) {
            Ok(odds) => {
                let is_narrow = odds.undecided <= NARROW;
                best = Some((cap, odds));
                if is_narrow {
                    break;
                }
            }
            Err(what) => {
                why = Some(what);
                break;
            }
        }
    }
    let forgetful = |cap| {
        let rule = Rule::Forgetful { cap };
        let chance = Chance::new(args.nodes, args.byzantine, minority, parameters, rule).ok()?;
        Some(chance.odds(STATES_MAX).ok()?.disagree)
    };
    match best {
        Some((lead_max, odds)) => Exact {
            unknown: None,
            found: Some(Found {
                minority,
                lead_max,
                states: odds.states,
                agree_at_least: odds.agree,
                disagree_at_least: odds.disagree,
                disagree_at_most: odds.disagree_at_most(),
                disagree_about: forgetful(lead_max),
            }),
        },
        None => Exact {
            unknown: why,
            found: None,
        },
    }
}

fn show(question: &Question, bound: &Bound, printed: &Printed) {
    let mut screen = Screen::stdout();
    screen.entry("about     ", None, &question.to_string());
    let ink = match bound {
        Bound::AtMost { .. } => Ink::Good,
        Bound::Unknown { .. } => Ink::Warn,
    };
    screen.entry("bound     ", Some(ink), &bound.to_string());
    if let Bound::AtMost {
        per_poll,
        assumptions,
        ..
    } = bound
    {
        let text = format!(
            "one poll counts towards a wrong choice with {} at most",
            share(*per_poll)
        );
        screen.entry("          ", None, &text);
        for (index, assumption) in assumptions.iter().enumerate() {
            let head = if index == 0 {
                "assumes   "
            } else {
                "          "
            };
            screen.entry(head, None, assumption);
        }
    }
    match &printed.exact {
        None => {}
        Some(Exact {
            found: Some(found), ..
        }) => {
            let text = format!(
                "two nodes decide differently with {} to {}, if {} of {} correct nodes prefer the other choice at first",
                share(found.disagree_at_least),
                share(found.disagree_at_most),
                found.minority,
                printed.nodes - printed.byzantine
            );
            screen.entry("exactly   ", None, &text);
            let text = format!(
                "{} states; runs in which a choice leads by more than {} polls at a node count on neither side",
                found.states, found.lead_max
            );
            screen.entry("          ", Some(Ink::Dim), &text);
            if let Some(about) = found.disagree_about {
                let text = format!("about {}, if leads grew no further", share(about));
                screen.entry("          ", Some(Ink::Dim), &text);
            }
        }
        Some(Exact { unknown, .. }) => {
            let why = unknown.as_deref().unwrap_or("no reason");
            screen.entry("exactly   ", Some(Ink::Warn), &format!("unknown: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(sample_size: u16, alphas: [Option<u16>; 2]) -> BoundArgs {
        let [alpha_preference, alpha_confidence] = alphas;
        BoundArgs {
            nodes: 100,
            sample_size,
            alpha_preference,
            alpha_confidence,
            beta: 20,
            byzantine: 0,
            polls: 100,
            exact: false,
            json: false,
        }
    }

    #[test]
    fn alphas_are_three_quarters_unless_told() {
        let found = |sample, alphas| {
            let parameters = parameters(&args(sample, alphas)).unwrap();
            (parameters.alpha_preference, parameters.alpha_confidence)
        };
        assert_eq!(found(20, [None, None]), (15, 15));
        assert_eq!(found(5, [None, None]), (4, 4));
        assert_eq!(found(40, [None, None]), (30, 30));
        assert_eq!(found(20, [Some(11), None]), (11, 15));
        assert_eq!(found(20, [None, Some(12)]), (12, 12));
        assert_eq!(found(20, [Some(18), None]), (18, 18));
        for (sample, alphas, expected) in [
            (0, [None, None], "--sample-size 0: expected at least 1"),
            (
                20,
                [Some(10), None],
                "--alpha-preference 10: expected 11 to 20",
            ),
            (
                20,
                [Some(15), Some(14)],
                "--alpha-confidence 14: expected 15 to 20",
            ),
        ] {
            let refused = parameters(&args(sample, alphas)).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn few_nodes_have_exact_odds() {
        let mut args = args(3, [Some(2), Some(2)]);
        (args.nodes, args.beta) = (5, 2);
        let parameters = parameters(&args).unwrap();
        let found = exact(&args, parameters).found.unwrap();
        let (low, high) = (found.disagree_at_least, found.disagree_at_most);
        assert!(low > 0.0 && high - low < 0.01 && found.agree_at_least > 0.5);
        args.nodes = 65;
        let many = exact(&args, parameters);
        assert!(many.found.is_none() && many.unknown.unwrap().starts_with("nodes = 65"));
    }
}
