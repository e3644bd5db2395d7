//! Every rule broken once: what watches the runs must see it, or it proves nothing.
//!
//! A story is told twice, with the rule and without. With it every promise is kept; without it exactly the promises that
//! the rule is there for are broken. Nothing in the core has a switch for this: the nodes are real, and what is taken from
//! them is their store, their parameters or their oracle's ear.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use phaselab_core::codec::{Key, decode, encode};
use phaselab_core::crypto::Signer;
use phaselab_core::engine::{Env, Genesis, Opened, Protocol};
use phaselab_core::entropy::Prng;
use phaselab_core::environment::Environment;
use phaselab_core::event::{Record, RecordKind};
use phaselab_core::oracle::{Oracle, Verdict};
use phaselab_core::protocol::two_phase::phase::{EventPhase, EventPhaseState};
use phaselab_core::protocol::two_phase::template::ChainFact;
use phaselab_core::protocol::two_phase::{TwoPhase, TwoPhaseConfig};
use phaselab_core::protocol::{Cluster as Nodes, Simulated, simulated_genesis};
use phaselab_core::replica::{self, BuildError, Node, Replica};
use phaselab_core::scenario::{Behaviour, Scenario, member_seed};
use phaselab_core::sim::Sim;
use phaselab_core::store::{META, Rows, TableId};
use phaselab_core::types::{Hash32, Incarnation, InstanceId, NodeId, Round, Time};
use phaselab_core::view::Spec;
use phaselab_tests::cluster::Builder;
use phaselab_tests::{Cluster, fixture};

/// What is taken from a node whenever it starts: its parameters, and what its store gives back.
type Taken = fn(&mut Env<TwoPhase>, &mut Rows);

/// Signers of whom something is taken, under an oracle that knows nothing of it.
struct Broken {
    genesis: Genesis,
    honest: Env<TwoPhase>,
    take: Taken,
}

impl Broken {
    fn run(scenario: &Scenario, take: Taken) -> Cluster {
        let genesis = simulated_genesis(scenario);
        let first = NodeId(1);
        let signer = Signer::from_seed(genesis.crypto, &member_seed(first));
        let honest = replica::env(&genesis, first, signer).expect("a sound genesis");
        let nodes = Broken {
            genesis,
            honest,
            take,
        };
        let environment = scenario.protocol.environment(scenario);
        let mut sim = Sim::with_parts(scenario.clone(), Arc::new(nodes), environment)
            .expect("nodes that can be built");
        sim.set_check_recovery(false);
        sim.run_until(Time::ZERO);
        Cluster::from(sim)
    }
}

impl Nodes for Broken {
    fn spec(&self) -> &'static Spec {
        TwoPhase::spec()
    }

    fn node(&self, id: NodeId, rows: &Rows, seed: u64) -> Result<Box<dyn Replica>, BuildError> {
        let signer = Signer::from_seed(self.genesis.crypto, &member_seed(id));
        let mut env = self.honest.for_member(&self.genesis, id, signer)?;
        let mut rows = rows.clone();
        (self.take)(&mut env, &mut rows);
        let entropy = |Incarnation(life)| Prng::new(seed, "node", u64::from(id.0), life);
        let node = Node::open(env, &rows, entropy).map_err(BuildError::Recover)?;
        Ok(Box::new(node))
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        <TwoPhase as Simulated>::oracle(&self.honest)
    }
}

/// Tells a story with the rule and without, and compares what breaks.
fn breaks(builder: Builder, take: Taken, story: fn(&mut Cluster), promises: &[&str]) {
    let scenario = builder.build();
    let mut whole = Broken::run(&scenario, |_, _| {});
    story(&mut whole);
    whole.expect_agreement();
    let mut broken = Broken::run(&scenario, take);
    story(&mut broken);
    broken.expect_broken(promises);
}

fn quick(nodes: u16) -> Builder {
    Cluster::builder(nodes).until_ms(60_000).config(|config| {
        config.proposal_timeout_ms = 900;
        config.retry.base_delay_ms = 200;
        config.retry.jitter_ms = 50;
    })
}

