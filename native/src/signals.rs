//! When to stop: a signal, or a parent that is gone.

use std::io::Read;

use tokio::sync::oneshot;

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) {
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
    #[cfg(not(unix))]
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
