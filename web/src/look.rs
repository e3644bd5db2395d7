//! How a person looks at a run: as lanes or in space-time, how much of it, and which events are listed.

use crate::axis::Axis;
use crate::listing::Listing;
use crate::session::Session;

/// The picture over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Phases of each node.
    #[default]
    Lanes,
    /// Messages between nodes.
    SpaceTime,
}

/// Doublings of the picture's width.
const ZOOM_MAX: i8 = 12;

/// What a person looks at.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The picture.
    pub view: View,
    zoom: i8,
    /// The event of the message or mark that is chosen in space-time, by its place in the log.
    pub chosen: Option<usize>,
    /// The list of events.
    pub listing: Listing,
}

/// What a person does with it.
#[derive(Clone, Debug, PartialEq)]
pub enum LookAct {
    /// Shows a picture.
    View(View),
    /// Shows the other one.
    OtherView,
    /// Shows half (+1) or twice (-1) as long a time.
    Zoom(i8),
    /// Chooses a message or mark.
    Choose(usize),
    /// Lists all events, or those worth telling.
    ShowAll(bool),
    /// Filters them.
    Filter(String),
    /// Scrolled the list: how far, and how high what is in sight is.
    Scroll(f64, f64),
}

impl Look {
    /// Does what a person wants; whether anything must be drawn anew.
    pub fn obey(&mut self, act: LookAct, session: &Session) -> bool {
        match act {
            LookAct::View(view) => self.view = view,
            LookAct::OtherView => {
                self.view = match self.view {
                    View::Lanes => View::SpaceTime,
                    View::SpaceTime => View::Lanes,
                }
            }
            LookAct::Zoom(by) => self.zoom = (self.zoom + by).clamp(0, ZOOM_MAX),
            LookAct::Choose(place) => self.chosen = Some(place),
            LookAct::ShowAll(all) => self.listing.show_all(all),
            LookAct::Filter(text) => self.listing.filter(text),
            LookAct::Scroll(top_px, view_px) => {
                let len = self.listing.len(session);
                return self.listing.scroll(len, top_px, view_px);
            }
        }
        true
    }

    /// The part of an axis that is shown.
    pub fn axis(&self, whole: &Axis) -> Axis {
        whole.zoomed(f64::from(1 << self.zoom))
    }

    /// Whether less, and more, time can be shown.
    pub fn can_zoom(&self) -> (bool, bool) {
        (self.zoom < ZOOM_MAX, self.zoom > 0)
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario;

    use super::*;

    #[test]
    fn one_looks_closer_and_back_and_from_one_picture_to_the_other() {
        let entry = scenario::find("three-signers").unwrap();
        let session = Session::open(&scenario::parse(entry.name, entry.text).unwrap()).unwrap();
        let mut look = Look::default();
        let whole = Axis::new(0.0, 1_000.0, &[], 400.0);
        assert_eq!(look.axis(&whole).range(), whole.range());
        for _ in 0..20 {
            look.obey(LookAct::Zoom(1), &session);
        }
        assert_eq!(look.can_zoom(), (false, true));
        let (from, to) = look.axis(&whole).range();
        assert!(from <= 400.0 && 400.0 <= to && to - from < 1.0);
        for _ in 0..20 {
            look.obey(LookAct::Zoom(-1), &session);
        }
        assert_eq!(look.can_zoom(), (true, false));
        look.obey(LookAct::OtherView, &session);
        assert_eq!(look.view, View::SpaceTime);
        look.obey(LookAct::OtherView, &session);
        assert_eq!(look.view, View::Lanes);
        assert!(
            !look.obey(LookAct::Scroll(0.0, 500.0), &session),
            "nothing is listed"
        );
    }
}
