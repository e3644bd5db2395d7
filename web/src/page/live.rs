//! The page of a live room.

use std::rc::Rc;

use phaselab_core::gateway::Invite;
use phaselab_core::protocol::ProtocolKind;
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;

use super::StageAct;
use super::live_nodes::{NodeAct, controls, nodes};
use super::live_seat;
use super::{events, inspector, lanes, top, topology};
use crate::browser::frames::Frames;
use crate::browser::keys::Keys;
use crate::browser::room::{RoomHandle, Waiting};
use crate::browser::{page_time_ms, query_parameter, wants_little_motion};
use crate::live::room_state::{Notice, RoomState};
use crate::live::submissions::Submission;
use crate::picture;
use crate::route::room_name;
use crate::session::EventLine;

/// Nodes of a new room, unless the address says otherwise.
const NODES: u16 = 3;

/// Events that are listed at most.
const EVENTS_MAX: usize = 200;

/// What to join.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct LiveProps {
    /// A seat in a hybrid cluster, by its invite if the address has one; else a room of this browser.
    #[prop_or_default]
    pub(super) seat: Option<Option<Invite>>,
}

pub(super) enum Msg {
    Waits(Waiting),
    Joined(Result<RoomHandle, String>),
    News,
    Frame,
    Stage(StageAct),
    Node(NodeAct),
    ShowAll(bool),
    Name(String),
    Amount(String),
    Submit,
}

pub(super) struct Live {
    waiting: Option<Waiting>,
    room: Option<Result<RoomHandle, String>>,
    frames: Frames,
    _keys: Keys,
    show_all: bool,
    refusal: String,
    name: String,
    amount: String,
    list: NodeRef,
    submit: NodeRef,
}

impl Component for Live {
    type Message = Msg;
    type Properties = LiveProps;

    fn create(ctx: &Context<Self>) -> Self {
        let link = ctx.link().clone();
        let (joined, waits) = (link.clone(), link.clone());
        let news = Rc::new(move || link.send_message(Msg::News));
        let seat = ctx.props().seat;
        spawn_local(async move {
            if let Some(invite) = seat {
                let on_wait = Rc::new(move |waiting| waits.send_message(Msg::Waits(waiting)));
                let room = match invite {
                    Some(invite) => RoomHandle::sit(invite, on_wait, news).await,
                    None => Err("the address has no whole invite; ask for it again".to_owned()),
                };
                return joined.send_message(Msg::Joined(room));
            }
            let room = room_name(query_parameter("room").as_deref());
            let nodes = query_parameter("nodes")
                .and_then(|nodes| nodes.parse().ok())
                .unwrap_or(NODES);
            joined.send_message(Msg::Joined(
                RoomHandle::join(&room, ProtocolKind::TwoPhase, nodes, news).await,
            ));
        });
        let frame = ctx.link().clone();
        let key = ctx.link().clone();
        Live {
            waiting: None,
            room: None,
            frames: Frames::new(move |_| frame.send_message(Msg::Frame)),
            _keys: Keys::listen(move |pressed| {
                let act = StageAct::of_key(&pressed);
                act.inspect(|act| key.send_message(Msg::Stage(act.clone())))
                    .is_some()
            }),
            show_all: false,
            refusal: String::new(),
            name: "withdraw-1".to_owned(),
            amount: "25".to_owned(),
            list: NodeRef::default(),
            submit: NodeRef::default(),
        }
    }

    fn update(&mut self, _ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Joined(room) => {
                self.room = Some(room);
                return true;
            }
            Msg::Waits(waiting) => {
                self.waiting = Some(waiting);
                return self.room.is_none();
            }
            _ => {}
        }
        let Some(Ok(room)) = &self.room else {
            return false;
        };
        match msg {
            // News may come many times per frame, and is drawn once.
            Msg::News => {
                self.frames.request();
                return false;
            }
            Msg::Frame => {
                if room.with(|state| state.observatory.is_moving(page_time_ms())) {
                    self.frames.request();
                }
            }
            Msg::Stage(StageAct::Select(node)) => {
                room.change(|state| state.selected = node.filter(|node| *node <= state.nodes));
            }
            Msg::Stage(StageAct::Focus(instance)) => {
                room.change(|state| state.focus = Some(instance))
            }
            Msg::Stage(StageAct::SeekAfter(_) | StageAct::Why(_)) => return false,
            Msg::Node(NodeAct::Crash(node)) => room.crash(node),
            Msg::Node(NodeAct::Restart(node)) => room.restart(node),
            Msg::ShowAll(all) => self.show_all = all,
            Msg::Name(name) => self.name = name,
            Msg::Amount(amount) => self.amount = amount,
            Msg::Submit => self.on_submit(),
            Msg::Joined(_) | Msg::Waits(_) => {}
        }
        true
    }

    fn rendered(&mut self, _ctx: &Context<Self>, _first: bool) {
        if let Some(list) = self.list.cast::<HtmlElement>() {
            // The newest event stays in sight.
            list.set_scroll_top(list.scroll_height());
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        match &self.room {
            Some(Ok(room)) => self.room_view(ctx, room),
            Some(Err(why)) => waiting(html! {
                <p class="alarm" role="alert" data-testid="no-room">{ format!("No room here: {why}") }</p>
            }),
            None if self.waiting.is_some() => waiting(live_seat::lobby(self.waiting.as_ref())),
            None => waiting(html! { <p class="empty" role="status">{ "Joining the room." }</p> }),
        }
    }
}

