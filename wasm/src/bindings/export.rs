//! Runs in the formats of other tools, and links to runs.

use std::sync::Arc;

use js_sys::Uint8Array;
use phaselab_core::export::{self, Format};
use phaselab_core::link::{Link, ROUTE};
use phaselab_core::recording::{self, Recording, Rerun, Script};
use phaselab_core::scenario::{self, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::trace::Trace;
use wasm_bindgen::prelude::*;

use super::convert::error;
use super::scenarios;

/// A run as a file of another tool. `run` is a link, a scenario's name or TOML text; or the bytes of a trace, of
/// recordings of live nodes one behind another, or of a link.
#[wasm_bindgen(js_name = exportRun)]
pub fn export_run(
    #[wasm_bindgen(unchecked_param_type = "string | Uint8Array")] run: JsValue,
    #[wasm_bindgen(unchecked_param_type = "ExportFormat")] format: &str,
) -> Result<Uint8Array, JsError> {
    let format = Format::from_name(format).ok_or_else(|| {
        let names = Format::ALL.map(Format::name).join(", ");
        error(format!("format: expected one of {names}"))
    })?;
    let sim = open(&run)?;
    let bytes = export::export(sim, format, None).map_err(error)?;
    Ok(Uint8Array::from(bytes.as_slice()))
}

/// The run before its first step.
fn open(run: &JsValue) -> Result<Sim, JsError> {
    if let Some(text) = run.as_string() {
        if text.contains(ROUTE) {
            return linked(&Link::parse(&text).map_err(error)?);
        }
        return Sim::new(&scenarios::resolve(&text)?).map_err(error);
    }
    let bytes = run
        .dyn_ref::<Uint8Array>()
        .ok_or_else(|| error("run: expected text, or a Uint8Array"))?
        .to_vec();
    if recording::is_recording(&bytes) {
        return live(&bytes);
    }
    match Trace::from_bytes(&bytes) {
        Ok(trace) => {
            let mut sim = Sim::new(&trace.scenario).map_err(error)?;
            sim.plan_by_hand(&trace.by_hand);
            Ok(sim)
        }
        Err(wrong) => match Link::from_bytes(&bytes) {
            Ok(link) => linked(&link),
            Err(_) => Err(error(wrong)),
        },
    }
}

fn linked(link: &Link) -> Result<Sim, JsError> {
    link.to_sim(&find).map_err(error)
}

fn find(name: &str) -> Option<(&'static str, Scenario)> {
    let entry = scenario::find(name).ok()?;
    let file = format!("{}.toml", entry.name);
    Some((entry.name, scenario::parse(&file, entry.text).ok()?))
}

fn live(bytes: &[u8]) -> Result<Sim, JsError> {
    let mut lives: Vec<Arc<Recording>> = recording::read(bytes)
        .map_err(error)?
        .into_iter()
        .map(Arc::new)
        .collect();
    lives.sort_by_key(|life| life.head.order());
    let mut reruns: Vec<Rerun> = lives.into_iter().map(Rerun::of).collect();
    recording::compare_stores(&mut reruns);
    let script = Script::new(&reruns).map_err(error)?;
    Sim::live(&Arc::new(script)).map_err(error)
}
