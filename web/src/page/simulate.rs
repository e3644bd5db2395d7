//! The page of simulated runs.

use phaselab_core::crypto::Crypto;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::NodeId;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{File, HtmlElement, HtmlInputElement, HtmlSelectElement};
use yew::prelude::*;

use super::StageAct;
use super::check::{self, Check};
use super::open::{self, Open};
use super::parts::{fixed, time};
use super::top::{self, Mode};
use super::transport::{TransportAct, transport};
use super::{events, inspector, lanes, story, topology, why};
use crate::browser::frames::Frames;
use crate::browser::keys::{Key, Keys};
use crate::browser::{files, page_time_ms, set_hash, wants_little_motion};
use crate::route::Route;
use crate::session::opening::{Files, OPEN_BYTES_MAX, Opened};
use crate::session::{Guess, Session};
use crate::{builtin, picture};

/// The scenario that a first visit shows.
const SCENARIO: &str = "two-phase/three-signers";

/// Events that are listed at most.
const EVENTS_MAX: usize = 200;

/// Work per frame, in milliseconds: what is left of 16 draws.
const WORK_MS: f64 = 8.0;

/// The least time between two announcements, in milliseconds.
const ANNOUNCE_MS: f64 = 1_500.0;

#[derive(PartialEq, Properties)]
pub(super) struct Props {
    /// The scenario's name.
    pub(super) scenario: Option<String>,
    /// The seed.
    pub(super) seed: Option<u64>,
    /// Whether it plays at once.
    pub(super) autoplay: bool,
}

pub(super) enum Msg {
    Frame(f64),
    Transport(TransportAct),
    Stage(StageAct),
    Phase(Direction),
    Speed(isize),
    Guess(Guess),
    /// Asks why, of the instance that is shown.
    Ask,
    /// Closes the answer, or else the inspector.
    Escape,
    ShowAll(bool),
    Scenario(String),
    Seed(String),
    /// Opens or closes the checker's panel.
    Check,
    /// Something in it.
    InCheck(check::Msg),
    /// Back to the scenario.
    Scenarios,
    /// Files were chosen.
    Open(Vec<File>),
    /// And read.
    Files(Result<Vec<(String, Vec<u8>)>, String>),
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Back,
}

/// Sentences for those who listen: at most one message in a while.
#[derive(Default)]
struct Announcer {
    said: usize,
    at_ms: f64,
    text: String,
}

