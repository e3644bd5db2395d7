//! What one delivery costs, by protocol, signatures and how much observers hear. See README.md.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use phaselab_core::crypto::Crypto;
use phaselab_core::event::Level;
use phaselab_core::sim::Sim;
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::types::Time;
use phaselab_tests::workload::{greetings, payments, unwatched};

fn main() {
    divan::main();
}

/// Runs to the end; an item is one delivered message.
fn run(bencher: Bencher<'_, '_>, sim: &Sim) {
    let mut finished = sim.clone();
    finished.run();
    let delivered = ItemsCount::new(finished.delivered());
    let runs = bencher.counter(delivered).with_inputs(|| sim.clone());
    runs.bench_local_refs(|sim| {
        sim.run();
        black_box(sim.trace_hash())
    });
}

/// All-to-all greetings: engine, codec and envelope alone.
#[divan::bench(args = [5, 25], sample_count = 10)]
fn greetings_with_simulated_signatures(bencher: Bencher<'_, '_>, nodes: u16) {
    run(bencher, &greetings(nodes, Crypto::Simulated, 400_000));
}

/// The same; each message is signed once and verified once, however many receive it.
#[divan::bench(args = [5, 25], sample_count = 5)]
fn greetings_with_ed25519(bencher: Bencher<'_, '_>, nodes: u16) {
    run(bencher, &greetings(nodes, Crypto::Ed25519, 20_000));
}

/// What it costs that somebody listens, where the only events are messages.
#[divan::bench(args = [Level::None, Level::Decisions, Level::Protocol, Level::Full], sample_count = 10)]
fn greetings_by_level(bencher: Bencher<'_, '_>, level: Level) {
    let mut sim = greetings(5, Crypto::Simulated, 100_000);
    sim.set_level(level);
    run(bencher, &sim);
}

fn signers(level: Level) -> Sim {
    let sim = Sim::new(&payments(5, Crypto::Simulated, 10_000)).expect("a possible scenario");
    let mut sim = unwatched(sim);
    sim.set_level(level);
    sim
}

/// Ten virtual seconds of two-phase with 5 signers and 100 payments.
#[divan::bench(args = [Level::None, Level::Decisions, Level::Protocol, Level::Full], sample_count = 10)]
fn two_phase_by_level(bencher: Bencher<'_, '_>, level: Level) {
    run(bencher, &signers(level));
}

#[divan::bench(sample_count = 3)]
fn two_phase_with_ed25519(bencher: Bencher<'_, '_>) {
    let sim = Sim::new(&payments(5, Crypto::Ed25519, 10_000)).expect("a possible scenario");
    run(bencher, &unwatched(sim));
}

/// A page that drags its cursor back by a second, with everything heard.
#[divan::bench(sample_count = 10)]
fn a_seek_back_by_a_second(bencher: Bencher<'_, '_>) {
    let scenario = payments(5, Crypto::Simulated, 10_000);
    let mut timeline = Timeline::new(&scenario).expect("a possible scenario");
    timeline.run();
    bencher.bench_local(|| {
        timeline.seek_time(Time::from_ms(9_000));
        timeline.seek_time(Time::from_ms(8_000));
        black_box(timeline.sim().trace_hash())
    });
}
