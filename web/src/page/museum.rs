//! The museum of flaws: its exhibits, and one of them in two runs side by side.

use phaselab_core::scenario::{Scenario, Schedule};
use phaselab_wasm::live::wire::object;
use yew::prelude::*;

use super::StageAct;
use super::check::{self, Check};
use super::lanes;
use super::parts::{fixed, short_time, time};
use super::top::{self, Mode};
use super::transport::{Clock, bar};
use crate::browser::checker::{Answer, Asked};
use crate::browser::frames::Frames;
use crate::browser::keys::Keys;
use crate::browser::page_time_ms;
use crate::keymap::{MUSEUM, Meaning};
use crate::picture;
use crate::playing::{FrameClock, Plays, TransportAct};
use crate::session::Session;
use crate::split::{Promise, Split};

/// Work per frame, in milliseconds: what is left of 16 draws two runs.
const WORK_MS: f64 = 7.0;

#[derive(PartialEq, Properties)]
pub(super) struct Props {
    /// Which exhibit; all of them if none is named.
    pub(super) exhibit: Option<String>,
}

pub(super) enum Msg {
    Heard(Answer),
    Frame(f64),
    Transport(TransportAct),
    Stage(StageAct),
    /// Opens or closes the checker's panel.
    Check,
    /// Something in it.
    InCheck(check::Msg),
    /// Back to the exhibit.
    Back,
}

/// What is known of an exhibit.
struct Exhibit {
    id: String,
    story: String,
    promise: String,
    rule: String,
    term: String,
    scenario: Option<Scenario>,
    text: String,
    schedule: Vec<(f64, String)>,
    refused: Option<String>,
}

/// What the thread has brought.
enum Rooms {
    Awaited,
    Open(Vec<Exhibit>),
    Failed(String),
}

pub(super) struct Museum {
    rooms: Rooms,
    split: Result<Split, String>,
    check: Option<Check>,
    /// Whether it is what the checker found.
    is_found: bool,
    thread: Option<Asked>,
    frames: Frames,
    _keys: Keys,
    clock: FrameClock,
    play: NodeRef,
}

impl Component for Museum {
    type Message = Msg;
    type Properties = Props;

    fn create(ctx: &Context<Self>) -> Self {
        let (heard, frame, keys) = (ctx.link().clone(), ctx.link().clone(), ctx.link().clone());
        let order = object(&[("kind", &"museum".into())]);
        let thread = Asked::start(&order, move |answer| heard.send_message(Msg::Heard(answer)));
        Museum {
            rooms: match &thread {
                Ok(_) => Rooms::Awaited,
                Err(why) => Rooms::Failed(why.clone()),
            },
            split: Err(String::new()),
            check: None,
            is_found: false,
            thread: thread.ok(),
            frames: Frames::new(move |ms| frame.send_message(Msg::Frame(ms))),
            _keys: Keys::listen(move |key| {
                let msg = match key.meaning(MUSEUM) {
                    Some(Meaning::Transport(act)) => Some(Msg::Transport(act)),
                    Some(meaning) => StageAct::of(meaning).map(Msg::Stage),
                    None => None,
                };
                let is_meant = msg.is_some();
                msg.into_iter().for_each(|msg| keys.send_message(msg));
                is_meant
            }),
            clock: FrameClock::default(),
            play: NodeRef::default(),
        }
    }

    fn changed(&mut self, ctx: &Context<Self>, _old: &Props) -> bool {
        self.check = None;
        self.enter(ctx);
        true
    }

