//! What is drawn: nodes, their history and messages in flight, whether the run is simulated or live.

#[cfg(feature = "snowball")]
use std::rc::Rc;

use phaselab_core::types::{Hash32, InstanceId};
use phaselab_core::view::{Shape, Spec};
pub use phaselab_core::watch::{
    ChoicePicture, FieldText, InstancePicture, MeterPicture, NodePicture, SegmentPicture,
    VotePicture,
};

use crate::axis::Axis;
#[cfg(feature = "snowball")]
use crate::crowd::Crowd;
use crate::history::{Mark, Span};
use crate::picture;

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
    /// Dotted: it stands still.
    Paused,
}

impl Standing {
    /// In words, where it is not the ordinary one.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Standing::Up => None,
            Standing::Crashed => Some("crashed"),
            Standing::Byzantine => Some("lies"),
            Standing::Unheard => Some("not heard"),
            Standing::Paused => Some("paused"),
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

/// How long a round still lasts by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeout {
    /// Milliseconds that are left.
    pub left_ms: f64,
    /// The same as a share of the whole round, from 0 to 1.
    pub share: f64,
}

impl Timeout {
    /// At a time, of a round that began and ends then; `None` where it is over.
    pub fn at(at_ms: f64, began_ms: f64, ends_ms: f64) -> Option<Timeout> {
        let left_ms = ends_ms - at_ms;
        let share = left_ms / (ends_ms - began_ms).max(f64::EPSILON);
        (left_ms > 0.0).then(|| Timeout {
            left_ms,
            share: share.clamp(0.0, 1.0),
        })
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
    /// Its group; 0 where the protocol has only one.
    pub group: u16,
    /// What it signed in the instance in focus, each value once. A second one is a broken promise.
    pub signed: Vec<Hash32>,
    /// Its state.
    pub picture: NodePicture,
    /// How long its round in the instance in focus still lasts, where that is known.
    pub timeout: Option<Timeout>,
    /// The ribbon of the instance in focus.
    pub ribbon: Vec<Span>,
    /// What happened to it, as glyphs.
    pub marks: Vec<Mark>,
}

/// A group of nodes, drawn as a box. Places are in per cent of the picture's height.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupBox {
    /// Its number.
    pub group: u16,
    /// Its upper edge.
    pub top: f64,
    /// How high it is.
    pub height: f64,
    /// How high the whole picture is, in pixels; 0 where that is not of its own choosing.
    pub height_px: f64,
    /// Its nodes, by their place in the scene.
    pub nodes: Vec<usize>,
}

/// How large the boxes of groups are, in pixels, where a picture has something to show in them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxSizes {
    /// What is above the nodes.
    pub head: f64,
    /// A node.
    pub row: f64,
    /// What is beneath them.
    pub foot: f64,
    /// What passes between the first two.
    pub between: f64,
    /// The room between others.
    pub apart: f64,
    /// The share of the width that nodes have, in per cent.
    pub nodes_width: f64,
}

/// How much room there is between two boxes, in per cent, where they show nothing: for what passes between them.
const BOXES_APART: f64 = 9.0;

/// Where nodes stand that take turns, as a share of their width.
const TURNS: [f64; 2] = [0.28, 0.72];

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
    /// The rules that are known to be broken.
    pub broken: Vec<&'static str>,
    /// Labels of the values of the instance in focus.
    pub labels: Vec<(Hash32, Label)>,
    /// The selected node.
    pub selected: Option<u16>,
    /// Every node as a cell, where nodes poll one another.
    #[cfg(feature = "snowball")]
    pub crowd: Option<Rc<Crowd>>,
}

impl Scene {
    /// The label of a value of the instance in focus.
    pub fn label(&self, value: Hash32) -> Option<&Label> {
        self.labels
            .iter()
            .find(|(known, _)| *known == value)
            .map(|(_, label)| label)
    }

    /// Whether the nodes are too many for lanes, and are drawn as a grid.
    pub fn is_grid(&self) -> bool {
        #[cfg(feature = "snowball")]
        let is_grid = self.crowd.as_ref().is_some_and(|crowd| crowd.is_grid());
        #[cfg(not(feature = "snowball"))]
        let is_grid = false;
        is_grid
    }

