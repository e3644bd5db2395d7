//! Packets of a member that says anything, one after another, with timers between them: the node stays sound and comes
//! back from its store as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::codec::encode;
use phaselab_core::types::Time;
use phaselab_fuzz::{Data, message, signer};
use phaselab_tests::fixture::{fact, packet};
use phaselab_tests::machine::Machine;

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let receiver = signer(2);
    let mut machine = Machine::start(&receiver);
    machine.fact(Time::ZERO, &encode(&fact()));
    let mut now_ms = 1;
    for counter in 1..12 {
        if data.is_empty() {
            break;
        }
        let sender = signer(if data.byte() % 2 == 0 { 1 } else { 3 });
        let base = encode(&message(&mut data, &sender));
        let payload = data.edit(&base);
        machine.packet(Time::from_ms(now_ms), &packet(&sender, counter, &payload));
        now_ms += u64::from(data.byte()) * 20;
        for _ in 0..4 {
            machine.tick(Time::from_ms(now_ms));
        }
    }
    machine
        .replica()
        .check_recovery(machine.rows())
        .expect("a node comes back as it is");
    Machine::resume(&receiver, machine.rows().clone());
});
