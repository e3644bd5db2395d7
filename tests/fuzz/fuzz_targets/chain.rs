//! What nodes report to the world, what interventions do to it, and what its store gives back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phaselab_core::codec::{decode, encode};
use phaselab_core::crypto::Crypto;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::two_phase::ChainChange;
use phaselab_core::protocol::two_phase::template::ChainFact;
use phaselab_core::types::{NodeId, Time};
use phaselab_fuzz::Data;
use phaselab_tests::{Cluster, fixture};

fuzz_target!(|bytes: &[u8]| {
    let mut data = Data(bytes);
    let scenario = Cluster::builder(3).build();
    let mut chain = ProtocolKind::TwoPhase.environment(&scenario);
    let change = ChainChange {
        hide: vec![0, 1],
        show: vec![1],
        spend: vec![2],
        pay: vec![50],
    };
    let mut now_ms = 0;
    for _ in 0..12 {
        if data.is_empty() {
            break;
        }
        let node = NodeId(u16::from(data.byte() % 5));
        now_ms += u64::from(data.byte()) * 10;
        let now = Time::from_ms(now_ms);
        match data.byte() % 5 {
            0 => chain.report(
                now,
                node,
                &data.edit(&encode(&fixture::report(Crypto::Simulated))),
            ),
            1 => drop(chain.change(now, Some(node), &data.edit(&encode(&change)))),
            2 => drop(chain.change(now, None, &data.edit(&encode(&change)))),
            3 => {
                let saved = data.edit(&chain.save());
                let _ = chain.restore(&saved);
            }
            _ => {
                if let Some(fact) = chain.full_view(now, node) {
                    decode::<ChainFact>(&fact).expect("facts decode");
                }
            }
        }
        for (_, fact) in chain.poll(now) {
            decode::<ChainFact>(&fact).expect("facts decode");
        }
        let saved = chain.save();
        chain.restore(&saved).expect("its own state");
    }
});