/// Only one of the group's first outputs is seen.
fn sees_only(cluster: &mut Cluster, node: u16, output: u32) {
    let all = || 0..8u32;
    cluster.show(node, &[output]);
    cluster.hide(node, &all().filter(|n| *n != output).collect::<Vec<_>>());
}

// --- quorums ----------------------------------------------------------------------------------------------------------

fn two_views(cluster: &mut Cluster) {
    sees_only(cluster, 1, 0);
    sees_only(cluster, 2, 1);
    sees_only(cluster, 3, 2);
    cluster.run_ms(10);
    cluster.submit("withdraw-1");
    cluster.run();
}

#[test]
fn a_quorum_that_is_no_majority_breaks_agreement() {
    breaks(
        quick(3),
        |env, _| {
            let config = TwoPhaseConfig {
                commit_quorum: 1,
                ..TwoPhaseConfig::clone(&env.config)
            };
            env.config = Arc::new(config);
        },
        two_views,
        &["agreement", "validity"],
    );
}

// --- what must be durable ---------------------------------------------------------------------------------------------

/// Everything but the replica's own table: the incarnation still rises, the votes are gone.
fn forget_all(_: &mut Env<TwoPhase>, rows: &mut Rows) {
    let tables: Vec<TableId> = rows.tables().filter(|table| *table != META).collect();
    tables.into_iter().for_each(|table| rows.clear_table(table));
}

fn votes_again_after_a_crash(cluster: &mut Cluster) {
    cluster.crash(2);
    cluster.crash(3);
    sees_only(cluster, 1, 0);
    cluster.run_ms(10);
    cluster.submit("withdraw-1");
    cluster.run_ms(100);
    cluster.crash(1);
    sees_only(cluster, 1, 1);
    cluster.restart(1);
    cluster.run_ms(10);
    cluster.submit("withdraw-1");
    cluster.run();
}

#[test]
fn a_vote_that_is_not_durable_is_cast_twice() {
    breaks(
        quick(3),
        forget_all,
        votes_again_after_a_crash,
        &["one vote"],
    );
}

/// Two of three sign; both come back before the chain tells what they signed, and see other outputs.
fn decides_again_after_a_crash(cluster: &mut Cluster) {
    cluster.crash(3);
    for node in [1, 2] {
        sees_only(cluster, node, 0);
    }
    cluster.run_ms(10);
    cluster.submit("withdraw-1");
    cluster.run_ms(500);
    assert_eq!(cluster.phase(1, "withdraw-1"), "committed");
    for node in [1, 2] {
        cluster.crash(node);
        sees_only(cluster, node, 1);
        cluster.restart(node);
    }
    cluster.run_ms(10);
    cluster.submit("withdraw-1");
    cluster.run();
}

#[test]
fn a_signature_that_is_not_durable_is_given_twice() {
    breaks(
        quick(3).chain(|chain| chain.delay_ms = 30_000),
        forget_all,
        decides_again_after_a_crash,
        &["agreement", "one signature", "one vote"],
    );
}

/// One decides by the locks of two and is cut off; the other comes back, and meets a third who sees another output.
fn a_locker_comes_back(cluster: &mut Cluster) {
    cluster.crash(3);
    for node in [1, 2] {
        sees_only(cluster, node, 0);
    }
    // The second hears proposals, so that it locks, and nothing of what follows.
    for kind in ["lock", "commit", "sync-response"] {
        cluster.drop_kind_to(kind, 2);
    }
    cluster.run_ms(10);
    cluster.submit("withdraw-1");
    cluster.run_ms(400);
    assert_eq!(cluster.phase(1, "withdraw-1"), "committed");
    assert_eq!(cluster.phase(2, "withdraw-1"), "proposing");
    cluster.partition(&[&[1], &[2, 3]]);
    cluster.crash(2);
    for node in [2, 3] {
        sees_only(cluster, node, 1);
    }
    cluster.restart(2);
    cluster.restart(3);
    cluster.run_ms(20_000);
    cluster.heal();
    cluster.run();
}

fn forget_locks(_: &mut Env<TwoPhase>, rows: &mut Rows) {
    change_phases(rows, |row| {
        row.rounds.locked = None;
        row.rounds.valid = None;
    });
    rows.clear_table(table("event_valid"));
}

