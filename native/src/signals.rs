//! When to stop: a signal, or a parent that is gone.
//!
//! SIGINT, SIGTERM and SIGHUP ask a command to stop, and it stops cleanly, with status 0. A second one ends it at once,
//! as a crash would: what was promised is in the store. SIGHUP is left alone where whoever started the process had it
//! ignored, as `nohup` does.

use std::io::Read;

#[cfg(unix)]
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// Makes a write beyond the limit on a file's size (`ulimit -f`) fail as one to a full disk does, where it would end the
/// process. Holds from the call on, inside a runtime.
#[cfg(unix)]
pub(crate) fn outlive_file_limits() {
    /// The same on Linux, macOS and the BSDs.
    const SIGXFSZ: i32 = 25;
    // A handler stays for the life of the process; that there is one is all that counts.
    let _ = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGXFSZ));
}

/// There are no such limits.
#[cfg(not(unix))]
pub(crate) fn outlive_file_limits() {}

/// Waits for a signal that asks to stop. Listens from the call on, so that one that comes before the first poll is not
/// lost; a command calls it once and keeps the future.
#[cfg(unix)]
pub(crate) fn asked_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    if !is_hangup_ignored() {
        kinds.push(SignalKind::hangup());
    }
    let (asked, mut when_asked) = mpsc::channel(2);
    for kind in kinds {
        // Without a handler a signal ends the process by itself.
        let Ok(mut signals) = signal(kind) else {
            continue;
        };
        let asked = asked.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && asked.send(kind).await.is_ok() {}
        });
    }
    drop(asked);
    async move {
        if when_asked.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        tokio::spawn(async move {
            if let Some(again) = when_asked.recv().await {
                std::process::exit(STATUS_OF_SIGNALS + again.as_raw_value());
            }
        });
    }
}

/// What shells add to a signal's number to make an exit status.
#[cfg(unix)]
const STATUS_OF_SIGNALS: i32 = 128;

/// Whether the process was started with SIGHUP ignored. Where the system does not tell, it counts as ignored, and the
/// signal keeps the meaning that it had.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    const SIGHUP: u32 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn asked_to_stop() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the other end of standard input is closed: until whoever started this process is gone.
pub(crate) async fn parent_gone() {
    let (gone, when_gone) = oneshot::channel();
    // A thread of its own: the runtime would wait for a read of its own that never returns.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok(1..) = std::io::stdin().read(&mut buffer) {}
        let _ = gone.send(());
    });
    let _ = when_gone.await;
}

/// Has the system wake this process when its parent dies, so that one that was stopped in its tracks (SIGSTOP) gets to
/// see that its standard input is closed. Where the system cannot, it stays stopped until somebody continues it.
#[cfg(target_os = "linux")]
pub(crate) fn wake_when_parent_dies() {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // Of a process that is not stopped this signal changes nothing.
    let _ = set_parent_process_death_signal(Some(Signal::CONT));
}

/// Other systems continue the stopped processes of a group that has lost its last parent themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn wake_when_parent_dies() {}
