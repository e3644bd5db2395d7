//! The page of a live room.

use std::rc::Rc;

use phaselab_core::gateway::Invite;
use phaselab_core::protocol::ProtocolKind;
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlElement, HtmlInputElement};
use yew::prelude::*;

use super::StageAct;
use super::live_faults::{self, NodeAct};
use super::live_nodes::{controls, nodes};
use super::live_parts::{about, badge, next_name, notice, submission, title, wall_time};
use super::live_seat;
use super::{events, inspector, lanes, top, topology};
use crate::browser::frames::Frames;
use crate::browser::handover::Kept;
use crate::browser::idb::{Clash, on_clash};
use crate::browser::keys::Keys;
use crate::browser::room::{RoomHandle, Waiting};
use crate::browser::{page_time_ms, query_parameter, wants_little_motion};
use crate::keymap::{LIVE, Meaning};
use crate::live::deeds::{LinkState, link_state};
use crate::look::LookAct;
use crate::picture::{self, Form, FormField};
use crate::route::room_name;
use crate::session::EventLine;
use crate::session::Picked;

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
    /// Something is written into the field at this place of the form.
    Write(usize, String),
    /// One of the form's buttons.
    Submit(usize),
    Clash(Clash),
    /// Asks for what was recorded.
    Record(Wanted),
    Recorded(Wanted, Result<Vec<u8>, String>),
    /// A key: crashes or restarts the selected node.
    Crash,
    /// A key: cuts off the selected node, or reconnects it.
    Cut,
}

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A file.
    File,
    /// To play it in another tab.
    Replay,
}

pub(super) struct Live {
    waiting: Option<Waiting>,
    room: Option<Result<RoomHandle, String>>,
    frames: Frames,
    _keys: Keys,
    show_all: bool,
    refusal: String,
    /// Before there is a room: what another version of this page makes necessary.
    clash: Clash,
    recording: Option<Result<Kept, String>>,
    /// What stands in the form; what stands there at first, where nobody wrote yet.
    fields: Vec<Option<String>>,
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
            let kind = query_parameter("protocol");
            let kind = kind.map_or(Ok(ProtocolKind::TwoPhase), |name| {
                let kind = ProtocolKind::from_name(&name);
                kind.ok_or_else(|| ["there is no protocol ", &name].concat())
            });
            let kind = match kind {
                Ok(kind) => kind,
                Err(why) => return joined.send_message(Msg::Joined(Err(why))),
            };
            let nodes = query_parameter("nodes")
                .and_then(|nodes| nodes.parse().ok())
                .unwrap_or(picture::of(kind.spec()).room_nodes());
            joined.send_message(Msg::Joined(
                RoomHandle::join(&room, kind, nodes, news).await,
            ));
        });
        let clashes = ctx.link().clone();
        on_clash(move |clash| clashes.send_message(Msg::Clash(clash)));
        let frame = ctx.link().clone();
        let key = ctx.link().clone();
        Live {
            waiting: None,
            room: None,
            frames: Frames::new(move |_| frame.send_message(Msg::Frame)),
            _keys: Keys::listen(move |pressed| {
                let meant = match pressed.meaning(LIVE) {
                    Some(Meaning::Crash) => Some(Msg::Crash),
                    Some(Meaning::Cut) => Some(Msg::Cut),
                    meaning => meaning.and_then(StageAct::of).map(Msg::Stage),
                };
                meant.map(|msg| key.send_message(msg)).is_some()
            }),
            show_all: false,
            refusal: String::new(),
            clash: Clash::Over,
            recording: None,
            fields: Vec::new(),
            list: NodeRef::default(),
            submit: NodeRef::default(),
        }
    }

    fn update(&mut self, ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Joined(room) => {
                self.room = Some(room);
                return true;
            }
            Msg::Waits(waiting) => {
                self.waiting = Some(waiting);
                return self.room.is_none();
            }
            Msg::Clash(clash) => {
                self.clash = clash;
                if let Some(Ok(room)) = &self.room {
                    room.change(|state| state.clash = clash.text());
                }
                return true;
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
                room.change(|state| state.select(node));
            }
            Msg::Stage(StageAct::Focus(instance)) => {
                room.change(|state| state.focus = Some(instance))
            }
            Msg::Stage(StageAct::Pick(Picked::Link(a, b))) => {
                room.change(|state| state.pick(a, b));
            }
            Msg::Stage(StageAct::SeekAfter(_) | StageAct::Why(_) | StageAct::Pick(_)) => {
                return false;
            }
            Msg::Node(act) => self.on_node(act),
            Msg::Crash => {
                let found = room.with(|state| {
                    let node = state.selected?;
                    live_faults::crash_or_restart(state, node, page_time_ms())
                });
                found.into_iter().for_each(|(_, act)| self.on_node(act));
            }
            Msg::Cut => {
                let deed = room.with(live_faults::cut_or_join);
                deed.into_iter()
                    .for_each(|deed| self.on_node(NodeAct::Deed(deed)));
            }
            Msg::Record(wanted) => {
                let (link, recording) = (ctx.link().clone(), room.recording());
                spawn_local(
                    async move { link.send_message(Msg::Recorded(wanted, recording.await)) },
                );
                return false;
            }
            Msg::Recorded(wanted, recorded) => {
                let kept = recorded.and_then(|bytes| match bytes.is_empty() {
                    true => Err("Nothing is recorded yet.".to_owned()),
                    false => Kept::new(&bytes),
                });
                if let Ok(kept) = &kept {
                    match wanted {
                        Wanted::File => kept.save(&format!("{}.rec", room.name())),
                        // Where the browser wants a click for it, there is a link.
                        Wanted::Replay => drop(kept.replay()),
                    }
                }
                self.recording = Some(kept);
            }
            Msg::ShowAll(all) => self.show_all = all,
            Msg::Write(place, text) => self.write(place, text),
            Msg::Submit(way) => self.on_submit(way),
            Msg::Joined(_) | Msg::Waits(_) | Msg::Clash(_) => {}
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
            None if self.clash == Clash::Over => {
                waiting(html! { <p class="empty" role="status">{ "Joining the room." }</p> })
            }
            None => waiting(html! {
                <p class="warning" role="status" data-testid="clash">{ self.clash.text() }</p>
            }),
        }
    }
}

