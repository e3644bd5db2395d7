//! A live room as this tab knows it: what it runs, which tabs there are, what observers heard, what was submitted.

use phaselab_core::gateway::Placed;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{ClientId, InstanceId};

use super::observatory::Observatory;
use super::placement::Placement;
use super::submissions::Submissions;
use crate::few::{FewMap, insert_sorted};
use crate::scene::Scene;

/// A node that this tab runs, or ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosted {
    /// Its thread is starting or running.
    Running,
    /// Its thread is gone; the tab still holds its lock, so that nobody else starts it.
    Stopped {
        /// Why, in words; empty if somebody asked for it.
        why: String,
    },
}

/// What the page says about the room as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Tabs share the nodes.
    Shared,
    /// The origin is not secure: this tab runs everything.
    Alone,
    /// Something failed.
    Failed(String),
}

/// This tab's seat in a hybrid cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// Which member runs here.
    pub you: u16,
    /// Who is connected to the gateway; `None` while this tab is not.
    pub online: Option<Vec<Placed>>,
    /// What the gateway said when it last refused this tab.
    pub refusal: String,
}

impl Seat {
    /// A seat that is not connected yet.
    pub fn new(you: u16) -> Seat {
        Seat {
            you,
            ..Seat::default()
        }
    }
}

/// A room.
pub struct RoomState {
    /// Its protocol.
    pub kind: ProtocolKind,
    /// How many nodes it has.
    pub nodes: u16,
    /// Which nodes this tab should run.
    pub placement: Placement,
    /// What observers heard.
    pub observatory: Observatory,
    /// What this page submitted.
    pub submissions: Submissions,
    /// The nodes whose locks this tab holds.
    pub hosted: FewMap<u16, Hosted>,
    /// In a hybrid cluster, this tab's seat.
    pub seat: Option<Seat>,
    /// Whether the chain runs in this tab.
    pub has_chain: bool,
    /// What there is to say.
    pub notice: Notice,
    /// The selected node.
    pub selected: Option<u16>,
    /// The instance that a person chose.
    pub focus: Option<InstanceId>,
    me: String,
    tabs: Vec<String>,
}

impl RoomState {
    /// A tab that just came.
    pub fn new(kind: ProtocolKind, nodes: u16, me: String, client: ClientId) -> RoomState {
        RoomState {
            kind,
            nodes,
            placement: Placement::new(nodes),
            observatory: Observatory::new(kind.spec(), nodes),
            submissions: Submissions::new(kind, client, nodes),
            hosted: FewMap::default(),
            seat: None,
            has_chain: false,
            notice: Notice::Shared,
            selected: None,
            focus: None,
            tabs: vec![me.clone()],
            me,
        }
    }

    /// Makes this a room with one node of this tab's own, which alone can be asked here.
    pub fn sit(&mut self, seat: Seat) {
        self.hosted.insert(seat.you, Hosted::Running);
        self.submissions.ask_only(seat.you);
        self.seat = Some(seat);
    }

    /// This tab's id.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// How many tabs the room has.
    pub fn tabs(&self) -> usize {
        self.tabs.len()
    }

    /// Whether the tab is known.
    pub fn knows_tab(&self, tab: &str) -> bool {
        self.tabs.iter().any(|known| known == tab)
    }

    /// Takes over which tabs there are. Ids sort by when a tab came. Returns whether it changed.
    pub fn set_tabs(&mut self, found: impl Iterator<Item = String>) -> bool {
        let mut tabs = vec![self.me.clone()];
        found.for_each(|tab| insert_sorted(&mut tabs, tab));
        self.placement.set_tabs(tabs.len());
        std::mem::replace(&mut self.tabs, tabs) != self.tabs
    }

    /// What a tab is called: its place among those that are open.
    pub fn tab_name(&self, tab: &str) -> String {
        if tab == self.me {
            return "here".to_owned();
        }
        if self.seat.is_some() {
            // A member says whether it is in a browser or in a terminal.
            return tab.to_owned();
        }
        let place = self.tabs.iter().position(|known| known == tab);
        place.map_or_else(|| "gone".to_owned(), |place| format!("tab {}", place + 1))
    }

    /// A node that runs here, to be asked first.
    pub fn near(&self) -> Option<u16> {
        self.hosted
            .iter()
            .find(|(_, hosted)| **hosted == Hosted::Running)
            .map(|(node, _)| *node)
    }

    /// Everything on the stage.
    pub fn scene(&self, now_ms: f64) -> Scene {
        self.observatory
            .scene(now_ms, self.focus, self.selected, &|tab| self.tab_name(tab))
    }
}

/// A tab's id: sorts by when the tab came.
pub fn tab_id(now_ms: u64, random: u16) -> String {
    format!("{now_ms:013}-{random:04x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_are_called_by_the_order_in_which_they_came() {
        let ids = [tab_id(20, 7), tab_id(9, 1), tab_id(100, 3)];
        let mut room = RoomState::new(ProtocolKind::TwoPhase, 3, ids[0].clone(), ClientId(1));
        assert_eq!(room.tabs(), 1);
        assert!(room.set_tabs(ids.iter().cloned()));
        assert!(!room.set_tabs(ids.iter().cloned()), "nothing new");
        let names: Vec<String> = ids.iter().map(|id| room.tab_name(id)).collect();
        assert_eq!(names, ["here", "tab 1", "tab 3"]);
        assert_eq!(room.tab_name("closed"), "gone");
        assert!(
            room.set_tabs(std::iter::empty()) && room.tabs() == 1,
            "this tab is always there"
        );
    }

    #[test]
    fn a_seat_is_a_room_with_one_node_within_reach() {
        let mut room = RoomState::new(ProtocolKind::TwoPhase, 5, tab_id(1, 1), ClientId(1));
        room.sit(Seat::new(4));
        assert_eq!(room.near(), Some(4));
        assert_eq!(room.tab_name("terminal"), "terminal");
        let request = crate::picture::two_phase::request("rent", 25);
        let start = phaselab_core::types::Time::ZERO;
        room.submissions.submit(start, request, None);
        for second in [0, 2, 4] {
            let now = phaselab_core::types::Time::from_ms(1_000 * second);
            let asked = room.submissions.poll(now).map(|(node, ..)| node.0);
            assert_eq!(asked, Ok(4), "also when it is silent");
        }
    }

    #[test]
    fn a_stopped_node_is_not_asked() {
        let mut room = RoomState::new(ProtocolKind::TwoPhase, 3, tab_id(1, 1), ClientId(1));
        room.hosted
            .insert(1, Hosted::Stopped { why: String::new() });
        room.hosted.insert(3, Hosted::Running);
        assert_eq!(room.near(), Some(3));
    }
}
