//! The order in which things happen at a node: written first, said afterwards.

use super::*;
use phaselab_core::crypto::Signer;
use phaselab_core::protocol::{self, simulated_genesis};
use phaselab_core::scenario::{Scenario, member_seed};
use phaselab_core::store::Rows;
use std::sync::Mutex;

/// What happened, in order.
type Journal = Arc<Mutex<Vec<&'static str>>>;

struct TestDisk {
    journal: Journal,
    /// Commits that succeed before one fails.
    good: Mutex<u32>,
}

impl Disk for TestDisk {
    fn commit(&self, batch: &WriteBatch) -> Result<Durable, String> {
        std::thread::sleep(Duration::from_millis(20));
        let mut good = self.good.lock().unwrap();
        *good = good.checked_sub(1).ok_or("disk full")?;
        self.journal.lock().unwrap().push("commit");
        Ok(batch.durable())
    }
}

struct TestOutside(Journal);

impl Outside for TestOutside {
    fn send(&self, _: NodeId, _: &Arc<[u8]>) {
        self.0.lock().unwrap().push("send");
    }
    fn report(&self, _: Vec<u8>) {
        self.0.lock().unwrap().push("report");
    }
    fn peers(&self) -> Vec<PeerState> {
        Vec::new()
    }
}

/// Runs node 1 of three, asked to decide one thing; returns how it ended and what happened.
async fn run(good: u32) -> (Outcome, Vec<&'static str>) {
    let (ended, journal, _) = run_and_look(good).await;
    (ended, journal)
}

/// The same, with what the node said of itself right after it was asked.
async fn run_and_look(good: u32) -> (Outcome, Vec<&'static str>, Option<NodeReport>) {
    let kind = ProtocolKind::TwoPhase;
    let scenario = Scenario::new(kind, 3);
    let genesis = simulated_genesis(&scenario);
    let signer = Signer::from_seed(genesis.crypto, &member_seed(NodeId(1)));
    let replica = protocol::build(&genesis, NodeId(1), signer, &Rows::default(), [0; 32]).unwrap();
    let journal = Journal::default();
    let disk = Arc::new(TestDisk {
        journal: journal.clone(),
        good: Mutex::new(good),
    });
    let node = EventLoop::new(
        replica,
        &genesis.members,
        disk,
        TestOutside(journal.clone()),
        kind,
    );

    let (inbox, inputs) = mpsc::channel(8);
    let mut world = kind.environment(&scenario);
    if let Some(view) = world.full_view(Time::ZERO, NodeId(1)) {
        inbox.send(Input::Fact(view)).await.unwrap();
    }
    let request = kind
        .parse_request("request", "event = \"withdraw-1\"\namount = 25")
        .unwrap();
    let (replies, mut answers) = mpsc::channel(8);
    inbox
        .send(Input::Submit {
            client: ClientId(1),
            number: 1,
            request,
            replies,
        })
        .await
        .unwrap();
    let (answer, mut seen) = tokio::sync::oneshot::channel();
    inbox
        .send(Input::Status(Scope::Summary, answer))
        .await
        .unwrap();
    let stop = async move {
        // The answer leaves with the step's packets; a node that fails gives none.
        answers.recv().await;
        std::future::pending::<()>().await;
    };
    let ended = tokio::time::timeout(Duration::from_millis(400), node.run(inputs, stop)).await;
    let journal = journal.lock().unwrap().clone();
    (ended.unwrap_or(Ok(())), journal, seen.try_recv().ok())
}

#[tokio::test]
async fn nothing_leaves_before_the_store_has_it() {
    let (ended, journal) = run(u32::MAX).await;
    assert_eq!(ended, Ok(()));
    let first_send = journal
        .iter()
        .position(|&entry| entry == "send")
        .expect("a proposal is sent");
    // The incarnation, raised by the first step, and the proposal; the two may share a commit.
    assert!(journal[..first_send].contains(&"commit"), "{journal:?}");
}

#[tokio::test]
async fn a_store_that_fails_ends_the_node_with_nothing_released() {
    let (ended, journal) = run(0).await;
    let Err(Failure::Failed(why)) = ended else {
        panic!("the node went on: {journal:?}")
    };
    assert!(
        why.contains("disk full") && why.contains("nothing of this write was sent"),
        "{why}"
    );
    assert_eq!(journal, Vec::<&str>::new());
}

#[tokio::test]
async fn what_a_failed_write_would_have_said_is_never_said() {
    // The first commit is of the life's start alone; the proposal is in the second.
    let (ended, journal) = run(1).await;
    assert!(matches!(ended, Err(Failure::Failed(_))), "{journal:?}");
    assert_eq!(journal, ["commit"]);
}

/// Whoever was shown something will find it after a restart.
#[tokio::test]
async fn a_node_shows_of_itself_what_is_durable() {
    let (_, _, seen) = run_and_look(u32::MAX).await;
    let names = |report: &NodeReport| {
        let instances = report.instances.iter();
        instances
            .map(|known| known.instance.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        seen.as_ref().map(names),
        Some(vec!["withdraw-1".to_owned()])
    );
    for good in [0, 1] {
        let (ended, journal, seen) = run_and_look(good).await;
        assert!(ended.is_err(), "{journal:?}");
        assert!(seen.is_none_or(|seen| seen.instances.is_empty()));
    }
}
