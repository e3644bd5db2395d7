//! A live room as this tab knows it: what it runs, which tabs there are, what observers heard, what was submitted.

#[cfg(feature = "snowball")]
use std::rc::Rc;

use phaselab_core::gateway::Placed;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{ClientId, InstanceId};
use phaselab_wasm::live::faults::RoomFaults;

use super::observatory::Observatory;
use super::placement::Placement;
use super::sleep::Sleep;
use super::submissions::Submissions;
#[cfg(feature = "snowball")]
use crate::crowd::{Crowd, Polls};
use crate::few::{FewMap, insert_sorted};
#[cfg(feature = "snowball")]
use crate::picture;
use crate::scene::{Scene, Standing};

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

/// What can be done with a node's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It runs: it can be crashed.
    Crash,
    /// It was crashed by hand, here or in another tab.
    TakeBack,
    /// Its thread, which is this tab's, failed or went silent.
    StartAgain,
    /// Nothing, from here.
    None,
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
    /// What is broken on purpose.
    pub faults: RoomFaults,
    /// The last time that this tab stood still, while that is worth telling.
    pub sleep: Option<Sleep>,
    /// What another version of this page makes necessary; empty if nothing.
    pub clash: &'static str,
    /// The selected node.
    pub selected: Option<u16>,
    /// The selected link, the smaller number first.
    pub picked: Option<(u16, u16)>,
    /// The instance that a person chose.
    pub focus: Option<InstanceId>,
    /// How its nodes poll one another, where they do.
    #[cfg(feature = "snowball")]
    polls: Option<Polls>,
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
            faults: RoomFaults::default(),
            sleep: None,
            clash: "",
            selected: None,
            picked: None,
            focus: None,
            #[cfg(feature = "snowball")]
            polls: polls(kind, nodes),
            tabs: vec![me.clone()],
            me,
        }
    }

    /// With the group of each node, in order.
    pub fn with_groups(mut self, groups: Vec<u16>) -> RoomState {
        self.submissions.set_groups(groups.clone());
        self.observatory.set_groups(groups);
        self
    }

    /// How many clusters its nodes are in.
    pub fn clusters(&self) -> usize {
        self.observatory.clusters()
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
        let tab_name = |tab: &str| self.tab_name(tab);
        let mut scene = self
            .observatory
            .scene(now_ms, self.focus, self.selected, &tab_name);
        for node in &mut scene.nodes {
            if self.faults.is_down(node.id) {
                node.standing = Standing::Crashed;
            } else if self.faults.is_paused(node.id) {
                node.standing = Standing::Paused;
            }
        }
        #[cfg(feature = "snowball")]
        {
            // In a hybrid cluster the genesis says how nodes poll, and a page does not read it.
            let polls = self.polls.filter(|_| self.seat.is_none());
            scene.crowd = polls.map(|polls| Rc::new(Crowd::of_pictures(&scene, polls)));
        }
        scene
    }

    /// What can be done with a node's thread from this tab.
    pub fn remedy(&self, node: u16, now_ms: f64) -> Remedy {
        if self.seat.as_ref().is_some_and(|seat| seat.you != node) {
            return Remedy::None;
        }
        let is_silent = self.observatory.standing(node, now_ms) == Standing::Crashed;
        match self.hosted.get(&node) {
            _ if self.faults.is_down(node) => Remedy::TakeBack,
            Some(Hosted::Stopped { .. }) => Remedy::StartAgain,
            // It should run, and nobody hears it.
            Some(Hosted::Running) if is_silent => Remedy::StartAgain,
            None if is_silent => Remedy::None,
            _ => Remedy::Crash,
        }
    }

    /// Selects a node, or nothing.
    pub fn select(&mut self, node: Option<u16>) {
        self.selected = node.filter(|node| *node <= self.nodes);
        self.picked = None;
    }

    /// Selects a link.
    pub fn pick(&mut self, a: u16, b: u16) {
        self.selected = None;
        self.picked = Some((a.min(b), a.max(b)));
    }

    /// Whether this tab can break a link: in a hybrid cluster only those of its own node.
    pub fn can_break(&self, a: u16, b: u16) -> bool {
        self.seat
            .as_ref()
            .is_none_or(|seat| seat.you == a || seat.you == b)
    }

    /// Whether this tab can cut all links of a node: in a hybrid cluster only those of its own.
    pub fn can_cut_off(&self, node: u16) -> bool {
        self.nodes > 1 && self.seat.as_ref().is_none_or(|seat| seat.you == node)
    }

    /// Looks at what passes with time.
    pub fn look(&mut self, now_ms: f64) {
        if let Some(sleep) = &mut self.sleep
            && !sleep.look(&self.observatory, self.nodes, now_ms)
        {
            self.sleep = None;
        }
    }
}

/// How the nodes of a room poll, whose parameters are those that every room begins with.
#[cfg(feature = "snowball")]
fn polls(kind: ProtocolKind, nodes: u16) -> Option<Polls> {
    let picture = picture::of(kind.spec());
    let config = picture.room_config();
    picture.polls(
        &config.unwrap_or_else(|| kind.default_config()),
        nodes,
        true,
    )
}

/// A tab's id: sorts by when the tab came.
pub fn tab_id(now_ms: u64, random: u16) -> String {
    format!("{now_ms:013}-{random:04x}")
}

#[cfg(test)]
mod tests {
    use phaselab_core::types::NodeId;

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
        let request = crate::picture::request(ProtocolKind::TwoPhase, &["rent", "25"], 0).unwrap();
        let start = phaselab_core::types::Time::ZERO;
        room.submissions.submit(start, request, None);
        for second in [0, 2, 4] {
            let now = phaselab_core::types::Time::from_ms(1_000 * second);
            let asked = room.submissions.poll(now).map(|(node, ..)| node.0);
            assert_eq!(asked, Ok(4), "also when it is silent");
        }
    }

    #[test]
    fn what_is_broken_by_hand_is_drawn_whoever_runs_the_node() {
        let mut room = RoomState::new(ProtocolKind::TwoPhase, 3, tab_id(1, 1), ClientId(1));
        room.faults.down = vec![NodeId(2)];
        room.faults.paused = vec![NodeId(3)];
        let standings: Vec<Standing> = room
            .scene(0.0)
            .nodes
            .iter()
            .map(|node| node.standing)
            .collect();
        let expected = [Standing::Unheard, Standing::Crashed, Standing::Paused];
        assert_eq!(standings, expected);
    }

    #[test]
    fn a_thread_can_be_helped_where_it_runs_and_what_was_done_by_hand_anywhere() {
        let mut room = RoomState::new(ProtocolKind::TwoPhase, 4, tab_id(1, 1), ClientId(1));
        room.hosted.insert(1, Hosted::Running);
        room.hosted.insert(
            2,
            Hosted::Stopped {
                why: "the store failed".to_owned(),
            },
        );
        room.faults.down = vec![NodeId(3)];
        let remedies = |room: &RoomState| [1, 2, 3, 4].map(|node| room.remedy(node, 0.0));
        let all = [
            Remedy::Crash,
            Remedy::StartAgain,
            Remedy::TakeBack,
            Remedy::Crash,
        ];
        assert_eq!(remedies(&room), all);
        room.sit(Seat::new(1));
        let own = [Remedy::Crash, Remedy::None, Remedy::None, Remedy::None];
        assert_eq!(
            remedies(&room),
            own,
            "another member's threads are elsewhere"
        );
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
