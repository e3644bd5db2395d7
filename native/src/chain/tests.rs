//! Only members of the cluster are told what happens outside, each under its own name.

use std::net::SocketAddr;

use phaselab_core::codec::encode;
use phaselab_core::crypto::{Crypto, Signature, Signer};
use phaselab_core::protocol::ProtocolKind;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::frame;
use crate::genesis::GenesisFile;
use crate::init::{LocalCluster, write_cluster};
use crate::node::Input;
use crate::store::Store;
use crate::testing::{Scratch, scratch};

const PROTOCOL: ProtocolKind = ProtocolKind::TwoPhase;
/// A bound on hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster's folder, its genesis, and the keys of its members.
fn cluster() -> (Scratch, GenesisFile, Vec<Signer>) {
    let dir = scratch("chain-hello");
    let cluster = LocalCluster {
        protocol: PROTOCOL,
        nodes: 3,
        clusters: None,
        dir: dir.to_path_buf(),
        base_port: 0,
    };
    write_cluster(&cluster).unwrap();
    let genesis = GenesisFile::load(&dir.join("genesis.toml")).unwrap();
    let signers = (1..=3).map(|id| {
        let store = Store::open(&dir.join(format!("node-{id}.redb")), PROTOCOL).unwrap();
        Signer::from_seed(Crypto::Ed25519, &store.secret().unwrap())
    });
    let signers = signers.collect();
    (dir, genesis, signers)
}

fn free_address() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// Connects as a node would, and returns what the host answers first.
async fn greet(
    address: SocketAddr,
    sign: impl FnOnce(Hash32) -> (NodeId, Hash32, Signature),
) -> Option<FromHost> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let challenge = frame::read(&mut stream, FRAME_BYTES_MAX).await.unwrap();
    let challenge: Hash32 = decode(&challenge.unwrap()).unwrap();
    let (node, genesis, signature) = sign(challenge);
    let hello = ToHost::Hello {
        node,
        genesis,
        signature,
    };
    frame::write(&mut stream, &encode(&hello)).await.unwrap();
    let answer = timeout(PATIENCE, frame::read(&mut stream, FRAME_BYTES_MAX)).await;
    let answer = answer.expect("an answer").ok().flatten()?;
    Some(decode(&answer).unwrap())
}

#[tokio::test]
async fn nobody_takes_the_place_of_a_member() {
    let (dir, genesis, signers) = cluster();
    let (address, hash) = (free_address(), genesis.genesis.hash());
    let host = host::start(address, &genesis, &dir.join("chain.state"), None).await;
    let host = host.unwrap().expect("the address is free");
    let member = NodeId(2);
    let signed = |signer: &Signer, node, genesis: &Hash32, challenge: &Hash32| {
        signer.sign(&hello_preimage(node, genesis, challenge))
    };

    // The member itself, which stays connected.
    let (inbox, mut inputs) = mpsc::channel(16);
    let _reports = link::start(address, hash, member, signers[1].clone(), inbox);
    let next = timeout(PATIENCE, inputs.recv()).await.unwrap();
    assert!(matches!(next, Some(Input::Chain { up: true })), "{next:?}");
    let next = timeout(PATIENCE, inputs.recv()).await.unwrap();
    assert!(matches!(next, Some(Input::Fact(_))), "{next:?}");

    let mut heard = None;
    let told = greet(address, |challenge| {
        heard = Some(challenge);
        (member, hash, signed(&signers[1], member, &hash, &challenge))
    });
    assert!(matches!(told.await, Some(FromHost::Fact(_))));
    let heard = heard.unwrap();

    // Another member's key, an old challenge, another node, another cluster.
    let other = Hash32([7; 32]);
    for (why, node, genesis, signature) in [
        ("the key is not", member, hash, None),
        (
            "the key is not",
            member,
            hash,
            Some(signed(&signers[1], member, &hash, &heard)),
        ),
        ("the key is not", NodeId(9), hash, None),
        ("of another cluster", member, other, None),
    ] {
        let told = greet(address, |challenge| {
            let fresh = signed(&signers[0], node, &genesis, &challenge);
            (node, genesis, signature.unwrap_or(fresh))
        });
        match told.await {
            Some(FromHost::Refused(said)) => assert!(said.contains(why), "{said}"),
            answer => panic!("{answer:?}"),
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn what_waits_is_kept_together_and_each_connection_is_told_of_its_own_reports() {
    let (dir, genesis, _) = cluster();
    let host = host::start_here(&genesis, &dir.join("chain.state"), None).unwrap();
    let (one, two) = (NodeId(1), NodeId(2));
    // All of this waits before the host runs for the first time.
    let other = host.hello(two).await;
    let earlier = host.hello(one).await;
    for _ in 0..3 {
        host.report(one, b"not a report".to_vec()).await;
        host.report(two, b"not a report".to_vec()).await;
    }
    let mut later = host.hello(one).await;
    host.report(one, b"not a report".to_vec()).await;
    let next = timeout(PATIENCE, later.recv()).await.unwrap();
    assert!(matches!(next, Some(FromHost::Fact(_))), "{next:?}");
    let next = timeout(PATIENCE, later.recv()).await.unwrap();
    assert!(matches!(next, Some(FromHost::Noted)), "{next:?}");
    host.stop().await;
    let told = |mut queue: mpsc::Receiver<FromHost>| {
        let (mut views, mut noted) = (0, 0);
        while let Ok(message) = queue.try_recv() {
            match message {
                FromHost::Fact(_) => views += 1,
                FromHost::Noted => noted += 1,
                other @ FromHost::Refused(_) => panic!("{other:?}"),
            }
        }
        (views, noted)
    };
    // A connection that is over says its reports again on the next: it must not take answers to the first ones for
    // answers to others.
    assert_eq!(told(later), (0, 0));
    assert_eq!(told(earlier), (1, 0));
    assert_eq!(told(other), (1, 3));
}