fn waiting(content: Html) -> Html {
    html! {
        <div class="page live" data-testid="live">
            { top::top(top::Mode::Live, html! {}, "Live", html! {}, None) }
            <main class="stage">{ content }</main>
        </div>
    }
}

impl Live {
    fn write(&mut self, place: usize, text: String) {
        if self.fields.len() <= place {
            self.fields.resize(place + 1, None);
        }
        self.fields[place] = Some(text);
    }

    /// What stands in a field of the form.
    fn written(&self, place: usize, field: &FormField) -> String {
        let written = self.fields.get(place).cloned().flatten();
        written.unwrap_or_else(|| field.first.to_owned())
    }

    fn on_submit(&mut self, way: usize) {
        let Some(Ok(room)) = &self.room else { return };
        let Some(form) = picture::of(room.with(|state| state.kind).spec()).form() else {
            return;
        };
        let fields = form.fields.iter().enumerate();
        let written: Vec<String> = fields
            .map(|(place, field)| self.written(place, field))
            .collect();
        let written: Vec<&str> = written.iter().map(|text| text.trim()).collect();
        match room.submit(&written, way) {
            Ok(()) => {
                self.refusal.clear();
                if form.counts {
                    self.write(0, next_name(written[0]));
                }
            }
            Err(why) => self.refusal = why,
        }
    }