fn forget_locks_and_votes(env: &mut Env<TwoPhase>, rows: &mut Rows) {
    forget_locks(env, rows);
    rows.clear_table(table("event_proposal"));
}

/// The votes behind a lock bring its value back as the one to propose; only without both do two values get through.
#[test]
fn a_lock_that_is_not_durable_lets_two_values_through() {
    let builder = || quick(3).config(|config| config.retry.max_retries = 50);
    breaks(builder(), forget_locks, a_locker_comes_back, &[]);
    breaks(
        builder(),
        forget_locks_and_votes,
        a_locker_comes_back,
        &["agreement"],
    );
}

/// One withdraws alone and comes back; then the second comes too.
fn a_withdrawn_node_comes_back(cluster: &mut Cluster) {
    cluster.crash(2);
    cluster.crash(3);
    cluster.submit("withdraw-1");
    cluster.run_ms(2_000);
    assert_eq!(cluster.phase(1, "withdraw-1"), "abandoned");
    cluster.crash(1);
    cluster.restart(1);
    cluster.restart(2);
    cluster.run();
}

fn forget_withdrawals(_: &mut Env<TwoPhase>, rows: &mut Rows) {
    let index = table("phase_index");
    let mut withdrawn = Vec::new();
    change_phases(rows, |row| {
        if row.withdrawn {
            (row.withdrawn, row.phase) = (false, EventPhase::Failed);
        }
    });
    for (key, _) in rows.table(index) {
        let (phase, event) = <(u8, InstanceId)>::from_bytes(key).expect("an index key");
        if phase == EventPhase::Abandoned as u8 {
            withdrawn.push(event);
        }
    }
    if !withdrawn.is_empty() {
        rows.clear_table(index);
    }
    for event in withdrawn {
        let key = (EventPhase::Failed as u8, event).to_bytes();
        rows.insert(index, &key, &[]);
    }
}

#[test]
fn a_withdrawal_that_is_not_durable_is_followed_by_a_lock() {
    breaks(
        quick(3).config(|config| config.retry.max_retries = 0),
        forget_withdrawals,
        a_withdrawn_node_comes_back,
        &["withdrawal"],
    );
}

/// A debug build sees at once that a node came back as another than it was.
#[test]
fn a_node_that_recovers_another_state_is_caught_by_the_check() {
    let run = |take: Taken| {
        let mut cluster = Broken::run(&quick(3).build(), take);
        cluster.sim_mut().set_check_recovery(true);
        votes_again_after_a_crash(&mut cluster);
    };
    run(|_, _| {});
    let caught = catch_unwind(|| run(forget_all)).expect_err("the store holds more than the node");
    let message = caught.downcast_ref::<String>().expect("a message");
    assert!(
        message.contains("n1 would recover another state"),
        "{message}"
    );
}

fn table(name: &str) -> TableId {
    let spec = TwoPhase::TABLES.iter().find(|table| table.name == name);
    spec.expect("a table of two-phase").id
}

fn change_phases(rows: &mut Rows, change: impl Fn(&mut EventPhaseState)) {
    let phases = table("event_phase");
    let all: BTreeMap<Vec<u8>, Vec<u8>> = rows
        .table(phases)
        .map(|(key, value)| (key.to_vec(), value.to_vec()))
        .collect();
    for (key, value) in all {
        let mut row: EventPhaseState = decode(&value).expect("a row of event_phase");
        change(&mut row);
        rows.insert(phases, &key, &encode(&row));
    }
}

// --- what the oracle hears --------------------------------------------------------------------------------------------

/// An oracle to whom nobody says who lies.
struct Untold(Box<dyn Oracle>);

impl Oracle for Untold {
    fn on_send(&mut self, now: Time, from: NodeId, message: &Opened) {
        self.0.on_send(now, from, message);
    }
    fn on_record(&mut self, now: Time, node: NodeId, record: &Record) {
        self.0.on_record(now, node, record);
    }
    fn on_byzantine(&mut self, _: NodeId) {}
    fn verdicts(&self) -> Vec<Verdict> {
        self.0.verdicts()
    }
    fn liveness(&self) -> Vec<Verdict> {
        self.0.liveness()
    }
    fn holds(&self) -> bool {
        self.0.holds()
    }
    fn clone_box(&self) -> Box<dyn Oracle> {
        Box::new(Untold(self.0.clone_box()))
    }
}

