//! A node's link to the host: connects again and again, keeps reports until they are noted, hands facts to the node.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use phaselab_core::codec::encode;
use phaselab_core::crypto::Signer;
use phaselab_core::types::{Hash32, NodeId};
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::Level;

use super::{FRAME_BYTES_MAX, FromHost, HELLO_TIMEOUT, ToHost, decode, hello_preimage};
use crate::frame;
use crate::log::{About, note};
use crate::node::Input;

/// Reports that are kept until the host has noted them; the oldest is forgotten when there are more.
const REPORTS_MAX: usize = 256;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Starts the link; what is sent to the returned queue is reported.
pub(crate) fn start(
    address: SocketAddr,
    genesis: Hash32,
    node: NodeId,
    signer: Signer,
    inbox: mpsc::Sender<Input>,
) -> mpsc::Sender<Vec<u8>> {
    let (reports, queued) = mpsc::channel(REPORTS_MAX);
    tokio::spawn(
        Link {
            address,
            genesis,
            node,
            signer,
            inbox,
            unnoted: VecDeque::new(),
        }
        .run(queued),
    );
    reports
}

struct Link {
    address: SocketAddr,
    genesis: Hash32,
    node: NodeId,
    signer: Signer,
    inbox: mpsc::Sender<Input>,
    /// Oldest first.
    unnoted: VecDeque<Vec<u8>>,
}

impl Link {
    async fn run(mut self, mut queued: mpsc::Receiver<Vec<u8>>) {
        let mut backoff = BACKOFF_MIN;
        while !queued.is_closed() {
            if let Ok(stream) = TcpStream::connect(self.address).await {
                backoff = BACKOFF_MIN;
                let _ = self.inbox.send(Input::Chain { up: true }).await;
                let ended = self.talk(stream, &mut queued).await;
                let _ = self.inbox.send(Input::Chain { up: false }).await;
                match ended {
                    Ended::Lost => {}
                    Ended::NodeGone => return,
                    Ended::Refused(why) => {
                        note(
                            Level::WARN,
                            About::default(),
                            format!("the chain at {} refuses: {why}", self.address),
                        );
                        backoff = BACKOFF_MAX;
                    }
                }
            }
            self.gather(&mut queued);
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Keeps what the node reported meanwhile.
    fn gather(&mut self, queued: &mut mpsc::Receiver<Vec<u8>>) {
        while let Ok(report) = queued.try_recv() {
            self.keep(report);
        }
    }

    fn keep(&mut self, report: Vec<u8>) {
        if self.unnoted.len() == REPORTS_MAX {
            self.unnoted.pop_front();
        }
        self.unnoted.push_back(report);
    }

    async fn talk(&mut self, stream: TcpStream, queued: &mut mpsc::Receiver<Vec<u8>>) -> Ended {
        let _ = stream.set_nodelay(true);
        let (mut reader, mut writer) = stream.into_split();
        let first = timeout(HELLO_TIMEOUT, frame::read(&mut reader, FRAME_BYTES_MAX)).await;
        let Ok(Ok(Some(first))) = first else {
            return Ended::Lost;
        };
        let Ok(challenge) = decode::<Hash32>(&first) else {
            return Ended::Refused("it does not speak as a chain does".to_owned());
        };
        self.gather(queued);
        let preimage = hello_preimage(self.node, &self.genesis, &challenge);
        let hello = ToHost::Hello {
            node: self.node,
            genesis: self.genesis,
            signature: self.signer.sign(&preimage),
        };
        let again = self
            .unnoted
            .iter()
            .map(|report| ToHost::Report(report.clone()));
        for message in std::iter::once(hello).chain(again) {
            if frame::write(&mut writer, &encode(&message)).await.is_err() {
                return Ended::Lost;
            }
        }
        let (heard, mut hear) = mpsc::channel(1);
        // Reading a frame must not be given up halfway, so it has a task of its own.
        let reading = tokio::spawn(async move { read(&mut reader, heard).await });
        let ended = loop {
            tokio::select! {
                message = hear.recv() => match message {
                    Some(FromHost::Fact(fact)) => {
                        if self.inbox.send(Input::Fact(fact)).await.is_err() {
                            break Ended::NodeGone;
                        }
                    }
                    Some(FromHost::Noted) => {
                        self.unnoted.pop_front();
                    }
                    Some(FromHost::Refused(why)) => break Ended::Refused(why),
                    None => break Ended::Lost,
                },
                report = queued.recv() => {
                    let Some(report) = report else { break Ended::NodeGone };
                    self.keep(report.clone());
                    if frame::write(&mut writer, &encode(&ToHost::Report(report))).await.is_err() {
                        break Ended::Lost;
                    }
                }
            }
        };
        reading.abort();
        ended
    }
}

async fn read(reader: &mut (impl AsyncRead + Unpin), heard: mpsc::Sender<FromHost>) {
    while let Ok(Some(bytes)) = frame::read(reader, FRAME_BYTES_MAX).await {
        let Ok(message) = decode(&bytes) else { return };
        if heard.send(message).await.is_err() {
            return;
        }
    }
}

/// How a connection ended.
enum Ended {
    Lost,
    NodeGone,
    Refused(String),
}
