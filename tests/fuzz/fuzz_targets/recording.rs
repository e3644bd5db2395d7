//! A recording from anywhere: refused, or lives that run again as far as they come the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use phaselab_core::crypto::Crypto;
use phaselab_core::recording::{self, Input, Moment, Recording, Rerun, Script};
use phaselab_core::sim::Sim;
use phaselab_core::types::Time;
use phaselab_fuzz::Data;
use phaselab_tests::recorded::three_nodes;

static SOUND: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| three_nodes(Crypto::Simulated, [0, 9_000_000, 40]));

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let which = usize::from(data.byte()) % SOUND.len();
    let sound = &SOUND[which];
    // Bytes that are not sealed anew: whatever is read of them is what was written.
    if data.byte() % 2 == 0 {
        let file = data.edit(sound);
        if let Ok(lives) = recording::read(&file) {
            let again: Vec<u8> = lives.iter().flat_map(Recording::to_bytes).collect();
            let again = recording::read(&again).expect("its own bytes");
            assert!(lives.iter().zip(&again).all(|(one, other)| {
                (&one.moments, &one.rows, one.ending) == (&other.moments, &other.rows, other.ending)
            }));
        }
        return;
    }
    // Inputs that a node of this store may be handed.
    let mut life = recording::read(sound).expect("a recording").remove(0);
    for _ in 0..data.byte() % 4 {
        let at = data.number() % life.moments.len();
        let kind = data.byte();
        match (&mut life.moments[at], kind % 3) {
            (Moment::Input { input, .. }, 0) => match input {
                Input::Packet(body) | Input::Fact(body) | Input::Request { request: body, .. } => {
                    *body = data.edit(body);
                }
                Input::Start | Input::Tick => {}
            },
            (Moment::Input { digest, .. }, 1) => *digest ^= 1,
            (Moment::Durable { batch, .. }, _) => *batch = data.number() as u64,
            (Moment::Input { .. }, _) if at > 0 => drop(life.moments.remove(at)),
            (Moment::Input { .. }, _) => {}
        }
    }
    if let Ok(lives) = recording::read(&life.to_bytes()) {
        let reruns: Vec<Rerun> = lives.into_iter().map(Arc::new).map(Rerun::of).collect();
        let script = Arc::new(Script::new(&reruns).expect("the members are three"));
        assert!(script.steps.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let mut sim = Sim::live(&script).expect("a life that began");
        sim.run_until(Time(u64::MAX));
        assert_eq!(sim.steps(), script.steps.len() as u64);
        sim.report();
    }
});
