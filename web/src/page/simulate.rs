//! The page of simulated runs.

use phaselab_core::link::Seen;
use phaselab_core::types::NodeId;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{File, HtmlElement};
use yew::prelude::*;

use super::StageAct;
use super::check::{self, Check};
use super::open::{self, Open};
use super::parts::fixed;
use super::top::{self, Mode};
use super::transport::transport;
use super::{events, share, story, topology, why};
use crate::announcer::Announcer;
use crate::browser::frames::Frames;
use crate::browser::keys::Keys;
use crate::browser::{
    files, page_time_ms, replace_hash, set_hash, start_program, wants_little_motion,
};
use crate::look::{Look, LookAct, View};
use crate::playing::{FrameClock, Plays, TransportAct};
use crate::route::{Route, Stand};
use crate::session::opening::{Files, OPEN_BYTES_MAX, Opened};
use crate::session::share::{self as shared, Refused};
use crate::session::{Guess, Session};
use crate::{WORKBENCH, builtin};

mod deed;
mod futures;
mod hand;
mod keys;
mod overview;
mod panes;
mod told;
mod tools;
mod wish;

use hand::Hand;
pub(super) use hand::HandAct;

/// The scenario that a first visit shows.
const SCENARIO: &str = "two-phase/three-signers";

/// Work per frame, in milliseconds: what is left of 16 draws.
const WORK_MS: f64 = 8.0;

#[derive(PartialEq, Properties)]
pub(super) struct Props {
    /// The scenario's name.
    #[prop_or_default]
    pub(super) scenario: Option<String>,
    /// The seed.
    #[prop_or_default]
    pub(super) seed: Option<u64>,
    /// Whether it plays at once.
    #[prop_or_default]
    pub(super) autoplay: bool,
    /// Where another program left it.
    #[prop_or_default]
    pub(super) stand: Option<Stand>,
    /// The token of a link, instead of all that.
    #[prop_or_default]
    pub(super) shared: Option<AttrValue>,
}

pub(super) enum Msg {
    Frame(f64),
    Transport(TransportAct),
    Stage(StageAct),
    NextPhase,
    PreviousPhase,
    Speed(isize),
    Guess(Guess),
    /// Asks why, of the instance that is shown.
    Ask,
    /// Closes the answer, or else the inspector.
    Escape,
    /// Something done by hand.
    Hand(HandAct),
    /// Asks why a rule is broken.
    WhyBroken,
    /// Shows the same run under hardened rules.
    Hardened,
    Look(LookAct),
    /// Into the field that filters events.
    ToFilter,
    Scenario(String),
    Seed(String),
    /// Opens or closes the checker's panel.
    Check,
    /// Something in it.
    InCheck(check::Msg),
    /// Opens or closes the panel that shares.
    Share,
    /// Something in it.
    InShare(share::Msg),
    /// Back to the scenario.
    Scenarios,
    /// To the button that opens files.
    ToOpen,
    /// The workbench could not be loaded.
    NoWorkbench,
    /// Files were chosen.
    Open(Vec<File>),
    /// And read.
    Files(Result<Vec<(String, Vec<u8>)>, String>),
}

pub(super) struct Simulate {
    name: String,
    session: Result<Session, Refused>,
    /// Where the sharer of a link stood.
    seen: Option<Seen>,
    /// What is to be done once the run stands where another program left it.
    wish: Option<Msg>,
    check: Option<Check>,
    share: Option<share::Panel>,
    /// The recordings of a run that happened.
    recorded: Vec<u8>,
    /// Of what the run is a counterexample, if it is one.
    counterexample: Option<String>,
    opened: Open,
    frames: Frames,
    _keys: Keys,
    clock: FrameClock,
    look: Look,
    hand: Hand,
    /// Whether something had the focus when the page was last drawn.
    had_focus: bool,
    announcer: Announcer,
    list: NodeRef,
    play: NodeRef,
    listed: usize,
    /// The element that takes the focus once it is drawn.
    to_focus: Option<String>,
}

impl Component for Simulate {
    type Message = Msg;
    type Properties = Props;

