//! The root: which mode the address asks for.

use yew::prelude::*;

use super::live::Live;
use super::museum::Museum;
use super::simulate::Simulate;
use crate::browser::{HashListener, hash, path, take_autoplay};
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
        App {
            route: Route::from_address(&path(), &hash()),
            // The poster's button was pressed before there was anything to play.
            autoplay: take_autoplay(),
            _listener: HashListener::new(move || link.send_message(Msg::Hash)),
        }
    }

    fn update(&mut self, _ctx: &Context<Self>, Msg::Hash: Msg) -> bool {
        let route = Route::from_address(&path(), &hash());
        self.autoplay = false;
        std::mem::replace(&mut self.route, route.clone()) != route
    }

    fn view(&self, _ctx: &Context<Self>) -> Html {
        match &self.route {
            Route::Live => html! { <Live /> },
            Route::Museum { exhibit } => html! { <Museum exhibit={exhibit.clone()} /> },
            Route::Simulate { scenario, seed } => {
                html! { <Simulate scenario={scenario.clone()} seed={*seed} autoplay={self.autoplay} /> }
            }
        }
    }
}
