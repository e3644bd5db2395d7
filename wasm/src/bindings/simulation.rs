//! A run with a cursor that moves both ways.

use js_sys::Reflect;
use phaselab_core::engine::MessageInfo;
use phaselab_core::scenario::{self, Act, Scenario};
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::sim::{Flight, Sim};
use phaselab_core::types::{NodeId, Time};
use phaselab_core::view::{Glance, Shape, ViewScope};
use phaselab_core::why::why;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::convert::{EventObject, error, ms, node_id, seed, to_js};
use super::scenarios;
use crate::live::wire::field;

/// A deterministic run of a scenario: the same scenario and seed give the same trace hash everywhere.
#[wasm_bindgen]
pub struct Simulation {
    timeline: Timeline,
}

#[wasm_bindgen]
impl Simulation {
    /// A run before its first step. `scenario` is a scenario's TOML text, or the name of one that is built in.
    #[wasm_bindgen(constructor)]
    pub fn new(
        scenario: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "SimulationOptions")] options: JsValue,
    ) -> Result<Simulation, JsError> {
        let mut scenario = scenarios::resolve(scenario)?;
        if let Some(seed) = seed(&field(&options, "seed"))? {
            scenario.seed = seed;
        }
        Ok(Simulation {
            timeline: Timeline::new(&scenario).map_err(error)?,
        })
    }

    /// One step forward: `{ step, at_ms, node }`, or `undefined` at the end of the run.
    #[wasm_bindgen(unchecked_return_type = "Stepped | undefined")]
    pub fn step(&mut self) -> Result<JsValue, JsError> {
        match self.timeline.step() {
            None => Ok(JsValue::UNDEFINED),
            Some(stepped) => to_js(&SteppedObject {
                step: stepped.step,
                at_ms: ms(stepped.at),
                node: stepped.node,
            }),
        }
    }

    /// Forward to the end of the run.
    pub fn run(&mut self) {
        self.timeline.run();
    }

    /// Forward until virtual time passes `ms`.
    #[wasm_bindgen(js_name = runUntil)]
    pub fn run_until(&mut self, ms: f64) {
        self.timeline.run_until(time(ms));
    }

    /// Moves to just before the step with this number, or to the end if there are fewer.
    pub fn seek(&mut self, step: f64) {
        self.timeline.seek(step.max(0.0) as u64);
    }

    /// Moves to the first step after `ms`.
    #[wasm_bindgen(js_name = seekTime)]
    pub fn seek_time(&mut self, ms: f64) {
        self.timeline.seek_time(time(ms));
    }

    /// Virtual milliseconds since the start.
    #[wasm_bindgen(getter)]
    pub fn now(&self) -> f64 {
        ms(self.sim().now())
    }

    /// How many steps were made.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> f64 {
        self.sim().steps() as f64
    }

    /// How many events there are up to here.
    #[wasm_bindgen(getter, js_name = eventCount)]
    pub fn event_count(&self) -> f64 {
        self.sim().log().len() as f64
    }

    /// The hash of all that happened so far, in hex.
    #[wasm_bindgen(getter, js_name = traceHash)]
    pub fn trace_hash(&self) -> String {
        self.sim().trace_hash().to_string()
    }

    /// The protocol's shape: phases, legal transitions, message kinds, meters.
    #[wasm_bindgen(unchecked_return_type = "Spec")]
    pub fn spec(&self) -> Result<JsValue, JsError> {
        to_js(self.sim().spec())
    }

    /// A node in full; as last seen if it is down.
    #[wasm_bindgen(unchecked_return_type = "NodeView")]
    pub fn view(&self, node: f64) -> Result<JsValue, JsError> {
        let node = node_id(node, self.sim().scenario().nodes)?;
        to_js(&self.sim().view(node, ViewScope::Full))
    }

    /// Every node at a glance, in order.
    #[wasm_bindgen(unchecked_return_type = "Glance[]")]
    pub fn glances(&self) -> Result<JsValue, JsError> {
        let sim = self.sim();
        let glances: Vec<GlanceObject> = sim
            .scenario()
            .ids()
            .map(|node| GlanceObject::new(sim, node))
            .collect();
        to_js(&glances)
    }

    /// The messages on their way, in order of arrival.
    #[wasm_bindgen(unchecked_return_type = "Flight[]")]
    pub fn flights(&self) -> Result<JsValue, JsError> {
        let flights: Vec<FlightObject> = self
            .sim()
            .flights()
            .iter()
            .map(|flight| FlightObject::new(self.sim(), flight))
            .collect();
        to_js(&flights)
    }

    /// At most `max` events from a place on, in order.
    #[wasm_bindgen(unchecked_return_type = "SimulationEvent[]")]
    pub fn events(&self, from: f64, max: f64) -> Result<JsValue, JsError> {
        let sim = self.sim();
        let object = |entry: phaselab_core::sim::log::Logged| {
            let letter = match (entry.event.instance, entry.event.value) {
                (Some(instance), Some(value)) => sim.log().letter(instance, value),
                _ => None,
            };
            EventObject::new(
                (entry.id.step, entry.id.index),
                entry.at,
                entry.node,
                &entry.event,
                letter,
                sim.spec(),
            )
        };
        let events = sim
            .log()
            .iter_from(from.max(0.0) as usize)
            .take(max.max(0.0) as usize)
            .map(object);
        to_js(&events.collect::<Vec<_>>())
    }

    /// The summary of what happened so far: the object that `phaselab sim --json` prints.
    #[wasm_bindgen(unchecked_return_type = "Report")]
    pub fn report(&self) -> Result<JsValue, JsError> {
        let mut report = self.sim().report();
        // A seed may be larger than a number holds exactly; JSON.parse rounds it, and so does this.
        let seed = std::mem::take(&mut report.seed);
        let object = to_js(&report)?;
        Reflect::set(&object, &"seed".into(), &(seed as f64).into())
            .map_err(|_| error("the report is not an object"))?;
        Ok(object)
    }

    /// Why an instance ended at a node, or whom it lacks there, as the run stands. `instance` is an id from `view`.
    #[wasm_bindgen(unchecked_return_type = "Why")]
    pub fn why(&self, node: f64, instance: &str) -> Result<JsValue, JsError> {
        let node = node_id(node, self.sim().scenario().nodes)?;
        let names = self.sim().names();
        let mut known = names.keys().filter(|id| id.to_string() == instance);
        let known = known.next().ok_or_else(|| {
            error(format!(
                "no node knows an instance {instance}; expected an id from view()"
            ))
        })?;
        to_js(&why(self.sim(), node, *known))
    }

    /// Does something to the run before its next step: the keys of one `[[at]]` entry without its time, such as
    /// `do = "crash"` and `node = 1` on lines of their own. What lay ahead is forgotten.
    pub fn intervene(&mut self, toml: &str) -> Result<(), JsError> {
        let act = parse_act(self.sim().scenario(), toml)?;
        self.timeline.intervene(act).map_err(error)
    }

    fn sim(&self) -> &Sim {
        self.timeline.sim()
    }
}