    fn update(&mut self, ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Heard(answer) => {
                self.thread = None;
                self.rooms = if answer.text("kind") == "museum" {
                    Rooms::Open(answer.list("exhibits").iter().map(Exhibit::read).collect())
                } else {
                    Rooms::Failed(failure(&answer))
                };
                self.enter(ctx);
                return true;
            }
            Msg::Check => {
                self.check = match (self.check.take(), self.exhibit(ctx.props()), &self.split) {
                    (None, Some(exhibit), Ok(split)) => Some(exhibit.panel(split)),
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
                    self.split = Split::open(&found.scenario, &found.invariant, None);
                    self.is_found = true;
                    if let Ok(split) = &mut self.split {
                        split.play_or_pause();
                    }
                    self.frames.request();
                }
                return true;
            }
            Msg::Back => {
                self.enter(ctx);
                return true;
            }
            _ => {}
        }
        let Ok(split) = &mut self.split else {
            return false;
        };
        match msg {
            Msg::Frame(ms) => {
                let elapsed = self.clock.frame(ms);
                let end = page_time_ms() + WORK_MS;
                split.frame(elapsed, &mut || page_time_ms() < end);
            }
            Msg::Transport(act) => split.obey(act),
            Msg::Stage(StageAct::Select(node)) => split.each().for_each(|side| side.select(node)),
            Msg::Stage(StageAct::Focus(id)) => split.each().for_each(|side| side.focus_on(id)),
            _ => {}
        }
        if split.is_busy() {
            self.frames.request();
        } else {
            self.clock.stop();
        }
        true
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let exhibit = self.exhibit(ctx.props());
        let stage = match (&self.rooms, exhibit, &self.split) {
            (Rooms::Awaited, ..) => {
                html! { <p class="empty" role="status">{ "Fetching the exhibits." }</p> }
            }
            (Rooms::Failed(why), ..) => html! { <p class="alarm" role="alert">{ why }</p> },
            (Rooms::Open(_), Some(exhibit), Ok(split)) => self.two_sides(ctx, exhibit, split),
            (Rooms::Open(_), Some(_), Err(why)) => {
                html! { <p class="alarm" role="alert">{ why }</p> }
            }
            (Rooms::Open(exhibits), None, _) => gallery(exhibits, ctx.props().exhibit.as_deref()),
        };
        let shown = self.split.as_ref().ok().filter(|_| exhibit.is_some());
        let all = exhibit.map(|_| html! { <a class="all" href="#museum">{ "All exhibits" }</a> });
        let badge = exhibit.map_or_else(
            || "Simulated".to_owned(),
            |exhibit| format!("Simulated · hardened, and with {}", exhibit.id),
        );
        html! {
            <div class="page museum" data-testid="museum" data-at={shown.map(|split| fixed(split.cursor_ms(), 3))}
                data-seeking={shown.map(|split| split.is_busy().to_string())}>
                { top::top(Mode::Museum, all.unwrap_or_default(), &badge, html! {},
                    shown.map(|split| split.flawed().sim().spec())) }
                <main class="stage">{ stage }</main>
                if let Some(split) = shown {
                    { self.transport(split, &ctx.link().callback(Msg::Transport)) }
                }
            </div>
        }
    }
}

impl Museum {
    fn exhibit(&self, props: &Props) -> Option<&Exhibit> {
        let (Rooms::Open(exhibits), Some(id)) = (&self.rooms, &props.exhibit) else {
            return None;
        };
        exhibits.iter().find(|exhibit| exhibit.id == *id)
    }

    /// Opens the exhibit that the address names.
    fn enter(&mut self, ctx: &Context<Self>) {
        let split = self.exhibit(ctx.props()).map(|exhibit| {
            let scenario = exhibit.scenario.as_ref();
            let scenario = scenario.ok_or("The exhibit is of another version of the page.")?;
            Split::open(scenario, &exhibit.promise, exhibit.refused.clone())
        });
        self.split = split.unwrap_or_else(|| Err(String::new()));
        self.is_found = false;
        self.clock.stop();
        self.frames.request();
    }

    fn two_sides(&self, ctx: &Context<Self>, exhibit: &Exhibit, split: &Split) -> Html {
        let act = ctx.link().callback(Msg::Stage);
        let link = ctx.link();
        let now = exhibit
            .schedule
            .iter()
            .take_while(|(at, _)| !split.is_at_start() && *at <= split.cursor_ms())
            .count();
        let count = exhibit.schedule.len();
        let caption = match now.checked_sub(1).map(|last| &exhibit.schedule[last]) {
            Some((at, text)) => format!("{now} of {count}, at {}: {text}.", short_time(*at)),
            None => {
                format!("{count} things are going to happen, the same on both sides. Press Play.")
            }
        };
        let kept = match split.kept() {
            Ok(kept) => side(split, kept, exhibit, false, &act),
            Err(why) => html! {
                <section class="side" aria-label="Hardened rules" data-testid="side-hardened">
                    <div class="side-head"><h2>{ "Hardened rules" }</h2>
                        { verdict(Promise::Kept, &exhibit.promise, String::new()) }</div>
                    <p class="refused" data-testid="refused">{ format!("Hardened rules do not take it: {why}.") }</p>
                </section>
            },
        };
        html! {
            <>
                <div class="exhibit">
                    <h1>{ format!("{}: {}", exhibit.id, exhibit.story) }</h1>
                    <p class="muted">{ format!("Known as: {}. The promise: {}.", exhibit.term, exhibit.promise) }</p>
                    if self.is_found {
                        <p class="caption" data-testid="found">{ "What the checker found. " }
                            <button type="button" class="small" onclick={link.callback(|_: MouseEvent| Msg::Back)}>
                                { "Back to the exhibit" }</button></p>
                    } else {
                        <p class="caption" data-testid="scheduled">{ caption }</p>
                    }
                    if split.flawed().scenario().schedule == Schedule::Manual && self.check.is_none() {
                        <button type="button" class="small again" onclick={link.callback(|_: MouseEvent| Msg::Check)}
                            data-testid="check">{ "Find it again with the checker" }</button>
                    }
                </div>
                { for self.check.as_ref().map(|check| check.view(&link.callback(Msg::InCheck),
                    &link.callback(|_: MouseEvent| Msg::Check))) }
                <div class="sides">
                    { kept }
                    { side(split, split.flawed(), exhibit, true, &act) }
                </div>
                <p class="rule" data-testid="rule"><strong>{ "The rule that stops it: " }</strong>{ &exhibit.rule }</p>
            </>
        }
    }

