//! Log lines: each with the node that says it, and the event, the round and the peer that it is about, `-` where there
//! is none.

use std::fmt;
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use phaselab_core::types::NodeId;
use serde::Deserialize;
use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::terminal::plain;

/// Options of commands that log.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// What to log, to standard error: a level, or directives such as phaselab=debug
    #[arg(
        long,
        value_name = "FILTER",
        env = "PHASELAB_LOG",
        value_parser = filter,
        default_value = "info"
    )]
    pub(crate) log: String,
    /// text for people, or json: one object per line
    #[arg(
        long,
        value_name = "FORM",
        env = "PHASELAB_LOG_FORMAT",
        hide_possible_values = true,
        value_enum,
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
}

impl Default for LogArgs {
    fn default() -> LogArgs {
        LogArgs {
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// A filter that means something.
///
/// # Errors
/// What was expected.
pub(crate) fn filter(text: &str) -> Result<String, String> {
    let is_level = ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
    if is_level || (text.contains('=') && EnvFilter::try_new(text).is_ok()) {
        Ok(text.to_owned())
    } else {
        Err(
            "expected error, warn, info, debug, trace or off, or directives such as \
             phaselab=debug,iroh=info"
                .to_owned(),
        )
    }
}

/// Which node this process is, once that is known.
static NODE: OnceLock<NodeId> = OnceLock::new();

/// Says in every line from now on which node this process is.
pub(crate) fn speak_as(node: NodeId) {
    NODE.get_or_init(|| node);
}

/// Starts logging to standard error. The network's own crates are heard only when they are asked for by name.
pub(crate) fn start(args: &LogArgs) {
    let level = args.log.as_str();
    let quiet = "warn,iroh=error,noq=error,noq_proto=error,noq_udp=error,netwatch=error,portmapper=error,net_report=error";
    let directives = if level.contains('=') {
        level.to_owned()
    } else {
        format!("{quiet},phaselab={level}")
    };
    // What is not a filter was refused where it was read.
    let filter = EnvFilter::new(directives);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start in one process, as in tests, changes nothing.
    let _ = match args.log_format {
        LogFormat::Text => builder.with_ansi(false).compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// What a log line is about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About<'a> {
    /// The event, or other instance, by name.
    pub(crate) event: Option<&'a str>,
    /// Its round.
    pub(crate) round: Option<u32>,
    /// The other node.
    pub(crate) peer: Option<NodeId>,
}

impl About<'_> {
    /// A line about a peer.
    pub(crate) fn peer(peer: NodeId) -> About<'static> {
        About {
            peer: Some(peer),
            ..About::default()
        }
    }
}

/// Logs one line.
pub(crate) fn note(level: Level, about: About<'_>, text: impl fmt::Display) {
    let text = text.to_string();
    // Names are chosen by whoever submits an event anywhere in the cluster.
    let (text, event_id) = (plain(&text), plain(about.event.unwrap_or("-")));
    let event_id = event_id.as_ref();
    let node = OrDash(NODE.get().map(|node| node.0));
    let round = OrDash(about.round);
    let peer_id = OrDash(about.peer.map(|peer| peer.0));
    match level {
        Level::ERROR => tracing::error!(%node, event_id, %round, %peer_id, "{text}"),
        Level::WARN => tracing::warn!(%node, event_id, %round, %peer_id, "{text}"),
        Level::INFO => tracing::info!(%node, event_id, %round, %peer_id, "{text}"),
        _ => tracing::debug!(%node, event_id, %round, %peer_id, "{text}"),
    }
}

struct OrDash<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrDash<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_directives() {
        for good in [
            "warn",
            "off",
            "phaselab=debug",
            "warn,phaselab=trace,iroh=info",
        ] {
            assert_eq!(filter(good).as_deref(), Ok(good));
        }
        for bad in ["", "loud", "phaselab=loud", "=", "INFORMATION"] {
            assert!(
                filter(bad).unwrap_err().contains("expected error, warn"),
                "{bad}"
            );
        }
    }
}
