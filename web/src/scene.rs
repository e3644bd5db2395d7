//! What is drawn: nodes, their history and messages in flight, whether the run is simulated or live.
//!
//! Core's views hold static names and cannot be read back; these mirror them, so that a worker can post one to a page.

use phaselab_core::types::{Hash32, InstanceId};
use phaselab_core::view::{self, NodeView, SegmentVote, Shape, Spec};
use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::history::{Mark, Span};

/// A node in full, as some observer sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePicture {
    /// Its instances in order of appearance.
    pub instances: Vec<InstancePicture>,
    /// Facts about the node as a whole.
    pub fields: Vec<FieldText>,
}

impl NodePicture {
    /// One of its instances.
    pub fn instance(&self, id: InstanceId) -> Option<&InstancePicture> {
        self.instances.iter().find(|instance| instance.id == id)
    }
}

/// One instance at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePicture {
    /// Its id.
    pub id: InstanceId,
    /// Its name, as a person gave it.
    pub name: String,
    /// Index into `Spec::phases`.
    pub phase: u8,
    /// Its round.
    pub round: u32,
    /// The decided value.
    pub value: Option<Hash32>,
    /// The locked value and its round.
    pub locked: Option<(u32, Hash32)>,
    /// The value that this node signed.
    pub signed: Option<Hash32>,
    /// In the order of `Spec::meters`.
    pub meters: Vec<MeterPicture>,
    /// One per value and round.
    pub choices: Vec<ChoicePicture>,
    /// Everything else.
    pub fields: Vec<FieldText>,
}

/// A quorum meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterPicture {
    /// Index into `Spec::meters`.
    pub kind: u8,
    /// The value that leads it.
    pub value: Option<Hash32>,
    /// Weight counted for that value.
    pub have: u64,
    /// Weight needed.
    pub need: u64,
    /// Registered weight.
    pub total: u64,
    /// One per registered voter, in id order.
    pub segments: Vec<SegmentPicture>,
}

impl MeterPicture {
    /// What the meter says in words: `2 of 3 · needs 2`.
    pub fn text(&self) -> String {
        format!("{} of {} · needs {}", self.have, self.total, self.need)
    }

    /// Whether the threshold is reached.
    pub fn is_reached(&self) -> bool {
        self.need > 0 && self.have >= self.need
    }
}

/// A voter's part of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPicture {
    /// The voter.
    pub node: u16,
    /// Its registered weight.
    pub weight: u64,
    /// What is known of its vote.
    pub vote: VotePicture,
}

/// What is known of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VotePicture {
    /// Nothing yet.
    Awaiting,
    /// For this value.
    For(Hash32),
    /// For no value.
    Nil,
}

/// A value on the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoicePicture {
    /// Its hash.
    pub value: Hash32,
    /// In which round it was proposed.
    pub round: u32,
    /// By whom, in id order.
    pub proposers: Vec<u16>,
    /// The number on the card.
    pub amount: u64,
    /// What distinguishes it.
    pub detail: String,
}

/// A named fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldText {
    /// The name.
    pub name: String,
    /// The value.
    pub text: String,
}

impl From<&NodeView> for NodePicture {
    fn from(view: &NodeView) -> Self {
        NodePicture {
            instances: view.instances.iter().map(instance).collect(),
            fields: fields(&view.fields),
        }
    }
}

fn instance(view: &view::InstanceView) -> InstancePicture {
    InstancePicture {
        id: view.id,
        name: view.name.clone(),
        phase: view.phase,
        round: view.round.0,
        value: view.value,
        locked: view.locked.map(|(round, value)| (round.0, value)),
        signed: view.signed,
        meters: view.meters.iter().map(meter).collect(),
        choices: view.choices.iter().map(choice).collect(),
        fields: fields(&view.fields),
    }
}

fn meter(view: &view::Meter) -> MeterPicture {
    let segment = |segment: &view::Segment| SegmentPicture {
        node: segment.node.0,
        weight: segment.weight,
        vote: match segment.vote {
            SegmentVote::Awaiting => VotePicture::Awaiting,
            SegmentVote::For(value) => VotePicture::For(value),
            SegmentVote::Nil => VotePicture::Nil,
        },
    };
    MeterPicture {
        kind: view.kind,
        value: view.value,
        have: view.have,
        need: view.need,
        total: view.total,
        segments: view.segments.iter().map(segment).collect(),
    }
}

fn choice(view: &view::Choice) -> ChoicePicture {
    ChoicePicture {
        value: view.value,
        round: view.round.0,
        proposers: view.proposers.iter().map(|node| node.0).collect(),
        amount: view.amount,
        detail: view.detail.clone(),
    }
}

fn fields(view: &[view::Field]) -> Vec<FieldText> {
    view.iter()
        .map(|field| FieldText {
            name: field.name.to_string(),
            text: field.text.clone(),
        })
        .collect()
}

/// How a node's badge is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Solid.
    #[default]
    Up,
    /// Dashed.
    Crashed,
    /// Double.
    Byzantine,
    /// Dotted: nobody has heard of it.
    Unheard,
}

