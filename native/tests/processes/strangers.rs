//! Junk, strangers and stolen keys at every port.

use std::path::Path;

use crate::support::{Folder, PATIENCE, Running, eventually, json, text};

#[test]
fn strangers_and_junk_are_refused_and_the_cluster_goes_on() {
    let folder = Folder::with_cluster(3);
    let mut nodes: Vec<Running> = (1..=3).map(|id| Running::node(&folder, id)).collect();
    nodes[0].wait_for("joined 2 peers");
    let config = std::fs::read_to_string(folder.cluster().join("node-1.toml")).unwrap();
    let listen = config
        .lines()
        .find_map(|line| line.strip_prefix("listen = \""))
        .unwrap()
        .trim_end_matches('"')
        .to_owned();
    let chain = config
        .lines()
        .rfind(|line| line.starts_with("address = \""))
        .map(|_| chain_address(&config))
        .unwrap();

    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [1usize, 20, 1200, 1400] {
        let junk: Vec<u8> = (0..length).map(|at| (at * 31 + 7) as u8 | 0xc0).collect();
        socket.send_to(&junk, &listen).unwrap();
    }
    for junk in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[4, 0, 0, 0, 9, 9, 9, 9],
    ] {
        let mut stream = std::net::TcpStream::connect(&chain).unwrap();
        std::io::Write::write_all(&mut stream, junk).unwrap();
    }
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(stranger_is_refused(&folder, &listen));

    let submitted = folder.phaselab(&["submit", "--event", "withdraw-1", "--amount", "25"]);
    assert!(
        text(&submitted.stdout).contains("3 of 3 nodes"),
        "{}{}",
        text(&submitted.stdout),
        text(&submitted.stderr)
    );

    // Node 3's key in other hands: what it sends is refused and counted, and nothing else happens.
    nodes[2].signal("TERM");
    nodes[2].wait();
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(junk_of_a_member_is_counted(&folder, &listen));
    nodes[2] = Running::node(&folder, 3);
    nodes[2].wait_for("joined 2 peers");
    let submitted = folder.phaselab(&["submit", "--event", "withdraw-2", "--amount", "25"]);
    assert!(
        text(&submitted.stdout).contains("3 of 3 nodes"),
        "{}{}",
        text(&submitted.stdout),
        text(&submitted.stderr)
    );
}

fn chain_address(config: &str) -> String {
    let section = config.split("[chain]").nth(1).unwrap();
    section
        .lines()
        .find_map(|line| line.strip_prefix("address = \""))
        .unwrap()
        .trim_end_matches('"')
        .to_owned()
}

async fn endpoint(secret: iroh::SecretKey) -> iroh::Endpoint {
    iroh::Endpoint::builder(iroh::endpoint::presets::Minimal)
        .secret_key(secret)
        .relay_mode(iroh::RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .unwrap()
        .bind()
        .await
        .unwrap()
}

fn member_key(folder: &Folder, id: usize) -> iroh::EndpointId {
    let genesis = std::fs::read_to_string(folder.cluster().join("genesis.toml")).unwrap();
    let key = genesis
        .lines()
        .filter_map(|line| line.strip_prefix("key = \""))
        .nth(id - 1)
        .unwrap();
    key.trim_end_matches('"').parse().unwrap()
}

fn address(folder: &Folder, listen: &str) -> iroh::EndpointAddr {
    iroh::EndpointAddr::new(member_key(folder, 1)).with_ip_addr(listen.parse().unwrap())
}

async fn stranger_is_refused(folder: &Folder, listen: &str) {
    let stranger = endpoint(iroh::SecretKey::generate()).await;
    let connection = stranger
        .connect(address(folder, listen), b"phaselab/1")
        .await
        .unwrap();
    let closed = tokio::time::timeout(PATIENCE, connection.closed())
        .await
        .unwrap();
    assert!(
        format!("{closed:?}").contains("403") || closed.to_string().contains("not a member"),
        "{closed:?}"
    );
    stranger.close().await;
}

async fn junk_of_a_member_is_counted(folder: &Folder, listen: &str) {
    let before = refused(folder);
    let member = endpoint(iroh::SecretKey::from_bytes(&secret_of(
        &folder.cluster().join("node-3.redb"),
    )))
    .await;
    let connection = member
        .connect(address(folder, listen), b"phaselab/1")
        .await
        .unwrap();
    let mut stream = connection.open_uni().await.unwrap();
    for junk in [&b"junk"[..], &[0; 200]] {
        stream
            .write_all(&(junk.len() as u32).to_le_bytes())
            .await
            .unwrap();
        stream.write_all(junk).await.unwrap();
    }
    eventually("counting of refused packets", || {
        (refused(folder) >= before + 2).then_some(())
    });
    // A frame that is announced longer than any packet ends the connection.
    stream.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, connection.closed())
        .await
        .unwrap();
    assert!(
        closed.to_string().contains("413") || closed.to_string().contains("too long"),
        "{closed}"
    );
    member.close().await;
}

