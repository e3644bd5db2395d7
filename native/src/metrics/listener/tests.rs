//! A node that does not answer is told apart from one that does, and from one that is gone.

use super::*;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::NodeId;
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::node::ChainReport;

/// A bound on hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listener for an event loop of this test's own.
async fn listening(inbox: mpsc::Sender<Input>) -> (SocketAddr, Listener) {
    let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address();
    let metrics = Arc::new(Metrics::new(NodeId(1), ProtocolKind::TwoPhase));
    (
        address,
        bound.start(metrics, inbox, PathBuf::from("no.redb")),
    )
}

/// Status and body.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(PATIENCE, read).await.expect("an answer").unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

/// Answers as an event loop does; returns how often it was asked.
async fn answering(mut inputs: mpsc::Receiver<Input>) -> usize {
    let mut asked = 0;
    while let Some(input) = inputs.recv().await {
        if let Input::Measure(answer) = input {
            asked += 1;
            let _ = answer.send(Sample {
                incarnation: 7,
                counters: BTreeMap::new(),
                invalid: BTreeMap::new(),
                phases: BTreeMap::new(),
                peers: Vec::new(),
                held: 0,
                clients: 0,
                chain: ChainReport::default(),
            });
        }
    }
    asked
}

#[tokio::test]
async fn a_node_that_answers_is_healthy_and_is_not_asked_for_each_of_many() {
    let (inbox, inputs) = mpsc::channel(8);
    let answers = tokio::spawn(answering(inputs));
    let (address, listener) = listening(inbox.clone()).await;
    let began = Instant::now();
    for _ in 0..40 {
        let (status, body) = ask(address, "GET", "/healthz").await;
        assert_eq!(
            (status, body.contains("\"status\":\"ok\"")),
            (200, true),
            "{body}"
        );
        let (status, body) = ask(address, "GET", "/metrics").await;
        assert_eq!(status, 200);
        assert!(
            body.contains("\nphaselab_incarnation{node=\"1\"} 7\n"),
            "{body}"
        );
    }
    let limit = 2 + began.elapsed().as_millis() / FRESH.as_millis();
    let (status, body) = ask(address, "HEAD", "/metrics").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(ask(address, "POST", "/metrics").await.0, 405);
    assert_eq!(ask(address, "GET", "/metrics/").await.0, 404);
    drop((inbox, listener));
    let asked = answers.await.unwrap();
    assert!(
        asked > 0 && asked as u128 <= limit + 1,
        "asked {asked} times, {limit} expected"
    );
}

#[tokio::test]
async fn a_node_that_does_not_answer_says_so_and_tells_the_rest() {
    let (inbox, mut inputs) = mpsc::channel(1);
    let (address, _listener) = listening(inbox.clone()).await;
    // Nothing is taken out: the inbox is full, as when the store is stuck.
    inbox.send(Input::Fact(Vec::new())).await.unwrap();
    let (status, body) = ask(address, "GET", "/healthz").await;
    assert_eq!(status, 503);
    assert!(
        body.contains("the event loop did not answer within 1 s"),
        "{body}"
    );
    let (status, body) = ask(address, "GET", "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "phaselab_event_loop_answers{node=\"1\"} 0",
        "phaselab_inbox_length{node=\"1\"} 1",
        "phaselab_store_commits_total{node=\"1\"} 0",
    ] {
        assert!(body.lines().any(|said| said == line), "{line}: {body}");
    }
    inputs.close();
    while inputs.recv().await.is_some() {}
    tokio::time::sleep(FRESH).await;
    let (status, body) = ask(address, "GET", "/healthz").await;
    assert_eq!(
        (status, body.contains("the node is stopping")),
        (503, true),
        "{body}"
    );
}

#[test]
fn on_the_loopback_the_host_is_checked() {
    let is = |address: &str, host: Option<&str>| {
        let named = host.map(|host| (header::HOST, host.parse().unwrap()));
        is_host(&named.into_iter().collect(), address.parse().unwrap())
    };
    assert!(is("127.0.0.1:9101", Some("127.0.0.1:9101")));
    assert!(is("127.0.0.1:9101", Some("localhost:9101")));
    assert!(is("[::1]:9101", Some("[::1]:9101")));
    assert!(!is("127.0.0.1:9101", Some("127.0.0.1:9102")));
    assert!(!is("127.0.0.1:9101", Some("rebound.example:9101")));
    assert!(!is("127.0.0.1:9101", None));
    assert!(is("10.0.0.1:9101", Some("node-1.example:9101")));
}