    fn create(ctx: &Context<Self>) -> Self {
        let pressed = ctx.link().clone();
        let (name, mut session, seen) = open(ctx.props());
        if let (true, Ok(session)) = (ctx.props().autoplay, &mut session) {
            session.play_or_pause();
        }
        if let (Some(stand), Ok(session)) = (&ctx.props().stand, &mut session) {
            wish::resume(session, stand);
        }
        let link = ctx.link().clone();
        let mut page = Simulate {
            name,
            session,
            seen,
            wish: None,
            check: None,
            share: None,
            recorded: Vec::new(),
            counterexample: None,
            opened: Open::Nothing,
            frames: Frames::new(move |ms| link.send_message(Msg::Frame(ms))),
            _keys: Keys::listen(move |key| match keys::meaning(&key) {
                Some(msg) => {
                    pressed.send_message(msg);
                    true
                }
                None => false,
            }),
            clock: FrameClock::default(),
            look: Look::default(),
            hand: Hand::default(),
            had_focus: false,
            announcer: Announcer::default(),
            list: NodeRef::default(),
            play: NodeRef::default(),
            listed: 0,
            to_focus: None,
        };
        page.frames.request();
        if let Some(stand) = ctx.props().stand.as_ref().filter(|_| WORKBENCH) {
            // What was asked for is done once; loading the page again does not do it again.
            replace_hash(&page.route(Some(Stand::default())).to_hash());
            page.wish = stand.wish.as_deref().and_then(wish::message);
        }
        if WORKBENCH && let Some(address) = files::kept_elsewhere() {
            let read = ctx.link().callback(Msg::Files);
            spawn_local(async move { read.emit(files::fetch(address).await) });
        }
        page
    }

    fn changed(&mut self, ctx: &Context<Self>, _old: &Props) -> bool {
        self.reopen(ctx);
        true
    }

    fn update(&mut self, ctx: &Context<Self>, msg: Msg) -> bool {
        if !WORKBENCH && let Some(wish) = wish::of(&msg) {
            self.leave(ctx, wish);
            return true;
        }
        match msg {
            Msg::Scenario(name) => {
                set_hash(
                    &Route::Simulate {
                        scenario: Some(name),
                        seed: None,
                        workbench: WORKBENCH.then(Stand::default),
                    }
                    .to_hash(),
                );
                return false;
            }
            Msg::Seed(text) => {
                if let Ok(seed) = text.trim().parse() {
                    set_hash(
                        &Route::Simulate {
                            scenario: Some(self.name.clone()),
                            seed: Some(seed),
                            workbench: WORKBENCH.then(Stand::default),
                        }
                        .to_hash(),
                    );
                }
                return false;
            }
            Msg::NoWorkbench => {
                self.hand.refusal = Some(
                    "The workbench could not be loaded. Load the page again once the network is back: it goes on from here.".to_owned(),
                );
                return true;
            }
            Msg::ToOpen => {
                self.to_focus = Some(open::INPUT.to_owned());
                return true;
            }
            Msg::ToFilter => {
                self.to_focus = Some(events::FILTER.to_owned());
                return true;
            }
            Msg::Check if WORKBENCH => {
                self.check = match (self.check.take(), &self.session) {
                    (None, Ok(session)) => Some(tools::checker(&self.name, session)),
                    _ => None,
                };
                return true;
            }
            Msg::InCheck(msg) if WORKBENCH => {
                let act = ctx.link().callback(Msg::InCheck);
                let found = self
                    .check
                    .as_mut()
                    .and_then(|check| check.update(msg, &act));
                if let Some(found) = found {
                    self.session = Session::open(&found.scenario).map_err(Refused::of);
                    self.share = None;
                    if let Ok(session) = &mut self.session {
                        session.play_or_pause();
                    }
                    self.counterexample = Some(format!(
                        "{} breaks in {} steps",
                        found.invariant, found.steps
                    ));
                    self.announcer = Announcer::default();
                    self.frames.request();
                }
                return true;
            }
            Msg::Hardened if WORKBENCH => {
                let hardened = self.session.as_ref().map(Session::hardened);
                match hardened {
                    Ok(Ok(mut session)) => {
                        session.play_or_pause();
                        self.session = Ok(session);
                        self.begin_anew();
                    }
                    Ok(Err(why)) => self.hand.refusal = Some(why),
                    Err(_) => {}
                }
                return true;
            }
            Msg::Share if WORKBENCH => {
                (self.share, self.to_focus) = match self.share.take() {
                    None => (
                        Some(share::Panel::default()),
                        Some(share::HEADING.to_owned()),
                    ),
                    Some(_) => (None, Some(share::BUTTON.to_owned())),
                };
                return true;
            }
            Msg::InShare(msg) if WORKBENCH => {
                if let (Some(panel), Ok(session)) = (&mut self.share, &self.session) {
                    panel.update(
                        msg,
                        session,
                        &self.recorded,
                        &ctx.link().callback(Msg::InShare),
                    );
                }
                return true;
            }
            Msg::Scenarios => {
                self.reopen(ctx);
                return true;
            }
            Msg::Open(chosen) if WORKBENCH => {
                let read = ctx.link().callback(Msg::Files);
                spawn_local(async move { read.emit(files::read(chosen, OPEN_BYTES_MAX).await) });
                return false;
            }
            Msg::Files(read) if WORKBENCH => {
                let bytes = |files: &Vec<(String, Vec<u8>)>| {
                    files.iter().flat_map(|(_, bytes)| bytes).copied().collect()
                };
                self.recorded = read.as_ref().map(bytes).unwrap_or_default();
                match read.and_then(|files| Files::read(&files)) {
                    Ok(Files::Run(opened)) => self.show(*opened),
                    Ok(Files::Lives(opening)) => self.opened = Open::Working(opening),
                    Err(why) => self.opened = Open::Refused(why),
                }
                self.frames.request();
                return true;
            }
            Msg::Frame(_) if WORKBENCH && matches!(self.opened, Open::Working(_)) => {
                let end = page_time_ms() + WORK_MS;
                if let Open::Working(opening) = &mut self.opened
                    && let Some(opened) = opening.work(&mut || page_time_ms() < end)
                {
                    match opened {
                        Ok(opened) => self.show(opened),
                        Err(why) => self.opened = Open::Refused(why),
                    }
                }
                self.frames.request();
                return true;
            }
            _ => {}
        }
        let Ok(session) = &mut self.session else {
            return false;
        };
        let mut is_drawn = true;
        match msg {
            Msg::Frame(ms) => {
                let elapsed = self.clock.frame(ms);
                let end = page_time_ms() + WORK_MS;
                session.frame(elapsed, &mut || page_time_ms() < end);
                if WORKBENCH
                    && !session.is_seeking()
                    && let Some(wish) = self.wish.take()
                {
                    ctx.link().send_message(wish);
                }
            }
            Msg::Transport(act) => session.obey(act),
            Msg::Stage(act) => match act {
                StageAct::Select(node) => session.select(node),
                StageAct::Focus(instance) => session.focus_on(instance),
                StageAct::SeekAfter(step) => session.seek_after_step(step),
                StageAct::Pick(picked) => session.pick(picked),
                StageAct::Why(None) => self.to_focus = dismiss(session),
                StageAct::Why(Some((node, instance))) => {
                    session.ask(node, instance);
                    self.to_focus = Some(why::HEADING.to_owned());
                }
            },
            Msg::Hand(act) if WORKBENCH => {
                if let Some(id) = self.hand.obey(act, session) {
                    self.to_focus = Some(id);
                }
            }
            Msg::WhyBroken => {
                session.ask_last();
                self.to_focus = Some(why::HEADING.to_owned());
            }
            Msg::Ask if session.ask_focused() => self.to_focus = Some(why::HEADING.to_owned()),
            Msg::Escape => match dismiss(session) {
                None if session.selected().is_none() && session.picked().is_none() => {
                    if let Some(panel) = self.hand.panel.take() {
                        self.to_focus = Some(panel.button().to_owned());
                    }
                    self.hand.refusal = None;
                }
                None => session.select(None),
                button => self.to_focus = button,
            },
            Msg::NextPhase => session.next_phase(),
            Msg::PreviousPhase => session.previous_phase(),
            Msg::Speed(by) => session.change_speed(by),
            Msg::Guess(guess) => session.set_guess(guess),
            Msg::Look(act) => is_drawn = self.look.obey(act, session),
            _ => {}
        }
        self.announcer.listen(session, page_time_ms());
        let end = page_time_ms() + WORK_MS;
        let has_listed = self
            .look
            .listing
            .follow(session, &mut || page_time_ms() < end);
        if session.is_busy() || self.announcer.is_behind(session) || !has_listed {
            self.frames.request();
        } else {
            self.clock.stop();
        }
        is_drawn
    }