fn refused(folder: &Folder) -> u64 {
    json(&folder.phaselab(&["status", "--json"]))["nodes"][0]["report"]["refused"]
        .as_u64()
        .unwrap()
}

/// Reads a node's key out of its store, as whoever stole the file could.
fn secret_of(store: &Path) -> [u8; 32] {
    use redb::ReadableDatabase;
    let database = redb::Database::open(store).unwrap();
    let meta: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("meta");
    let transaction = database.begin_read().unwrap();
    let value = transaction
        .open_table(meta)
        .unwrap()
        .get(&b"key"[..])
        .unwrap()
        .unwrap();
    value.value().try_into().unwrap()
}

/// What a node says of itself.
fn report(folder: &Folder, id: usize) -> serde_json::Value {
    json(&folder.phaselab(&["status", "--json"]))["nodes"][id - 1]["report"].clone()
}

/// The resident memory of a process, in bytes.
#[cfg(target_os = "linux")]
fn memory_of(node: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Elsewhere the attacks are made all the same, and memory is not looked at.
#[cfg(not(target_os = "linux"))]
fn memory_of(_: &Running) -> u64 {
    0
}

/// How much a node may grow under attack: the windows of all connections that it allows, and what a debug build adds.
const GROWTH_MAX: u64 = 96 * 1024 * 1024;

/// Node 1 and node 2 of three; node 3's key is in other hands.
struct Besieged {
    folder: Folder,
    nodes: Vec<Running>,
    listen: String,
    events: u32,
    /// Where the attacker runs.
    runtime: tokio::runtime::Runtime,
}

impl Besieged {
    fn new(network: &str) -> Besieged {
        let folder = Folder::with_cluster(3);
        if !network.is_empty() {
            let section = format!("[network]\n{network}\n[chain]");
            folder.edit("node-1.toml", "[chain]", &section);
        }
        let mut nodes: Vec<Running> = (1..=2).map(|id| Running::node(&folder, id)).collect();
        nodes[0].wait_for("joined 1 peer");
        let config = std::fs::read_to_string(folder.cluster().join("node-1.toml")).unwrap();
        let listen = config
            .lines()
            .find_map(|line| line.strip_prefix("listen = \""));
        let listen = listen.unwrap().trim_end_matches('"').to_owned();
        let mut besieged = Besieged {
            folder,
            nodes,
            listen,
            events: 0,
            runtime: tokio::runtime::Runtime::new().unwrap(),
        };
        besieged.decides();
        besieged
    }

    fn key_of_3(&self) -> iroh::SecretKey {
        iroh::SecretKey::from_bytes(&secret_of(&self.folder.cluster().join("node-3.redb")))
    }

    async fn connect(&self, from: &iroh::Endpoint) -> Option<iroh::endpoint::Connection> {
        let to = address(&self.folder, &self.listen);
        let connecting = from.connect(to, b"phaselab/1");
        tokio::time::timeout(PATIENCE, connecting).await.ok()?.ok()
    }

    /// The two honest nodes decide something.
    fn decides(&mut self) {
        self.events += 1;
        let event = format!("withdraw-{}", self.events);
        let submitted = self
            .folder
            .phaselab(&["submit", "--event", &event, "--amount", "3"]);
        assert!(
            text(&submitted.stdout).contains("2 of 3 nodes"),
            "{}{}",
            text(&submitted.stdout),
            text(&submitted.stderr)
        );
    }

    /// Attacks, and decides while the attack goes on; returns what the attack returned.
    fn under<T>(&mut self, attack: impl AsyncFnOnce(&Besieged) -> T) -> T {
        let before = memory_of(&self.nodes[0]);
        let result = self.runtime.block_on(attack(self));
        for _ in 0..3 {
            self.decides();
        }
        let grown = memory_of(&self.nodes[0]).saturating_sub(before);
        assert!(grown < GROWTH_MAX, "node 1 grew by {grown} bytes");
        result
    }
}

/// Frames that begin and never end, on every stream of every connection that a member's key may have.
#[test]
fn frames_that_do_not_end_hold_nobody_up() {
    let mut besieged = Besieged::new("");
    let held = besieged.under(async |besieged| {
        let mut held = Vec::new();
        for _ in 0..6 {
            let member = endpoint(besieged.key_of_3()).await;
            let connection = besieged.connect(&member).await.unwrap();
            let mut streams = Vec::new();
            for _ in 0..2 {
                let Ok(mut stream) = connection.open_uni().await else {
                    break;
                };
                // A frame of 40 KB is announced, and three bytes of it come.
                let _ = stream.write_all(&[0x40, 0x9c, 0, 0, 1, 2, 3]).await;
                streams.push(stream);
            }
            held.push((member, connection, streams));
        }
        held
    });
    // The oldest had to go for the newest: three are read.
    let open = || {
        let reasons = held
            .iter()
            .map(|(_, connection, _)| connection.close_reason());
        reasons.filter(Option::is_none).count()
    };
    eventually("the end of surplus connections", || {
        (open() <= 3).then_some(())
    });
    // And those in turn, once a frame took too long.
    eventually("the end of slow connections", || {
        (open() == 0).then_some(())
    });
}

/// More connections than a member has use for, one after the other and all at once.
#[test]
fn many_connections_of_one_key_leave_the_node_to_others() {
    let mut besieged = Besieged::new("");
    besieged.under(async |besieged| {
        let member = endpoint(besieged.key_of_3()).await;
        let mut kept = Vec::new();
        for _ in 0..40 {
            kept.extend(besieged.connect(&member).await);
        }
        assert!(kept.len() > 3, "{} connections were made", kept.len());
        let open = || {
            kept.iter()
                .filter(|known| known.close_reason().is_none())
                .count()
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while open() > 3 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(open() <= 3, "{} connections are open", open());
        member.close().await;
    });
}

/// Handshakes of a crowd that nobody knows, from one address.
#[test]
fn a_crowd_of_strangers_is_kept_at_the_door() {
    let mut besieged = Besieged::new("");
    besieged.under(async |besieged| {
        let crowd = (0..48).map(|_| async {
            let stranger = endpoint(iroh::SecretKey::generate()).await;
            let to = address(&besieged.folder, &besieged.listen);
            let attempt = stranger.connect(to, b"phaselab/1");
            let attempt = tokio::time::timeout(std::time::Duration::from_secs(2), attempt).await;
            if let Ok(Ok(connection)) = attempt {
                let closed = tokio::time::timeout(PATIENCE, connection.closed()).await;
                assert!(closed.unwrap().to_string().contains("not a member"));
            }
            stranger.close().await;
        });
        join_all(crowd.collect()).await;
    });
    // A member that knocks from another address than its own still comes in.
    let mut third = Running::node(&besieged.folder, 3);
    third.wait_for("joined 2 peers");
}

/// Drives all of them at once.
async fn join_all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).map(Some).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut futures {
            if let Some(future) = slot
                && future.as_mut().poll(cx).is_ready()
            {
                *slot = None;
            }
        }
        match futures.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

/// What a report says of a peer.
fn peer(report: &serde_json::Value, id: u64) -> &serde_json::Value {
    let mut peers = report["peers"].as_array().unwrap().iter();
    peers.find(|peer| peer["id"] == id).unwrap()
}

/// Junk as fast as it goes, with a member's key: over its rate the member waits, and the others do not.
#[test]
fn a_flood_of_junk_is_read_at_its_rate_and_holds_nobody_up() {
    const RATE: u64 = 100;
    const FLOOD: u64 = 20_000;
    let mut besieged = Besieged::new(&format!("packets_per_second = {RATE}"));
    let started = std::time::Instant::now();
    let (member, flood) = besieged.under(async |besieged| {
        let member = endpoint(besieged.key_of_3()).await;
        let connection = besieged.connect(&member).await.unwrap();
        let mut stream = connection.open_uni().await.unwrap();
        let flood = tokio::spawn(async move {
            let junk = vec![0xa5; 1000];
            let mut frame = 1000u32.to_le_bytes().to_vec();
            frame.extend(junk);
            for _ in 0..FLOOD {
                if stream.write_all(&frame).await.is_err() {
                    break;
                }
            }
            // Kept open, or what is under way would be lost.
            (connection, stream)
        });
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        (member, flood)
    });
    // What was just read is refused a moment later.
    let report = eventually("the refusal of all that was read", || {
        let report = report(&besieged.folder, 1);
        let third = peer(&report, 3);
        (third["received"] == report["refused"]).then_some(report)
    });
    let seconds = started.elapsed().as_secs() + 1;
    let third = peer(&report, 3);
    let received = third["received"].as_u64().unwrap();
    // The rate, and what may be used at once.
    assert!(
        received <= RATE * (seconds + 1),
        "{received} in {seconds} s: {third}"
    );
    assert!(
        received > 0 && third["slowed"].as_u64().unwrap() > 0,
        "{third}"
    );
    assert_eq!(peer(&report, 2)["slowed"], 0, "{report}");
    let shown = text(&besieged.folder.phaselab(&["status", "--peers"]).stdout);
    assert!(
        shown.lines().any(|line| line.starts_with(" 1 - 3 ")),
        "{shown}"
    );
    drop((member, flood));
}
