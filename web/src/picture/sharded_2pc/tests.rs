use phaselab_core::types::NodeId;
use phaselab_core::view::SlotMarker;

use super::rail::rail;
use super::sum::{item_text, items, sum};
use super::table::{is_crowned, table};
use super::*;
use crate::session::Session;

fn open(name: &str) -> Session {
    let entry = phaselab_core::scenario::find(name).unwrap();
    let scenario = phaselab_core::scenario::parse(entry.name, entry.text).unwrap();
    Session::open(&scenario).unwrap()
}

fn at(session: &mut Session, ms: f64) -> Scene {
    session.seek_ms(ms);
    rest(session);
    session.scene()
}

fn rest(session: &mut Session) {
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
}

fn stages(scene: &Scene) -> (&'static str, Vec<(bool, Option<bool>)>) {
    let rail = rail(scene).unwrap();
    let stations = rail.stations.iter();
    let passed = stations.map(|station| (station.coordinator, station.participant));
    (rail.stage(), passed.collect())
}

fn chips(scene: &Scene) -> Vec<String> {
    let all = scene.boxes();
    let all = all.iter().flat_map(|of| items(scene, of.group).0);
    all.map(item_text).collect()
}

#[test]
fn a_transfer_passes_its_stations_at_both_clusters_and_the_sum_stays() {
    let mut session = open("sharded-2pc/reference-transfer");
    let scene = at(&mut session, 50.0);
    assert_eq!((rail(&scene), scene.boxes().len()), (None, 3));
    assert_eq!(sum(&scene).unwrap().text(), "Σ 150 = 150");
    let scene = at(&mut session, 100.5);
    let early = vec![
        (true, Some(false)),
        (false, Some(false)),
        (false, Some(false)),
        (false, None),
    ];
    assert_eq!(stages(&scene), ("", early));
    let scene = at(&mut session, 103.5);
    let held = vec![
        (true, Some(true)),
        (true, Some(true)),
        (false, Some(false)),
        (false, None),
    ];
    assert_eq!(stages(&scene), ("P", held));
    let held = [
        "1001 100, 10 held, lock 2pc-1-1",
        "3001 50, 10 to come, lock 2pc-1-1",
    ];
    assert_eq!(chips(&scene), held);
    assert_eq!(sum(&scene).unwrap().text(), "Σ 150 = 150");
    let scene = at(&mut session, 107.5);
    assert_eq!(sum(&scene).unwrap().text(), "Σ 140 + 10 on its way = 150");
    let scene = at(&mut session, 390.0);
    assert_eq!(stages(&scene).0, "done");
    assert_eq!(chips(&scene), ["1001 90", "3001 60"]);
    assert_eq!(sum(&scene).unwrap().text(), "Σ 150 = 150");
    let first: Vec<u16> = scene.boxes().iter().map(|of| of.group).collect();
    assert_eq!(first, [1, 2, 3]);
}

#[test]
fn a_table_has_the_slots_of_p_and_c_and_c_carries_the_slot_of_its_p() {
    let mut session = open("sharded-2pc/reference-transfer");
    let scene = at(&mut session, 390.0);
    for of in scene.boxes().iter().take(2) {
        let table = table(&scene, &of.nodes);
        let find = |marker| {
            let cells = || table.rows.iter().map(|row| &row.cells);
            let mut all = cells().flatten().flatten();
            (*all.find(|slot| slot.marker == marker).unwrap()).clone()
        };
        let (p, c) = (find(SlotMarker::Prepare), find(SlotMarker::Commit));
        assert_eq!(c.seq, Some(p.slot));
        assert!(c.slot > p.slot);
        let column = table
            .columns
            .iter()
            .find(|column| column.slot == c.slot)
            .unwrap();
        assert!(column.is_in_focus && column.seq == Some(p.slot));
        assert!(
            table
                .rows
                .iter()
                .all(|row| row.cells.iter().all(Option::is_some))
        );
    }
}

#[test]
fn an_abort_is_told_with_its_reason_and_moves_nothing() {
    let mut session = open("sharded-2pc/insufficient-balance");
    session.end();
    rest(&mut session);
    let scene = session.scene();
    let rail = rail(&scene).unwrap();
    assert_eq!(
        (rail.stage(), rail.reason.as_str()),
        ("done", "INSUFFICIENT_BALANCE")
    );
    assert!(rail.stations.iter().any(|station| station.name == "A"));
    assert!(sum(&scene).unwrap().is_even());
}

