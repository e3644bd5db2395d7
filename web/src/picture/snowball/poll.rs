//! The selected node's poll: a slot for each peer that it asked, those for its preference first, so that they reach the
//! line of alpha or do not; and how strong each choice is.

use phaselab_core::types::Hash32;

use super::{CONFIDENCE_METER, VOTES_METER};
use crate::scene::{InstancePicture, MeterPicture, Scene, VotePicture};

/// What is known of a vote, as far as the preference goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stance {
    /// For what the node prefers.
    For,
    /// For another choice.
    Against,
    /// It has none.
    Nothing,
    /// It did not come yet.
    Awaited,
}

impl Stance {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Stance::For => "for",
            Stance::Against => "against",
            Stance::Nothing => "none",
            Stance::Awaited => "awaited",
        }
    }
}

/// A slot of the strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Who was asked; 0 while nobody is.
    pub node: u16,
    /// What is known of its vote.
    pub stance: Stance,
    /// For what it is.
    pub value: Option<Hash32>,
}

/// The strip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    /// One for each peer that is asked, in the order of stances and of ids.
    pub slots: Vec<Slot>,
    /// How many of them make the poll a success: where the line is.
    pub need: u64,
    /// Whether a poll runs.
    pub is_running: bool,
    /// Successful polls in a row, and how many are needed.
    pub confidence: (u64, u64),
    /// The poll's number.
    pub round: u32,
}

/// How strong a choice is: how many polls it won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strength {
    /// The choice.
    pub value: Hash32,
    /// What a person calls it.
    pub name: String,
    /// How many polls it won at this node.
    pub polls: u64,
}

/// The poll of a node; `None` where it has none, before it begins and after it is final.
pub fn strip(instance: &InstancePicture) -> Option<Strip> {
    let of = |kind: u8| instance.meters.iter().find(|meter| meter.kind == kind);
    let (votes, confidence) = (of(VOTES_METER)?, of(CONFIDENCE_METER)?);
    let mut slots: Vec<Slot> = votes.segments.iter().map(|of| slot(votes, of)).collect();
    slots.sort_by_key(|slot| (slot.stance, slot.node));
    let is_running = !slots.is_empty();
    let hollow = Slot {
        node: 0,
        stance: Stance::Awaited,
        value: None,
    };
    if !is_running {
        slots = vec![hollow; usize::try_from(votes.total).unwrap_or(0)];
    }
    Some(Strip {
        slots,
        need: votes.need,
        is_running,
        confidence: (confidence.have, confidence.need),
        round: instance.round,
    })
}

fn slot(votes: &MeterPicture, segment: &crate::scene::SegmentPicture) -> Slot {
    let (stance, value) = match segment.vote {
        VotePicture::For(value) if votes.value == Some(value) => (Stance::For, Some(value)),
        VotePicture::For(value) => (Stance::Against, Some(value)),
        VotePicture::Nil => (Stance::Nothing, None),
        VotePicture::Awaiting => (Stance::Awaited, None),
    };
    Slot {
        node: segment.node,
        stance,
        value,
    }
}

impl Strip {
    /// How many have this stance.
    pub fn count(&self, stance: Stance) -> usize {
        let of = self.slots.iter().filter(|slot| slot.stance == stance);
        of.count()
    }

    /// In words: `8 for, 2 against, 0 none, 10 awaited · needs 15 of 20`.
    pub fn words(&self) -> String {
        let need = [
            "needs ",
            &self.need.to_string(),
            " of ",
            &self.slots.len().to_string(),
        ]
        .concat();
        if !self.is_running {
            return ["between two polls · ", &need].concat();
        }
        let all = [
            Stance::For,
            Stance::Against,
            Stance::Nothing,
            Stance::Awaited,
        ];
        let counts =
            all.map(|stance| [&self.count(stance).to_string(), " ", stance.word()].concat());
        [&counts.join(", "), " · ", &need].concat()
    }

    /// `confidence 7 of 20`.
    pub fn confidence_words(&self) -> String {
        let (have, need) = self.confidence;
        ["confidence ", &have.to_string(), " of ", &need.to_string()].concat()
    }

    /// Whom it asks.
    pub fn sample(&self) -> Vec<(u16, Stance)> {
        let asked = self.slots.iter().filter(|slot| slot.node > 0);
        asked.map(|slot| (slot.node, slot.stance)).collect()
    }
}

/// How strong each choice is at a node, in the order of the letters.
pub fn strengths(scene: &Scene, instance: &InstancePicture) -> Vec<Strength> {
    let mut strengths: Vec<Strength> = instance
        .choices
        .iter()
        .map(|choice| Strength {
            value: choice.value,
            name: choice.detail.clone(),
            polls: choice.amount,
        })
        .collect();
    let letter = |of: &Strength| scene.label(of.value).map(|label| label.letter.clone());
    strengths.sort_by_key(|of| (letter(of).map(|text| (text.len(), text)), of.value));
    strengths
}

/// Whom the selected node asks.
pub fn sample(scene: &Scene) -> Vec<(u16, Stance)> {
    let node = scene.selected.and_then(|id| scene.node(id));
    let strip = node.and_then(|node| strip(scene.focused(node)?));
    strip.map_or_else(Vec::new, |strip| strip.sample())
}
