//! docs/scenarios.md says what the reader of scenarios takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use phaselab_core::scenario::{ACTS, parse};
use phaselab_core::sim::Sim;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios.md");
    fs::read_to_string(path).expect("the document")
}

/// What stands between single backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of the table that begins with these words, under its two lines of heading.
fn rows<'a>(document: &'a str, head: &str) -> impl Iterator<Item = &'a str> {
    let (_, table) = document.split_once(head).expect("the table");
    table.lines().skip(2).take_while(|line| !line.is_empty())
}

#[test]
fn its_scenario_comes_out_as_it_says() {
    let document = document();
    let blocks: Vec<&str> = document.split("```").skip(1).step_by(2).collect();
    let [block] = blocks.as_slice() else {
        panic!("{} blocks", blocks.len());
    };
    let source = block.strip_prefix("toml\n").expect("a block of TOML");
    let scenario = parse("docs/scenarios.md", source).expect("a scenario");
    let mut sim = Sim::new(&scenario).expect("nodes that can be built");
    sim.run();
    let report = sim.report();
    assert_eq!(report.expectations.len(), 2);
    assert!(report.is_as_expected(), "{report:#?}");
}

#[test]
fn its_table_of_what_can_be_done_is_whole() {
    let document = document();
    let told: BTreeMap<&str, Vec<&str>> = rows(&document, "| `do` |")
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (quoted(cells[1])[0], quoted(cells[2]))
        })
        .collect();
    let taken = ACTS.map(|(act, keys)| (act, keys.to_vec()));
    assert_eq!(told, taken.into_iter().collect());
}

/// Each form of a request, and each change of the world outside.
#[test]
fn its_requests_and_facts_are_read() {
    let document = document();
    let mut read = 0;
    for row in rows(&document, "| protocol | request |") {
        let words = quoted(row);
        let protocol = words[0];
        for request in words[1..].iter().filter(|word| word.starts_with('{')) {
            let source = format!(
                "protocol = \"{protocol}\"\nnodes = 6\n\
                 [[at]]\nms = 1\ndo = \"submit\"\nto = 1\nrequest = {request}\n"
            );
            parse("row.toml", &source).unwrap_or_else(|error| panic!("{request}: {error}"));
            read += 1;
        }
    }
    let fact = document.lines().find(|line| line.starts_with("| `fact`"));
    let forms = quoted(fact.expect("a row"));
    for fact in forms.iter().filter(|word| word.starts_with('{')) {
        let source = format!(
            "protocol = \"two-phase\"\nnodes = 3\n\
             [[at]]\nms = 1\ndo = \"fact\"\nnode = 1\nfact = {fact}\n"
        );
        parse("row.toml", &source).unwrap_or_else(|error| panic!("{fact}: {error}"));
        read += 1;
    }
    assert_eq!(read, 9);
}
