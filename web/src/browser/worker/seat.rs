//! A worker with one seat in a hybrid cluster: it makes the key, waits in the lobby, and runs the member behind the
//! gateway. The page is told what the gateway says, and never sees the key.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Uint8Array;
use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::engine::Genesis;
use phaselab_core::event::Level;
use phaselab_core::gateway::{FromGateway, Invite, Nonce, Place, ToGateway, sign_hello, sign_join};
use phaselab_core::types::{Hash32, NodeId};
use phaselab_wasm::live::clock::Clock;
use phaselab_wasm::live::gateway::Uplink;
use phaselab_wasm::live::host::Host;
use phaselab_wasm::live::node::LiveNode;
use phaselab_wasm::live::room::{decode_genesis, encode_genesis};
use phaselab_wasm::live::wire::{Channel, field};
use wasm_bindgen_futures::spawn_local;

use super::super::stores::{Charter, NodeStore, SEAT, seat_key};
use super::{Reporter, random_bytes, tell_page, tell_page_of};

/// A seat, with or without a cluster.
struct Seat {
    room: String,
    tab: String,
    invite: Invite,
    signer: Signer,
    /// Which member of which genesis it is, once that is frozen.
    member: Cell<Option<(NodeId, Hash32)>>,
    /// While it runs.
    node: RefCell<Option<LiveNode>>,
    uplink: RefCell<Option<Uplink>>,
    /// Where the page hears what other members show.
    watch: Channel,
}

/// Takes the seat, and keeps it for as long as the worker runs.
pub(super) async fn sit(room: String, invite: Invite, tab: String) -> Result<(), String> {
    let signer = seat_key(&room).await?.signer(Crypto::Ed25519);
    let charter = Charter::load(&room).await?;
    let watch = Channel::open(&room, Some("watch"), |_| {})?;
    let seat = Rc::new(Seat {
        room,
        tab,
        invite,
        signer,
        member: Cell::default(),
        node: RefCell::default(),
        uplink: RefCell::default(),
        watch,
    });
    let (greeter, hearer) = (seat.clone(), seat.clone());
    let uplink = Uplink::new(
        address(),
        Box::new(move |nonce| greeter.greet(nonce)),
        Box::new(move |heard| hearer.hear(heard)),
    );
    seat.uplink.replace(Some(uplink.clone()));
    if let Some(charter) = charter {
        seat.run(charter).await?;
    }
    uplink.connect();
    Ok(())
}

/// The gateway of the page's own server.
fn address() -> String {
    let location = field(&js_sys::global(), "location");
    let text = |name: &str| field(&location, name).as_string().unwrap_or_default();
    let scheme = if text("protocol") == "https:" {
        "wss"
    } else {
        "ws"
    };
    format!("{scheme}://{}/ws", text("host"))
}

impl Seat {
    fn greet(&self, nonce: &Nonce) -> ToGateway {
        let (signer, place) = (&self.signer, Place::Browser);
        match self.member.get() {
            Some((node, genesis)) => ToGateway::Hello {
                node,
                genesis,
                place,
                proof: sign_hello(signer, nonce, &genesis, node),
            },
            None => ToGateway::Join {
                invite: self.invite,
                key: signer.public(),
                place,
                proof: sign_join(signer, nonce, &self.invite),
            },
        }
    }

    fn hear(self: &Rc<Self>, heard: Option<(FromGateway, Uint8Array)>) {
        let Some((frame, raw)) = heard else {
            return tell_page("gone", "");
        };
        let is_member = self.member.get().is_some();
        match frame {
            FromGateway::Begun {
                genesis, begun_ms, ..
            } if !is_member => {
                let seat = self.clone();
                spawn_local(async move {
                    if let Err(why) = seat.begin(genesis, begun_ms).await {
                        tell_page("stopped", &why);
                    }
                });
            }
            FromGateway::Refused(why) if !is_member => {
                let uplink = self.uplink.take();
                // Later: what hears it is running.
                spawn_local(async move {
                    uplink.as_ref().map(Uplink::close);
                    tell_page("stopped", &why);
                });
            }
            FromGateway::Watch(bytes) => {
                self.watch.post(&Uint8Array::from(bytes.as_slice()));
            }
            FromGateway::Lobby { .. } | FromGateway::Online(_) | FromGateway::Refused(_) => {
                tell_page_of("gateway", &[("bytes", &raw)]);
            }
            frame => {
                if let Some(node) = self.node.borrow().as_ref() {
                    node.hear(frame);
                }
            }
        }
    }

    /// Genesis is frozen: it is written down before the first step, and the gateway is left until that is made.
    async fn begin(self: Rc<Self>, genesis: Genesis, begun_ms: u64) -> Result<(), String> {
        let Some(uplink) = self.uplink.borrow().clone() else {
            return Ok(());
        };
        uplink.close();
        let (genesis, kind) = decode_genesis(&encode_genesis(&genesis))?;
        let charter = Charter {
            genesis,
            kind,
            created_ms: begun_ms,
        };
        self.own_id(&charter.genesis)?;
        charter.save(&self.room).await?;
        self.run(charter).await?;
        uplink.connect();
        Ok(())
    }

    /// Finds its own key in genesis.
    fn own_id(&self, genesis: &Genesis) -> Result<NodeId, String> {
        let own = self.signer.public();
        let mut members = genesis.members.iter();
        let member = members.find(|member| member.key == own);
        Ok(member
            .ok_or("the genesis does not have this seat's key")?
            .id)
    }

    async fn run(&self, charter: Charter) -> Result<(), String> {
        let genesis = &charter.genesis;
        let id = self.own_id(genesis)?;
        self.member.set(Some((id, genesis.hash())));
        let (secret, rows, store) = NodeStore::open(&self.room, SEAT).await?;
        let reel = store.reel();
        let recorded = Some((reel.tape(), charter.created_ms));
        let mut host = Host::open(genesis, id, &secret, &rows, random_bytes(), recorded)
            .map_err(|error| error.to_string())?;
        host.replica_mut().set_level(Level::Full);
        let uplink = self.uplink.borrow().clone();
        let reporter = Reporter::start(&self.room, self.tab.clone(), uplink.clone())?;
        let node = LiveNode::start(
            &self.room,
            genesis,
            host,
            Clock::since(charter.created_ms),
            Rc::new(store),
            reporter.clone(),
            uplink,
        )?;
        self.node.replace(Some(node.clone()));
        tell_page_of(
            "begun",
            &[
                (
                    "genesis",
                    &Uint8Array::from(encode_genesis(genesis).as_slice()),
                ),
                ("createdMs", &(charter.created_ms as f64).into()),
                ("node", &id.0.into()),
            ],
        );
        reporter.follow(node, reel);
        Ok(())
    }
}
