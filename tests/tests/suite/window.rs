//! The replay window, seen from outside: each packet of a life is handled once, in any order.

use std::collections::BTreeSet;

use phaselab_core::codec::encode;
use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::engine::{Env, Protocol};
use phaselab_core::envelope::{Header, seal};
use phaselab_core::replica;
use phaselab_core::scenario::member_seed;
use phaselab_core::types::{GroupId, Incarnation, InstanceId, NodeId, Time};
use phaselab_tests::machine::Machine;
use phaselab_tests::sketch;
use phaselab_tests::sketch::ping::{Greeting, Ping, PingConfig};
use proptest::collection::vec;
use proptest::prelude::*;

/// How far back a late packet is still told from a replayed one.
const WINDOW: u64 = 1_024;

/// What a window does, with a memory that never ends.
#[derive(Default)]
struct Model {
    life: u32,
    highest: u64,
    seen: BTreeSet<u64>,
}

impl Model {
    fn note(&mut self, life: u32, counter: u64) -> &'static str {
        if life < self.life {
            return "stale_incarnation";
        }
        if life > self.life {
            *self = Model {
                life,
                ..Model::default()
            };
        }
        if self.highest.saturating_sub(counter) >= WINDOW || !self.seen.insert(counter) {
            return "replayed";
        }
        self.highest = self.highest.max(counter);
        "taken"
    }
}

fn env(id: u16) -> Env<Ping> {
    let groups = [GroupId(0); 2];
    let genesis = sketch::genesis::<Ping>(Crypto::Simulated, &groups, &PingConfig::default());
    let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(id)));
    replica::env(&genesis, NodeId(id), signer).expect("a member of two")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_window_forgets_nothing_that_matters(
        packets in vec(
            (1..4u32, prop_oneof![6 => 0..40u64, 3 => 0..3_000u64, 1 => any::<u64>()]),
            1..120,
        ),
    ) {
        let (sender, mut machine) = (env(1), Machine::start(&env(2)));
        let mut model = Model::default();
        for (life, counter) in packets {
            let header = Header {
                protocol: Ping::TAG,
                genesis: sender.genesis,
                sender: sender.id,
                incarnation: Incarnation(life),
                counter,
            };
            let greeting = Greeting { instance: InstanceId::default(), number: 1 };
            let packet = seal(&header, &encode(&greeting), &sender.signer);
            let before = (machine.refused("replayed"), machine.refused("stale_incarnation"));
            let heard = machine.replica().glance().have;
            machine.packet(Time::from_ms(1), &packet);
            let found = match (machine.refused("replayed") - before.0, machine.refused("stale_incarnation") - before.1) {
                (0, 0) => "taken",
                (1, 0) => "replayed",
                _ => "stale_incarnation",
            };
            prop_assert_eq!(found, model.note(life, counter), "life {}, counter {}", life, counter);
            prop_assert_eq!(machine.replica().glance().have - heard, u64::from(found == "taken"));
        }
    }
}
