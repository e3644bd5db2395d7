//! What clients and the shell hand to a node: requests and facts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::codec::encode;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::Time;
use phaselab_fuzz::{Data, signer};
use phaselab_tests::cluster::request;
use phaselab_tests::fixture::fact;
use phaselab_tests::machine::Machine;

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let env = signer(2);
    let mut machine = Machine::start(&env);
    let mut now_ms = 0;
    for number in 1..8 {
        if data.is_empty() {
            break;
        }
        now_ms += u64::from(data.byte()) * 10;
        let now = Time::from_ms(now_ms);
        if data.byte() % 2 == 0 {
            let request = data.edit(&request("withdraw-1", 25));
            let _ = ProtocolKind::TwoPhase.request_name(&request);
            let _ = ProtocolKind::TwoPhase.read_reply(&request);
            machine.request(now, number, &request);
        } else {
            machine.fact(now, &data.edit(&encode(&fact())));
        }
        for _ in 0..4 {
            machine.tick(now);
        }
    }
    machine
        .replica()
        .check_recovery(machine.rows())
        .expect("a node comes back as it is");
});
