//! The host: one task owns the environment; connections hand it what nodes say, and carry away what they are told.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use phaselab_core::codec::{self, encode};
use phaselab_core::environment::Environment;
use phaselab_core::replica::Replica;
use phaselab_core::types::{Hash32, NodeId, Time};
use phaselab_core::view::ViewScope;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Level;

use super::{FRAME_BYTES_MAX, FromHost, ToHost, decode};
use crate::failure::{Failure, io_words};
use crate::frame;
use crate::genesis::GenesisFile;
use crate::log::{About, note};
use crate::store::create_private;

/// Frames that wait for one node; one that lets more pile up is disconnected.
const QUEUE_MAX: usize = 1024;
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A running host.
#[derive(Debug)]
pub(crate) struct Host {
    accepting: JoinHandle<()>,
    stop: mpsc::Sender<Said>,
    actor: JoinHandle<()>,
}

/// What reaches the actor.
#[derive(Debug)]
enum Said {
    Hello {
        node: NodeId,
        tell: mpsc::Sender<FromHost>,
    },
    Report {
        node: NodeId,
        report: Vec<u8>,
    },
    Stop,
}

/// Starts hosting the world outside; `None` if someone else already does at this address. `paid` is what nodes hold that
/// the chain has paid for, if that is known.
///
/// # Errors
/// If the address cannot be bound for another reason, or the saved state is gone or of something else.
pub(crate) async fn start(
    address: SocketAddr,
    genesis: &GenesisFile,
    state: &Path,
    paid: Option<String>,
) -> Result<Option<Host>, Failure> {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            note(
                Level::INFO,
                About::default(),
                format!("the chain at {address} is hosted already"),
            );
            return Ok(None);
        }
        Err(error) => {
            return Err(Failure::Input(format!(
                "chain at {address}: {}",
                io_words(&error)
            )));
        }
    };
    let actor = Actor::open(genesis, state, paid)?;
    let hash = genesis.genesis.hash();
    let members = genesis.ids();
    let (say, said) = mpsc::channel(QUEUE_MAX);
    let accepting = tokio::spawn(accept(listener, hash, members, say.clone()));
    Ok(Some(Host {
        accepting,
        stop: say,
        actor: tokio::spawn(actor.run(said)),
    }))
}

/// What a node holds that the chain has paid for, in words; `None` if nothing.
pub(crate) fn paid_for(store: &Path, replica: &dyn Replica) -> Option<String> {
    let instances = replica.view(ViewScope::Summary).instances;
    let decided = instances.iter().find(|instance| instance.value.is_some())?;
    Some(format!(
        "{} holds {} as decided",
        store.display(),
        decided.name
    ))
}

impl Host {
    /// Stops; what was noted is on disk.
    pub(crate) async fn stop(self) {
        self.accepting.abort();
        let _ = self.stop.send(Said::Stop).await;
        let _ = self.actor.await;
    }
}

async fn accept(
    listener: TcpListener,
    genesis: Hash32,
    members: Vec<NodeId>,
    say: mpsc::Sender<Said>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of handles, most likely: others must end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        tokio::spawn(serve(stream, genesis, members.clone(), say.clone()));
    }
}

/// Serves one node until it or the host is gone.
async fn serve(stream: TcpStream, genesis: Hash32, members: Vec<NodeId>, say: mpsc::Sender<Said>) {
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let Ok(Ok(Some(bytes))) =
        timeout(HELLO_TIMEOUT, frame::read(&mut reader, FRAME_BYTES_MAX)).await
    else {
        return;
    };
    let node = match decode(&bytes) {
        Ok(ToHost::Hello {
            node,
            genesis: theirs,
        }) if theirs == genesis && members.contains(&node) => node,
        Ok(ToHost::Hello { .. }) => {
            let refusal = FromHost::Refused("the chain is of another cluster".to_owned());
            let _ = frame::write(&mut writer, &encode(&refusal)).await;
            return;
        }
        // Not a node at all.
        _ => return,
    };
    let (tell, told) = mpsc::channel(QUEUE_MAX);
    if say.send(Said::Hello { node, tell }).await.is_err() {
        return;
    }
    tokio::select! {
        () = hear(&mut reader, node, &say) => {}
        () = carry(&mut writer, told) => {}
    }
}

async fn hear(reader: &mut (impl AsyncRead + Unpin), node: NodeId, say: &mpsc::Sender<Said>) {
    while let Ok(Some(bytes)) = frame::read(reader, FRAME_BYTES_MAX).await {
        let Ok(ToHost::Report(report)) = decode(&bytes) else {
            return;
        };
        if say.send(Said::Report { node, report }).await.is_err() {
            return;
        }
    }
}

async fn carry(writer: &mut (impl AsyncWrite + Unpin), mut told: mpsc::Receiver<FromHost>) {
    while let Some(message) = told.recv().await {
        if frame::write(writer, &encode(&message)).await.is_err() {
            return;
        }
    }
}

/// Owns the environment.
struct Actor {
    environment: Box<dyn Environment>,
    nodes: BTreeMap<NodeId, mpsc::Sender<FromHost>>,
    file: StateFile,
    /// The world's time when this process began: it goes on where the last host stopped.
    begun_at: Time,
    begun: Instant,
}

