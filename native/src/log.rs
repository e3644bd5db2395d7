//! Log lines: each with the event, the round and the peer that it is about, `-` where there is none.

use std::fmt;

use clap::{Args, ValueEnum};
use phaselab_core::types::NodeId;
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
        default_value = "info"
    )]
    pub(crate) log: String,
    /// text for people, or json: one object per line
    #[arg(
        long,
        value_name = "FORM",
        hide_possible_values = true,
        value_enum,
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Starts logging to standard error. The network's own crates are heard only when they are asked for by name.
pub(crate) fn start(args: &LogArgs) {
    let level = args.log.as_str();
    let quiet = "warn,iroh=error,noq=error,noq_proto=error,noq_udp=error,netwatch=error,portmapper=error,net_report=error";
    let filter = if level.contains('=') {
        level.to_owned()
    } else {
        format!("{quiet},phaselab={level}")
    };
    let filter = EnvFilter::try_new(&filter)
        .unwrap_or_else(|_| EnvFilter::new(format!("{quiet},phaselab=info")));
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
    let round = OrDash(about.round);
    let peer_id = OrDash(about.peer.map(|peer| peer.0));
    match level {
        Level::ERROR => tracing::error!(event_id, %round, %peer_id, "{text}"),
        Level::WARN => tracing::warn!(event_id, %round, %peer_id, "{text}"),
        Level::INFO => tracing::info!(event_id, %round, %peer_id, "{text}"),
        _ => tracing::debug!(event_id, %round, %peer_id, "{text}"),
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
