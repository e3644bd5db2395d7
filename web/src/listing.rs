//! Which events are listed: those worth telling or all, through a filter of words, and of these only the rows in sight.

use phaselab_core::event::EventKind;
use phaselab_core::narrate;
use phaselab_core::sim::log::{EventId, Log, Logged};
use phaselab_core::types::InstanceId;
use phaselab_core::view::Spec;

use crate::session::Session;

/// How high a row is, in pixels.
pub const ROW_PX: f64 = 64.0;

/// Rows that are drawn at once: more than any list is high.
pub const ROWS: usize = 40;

/// Rows that are drawn above those in sight, so that scrolling a little draws nothing anew.
const ABOVE: usize = 12;

/// The list moves on when those in sight are so near the end of those that are drawn.
const LEEWAY: usize = 8;

/// The highest that browsers let an element be; longer lists are scrolled through faster.
const HEIGHT_PX_MAX: f64 = 8_000_000.0;

/// The list of events of a run.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Whether all events are listed, or those worth telling.
    pub all: bool,
    /// The filter, as it was typed.
    pub text: String,
    /// The places of events that match, if anything was typed.
    places: Vec<usize>,
    /// How many events, or told ones, were looked at; and the last of them, to notice another past.
    read: usize,
    last: Option<EventId>,
    /// The first row that is drawn; `None` follows the newest.
    first: Option<usize>,
    /// How far it was scrolled, and how high what is in sight was.
    top_px: f64,
    view_px: f64,
}

impl Listing {
    /// Lists all events, or those worth telling.
    pub fn show_all(&mut self, all: bool) {
        self.all = all;
        self.begin_anew();
    }

    /// Changes the filter.
    pub fn filter(&mut self, text: String) {
        self.text = text;
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.places.clear();
        (self.read, self.last, self.first) = (0, None, None);
    }

    /// Looks at what is new, for as long as `has_time` says so; whether it looked at everything.
    pub fn follow(&mut self, session: &Session, has_time: &mut dyn FnMut() -> bool) -> bool {
        if self.text.trim().is_empty() {
            return true;
        }
        if self.last != self.last_read(session) {
            // The run was taken back, or is another one.
            self.places.clear();
            self.read = 0;
        }
        let words = Words::read(&self.text, session);
        let all = self.len_of(session);
        while self.read < all {
            if let Some(place) = self.place(session, self.read)
                && let Some(entry) = session.sim().log().get(place)
                && words.match_event(&entry)
            {
                self.places.push(place);
            }
            self.read += 1;
            if self.read.is_multiple_of(256) && !has_time() {
                break;
            }
        }
        self.last = self.last_read(session);
        self.read == all
    }

    fn last_read(&self, session: &Session) -> Option<EventId> {
        let place = self.place(session, self.read.checked_sub(1)?)?;
        session.sim().log().get(place).map(|entry| entry.id)
    }

    /// The place in the log of the event at a place of the unfiltered list.
    fn place(&self, session: &Session, index: usize) -> Option<usize> {
        match self.all {
            true => Some(index),
            false => session.told().get(index).copied(),
        }
    }

    fn len_of(&self, session: &Session) -> usize {
        match self.all {
            true => session.sim().log().len(),
            false => session.told().len(),
        }
    }

    /// How many events are listed.
    pub fn len(&self, session: &Session) -> usize {
        match self.text.trim().is_empty() {
            true => self.len_of(session),
            false => self.places.len(),
        }
    }

    /// The places in the log of the rows that are drawn, and the number of the first of them.
    pub fn rows(&self, session: &Session) -> (usize, Vec<usize>) {
        let len = self.len(session);
        let first = first_row(self.first, len);
        let rows = first..len.min(first + ROWS);
        let place = |row: usize| match self.text.trim().is_empty() {
            true => self.place(session, row),
            false => self.places.get(row).copied(),
        };
        (first, rows.filter_map(place).collect())
    }

    /// Where the list is scrolled to; whether it must be drawn anew.
    pub fn scroll(&mut self, len: usize, top_px: f64, view_px: f64) -> bool {
        let first = first_row(self.first, len);
        self.first = window(len, top_px, view_px, first);
        (self.top_px, self.view_px) = (top_px, view_px);
        first_row(self.first, len) != first || speed(len, view_px) > 1.0
    }

    /// Whether the newest event is kept in sight.
    pub fn is_following(&self) -> bool {
        self.first.is_none()
    }

