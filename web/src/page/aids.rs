//! What helps on any stage: the keys and the legend in a dialog, and presenter mode.

use phaselab_core::view::{Shape, Spec};
use web_sys::HtmlDialogElement;
use yew::prelude::*;

use super::meter::sample;
use super::parts::{chip, message};
use crate::browser::keys::Keys;
use crate::browser::{presenter, set_presenter};
use crate::keymap::{BINDINGS, Meaning};
use crate::picture::Tone;
use crate::scene::Label;

#[derive(PartialEq, Properties)]
pub(super) struct Props {
    /// The stage whose keys are told.
    pub(super) stage: u8,
    /// The protocol whose messages are explained, once it is known.
    pub(super) spec: Option<&'static Spec>,
}

pub(super) enum Msg {
    Help,
    /// The dialog is closed, by whatever means.
    Closed,
    Presenter,
}

pub(super) struct Aids {
    dialog: NodeRef,
    is_open: bool,
    is_presenter: bool,
    _keys: Keys,
}

impl Component for Aids {
    type Message = Msg;
    type Properties = Props;

    fn create(ctx: &Context<Self>) -> Self {
        let (link, stage) = (ctx.link().clone(), ctx.props().stage);
        let is_presenter = presenter();
        set_presenter(is_presenter);
        Aids {
            dialog: NodeRef::default(),
            is_open: false,
            is_presenter,
            _keys: Keys::listen(move |key| {
                let msg = match key.meaning(stage) {
                    Some(Meaning::Help) => Msg::Help,
                    Some(Meaning::Presenter) => Msg::Presenter,
                    _ => return false,
                };
                link.send_message(msg);
                true
            }),
        }
    }

    fn update(&mut self, _ctx: &Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Help => self.is_open = true,
            Msg::Closed => self.is_open = false,
            Msg::Presenter => {
                self.is_presenter = !self.is_presenter;
                set_presenter(self.is_presenter);
            }
        }
        true
    }

    fn rendered(&mut self, _ctx: &Context<Self>, _first: bool) {
        let dialog = self.dialog.cast::<HtmlDialogElement>();
        if let Some(dialog) = dialog.filter(|dialog| self.is_open && !dialog.open()) {
            // A dialog that is drawn and closed can be shown.
            let _shown = dialog.show_modal();
        }
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let link = ctx.link();
        let closed = link.callback(|_: Event| Msg::Closed);
        html! {
            <>
                <button type="button" class="small aid" aria-pressed={self.is_presenter.to_string()}
                    onclick={link.callback(|_: MouseEvent| Msg::Presenter)} aria-label="125 %, presenter mode"
                    title="Presenter mode (P)" data-testid="presenter">{ "125 %" }</button>
                <button type="button" class="small aid" onclick={link.callback(|_: MouseEvent| Msg::Help)}
                    aria-label="Help" title="Help (?)" aria-haspopup="dialog" data-testid="help">{ "?" }</button>
                <dialog class="help" ref={self.dialog.clone()} onclose={closed} aria-labelledby="help-title"
                    data-testid="help-dialog">
                    if self.is_open { { help(ctx.props()) } }
                </dialog>
            </>
        }
    }
}

/// What the dialog says. Its button closes it, as a form of a dialog does.
fn help(props: &Props) -> Html {
    let lines = BINDINGS
        .iter()
        .filter(|line| line.stages & props.stage != 0);
    html! {
        <>
            <form method="dialog" class="help-head">
                <h2 id="help-title">{ "Keys and signs" }</h2>
                <button class="small" data-testid="help-close">{ "Close" }</button>
            </form>
            <div class="help-columns">
                <section>
                    <h3>{ "Keys" }</h3>
                    <dl class="facts" data-testid="help-keys">
                        { for lines.map(|line| html! { <><dt><kbd>{ line.shown }</kbd></dt><dd>{ line.does }</dd></> }) }
                    </dl>
                </section>
                { for props.spec.map(legend) }
            </div>
        </>
    }
}

fn legend(spec: &'static Spec) -> Html {
    let kinds = spec.messages.iter();
    let row = |sign: Html, words: Html| html! { <><dt>{ sign }</dt><dd>{ words }</dd></> };
    let shapes = SHAPES.iter().filter_map(|shape| {
        let of = kinds.clone().filter(|kind| kind.shape == *shape);
        let names: Vec<&str> = of.map(|kind| kind.name).collect();
        (!names.is_empty()).then(|| row(message(*shape, None), html! { names.join(", ") }))
    });
    let value = |letter: &str| {
        let label = Label {
            letter: letter.to_owned(),
            short: String::new(),
        };
        chip(Some(&label))
    };
    let tone = |tone: Tone, words: &'static str| {
        let sign = html! { <span class={classes!("span", "legend-span", tone.class())}></span> };
        row(sign, html! { words })
    };
    html! {
        <section>
            <h3>{ "Signs" }</h3>
            <dl class="facts legend">
                { for shapes }
                { row(html! { <>{ value("A") }{ value("B") }</> }, html! { "a value: colour and letter" }) }
                { tone(Tone::Busy, "hatched: working towards a decision") }
                { tone(Tone::Decided, "decided, not yet in effect") }
                { tone(Tone::Done, "in effect") }
                { tone(Tone::Stalled, "stalled: waits to try again") }
                { tone(Tone::Ended, "over without a value") }
                { row(sample(), html! { "votes, and the threshold: reached where the line is passed" }) }
                { row(html! { "■ ✔ ✎ ⬢" }, html! { "locked, decided, signed, took a certificate" }) }
                { row(html! { "× ⊘ ↻ !" }, html! { "lost, crashed, back, proof of a lie" }) }
                if spec.has_nested() { { row(html! { "♛" }, html! { "came to lead its cluster" }) } }
            </dl>
        </section>
    }
}

const SHAPES: [Shape; 6] = [
    Shape::Propose,
    Shape::Vote,
    Shape::Lock,
    Shape::Certificate,
    Shape::Abort,
    Shape::Sync,
];