impl Standing {
    /// In words, where it is not the ordinary one.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Standing::Up => None,
            Standing::Crashed => Some("crashed"),
            Standing::Byzantine => Some("lies"),
            Standing::Unheard => Some("not heard"),
        }
    }

    /// As `word`, where there is little room.
    pub fn short_word(self) -> Option<&'static str> {
        match self {
            Standing::Crashed => Some("down"),
            Standing::Unheard => Some("silent"),
            other => other.word(),
        }
    }
}

/// A value as people see it: colour and letter, and four digits that identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// A to Z, then Z2 and on.
    pub letter: String,
    /// Four hex digits.
    pub short: String,
}

impl Label {
    /// The class that colours it: `value-a` to `value-e`, or `value-other`, so that colour never stands alone.
    pub fn class(&self) -> &'static str {
        match self.letter.as_str() {
            "A" => "value-a",
            "B" => "value-b",
            "C" => "value-c",
            "D" => "value-d",
            "E" => "value-e",
            _ => "value-other",
        }
    }
}

/// A node as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeScene {
    /// Its number.
    pub id: u16,
    /// How its badge is drawn.
    pub standing: Standing,
    /// A second line on its badge: where it runs.
    pub place: String,
    /// Its state.
    pub picture: NodePicture,
    /// The ribbon of the instance in focus.
    pub ribbon: Vec<Span>,
    /// What happened to it, as glyphs.
    pub marks: Vec<Mark>,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct FlightScene {
    /// Sender.
    pub from: u16,
    /// Receiver.
    pub to: u16,
    /// When it left, in milliseconds.
    pub sent_ms: f64,
    /// When it arrives.
    pub arrives_ms: f64,
    /// The name of its kind.
    pub kind: &'static str,
    /// How it is drawn.
    pub shape: Shape,
    /// What it speaks for.
    pub value: Option<Label>,
}

impl FlightScene {
    /// How far it is at a time, from 0 to 1.
    pub fn progress(&self, at_ms: f64) -> f64 {
        let span = (self.arrives_ms - self.sent_ms).max(f64::EPSILON);
        ((at_ms - self.sent_ms) / span).clamp(0.0, 1.0)
    }
}

/// An instance that lanes can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: InstanceId,
    /// Its name.
    pub name: String,
}

/// Everything that the stage shows at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The protocol's shape.
    pub spec: &'static Spec,
    /// The nodes in order.
    pub nodes: Vec<NodeScene>,
    /// The messages on their way.
    pub flights: Vec<FlightScene>,
    /// The lanes' clock.
    pub axis: Axis,
    /// The instances, in order of appearance.
    pub topics: Vec<Topic>,
    /// The instance in focus: of which ribbons, meters and cards are.
    pub focus: Option<InstanceId>,
    /// Labels of the values of the instance in focus.
    pub labels: Vec<(Hash32, Label)>,
    /// The selected node.
    pub selected: Option<u16>,
}

impl Scene {
    /// The label of a value of the instance in focus.
    pub fn label(&self, value: Hash32) -> Option<&Label> {
        self.labels
            .iter()
            .find(|(known, _)| *known == value)
            .map(|(_, label)| label)
    }

    /// A node.
    pub fn node(&self, id: u16) -> Option<&NodeScene> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The instance in focus at a node.
    pub fn focused<'a>(&self, node: &'a NodeScene) -> Option<&'a InstancePicture> {
        node.picture.instance(self.focus?)
    }

    /// The phase of a node in the instance in focus, by index; `unknown` where it has not heard of it.
    pub fn phase(&self, node: &NodeScene) -> u8 {
        self.focused(node).map_or(0, |instance| instance.phase)
    }

    /// The phase's word.
    pub fn phase_name(&self, phase: u8) -> &'static str {
        self.spec
            .phases
            .get(usize::from(phase))
            .map_or("unknown", |phase| phase.name)
    }

    /// The value that a node stands for: decided, else locked, else what it proposed.
    pub fn stands_for(&self, node: &NodeScene) -> Option<Hash32> {
        let instance = self.focused(node)?;
        let proposed = || {
            let own = instance
                .choices
                .iter()
                .filter(|choice| choice.proposers.contains(&node.id));
            own.max_by_key(|choice| choice.round)
                .map(|choice| choice.value)
        };
        instance
            .value
            .or(instance.locked.map(|(_, value)| value))
            .or_else(proposed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_reads_as_a_sentence_and_a_flight_stays_on_its_link() {
        let meter = MeterPicture {
            kind: 1,
            value: None,
            have: 2,
            need: 2,
            total: 3,
            segments: Vec::new(),
        };
        assert_eq!(
            (meter.text().as_str(), meter.is_reached()),
            ("2 of 3 · needs 2", true)
        );
        let flight = FlightScene {
            from: 1,
            to: 2,
            sent_ms: 10.0,
            arrives_ms: 20.0,
            kind: "lock",
            shape: Shape::Lock,
            value: None,
        };
        assert_eq!(
            [5.0, 10.0, 15.0, 20.0, 99.0].map(|at| flight.progress(at)),
            [0.0, 0.0, 0.5, 1.0, 1.0]
        );
    }
}