pub(super) struct Simulate {
    name: String,
    session: Result<Session, String>,
    check: Option<Check>,
    /// Of what the run is a counterexample, if it is one.
    counterexample: Option<String>,
    opened: Open,
    frames: Frames,
    _keys: Keys,
    last_frame_ms: Option<f64>,
    show_all: bool,
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
        let keys = ctx.link().clone();
        let (name, mut session) = open(ctx.props());
        if let (true, Ok(session)) = (ctx.props().autoplay, &mut session) {
            session.play_or_pause();
        }
        let link = ctx.link().clone();
        let page = Simulate {
            name,
            session,
            check: None,
            counterexample: None,
            opened: Open::Nothing,
            frames: Frames::new(move |ms| link.send_message(Msg::Frame(ms))),
            _keys: Keys::listen(move |key| match meaning(&key) {
                Some(msg) => {
                    keys.send_message(msg);
                    true
                }
                None => false,
            }),
            last_frame_ms: None,
            show_all: false,
            announcer: Announcer::default(),
            list: NodeRef::default(),
            play: NodeRef::default(),
            listed: 0,
            to_focus: None,
        };
        page.frames.request();
        page
    }

    fn changed(&mut self, ctx: &Context<Self>, _old: &Props) -> bool {
        self.reopen(ctx);
        true
    }

    fn update(&mut self, ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Scenario(name) => {
                set_hash(
                    &Route::Simulate {
                        scenario: Some(name),
                        seed: None,
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
                        }
                        .to_hash(),
                    );
                }
                return false;
            }
            Msg::ShowAll(all) => {
                self.show_all = all;
                return true;
            }
            Msg::Check => {
                self.check = match (self.check.take(), &self.session) {
                    (None, Ok(session)) => Some(self.panel(session)),
                    _ => None,
                };
                return true;
            }
            Msg::InCheck(msg) => {
                let act = ctx.link().callback(Msg::InCheck);
                let found = self
                    .check
                    .as_mut()
                    .and_then(|check| check.update(msg, &act));
                if let Some(found) = found {
                    self.session = Session::open(&found.scenario);
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
            Msg::Scenarios => {
                self.reopen(ctx);
                return true;
            }
            Msg::Open(chosen) => {
                let read = ctx.link().callback(Msg::Files);
                spawn_local(async move { read.emit(files::read(chosen, OPEN_BYTES_MAX).await) });
                return false;
            }
            Msg::Files(read) => {
                match read.and_then(|files| Files::read(&files)) {
                    Ok(Files::Run(opened)) => self.show(*opened),
                    Ok(Files::Lives(opening)) => self.opened = Open::Working(opening),
                    Err(why) => self.opened = Open::Refused(why),
                }
                self.frames.request();
                return true;
            }
            Msg::Frame(_) if matches!(self.opened, Open::Working(_)) => {
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
        match msg {
            Msg::Frame(ms) => {
                let elapsed = self
                    .last_frame_ms
                    .map_or(0.0, |last| (ms - last).min(FRAME_MS_MAX));
                self.last_frame_ms = Some(ms);
                let end = page_time_ms() + WORK_MS;
                session.frame(elapsed, &mut || page_time_ms() < end);
            }
            Msg::Transport(act) => match act {
                TransportAct::PlayOrPause => session.play_or_pause(),
                TransportAct::Step => session.step(),
                TransportAct::Back => session.back(),
                TransportAct::Home => session.home(),
                TransportAct::End => session.end(),
                TransportAct::Seek(ms) => session.seek_ms(ms),
                TransportAct::Speed(place) => session.set_speed(place),
            },
            Msg::Stage(act) => match act {
                StageAct::Select(node) => session.select(node),
                StageAct::Focus(instance) => session.focus_on(instance),
                StageAct::SeekAfter(step) => session.seek_after_step(step),
                StageAct::Why(None) => self.to_focus = dismiss(session),
                StageAct::Why(Some((node, instance))) => {
                    session.ask(node, instance);
                    self.to_focus = Some(why::HEADING.to_owned());
                }
            },
            Msg::Ask if session.ask_focused() => self.to_focus = Some(why::HEADING.to_owned()),
            Msg::Escape => match dismiss(session) {
                None => session.select(None),
                button => self.to_focus = button,
            },
            Msg::Phase(Direction::Forward) => session.next_phase(),
            Msg::Phase(Direction::Back) => session.previous_phase(),
            Msg::Speed(by) => session.change_speed(by),
            Msg::Guess(guess) => session.set_guess(guess),
            _ => {}
        }
        self.announcer.listen(session);
        if session.is_busy() || self.announcer.is_behind(session) {
            self.frames.request();
        } else {
            self.last_frame_ms = None;
        }
        true
    }

    fn rendered(&mut self, _ctx: &Context<Self>, _first: bool) {
        let element = self.to_focus.take().and_then(|id| by_id(&id));
        if let Some(element) = element {
            // What is drawn takes the focus.
            let _focused = element.focus();
        }
        let Ok(session) = &self.session else { return };
        let events = session.sim().log().len();
        if events != self.listed
            && let Some(list) = self.list.cast::<HtmlElement>()
        {
            // The newest event stays in sight.
            list.set_scroll_top(list.scroll_height());
            self.listed = events;
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let link = ctx.link();
        let session = match &self.session {
            Ok(session) => session,
            Err(why) => return self.refused(link, why),
        };
        let scene = session.scene();
        let stage = link.callback(Msg::Stage);
        let lines = session.events(self.show_all, EVENTS_MAX);
        let picture = picture::of(session.scenario().protocol);
        let play = link.callback(|_: MouseEvent| Msg::Transport(TransportAct::PlayOrPause));
        let broken: Vec<_> = session
            .sim()
            .verdicts()
            .into_iter()
            .filter(|verdict| !verdict.holds)
            .collect();
        html! {
            <div class="page simulate" data-testid="simulate" data-scenario={self.name.clone()}
                data-step={session.sim().steps().to_string()} data-at={fixed(session.cursor_ms(), 3)}
                data-seeking={session.is_busy().to_string()}>
                { top::top(Mode::Simulate, self.tools(link, session), &badge(session), self.skip()) }
                <div class="left">
                    { story::story(session, &link.callback(Msg::Guess), &play) }
                    { events::events(&lines, self.show_all, "No events yet. Press Play.", &self.list, &time, &stage,
                        &link.callback(Msg::ShowAll)) }
                </div>
                <main class="stage">
                    { self.check(link) }
                    if let Some(verdict) = broken.first() {
                        <p class="alarm" role="alert">{ format!("Safety broken: {}. {}", verdict.name, verdict.detail) }</p>
                    }
                    { topology::topology(&scene, session.cursor_ms(), wants_little_motion(), &stage) }
                    { lanes::lanes(&scene, picture, &stage) }
                    { unseen(session) }
                </main>
                { self.inspector(session, &scene, &stage) }
                { transport(session, &self.play, &link.callback(Msg::Transport)) }
                <div class="unseen" aria-live="polite" data-testid="announcer">{ &self.announcer.text }</div>
            </div>
        }
    }
}

/// Of more nodes there are too many schedules for a browser.
const CHECK_NODES_MAX: u16 = 4;

/// A frame that took longer, as after the page was hidden, counts as this much.
const FRAME_MS_MAX: f64 = 100.0;

impl Simulate {
    fn reopen(&mut self, ctx: &Context<Self>) {
        (self.name, self.session) = open(ctx.props());
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
        self.announcer = Announcer::default();
        self.frames.request();
    }

    /// A panel for what is shown.
    fn panel(&self, session: &Session) -> Check {
        let scenario = session.scenario();
        let flaws = scenario.protocol.flaws().iter();
        let flaws = flaws.filter(|flaw| flaw.is_switchable());
        let flaws = flaws.map(|flaw| flaw.id).collect();
        Check::new(self.name.clone(), scenario.seed, flaws)
    }

    /// Of what the run is a counterexample, and the checker's panel.
    fn check(&self, link: &yew::html::Scope<Self>) -> Html {
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

    fn skip(&self) -> Html {
        let play = self.play.clone();
        let skip = Callback::from(move |_: MouseEvent| {
            if let Some(button) = play.cast::<HtmlElement>() {
                // A button that is drawn takes the focus.
                let _focused = button.focus();
            }
        });
        html! { <button type="button" class="skip" onclick={skip}>{ "Skip to Play" }</button> }
    }

    fn tools(&self, link: &yew::html::Scope<Self>, session: &Session) -> Html {
        let choose = link.batch_callback(|event: Event| {
            event
                .target_dyn_into::<HtmlSelectElement>()
                .map(|select| Msg::Scenario(select.value()))
        });
        let reseed = link.batch_callback(|event: Event| {
            event
                .target_dyn_into::<HtmlInputElement>()
                .map(|input| Msg::Seed(input.value()))
        });
        // What happened has no seed, and no other schedule.
        let is_live = session.sim().is_live();
        html! {
            <>
                { self.chooser(choose) }
                { open::control(link.callback(Msg::Open)) }
                if !is_live {
                    <label class="seed">
                        <span>{ "Seed" }</span>
                        <input type="number" min="0" step="1" value={session.scenario().seed.to_string()}
                            onchange={reseed} data-testid="seed" />
                    </label>
                }
                if !is_live && session.scenario().nodes <= CHECK_NODES_MAX {
                    <button type="button" class="small" onclick={link.callback(|_: MouseEvent| Msg::Check)}
                        aria-expanded={self.check.is_some().to_string()} data-testid="check">{ "Check" }</button>
                }
            </>
        }
    }

    fn chooser(&self, choose: Callback<Event>) -> Html {
        html! {
            <label class="scenario">
                <span>{ "Scenario" }</span>
                <select onchange={choose} data-testid="scenario">
                    { for ProtocolKind::names().into_iter().map(|protocol| html! {
                        <optgroup label={protocol}>
                            { for builtin::names().filter_map(|whole| {
                                let name = whole.strip_prefix(protocol)?.strip_prefix('/')?;
                                Some(html! {
                                    <option value={whole} selected={whole == self.name}>{ name }</option>
                                })
                            }) }
                        </optgroup>
                    }) }
                </select>
            </label>
        }
    }

    fn refused(&self, link: &yew::html::Scope<Self>, why: &str) -> Html {
        let choose = link.batch_callback(|event: Event| {
            event
                .target_dyn_into::<HtmlSelectElement>()
                .map(|select| Msg::Scenario(select.value()))
        });
        html! {
            <div class="page simulate">
                { top::top(Mode::Simulate, self.chooser(choose), "Simulated", html! {}) }
                <main class="stage"><p class="alarm" role="alert">{ why }</p></main>
            </div>
        }
    }

    fn inspector(
        &self,
        session: &Session,
        scene: &crate::scene::Scene,
        stage: &Callback<StageAct>,
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
                    answer.unwrap_or_default(),
                    true,
                    stage,
                )
            }
            None => overview(session),
        }
    }
}

