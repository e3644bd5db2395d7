//! Packets of validators that say anything, with timers and payments between them: decoded in one form or refused, and the
//! node stays sound and comes back from its store as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::codec::{decode, encode};
use phaselab_core::crypto::Crypto;
use phaselab_core::engine::Protocol;
use phaselab_core::protocol::snowball::{Message, Snowball};
use phaselab_core::types::{NodeId, Time};
use phaselab_fuzz::Data;
use phaselab_tests::fixture::{packet, snowball};
use phaselab_tests::machine::Machine;

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let receiver = snowball::env(Crypto::Simulated, 2);
    let mut machine = Machine::start(&receiver);
    let messages = snowball::messages(&receiver);
    let payments = snowball::payments();
    let mut now_ms = 1;
    for counter in 1..16 {
        if data.is_empty() {
            break;
        }
        let message = &messages[usize::from(data.byte()) % messages.len()];
        let from = NodeId(1 + u16::from(data.byte() % 4));
        let payload = data.edit(&encode(message));
        if let Ok(message) = decode::<Message>(&payload) {
            assert_eq!(encode(&message), payload, "one form per message");
            let info = Snowball::describe(&message);
            assert!(usize::from(info.kind) < Snowball::spec().messages.len());
        }
        if from != receiver.id {
            let sender = snowball::env(Crypto::Simulated, from.0);
            machine.packet(Time::from_ms(now_ms), &packet(&sender, counter, &payload));
        }
        if data.byte() % 4 == 0 {
            let payment = &payments[usize::from(data.byte()) % payments.len()];
            machine.request(Time::from_ms(now_ms), counter, &encode(payment));
        }
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
