//! Two of three members lie together and sign whatever they like: outside every fault model, and still no reason to panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::codec::{decode, encode};
use phaselab_core::protocol::two_phase::message::Message;
use phaselab_core::types::Time;
use phaselab_fuzz::{Data, lie, message, signer};
use phaselab_tests::cluster::request;
use phaselab_tests::fixture::{fact, packet};
use phaselab_tests::machine::Machine;

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let liars = [signer(1), signer(3)];
    let honest = signer(2);
    let mut machine = Machine::start(&honest);
    if data.byte() % 4 > 0 {
        machine.fact(Time::ZERO, &encode(&fact()));
    }
    let mut now_ms = 1;
    for counter in 1..16 {
        if data.is_empty() {
            break;
        }
        let sender = &liars[usize::from(data.byte() % 2)];
        let base = encode(&message(&mut data, sender));
        let payload = data.edit(&base);
        if let Ok(mut message) = decode::<Message>(&payload) {
            lie(&mut message, &liars, sender.id);
            machine.packet(
                Time::from_ms(now_ms),
                &packet(sender, counter, &encode(&message)),
            );
        }
        let what = data.byte();
        now_ms += u64::from(what) * 20;
        for _ in 0..6 {
            machine.tick(Time::from_ms(now_ms));
        }
        match what % 16 {
            0 => {
                machine.request(Time::from_ms(now_ms), counter, &request("withdraw-1", 25));
            }
            1 => {
                machine.fact(Time::from_ms(now_ms), &encode(&fact()));
            }
            2 => {
                machine
                    .replica()
                    .check_recovery(machine.rows())
                    .expect("a node comes back as it is");
                machine = Machine::resume(&honest, machine.rows().clone());
                now_ms = 1;
            }
            _ => {}
        }
    }
    machine
        .replica()
        .check_recovery(machine.rows())
        .expect("a node comes back as it is");
});
