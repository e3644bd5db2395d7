//! The checker: every schedule of a scenario, or of a model from the textbook, searched in slices.

use js_sys::{Array, Uint8Array};
use phaselab_core::codec;
use phaselab_core::explore::cluster::{self, Asked, Bounds};
use phaselab_core::explore::textbook::Textbook;
use phaselab_core::explore::{Limits, Model, Progress, Search, Visitor};
use phaselab_core::museum;
use phaselab_core::narrate;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{At, Scenario};
use phaselab_core::with_textbook;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::convert::{error, ms, seed, to_js};
use super::scenarios;
use crate::live::wire::{field, number_from_js};

/// A breadth-first search: the same numbers as the command line's, and the shortest counterexample.
#[wasm_bindgen]
pub struct Checker {
    search: Box<dyn Advance>,
    bounds: String,
}

#[wasm_bindgen]
impl Checker {
    /// A search before its first state. `scenario` is a scenario's TOML text, or the name of one that is built in; with
    /// `options.model` it is not needed.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "string | null | undefined")] scenario: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "CheckerBounds")] bounds: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "CheckerOptions")] options: JsValue,
    ) -> Result<Checker, JsError> {
        let limits = limits(&bounds)?;
        let model = field(&options, "model");
        if !is_absent(&model) {
            return textbook(&model, &options, limits);
        }
        let text = scenario
            .as_string()
            .ok_or_else(|| error("scenario: expected TOML text, or a name"))?;
        let mut scenario = scenarios::resolve(&text)?;
        if let Some(seed) = seed(&field(&options, "seed"))? {
            scenario.seed = seed;
        }
        if let Some(flaws) = flaws(&field(&options, "flaws"))? {
            scenario.flaws = flaws;
            scenario.check().map_err(error)?;
        }
        let bounds = cluster_bounds(&bounds, scenario.protocol)?;
        Ok(Checker {
            search: cluster::visit(&scenario, bounds, Asked::Safety, Boxed(limits))
                .map_err(error)?,
            bounds: bounds.to_string(),
        })
    }

    /// What is searched, in words.
    #[wasm_bindgen(getter)]
    pub fn bounds(&self) -> String {
        self.bounds.clone()
    }

    /// Expands up to so many states.
    #[wasm_bindgen(unchecked_return_type = "CheckerProgress")]
    pub fn advance(&mut self, states: f64) -> Result<JsValue, JsError> {
        self.search.advance(states as usize);
        let progress = self.search.progress();
        to_js(&ProgressObject {
            distinct: progress.distinct,
            generated: progress.generated,
            depth: progress.depth,
            frontier: progress.frontier,
            over: self.search.is_over(),
        })
    }

    /// The verdict so far; final once the search is over.
    #[wasm_bindgen(unchecked_return_type = "CheckerOutcome")]
    pub fn outcome(&self) -> Result<JsValue, JsError> {
        to_js(&self.search.outcome())
    }
}

/// The flaws of the source documents that can be restored, each with a schedule that shows it.
#[wasm_bindgen(unchecked_return_type = "Exhibit[]")]
pub fn museum() -> Result<JsValue, JsError> {
    let exhibits = museum::exhibits().map(|(protocol, exhibit)| {
        let about = exhibit.about(protocol);
        let scenario = exhibit.scenario().map_err(error)?;
        Ok(ExhibitObject {
            id: about.id,
            protocol: protocol.name(),
            story: about.story,
            invariant: about.promise,
            rule: about.rule,
            term: about.term,
            schedule: schedule(&scenario),
            refused: museum::hardened(&scenario).check().err(),
            scenario: exhibit.found,
        })
    });
    to_js(&exhibits.collect::<Result<Vec<_>, JsError>>()?)
}

/// What a scenario makes happen, in order, in words.
fn schedule(scenario: &Scenario) -> Vec<Scheduled> {
    let timed = scenario.interventions.iter().filter_map(|entry| {
        let At::Time(at) = entry.at else { return None };
        Some((at, narrate::act(&entry.act)))
    });
    let mut timed: Vec<_> = timed.collect();
    timed.sort_by_key(|(at, _)| *at);
    let scheduled = |(at, text)| Scheduled {
        at_ms: ms(at),
        text,
    };
    timed.into_iter().map(scheduled).collect()
}

/// A scenario's TOML in core's own encoding, for programs of the same version that have no parser for it.
#[wasm_bindgen(js_name = encodeScenario)]
pub fn encode_scenario(text: &str) -> Result<Uint8Array, JsError> {
    let scenario = scenarios::resolve(text)?;
    Ok(Uint8Array::from(codec::encode(&scenario).as_slice()))
}

/// A search whose model is forgotten.
trait Advance {
    fn advance(&mut self, states: usize);
    fn progress(&self) -> Progress;
    fn is_over(&self) -> bool;
    fn outcome(&self) -> OutcomeObject;
}

impl<M: Model> Advance for Search<M> {
    fn advance(&mut self, states: usize) {
        Search::advance(self, states);
    }

    fn progress(&self) -> Progress {
        Search::progress(self)
    }

    fn is_over(&self) -> bool {
        Search::is_over(self)
    }