    fn transport(&self, split: &Split, act: &Callback<TransportAct>) -> Html {
        let clock = Clock {
            cursor_ms: split.cursor_ms(),
            horizon_ms: split.horizon_ms(),
            faults_ms: &[],
            parted_ms: None,
            speed: split.speed(),
            is_playing: split.is_playing(),
            is_seeking: split.is_seeking(),
            is_start: split.is_at_start(),
            is_end: split.is_at_end(),
            steps: None,
        };
        bar(&clock, &self.play, act, html! {})
    }
}

/// One run: what became of the promise, what was told last, and the lanes.
fn side(
    split: &Split,
    session: &Session,
    exhibit: &Exhibit,
    has_flaw: bool,
    act: &Callback<StageAct>,
) -> Html {
    let (promise, detail) = split.promise(session);
    let (title, testid) = if has_flaw {
        (format!("With {}: unsafe", exhibit.id), "side-flawed")
    } else {
        ("Hardened rules".to_owned(), "side-hardened")
    };
    let told = session.events(false, 1).pop();
    let told = told.map(|line| format!("{} {}", time(line.at_ms), line.sentence));
    let scene = split.scene(session);
    html! {
        <section class={classes!("side", has_flaw.then_some("flawed"))} aria-label={title.clone()} data-testid={testid}>
            <div class="side-head"><h2>{ title }</h2>{ verdict(promise, &exhibit.promise, detail.clone()) }</div>
            <p class="side-caption">{ told.unwrap_or_default() }</p>
            <p class="side-detail">{ if promise == Promise::Broken { detail } else { String::new() } }</p>
            { lanes::lanes(&scene, picture::of(session.sim().spec()), act) }
        </section>
    }
}

fn verdict(promise: Promise, name: &str, detail: String) -> Html {
    let (class, text) = match promise {
        Promise::Open => ("open", format!("○ {name}: still open")),
        Promise::Kept => ("holds", format!("✓ {name}: holds")),
        Promise::Broken => ("broken", format!("✕ {name}: broken")),
    };
    html! {
        <span class={classes!("verdict", class)} data-testid="promise" data-promise={class} title={detail}>{ text }</span>
    }
}

/// Every exhibit, with its way in.
fn gallery(exhibits: &[Exhibit], missing: Option<&str>) -> Html {
    html! {
        <div class="gallery">
            <h1>{ "The museum of flaws" }</h1>
            <p class="muted">{ "Each exhibit puts one flaw of a protocol's first description back. The same schedule then \
                runs twice: under hardened rules, and with the flaw." }</p>
            if let Some(id) = missing {
                <p class="warning" role="status">{ format!("There is no exhibit {id}.") }</p>
            }
            <ul class="exhibits">
                { for exhibits.iter().map(|exhibit| html! {
                    <li data-testid="exhibit">
                        <a href={format!("#museum={}", exhibit.id)}>{ &exhibit.id }</a>
                        <p>{ &exhibit.story }</p>
                        <p class="muted">{ format!("Breaks: {}", exhibit.promise) }</p>
                        <p class="muted">{ format!("Known as: {}", exhibit.term) }</p>
                    </li>
                }) }
            </ul>
            <p class="muted">
                { "Where a flaw takes a liar it lies outside this fault model, and hardened rules do not claim to stop it: " }
                <a href="#scenario=two-phase/equivocator">{ "one equivocator forks three signers (S0-F22)" }</a>{ "." }
            </p>
        </div>
    }
}

/// What the thread says went wrong.
pub(super) fn failure(answer: &Answer) -> String {
    let text = answer.text("text");
    if text.is_empty() {
        "The checker could not be fetched.".to_owned()
    } else {
        text
    }
}

impl Exhibit {
    fn panel(&self, split: &Split) -> Check {
        let scenario = split.flawed().scenario();
        let flaws = scenario.protocol.flaws().iter();
        let flaws = flaws.filter(|flaw| flaw.id == self.id);
        let flaws = flaws.map(|flaw| flaw.id).collect();
        Check::new(self.text.clone(), scenario.seed, flaws)
    }

    fn read(answer: &Answer) -> Exhibit {
        let refused = answer.text("refused");
        Exhibit {
            id: answer.text("id"),
            story: answer.text("story"),
            promise: answer.text("invariant"),
            rule: answer.text("rule"),
            term: answer.text("term"),
            scenario: answer.scenario("scenario"),
            text: answer.text("text"),
            schedule: answer
                .list("schedule")
                .iter()
                .map(|entry| (entry.number("at_ms"), entry.text("text")))
                .collect(),
            refused: (!refused.is_empty()).then_some(refused),
        }
    }
}