    fn rendered(&mut self, _ctx: &Context<Self>, _first: bool) {
        let element = self.to_focus.take().and_then(|id| by_id(&id));
        if let Some(element) = element {
            // What is drawn takes the focus.
            let _focused = element.focus();
        }
        let active = super::document().and_then(|document| document.active_element());
        self.had_focus = active.is_some_and(|element| element.tag_name() != "BODY") || {
            // What had the focus is gone, as a message that arrived.
            let play = self.play.cast::<HtmlElement>().filter(|_| self.had_focus);
            play.is_some_and(|play| play.focus().is_ok())
        };
        let Ok(session) = &self.session else { return };
        let events = self.look.listing.len(session);
        if events != self.listed
            && self.look.listing.is_following()
            && let Some(list) = self.list.cast::<HtmlElement>()
        {
            // The newest event stays in sight.
            list.set_scroll_top(list.scroll_height());
        }
        self.listed = events;
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let link = ctx.link();
        let session = match &self.session {
            Ok(session) => session,
            Err(why) => return tools::refused(link, &self.name, why),
        };
        let mut scene = session.scene();
        scene.axis = self.look.axis(&scene.axis);
        let stage = link.callback(Msg::Stage);
        let look = link.callback(Msg::Look);
        let play = link.callback(|_: MouseEvent| Msg::Transport(TransportAct::PlayOrPause));
        let act = link.callback(Msg::Hand);
        let still = wants_little_motion();
        let is_cut = |a, b| session.is_cut(NodeId(a), NodeId(b));
        let picking = WORKBENCH.then(|| topology::Picking {
            with_messages: true,
            picked: session.picked(),
            is_cut: &is_cut,
        });
        html! {
            <div class="page simulate" data-testid="simulate" data-scenario={self.name.clone()}
                data-step={session.sim().steps().to_string()} data-at={fixed(session.cursor_ms(), 3)}
                data-seeking={session.is_busy().to_string()}>
                { top::top(Mode::Simulate, tools::tools(link, session, &self.name, (self.check.is_some(), self.share.is_some())),
                    &tools::badge(session), tools::skip(&self.play), Some(session.sim().spec())) }
                <div class="left">
                    { story::story(session, &link.callback(Msg::Guess), &act, self.hand.has_broken, &play) }
                    { self.events(session, &stage, &look) }
                </div>
                <main class="stage">
                    if WORKBENCH { { self.panels(link, session) } }
                    { told::told(link, &self.hand, session) }
                    { told::bar(link, &self.hand, session) }
                    if WORKBENCH { { self.hand_panel(session, &act) } }
                    if !scene.is_grid() {
                        { topology::topology(&scene, session.cursor_ms(), still, picking, &stage) }
                    }
                    { self.over_time(session, &scene, &stage, &look) }
                    if !scene.is_grid() {
                        { unseen(session) }
                    }
                    if WORKBENCH { { futures::futures(session, &act) } }
                </main>
                { self.inspector(session, &scene, &stage, &act) }
                { transport(session, &self.play, &link.callback(Msg::Transport)) }
                <div class="unseen" aria-live="polite" data-testid="announcer">{ self.announcer.text() }</div>
            </div>
        }
    }
}

