use phaselab_core::protocol::ProtocolKind;

use super::*;
use crate::scene::{InstancePicture, NodePicture};

const TOPIC: InstanceId = InstanceId(Hash32([1; 32]));
const VALUE: Hash32 = Hash32([7; 32]);

fn observatory() -> Observatory {
    Observatory::new(ProtocolKind::TwoPhase.spec(), 3)
}

fn report(node: u16, life: u32, sequence: u64, phase: u8) -> NodeReport {
    let instance = InstancePicture {
        id: TOPIC,
        name: "rent".to_owned(),
        phase,
        round: 0,
        value: Some(VALUE),
        locked: None,
        signed: None,
        meters: Vec::new(),
        choices: Vec::new(),
        fields: Vec::new(),
    };
    NodeReport {
        node,
        tab: "x".to_owned(),
        life,
        sequence,
        at_us: 1_000 * sequence,
        refused: 0,
        peers: 2,
        picture: NodePicture {
            instances: vec![instance],
            fields: Vec::new(),
            shard: None,
        },
        events: Vec::new(),
    }
}

fn scene(observatory: &Observatory, now_ms: f64) -> Scene {
    observatory.scene(now_ms, None, None, &str::to_owned)
}

#[test]
fn an_observer_who_comes_late_still_sees_the_phase() {
    let mut observatory = observatory();
    assert!(observatory.hear(WatchFrame::Node(report(2, 1, 5, 3)), 0.0));
    let scene = scene(&observatory, 1.0);
    assert_eq!(scene.node(2).map(|node| scene.phase(node)), Some(3));
    assert_eq!(scene.node(2).unwrap().ribbon.last().unwrap().phase, 3);
    assert_eq!(scene.topics[0].name, "rent");
    assert_eq!(scene.label(VALUE).unwrap().letter, "A");
    assert_eq!(scene.node(1).unwrap().standing, Standing::Unheard);
}

#[test]
fn a_phase_that_is_held_back_is_told_by_its_event_and_a_lost_one_by_the_next_picture() {
    let mut observatory = observatory();
    let spans = |observatory: &Observatory| {
        let scene = scene(observatory, 1.0);
        scene
            .node(2)
            .unwrap()
            .ribbon
            .iter()
            .map(|span| (span.from_ms, span.phase))
            .collect::<Vec<_>>()
    };
    observatory.hear(WatchFrame::Node(report(2, 1, 10, 1)), 0.0);
    observatory.hear(WatchFrame::Node(report(2, 1, 20, 2)), 0.0);
    assert_eq!(spans(&observatory), [(10.0, 1)], "the event may still come");
    let mut late = report(2, 1, 30, 2);
    let event = Event::new(EventKind::PhaseEntered(2), Some(TOPIC), Round(0));
    late.events.push(WatchedEvent::new(25_000, &event));
    observatory.hear(WatchFrame::Node(late), 0.0);
    assert_eq!(spans(&observatory), [(10.0, 1), (25.0, 2)]);
    observatory.hear(WatchFrame::Node(report(2, 1, 40, 3)), 0.0);
    observatory.hear(WatchFrame::Node(report(2, 1, 50, 3)), 0.0);
    assert_eq!(
        spans(&observatory),
        [(10.0, 1), (25.0, 2), (40.0, 3)],
        "its event was lost"
    );
}

#[test]
fn old_and_foreign_reports_change_nothing() {
    let mut observatory = observatory();
    observatory.hear(WatchFrame::Node(report(2, 2, 5, 3)), 0.0);
    assert!(
        !observatory.hear(WatchFrame::Node(report(2, 1, 9, 1)), 1.0),
        "of an earlier life"
    );
    assert!(
        !observatory.hear(WatchFrame::Node(report(2, 2, 5, 1)), 1.0),
        "twice"
    );
    assert!(
        !observatory.hear(WatchFrame::Node(report(9, 1, 1, 1)), 1.0),
        "no such node"
    );
    assert_eq!(observatory.report(2).unwrap().picture.instances[0].phase, 3);
}

#[test]
fn a_crash_shows_until_the_next_life() {
    let mut observatory = observatory();
    observatory.hear(WatchFrame::Node(report(2, 1, 1, 1)), 0.0);
    let crash = |tab: &str| WatchFrame::Crashed {
        node: 2,
        tab: tab.to_owned(),
        why: String::new(),
    };
    assert!(
        !observatory.hear(crash("y"), 1.0),
        "another tab does not run it"
    );
    assert!(observatory.hear(crash("x"), 1.0));
    assert_eq!(observatory.standing(2, 1.0), Standing::Crashed);
    observatory.hear(WatchFrame::Node(report(2, 2, 1, 1)), 2.0);
    assert_eq!(observatory.standing(2, 2.0), Standing::Up);
    let kinds: Vec<_> = observatory
        .events(true, 10)
        .iter()
        .map(|line| line.kind)
        .collect();
    assert_eq!(kinds, ["crashed", "restarted"]);
    assert_eq!(
        observatory.standing(2, 60_000.0),
        Standing::Crashed,
        "silent for long"
    );
}

#[test]
fn transfers_are_listed_and_their_slots_are_not_and_heartbeats_are_not_kept() {
    use phaselab_core::protocol::sharded_2pc::phase;

    let spec = ProtocolKind::Sharded2pc.spec();
    let mut observatory = Observatory::new(spec, 6);
    observatory.set_groups(vec![1, 1, 1, 2, 2, 2]);
    let (transfer, slot) = (InstanceId(Hash32([3; 32])), InstanceId(Hash32([4; 32])));
    let of = |kind, instance| {
        let event = Event::new(kind, instance, Round(1)).peer(NodeId(5));
        WatchedEvent::new(5, &event)
    };
    let report = NodeReport {
        node: 4,
        tab: "tab".to_owned(),
        life: 1,
        sequence: 1,
        at_us: 9,
        refused: 0,
        peers: 5,
        picture: NodePicture::default(),
        events: vec![
            of(EventKind::Elected, None),
            of(EventKind::MessageDelivered(6), None),
            of(EventKind::Proposed, Some(slot)),
            of(EventKind::PhaseEntered(phase::ACCEPTED), Some(slot)),
            of(EventKind::PhaseEntered(phase::PREPARED), Some(transfer)),
            of(EventKind::PhaseEntered(phase::EXECUTED), Some(slot)),
        ],
    };
    assert!(observatory.hear(WatchFrame::Node(report), 0.0));
    let scene = scene(&observatory, 1.0);
    let topics: Vec<InstanceId> = scene.topics.iter().map(|topic| topic.id).collect();
    assert_eq!((topics, scene.focus), (vec![transfer], Some(transfer)));
    assert_eq!(observatory.events(true, 99).len(), 5);
    assert_eq!(scene.node(4).map(|node| node.group), Some(2));
    assert_eq!((observatory.clusters(), scene.boxes().len()), (2, 2));
    assert!(!observatory.is_moving(1.0), "a heartbeat is not drawn");
}