    fn outcome(&self) -> OutcomeObject {
        let found = Search::outcome(self);
        let model = self.model();
        OutcomeObject {
            distinct: found.distinct,
            generated: found.generated,
            depth: found.depth,
            complete: found.complete,
            violation: found.violation.map(|violation| {
                let told = |steps: &[M::Action]| -> Vec<String> {
                    steps.iter().flat_map(|action| model.tell(action)).collect()
                };
                let trace = told(&violation.steps);
                let played = model.play(&violation.steps);
                ViolationObject {
                    invariant: violation.property,
                    steps: trace.len(),
                    trace,
                    cycle: violation.cycle.map(|at| told(&violation.steps[..at]).len()),
                    scenario: played.map(|scenario: Scenario| scenario.source),
                }
            }),
        }
    }
}

struct Boxed(Limits);

impl Visitor for Boxed {
    type Out = Box<dyn Advance>;

    fn visit<M: Model + 'static>(self, model: M) -> Self::Out {
        Box::new(Search::new(model, self.0))
    }
}

fn textbook(model: &JsValue, options: &JsValue, limits: Limits) -> Result<Checker, JsError> {
    let kind = model.as_string().as_deref().and_then(Textbook::from_name);
    let kind = kind.ok_or_else(|| {
        let names = Textbook::names().join(", ");
        error(format!("model: expected one of {names}"))
    })?;
    let size = whole(options, "size", SIZE_MAX)?.unwrap_or(SIZE);
    let search = with_textbook!(kind, size as usize, model => Boxed(limits).visit(model));
    Ok(Checker {
        search: search.map_err(error)?,
        bounds: format!("{}, size {size}", kind.name()),
    })
}

/// The size of a model from the textbook where none is given.
const SIZE: u64 = 3;

/// Sizes beyond this are refused before the model is asked.
const SIZE_MAX: u64 = 1_000;

fn cluster_bounds(given: &JsValue, protocol: ProtocolKind) -> Result<Bounds, JsError> {
    let default = protocol.bounds();
    let few = |name: &str, default: u8| -> Result<u8, JsError> {
        let given = whole(given, name, u8::MAX.into())?;
        Ok(given.map_or(default, |number| number as u8))
    };
    let flag = |name: &str, default: bool| {
        let value = field(given, name);
        match value.as_bool() {
            None if is_absent(&value) => Ok(default),
            None => Err(error(format!("{name}: expected true or false"))),
            Some(flag) => Ok(flag),
        }
    };
    Ok(Bounds {
        rounds: whole(given, "rounds", u32::MAX.into())?
            .map_or(default.rounds, |rounds| rounds as u32),
        timeouts: whole(given, "timeouts", u8::MAX.into())?
            .map(|number| number as u8)
            .or(default.timeouts),
        crashes: few("crashes", default.crashes)?,
        housekeeping: few("housekeeping", default.housekeeping)?,
        repeats: few("repeats", default.repeats)?,
        late_requests: flag("lateRequests", default.late_requests)?,
        beyond_decisions: flag("beyondDecisions", default.beyond_decisions)?,
        once: flag("once", default.once)?,
    })
}

fn limits(given: &JsValue) -> Result<Limits, JsError> {
    let most = Limits::default();
    let states = whole(given, "maxStates", most.states)?.unwrap_or(most.states);
    Ok(Limits { states, ..most })
}

/// A whole number among the options.
fn whole(options: &JsValue, name: &str, most: u64) -> Result<Option<u64>, JsError> {
    let value = field(options, name);
    if is_absent(&value) {
        return Ok(None);
    }
    let number = number_from_js(&value).filter(|number| *number <= most);
    number
        .map(Some)
        .ok_or_else(|| error(format!("{name}: expected a whole number from 0 to {most}")))
}

fn flaws(given: &JsValue) -> Result<Option<Vec<String>>, JsError> {
    if is_absent(given) {
        return Ok(None);
    }
    let ids = given.dyn_ref::<Array>().map(|array| array.iter());
    let ids = ids.and_then(|ids| ids.map(|id| id.as_string()).collect());
    ids.map(Some)
        .ok_or_else(|| error("flaws: expected an array of ids, such as [\"S0-F1\"]"))
}

fn is_absent(value: &JsValue) -> bool {
    value.is_undefined() || value.is_null()
}

#[derive(Serialize)]
struct ProgressObject {
    distinct: u64,
    generated: u64,
    depth: u32,
    frontier: u64,
    over: bool,
}

#[derive(Serialize)]
struct OutcomeObject {
    distinct: u64,
    generated: u64,
    depth: u32,
    complete: bool,
    violation: Option<ViolationObject>,
}

#[derive(Serialize)]
struct ViolationObject {
    invariant: &'static str,
    trace: Vec<String>,
    steps: usize,
    cycle: Option<usize>,
    scenario: Option<String>,
}

#[derive(Serialize)]
struct ExhibitObject {
    id: &'static str,
    protocol: &'static str,
    story: &'static str,
    invariant: &'static str,
    rule: &'static str,
    term: &'static str,
    scenario: &'static str,
    schedule: Vec<Scheduled>,
    refused: Option<String>,
}

#[derive(Serialize)]
struct Scheduled {
    at_ms: f64,
    text: String,
}
