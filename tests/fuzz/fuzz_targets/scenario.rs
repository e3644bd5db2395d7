//! A scenario file of a careless hand: refused with its place, or a run that can be made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::scenario::{builtin, parse};
use phaselab_core::sim::Sim;
use phaselab_fuzz::Data;

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let base = builtin()[usize::from(data.byte()) % builtin().len()].text;
    let text = data.edit(base.as_bytes());
    match parse("fuzz.toml", &String::from_utf8_lossy(&text)) {
        Err(error) => assert!(error.to_string().starts_with("fuzz.toml")),
        Ok(scenario) if scenario.nodes <= 8 => {
            let mut sim = Sim::new(&scenario).expect("a checked scenario can be built");
            for _ in 0..100 {
                sim.step();
            }
            sim.report();
        }
        Ok(_) => {}
    }
});