/// A liar whom nobody announced is seen by what it signs.
#[test]
fn an_equivocator_that_nobody_announced_is_seen() {
    let scenario = quick(4).build();
    let run = |untold: bool| {
        let mut cluster = Broken::run(&scenario, |_, _| {});
        if untold {
            let oracle = TwoPhase::oracle(&oracle_env(&scenario));
            cluster.sim_mut().set_oracle(Box::new(Untold(oracle)));
        }
        cluster.lie(3, Behaviour::Equivocate);
        cluster.submit("withdraw-1");
        cluster.run();
        cluster
    };
    run(false).expect_agreement();
    let seen = run(true);
    seen.expect_broken(&["one vote"]);
    let verdicts = seen.sim().verdicts();
    let verdict = verdicts.iter().find(|verdict| verdict.name == "one vote");
    assert!(
        verdict.is_some_and(|verdict| verdict.detail.contains("n3")),
        "{verdicts:?}"
    );
}

fn oracle_env(scenario: &Scenario) -> Env<TwoPhase> {
    let genesis = simulated_genesis(scenario);
    let signer = Signer::from_seed(genesis.crypto, &member_seed(NodeId(1)));
    replica::env(&genesis, NodeId(1), signer).expect("a sound genesis")
}

/// The oracle alone, told the one thing that must not be.
#[test]
fn each_promise_breaks_by_the_record_that_contradicts_it() {
    let env = fixture::env(phaselab_core::crypto::Crypto::Simulated, 1);
    let event = fixture::event().id();
    let (a, b) = (
        fixture::template().template_hash(),
        fixture::other_template().template_hash(),
    );
    let record = |kind, value: Option<Hash32>| Record {
        kind,
        instance: event,
        value,
        round: Round(0),
    };
    use RecordKind::{Abandoned, Decided, Signed};
    type Told<'a> = &'a [(u16, RecordKind, Option<Hash32>)];
    let cases: [(Told<'_>, &[&str]); 6] = [
        (&[(1, Signed, Some(a)), (2, Signed, Some(b))], &[]),
        (
            &[(1, Signed, Some(a)), (1, Signed, Some(b))],
            &["one signature"],
        ),
        (&[(1, Decided, Some(a))], &["validity"]),
        (
            &[(1, Decided, Some(a)), (2, Decided, Some(b))],
            &["agreement", "validity"],
        ),
        (
            &[(1, Abandoned, None), (2, Decided, Some(a))],
            &["agreement", "validity"],
        ),
        (&[(1, Abandoned, None), (2, Abandoned, None)], &[]),
    ];
    for (told, promises) in cases {
        let mut oracle = TwoPhase::oracle(&env);
        for (node, kind, value) in told {
            oracle.on_record(Time::ZERO, NodeId(*node), &record(*kind, *value));
        }
        let broken = oracle
            .verdicts()
            .into_iter()
            .filter(|verdict| !verdict.holds);
        assert_eq!(
            broken.map(|verdict| verdict.name).collect::<Vec<_>>(),
            promises
        );
        assert_eq!(oracle.holds(), promises.is_empty());
    }
}

// --- liveness and determinism -----------------------------------------------------------------------------------------

#[test]
fn an_event_that_never_ends_is_seen() {
    let run = |healed: bool| {
        let mut cluster = quick(4)
            .config(|config| config.retry.max_retries = 1_000)
            .start();
        cluster.partition(&[&[1, 2], &[3, 4]]);
        cluster.submit("withdraw-1");
        cluster.run_ms(20_000);
        if healed {
            cluster.heal();
        }
        cluster.run();
        let liveness = cluster.sim().liveness();
        assert_eq!(liveness.len(), 1);
        cluster.expect_agreement();
        (liveness[0].holds, liveness[0].detail.clone())
    };
    assert!(run(true).0);
    let (holds, detail) = run(false);
    assert!(!holds);
    assert!(
        (1..=4).all(|node| detail.contains(&format!("n{node}"))),
        "{detail}"
    );
}

/// A world that remembers something between runs, as a global would.
struct Haunted(Box<dyn Environment>);

static VISITS: AtomicU64 = AtomicU64::new(0);

impl Environment for Haunted {
    fn report(&mut self, now: Time, from: NodeId, report: &[u8]) {
        self.0.report(now, from, report);
    }
    fn change(&mut self, now: Time, node: Option<NodeId>, change: &[u8]) -> Result<(), String> {
        self.0.change(now, node, change)
    }
    fn deadline(&self) -> Option<Time> {
        self.0.deadline()
    }
    fn poll(&mut self, now: Time) -> Vec<(NodeId, Vec<u8>)> {
        self.0.poll(now)
    }
    fn full_view(&mut self, now: Time, node: NodeId) -> Option<Vec<u8>> {
        let mut fact: ChainFact = decode(&self.0.full_view(now, node)?).ok()?;
        fact.tip_score += VISITS.fetch_add(1, Ordering::Relaxed);
        Some(encode(&fact))
    }
    fn save(&self) -> Vec<u8> {
        self.0.save()
    }
    fn restore(&mut self, saved: &[u8]) -> Result<(), String> {
        self.0.restore(saved)
    }
    fn clone_box(&self) -> Box<dyn Environment> {
        Box::new(Haunted(self.0.clone_box()))
    }
}

/// The hash sees a global, even one that changes no decision.
#[test]
fn a_run_that_depends_on_anything_else_has_another_hash() {
    let scenario = quick(3).build();
    let run = |haunted: bool| {
        let mut world = scenario.protocol.environment(&scenario);
        if haunted {
            world = Box::new(Haunted(world));
        }
        let genesis = simulated_genesis(&scenario);
        let nodes = scenario
            .protocol
            .cluster(&genesis)
            .expect("a sound genesis");
        let mut sim = Sim::with_parts(scenario.clone(), nodes, world).expect("nodes");
        sim.run_until(Time::ZERO);
        let mut cluster = Cluster::from(sim);
        cluster.submit("withdraw-1");
        cluster.run_ms(2_000);
        (cluster.sim().trace_hash(), cluster.decided("withdraw-1"))
    };
    assert_eq!(run(false), run(false));
    let (one, two) = (run(true), run(true));
    assert_ne!(one.0, two.0);
    assert_eq!(one.1, two.1);
}

// --- persist before send ----------------------------------------------------------------------------------------------

/// What leaves a node is taken out of its output with the proof that its writes are durable: no other proof will do.
#[test]
fn a_proof_of_something_else_releases_nothing() {
    let node = |id| {
        let env = fixture::env(phaselab_core::crypto::Crypto::Simulated, id);
        let entropy = |_| Prng::new(7, "test", 0, 0);
        Node::open(env, &Rows::default(), entropy).expect("an empty store")
    };
    let release = |output: phaselab_core::replica::Output,
                   proof: &phaselab_core::store::Durable| {
        let call = AssertUnwindSafe(|| output.after_persist(proof));
        catch_unwind(call).is_ok()
    };
    let (mut one, mut two) = (node(1), node(2));
    let (start, other) = (one.start(Time::ZERO), two.start(Time::ZERO));
    let first = start.writes.durable();
    let request = phaselab_tests::cluster::request("withdraw-1", 25);
    assert!(one.fact(Time::ZERO, &encode(&fixture::fact())).is_empty());
    let voted = one.request(Time::ZERO, phaselab_core::types::ClientId(1), 1, &request);
    assert!(!voted.writes.is_empty(), "a vote is written down");
    let proof = voted.writes.durable();
    assert!(release(start.clone(), &first));
    assert!(!release(start, &other.writes.durable()), "another node's");
    assert!(!release(voted.clone(), &first), "an earlier batch's");
    assert!(release(voted.clone(), &proof));

    let mut rows = Rows::default();
    rows.apply(&other.writes);
    let env = fixture::env(phaselab_core::crypto::Crypto::Simulated, 2);
    let mut next = Node::open(env, &rows, |_| Prng::new(7, "test", 0, 0)).expect("its own rows");
    let start = next.start(Time::ZERO);
    assert!(!release(start, &other.writes.durable()), "another life's");
}
