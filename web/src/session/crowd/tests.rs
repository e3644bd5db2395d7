use phaselab_core::scenario;

use super::*;
use crate::session::tests::finish;

const CONTRADICTION: &str = "[[at]]\nms = 0\ndo = \"submit\"\nto = [2]\n\
    request = { memo = \"T2\", from = \"alice\", to = \"carol\", amount = 25 }\n";

/// A double spend among so many nodes.
fn spend(nodes: u16) -> Session {
    open(nodes, CONTRADICTION)
}

/// A payment among so many nodes, and what else there is.
fn open(nodes: u16, more: &str) -> Session {
    let text = [
        "protocol = \"snowball\"\ncrypto = \"simulated\"\nseed = 7\nuntil_ms = 20000\nnodes = ",
        &nodes.to_string(),
        "\n[network]\nlatency_ms = [5, 40]\n",
        "[[at]]\nms = 0\ndo = \"submit\"\nto = [1]\n",
        "request = { memo = \"T1\", from = \"alice\", to = \"bob\", amount = 25 }\n",
        more,
    ];
    Session::open(&scenario::parse("spend", &text.concat()).unwrap()).unwrap()
}

fn seek(session: &mut Session, ms: f64) -> std::rc::Rc<Crowd> {
    session.seek_ms(ms);
    finish(session);
    session.scene().crowd.unwrap()
}

#[test]
fn thirty_nodes_are_cells_and_only_the_selected_one_is_looked_at_in_full() {
    let mut session = spend(30);
    let crowd = seek(&mut session, 200.0);
    assert_eq!((crowd.cells.len(), crowd.is_grid()), (30, true));
    let scene = session.scene();
    assert!(scene.nodes.is_empty() && scene.flights.is_empty() && scene.is_grid());
    session.select(Some(9));
    let scene = session.scene();
    assert_eq!(scene.nodes.len(), 1);
    let node = scene.node(9).unwrap();
    let own = scene.focused(node).unwrap();
    let cell = crowd.cell(9).unwrap();
    let label = crowd.letter(cell).unwrap();
    assert_eq!(scene.label(own.meters[0].value.unwrap()), Some(label));
    assert_eq!(u64::from(cell.confidence), own.meters[1].have);
    assert_eq!(own.meters[1].need, u64::from(crowd.polls.parameters.beta));
}

#[test]
fn cells_say_what_nodes_prefer_and_shares_say_the_same_of_now() {
    let mut session = spend(30);
    let mut seen = 0;
    for ms in [0.0, 40.0, 90.0, 300.0, 900.0, 300.0, 40.0] {
        let crowd = seek(&mut session, ms);
        let tally = crowd.tally();
        assert_eq!(
            tally.preferring.iter().sum::<usize>() + tally.unaware,
            30,
            "{ms}"
        );
        let letters: Vec<&str> = crowd
            .choices
            .iter()
            .map(|(_, label)| label.letter.as_str())
            .collect();
        let mut sorted = letters.clone();
        sorted.sort_unstable();
        assert_eq!(letters, sorted);
        if let Some(now) = crowd.shares.last() {
            assert_eq!(now.counts, tally.preferring, "{ms}");
            seen += 1;
        }
    }
    assert!(seen >= 4);
}

#[test]
fn what_nobody_prefers_any_more_keeps_its_letter_and_its_past() {
    let mut session = spend(30);
    session.end();
    finish(&mut session);
    let crowd = session.scene().crowd.unwrap();
    let tally = crowd.tally();
    let letters = crowd.choices.iter().map(|(_, label)| label.letter.as_str());
    assert_eq!(letters.collect::<Vec<_>>(), ["A", "B"]);
    let loser = tally
        .preferring
        .iter()
        .position(|count| *count == 0)
        .unwrap();
    assert!(crowd.shares.iter().any(|share| share.counts[loser] > 0));
}

#[test]
fn a_seek_back_and_forth_draws_what_the_first_time_drew() {
    let mut session = spend(16);
    let first: Vec<_> = [100.0, 400.0, 1_000.0]
        .into_iter()
        .map(|ms| seek(&mut session, ms))
        .collect();
    for (place, ms) in [(1, 400.0), (0, 100.0), (2, 1_000.0)] {
        assert_eq!(seek(&mut session, ms), first[place], "{ms}");
    }
}

#[test]
fn all_end_final_and_in_a_block_that_the_tray_shows() {
    let mut session = open(12, "");
    session.end();
    finish(&mut session);
    let crowd = session.scene().crowd.unwrap();
    let tally = crowd.tally();
    assert_eq!(tally.finals, 12, "{}", crowd.told());
    let (blocks, before) = &crowd.blocks;
    assert_eq!((blocks.len(), *before), (1, 0), "{blocks:?}");
    assert_eq!(blocks[0].transactions, 1);
    assert!(
        crowd.told().contains("in a block at 12"),
        "{}",
        crowd.told()
    );
}

#[test]
fn a_protocol_that_does_not_poll_has_no_crowd() {
    let session = crate::session::tests::open("three-signers");
    assert!(session.scene().crowd.is_none());
}