/// Closes the answer; gives the button that asked, if there was one.
fn dismiss(session: &mut Session) -> Option<String> {
    session.dismiss().map(|why| why::button_id(why.id))
}

fn by_id(id: &str) -> Option<HtmlElement> {
    super::document()?.get_element_by_id(id)?.dyn_into().ok()
}

/// What the inspector shows while no node is selected.
fn overview(session: &Session) -> Html {
    let report = session.sim().report();
    let expected = report.expectations.len();
    let met = report.expectations.iter().filter(|entry| entry.met).count();
    html! {
        <aside class="inspector" aria-label="The run" data-testid="overview" tabindex="0">
            <p class="empty">{ "Select a node to inspect it." }</p>
            <section>
                <h3>{ "Decided" }</h3>
                if report.decisions.is_empty() { <p class="empty">{ "Nothing yet." }</p> }
                <ul class="changes">
                    { for report.decisions.iter().map(|decision| html! {
                        <li data-testid="decision">
                            { format!("{} = {} ", decision.instance, decision.label.as_deref().unwrap_or("?")) }
                            <code>{ decision.value.short().to_string() }</code>
                            { format!(" at nodes {}", words(&decision.nodes)) }
                        </li>
                    }) }
                </ul>
            </section>
            <section>
                <h3>{ "Invariants" }</h3>
                <dl class="facts">
                    { for report.invariants.iter().map(|verdict| html! {
                        <><dt>{ verdict.name }</dt><dd>{ &verdict.detail }</dd></>
                    }) }
                </dl>
            </section>
            if expected > 0 {
                <section>
                    <h3>{ format!("Expected: {met} of {expected} met so far") }</h3>
                    <ul class="expected">
                        { for report.expectations.iter().map(|entry| html! {
                            <li><span aria-hidden="true">{ if entry.met { "✓" } else { "○" } }</span>
                                { &entry.text }<span class="unseen">{ if entry.met { ", met" } else { ", not yet" } }</span></li>
                        }) }
                    </ul>
                </section>
            }
            <section>
                <h3>{ "Fault model" }</h3>
                <p>{ session.sim().spec().fault_model }</p>
            </section>
        </aside>
    }
}

