//! When to stop: a signal, or a parent that is gone.

use std::io::Read;

use tokio::sync::oneshot;

/// Waits for SIGINT or SIGTERM. Listens from the call on, so that one that comes before the first poll is not lost; a
/// command calls it once and keeps the future.
#[cfg(unix)]
pub(crate) fn asked_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    async move {
        match (interrupt, terminate) {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            // Without handlers a signal ends the process by itself.
            _ => std::future::pending().await,
        }
    }
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
