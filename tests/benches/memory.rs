//! What a thousand nodes take, in bytes: the column `max alloc` of the output. See README.md.

use divan::{AllocProfiler, black_box};
use phaselab_core::crypto::Crypto;
use phaselab_core::sim::Sim;
use phaselab_tests::workload::{greetings, payments, polled, unwatched};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const NODES: u16 = 1_000;

/// A thousand nodes of a protocol without state, started, and what the engine holds of them.
#[divan::bench(sample_count = 3)]
fn a_thousand_nodes_without_state() -> Sim {
    let mut sim = greetings(NODES, Crypto::Simulated, 1);
    while sim.steps() < u64::from(NODES) {
        sim.step();
    }
    black_box(sim)
}

/// The same, once everyone heard everyone: each remembers what it heard of whom, so that it hears nothing twice.
#[divan::bench(sample_count = 1)]
fn a_thousand_nodes_that_heard_each_other() -> Sim {
    let mut sim = greetings(NODES, Crypto::Simulated, 1);
    while sim.delivered() < u64::from(NODES) * u64::from(NODES - 1) {
        sim.step();
    }
    black_box(sim)
}

/// A thousand signers, started, each with its view of 2,000 outputs.
#[divan::bench(sample_count = 3)]
fn a_thousand_signers() -> Sim {
    let scenario = payments(NODES, Crypto::Simulated, 100);
    let mut sim = unwatched(Sim::new(&scenario).expect("a possible scenario"));
    while sim.steps() < u64::from(NODES) {
        sim.step();
    }
    black_box(sim)
}

/// Five signers after 100 payments: what an event leaves behind.
#[divan::bench(sample_count = 3)]
fn five_signers_after_a_hundred_payments() -> Sim {
    let scenario = payments(5, Crypto::Simulated, 10_000);
    let mut sim = unwatched(Sim::new(&scenario).expect("a possible scenario"));
    sim.run();
    black_box(sim)
}

/// A thousand nodes that polled each other about a payment and a block: what each remembers of whom it heard.
#[divan::bench(sample_count = 1)]
fn a_thousand_nodes_that_polled_about_a_payment() -> Sim {
    let mut sim = unwatched(Sim::new(&polled(NODES)).expect("a possible scenario"));
    sim.run();
    black_box(sim)
}