fn words(nodes: &[NodeId]) -> String {
    nodes
        .iter()
        .map(|node| node.0.to_string())
        .collect::<Vec<_>>()
        .join(" ")
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

fn open(props: &Props) -> (String, Result<Session, String>) {
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

fn badge(session: &Session) -> String {
    let scenario = session.scenario();
    let crypto = match scenario.crypto {
        Crypto::Ed25519 => "Ed25519",
        Crypto::Simulated => "simulated signatures",
    };
    let rules = if scenario.flaws.is_empty() {
        scenario.rules.name().to_owned()
    } else {
        format!("with {}: unsafe", scenario.flaws.join(", "))
    };
    if session.sim().is_live() {
        return format!("Live, recorded · {rules} · {crypto}");
    }
    format!("Simulated · {rules} · seed {} · {crypto}", scenario.seed)
}

/// What a key means here.
fn meaning(key: &Key) -> Option<Msg> {
    if let Some(act) = TransportAct::of_key(key) {
        return Some(Msg::Transport(act));
    }
    Some(match (key.name.as_str(), key.shift) {
        ("ArrowRight", true) => Msg::Phase(Direction::Forward),
        ("ArrowLeft", true) => Msg::Phase(Direction::Back),
        ("[", _) => Msg::Speed(-1),
        ("]", _) => Msg::Speed(1),
        ("w", _) => Msg::Ask,
        ("Escape", _) => Msg::Escape,
        _ => Msg::Stage(StageAct::of_key(key)?),
    })
}

impl Announcer {
    /// Puts what was told since into one message.
    fn listen(&mut self, session: &Session) {
        let now = page_time_ms();
        let told = session.sim().log().len();
        if told < self.said {
            self.said = told;
        }
        if told == self.said || now - self.at_ms < ANNOUNCE_MS {
            return;
        }
        let log = session.sim().log();
        let fresh = log
            .iter_from(self.said)
            .filter(|entry| phaselab_core::narrate::is_told(entry.event.kind))
            .count();
        (self.said, self.at_ms) = (told, now);
        if fresh > 0 {
            let lines = session.events(false, fresh.min(ANNOUNCED_MAX));
            self.text = lines
                .into_iter()
                .map(|line| line.sentence)
                .collect::<Vec<_>>()
                .join(" ");
        }
    }

    fn is_behind(&self, session: &Session) -> bool {
        session.sim().log().len() > self.said
    }
}

/// Sentences in one announcement.
const ANNOUNCED_MAX: usize = 4;
