//! The form of everything that can be done to a run by hand: what is chosen in it, and the acts that this means.

use phaselab_core::codec;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::two_phase::ChainChange;
use phaselab_core::scenario::{Act, Behaviour, CrashPoint, DiskFault, Link, Scenario, Selector};
use phaselab_core::types::NodeId;

use super::words;
use crate::picture;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A node stops.
    Crash,
    /// A node starts again.
    Restart,
    /// A node lies from now on.
    Lie,
    /// A link loses everything.
    Cut,
    /// A link works again.
    Mend,
    /// Groups of nodes do not reach each other.
    Part,
    /// Every link works again.
    Heal,
    /// Messages are lost.
    Drop,
    /// Messages are late.
    Delay,
    /// Messages arrive twice.
    Duplicate,
    /// Messages arrive with a flipped bit.
    Corrupt,
    /// A disk misbehaves.
    Disk,
    /// A clock runs fast or slow.
    Clock,
    /// The world outside changes.
    World,
    /// A client asks.
    Submit,
}

use Verb::{
    Clock, Corrupt, Crash, Cut, Delay, Disk, Drop, Duplicate, Heal, Lie, Mend, Part, Restart,
    Submit, World,
};

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Which node.
    Node,
    /// Which other node; 0 is any.
    Other,
    /// In which way: the words depend on what is done.
    How,
    /// A number, with its unit.
    Number(&'static str),
    /// A text, with what it is.
    Text(&'static str),
    /// Another one.
    Also(&'static str),
    /// One of those that a form has beyond three, by its place among them, with what it is.
    More(usize, &'static str),
}

impl Verb {
    /// Those that a run of this protocol knows, in the order of the list.
    pub fn all(kind: ProtocolKind) -> Vec<Verb> {
        let picture = picture::of(kind.spec());
        let is_known = |verb: &Verb| match verb {
            World => kind.has_world(),
            Submit => picture.form().is_some(),
            _ => true,
        };
        Verb::ALL.into_iter().filter(is_known).collect()
    }

    /// Every one.
    pub const ALL: [Verb; 15] = [
        Crash, Restart, Lie, Cut, Mend, Part, Heal, Drop, Delay, Duplicate, Corrupt, Disk, Clock,
        World, Submit,
    ];

    /// As the list shows it.
    pub fn name(self) -> &'static str {
        match self {
            Crash => "Crash a node",
            Restart => "Restart a node",
            Lie => "Let a node lie",
            Cut => "Cut a link",
            Mend => "Mend a link",
            Part => "Part the network",
            Heal => "Heal the network",
            Drop => "Drop messages",
            Delay => "Delay messages",
            Duplicate => "Double messages",
            Corrupt => "Bend messages",
            Disk => "Break a disk",
            Clock => "Bend a clock",
            World => "Change the world",
            Submit => "Submit a request",
        }
    }

    /// What has to be said of it.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Restart => &[Field::Node],
            Crash | Lie | Disk => &[Field::Node, Field::How],
            Cut | Mend => &[Field::Node, Field::Other, Field::How],
            Drop | Duplicate | Corrupt => &[Field::Node, Field::Other, Field::How],
            Delay => &[Field::Node, Field::Other, Field::How, Field::Number("ms")],
            Part => &[Field::Text("Groups, such as 1 2 | 3")],
            Heal => &[],
            Clock => &[Field::Node, Field::Number("% of right")],
            World => &[Field::Other, Field::How, Field::Number("output or amount")],
            // With what its form has.
            Submit => &[Field::Other],
        }
    }
}

/// The form.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// What is done.
    pub verb: Verb,
    /// To which node, or from which.
    pub node: u16,
    /// To which other node; 0 is any.
    pub other: u16,
    /// In which way, as a place in [`Deed::ways`].
    pub how: usize,
    /// A number.
    pub number: String,
    /// A text.
    pub text: String,
    /// Another one.
    pub also: String,
    /// What stands in the fields that a form has beyond three.
    pub more: Vec<String>,
}

impl Default for Deed {
    fn default() -> Self {
        Deed {
            verb: Crash,
            node: 1,
            other: 0,
            how: 0,
            number: "100".to_owned(),
            text: String::new(),
            also: String::new(),
            more: Vec::new(),
        }
    }
}

/// The fields of a form that have names of their own here.
const NAMED_MAX: usize = 3;

