//! The panel that shares a run: its link, the terminal's command, its hash, and files in the formats of other tools.

use js_sys::{Reflect, Uint8Array};
use phaselab_core::export::Format;
use phaselab_core::link::Seen;
use phaselab_wasm::live::wire::object;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::icons::{Icon, icon};
use super::museum::failure;
use crate::browser::address_without_hash;
use crate::browser::checker::{Answer, Asked};
use crate::browser::handover::Kept;
use crate::route::Route;
use crate::session::Session;
use crate::session::share::{Refused, Share};

/// The element that takes the focus when the panel opens, and the button that takes it back.
pub(super) const HEADING: &str = "share-title";
pub(super) const BUTTON: &str = "share-button";

/// What can be downloaded, and what each button says.
const FILES: [(Format, &str, &str); 6] = [
    (Format::Trace, "Trace", "for phaselab replay"),
    (Format::Toml, "Scenario", "TOML"),
    (Format::Svg, "Picture", "SVG"),
    (Format::Itf, "States", "ITF, for Apalache"),
    (Format::Shiviz, "Log", "ShiViz"),
    (Format::Perfetto, "Timeline", "Perfetto"),
];

pub(super) enum Msg {
    /// Copies what stands in a field.
    Copy(NodeRef),
    /// And was it copied?
    Copied(bool),
    Download(Format),
    Heard(Format, Answer),
}

/// The panel.
#[derive(Default)]
pub(super) struct Panel {
    told: String,
    is_wrong: bool,
    thread: Option<Asked>,
    /// The file that was saved last: its address must outlive the click.
    saved: Option<Kept>,
    link: NodeRef,
    command: NodeRef,
}

impl Panel {
    /// `recorded` has the recordings of a run that happened.
    pub(super) fn update(
        &mut self,
        msg: Msg,
        session: &Session,
        recorded: &[u8],
        act: &Callback<Msg>,
    ) {
        self.is_wrong = false;
        match msg {
            Msg::Copy(field) => copy(&field, act.clone()),
            Msg::Copied(true) => self.told = "Copied.".to_owned(),
            Msg::Copied(false) => {
                self.told = "Selected: copy it with Ctrl+C, or hold and choose Copy.".to_owned();
            }
            Msg::Download(format) => {
                let share = Share::of(session.sim());
                let run = Uint8Array::from(share.bytes.as_deref().unwrap_or(recorded));
                let order = object(&[
                    ("kind", &"export".into()),
                    ("run", &run),
                    ("format", &format.name().into()),
                ]);
                let act = act.clone();
                let heard = move |answer| act.emit(Msg::Heard(format, answer));
                match Asked::start(&order, heard) {
                    Ok(thread) => {
                        self.thread = Some(thread);
                        self.told =
                            ["Playing the run to its end for ", format.name(), "."].concat();
                    }
                    Err(why) => self.fail(why),
                }
            }
            Msg::Heard(format, answer) => {
                self.thread = None;
                let name = [&session.scenario().name, ".", format.ending()].concat();
                let kept = match answer.bytes("file") {
                    Some(bytes) => Kept::new(&bytes),
                    None => Err(failure(&answer)),
                };
                match kept {
                    Ok(kept) => {
                        kept.save(&name);
                        self.saved = Some(kept);
                        self.told = ["Saved ", &name, "."].concat();
                    }
                    Err(why) => self.fail(why),
                }
            }
        }
    }

    fn fail(&mut self, why: String) {
        (self.told, self.is_wrong) = (why, true);
    }