    /// How far down the first drawn row stands, in pixels.
    pub fn offset_px(&self, len: usize) -> f64 {
        let first = first_row(self.first, len);
        match self.first {
            Some(_) => {
                let shown = self.top_px * speed(len, self.view_px);
                self.top_px + first as f64 * ROW_PX - shown
            }
            None => height_px(len) - (len - first) as f64 * ROW_PX,
        }
    }
}

/// How high the list is, scrolled through.
pub fn height_px(len: usize) -> f64 {
    (len as f64 * ROW_PX).min(HEIGHT_PX_MAX)
}

/// How many pixels of rows a pixel of scrolling is.
fn speed(len: usize, view_px: f64) -> f64 {
    let (rows, drawn) = (len as f64 * ROW_PX, height_px(len));
    match drawn < rows {
        true => (rows - view_px) / (drawn - view_px),
        false => 1.0,
    }
}

fn first_row(first: Option<usize>, len: usize) -> usize {
    let last = len.saturating_sub(ROWS);
    first.map_or(last, |first| first.min(last))
}

/// The first row to draw; `None` when the end of the list is in sight.
fn window(len: usize, top_px: f64, view_px: f64, drawn: usize) -> Option<usize> {
    let shown = top_px * speed(len, view_px);
    if shown + view_px >= len as f64 * ROW_PX - ROW_PX / 2.0 {
        return None;
    }
    let top = (shown / ROW_PX) as usize;
    let bottom = top + (view_px / ROW_PX) as usize + 1;
    let is_inside = (top >= drawn + LEEWAY || drawn == 0) && bottom + LEEWAY <= drawn + ROWS;
    Some(match is_inside {
        true => drawn,
        false => top.saturating_sub(ABOVE),
    })
}

/// The words of a filter, each looked up once: an event must match them all.
struct Words<'a> {
    spec: &'static Spec,
    words: Vec<(String, Vec<InstanceId>)>,
    log: &'a Log,
}

