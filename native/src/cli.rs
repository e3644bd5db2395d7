//! The commands, their options, and which module answers each.

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Outcome;
use crate::terminal::{Ink, Screen};
use crate::{cluster, init, node, serve, status, submit};

mod bench;
mod bound;
mod check;
pub(crate) mod choose;
mod completions;
mod examples;
mod explore;
mod export;
pub(crate) mod fault;
mod history;
mod link;
mod museum;
mod print;
mod replay;
mod reshard;
mod scenarios;
mod sim;
mod soak;
mod store;
mod story;
mod sweep;
mod why;

/// A testbed for consensus protocols: simulate them, check them, run them.
#[derive(Debug, Parser)]
#[command(
    name = "phaselab",
    version,
    max_term_width = 80,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit status: 0 as expected; 1 an expectation failed, an invariant broke, a command could \
                  not do its work, or submit saw no decision in time; 2 the input was wrong."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one scenario in the simulator
    Sim(sim::SimArgs),
    /// List the built-in scenarios
    Scenarios(scenarios::ScenariosArgs),
    /// Run a trace, or what live nodes recorded, again and compare
    Replay(replay::ReplayArgs),
    /// Write a run as a picture, or in the format of another tool
    Export(export::ExportArgs),
    /// Judge what clients asked and were told: is there an order that explains it?
    History(history::HistoryArgs),
    /// Run many seeds on all cores
    Sweep(sweep::SweepArgs),
    /// Run a day of virtual time under faults, and watch that what nodes keep stays bounded
    Soak(soak::SoakArgs),
    /// Search every schedule of a scenario, or of a model from the textbook
    Check(check::CheckArgs),
    /// The flaws of the source documents, each with a schedule that shows it
    Museum(museum::MuseumArgs),
    /// Create a node's store with a fresh key, and print the public key
    Keygen(init::KeygenArgs),
    /// Write genesis, configuration and stores for a cluster
    Init(init::InitArgs),
    /// Run one node over the network
    Node(node::NodeArgs),
    /// Run a local cluster of real processes
    Cluster(cluster::ClusterArgs),
    /// Ask a running cluster to decide something, and wait for it
    Submit(submit::SubmitArgs),
    /// Print balances, blocks, pools, leaders or figures of a running cluster whose protocol has items or coins
    Print(print::PrintArgs),
    /// Ask a running cluster, or a simulated one, for a drawn workload, and report throughput and latency
    Bench(bench::BenchArgs),
    /// Bound how likely it is that nodes that poll samples decide differently, with what that assumes
    Bound(bound::BoundArgs),
    /// Plan in which clusters items should live, so that fewer transfers cross them, and move them
    Reshard(reshard::ReshardArgs),
    /// Cut or slow the network of a running cluster
    Fault(fault::FaultArgs),
    /// Kill, pause and cut the nodes of a real cluster at random, and judge it from outside
    Chaos(cluster::chaos::ChaosArgs),
    /// Show what the nodes of a running cluster are doing
    Status(status::StatusArgs),
    /// Look into a node's store: verify it, or print what it holds
    Store(store::StoreArgs),
    /// Serve the page
    Serve(serve::ServeArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// The command line as it is shown: with examples.
pub(crate) fn command() -> clap::Command {
    examples::with_examples(Cli::command().mut_subcommands(with_numbers))
}

/// Has options say themselves what is wrong with a number below 0, which would pass for an option.
fn with_numbers(command: clap::Command) -> clap::Command {
    command.mut_subcommands(with_numbers).mut_args(|arg| {
        let takes_value = arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_value)
    })
}

/// Reads the command line.
///
/// # Errors
/// What is wrong with it; or help and version, which are answers.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&command().try_get_matches()?)
}

/// Answers the command line.
pub(crate) fn run(cli: Cli) -> Outcome {
    let Some(command) = cli.command else {
        return introduce();
    };
    match command {
        Command::Sim(args) => sim::run(&args),
        Command::Scenarios(args) => scenarios::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Export(args) => export::run(&args),
        Command::History(args) => history::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Museum(args) => museum::run(&args),
        Command::Keygen(args) => init::keygen(&args),
        Command::Init(args) => init::run(&args),
        Command::Node(args) => node::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Submit(args) => submit::run(&args),
        Command::Print(args) => print::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Bound(args) => bound::run(&args),
        Command::Reshard(args) => reshard::run(&args),
        Command::Fault(args) => fault::run(&args),
        Command::Chaos(args) => cluster::chaos::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// What clap says, without its usage and its hint at `--help`.
pub(crate) fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.lines().take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    let words: Vec<&str> = said
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let words = words
        .join(" ")
        .replace("invalid digit found in string", "expected a whole number");
    match variable_of(error) {
        Some(variable) => format!("{words} (from {variable} in the environment)"),
        None => words,
    }
}

/// The variable of the environment that is to blame: nobody sees it on the command line.
fn variable_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let mut command = command();
    command.build();
    let options = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments);
    let of_environment = options
        .filter(|known| known.to_string() == *option)
        .find_map(clap::Arg::get_env)
        .filter(|variable| std::env::var_os(variable).is_some())?;
    let long = option.split(' ').next().unwrap_or_default();
    let is_given = std::env::args().any(|word| word.split('=').next() == Some(long));
    (!is_given).then(|| of_environment.to_string_lossy().into_owned())
}

/// Three commands to try.
fn introduce() -> Outcome {
    let mut screen = Screen::stdout();
    screen.line("Phaselab: consensus protocols, phase by phase. Three commands to try:");
    screen.line("");
    for (command, what) in [
        (
            "phaselab sim three-signers",
            "One payment, three signers: the story of a run.",
        ),
        (
            "phaselab sweep --protocol two-phase --seeds 0..1000",
            "A thousand runs with random faults, checked.",
        ),
        (
            "phaselab cluster --protocol two-phase --nodes 3",
            "Three real processes on this machine.",
        ),
    ] {
        screen.line(&format!("  {command}"));
        screen.painted(Ink::Dim, &format!("      {what}"));
    }
    screen.line("");
    screen.line("All commands: phaselab --help");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_its_errors_are_one_line() {
        command().debug_assert();
        let cases: [(&[&str], &str); 6] = [
            (
                &["sim", "--protocol", "two"],
                "error: invalid value 'two' for '--protocol <P>': expected one of two-phase, sharded-2pc, snowball",
            ),
            (
                &["statsu"],
                "error: unrecognized subcommand 'statsu' tip: a similar subcommand exists: 'status'",
            ),
            (
                &["submit", "--event", "x"],
                "error: the following required arguments were not provided: --amount <N>",
            ),
            (
                &["sweep", "--protocol", "two-phase", "--seeds", "-3..5"],
                "error: invalid value '-3..5' for '--seeds <A..B>': expected A..B with A below B, such as 0..1000",
            ),
            (
                &["sim", "three-signers", "--seed", "-1"],
                "error: invalid value '-1' for '--seed <S>': expected a whole number",
            ),
            (
                &["sim", "--sed", "1"],
                "error: unexpected argument '--sed' found tip: a similar argument exists: '--seed'",
            ),
        ];
        for (words, expected) in cases {
            let words = std::iter::once(&"phaselab").chain(words);
            let error = command().try_get_matches_from(words).unwrap_err();
            assert_eq!(in_one_line(&error), expected);
        }
    }
}