impl Deed {
    /// What has to be said.
    pub fn fields(&self, scenario: &Scenario) -> Vec<Field> {
        let mut fields = self.verb.fields().to_vec();
        if self.verb != Submit {
            return fields;
        }
        let form = picture::of(scenario.protocol.spec()).form();
        if form.is_some_and(|form| form.ways.len() > 1) {
            fields.push(Field::How);
        }
        match form.map_or(&[][..], |form| form.fields) {
            [text, also, number, more @ ..] => {
                fields.extend([
                    Field::Text(text.name),
                    Field::Also(also.name),
                    Field::Number(number.name),
                ]);
                let more = more.iter().enumerate();
                fields.extend(more.map(|(place, field)| Field::More(place, field.name)));
            }
            [text, number] => fields.extend([Field::Text(text.name), Field::Number(number.name)]),
            _ => {}
        }
        fields
    }

    /// Chooses what is done; what is said of it begins anew, but for the node.
    pub fn choose(&mut self, verb: Verb, scenario: &Scenario) {
        let form = picture::of(scenario.protocol.spec()).form();
        let first = |place: usize| {
            let field = form.and_then(|form| form.fields.get(place));
            field.map_or("", |field| field.first)
        };
        let count = form.map_or(0, |form| form.fields.len());
        let last = count.min(NAMED_MAX).saturating_sub(1);
        let number = match verb {
            Delay => "500",
            Clock => "200",
            Submit => first(last),
            World => "1",
            _ => "",
        };
        let half = scenario.nodes.div_ceil(2);
        let text = match verb {
            Part => {
                let list = |mut ids: std::ops::RangeInclusive<u16>| {
                    let mut text = ids.next().map_or_else(String::new, |id| id.to_string());
                    ids.for_each(|id| text = [&text, " ", &id.to_string()].concat());
                    text
                };
                [&list(1..=half), " | ", &list(half + 1..=scenario.nodes)].concat()
            }
            Submit => {
                let by_hand = form.and_then(|form| form.by_hand);
                by_hand.unwrap_or_else(|| first(0)).to_owned()
            }
            _ => String::new(),
        };
        *self = Deed {
            verb,
            node: self.node,
            other: match verb {
                Cut | Mend => self.node % scenario.nodes.max(1) + 1,
                World => self.node,
                _ => 0,
            },
            how: 0,
            number: number.to_owned(),
            text,
            also: if verb == Submit { first(1) } else { "" }.to_owned(),
            more: match verb {
                Submit => (NAMED_MAX..count)
                    .map(|place| first(place).to_owned())
                    .collect(),
                _ => Vec::new(),
            },
        };
    }

