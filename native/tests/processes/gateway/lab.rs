//! A lobby, connections to it, and a member that does what it likes with its own key.

use std::io::{Read, Write};
use std::net::TcpStream;

use futures_util::{SinkExt, StreamExt};
use phaselab_core::crypto::{Crypto, Signature, Signer};
use phaselab_core::engine::Genesis;
use phaselab_core::envelope::{self, Header};
use phaselab_core::gateway::{FromGateway, Invite, Nonce, Place, ToGateway, sign_hello, sign_join};
use phaselab_core::types::{Hash32, Incarnation, NodeId};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{Folder, PATIENCE, Running, eventually, free_addresses, json, text};

/// A lobby with its page's folder, and the nodes that join it from terminals.
pub(crate) struct Lab {
    pub(crate) folder: Folder,
    pub(crate) serve: Running,
    pub(crate) port: u16,
    pub(crate) invites: Vec<Invite>,
}

impl Lab {
    pub(crate) fn open(seats: u16) -> Lab {
        let folder = Folder::new();
        std::fs::create_dir(folder.0.join("dist")).unwrap();
        std::fs::write(folder.0.join("dist/index.html"), "<!doctype html>").unwrap();
        let (serve, port) = Lab::serve(&folder, free_addresses(1)[0].port(), seats);
        let mut lab = Lab {
            folder,
            serve,
            port,
            invites: Vec::new(),
        };
        // The last line: the invites stand before it.
        lab.serve.wait_for("or in a terminal");
        lab.invites = lab
            .serve
            .lines()
            .filter_map(|line| line.split_once("join="))
            .filter_map(|(_, hex)| parse_invite(hex))
            .collect();
        assert_eq!(lab.invites.len(), usize::from(seats));
        lab
    }

    pub(crate) fn serve(folder: &Folder, port: u16, seats: u16) -> (Running, u16) {
        let (port, seats) = (port.to_string(), seats.to_string());
        let words = [
            "serve", "--lobby", "--nodes", &seats, "--port", &port, "--dir", "dist",
        ];
        let mut serve = Running::start(folder.command(&words));
        let line = serve.wait_for("http://localhost:");
        let port = line.split("localhost:").nth(1).unwrap();
        let port = port.split('/').next().unwrap().parse().unwrap();
        (serve, port)
    }

    /// Starts a node with an invite; it may have to wait for others.
    pub(crate) fn joins(&self, invite: usize) -> Running {
        let join = format!("http://127.0.0.1:{}", self.port);
        let invite = hex(&self.invites[invite]);
        let dir = format!("seat-{invite}");
        let words = [
            "node",
            "--join",
            &join,
            "--invite",
            &invite,
            "--dir",
            &dir,
            "--until-stdin-closes",
        ];
        Running::start(self.folder.command(&words))
    }

    /// Two nodes in terminals, and an attacker with the third seat and every right of a member.
    pub(crate) async fn with_an_attacker() -> (Lab, Vec<Running>, Attacker) {
        let lab = Lab::open(3);
        let mut nodes = vec![lab.joins(0)];
        nodes[0].wait_for("node 1: 1 of 3");
        nodes.push(lab.joins(1));
        nodes[1].wait_for("node 2: 2 of 3");
        let signer = key(3);
        let mut guest = Socket::connect(lab.port).await;
        guest.join(&lab.invites[2], &signer).await;
        let genesis = guest.begun().await;
        for node in &mut nodes {
            node.wait_for("ready");
            node.wait_for("joined 1 peer");
        }
        let attacker = Attacker {
            port: lab.port,
            signer,
            genesis,
            node: NodeId(3),
            counter: 0,
        };
        (lab, nodes, attacker)
    }

    /// The folder of the node that joined with an invite.
    pub(crate) fn dir(&self, invite: usize) -> String {
        format!("seat-{}", hex(&self.invites[invite]))
    }

