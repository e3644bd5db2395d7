//! A member's connection: what it says at its rate, what it is told in time, and how it ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use phaselab_core::gateway::{FromGateway, ToGateway};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use tracing::Level;

use super::{Gateway, IDLE_TIMEOUT, PING_EVERY, POLICY, WRITE_TIMEOUT, close};
use crate::chain::FromHost;
use crate::log::{About, note};
use crate::serve::counts::Counts;
use crate::serve::hub::Session;
use crate::serve::limits::{Bucket, Closed};

/// Frames of a member per second, and at once.
const FRAMES_PER_SECOND: u64 = 1_000;
const FRAMES_BURST: u64 = 2_000;
/// Bytes of a member per second, and at once.
const BYTES_PER_SECOND: u64 = 8 * 1024 * 1024;
const BYTES_BURST: u64 = 16 * 1024 * 1024;
/// Frames that are not what they should be, until the connection is closed.
const STRIKES_MAX: u32 = 8;
/// Reports that the world outside may owe one connection an answer for.
const REPORTS_MAX: usize = 1_024;

const TRY_AGAIN: u16 = 1013;

/// Serves a member until it is gone, misbehaves, does not keep up, or connects again.
pub(super) async fn member(socket: WebSocket, gateway: &Gateway, session: Session) {
    let node = session.node;
    note(Level::INFO, About::peer(node), "connected");
    let facts = session.cluster.chain.hello(node).await;
    let (mut sink, mut stream) = socket.split();
    let (owed, reports) = mpsc::channel(REPORTS_MAX);
    let ended = tokio::select! {
        ended = hear(&mut stream, gateway, &session, owed) => ended,
        ended = tell(&mut sink, gateway, &session) => ended,
        ended = carry(facts, reports, &session) => ended,
    };
    drop(session);
    note(
        Level::INFO,
        About::peer(node),
        format!("disconnected: {ended}"),
    );
    let (code, why) = match ended {
        Ended::Gone => return,
        Ended::Struck => (POLICY, "too many frames that were not its own"),
        Ended::Oversized => (POLICY, "a frame was too large"),
        Ended::Slow => (TRY_AGAIN, "it reads too slowly"),
        Ended::Replaced => (POLICY, REPLACED),
    };
    let refusal = FromGateway::Refused(why.to_owned()).encode();
    let _ = timeout(WRITE_TIMEOUT, async {
        let _ = sink.send(Message::Binary(refusal.into())).await;
        let _ = sink.send(close(code, why)).await;
    })
    .await;
}

/// What a member is told whose key connected elsewhere.
const REPLACED: &str = "this member connected elsewhere";

/// How a member's connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Gone,
    Struck,
    Oversized,
    Slow,
    Replaced,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ended::Gone => "it is gone",
            Ended::Struck => "it sent what it may not",
            Ended::Oversized => "it sent too large a frame",
            Ended::Slow => "it reads too slowly",
            Ended::Replaced => "it connected again",
        })
    }
}

/// Reads what a member sends, at its rate.
async fn hear(
    stream: &mut SplitStream<WebSocket>,
    gateway: &Gateway,
    session: &Session,
    owed: mpsc::Sender<u64>,
) -> Ended {
    let counts = &gateway.hub.counts;
    let now = Instant::now();
    let mut frames = Bucket::new(FRAMES_PER_SECOND, FRAMES_BURST, now);
    let mut bytes = Bucket::new(BYTES_PER_SECOND, BYTES_BURST, now);
    let mut strikes = 0;
    loop {
        let frame = match timeout(IDLE_TIMEOUT, stream.next()).await {
            Ok(Some(Ok(Message::Binary(frame)))) => frame,
            Ok(Some(Ok(Message::Text(_)))) => Bytes::new(),
            // They cost as much to answer as any frame.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {
                wait(frames.take(Instant::now(), 1), gateway).await;
                continue;
            }
            Ok(Some(Ok(Message::Close(_))) | None) | Err(_) => return Ended::Gone,
            Ok(Some(Err(error))) => {
                if is_oversized(error) {
                    Counts::add(&counts.oversized);
                    return Ended::Oversized;
                }
                return Ended::Gone;
            }
        };
        // Not reading on is all that it takes: the sender's own queue fills.
        let now = Instant::now();
        let pause = frames.take(now, 1).max(bytes.take(now, frame.len() as u64));
        wait(pause, gateway).await;
        let refusal = match ToGateway::decode(&frame) {
            Some(ToGateway::Packet { to, bytes }) => match session.route(to, bytes) {
                Ok(()) => continue,
                Err(why) => {
                    Counts::add(&counts.forged);
                    why.to_string()
                }
            },
            Some(ToGateway::Report { number, bytes }) => {
                // A member that reports faster than the world takes it down is told nothing of the rest, and reports again.
                if owed.try_send(number).is_ok() {
                    session.cluster.chain.report(session.node, bytes).await;
                }
                continue;
            }
            Some(ToGateway::Watch(bytes)) => {
                session.show(bytes);
                continue;
            }
            Some(ToGateway::Join { .. } | ToGateway::Hello { .. }) | None => {
                Counts::add(&counts.malformed);
                "not a frame of a member".to_owned()
            }
        };
        strikes += 1;
        note(
            Level::WARN,
            About::peer(session.node),
            format!("refused a frame, {strikes} of {STRIKES_MAX}: {refusal}"),
        );
        if strikes == STRIKES_MAX {
            return Ended::Struck;
        }
    }
}

async fn wait(pause: Duration, gateway: &Gateway) {
    if !pause.is_zero() {
        Counts::add(&gateway.hub.counts.throttled);
        tokio::time::sleep(pause).await;
    }
}

fn is_oversized(error: axum::Error) -> bool {
    let error = error.into_inner().downcast::<tungstenite::Error>();
    error.is_ok_and(|error| matches!(*error, tungstenite::Error::Capacity(_)))
}

/// Writes what a member is told.
async fn tell(
    sink: &mut SplitSink<WebSocket, Message>,
    gateway: &Gateway,
    session: &Session,
) -> Ended {
    let mut ping = tokio::time::interval(PING_EVERY);
    loop {
        let message = tokio::select! {
            frame = session.queue.next() => match frame {
                Ok(frame) => Message::Binary(frame),
                Err(Closed::Slow) => {
                    Counts::add(&gateway.hub.counts.slow);
                    return Ended::Slow;
                }
                Err(Closed::Replaced) => return Ended::Replaced,
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        match timeout(WRITE_TIMEOUT, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ended::Gone,
            Err(_) => {
                Counts::add(&gateway.hub.counts.slow);
                return Ended::Slow;
            }
        }
    }
}

/// Carries what the world outside tells a member into its queue.
async fn carry(
    mut facts: mpsc::Receiver<FromHost>,
    mut reports: mpsc::Receiver<u64>,
    session: &Session,
) -> Ended {
    let mut owed = VecDeque::new();
    loop {
        let frame = match facts.recv().await {
            Some(FromHost::Fact(fact)) => FromGateway::Fact(fact),
            Some(FromHost::Noted) => {
                while let Ok(number) = reports.try_recv() {
                    owed.push_back(number);
                }
                // The world takes reports down in order.
                let Some(number) = owed.pop_front() else {
                    continue;
                };
                FromGateway::Taken(number)
            }
            Some(FromHost::Refused(_)) => continue,
            // It did not keep up, or it has connected again: what is said already stands.
            None => {
                session.queue.close(Closed::Slow);
                return std::future::pending().await;
            }
        };
        session.queue.push(frame.encode().into());
    }
}