    /// The ways in which it can be done.
    pub fn ways(&self, scenario: &Scenario) -> Vec<&'static str> {
        match self.verb {
            Crash => vec!["now", "before its next input", "after its next write"],
            Lie => Behaviour::ALL.into_iter().map(words::behaviour).collect(),
            Disk => vec!["writes fail", "everything is lost"],
            Cut | Mend => vec!["both ways", "one way"],
            Submit => {
                let form = picture::of(scenario.protocol.spec()).form();
                form.map_or_else(Vec::new, |form| form.ways.to_vec())
            }
            World => vec![
                "hide an output",
                "show an output",
                "spend an output",
                "pay the group",
            ],
            Drop | Delay | Duplicate | Corrupt => {
                let kinds = scenario.protocol.spec().messages.iter();
                ["the next one", "all from now on"]
                    .into_iter()
                    .chain(kinds.map(|kind| kind.name))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// What it means.
    ///
    /// # Errors
    /// A sentence: what is missing or wrong.
    pub fn acts(&self, scenario: &Scenario) -> Result<Vec<Act>, String> {
        let node = NodeId(self.node);
        let any = |id: u16| (id != 0).then_some(NodeId(id));
        let act = match self.verb {
            Crash => {
                let points = [
                    CrashPoint::BetweenSteps,
                    CrashPoint::BeforeHandling,
                    CrashPoint::AfterPersist,
                ];
                let when = points.get(self.how).copied().unwrap_or_default();
                Act::Crash { node, when }
            }
            Restart => Act::Restart { node },
            Lie => {
                let behaviour = Behaviour::ALL.get(self.how).copied();
                let behaviour = behaviour.unwrap_or(Behaviour::Equivocate);
                Act::Byzantine { node, behaviour }
            }
            Cut | Mend => return self.link(),
            Part => Act::Partition {
                groups: groups(&self.text)?,
            },
            Heal => Act::Heal,
            Drop => Act::Drop(self.select(scenario)),
            Duplicate => Act::Duplicate(self.select(scenario)),
            Corrupt => Act::Corrupt(self.select(scenario)),
            Delay => Act::Delay {
                select: self.select(scenario),
                by_ms: self.whole("milliseconds")?,
            },
            Disk => {
                let fault = if self.how == 0 {
                    DiskFault::Fail
                } else {
                    DiskFault::Lose
                };
                Act::Disk { node, fault }
            }
            Clock => {
                let percent = self.whole("percent")?;
                let rate = percent.saturating_mul(10).min(u64::from(u32::MAX));
                Act::Skew {
                    node,
                    rate_permille: rate as u32,
                }
            }
            World => Act::Fact {
                // What is spent or paid is so for everybody.
                node: any(self.other).filter(|_| self.how < 2),
                change: self.change(scenario)?,
            },
            Submit => {
                let form = picture::of(scenario.protocol.spec()).form();
                let all = [self.text.as_str(), &self.also, &self.number];
                let fields: Vec<&str> = match form.map_or(0, |form| form.fields.len()) {
                    2 => vec![all[0], all[2]],
                    _ => {
                        let more = self.more.iter().map(String::as_str);
                        all.into_iter().chain(more).collect()
                    }
                };
                let request = picture::request(scenario.protocol, &fields, self.how)?;
                let to = match any(self.other) {
                    Some(node) => vec![node],
                    None => scenario.ids().collect(),
                };
                Act::Submit { to, request }
            }
        };
        Ok(vec![act])
    }

    fn link(&self) -> Result<Vec<Act>, String> {
        if self.other == 0 || self.other == self.node {
            return Err("A link has two ends: choose another node.".to_owned());
        }
        let loss = Some(if self.verb == Cut { 1_000 } else { 0 });
        let one = |from: u16, to: u16| {
            Act::Link(Link {
                from: Some(NodeId(from)),
                to: Some(NodeId(to)),
                latency_ms: None,
                loss_permille: loss,
            })
        };
        let there = one(self.node, self.other);
        Ok(match self.how {
            0 => vec![there, one(self.other, self.node)],
            _ => vec![there],
        })
    }

    fn select(&self, scenario: &Scenario) -> Selector {
        let any = |id: u16| (id != 0).then_some(NodeId(id));
        let kinds = scenario.protocol.spec().messages;
        let kind = self.how.checked_sub(2).and_then(|place| kinds.get(place));
        Selector {
            from: any(self.node),
            to: any(self.other),
            kind: kind.map(|kind| kind.name.to_owned()),
            nth: (self.how != 1).then_some(1),
            ..Selector::default()
        }
    }

    fn change(&self, scenario: &Scenario) -> Result<Vec<u8>, String> {
        let number = self.whole("number")?;
        let output = || vec![u32::try_from(number).unwrap_or(u32::MAX)];
        let mut change = ChainChange::default();
        match self.how {
            0 => change.hide = output(),
            1 => change.show = output(),
            2 => change.spend = output(),
            _ => change.pay = vec![number],
        }
        match scenario.protocol {
            ProtocolKind::TwoPhase => Ok(codec::encode(&change)),
            #[cfg(any(feature = "sharded-2pc", feature = "snowball"))]
            _ => Err(
                "There is no world outside of this protocol: nothing of it can change.".to_owned(),
            ),
        }
    }

    fn whole(&self, what: &str) -> Result<u64, String> {
        let number = self.number.trim().parse();
        number.map_err(|_| [what, ": expected a whole number."].concat())
    }
}

/// Reads `1 2 | 3`.
fn groups(text: &str) -> Result<Vec<Vec<NodeId>>, String> {
    let number = |word: &str| word.parse().map(NodeId);
    let group = |part: &str| {
        part.split([' ', ','])
            .filter(|word| !word.is_empty())
            .map(number)
            .collect()
    };
    let groups: Result<Vec<Vec<NodeId>>, _> = text.split('|').map(group).collect();
    let groups = groups
        .map_err(|_| "Groups: expected numbers of nodes, and | between groups.".to_owned())?;
    Ok(groups
        .into_iter()
        .filter(|group| !group.is_empty())
        .collect())
}
