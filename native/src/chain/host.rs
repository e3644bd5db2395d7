//! The host: one task owns the environment; connections hand it what nodes say, and carry away what they are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use phaselab_core::codec::encode;
use phaselab_core::crypto::Keyring;
use phaselab_core::environment::Environment;
use phaselab_core::replica::Replica;
use phaselab_core::types::{Hash32, NodeId, Time};
use phaselab_core::view::ViewScope;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Level;

use super::state::StateFile;
use super::{FRAME_BYTES_MAX, FromHost, HELLO_TIMEOUT, ToHost, decode, hello_preimage};
use crate::failure::{Failure, io_words};
use crate::frame;
use crate::genesis::GenesisFile;
use crate::init::entropy;
use crate::log::{About, note};

/// Frames that wait for one node; one that lets more pile up is disconnected.
const QUEUE_MAX: usize = 1024;
/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;

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
    let keyring = Keyring::new(genesis.genesis.crypto, &genesis.genesis.members)
        .map_err(|error| Failure::in_file(&genesis.path, error))?;
    let (say, said) = mpsc::channel(QUEUE_MAX);
    let accepting = tokio::spawn(accept(listener, hash, Arc::new(keyring), say.clone()));
    Ok(Some(Host {
        accepting,
        stop: say,
        actor: tokio::spawn(actor.run(said)),
    }))
}

/// The world outside, hosted for whoever runs in this process.
#[derive(Debug)]
pub(crate) struct Hosted {
    say: mpsc::Sender<Said>,
}

/// Starts hosting without a socket. Its state is saved when this returns. `paid` is as for [`start`].
///
/// # Errors
/// If the saved state is gone or of something else.
pub(crate) fn start_here(
    genesis: &GenesisFile,
    state: &Path,
    paid: Option<String>,
) -> Result<Hosted, Failure> {
    let mut actor = Actor::open(genesis, state, paid)?;
    actor.keep();
    let (say, said) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(actor.run(said));
    Ok(Hosted { say })
}

impl Hosted {
    /// A node is there: what it is told from now on, the whole view first. Told so often that it does not keep up, it is
    /// told nothing more.
    pub(crate) async fn hello(&self, node: NodeId) -> mpsc::Receiver<FromHost> {
        let (tell, told) = mpsc::channel(QUEUE_MAX);
        // An actor that is gone tells nothing, and the queue ends.
        let _ = self.say.send(Said::Hello { node, tell }).await;
        told
    }

    /// A node reports; it is told once that is kept.
    pub(crate) async fn report(&self, node: NodeId, report: Vec<u8>) {
        let _ = self.say.send(Said::Report { node, report }).await;
    }

    /// Stops; what was noted is on disk.
    pub(crate) async fn stop(&self) {
        let _ = self.say.send(Said::Stop).await;
        // The actor drops its end when it is done.
        self.say.closed().await;
    }
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
    keyring: Arc<Keyring>,
    say: mpsc::Sender<Said>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of handles, most likely: others must end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let serving = serve(stream, genesis, keyring.clone(), say.clone());
        tokio::spawn(async move {
            serving.await;
            drop(place);
        });
    }
}

/// Serves one node until it or the host is gone.
async fn serve(stream: TcpStream, genesis: Hash32, keyring: Arc<Keyring>, say: mpsc::Sender<Said>) {
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    // Without entropy nobody can be told from another.
    let Ok(challenge) = entropy().map(Hash32) else {
        return;
    };
    let greeting = encode(&challenge);
    if frame::write(&mut writer, &greeting).await.is_err() {
        return;
    }
    let Ok(Ok(Some(bytes))) =
        timeout(HELLO_TIMEOUT, frame::read(&mut reader, FRAME_BYTES_MAX)).await
    else {
        return;
    };
    let node = match decode(&bytes) {
        Ok(ToHost::Hello {
            node,
            genesis: theirs,
            signature,
        }) if theirs == genesis
            && keyring.verify(
                node,
                &hello_preimage(node, &genesis, &challenge),
                &signature,
            ) =>
        {
            node
        }
        Ok(ToHost::Hello {
            genesis: theirs, ..
        }) => {
            let why = match theirs == genesis {
                true => "the key is not the one that genesis registers",
                false => "the chain is of another cluster",
            };
            let refusal = FromHost::Refused(why.to_owned());
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
            let mut heard = Vec::new();
            tokio::select! {
                // Keeping costs the same however much was said: all that waits is kept together.
                count = said.recv_many(&mut heard, QUEUE_MAX) => {
                    if count == 0 {
                        return self.keep();
                    }
                }
                () = pause => {}
            }
            let mut noted = Vec::new();
            for message in heard {
                match message {
                    Said::Stop => return self.keep(),
                    Said::Hello { node, tell } => {
                        // It says again what it was not told to be kept.
                        noted.retain(|other| *other != node);
                        self.welcome(node, tell);
                    }
                    Said::Report { node, report } => {
                        self.environment.report(self.now(), node, &report);
                        noted.push(node);
                    }
                }
            }
            let facts = self.environment.poll(self.now());
            // Kept before it is told: a restart must not take back what a node was shown.
            let began = Instant::now();
            self.keep();
            let took = began.elapsed();
            for node in noted {
                self.tell(node, FromHost::Noted);
            }
            for (node, fact) in facts {
                self.tell(node, FromHost::Fact(fact));
            }
            // Whatever is said, at most half of the time goes into keeping it, and the more is kept together.
            tokio::time::sleep(took).await;
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
