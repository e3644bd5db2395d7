//! What the page says of a seat in a hybrid cluster: the lobby before it begins, and the gateway afterwards.

use phaselab_core::gateway::{Place, Placed};
use yew::prelude::*;

use crate::browser::room::Waiting;
use crate::live::room_state::{RoomState, Seat};

/// What there is to see until the cluster begins.
pub(super) fn lobby(waiting: Option<&Waiting>) -> Html {
    match waiting {
        Some(Waiting::Lobby {
            you,
            needed,
            joined,
        }) => {
            let missing = usize::from(*needed).saturating_sub(joined.len());
            html! {
                <section class="lobby" data-testid="lobby" aria-live="polite">
                    <h1>{ format!("Waiting for {missing} more") }</h1>
                    <p>{ format!("{} of {needed} have joined. Each has made its key where it runs; the cluster begins \
                        when all are here, and its members never change.", joined.len()) }</p>
                    <ul>{ for joined.iter().map(|placed| html! { <li>{ member(placed, *you) }</li> }) }</ul>
                </section>
            }
        }
        Some(Waiting::OtherTab) => html! {
            <p class="warning" role="status" data-testid="other-tab">
                { "This seat runs in another tab. It moves here when that one closes." }
            </p>
        },
        Some(Waiting::Gateway) | None => html! {
            <p class="empty" role="status" data-testid="no-gateway">
                { "Asking the gateway. It answers while `phaselab serve --lobby` runs." }
            </p>
        },
    }
}

/// Whether the others are within reach.
pub(super) fn notice(seat: &Seat, nodes: u16) -> Html {
    match &seat.online {
        Some(online) => html! {
            <p class="invitation" role="status" data-testid="gateway" data-online={online.len().to_string()}>
                { format!("Node {} runs in this tab. {} of {nodes} nodes are connected.", seat.you, online.len()) }
            </p>
        },
        None => html! {
            <p class="warning" role="status" data-testid="gateway" data-online="0">
                { "The gateway is gone; this tab tries again. " }{ &seat.refusal }
            </p>
        },
    }
}

/// What the inspector shows while no node is selected.
pub(super) fn about(seat: &Seat, state: &RoomState, recorded: Html) -> Html {
    let online = seat.online.iter().flatten();
    html! {
        <aside class="inspector" aria-label="The cluster" data-testid="overview">
            <p class="empty">{ "Select a node to inspect it." }</p>
            <section>
                <h3>{ "Connected" }</h3>
                <ul>{ for online.map(|placed| html! { <li>{ member(placed, seat.you) }</li> }) }</ul>
            </section>
            { recorded }
            <section>
                <h3>{ "The gateway" }</h3>
                <p>{ "Every packet is sealed by its sender. The gateway passes packets on: it can delay them, and never \
                    forge one. What other nodes show here is their own account." }</p>
            </section>
            <section>
                <h3>{ "Fault model" }</h3>
                <p>{ state.kind.spec().fault_model }</p>
            </section>
        </aside>
    }
}

fn member((id, place): &Placed, you: u16) -> String {
    let place = match place {
        _ if id.0 == you => "this tab",
        Place::Browser => "a browser",
        Place::Terminal => "a terminal",
    };
    format!("Node {}: {place}", id.0)
}
