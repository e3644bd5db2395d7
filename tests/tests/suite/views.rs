//! What views show, over all the scenarios that come with the core.

use std::collections::{BTreeMap, BTreeSet};

use phaselab_core::engine::RuleSet;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{builtin, parse};
use phaselab_core::sim::Sim;
use phaselab_core::view::ViewScope;

/// How often nodes are looked at, in steps.
const EVERY: u64 = 10;
/// Of more nodes than this, nothing else is shown.
const CROWD: u16 = 12;

/// What nobody has: the node waits for it.
const TOO_MUCH: (&str, &str) = (
    "too-much",
    "protocol = \"two-phase\"\nnodes = 3\nuntil_ms = 1000\n\
     [[at]]\nms = 1\ndo = \"submit\"\nto = 1\nrequest = { event = \"all\", amount = 1000000 }\n",
);

/// A field that the protocol does not name could not be expected; a name that nothing shows could not fail.
#[test]
fn fields_have_the_names_that_the_protocol_tells() {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let texts = builtin().iter().map(|entry| (entry.name, entry.text));
    for (name, text) in texts.chain([TOO_MUCH]) {
        for rules in [RuleSet::Hardened, RuleSet::AsWritten] {
            let mut scenario = parse(name, text).expect("a scenario");
            if scenario.nodes > CROWD || rules == RuleSet::AsWritten && !scenario.flaws.is_empty() {
                continue;
            }
            scenario.rules = rules;
            let names = seen.entry(scenario.protocol.name()).or_default();
            let mut sim = Sim::new(&scenario).expect("nodes that can be built");
            while sim.step().is_some() {
                if !sim.steps().is_multiple_of(EVERY) {
                    continue;
                }
                for id in scenario.ids() {
                    let view = sim.view(id, ViewScope::Full);
                    let parts = view.instances.iter().flat_map(|part| &part.fields);
                    names.extend(view.fields.iter().chain(parts).map(|field| field.name));
                }
            }
        }
    }
    for (protocol, shown) in seen {
        let spec = ProtocolKind::from_name(protocol).expect("it ran").spec();
        let told: BTreeSet<&str> = spec.fields.iter().copied().collect();
        assert_eq!(shown, told, "{protocol}");
    }
}
