//! Opening files: the control, how far it is, and what was opened.

use web_sys::{File, HtmlInputElement};
use yew::prelude::*;

use crate::browser::files;
use crate::session::opening::{Opened, Opening};

/// The element that takes files.
pub(super) const INPUT: &str = "open-files";

/// What is being opened, or was.
#[derive(Default)]
pub(super) enum Open {
    /// Nothing: a scenario is shown.
    #[default]
    Nothing,
    /// Lives run again.
    Working(Opening),
    /// A file's run is shown.
    Done {
        /// What it is.
        note: String,
        /// Whether it is not the run that was recorded.
        differs: bool,
    },
    /// What was chosen cannot be opened.
    Refused(String),
}

impl Open {
    /// What is told of a run that was opened.
    pub(super) fn done(opened: &Opened) -> Open {
        Open::Done {
            note: opened.note.clone(),
            differs: opened.differs,
        }
    }
}

/// The control.
pub(super) fn control(chosen: Callback<Vec<File>>) -> Html {
    let onchange = Callback::from(move |event: Event| {
        if let Some(input) = event.target_dyn_into::<HtmlInputElement>() {
            let files = files::take(&input);
            if !files.is_empty() {
                chosen.emit(files);
            }
        }
    });
    html! {
        <label class="opener small" title="Traces of `phaselab sim --trace`, recordings of live nodes">
            { "Open" }
            <input type="file" class="unseen" id={INPUT} multiple=true accept=".rec,.trace" {onchange} data-testid="open" />
        </label>
    }
}

/// What is told of it above the stage.
pub(super) fn view(open: &Open, back: Callback<MouseEvent>) -> Html {
    let button = html! {
        <button type="button" class="small" onclick={back}>{ "Back to the scenario" }</button>
    };
    match open {
        Open::Nothing => html! {},
        Open::Working(opening) => html! {
            <p class="note" role="status" data-testid="opening">
                { format!("What was recorded runs again: {} %. ", opening.percent()) }
                { button }
            </p>
        },
        Open::Done { note, differs } => html! {
            <p class={if *differs { "warning" } else { "note" }} role="status" data-testid="opened">
                { format!("{note} ") }
                { button }
            </p>
        },
        Open::Refused(why) => html! {
            <p class="alarm" role="alert" data-testid="refused">{ format!("{why} ") }{ button }</p>
        },
    }
}
