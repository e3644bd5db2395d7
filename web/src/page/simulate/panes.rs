//! The parts of a simulated run's page: panels above the stage, the picture over time, the list of events, the inspector.

use phaselab_core::types::NodeId;
use yew::html::Scope;
use yew::prelude::*;

use super::super::parts::time;
use super::super::{StageAct, events, inspector, lanes, open, share, spacetime, why};
use super::hand::{HandAct, Panel};
use super::{Msg, Simulate, deed, futures, overview};
use crate::listing::height_px;
use crate::look::{LookAct, View};
use crate::scene::Scene;
use crate::session::{EventLine, Session};
use crate::{WORKBENCH, picture};

impl Simulate {
    /// What is done by hand.
    pub(super) fn hand_panel(&self, session: &Session, act: &Callback<HandAct>) -> Html {
        match self.hand.panel {
            Some(Panel::Deed) => deed::panel(&self.hand, session, act),
            Some(Panel::Breakpoints) => futures::breakpoints(&self.hand, session, act),
            None => html! {},
        }
    }

    /// What was opened, checked and shared.
    pub(super) fn panels(&self, link: &Scope<Self>, session: &Session) -> Html {
        let close = link.callback(|_: MouseEvent| Msg::Share);
        html! {
            <>
                { self.check(link) }
                { share::differs(self.seen, session) }
                { for self.share.as_ref().map(|panel| panel.view(session, &link.callback(Msg::InShare), close)) }
            </>
        }
    }

    /// Of what the run is a counterexample, and the checker's panel.
    fn check(&self, link: &Scope<Self>) -> Html {
        let back = link.callback(|_: MouseEvent| Msg::Scenarios);
        let close = link.callback(|_: MouseEvent| Msg::Check);
        let act = link.callback(Msg::InCheck);
        html! {
            <>
                { open::view(&self.opened, back.clone()) }
                if let Some(of) = &self.counterexample {
                    <p class="note" data-testid="counterexample">
                        { format!("A counterexample of {}: {of}. ", self.name) }
                        <button type="button" class="small" onclick={back}>{ "Back to the scenario" }</button>
                    </p>
                }
                { for self.check.as_ref().map(|check| check.view(&act, &close)) }
            </>
        }
    }

    /// Lanes or space-time; of many nodes a grid.
    pub(super) fn over_time(
        &self,
        session: &Session,
        scene: &Scene,
        stage: &Callback<StageAct>,
        look: &Callback<LookAct>,
    ) -> Html {
        let picture = picture::of(session.sim().spec());
        if scene.is_grid() {
            return lanes::lanes(scene, picture, stage);
        }
        let body = match self.look.view {
            View::Lanes => lanes::body(scene, picture, stage),
            View::SpaceTime if !WORKBENCH => html! {},
            View::SpaceTime => spacetime::spacetime(session, scene, self.look.chosen, stage, look),
        };
        lanes::framed(
            scene,
            picture,
            spacetime::bar(&self.look, look),
            body,
            stage,
        )
    }

    pub(super) fn events(
        &self,
        session: &Session,
        stage: &Callback<StageAct>,
        look: &Callback<LookAct>,
    ) -> Html {
        let listing = &self.look.listing;
        let len = listing.len(session);
        let (first, places) = listing.rows(session);
        let lines = places.into_iter().filter_map(|place| session.line(place));
        let lines: Vec<EventLine> = lines.collect();
        let listed = events::Listed {
            lines: &lines,
            first,
            len,
            place_px: (height_px(len), listing.offset_px(len)),
            all: listing.all,
            filter: Some(&listing.text),
            empty: "No events yet. Press Play.",
        };
        events::events(&listed, &self.list, &time, stage, look)
    }

    pub(super) fn inspector(
        &self,
        session: &Session,
        scene: &Scene,
        stage: &Callback<StageAct>,
        act: &Callback<HandAct>,
    ) -> Html {
        match scene.selected {
            Some(id) => {
                let changes = session.events_of(NodeId(id), inspector::CHANGES_MAX);
                let answer = session.why().map(|why| why::answer(why, &time, stage));
                inspector::node(
                    scene,
                    id,
                    &changes,
                    &time,
                    html! {
                        <>
                            if WORKBENCH && !session.sim().is_live() && !session.branches().is_read_only() {
                                { deed::of_node(session, id, act) }
                            }
                            { answer.unwrap_or_default() }
                        </>
                    },
                    true,
                    stage,
                )
            }
            None => match session.picked() {
                Some(picked) if WORKBENCH => {
                    let close = stage.reform(|_: MouseEvent| StageAct::Select(None));
                    deed::of_picked(session, scene, picked, act, close)
                }
                _ => overview::overview(session),
            },
        }
    }
}