fn waiting(content: Html) -> Html {
    html! {
        <div class="page live" data-testid="live">
            { top::top(top::Mode::Live, html! {}, "Live", html! {}) }
            <main class="stage">{ content }</main>
        </div>
    }
}

impl Live {
    fn on_submit(&mut self) {
        let Some(Ok(room)) = &self.room else { return };
        match self.amount.trim().parse() {
            Ok(amount) => {
                room.submit(self.name.trim(), amount);
                self.refusal.clear();
                self.name = next_name(self.name.trim());
            }
            Err(_) => self.refusal = "amount: expected a whole number".to_owned(),
        }
    }

    fn room_view(&self, ctx: &Context<Self>, room: &RoomHandle) -> Html {
        let link = ctx.link();
        let stage = link.callback(Msg::Stage);
        let act = link.callback(Msg::Node);
        let now = page_time_ms();
        let created_ms = room.created_ms();
        let time = move |ms: f64| wall_time(created_ms as f64 + ms);
        room.with(|state| {
            let scene = state.scene(now);
            let lines = state.observatory.events(self.show_all, EVENTS_MAX);
            let inspector = match scene.selected {
                Some(id) => {
                    let told = state.observatory.events(false, EVENTS_MAX).into_iter().filter(|line| line.node == id);
                    let mut changes: Vec<EventLine> = told.collect();
                    changes.drain(..changes.len().saturating_sub(inspector::CHANGES_MAX));
                    inspector::node(&scene, id, &changes, &time, controls(state, id, &act), false, &stage)
                }
                None => about(room, state),
            };
            let submitted = state.submissions.shown().map(|shown| submission(&scene, state, shown));
            html! {
                <div class="page live" data-testid="live" data-room={room.name().to_owned()}
                    data-tabs={state.tabs().to_string()} data-tab={state.me().to_owned()}>
                    { top::top(top::Mode::Live, html! {}, &badge(state), self.skip()) }
                    <div class="left">
                        <section class="story" aria-label="Room">
                            <h1>{ format!("{} signers in {}", state.nodes, places(state)) }</h1>
                            { notice(state, room) }
                            <ul class="submissions" aria-label="Submitted" aria-live="polite">{ for submitted }</ul>
                        </section>
                        { events::events(&lines, self.show_all, "No events yet. Submit a payment.", &self.list, &time,
                            &stage, &link.callback(Msg::ShowAll)) }
                    </div>
                    <main class="stage">
                        { topology::topology(&scene, now, wants_little_motion(), &stage) }
                        { nodes(state, now, &scene, &act) }
                        { lanes::lanes(&scene, picture::of(state.kind), &stage) }
                    </main>
                    { inspector }
                    { self.form(link) }
                </div>
            }
        })
    }

    fn skip(&self) -> Html {
        let submit = self.submit.clone();
        let skip = Callback::from(move |_: MouseEvent| {
            if let Some(button) = submit.cast::<HtmlElement>() {
                // A button that is drawn takes the focus.
                let _focused = button.focus();
            }
        });
        html! { <button type="button" class="skip" onclick={skip}>{ "Skip to Submit" }</button> }
    }

    fn form(&self, link: &yew::html::Scope<Self>) -> Html {
        let onsubmit = link.callback(|event: SubmitEvent| {
            // At once: the browser would send the form, and leave the page.
            event.prevent_default();
            Msg::Submit
        });
        let text = |event: InputEvent| {
            event
                .target_dyn_into::<HtmlInputElement>()
                .map(|input| input.value())
                .unwrap_or_default()
        };
        html! {
            <footer class="transport submit-bar" aria-label="Submit a payment">
                <form class="submit" {onsubmit}>
                    <label>
                        <span>{ "Event" }</span>
                        <input type="text" maxlength="64" required=true value={self.name.clone()}
                            oninput={link.callback(move |event| Msg::Name(text(event)))} data-testid="submit-event" />
                    </label>
                    <label>
                        <span>{ "Amount" }</span>
                        <input type="number" min="1" step="1" required=true value={self.amount.clone()}
                            oninput={link.callback(move |event| Msg::Amount(text(event)))}
                            data-testid="submit-amount" />
                    </label>
                    <button type="submit" class="primary" ref={self.submit.clone()} data-testid="submit">
                        { "Submit" }
                    </button>
                </form>
                <p class="refusal" role="alert" data-testid="refusal">{ &self.refusal }</p>
            </footer>
        }
    }
}

