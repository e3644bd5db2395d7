//! The root: which mode the address asks for. Simulated runs, the museum and live rooms are programs of their own, so that a
//! first visit loads one of them; the address of another's mode loads the page anew, and `index.html` chooses.

use yew::prelude::*;

#[cfg(feature = "live")]
use super::live::Live;
#[cfg(feature = "museum")]
use super::museum::Museum;
#[cfg(feature = "simulate")]
use super::simulate::Simulate;
use crate::browser::{HashListener, hash, load_anew, path, replace_hash, take_autoplay};
use crate::route::Route;

pub(super) enum Msg {
    Hash,
}

pub(super) struct App {
    route: Route,
    autoplay: bool,
    _listener: HashListener,
}

impl Component for App {
    type Message = Msg;
    type Properties = ();

    fn create(ctx: &Context<Self>) -> Self {
        let link = ctx.link().clone();
        let route = Route::from_address(&path(), &hash());
        if !route.is_of_this_program() {
            start_elsewhere(route.clone());
        }
        App {
            route,
            // The poster's button was pressed before there was anything to play.
            autoplay: take_autoplay(),
            _listener: HashListener::new(move || link.send_message(Msg::Hash)),
        }
    }

    fn update(&mut self, _ctx: &Context<Self>, Msg::Hash: Msg) -> bool {
        let route = Route::from_address(&path(), &hash());
        self.autoplay = false;
        if !route.is_of_this_program() {
            start_elsewhere(route);
            return false;
        }
        std::mem::replace(&mut self.route, route.clone()) != route
    }

    fn view(&self, _ctx: &Context<Self>) -> Html {
        match &self.route {
            #[cfg(feature = "live")]
            Route::Live => html! { <Live key="room" /> },
            #[cfg(feature = "live")]
            Route::Join(invite) => {
                html! { <Live key={self.route.to_hash()} seat={Some(*invite)} /> }
            }
            #[cfg(feature = "museum")]
            Route::Museum { exhibit } => html! { <Museum exhibit={exhibit.clone()} /> },
            #[cfg(feature = "simulate")]
            Route::Simulate {
                scenario,
                seed,
                workbench,
            } => {
                html! {
                    <Simulate scenario={scenario.clone()} seed={*seed} stand={workbench.clone()} autoplay={self.autoplay} />
                }
            }
            #[cfg(feature = "workbench")]
            Route::Run(token) => html! { <Simulate shared={token.clone()} /> },
            #[cfg(not(all(feature = "workbench", feature = "museum", feature = "live")))]
            _ => Html::default(),
        }
    }
}

/// Leaves an address to the program that draws it.
fn start_elsewhere(route: Route) {
    replace_hash(&route.in_full().to_hash());
    load_anew();
}