    /// Whether nodes poll one another: then nobody locks or signs.
    pub fn polls(&self) -> bool {
        #[cfg(feature = "snowball")]
        let polls = self.crowd.is_some();
        #[cfg(not(feature = "snowball"))]
        let polls = false;
        polls
    }

    /// A node.
    pub fn node(&self, id: u16) -> Option<&NodeScene> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The groups as boxes, one above the other; none where there is only one group.
    pub fn boxes(&self) -> Vec<GroupBox> {
        let picture = picture::of(self.spec);
        let mut boxes: Vec<GroupBox> = Vec::new();
        for group in picture.groups_first(self) {
            boxes.push(GroupBox {
                group,
                ..GroupBox::default()
            });
        }
        for (place, node) in self.nodes.iter().enumerate() {
            match boxes.iter_mut().find(|of| of.group == node.group) {
                Some(of) => of.nodes.push(place),
                None => boxes.push(GroupBox {
                    group: node.group,
                    nodes: vec![place],
                    ..GroupBox::default()
                }),
            }
        }
        boxes.retain(|of| !of.nodes.is_empty());
        if boxes.len() < 2 {
            return Vec::new();
        }
        let Some(sizes) = picture.box_sizes() else {
            let height = 100.0 / boxes.len() as f64;
            for (number, of) in boxes.iter_mut().enumerate() {
                (of.top, of.height) = (number as f64 * height + 1.0, height - BOXES_APART);
            }
            return boxes;
        };
        let mut top = 0.0;
        for (number, of) in boxes.iter_mut().enumerate() {
            let height = sizes.head + sizes.row * of.nodes.len() as f64 + sizes.foot;
            (of.top, of.height) = (top, height);
            top += height
                + if number == 0 {
                    sizes.between
                } else {
                    sizes.apart
                };
        }
        let whole = boxes.last().map_or(1.0, |last| last.top + last.height);
        for of in &mut boxes {
            of.height_px = whole;
            (of.top, of.height) = (of.top / whole * 100.0, of.height / whole * 100.0);
        }
        boxes
    }

    /// Where a node stands in its group's box, in per cent of the picture; `None` where there are no boxes.
    pub fn place_in_box(&self, boxes: &[GroupBox], node: usize) -> Option<(f64, f64)> {
        let of = boxes.iter().find(|of| of.nodes.contains(&node))?;
        let number = of.nodes.iter().position(|known| *known == node)?;
        let Some(sizes) = picture::of(self.spec).box_sizes() else {
            let step = 100.0 / of.nodes.len() as f64;
            return Some(((number as f64 + 0.5) * step, of.top + of.height * 0.6));
        };
        // In the row of what is shown of it; neighbours take turns, so that what they say to one another is seen.
        let y_px = sizes.head + (number as f64 + 0.5) * sizes.row;
        let x = sizes.nodes_width * TURNS[number % TURNS.len()];
        Some((x, of.top + y_px / of.height_px * 100.0))
    }

    /// The instance in focus at a node.
    pub fn focused<'a>(&self, node: &'a NodeScene) -> Option<&'a InstancePicture> {
        node.picture.instance(self.focus?)
    }

    /// The phase of a node in the instance in focus, by index; `unknown` where it has not heard of it.
    pub fn phase(&self, node: &NodeScene) -> u8 {
        self.focused(node).map_or(0, |instance| instance.phase)
    }

    /// Where a node is with the instance in focus, in a word.
    pub fn phase_word(&self, node: &NodeScene) -> &'static str {
        if self.spec.has_nested() && self.focused(node).is_none() {
            // It is another group's, if it is anybody's.
            return if self.focus.is_some() {
                "apart"
            } else {
                "idle"
            };
        }
        self.phase_name(self.phase(node))
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
            .or_else(|| picture::of(self.spec).preference(instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_depletes_and_is_gone_when_its_round_is_over() {
        let left = |at: f64| Timeout::at(at, 100.0, 300.0).map(|it| (it.left_ms, it.share));
        assert_eq!(left(100.0), Some((200.0, 1.0)));
        assert_eq!(left(250.0), Some((50.0, 0.25)));
        assert_eq!([left(300.0), left(999.0)], [None, None]);
    }

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