/// The time of day, with milliseconds.
fn wall_time(ms: f64) -> String {
    let date = js_sys::Date::new(&ms.into());
    let (hours, minutes) = (date.get_hours(), date.get_minutes());
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}",
        date.get_seconds(),
        date.get_milliseconds()
    )
}

/// `rent-9` follows on `rent-8`.
fn next_name(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number: u32 = name[stem.len()..].parse().unwrap_or(1);
    let dash = if stem.ends_with('-') { "" } else { "-" };
    format!("{stem}{dash}{}", number.saturating_add(1))
}

fn tabs(count: usize) -> String {
    if count == 1 {
        "one tab".to_owned()
    } else {
        format!("{count} tabs")
    }
}

/// Where the nodes are.
fn places(state: &RoomState) -> String {
    match state.seat {
        Some(_) => "browsers and terminals".to_owned(),
        None => tabs(state.tabs()),
    }
}

fn badge(state: &RoomState) -> String {
    format!("Live · hardened · Ed25519 · {}", places(state))
}

fn notice(state: &RoomState, room: &RoomHandle) -> Html {
    match (&state.seat, &state.notice) {
        (Some(seat), Notice::Shared) => live_seat::notice(seat, state.nodes),
        (_, Notice::Failed(why)) => html! { <p class="alarm" role="alert">{ why }</p> },
        (_, Notice::Alone) => html! {
            <p class="warning" role="status" data-testid="alone">
                { "Tabs cannot share nodes at this address. Use localhost, https or the offline file." }
            </p>
        },
        (None, Notice::Shared) => {
            let address = format!("?room={}#live", room.name());
            let invitation = if state.tabs() == 1 {
                "Every node runs here. "
            } else {
                "Close a tab: its nodes move. "
            };
            html! {
                <p class="invitation">
                    { invitation }
                    <a href={address} target="_blank" rel="opener" data-testid="second-tab">{ "Open another tab" }</a>
                </p>
            }
        }
    }
}

fn submission(scene: &crate::scene::Scene, state: &RoomState, shown: &Submission) -> Html {
    let text = match &shown.reply {
        _ if shown.gave_up => "nobody answered".to_owned(),
        None => "asking".to_owned(),
        Some(reply) => {
            let letter = reply
                .value
                .and_then(|value| scene.label(value))
                .map(|label| format!(" {}", label.letter));
            let short = reply
                .value
                .map(|value| format!(" {}", value.short()))
                .unwrap_or_default();
            let took = shown
                .took
                .map(|took| format!(" in {} ms", took.as_ms()))
                .unwrap_or_default();
            format!(
                "{}{}{short}{took}: {}",
                reply.outcome,
                letter.unwrap_or_default(),
                reply.text
            )
        }
    };
    let outcome = shown.reply.as_ref().map_or("asking", |reply| reply.outcome);
    let focus = state
        .observatory
        .topics()
        .into_iter()
        .find(|topic| topic.name == shown.name);
    html! {
        <li class="submission" data-testid="submission" data-name={shown.name.clone()} data-outcome={outcome}
            data-instance={focus.map(|topic| topic.id.to_string())}>
            <strong>{ &shown.name }</strong>{ " " }{ text }
        </li>
    }
}

/// What the inspector shows while no node is selected.
fn about(room: &RoomHandle, state: &RoomState) -> Html {
    if let Some(seat) = &state.seat {
        return live_seat::about(seat, state);
    }
    let mine: Vec<String> = state.hosted.keys().map(u16::to_string).collect();
    html! {
        <aside class="inspector" aria-label="The room" data-testid="overview">
            <p class="empty">{ "Select a node to inspect it." }</p>
            <section>
                <h3>{ "The room" }</h3>
                <dl class="facts">
                    <dt>{ "name" }</dt><dd><code>{ room.name().to_owned() }</code></dd>
                    <dt>{ "tabs" }</dt><dd data-testid="tabs">{ state.tabs() }</dd>
                    <dt>{ "nodes here" }</dt>
                    <dd data-testid="nodes-here">{ if mine.is_empty() { "none".to_owned() } else { mine.join(" ") } }</dd>
                    <dt>{ "at most" }</dt><dd>{ format!("{} per tab", state.placement.share()) }</dd>
                    <dt>{ "chain" }</dt><dd>{ if state.has_chain { "runs here" } else { "runs in another tab" } }</dd>
                </dl>
            </section>
            <section>
                <h3>{ "What runs where" }</h3>
                <p>{ "Each node is a thread of some tab of this browser and speaks to the others by signed packets. It \
                    writes down its votes before it sends them, and finds them again wherever it starts next." }</p>
            </section>
            <section>
                <h3>{ "Fault model" }</h3>
                <p>{ state.kind.spec().fault_model }</p>
            </section>
        </aside>
    }
}