    /// Lets a node's cluster decide.
    pub(crate) fn decides(&self, invite: usize, event: &str) {
        let dir = self.dir(invite);
        let words = [
            "submit", "--dir", &dir, "--event", event, "--amount", "25", "--wait", "15s",
        ];
        let output = self.folder.phaselab(&words);
        assert!(
            output.status.success() && text(&output.stdout).contains("decided"),
            "{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }

    pub(crate) fn status(&self, invite: usize) -> Value {
        let dir = self.dir(invite);
        let status = json(&self.folder.phaselab(&["status", "--dir", &dir, "--json"]));
        status["nodes"][0]["report"].clone()
    }

    /// The gateway's account of itself.
    pub(crate) fn account(&self) -> Value {
        let mut stream = TcpStream::connect((LOOPBACK, self.port)).unwrap();
        let request = format!(
            "GET /gateway HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.account()[name].as_u64().unwrap()
    }

    /// Waits until the nodes in terminals are connected.
    pub(crate) fn all_online(&self, ids: &[u64]) {
        eventually("the nodes are online", || {
            let account = self.account();
            let joined = account["joined"].as_array().unwrap();
            let online = joined.iter().filter(|of| of["online"] == true);
            let online: Vec<u64> = online.map(|of| of["id"].as_u64().unwrap()).collect();
            ids.iter().all(|id| online.contains(id)).then_some(())
        });
    }
}

pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// One connection.
pub(crate) struct Socket {
    pub(crate) socket: WebSocketStream<tokio::net::TcpStream>,
    pub(crate) nonce: Nonce,
}

impl Socket {
    pub(crate) async fn connect(port: u16) -> Socket {
        Socket::connect_as(port, &[]).await.unwrap()
    }

    pub(crate) async fn connect_as(
        port: u16,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, Error> {
        let stream = tokio::net::TcpStream::connect((LOOPBACK, port)).await?;
        let mut request = format!("ws://localhost:{port}/ws").into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = client_async(request, stream).await?;
        let mut socket = Socket {
            socket,
            nonce: Nonce::default(),
        };
        match socket.next().await {
            Some(FromGateway::Challenge(nonce)) => socket.nonce = nonce,
            other => panic!("{other:?}"),
        }
        Ok(socket)
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<FromGateway> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message
                .expect("the gateway says something or ends it")?
                .ok()?
            {
                Message::Binary(bytes) => return Some(FromGateway::decode(&bytes).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: &ToGateway) {
        self.send_raw(frame.encode()).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: Vec<u8>) {
        // A connection that was closed meanwhile is looked at when it is read.
        let _ = self.socket.send(Message::Binary(bytes.into())).await;
    }

    pub(crate) async fn join(&mut self, invite: &Invite, signer: &Signer) {
        self.send(&ToGateway::Join {
            invite: *invite,
            key: signer.public(),
            place: Place::Browser,
            proof: sign_join(signer, &self.nonce, invite),
        })
        .await;
    }

    /// Waits in the lobby for the genesis.
    pub(crate) async fn begun(&mut self) -> Genesis {
        loop {
            match self.next().await {
                Some(FromGateway::Begun { genesis, .. }) => return genesis,
                Some(FromGateway::Lobby { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads until it is closed; why it was.
    pub(crate) async fn refused(&mut self) -> Option<String> {
        let mut why = None;
        let reading = async {
            while let Some(frame) = self.next().await {
                if let FromGateway::Refused(text) = frame {
                    why = Some(text);
                }
            }
        };
        let ended = tokio::time::timeout(PATIENCE, reading).await;
        ended.expect("the gateway ends the connection");
        why
    }
}

/// A member that does what it likes with its own key.
pub(crate) struct Attacker {
    pub(crate) port: u16,
    pub(crate) signer: Signer,
    pub(crate) genesis: Genesis,
    pub(crate) node: NodeId,
    pub(crate) counter: u64,
}

impl Attacker {
    pub(crate) async fn connect(&self) -> Socket {
        let mut socket = Socket::connect(self.port).await;
        let hash = self.genesis.hash();
        let proof = sign_hello(&self.signer, &socket.nonce, &hash, self.node);
        self.hello(&mut socket, hash, proof).await;
        match socket.next().await {
            Some(FromGateway::Welcome { .. }) => socket,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn hello(&self, socket: &mut Socket, genesis: Hash32, proof: Signature) {
        socket
            .send(&ToGateway::Hello {
                node: self.node,
                genesis,
                place: Place::Browser,
                proof,
            })
            .await;
    }

    /// Seals a payload with its own key, as whoever it says.
    pub(crate) fn seal(&mut self, sender: NodeId, payload: &[u8]) -> Vec<u8> {
        self.counter += 1;
        let header = Header {
            protocol: self.genesis.protocol,
            genesis: self.genesis.hash(),
            sender,
            incarnation: Incarnation(1),
            counter: self.counter,
        };
        envelope::seal(&header, payload, &self.signer)
    }
}

pub(crate) fn to_all(bytes: Vec<u8>) -> ToGateway {
    ToGateway::Packet { to: None, bytes }
}

/// What stands in a packet, between its header and its signature.
pub(crate) fn payload(packet: &[u8]) -> &[u8] {
    &packet[48..packet.len() - 64]
}

pub(crate) fn key(id: u8) -> Signer {
    Signer::from_seed(Crypto::Ed25519, &[id; 32])
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn parse_invite(hex: &str) -> Option<Invite> {
    let bytes = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let all: Option<Vec<u8>> = (0..16).map(|byte| bytes(2 * byte)).collect();
    all?.try_into().ok()
}
