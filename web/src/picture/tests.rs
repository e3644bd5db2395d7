use phaselab_core::engine::Protocol;
use phaselab_core::scenario;
use phaselab_core::types::Hash32;
use phaselab_tests::sketch::clustered::Clustered;
use phaselab_tests::sketch::sampled::Sampled;

use super::*;
use crate::picture::cards::cards;
use crate::scene::Scene;
use crate::session::Session;

/// A scene of another protocol: its spec, and nodes in two groups with views as generic as they come.
fn scene(spec: &'static Spec) -> Scene {
    let entry = scenario::find("three-signers").unwrap();
    let scenario = scenario::parse(entry.name, entry.text).unwrap();
    let mut session = Session::open(&scenario).unwrap();
    session.end();
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
    let mut scene = session.scene();
    scene.spec = spec;
    let copy = scene.nodes[0].clone();
    for (id, group) in [(4, 1), (5, 1)] {
        let mut node = copy.clone();
        (node.id, node.group) = (id, group);
        scene.nodes.push(node);
    }
    scene
}

#[test]
fn a_protocol_without_a_file_is_drawn_from_its_spec() {
    for spec in [Clustered::spec(), Sampled::spec()] {
        let picture = of(spec);
        assert_eq!(picture.form(), None);
        assert!(picture.request(&["rent", "25"], 0).is_err());
        for (number, phase) in (0..).zip(spec.phases) {
            let tone = picture.tone(spec, number);
            assert_eq!(tone == Tone::Done, phase.terminal, "{}", phase.name);
        }
        assert_eq!(picture.tone(spec, 200), Tone::Idle);
        let scene = scene(spec);
        assert!(!cards(&scene).is_empty());
        for node in &scene.nodes {
            assert!(!scene.phase_name(scene.phase(node)).is_empty());
            assert!(
                scene
                    .stands_for(node)
                    .is_some_and(|value| scene.label(value).is_some())
            );
        }
    }
    assert_eq!(
        of(ProtocolKind::TwoPhase.spec()).table_title(),
        "Templates on the table"
    );
}

#[test]
fn groups_stand_in_boxes_one_above_the_other() {
    let scene = scene(Clustered::spec());
    let boxes = scene.boxes();
    let nodes: Vec<_> = boxes.iter().map(|of| of.nodes.clone()).collect();
    assert_eq!(nodes, [vec![0, 1, 2], vec![3, 4]]);
    assert!(boxes[0].top + boxes[0].height < boxes[1].top);
    for (number, of) in boxes.iter().enumerate() {
        for node in &of.nodes {
            let (x, y) = scene.place_in_box(&boxes, *node).unwrap();
            assert!(0.0 < x && x < 100.0);
            assert!(of.top < y && y < of.top + of.height, "box {number}");
        }
    }
    let mut one = scene;
    one.nodes.truncate(3);
    assert!(one.boxes().is_empty());
    assert_eq!(one.place_in_box(&[], 0), None);
    assert_eq!(one.label(Hash32([9; 32])), None);
}
