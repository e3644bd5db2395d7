//! The space-time picture: nodes as lines, messages as lines from where they were sent to where they arrived or were lost,
//! on the lanes' clock. Built from the log, and only of what the axis shows.

use phaselab_core::event::EventKind;
use phaselab_core::sim::log::{Log, Logged, Told};
use phaselab_core::view::Shape;

use crate::history::Glyph;
use crate::scene::{Label, Scene};

/// Of more messages and marks than this only the latest are drawn.
pub const ITEMS_MAX: usize = 3_000;

/// Above this many, they are drawn on a canvas: each is a line and a sign, so that there are about 200 elements of a page.
pub const ELEMENTS_MAX: usize = 100;

/// How near a click must be, in pixels.
const NEAR_PX: f64 = 14.0;

/// How long a line is drawn whose message was lost where it was sent, in per cent of the width.
const STUB: f64 = 1.2;

/// How high all nodes' rows are together, and one row at least and at most, in pixels.
const ROWS_PX: (f64, f64, f64) = (264.0, 48.0, 88.0);

/// The picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spacetime {
    /// Messages and marks in order of time, those on their way last.
    pub items: Vec<Item>,
    /// Whether the axis shows times of which not all is drawn.
    pub is_cut: bool,
    /// How high a node's row is, in pixels.
    pub row_px: f64,
}

/// A message, or a mark at a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its event's place in the log, and the step; `None` while it is on its way.
    pub event: Option<(usize, u64)>,
    /// The node at which it ended.
    pub node: u16,
    /// What it is.
    pub what: What,
    /// Where the message was sent, if it is one: per cent of the width, and pixels from the top.
    pub start: Option<(f64, f64)>,
    /// Where it ended.
    pub end: (f64, f64),
    /// What it is about.
    pub value: Option<Label>,
    /// Whether it matters little: synchronisation, or another instance than the one in focus.
    pub is_dim: bool,
}

/// What is drawn at an item's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A message of this kind arrived, or is on its way.
    Message(Shape),
    /// A message was lost.
    Lost,
    /// Something happened at the node.
    Mark(Glyph),
}

impl Spacetime {
    /// What the scene's axis shows of a log.
    pub fn of(log: &Log, scene: &Scene) -> Spacetime {
        Spacetime::latest(log, scene, ITEMS_MAX)
    }

    fn latest(log: &Log, scene: &Scene, items_max: usize) -> Spacetime {
        let (least, most) = (ROWS_PX.1, ROWS_PX.2);
        let row_px = (ROWS_PX.0 / scene.nodes.len().max(1) as f64).clamp(least, most);
        let mut picture = Spacetime {
            row_px,
            ..Spacetime::default()
        };
        let (from_ms, to_ms) = scene.axis.range();
        let to_ms = to_ms.min(scene.axis.at_ms());
        let first = first_at(log, from_ms);
        for place in (first..first_at(log, to_ms.next_up())).rev() {
            let Some(entry) = log.get(place) else { break };
            if picture.items.len() == items_max {
                picture.is_cut = true;
                break;
            }
            let item = picture.item(log, scene, place, &entry);
            picture.items.extend(item);
        }
        picture.items.reverse();
        // After the end of the axis nothing is drawn, nor on its way.
        let flights = scene.flights.iter();
        let flights = flights.filter(|_| scene.axis.contains(scene.axis.at_ms()));
        let flying = flights.filter_map(|flight| {
            let (start, end) = (
                picture.row(scene, flight.from)?,
                picture.row(scene, flight.to)?,
            );
            let at_ms = scene.axis.at_ms();
            let y = start + (end - start) * flight.progress(at_ms);
            Some(Item {
                event: None,
                node: flight.to,
                what: What::Message(flight.shape),
                start: Some((scene.axis.percent(flight.sent_ms), start)),
                end: (scene.axis.cursor(), y),
                value: flight.value.clone(),
                is_dim: flight.shape == Shape::Sync,
            })
        });
        let flying: Vec<Item> = flying.collect();
        picture.items.extend(flying);
        picture
    }

    /// The middle of a node's row.
    fn row(&self, scene: &Scene, node: u16) -> Option<f64> {
        let place = scene.nodes.iter().position(|known| known.id == node)?;
        Some((place as f64 + 0.5) * self.row_px)
    }