fn time(ms: f64) -> Time {
    Time((ms.max(0.0) * 1e6) as u64)
}

/// Reads one intervention as an entry of a file that holds nothing else.
fn parse_act(scenario: &Scenario, toml: &str) -> Result<Act, JsError> {
    let head = format!(
        "protocol = \"{}\"\nnodes = {}\n[[at]]\nstep = 0\n",
        scenario.protocol.name(),
        scenario.nodes
    );
    let head_lines = head.lines().count();
    let parsed = scenario::parse("intervention", &format!("{head}{toml}")).map_err(|refused| {
        let line = refused
            .line
            .filter(|line| *line > head_lines)
            .map(|line| format!("line {}: ", line - head_lines));
        error(format!("{}{}", line.unwrap_or_default(), refused.message))
    })?;
    let mut entries = parsed.interventions.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry.act),
        _ => Err(error("expected one intervention")),
    }
}

#[derive(Serialize)]
struct SteppedObject {
    step: u64,
    at_ms: f64,
    node: Option<NodeId>,
}

#[derive(Serialize)]
struct GlanceObject {
    node: NodeId,
    alive: bool,
    byzantine: bool,
    phase: &'static str,
    #[serde(flatten)]
    glance: GlanceFields,
}

#[derive(Serialize)]
struct GlanceFields {
    instance: Option<String>,
    round: u32,
    value: Option<String>,
    have: u64,
    need: u64,
}

impl GlanceObject {
    fn new(sim: &Sim, node: NodeId) -> GlanceObject {
        let Glance {
            instance,
            phase,
            round,
            value,
            have,
            need,
        } = sim.glance(node);
        GlanceObject {
            node,
            alive: sim.is_alive(node),
            byzantine: sim.is_byzantine(node),
            phase: sim
                .spec()
                .phases
                .get(usize::from(phase))
                .map_or("", |phase| phase.name),
            glance: GlanceFields {
                instance: instance.map(|id| id.to_string()),
                round: round.0,
                value: value.map(|value| value.to_string()),
                have,
                need,
            },
        }
    }
}

#[derive(Serialize)]
struct FlightObject {
    from: NodeId,
    to: NodeId,
    sent_ms: f64,
    arrives_ms: f64,
    kind: &'static str,
    shape: Option<Shape>,
    instance: Option<String>,
    round: u32,
    value: Option<String>,
    letter: Option<String>,
}

impl FlightObject {
    fn new(sim: &Sim, flight: &Flight) -> FlightObject {
        let MessageInfo {
            kind,
            instance,
            round,
            value,
        } = flight.info;
        let kind = sim.spec().messages.get(usize::from(kind));
        FlightObject {
            from: flight.from,
            to: flight.to,
            sent_ms: ms(flight.sent),
            arrives_ms: ms(flight.arrives),
            kind: kind.map_or("message", |kind| kind.name),
            shape: kind.map(|kind| kind.shape),
            instance: instance.map(|id| id.to_string()),
            round: round.0,
            value: value.map(|value| value.to_string()),
            letter: instance
                .zip(value)
                .and_then(|(instance, value)| sim.log().letter(instance, value)),
        }
    }
}
