//! What one payment costs in networks of many nodes that poll samples: time, memory, messages, and time to finality.
//! See README.md.

use std::time::Instant;

use phaselab_core::event::RecordKind;
use phaselab_core::sim::Sim;
use phaselab_tests::workload::{POLLED_AT_MS, polled, unwatched};

/// How many nodes unless it is told: the largest takes minutes.
const SIZES: [u16; 3] = [100, 1_000, 10_000];

fn main() {
    // `cargo bench` adds options of its own.
    let told: Vec<u16> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let sizes = if told.is_empty() {
        SIZES.to_vec()
    } else {
        told
    };
    println!(
        "nodes    real s   peak MiB   messages per node and decision   final after ms (half, all)"
    );
    for nodes in sizes {
        let begun = Instant::now();
        let mut sim = unwatched(Sim::new(&polled(nodes)).expect("a possible scenario"));
        sim.run();
        let took = begun.elapsed().as_secs_f64();
        let decided =
            |entry: &&phaselab_core::sim::Decision| entry.record.kind == RecordKind::Decided;
        let decisions: Vec<_> = sim.decisions().iter().filter(decided).collect();
        let first = decisions.first().expect("a decision").record.instance;
        let mut ms: Vec<u64> = decisions
            .iter()
            .filter(|entry| entry.record.instance == first)
            .map(|entry| entry.at.as_ms() - POLLED_AT_MS)
            .collect();
        ms.sort_unstable();
        let each = sim.delivered() as f64 / decisions.len() as f64;
        println!(
            "{nodes:<8} {took:<8.1} {:<10} {each:<32.0} {}, {}{}",
            peak_mib().map_or_else(|| "?".to_owned(), |mib| mib.to_string()),
            ms[ms.len() / 2],
            ms[ms.len() - 1],
            match ms.len() == usize::from(nodes) {
                true => "",
                false => "  (not at all nodes)",
            }
        );
    }
}

/// The most memory that this process had so far.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}
