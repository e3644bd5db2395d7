//! What should come of a run.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Scenario, complaint};
use crate::types::{ClientId, NodeId};

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
    /// This field of the node's view, or of the instance's if one is named, stands there at the end.
    pub field: Option<String>,
    /// Its text.
    pub is: Option<String>,
    /// A client is told this, in one word.
    pub reply: Option<String>,
    /// This client; absent means any.
    pub client: Option<ClientId>,
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
        if let Some(field) = &self.field
            && !spec.fields.contains(&field.as_str())
        {
            let wrong = complaint::unknown_word("field", field, spec.fields);
            return Err(format!("expect: {wrong}"));
        }
        let told = scenario.protocol.outcomes();
        if let Some(reply) = &self.reply
            && !told.contains(&reply.as_str())
        {
            let wrong = complaint::unknown_word("reply", reply, told);
            return Err(format!("expect: {wrong}"));
        }
        let kinds = [
            &self.phase,
            &self.event,
            &self.invariant,
            &self.field,
            &self.reply,
        ];
        if kinds.iter().filter(|kind| kind.is_some()).count() != 1 {
            return Err(
                "expect: expected exactly one of phase, event, invariant, field and reply"
                    .to_string(),
            );
        }
        let missing = if self.phase.is_some() && self.instance.is_none() {
            Some("a phase needs the instance that is meant")
        } else if self.invariant.is_some() && self.holds.is_none() {
            Some("an invariant needs holds = true or false")
        } else if self.field.is_some() != self.is.is_some() {
            Some("a field needs its text, and a text its field: field = \"leads\", is = \"yes\"")
        } else if self.client.is_some() && self.reply.is_none() {
            Some("a client needs the reply that is meant")
        } else if self.reply.is_some() && self.instance.is_some() {
            Some("a reply is not of an instance")
        } else {
            None
        };
        missing.map_or(Ok(()), |what| Err(format!("expect: {what}")))
    }
}