impl<'a> Words<'a> {
    fn read(text: &str, session: &'a Session) -> Words<'a> {
        let words = text.split([' ', ',']).map(str::to_ascii_lowercase);
        // "node 2" is the number.
        let words = words.filter(|word| !word.is_empty() && word != "node");
        let names = session.sim().names();
        let with_instances = |word: String| {
            let named = names
                .iter()
                .filter(|(_, name)| name.to_ascii_lowercase().contains(&word));
            let named = named.map(|(id, _)| *id).collect();
            (word, named)
        };
        Words {
            spec: session.sim().spec(),
            words: words.map(with_instances).collect(),
            log: session.sim().log(),
        }
    }

    fn match_event(&self, entry: &Logged) -> bool {
        self.words.iter().all(|(word, named)| {
            if let Ok(node) = word.parse::<u16>() {
                let is_peer = entry.event.peer.is_some_and(|peer| peer.0 == node);
                return entry.node.0 == node || is_peer;
            }
            let event = &entry.event;
            let letter = || {
                let letter = self.log.letter(event.instance?, event.value?)?;
                Some(letter.to_ascii_lowercase() == *word)
            };
            event.instance.is_some_and(|id| named.contains(&id))
                || narrate::event_name(event.kind).contains(word.as_str())
                || self
                    .name(event.kind)
                    .is_some_and(|name| name.contains(word.as_str()))
                || (word.len() <= 2 && letter() == Some(true))
        })
    }

    /// The protocol's word for it.
    fn name(&self, kind: EventKind) -> Option<&'static str> {
        use EventKind::{
            MessageDelivered, MessageDropped, MessageSent, PhaseEntered, QuorumReached, VoteCounted,
        };
        let spec = self.spec;
        Some(match kind {
            MessageSent(of) | MessageDelivered(of) | MessageDropped(of) => {
                spec.messages.get(usize::from(of))?.name
            }
            PhaseEntered(of) => spec.phases.get(usize::from(of))?.name,
            VoteCounted(of) | QuorumReached(of) => spec.meters.get(usize::from(of))?.name,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario;

    use super::*;

    fn at_end(name: &str) -> Session {
        let entry = scenario::find(name).unwrap();
        let mut session = Session::open(&scenario::parse(entry.name, entry.text).unwrap()).unwrap();
        session.end();
        finish(&mut session);
        session
    }

    fn finish(session: &mut Session) {
        while session.is_busy() {
            session.frame(16.0, &mut || true);
        }
    }

    fn listed(session: &Session, listing: &mut Listing) -> Vec<usize> {
        assert!(listing.follow(session, &mut || true));
        let len = listing.len(session);
        let mut all = Vec::new();
        for row in (0..len).step_by(ROWS) {
            listing.first = Some(row);
            let (first, rows) = listing.rows(session);
            assert!(rows.len() <= ROWS && first <= row);
            all.extend(rows.into_iter().skip(row - first));
        }
        all
    }

    fn with(text: &str) -> Listing {
        Listing {
            all: true,
            text: text.to_owned(),
            ..Listing::default()
        }
    }

    #[test]
    fn without_a_filter_everything_is_listed_or_what_is_worth_telling() {
        let session = at_end("three-signers");
        let mut listing = Listing::default();
        let told = listed(&session, &mut listing);
        assert_eq!(told, session.told());
        listing.show_all(true);
        let all = listed(&session, &mut listing);
        assert_eq!(all, (0..session.sim().log().len()).collect::<Vec<_>>());
        assert!(all.len() > told.len() && !told.is_empty());
    }

    #[test]
    fn words_choose_nodes_kinds_instances_and_letters() {
        let session = at_end("three-signers");
        let log = session.sim().log();
        let entries = |text: &str| -> Vec<Logged> {
            let places = listed(&session, &mut with(text));
            places
                .into_iter()
                .filter_map(|place| log.get(place))
                .collect()
        };
        let locked = entries("locked");
        assert!(
            locked
                .iter()
                .all(|entry| entry.event.kind == EventKind::Locked)
        );
        assert_eq!(locked.len(), 3);
        assert_eq!(entries("Node 2 LOCKED").len(), 1);
        assert_eq!(entries("locked, 9").len(), 0);
        assert!(entries("2").iter().all(|entry| {
            entry.node.0 == 2 || entry.event.peer.is_some_and(|peer| peer.0 == 2)
        }));
        assert!(
            entries("withdraw-1")
                .iter()
                .all(|entry| entry.event.instance.is_some())
        );
        assert!(!entries("withdraw-1").is_empty());
        let of_a = entries("locked a");
        assert_eq!(of_a.len(), 3, "all lock A");
        assert!(entries("locked b").is_empty());
        assert!(!entries("completed").is_empty(), "a phase's word");
    }

    #[test]
    fn a_filter_follows_the_run_forward_and_back() {
        let mut session = at_end("three-signers");
        let mut listing = with("locked");
        assert_eq!(listed(&session, &mut listing).len(), 3);
        for seek in [120.0, 0.0, 125.0, 60_000.0, 121.0] {
            session.seek_ms(seek);
            finish(&mut session);
            let fresh = listed(&session, &mut with("locked"));
            assert_eq!(listed(&session, &mut listing), fresh, "{seek}");
        }
        let other = at_end("late-joiner");
        let fresh = listed(&other, &mut with("locked"));
        assert_eq!(listed(&other, &mut listing), fresh, "another run");
    }

    #[test]
    fn a_filter_works_in_slices() {
        let session = at_end("late-joiner");
        let (mut listing, mut slices) = (with("1"), 0);
        while !listing.follow(&session, &mut || false) {
            slices += 1;
            assert!(slices < 100_000);
        }
        assert!(slices > 1, "{}", session.sim().log().len());
        assert_eq!(
            listing.len(&session),
            listed(&session, &mut with("1")).len()
        );
    }

    #[test]
    fn rows_in_sight_are_drawn_wherever_a_million_is_scrolled_to() {
        for len in [10, 100, 1_000_000] {
            let view = 500.0;
            let mut listing = Listing::default();
            let end = (height_px(len) - view).max(0.0);
            for share in 0..=100 {
                let top = end * f64::from(share) / 100.0;
                listing.scroll(len, top, view);
                let above = listing.offset_px(len);
                let drawn = len.min(ROWS) as f64 * ROW_PX;
                assert!(above <= top + 1e-3, "{len} {share}");
                assert!(
                    above + drawn >= (top + view).min(height_px(len)) - 1e-3,
                    "{len} {share}"
                );
                assert!(above + drawn <= height_px(len) + 1e-3, "{len} {share}");
            }
            assert_eq!(listing.first, None, "the end follows the newest");
        }
    }

    #[test]
    fn scrolling_a_little_draws_nothing_anew() {
        let mut listing = Listing::default();
        assert!(listing.scroll(1_000, 30_000.0, 500.0));
        let moved =
            (0..40).filter(|step| listing.scroll(1_000, 30_000.0 + f64::from(*step) * 30.0, 500.0));
        assert!(moved.count() <= 4);
    }
}
