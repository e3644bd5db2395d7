//! States in the Informal Trace Format of Apalache (ADR 015): one for the beginning, and one for each step that changed
//! what a node holds or which messages are on their way.
//!
//! Numbers are `#bigint`, tables `#map`, pairs `#tup`. All states have the same variables and all records the same fields:
//! an empty text and round -1 stand for what is not there.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use crate::ordered;
use crate::sim::Sim;
use crate::types::Hash32;
use crate::view::{InstanceView, ViewScope};

/// The variables, and their types in Apalache's notation.
const VARIABLES: [(&str, &str); 6] = [
    ("step", "Int"),
    ("at_us", "Int"),
    ("alive", "Int -> Bool"),
    ("byzantine", "Int -> Bool"),
    (
        "instances",
        "<<Int, Str>> -> { phase: Str, round: Int, locked: Str, locked_round: Int, signed: Str, decided: Str }",
    ),
    ("in_flight", "Str -> Int"),
];

/// The states of a run as it is played.
pub(super) struct States {
    is_wanted: bool,
    states: Vec<Value>,
    /// What the last state says, apart from when.
    last: Option<[Value; 4]>,
}

impl States {
    pub(super) fn new(sim: &Sim, is_wanted: bool) -> States {
        let mut states = States {
            is_wanted,
            states: Vec::new(),
            last: None,
        };
        states.look(sim);
        states
    }

    /// Takes a state, if it is another one.
    pub(super) fn look(&mut self, sim: &Sim) {
        if !self.is_wanted {
            return;
        }
        let nodes = || sim.scenario().ids();
        let flags = |is_so: &dyn Fn(crate::types::NodeId) -> bool| {
            map(nodes().map(|node| [int(node.0), is_so(node).into()]))
        };
        let views = nodes().flat_map(|node| {
            let view = sim.view(node, ViewScope::Summary);
            let of_node = move |view: InstanceView| (node, view);
            view.instances.into_iter().map(of_node)
        });
        let instances = views.map(|(node, view)| {
            let key = json!({ "#tup": [int(node.0), view.name] });
            [key, instance(sim, &view)]
        });
        let mut counts: ordered::Map<u8, u64> = ordered::Map::new();
        for flight in sim.flights() {
            *counts.get_or_default(flight.info.kind) += 1;
        }
        let kinds = (0..).zip(sim.spec().messages);
        let in_flight = kinds.map(|(kind, message)| {
            let count = counts.get(&kind).copied().unwrap_or_default();
            [message.name.into(), int(count)]
        });
        let state = [
            flags(&|node| sim.is_alive(node)),
            flags(&|node| sim.is_byzantine(node)),
            map(instances),
            map(in_flight),
        ];
        if self.last.as_ref() == Some(&state) {
            return;
        }
        self.last = Some(state.clone());
        let when = [int(sim.steps()), int(sim.now().0 / 1_000)];
        let names = VARIABLES.iter().map(|(name, _)| (*name).to_string());
        let mut fields: Map<String, Value> = names.zip(when.into_iter().chain(state)).collect();
        let index = self.states.len();
        fields.insert("#meta".to_string(), json!({ "index": index }));
        self.states.push(Value::Object(fields));
    }

    pub(super) fn text(self, sim: &Sim) -> String {
        let scenario = sim.scenario();
        let types: Map<String, Value> = VARIABLES
            .iter()
            .map(|(name, of)| ((*name).to_string(), (*of).into()))
            .collect();
        let seed = match sim.is_live() {
            true => String::from("live"),
            false => format!("seed {}", scenario.seed),
        };
        let all = json!({
            "#meta": {
                "format": "ITF",
                "format-description": "https://apalache-mc.org/docs/adr/015adr-trace.html",
                "source": scenario.name,
                "description": format!(
                    "{} {}, {seed}, {} steps, trace {}",
                    scenario.protocol.name(), scenario.rules.name(), sim.steps(), sim.trace_hash()
                ),
                "varTypes": types,
            },
            "params": [],
            "vars": VARIABLES.map(|(name, _)| name),
            "states": self.states,
        });
        format!("{all}\n")
    }
}

fn instance(sim: &Sim, view: &InstanceView) -> Value {
    let phase = sim.spec().phases.get(usize::from(view.phase));
    let text = |value: Option<Hash32>| value.map_or_else(String::new, |value| value.to_string());
    json!({
        "phase": phase.map_or("", |phase| phase.name),
        "round": int(view.round.0),
        "locked": text(view.locked.map(|(_, value)| value)),
        "locked_round": int(view.locked.map_or(-1, |(round, _)| i64::from(round.0))),
        "signed": text(view.signed),
        "decided": text(view.value),
    })
}

fn int(number: impl core::fmt::Display) -> Value {
    json!({ "#bigint": format!("{number}") })
}

fn map(pairs: impl Iterator<Item = [Value; 2]>) -> Value {
    json!({ "#map": pairs.map(|pair| Value::Array(pair.into())).collect::<Vec<_>>() })
}