impl Simulate {
    fn reopen(&mut self, ctx: &Context<Self>) {
        (self.name, self.session, self.seen) = open(ctx.props());
        self.opened = Open::Nothing;
        self.begin_anew();
    }

    /// Shows the run of a file.
    fn show(&mut self, opened: Opened) {
        self.opened = Open::done(&opened);
        self.session = Ok(opened.session);
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.counterexample = None;
        // Its search is of another run.
        self.check = None;
        self.share = None;
        self.announcer = Announcer::default();
        self.hand = Hand::default();
        self.frames.request();
    }

    fn route(&self, workbench: Option<Stand>) -> Route {
        let seed = self
            .session
            .as_ref()
            .ok()
            .map(|session| session.scenario().seed);
        Route::Simulate {
            scenario: Some(self.name.clone()),
            seed,
            workbench,
        }
    }

    /// Leaves the run to the workbench, which goes on from where it stands.
    fn leave(&mut self, ctx: &Context<Self>, wish: String) {
        let Ok(session) = &self.session else { return };
        replace_hash(&self.route(Some(wish::stand(session, wish))).to_hash());
        let link = ctx.link().clone();
        spawn_local(async move {
            if !start_program().await {
                link.send_message(Msg::NoWorkbench);
            }
        });
    }
}

/// Closes the answer; gives the button that asked, if there was one.
fn dismiss(session: &mut Session) -> Option<String> {
    session.dismiss().map(|why| why::button_id(why.id))
}

fn by_id(id: &str) -> Option<HtmlElement> {
    super::document()?.get_element_by_id(id)?.dyn_into().ok()
}

fn unseen(session: &Session) -> Html {
    let drawn = crate::session::NODES_DRAWN_MAX;
    match usize::from(session.scenario().nodes).checked_sub(drawn) {
        None | Some(0) => html! {},
        Some(more) => {
            html! { <p class="empty">{ format!("And {more} more nodes, which are not drawn.") }</p> }
        }
    }
}

fn open(props: &Props) -> (String, Result<Session, Refused>, Option<Seen>) {
    if WORKBENCH && let Some(token) = &props.shared {
        return match shared::open(token) {
            Ok(linked) => (linked.name, Ok(linked.session), Some(linked.seen)),
            Err(refused) => (String::new(), Err(refused), None),
        };
    }
    let (name, session) = open_named(props);
    (name, session.map_err(Refused::of), None)
}

fn open_named(props: &Props) -> (String, Result<Session, String>) {
    let wanted = props.scenario.as_deref().unwrap_or(SCENARIO);
    match builtin::find(wanted) {
        Some((name, mut scenario)) => {
            scenario.seed = props.seed.unwrap_or(scenario.seed);
            (name.to_owned(), Session::open(&scenario))
        }
        None => {
            let known: Vec<&str> = builtin::names().collect();
            (
                wanted.to_owned(),
                Err(format!(
                    "No scenario \"{wanted}\"; there are {}.",
                    known.join(", ")
                )),
            )
        }
    }
}
