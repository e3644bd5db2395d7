//! Whoever attacks the gateway, with a seat or without, changes nothing for the others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use phaselab_core::codec;
use phaselab_core::crypto::Signer;
use phaselab_core::envelope::PACKET_BYTES_MAX;
use phaselab_core::gateway::{FRAME_BYTES_MAX, FromGateway, Nonce, Place, ToGateway, sign_hello};
use phaselab_core::types::{Hash32, NodeId};
use tokio_tungstenite::tungstenite::Error;

use super::lab::{Attacker, LOOPBACK, Lab, Socket, key, payload, to_all};
use crate::support::{PATIENCE, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_for_a_member_without_its_key() {
    let (lab, _nodes, attacker) = Lab::with_an_attacker().await;
    let hash = attacker.genesis.hash();
    let word = async |node: u16, genesis: Hash32, signer: &Signer, nonce: Option<Nonce>| {
        let mut socket = Socket::connect(lab.port).await;
        let nonce = nonce.unwrap_or(socket.nonce);
        let proof = sign_hello(signer, &nonce, &genesis, NodeId(node));
        let hello = ToGateway::Hello {
            node: NodeId(node),
            genesis,
            place: Place::Terminal,
            proof,
        };
        socket.send(&hello).await;
        socket.refused().await.expect("a word")
    };
    let own = &attacker.signer;
    for (node, genesis, signer, nonce) in [
        (1, hash, own, None),
        (9, hash, &key(9), None),
        (3, Hash32([1; 32]), own, None),
        (3, hash, own, Some([7; 32])),
    ] {
        let why = word(node, genesis, signer, nonce).await;
        assert!(why.contains("not that member's"), "{why}");
    }
    // An answer that was heard once is none the second time: the challenge is another.
    let first = attacker.connect().await;
    let why = word(3, hash, own, Some(first.nonce)).await;
    assert!(why.contains("not that member's"), "{why}");
    // A first frame that is no answer.
    let mut silent = Socket::connect(lab.port).await;
    silent.send(&to_all(vec![1])).await;
    assert!(silent.refused().await.unwrap().contains("expected a proof"));
    for junk in [vec![], vec![255], vec![2; 255], vec![1; 4_096]] {
        let mut socket = Socket::connect(lab.port).await;
        socket.send_raw(junk).await;
        assert_eq!(socket.refused().await, None);
    }
    lab.all_online(&[1, 2]);
    lab.decides(0, "rent");
    drop(first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_packets_are_refused_and_end_the_connection() {
    let (lab, _nodes, mut attacker) = Lab::with_an_attacker().await;
    let mut socket = attacker.connect().await;
    lab.decides(0, "rent");
    // What the others said is heard; saying it again is not its right.
    let packet = loop {
        match socket.next().await {
            Some(FromGateway::Packet(packet)) => break packet,
            Some(_) => {}
            None => panic!("the connection ended"),
        }
    };
    let mut bent = packet.clone();
    *bent.last_mut().unwrap() ^= 1;
    let as_node_1 = attacker.seal(NodeId(1), b"hello");
    let as_a_stranger = attacker.seal(NodeId(9), b"hello");
    let mut elsewhere = attacker.seal(NodeId(3), b"hello");
    elsewhere[5] ^= 1;
    let forged = [
        packet,
        bent,
        as_node_1,
        as_a_stranger,
        elsewhere,
        vec![],
        vec![0; 300],
        vec![1],
    ];
    let count = forged.len() as u64;
    let routed = lab.count("routed");
    for bytes in forged {
        socket.send(&to_all(bytes)).await;
    }
    assert!(socket.refused().await.unwrap().contains("not its own"));
    assert_eq!(lab.count("forged"), count);
    eventually("the nodes are at rest", || {
        let now = lab.count("routed");
        std::thread::sleep(Duration::from_millis(300));
        (now == lab.count("routed")).then_some(())
    });
    assert!(routed > 0);
    for seat in [0, 1] {
        assert_eq!(
            lab.status(seat)["refused"],
            0,
            "nothing forged came through"
        );
    }
    // Eight frames that are none have the same end.
    let mut socket = attacker.connect().await;
    for _ in 0..8 {
        socket.send_raw(vec![77]).await;
    }
    assert!(socket.refused().await.is_some());
    assert_eq!(lab.count("malformed"), 8);
    lab.decides(1, "fuel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_and_flooded_packets_change_nothing() {
    let (lab, _nodes, mut attacker) = Lab::with_an_attacker().await;
    let mut socket = attacker.connect().await;
    // What it hears it says again in its own name, each packet many times.
    let replayed = |seat| {
        let count = &lab.status(seat)["counters"]["refused_replayed"];
        count.as_u64().unwrap_or(0)
    };
    lab.decides(0, "rent");
    while replayed(0) < 9 || replayed(1) < 9 {
        let Some(FromGateway::Packet(packet)) = socket.next().await else {
            continue;
        };
        let own = attacker.seal(NodeId(3), payload(&packet));
        for _ in 0..10 {
            socket.send(&to_all(own.clone())).await;
        }
    }
    let card = |seat| lab.status(seat)["instances"][0]["value"].clone();
    assert_eq!(card(0), card(1));
    // More than its rate is not refused, only slow; the others are not.
    let flood = tokio::spawn(async move {
        for _ in 0..4_000 {
            let packet = attacker.seal(NodeId(3), &[0; 64]);
            socket.send(&to_all(packet)).await;
        }
        (socket, attacker)
    });
    lab.decides(1, "fuel");
    let (_socket, _attacker) = flood.await.unwrap();
    eventually("the flood was slowed", || {
        (lab.count("throttled") > 0).then_some(())
    });
    lab.decides(0, "wine");
    lab.all_online(&[1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_frames_end_the_connection() {
    let (lab, _nodes, mut attacker) = Lab::with_an_attacker().await;
    let mut socket = attacker.connect().await;
    // The largest that may be.
    let payload = vec![0; codec::MESSAGE_BYTES_MAX];
    let largest = attacker.seal(NodeId(3), &payload);
    assert_eq!(largest.len(), PACKET_BYTES_MAX);
    let routed = lab.count("routed");
    socket.send(&to_all(largest)).await;
    eventually("it is routed", || {
        (lab.count("routed") >= routed + 2).then_some(())
    });
    socket.send_raw(vec![4; FRAME_BYTES_MAX + 1]).await;
    socket.refused().await;
    eventually("it is counted", || {
        (lab.count("oversized") == 1).then_some(())
    });
    lab.decides(0, "rent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_dropped_and_nobody_waits_for_it() {
    let lab = Lab::open(5);
    let mut nodes = Vec::new();
    for seat in 0..3 {
        let mut node = lab.joins(seat);
        node.wait_for(&format!("node {}:", seat + 1));
        nodes.push(node);
    }
    let mut guests = Vec::new();
    for seat in [3, 4] {
        let mut guest = Socket::connect(lab.port).await;
        guest.join(&lab.invites[seat], &key(seat as u8 + 1)).await;
        assert!(guest.next().await.is_some());
        guests.push(guest);
    }
    let genesis = guests[0].begun().await;
    let member = |id: u8| Attacker {
        port: lab.port,
        signer: key(id),
        genesis: genesis.clone(),
        node: NodeId(u16::from(id)),
        counter: 0,
    };
    let (deaf, mut loud) = (member(4), member(5));
    lab.all_online(&[1, 2, 3]);
    let mut never_read = deaf.connect().await;
    let mut socket = loud.connect().await;
    // More than a queue and the system's buffers hold, and only for the one who does not read.
    for _ in 0..160 {
        let bytes = loud.seal(NodeId(5), &vec![0; codec::MESSAGE_BYTES_MAX]);
        let to = Some(NodeId(4));
        socket.send(&ToGateway::Packet { to, bytes }).await;
        if lab.count("slow") > 0 {
            break;
        }
    }
    eventually("it is given up", || (lab.count("slow") == 1).then_some(()));
    never_read.refused().await;
    lab.all_online(&[1, 2, 3, 5]);
    lab.decides(0, "rent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_are_ended() {
    let (lab, _nodes, _attacker) = Lab::with_an_attacker().await;
    let before = lab.count("strangers");
    // No answer to the challenge; half a request; nothing at all.
    let mut unanswered = Socket::connect(lab.port).await;
    let mut half = TcpStream::connect((LOOPBACK, lab.port)).unwrap();
    half.write_all(b"GET /ws HTTP/1.1\r\nHost: localh").unwrap();
    let mut mute = TcpStream::connect((LOOPBACK, lab.port)).unwrap();
    assert_eq!(unanswered.refused().await, None);
    for socket in [&mut half, &mut mute] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        // Closed by the other end: whatever it says before that, it ends.
        socket.read_to_end(&mut rest).expect("it ends");
    }
    eventually("it is counted", || {
        (lab.count("strangers") == before + 1).then_some(())
    });
    lab.decides(0, "rent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_bounded_and_disturb_nobody() {
    let (lab, _nodes, _attacker) = Lab::with_an_attacker().await;
    lab.all_online(&[1, 2]);
    let address = SocketAddr::from(([127, 0, 0, 1], lab.port));
    let mut sockets: Vec<TcpStream> = (0..1_000)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    // Members that are inside go on.
    lab.decides(0, "rent");
    let open = |socket: &mut TcpStream| {
        socket.set_nonblocking(true).unwrap();
        let read = socket.read(&mut [0; 16]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let held = eventually("the surplus is closed", || {
        let held = sockets
            .iter_mut()
            .filter_map(|socket| open(socket).then_some(()))
            .count();
        (held <= 256).then_some(held)
    });
    assert!(held <= 256);
    drop(sockets);
    // And who comes later is let in.
    eventually("there is room again", || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n",
            lab.port
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
    // Connections that only half begin to be WebSockets are as few.
    let mut upgraded = Vec::new();
    let mut refused = 0;
    for _ in 0..100 {
        match Socket::connect_as(lab.port, &[]).await {
            Ok(socket) => upgraded.push(socket),
            Err(Error::Http(answer)) => {
                assert_eq!(answer.status(), 503);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "{}", upgraded.len());
    lab.decides(1, "fuel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_and_hosts_are_refused() {
    let lab = Lab::open(2);
    let status = async |headers: &[(&'static str, &str)]| match Socket::connect_as(
        lab.port, headers,
    )
    .await
    {
        Ok(_) => 101,
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(error) => panic!("{error}"),
    };
    let own = format!("http://localhost:{}", lab.port);
    assert_eq!(status(&[]).await, 101, "a program");
    assert_eq!(status(&[("origin", &own)]).await, 101, "the page itself");
    assert_eq!(status(&[("origin", "http://evil.example")]).await, 403);
    assert_eq!(status(&[("origin", "null")]).await, 403);
    let rebound = format!("evil.example:{}", lab.port);
    assert_eq!(status(&[("host", &rebound)]).await, 421);
    let origin = format!("http://{rebound}");
    assert_eq!(
        status(&[("host", &rebound), ("origin", &origin)]).await,
        421,
        "a name that somebody lets point here"
    );
    assert_eq!(lab.count("foreign"), 4);
}
