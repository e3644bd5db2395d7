//! Phaselab in a terminal: the simulator's commands, and the node that runs over a real network.
//!
//! ```text
//! cli/         sim, scenarios, replay, sweep, completions: the core's simulator, and words for what it did
//! init keygen  genesis, configuration files and stores with keys
//! node         the event loop: network, control, chain and timers -> Replica -> Outbox -> store -> what may leave
//!   |- store   redb: the tables, and the key beside them; `phaselab store` looks into it
//!   |- net     iroh: one QUIC endpoint whose identity is the node's key; or the gateway of a hybrid cluster
//!   |- chain   the world outside, hosted once per cluster, over TCP on the loopback
//!   |- control submit and status over HTTP on the loopback
//!   |- recording what happened to it, for `phaselab replay`
//! cluster      starts nodes as child processes, and leaves none behind
//! serve        the page, and the lobby and gateway of a hybrid cluster: browser tabs and terminals in one
//! submit status
//! ```

use std::io::Write;
use std::process::ExitCode;

mod chain;
mod cli;
mod client;
mod cluster;
mod config;
mod control;
mod entry;
mod failure;
mod frame;
mod genesis;
mod health;
mod init;
mod log;
mod metrics;
mod net;
mod node;
mod panics;
mod purse;
mod recording;
mod router;
mod serve;
mod signals;
mod status;
mod store;
mod submit;
mod terminal;
#[cfg(test)]
mod testing;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        // Help and version are answers; everything else is wrong input, told in one line like all of it.
        Err(answer) if !answer.use_stderr() => {
            if let Err(error) = answer.print() {
                terminal::lose(&error);
            }
            return end(terminal::written());
        }
        Err(error) => {
            complain(&cli::in_one_line(&error));
            return ExitCode::from(2);
        }
    };
    end(cli::run(cli).and_then(|()| terminal::written()))
}

/// Says why a command failed, and gives the status that tells it.
fn end(outcome: failure::Outcome) -> ExitCode {
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    if failure == failure::Failure::Unexpected {
        // What it says about itself may not have been said.
        if let Err(lost) = terminal::written() {
            complain(&format!("error: {lost}"));
        }
    } else {
        complain(&format!("error: {failure}"));
    }
    failure.exit_code()
}

/// One line on standard error, where anyone reads it.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", terminal::plain(line));
}