    fn item(&self, log: &Log, scene: &Scene, place: usize, entry: &Logged) -> Option<Item> {
        let event = &entry.event;
        let y = self.row(scene, entry.node.0)?;
        let (mut step, mut at_ms) = (entry.id.step, ms(entry));
        let told = entry.cause.and_then(|id| log.cause(id));
        if let (EventKind::MessageDelivered(_), Some(told)) = (event.kind, told) {
            // A slow disk holds back what is told of it.
            (step, at_ms) = (told.step, told.at.0 as f64 / 1e6);
        }
        let x = scene.axis.percent(at_ms);
        let (mut start, mut end, mut shape) = (None, (x, y), None);
        let what = match event.kind {
            EventKind::MessageDelivered(kind) | EventKind::MessageDropped(kind) => {
                let from = event.peer?;
                let sent_ms = sent_ms(log, entry, kind);
                let (x0, y0) = (scene.axis.percent(sent_ms), self.row(scene, from.0)?);
                start = Some((x0, y0));
                let kind = scene.spec.messages.get(usize::from(kind))?;
                shape = Some(kind.shape);
                let is_lost = matches!(event.kind, EventKind::MessageDropped(_));
                if is_lost && sent_ms >= at_ms {
                    // It never got anywhere: a stub of the way.
                    end = (x + STUB, y0 + (y - y0) / 2.0);
                }
                match is_lost {
                    true => What::Lost,
                    false => What::Message(kind.shape),
                }
            }
            _ => What::Mark(Glyph::of(event.kind).filter(|glyph| glyph.is_landmark())?),
        };
        let is_other = event.instance.is_some() && event.instance != scene.focus;
        Some(Item {
            event: Some((place, step)),
            node: entry.node.0,
            what,
            start,
            end,
            value: event
                .value
                .filter(|_| !is_other)
                .and_then(|value| scene.label(value))
                .cloned(),
            is_dim: is_other || shape == Some(Shape::Sync),
        })
    }

    /// How high all rows are.
    pub fn height_px(&self, scene: &Scene) -> f64 {
        self.row_px * scene.nodes.len() as f64
    }

    /// How many messages there are, and how many of them were lost.
    pub fn counts(&self) -> (usize, usize) {
        let messages = self.items.iter().filter(|item| item.start.is_some());
        let lost = self.items.iter().filter(|item| item.what == What::Lost);
        (messages.count(), lost.count())
    }

    /// What a click meant: the nearest item that has an event, if one is near. A mark is preferred to the messages that end
    /// where it stands, and what matters to what does not.
    pub fn hit(&self, (x_px, y_px): (f64, f64), width_px: f64) -> Option<&Item> {
        let distance = |item: &Item| {
            let px = |(x, y): (f64, f64)| (x / 100.0 * width_px, y);
            let end = px(item.end);
            let away = distance(px(item.start.unwrap_or(item.end)), end, (x_px, y_px));
            let handicap = f64::from(u8::from(item.is_dim)) * 4.0
                + f64::from(u8::from(item.start.is_some())) * 2.0;
            (away <= NEAR_PX).then_some(away + handicap)
        };
        let near = self
            .items
            .iter()
            .filter(|item| item.event.is_some())
            .filter_map(|item| Some((distance(item)?, item)));
        near.min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, item)| item)
    }

    /// The items that can be chosen one after another, as there are events of theirs.
    pub fn stops(&self) -> impl DoubleEndedIterator<Item = (usize, &Item)> + Clone {
        let events = self.items.iter();
        events.filter_map(|item| Some((item.event?.0, item)))
    }
}

/// The place of the first event at a time or later.
fn first_at(log: &Log, at_ms: f64) -> usize {
    let (mut low, mut high) = (0, log.len());
    while low < high {
        let middle = low.midpoint(high);
        match log.get(middle) {
            Some(entry) if ms(&entry) < at_ms => low = middle + 1,
            _ => high = middle,
        }
    }
    low
}

/// When the message of a delivery or loss was sent: with what its sender did upon what it had been told.
fn sent_ms(log: &Log, entry: &Logged, kind: u8) -> f64 {
    let is_lost = matches!(entry.event.kind, EventKind::MessageDropped(_));
    let told = entry.cause.and_then(|id| log.cause(id));
    let sent = match told.map(|cause| cause.what) {
        // Of a loss the cause is its sender's.
        _ if is_lost => entry.cause,
        Some(Told::Message { sent, .. }) => sent,
        _ => None,
    };
    let Some((id, cause)) = sent.and_then(|id| Some((id, log.cause(id)?))) else {
        return ms(entry);
    };
    // A slow disk holds messages back until what they say is written.
    let mut after = log
        .iter_from(cause.place)
        .take_while(|other| other.at <= entry.at);
    let told = after
        .find(|other| other.cause == Some(id) && other.event.kind == EventKind::MessageSent(kind));
    told.map_or(cause.at.0 as f64 / 1e6, |told| ms(&told))
}

fn ms(entry: &Logged) -> f64 {
    entry.at.0 as f64 / 1e6
}

/// How far a point is from a stretch.
fn distance((x1, y1): (f64, f64), (x2, y2): (f64, f64), (x, y): (f64, f64)) -> f64 {
    let (dx, dy) = (x2 - x1, y2 - y1);
    let length = dx * dx + dy * dy;
    let along = match length > 0.0 {
        true => (((x - x1) * dx + (y - y1) * dy) / length).clamp(0.0, 1.0),
        false => 0.0,
    };
    let (ax, ay) = (x1 + along * dx - x, y1 + along * dy - y);
    (ax * ax + ay * ay).sqrt()
}

#[cfg(test)]
mod tests;
