//! The question, the guess and the caption of the moment.

use phaselab_core::scenario::{Break, BreakHow};
use yew::prelude::*;

use super::simulate::HandAct;
use crate::route::Route;
use crate::session::{Guess, GuessResult, Session};

/// Draws the head of the left column.
pub(super) fn story(
    session: &Session,
    guess: &Callback<Guess>,
    hand: &Callback<HandAct>,
    was_broken: bool,
    play: &Callback<MouseEvent>,
) -> Html {
    let scenario = session.scenario();
    let view = &scenario.view;
    let title = if view.question.is_empty() {
        &scenario.title
    } else {
        &view.question
    };
    let is_fresh = session.sim().steps() == 0 && !session.is_playing();
    html! {
        <section class="story" aria-label="Story">
            <h1 data-testid="question">{ title }</h1>
            if !view.question.is_empty() {
                { guesses(session, guess) }
            }
            if is_fresh && !view.caption.is_empty() {
                <button type="button" class="primary" onclick={play.clone()} data-testid="play-story">
                    { "Play the story" }
                </button>
            } else if !view.caption.is_empty() {
                <p class="caption" data-testid="caption">{ session.caption().unwrap_or_default() }</p>
            }
            { breaks(session, hand, was_broken) }
        </section>
    }
}

/// Once the story was told, ways to break it; and what came of one.
fn breaks(session: &Session, hand: &Callback<HandAct>, was_broken: bool) -> Html {
    let ways = &session.scenario().view.breaks;
    let is_told = was_broken || session.is_at_end();
    if ways.is_empty() || !is_told || session.branches().is_read_only() {
        return html! {};
    }
    let one = |(place, way): (usize, &Break)| {
        let act = hand.reform(move |_: MouseEvent| HandAct::Break(place));
        let control = match &way.how {
            BreakHow::Act(_) => html! {
                <button type="button" class="small" onclick={act} data-testid="break">{ &way.label }</button>
            },
            BreakHow::Exhibit(id) => html! {
                <a class="small" href={Route::Museum { exhibit: Some(id.clone()) }.to_hash()} data-testid="break-exhibit">{ &way.label }</a>
            },
        };
        html! {
            <li>{ control }if !way.note.is_empty() { <span class="muted">{ &way.note }</span> }</li>
        }
    };
    html! {
        <div class="breaks" data-testid="breaks">
            <h2>{ "Now break it" }</h2>
            <ul>{ for ways.iter().enumerate().map(one) }</ul>
            if was_broken {
                <p role="status" data-testid="outcome">{ session.outcome().unwrap_or_default() }</p>
            }
        </div>
    }
}

fn guesses(session: &Session, on_guess: &Callback<Guess>) -> Html {
    let current = session.guess();
    let options = Guess::ALL.into_iter().map(|guess| {
        let on_guess = on_guess.clone();
        let choose = Callback::from(move |_: Event| on_guess.emit(guess));
        let is_chosen = current.is_some_and(|(chosen, _)| chosen == guess);
        html! {
            <label class={classes!("guess", is_chosen.then_some("chosen"))}>
                <input type="radio" name="guess" checked={is_chosen} onchange={choose} />
                { guess.name() }
            </label>
        }
    });
    let verdict = match current {
        Some((_, GuessResult::Right)) => "was right.",
        Some((_, GuessResult::Wrong)) => "was wrong.",
        Some((_, GuessResult::Open)) => "is noted. Press Play.",
        None => "",
    };
    html! {
        <fieldset class="guesses">
            <legend>{ "Your guess" }</legend>
            <span class="guess-verdict" data-testid="guess-verdict">{ verdict }</span>
            <div class="guess-options">{ for options }</div>
        </fieldset>
    }
}