    fn on_node(&mut self, act: NodeAct) {
        let Some(Ok(room)) = &self.room else { return };
        match act {
            NodeAct::Deed(deed) => self.refusal = room.commit(deed).err().unwrap_or_default(),
            NodeAct::StartAgain(node) => room.start_again(node),
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
            let form = picture::of(state.kind.spec()).form();
            let what = form.map_or("Submit something", |form| form.what);
            let empty = ["No events yet. ", what, "."].concat();
            let listed = events::Listed::whole(&lines, self.show_all, &empty);
            let look = link.batch_callback(|act: LookAct| match act {
                LookAct::ShowAll(all) => Some(Msg::ShowAll(all)),
                // The list is short: all of it is drawn.
                _ => None,
            });
            let inspector = match scene.selected {
                Some(id) => {
                    let told = state.observatory.events(false, EVENTS_MAX).into_iter().filter(|line| line.node == id);
                    let mut changes: Vec<EventLine> = told.collect();
                    changes.drain(..changes.len().saturating_sub(inspector::CHANGES_MAX));
                    inspector::node(&scene, id, &changes, &time, controls(state, id, now, &act), false, &stage)
                }
                None if state.picked.is_some() => live_faults::picked(state, &act, &stage),
                None => about(room, state, self.recording.as_ref(), &link.callback(Msg::Record)),
            };
            let hosts: Vec<String> = state.hosted.keys().map(u16::to_string).collect();
            let hosts = hosts.join(" ");
            let is_cut = |a, b| link_state(&state.faults, a, b) == LinkState::Cut;
            let picking = topology::Picking {
                with_messages: false,
                picked: state.picked.map(|(a, b)| Picked::Link(a, b)),
                is_cut: &is_cut,
            };
            let submitted = state.submissions.shown().map(|shown| submission(&scene, state, shown));
            html! {
                <div class="page live" data-testid="live" data-room={room.name().to_owned()}
                    data-tabs={state.tabs().to_string()} data-tab={state.me().to_owned()}
                    data-hosts={hosts}>
                    { top::top(top::Mode::Live, html! {}, &badge(state), self.skip(),
                        Some(state.kind.spec())) }
                    <div class="left">
                        <section class="story" aria-label="Room">
                            <h1>{ title(state) }</h1>
                            { notice(state, room) }
                            { live_faults::told(state, &act) }
                            <ul class="submissions" aria-label="Submitted" aria-live="polite">{ for submitted }</ul>
                        </section>
                        { events::events(&listed, &self.list, &time, &stage, &look) }
                    </div>
                    <main class="stage">
                        { topology::topology(&scene, now, wants_little_motion(), Some(picking), &stage) }
                        { nodes(state, now, &scene, &act) }
                        { lanes::lanes(&scene, picture::of(state.kind.spec()), &stage) }
                    </main>
                    { inspector }
                    { for form.map(|form| self.form(link, form)) }
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

    fn form(&self, link: &yew::html::Scope<Self>, form: &'static Form) -> Html {
        let onsubmit = link.callback(|event: SubmitEvent| {
            // At once: the browser would send the form, and leave the page.
            event.prevent_default();
            Msg::Submit(0)
        });
        let text = |event: InputEvent| {
            event
                .target_dyn_into::<HtmlInputElement>()
                .map(|input| input.value())
                .unwrap_or_default()
        };
        let fields = form.fields.iter().enumerate().map(|(place, field)| {
            let kind = if field.is_number { "number" } else { "text" };
            html! {
                <label>
                    <span>{ field.name }</span>
                    <input type={kind} maxlength={(!field.is_number).then_some("64")} min={field.is_number.then_some("1")}
                        step={field.is_number.then_some("1")} required=true value={self.written(place, field)}
                        oninput={link.callback(move |event| Msg::Write(place, text(event)))}
                        data-testid={format!("submit-{}", field.id)} />
                </label>
            }
        });
        let others = form.ways.iter().enumerate().skip(1).map(|(way, name)| html! {
            <button type="button" class="small" onclick={link.callback(move |_: MouseEvent| Msg::Submit(way))}
                data-testid={format!("submit-way-{way}")}>{ *name }</button>
        });
        html! {
            <footer class="transport submit-bar" aria-label={form.what} data-fields={form.fields.len().to_string()}>
                <form class="submit" {onsubmit}>
                    { for fields }
                    <button type="submit" class="primary" ref={self.submit.clone()} data-testid="submit">
                        { form.ways.first().copied().unwrap_or("Submit") }
                    </button>
                    { for others }
                </form>
                <p class="refusal" role="alert" data-testid="refusal">{ &self.refusal }</p>
            </footer>
        }
    }
}
