//! A payload that a member sealed: decoded or not, checked or refused, in one form only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::codec::{decode, encode};
use phaselab_core::engine::Protocol;
use phaselab_core::protocol::two_phase::TwoPhase;
use phaselab_core::protocol::two_phase::message::Message;
use phaselab_fuzz::{Data, message, signer};

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let env = signer(1);
    let base = encode(&message(&mut data, &env));
    let payload = data.edit(&base);
    if let Ok(message) = decode::<Message>(&payload) {
        assert_eq!(encode(&message), payload, "one form per message");
        for from in env.members() {
            let _ = TwoPhase::check(&signer(2), *from, &message);
        }
        let info = TwoPhase::describe(&message);
        assert!(usize::from(info.kind) < TwoPhase::spec().messages.len());
    }
});