impl Actor {
    fn open(genesis: &GenesisFile, state: &Path, paid: Option<String>) -> Result<Actor, Failure> {
        let made = genesis
            .protocol
            .environment_of(&genesis.setting, &genesis.genesis, CHAIN_SEED);
        let mut environment = made.expect("a genesis file's parts are of its protocol");
        let mut file = StateFile {
            path: state.to_owned(),
            genesis: genesis.genesis.hash(),
            written: Vec::new(),
        };
        let mut begun_at = Time::ZERO;
        match (file.read()?, paid) {
            (Some(saved), _) => {
                environment
                    .restore(&saved.state)
                    .map_err(|what| Failure::in_file(state, what))?;
                begun_at = saved.now;
                file.written = saved.state;
            }
            // From genesis it would show outputs that are spent.
            (None, Some(paid)) => {
                let what = format!(
                    "the chain's state is missing, but {paid}: the chain would begin again and forget what it paid; \
                     put the file back, or begin a new cluster in another folder"
                );
                return Err(Failure::in_file(state, what));
            }
            (None, None) => {}
        }
        Ok(Actor {
            environment,
            nodes: BTreeMap::new(),
            file,
            begun_at,
            begun: Instant::now(),
        })
    }

    fn now(&self) -> Time {
        Time(
            self.begun_at
                .0
                .saturating_add(u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    async fn run(mut self, mut said: mpsc::Receiver<Said>) {
        loop {
            let wake = self
                .environment
                .deadline()
                .map(|at| Duration::from_nanos(at.since(self.now()).0));
            let pause = async {
                match wake {
                    Some(wake) => tokio::time::sleep(wake).await,
                    None => std::future::pending().await,
                }
            };
            let mut noted = None;
            tokio::select! {
                message = said.recv() => match message {
                    None | Some(Said::Stop) => return self.keep(),
                    Some(Said::Hello { node, tell }) => self.welcome(node, tell),
                    Some(Said::Report { node, report }) => {
                        self.environment.report(self.now(), node, &report);
                        noted = Some(node);
                    }
                },
                () = pause => {}
            }
            let facts = self.environment.poll(self.now());
            // Kept before it is told: a restart must not take back what a node was shown.
            self.keep();
            if let Some(node) = noted {
                self.tell(node, FromHost::Noted);
            }
            for (node, fact) in facts {
                self.tell(node, FromHost::Fact(fact));
            }
        }
    }

    fn welcome(&mut self, node: NodeId, tell: mpsc::Sender<FromHost>) {
        self.nodes.insert(node, tell);
        if let Some(view) = self.environment.full_view(self.now(), node) {
            self.tell(node, FromHost::Fact(view));
        }
    }

    fn tell(&mut self, node: NodeId, message: FromHost) {
        // A node that is gone, or does not keep up, is shown everything when it comes back.
        if self
            .nodes
            .get(&node)
            .is_some_and(|queue| queue.try_send(message).is_err())
        {
            self.nodes.remove(&node);
        }
    }

    fn keep(&mut self) {
        let (now, state) = (self.now(), self.environment.save());
        if state != self.file.written
            && let Err(error) = self.file.write(now, state)
        {
            let path = self.file.path.display();
            note(
                Level::ERROR,
                About::default(),
                format!(
                    "{path}: the chain's state was not saved: {}",
                    io_words(&error)
                ),
            );
        }
    }
}

/// Seeds the draws of a live chain; there is nothing to reproduce.
const CHAIN_SEED: u64 = 1;

/// The actor's state on disk: replaced as a whole, never changed in place.
#[derive(Debug)]
struct StateFile {
    path: PathBuf,
    genesis: Hash32,
    written: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u8,
    genesis: Hash32,
    now: Time,
    state: Vec<u8>,
}

const STATE_VERSION: u8 = 1;

impl StateFile {
    fn read(&self) -> Result<Option<Saved>, Failure> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::in_file(&self.path, io_words(&error))),
        };
        let saved: Saved = postcard::from_bytes(&bytes).map_err(|_| {
            Failure::in_file(
                &self.path,
                "not the saved state of a chain; expected what a host wrote",
            )
        })?;
        if saved.version != STATE_VERSION || saved.genesis != self.genesis {
            return Err(Failure::in_file(
                &self.path,
                "the saved state of the chain is of another cluster",
            ));
        }
        Ok(Some(saved))
    }

    fn write(&mut self, now: Time, state: Vec<u8>) -> std::io::Result<()> {
        let saved = Saved {
            version: STATE_VERSION,
            genesis: self.genesis,
            now,
            state,
        };
        let draft = self.path.with_extension("state.new");
        let _ = std::fs::remove_file(&draft);
        let mut file = create_private(&draft)?;
        file.write_all(&codec::encode(&saved))?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.path)?;
        self.written = saved.state;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch;

    #[test]
    fn a_saved_state_comes_back_and_another_clusters_is_refused() {
        let dir = scratch("chain");
        let file = |genesis| StateFile {
            path: dir.join("chain.state"),
            genesis: Hash32([genesis; 32]),
            written: Vec::new(),
        };
        assert!(file(1).read().unwrap().is_none());
        file(1).write(Time(5), vec![1, 2, 3]).unwrap();
        file(1).write(Time(9), vec![4]).unwrap();
        let saved = file(1).read().unwrap().unwrap();
        assert_eq!((saved.now, saved.state), (Time(9), vec![4]));
        assert!(
            file(2)
                .read()
                .unwrap_err()
                .to_string()
                .contains("another cluster")
        );
        std::fs::write(dir.join("chain.state"), b"junk").unwrap();
        assert!(file(1).read().is_err());
    }
}