    pub(super) fn view(
        &self,
        session: &Session,
        act: &Callback<Msg>,
        close: Callback<MouseEvent>,
    ) -> Html {
        let share = Share::of(session.sim());
        let field = |name: &'static str, testid: &'static str, value: String, place: &NodeRef| {
            let at = place.clone();
            let copy = act.reform(move |_: MouseEvent| Msg::Copy(at.clone()));
            html! {
                <div class="share-field">
                    <label><span>{ name }</span>
                        <input type="text" readonly=true {value} ref={place.clone()} data-testid={testid} /></label>
                    <button type="button" class="small" onclick={copy} aria-label={["Copy: ", name].concat()}>{ "Copy" }</button>
                </div>
            }
        };
        let is_live = session.sim().is_live();
        let files = FILES
            .into_iter()
            .filter(|(format, ..)| !is_live || !matches!(format, Format::Trace | Format::Toml));
        let is_working = self.thread.is_some();
        html! {
            <section class="check share" aria-labelledby={HEADING} data-testid="share-panel"
                data-working={is_working.to_string()}>
                <div class="check-head">
                    <h2 id={HEADING} tabindex="-1">{ "Share this run" }</h2>
                    <button type="button" class="quiet icon-button" aria-label="Close sharing" onclick={close}>
                        { icon(Icon::Close) }</button>
                </div>
                { match share.route {
                    Ok(route) => field("Link to this moment", "share-link", address_without_hash() + &route, &self.link),
                    Err(why) => html! { <p class="check-told" data-testid="share-none">{ why }</p> },
                } }
                { for share.command.map(|command| {
                    field("The same run in a terminal, to its end", "share-command", command, &self.command)
                }) }
                <p class="share-hash">
                    { "Trace after step " }{ session.sim().steps() }
                    { if session.is_at_end() { ", the end: " } else { ": " } }
                    <code data-testid="share-hash">{ session.sim().trace_hash().to_string() }</code>
                </p>
                <div class="check-form" role="group" aria-label="Download the whole run">
                    { for files.map(|(format, name, what)| {
                        let onclick = act.reform(move |_: MouseEvent| Msg::Download(format));
                        html! {
                            <button type="button" class="small" {onclick} disabled={is_working}
                                data-testid={["export-", format.name()].concat()}>
                                { name }<span class="muted">{ " " }{ what }</span></button>
                        }
                    }) }
                </div>
                <p class={if self.is_wrong { "check-told broken" } else { "muted" }} role="status"
                    data-testid="share-told">{ &self.told }</p>
            </section>
        }
    }
}

/// Selects a field's text, and copies it where the browser lets pages do that: not at insecure addresses.
fn copy(field: &NodeRef, act: Callback<Msg>) {
    let Some(input) = field.cast::<HtmlInputElement>() else {
        return;
    };
    // What can be selected is.
    let _focused = input.focus();
    input.select();
    let navigator = web_sys::window().map(|window| window.navigator());
    let clipboard = navigator.filter(|navigator| {
        Reflect::get(navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_truthy())
    });
    spawn_local(async move {
        let copied = match clipboard {
            Some(navigator) => {
                let text = navigator.clipboard().write_text(&input.value());
                JsFuture::from(text).await.is_ok()
            }
            None => false,
        };
        act.emit(Msg::Copied(copied));
    });
}

/// A link that is not opened, and what can be instead.
pub(super) fn refused(refused: &Refused) -> Html {
    let route = refused.instead.as_ref().map(|(name, seed)| {
        let (scenario, seed) = (Some(name.clone()), Some(*seed));
        Route::Simulate {
            scenario,
            seed,
            workbench: None,
        }
        .to_hash()
    });
    let (href, words) = match route {
        Some(route) => (route, "Open its scenario"),
        None => ("#".to_owned(), "Open the first scenario"),
    };
    html! {
        <p class="alarm" role="alert" data-testid="link-refused">
            { &refused.why }{ " " }
            <a class="link-button" {href}>{ words }</a>
        </p>
    }
}

/// What is told where a link's run does not come to what its sharer saw.
pub(super) fn differs(seen: Option<Seen>, session: &Session) -> Html {
    let sim = session.sim();
    let differs = seen.is_some_and(|seen| {
        sim.steps() == seen.step && !session.is_seeking() && sim.trace_hash().0[..4] != seen.hash
    });
    if !differs {
        return Html::default();
    }
    html! {
        <p class="warning" role="alert">
            { "This is not the run that was shared: another version of the page made the link." }
        </p>
    }
}
