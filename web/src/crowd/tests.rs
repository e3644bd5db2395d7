use super::*;

fn label(letter: &str) -> Label {
    Label {
        letter: letter.to_owned(),
        short: "0000".to_owned(),
    }
}

pub(super) fn cell(choice: u8, confidence: u32) -> Cell {
    Cell {
        choice: Some(choice),
        confidence,
        is_final: confidence >= 20 && confidence != 149,
        ..Cell::default()
    }
}

fn polls(beta: u32) -> Polls {
    Polls {
        parameters: Parameters {
            beta,
            ..Parameters::MAINNET
        },
        finalized: 3,
        in_block: 4,
        confidence_meter: 1,
        is_by_the_book: true,
    }
}

/// A crowd between A and B.
pub(super) fn crowd(beta: u32, cells: Vec<Cell>) -> Crowd {
    Crowd {
        polls: polls(beta),
        liars: 0,
        choices: vec![(Hash32([7; 32]), label("A")), (Hash32([8; 32]), label("B"))],
        cells: Rc::new(cells),
        shares: Vec::new(),
        blocks: (Vec::new(), 0),
    }
}

#[test]
fn a_crowd_is_told_in_numbers_that_add_up() {
    let mut cells = vec![cell(0, 3); 1_204];
    cells.extend(vec![cell(1, 20); 7]);
    cells.push(Cell::default());
    let crowd = crowd(20, cells);
    assert_eq!(
        crowd.told(),
        "A 1,204 · B 7 · not heard 1 · final 7 of 1,212"
    );
    let tally = crowd.tally();
    assert_eq!(
        tally.preferring.iter().sum::<usize>() + tally.unaware,
        crowd.cells.len()
    );
    assert!(crowd.is_grid());
}

#[test]
fn a_node_is_told_in_words() {
    let mut cells = vec![cell(0, 7), cell(1, 20), Cell::default()];
    cells[2].standing = Standing::Crashed;
    let crowd = crowd(20, cells);
    assert_eq!(crowd.words(1), "Node 1 prefers A, confidence 7 of 20");
    assert_eq!(crowd.words(2), "Node 2 is final with B");
    assert_eq!(
        crowd.words(3),
        "Node 3 has not heard of any choice, crashed"
    );
    assert_eq!(crowd.words(4), "Node 4");
    assert!(!crowd.is_grid());
}

#[test]
fn a_glance_becomes_a_cell() {
    let glance = |phase, have| {
        Some(Glance {
            phase,
            have,
            value: Some(Hash32([8; 32])),
            ..Glance::default()
        })
    };
    let mut find = |value: Hash32| (value == Hash32([8; 32])).then_some(1);
    let mut of = |glance| Cell::of(glance, Standing::Up, &polls(20), &mut find);
    assert_eq!(of(None), Cell::default());
    let busy = of(glance(1, 7));
    assert_eq!(
        (busy.choice, busy.confidence, busy.is_final),
        (Some(1), 7, false)
    );
    let done = of(glance(3, 0));
    assert_eq!(
        (done.confidence, done.is_final, done.is_in_block),
        (20, true, false)
    );
    assert!(of(glance(4, 0)).is_in_block);
}

#[test]
fn counts_have_commas_where_people_expect_them() {
    let texts: Vec<String> = [0, 999, 1_000, 12_345, 1_000_000]
        .into_iter()
        .map(grouped)
        .collect();
    assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,000,000"]);
}
