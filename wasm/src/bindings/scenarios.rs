//! Scenarios by name or text, and what else stands before a run.

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{self, Scenario};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::convert::{error, to_js};

/// Runs when the module starts: a bug in core throws its message instead of a bare `unreachable`.
#[wasm_bindgen(start, skip_typescript)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| wasm_bindgen::throw_str(&info.to_string())));
}

/// The scenarios that are built in, in the order in which they are shown.
#[wasm_bindgen(unchecked_return_type = "ScenarioSummary[]")]
pub fn scenarios() -> Result<JsValue, JsError> {
    let parsed: Result<Vec<Scenario>, _> = scenario::builtin()
        .iter()
        .map(|entry| scenario::parse(entry.name, entry.text))
        .collect();
    let parsed = parsed.map_err(error)?;
    let summaries = scenario::builtin()
        .iter()
        .zip(&parsed)
        .map(|(entry, parsed)| Summary::new(parsed, entry.name));
    to_js(&summaries.collect::<Vec<_>>())
}

/// Reads a scenario: its summary, or an `Error` that says which line is wrong and what was expected.
#[wasm_bindgen(js_name = parseScenario, unchecked_return_type = "ScenarioSummary")]
pub fn parse_scenario(text: &str, file: Option<String>) -> Result<JsValue, JsError> {
    let scenario = scenario::parse(file.as_deref().unwrap_or(FILE), text).map_err(error)?;
    to_js(&Summary::new(&scenario, &scenario.name))
}

/// The file that errors name where the caller gives no name.
const FILE: &str = "scenario.toml";

/// A scenario by its name if it is built in, else from its text.
pub(super) fn resolve(text: &str) -> Result<Scenario, JsError> {
    if text.contains(['\n', '=']) {
        return scenario::parse(FILE, text).map_err(error);
    }
    let entry = scenario::find(text).map_err(|known| {
        error(format!(
            "no scenario \"{text}\"; expected one of {}",
            known.join(", ")
        ))
    })?;
    scenario::parse(entry.name, entry.text).map_err(error)
}

/// A protocol by its name.
pub(super) fn protocol(name: &str) -> Result<ProtocolKind, JsError> {
    ProtocolKind::from_name(name).ok_or_else(|| {
        error(format!(
            "no protocol \"{name}\"; expected one of {}",
            ProtocolKind::names().join(", ")
        ))
    })
}

/// Entropy of the system.
pub(super) fn system_entropy() -> Result<[u8; 32], JsError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|failure| error(format!("no entropy: {failure}")))?;
    Ok(bytes)
}

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    title: &'a str,
    protocol: &'static str,
    rules: &'static str,
    nodes: u16,
    seed: Seed,
    until_ms: u64,
    crypto: &'static str,
    source: &'a str,
}

/// A number where it is exact.
#[derive(Serialize)]
#[serde(untagged)]
enum Seed {
    Number(u64),
    Text(String),
}

impl<'a> Summary<'a> {
    fn new(scenario: &'a Scenario, name: &'a str) -> Summary<'a> {
        let is_exact = scenario.seed < 1 << 53;
        Summary {
            name,
            title: &scenario.title,
            protocol: scenario.protocol.name(),
            rules: scenario.rules.name(),
            nodes: scenario.nodes,
            seed: if is_exact {
                Seed::Number(scenario.seed)
            } else {
                Seed::Text(scenario.seed.to_string())
            },
            until_ms: scenario.until.as_ms(),
            crypto: scenario.crypto.name(),
            source: &scenario.source,
        }
    }
}
