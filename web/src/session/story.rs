//! What is worth telling; captions at which playing stops for as long as it takes to read them; and the guess before.

use phaselab_core::event::{EventKind, RecordKind};
use phaselab_core::narrate;
use phaselab_core::ordered::Map;
use phaselab_core::scenario::{Caption, ViewHints};
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::Logged;
use phaselab_core::types::{InstanceId, NodeId, Round};
use phaselab_core::view::{Shape, Spec};

/// How long a caption is shown at least, in seconds, and how much longer for each character.
const HOLD_S: (f64, f64) = (1.6, 0.03);

/// What the learner expects to be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// The value with this letter.
    A,
    /// The value with this letter.
    B,
    /// No value.
    Neither,
}

impl Guess {
    /// Every guess.
    pub const ALL: [Guess; 3] = [Guess::A, Guess::B, Guess::Neither];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Guess::A => "A",
            Guess::B => "B",
            Guess::Neither => "neither",
        }
    }
}

/// What came of a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessResult {
    /// Nothing is decided yet.
    Open,
    /// It came so.
    Right,
    /// It came otherwise.
    Wrong,
}

/// Captions and guess of a run.
pub(super) struct Story {
    captions: Vec<Caption>,
    /// The event with which each caption was shown, if it was.
    shown: Vec<Option<usize>>,
    hold_s: f64,
    guess: Option<Guess>,
    /// The places of events worth telling.
    told: Vec<usize>,
    /// Losses that were told: a message that is sent again and again is told once.
    losses: Map<Loss, usize>,
}

/// A lost message: kind, sender, receiver, instance and round.
type Loss = (u8, NodeId, NodeId, Option<InstanceId>, Round);

impl Story {
    pub(super) fn new(view: &ViewHints) -> Story {
        Story {
            captions: view.caption.clone(),
            shown: vec![None; view.caption.len()],
            hold_s: 0.0,
            guess: None,
            told: Vec::new(),
            losses: Map::default(),
        }
    }

    /// The places of events worth telling, in order.
    pub(super) fn told(&self) -> &[usize] {
        &self.told
    }

    /// Notes the event at a place of the log; whether a caption begins with it.
    pub(super) fn note(&mut self, place: usize, entry: &Logged, spec: &Spec) -> bool {
        if self.is_told(place, entry, spec) {
            self.told.push(place);
        }
        let name = narrate::event_name(entry.event.kind);
        let mut begins = false;
        for (number, caption) in self.captions.iter().enumerate() {
            let is_meant =
                caption.event == name && caption.node.is_none_or(|node| node == entry.node);
            if is_meant && self.shown[number].is_none() {
                self.shown[number] = Some(place);
                self.hold_s = HOLD_S.0 + HOLD_S.1 * caption.text.chars().count() as f64;
                begins = true;
            }
        }
        begins
    }

    fn is_told(&mut self, place: usize, entry: &Logged, spec: &Spec) -> bool {
        let event = &entry.event;
        let EventKind::MessageDropped(kind) = event.kind else {
            return narrate::is_worth_telling(spec, event);
        };
        let shape = spec.messages.get(usize::from(kind)).map(|kind| kind.shape);
        let loss = (
            kind,
            event.peer.unwrap_or_default(),
            entry.node,
            event.instance,
            event.round,
        );
        let is_new = *self.losses.get_or_insert_with(loss, || place) == place;
        is_new && shape != Some(Shape::Sync)
    }

    pub(super) fn caption(&self) -> Option<&str> {
        let shown = self.shown.iter().zip(&self.captions);
        shown
            .filter_map(|(place, caption)| Some(((*place)?, caption)))
            .max_by_key(|(place, _)| *place)
            .map(|(_, caption)| caption.text.as_str())
    }

    /// Whether the caption is still being read after `seconds` more.
    pub(super) fn is_holding(&mut self, seconds: f64) -> bool {
        self.hold_s = (self.hold_s - seconds).max(0.0);
        self.hold_s > 0.0
    }

    pub(super) fn skip_hold(&mut self) {
        self.hold_s = 0.0;
    }

    /// Forgets all but the first so many events.
    pub(super) fn cut(&mut self, events: usize) {
        self.told
            .truncate(self.told.partition_point(|place| *place < events));
        self.losses.retain(|_, place| *place < events);
        for shown in &mut self.shown {
            *shown = shown.filter(|place| *place < events);
        }
    }

    pub(super) fn set_guess(&mut self, guess: Guess) {
        self.guess = Some(guess);
    }

    pub(super) fn guess(&self, sim: &Sim) -> Option<(Guess, GuessResult)> {
        let guess = self.guess?;
        let decided = sim
            .decisions()
            .iter()
            .find(|entry| entry.record.kind == RecordKind::Decided);
        let letter =
            decided.and_then(|entry| sim.log().letter(entry.record.instance, entry.record.value?));
        let result = match (letter, sim.next_at().is_none()) {
            (Some(letter), _) if letter == guess.name() => GuessResult::Right,
            (Some(_), _) => GuessResult::Wrong,
            (None, true) if guess == Guess::Neither => GuessResult::Right,
            (None, true) => GuessResult::Wrong,
            (None, false) => GuessResult::Open,
        };
        Some((guess, result))
    }
}
