//! Raw bytes from a socket: refused, or the very packet that a member sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::codec::encode;
use phaselab_core::types::Time;
use phaselab_fuzz::{Data, message, signer};
use phaselab_tests::fixture::packet;
use phaselab_tests::machine::Machine;

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let (sender, receiver) = (signer(1), signer(2));
    let sealed = packet(&sender, 1, &encode(&message(&mut data, &sender)));
    let edited = data.edit(&sealed);
    let mut machine = Machine::start(&receiver);
    let opened = machine.replica().open(&edited);
    assert_eq!(opened.is_ok(), edited == sealed, "nobody forges a packet");
    machine.packet(Time::from_ms(1), &edited);
});
