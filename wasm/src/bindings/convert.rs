//! Values and errors across the boundary.

use js_sys::{Function, Reflect, Uint8Array};
use phaselab_core::event::Event;
use phaselab_core::narrate;
use phaselab_core::store::{Rows, TableId, Write};
use phaselab_core::types::{NodeId, Time};
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::prelude::*;

use crate::live::wire::{field, number_from_js, object};

/// A value as plain objects and arrays, as `JSON.parse` would give it.
pub(super) fn to_js<T: Serialize + ?Sized>(value: &T) -> Result<JsValue, JsError> {
    value
        .serialize(&Serializer::json_compatible())
        .map_err(|error| JsError::new(&error.to_string()))
}

/// An error from whatever says what is wrong.
pub(super) fn error(what: impl ToString) -> JsError {
    JsError::new(&what.to_string())
}

/// Milliseconds with their fraction.
pub(super) fn ms(time: Time) -> f64 {
    time.0 as f64 / 1e6
}

/// A node's number as JavaScript gives it, checked against how many there are.
pub(super) fn node_id(node: f64, nodes: u16) -> Result<NodeId, JsError> {
    let id = NodeId(node as u16);
    if id.0 == 0 || id.0 > nodes || f64::from(id.0) != node {
        return Err(error(format!(
            "node {node} does not exist; expected 1 to {nodes}"
        )));
    }
    Ok(id)
}

/// A seed: a whole number, or a BigInt beyond what numbers hold.
pub(super) fn seed(value: &JsValue) -> Result<Option<u64>, JsError> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    let seed = number_from_js(value).or_else(|| u64::try_from(value.clone()).ok());
    seed.map(Some)
        .ok_or_else(|| error("seed: expected a whole number from 0, or a BigInt below 2^64"))
}

/// Required bytes among the options.
pub(super) fn bytes(options: &JsValue, name: &str) -> Result<Vec<u8>, JsError> {
    let value = field(options, name);
    let bytes = value
        .dyn_ref::<Uint8Array>()
        .ok_or_else(|| error(format!("{name}: expected a Uint8Array")))?;
    Ok(bytes.to_vec())
}

/// A required word among the options.
pub(super) fn text(options: &JsValue, name: &str) -> Result<String, JsError> {
    field(options, name)
        .as_string()
        .ok_or_else(|| error(format!("{name}: expected a string")))
}

/// A function among the options; absent is fine, anything else is not.
pub(super) fn function(options: &JsValue, name: &str) -> Result<Option<Function>, JsError> {
    let value = field(options, name);
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    value
        .dyn_into()
        .map(Some)
        .map_err(|_| error(format!("{name}: expected a function")))
}

/// Rows among the options: `[table, key, value]` each.
pub(super) fn rows(options: &JsValue) -> Result<Rows, JsError> {
    let given = field(options, "rows");
    let mut rows = Rows::default();
    if given.is_undefined() || given.is_null() {
        return Ok(rows);
    }
    let expected =
        || error("rows: expected [table, key, value] with a number and two Uint8Arrays in each");
    for row in js_sys::try_iter(&given)
        .ok()
        .flatten()
        .ok_or_else(expected)?
    {
        let row = row.map_err(|_| expected())?;
        let cell = |index: u32| Reflect::get_u32(&row, index).unwrap_or(JsValue::UNDEFINED);
        let table = number_from_js(&cell(0))
            .and_then(|table| u8::try_from(table).ok())
            .ok_or_else(expected)?;
        let (key, value) = (
            cell(1).dyn_into::<Uint8Array>(),
            cell(2).dyn_into::<Uint8Array>(),
        );
        let (Ok(key), Ok(value)) = (key, value) else {
            return Err(expected());
        };
        rows.insert(TableId(table), &key.to_vec(), &value.to_vec());
    }
    Ok(rows)
}

/// A write as a store's callback takes it.
pub(super) fn write_to_js(write: &Write) -> JsValue {
    let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    let value = write.value.as_deref().map_or(JsValue::NULL, bytes);
    object(&[
        ("table", &write.table.0.into()),
        ("key", &bytes(&write.key)),
        ("value", &value),
    ])
}

/// An event for JavaScript.
#[derive(Serialize)]
pub(super) struct EventObject {
    pub(super) step: u64,
    pub(super) index: u16,
    pub(super) at_ms: f64,
    pub(super) node: NodeId,
    kind: &'static str,
    sentence: String,
    told: bool,
    instance: Option<String>,
    round: u32,
    value: Option<String>,
    letter: Option<String>,
    peer: Option<NodeId>,
    have: u64,
    need: u64,
    total: u64,
}

impl EventObject {
    pub(super) fn new(
        (step, index): (u64, u16),
        at: Time,
        node: NodeId,
        event: &Event,
        letter: Option<String>,
        spec: &phaselab_core::view::Spec,
    ) -> EventObject {
        EventObject {
            step,
            index,
            at_ms: ms(at),
            node,
            kind: narrate::event_name(event.kind),
            sentence: narrate::sentence(spec, node, event, letter.as_deref()),
            told: narrate::is_told(event.kind),
            instance: event.instance.map(|id| id.to_string()),
            round: event.round.0,
            value: event.value.map(|value| value.to_string()),
            letter,
            peer: event.peer,
            have: event.have,
            need: event.need,
            total: event.total,
        }
    }
}
