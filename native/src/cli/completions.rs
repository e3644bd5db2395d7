//! `phaselab completions`: scripts for shells.

use clap::Args;
use clap_complete::Shell;

use crate::failure::Outcome;
use crate::terminal::print_raw;

/// Options of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs) -> Outcome {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "phaselab", &mut script);
    print_raw(&String::from_utf8_lossy(&script));
    Ok(())
}
