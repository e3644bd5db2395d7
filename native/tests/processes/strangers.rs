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
