//! Icons of controls, 16 x 16, in the colour of the text. Their buttons have names; these are hidden from readers.

use yew::prelude::*;

/// A control's icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Icon {
    Play,
    Pause,
    Step,
    Back,
    Home,
    End,
    Close,
    Mark,
}

/// Draws an icon.
pub(super) fn icon(icon: Icon) -> Html {
    let path = match icon {
        Icon::Play => "M4 2.5v11l9.5-5.5z",
        Icon::Pause => "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z",
        Icon::Step => "M3 2.5v11l7-5.5zM11 2.5h2v11h-2z",
        Icon::Back => "M13 2.5v11L6 8zM3 2.5h2v11H3z",
        Icon::Home => "M14 2.5v11L8.5 8zM8.5 2.5v11L3 8zM1.5 2.5H3v11H1.5z",
        Icon::End => "M2 2.5v11L7.5 8zM7.5 2.5v11L13 8zM13 2.5h1.5v11H13z",
        Icon::Close => {
            "M3.2 4.6 4.6 3.2 8 6.6l3.4-3.4 1.4 1.4L9.4 8l3.4 3.4-1.4 1.4L8 9.4l-3.4 3.4-1.4-1.4L6.6 8z"
        }
        Icon::Mark => {
            "M8 1.5a2 2 0 1 1 0 4 2 2 0 0 1 0-4zM3 9.5a2 2 0 1 1 0 4 2 2 0 0 1 0-4zM13 9.5a2 2 0 1 1 0 4 2 2 0 0 1 0-4z"
        }
    };
    html! {
        <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
            <path d={path} fill="currentColor" />
        </svg>
    }
}
