//! The door: who gets a socket at all, before anything is said on it.
//!
//! So many sockets in all and so many of one address; more are closed at once, unanswered. A socket on which no request
//! arrives in time is closed as well. A permit goes with its socket, also after that became a WebSocket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Sockets at once, in all.
pub(super) const SOCKETS_MAX: usize = 512;
/// Sockets at once of one address. A class behind one router, or the tabs of one machine, are one address.
pub(super) const SOCKETS_PER_ADDRESS_MAX: usize = 256;
/// How long the head of a request may take, and how long a socket may wait for its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait when the system gives no more handles.
const OUT_OF_HANDLES: Duration = Duration::from_millis(100);

/// Serves a router at a listener; ends only when it is dropped.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let door = Arc::new(Door::default());
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            tokio::time::sleep(OUT_OF_HANDLES).await;
            continue;
        };
        // Without one the socket is closed here.
        if let Some(permit) = Door::enter(&door, address.ip()) {
            let _ = stream.set_nodelay(true);
            let held = Held {
                stream,
                _permit: permit,
            };
            tokio::spawn(answer(held, router.clone()));
        }
    }
}

async fn answer(held: Held, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            use tower_service::Service;
            let response = router.call(request.map(axum::body::Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    let connection = http.serve_connection(TokioIo::new(held), service);
    // How a browser's connection ends concerns nobody.
    let _ = connection.with_upgrades().await;
}

/// Who is inside.
#[derive(Debug, Default)]
struct Door {
    inside: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Door {
    fn enter(door: &Arc<Door>, address: IpAddr) -> Option<Permit> {
        // Nothing panics while it is held.
        let mut inside = door.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = inside.values().sum();
        let of_address = inside.entry(address).or_default();
        let is_full = all >= SOCKETS_MAX || *of_address >= SOCKETS_PER_ADDRESS_MAX;
        if !is_full {
            *of_address += 1;
        }
        inside.retain(|_, count| *count > 0);
        (!is_full).then(|| Permit {
            door: door.clone(),
            address,
        })
    }

    fn leave(&self, address: IpAddr) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inside.get_mut(&address) {
            *count -= 1;
        }
        inside.retain(|_, count| *count > 0);
    }
}

/// One socket's place inside.
#[derive(Debug)]
struct Permit {
    door: Arc<Door>,
    address: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.door.leave(self.address);
    }
}

/// A socket with its permit.
#[derive(Debug)]
struct Held {
    stream: TcpStream,
    _permit: Permit,
}

impl AsyncRead for Held {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn sockets_are_counted_in_all_and_by_address() {
        let door = Arc::new(Door::default());
        let address = |last: u8| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
        let enter = |last| Door::enter(&door, address(last));
        let mut first: Vec<_> = (0..SOCKETS_PER_ADDRESS_MAX)
            .map_while(|_| enter(1))
            .collect();
        assert_eq!(first.len(), SOCKETS_PER_ADDRESS_MAX);
        assert!(enter(1).is_none(), "of one address");
        let others: Vec<_> = (0..SOCKETS_MAX).map_while(|_| enter(2)).collect();
        assert_eq!(others.len(), SOCKETS_MAX - SOCKETS_PER_ADDRESS_MAX);
        assert!(enter(3).is_none(), "in all");
        first.pop();
        assert!(enter(3).is_some(), "a place that was left is free");
        drop((first, others));
        assert!(door.inside.lock().unwrap().is_empty());
    }
}