#[test]
fn the_crown_moves_when_its_bearer_is_down() {
    let mut session = open("sharded-2pc/reference-transfer");
    let crowned = |scene: &Scene| -> Vec<u16> {
        let nodes = scene.nodes.iter().filter(|node| is_crowned(scene, node));
        nodes.map(|node| node.id).collect()
    };
    let scene = at(&mut session, 90.0);
    assert_eq!(crowned(&scene), [1, 4, 7]);
    session.select(Some(1));
    session.crash_or_restart().unwrap();
    rest(&mut session);
    session.end();
    rest(&mut session);
    assert!(!session.sim().is_alive(NodeId(1)));
    session.seek_ms(session.horizon_ms().max(1_500.0));
    rest(&mut session);
    let scene = session.scene();
    // The run is over before another is elected, unless it is long enough: then it is one of the two that are left.
    let crowned = crowned(&scene);
    assert_eq!(crowned.len(), 3);
    assert!(crowned.contains(&4) && crowned.contains(&7));
}

#[test]
fn the_sum_is_red_only_where_the_rule_is_broken() {
    let mut session = open("sharded-2pc/reference-transfer");
    let mut scene = at(&mut session, 390.0);
    assert!(sum(&scene).unwrap().is_even());
    for node in scene.nodes.iter_mut().filter(|node| node.group == 2) {
        node.picture.shard.as_mut().unwrap().sum += 1;
    }
    let odd = sum(&scene).unwrap();
    assert!(
        !odd.is_even() && !odd.is_broken,
        "it may be on its way to this page"
    );
    scene.broken.push(super::sum::RULE);
    assert!(sum(&scene).unwrap().is_broken);
}

#[test]
fn a_form_makes_a_transfer_or_a_read() {
    let asked = |fields: &[&str], way| {
        let bytes = ShardedPicture.request(fields, way)?;
        codec::decode::<Request>(&bytes).map_err(|error| error.to_string())
    };
    let transfer = Request::Transfer {
        sender: 1001,
        receiver: 3001,
        amount: 10,
    };
    assert_eq!(asked(&["1001", " 3001", "10"], 0), Ok(transfer));
    assert_eq!(
        asked(&["1001", "", ""], 1),
        Ok(Request::Read { item: 1001 })
    );
    assert!(
        asked(&["1001", "there", "10"], 0)
            .unwrap_err()
            .contains("to:")
    );
    assert!(asked(&["1001"], 0).is_err());
}

#[test]
fn replies_point_to_who_can_answer() {
    use phaselab_core::types::GroupId;
    let redirect = |reply: &Reply| ShardedPicture.redirect(&codec::encode(reply));
    let not_leader = Reply::NotLeader {
        hint: Some(NodeId(2)),
        ballot: 1,
    };
    assert_eq!(redirect(&not_leader), Some(Redirect::Member(Some(2))));
    let elsewhere = Reply::WrongCluster {
        cluster: GroupId(2),
    };
    assert_eq!(redirect(&elsewhere), Some(Redirect::Group(2)));
    assert_eq!(redirect(&Reply::Accepted), None);
}

#[test]
fn clusters_of_any_size_have_boxes_that_hold_their_nodes() {
    for (clusters, members) in [(2, 3), (3, 3), (2, 5), (3, 5)] {
        let mut text = format!(
            "protocol = \"sharded-2pc\"\nnodes = {}\nuntil_ms = 200\n",
            clusters * members
        );
        for cluster in 0..clusters {
            let nodes: Vec<u16> = (1..=members).map(|node| cluster * members + node).collect();
            text += &format!("[[group]]\nid = {}\nnodes = {nodes:?}\n", cluster + 1);
        }
        let scenario = phaselab_core::scenario::parse("boxes.toml", &text).unwrap();
        let mut session = Session::open(&scenario).unwrap();
        let scene = at(&mut session, 150.0);
        let boxes = scene.boxes();
        assert_eq!(boxes.len(), usize::from(clusters));
        assert!(boxes.is_sorted_by(|a, b| a.top + a.height < b.top));
        for of in &boxes {
            assert_eq!(of.nodes.len(), usize::from(members));
            let places: Vec<_> = of
                .nodes
                .iter()
                .map(|node| scene.place_in_box(&boxes, *node).unwrap())
                .collect();
            assert!(places.is_sorted_by(|a, b| a.1 < b.1));
            for (x, y) in places {
                assert!(0.0 < x && x < 34.0 && of.top < y && y < of.top + of.height);
            }
            let crowned = of
                .nodes
                .iter()
                .filter(|node| is_crowned(&scene, &scene.nodes[**node]));
            assert_eq!(crowned.count(), 1);
        }
    }
}
