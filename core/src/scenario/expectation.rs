//! What should come of a run.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Scenario;
use crate::types::NodeId;

/// What should come of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    /// At this node; absent means at every node that is alive at the end.
    pub node: Option<NodeId>,
    /// About this instance, by name.
    pub instance: Option<String>,
    /// It ends in this phase, or with `within_ms` enters it in time.
    pub phase: Option<String>,
    /// An event of this kind happens.
    pub event: Option<String>,
    /// Exactly this often.
    pub count: Option<u64>,
    /// Never.
    pub never: bool,
    /// Not later than this.
    pub within_ms: Option<u64>,
    /// This invariant is meant.
    pub invariant: Option<String>,
    /// Whether it holds.
    pub holds: Option<bool>,
    /// Only under these rules.
    pub rules: Option<InForce>,
}

/// The rules of a run, as expectations tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InForce {
    /// Hardened rules, with no flaw restored.
    Hardened,
    /// The rules of the source document.
    AsWritten,
    /// Hardened rules with a flaw restored.
    Flawed,
}

impl Expectation {
    pub(super) fn check(&self, scenario: &Scenario) -> Result<(), String> {
        if let Some(node) = self.node
            && (node.0 == 0 || node.0 > scenario.nodes)
        {
            return Err(format!(
                "expect: node {} does not exist; expected 1 to {}",
                node.0, scenario.nodes
            ));
        }
        let spec = scenario.protocol.spec();
        if let Some(phase) = &self.phase
            && !spec.phases.iter().any(|known| known.name == phase)
        {
            let known: Vec<_> = spec.phases.iter().map(|phase| phase.name).collect();
            return Err(format!(
                "expect: no phase \"{phase}\"; expected one of {}",
                known.join(", ")
            ));
        }
        if let Some(event) = &self.event
            && !crate::narrate::EVENT_NAMES.contains(&event.as_str())
        {
            return Err(format!(
                "expect: no event \"{event}\"; expected one of {}",
                crate::narrate::EVENT_NAMES.join(", ")
            ));
        }
        match (&self.phase, &self.event, &self.invariant) {
            (Some(_), None, None) if self.instance.is_some() => Ok(()),
            (Some(_), None, None) => {
                Err("expect: a phase needs the instance that is meant".to_string())
            }
            (None, Some(_), None) => Ok(()),
            (None, None, Some(_)) if self.holds.is_some() => Ok(()),
            (None, None, Some(_)) => {
                Err("expect: an invariant needs holds = true or false".to_string())
            }
            _ => Err("expect: expected exactly one of phase, event and invariant".to_string()),
        }
    }
}
