//! The checker's panel: bounds, how far the search has come, and what it found.

use js_sys::Array;
use phaselab_core::scenario::Scenario;
use phaselab_wasm::live::wire::object;
use wasm_bindgen::prelude::*;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use super::museum::failure;
use crate::browser::checker::{Answer, Asked};

/// Rounds to choose from: as many as the place says, and one.
const ROUNDS: [&str; 3] = ["1", "2", "3"];

/// Crashes to choose from: as many as the place says.
const CRASHES: [&str; 3] = ["0", "1", "2"];

/// Distinct states at which a search in a browser ends: about 2.5 KB each.
const STATES_MAX: f64 = 500_000.0;

/// A schedule that breaks a promise.
#[derive(Clone)]
pub(super) struct Counterexample {
    /// The schedule.
    pub(super) scenario: Scenario,
    /// The promise.
    pub(super) invariant: String,
    /// In how many steps.
    pub(super) steps: usize,
}

pub(super) enum Msg {
    Choose(Choice, usize),
    Start,
    Stop,
    Play,
    Heard(Answer),
}

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Rules,
    Rounds,
    Crashes,
}

/// How a search ended.
enum End {
    Complete,
    Stopped,
    Limited,
    Broken {
        invariant: String,
        trace: Vec<String>,
        found: Option<Box<Counterexample>>,
    },
    Failed(String),
}

/// The panel, from when it is opened until it is closed; then its search ends.
pub(super) struct Check {
    /// A scenario's name, or its text.
    scenario: String,
    seed: u64,
    /// The flaws that can be restored.
    flaws: Vec<&'static str>,
    /// The places of what is chosen; of the rules 0 is hardened, and then come the flaws.
    rules: usize,
    rounds: usize,
    crashes: usize,
    thread: Option<Asked>,
    progress: Option<Answer>,
    end: Option<End>,
}

impl Check {
    /// A panel for a scenario, by its name or text. With one flaw alone that is what is chosen at first.
    pub(super) fn new(scenario: String, seed: u64, flaws: Vec<&'static str>) -> Check {
        Check {
            scenario,
            seed,
            rules: usize::from(flaws.len() == 1),
            flaws,
            rounds: 0,
            crashes: 0,
            thread: None,
            progress: None,
            end: None,
        }
    }

    /// Does what is asked; gives what is to be played.
    pub(super) fn update(&mut self, msg: Msg, act: &Callback<Msg>) -> Option<Counterexample> {
        match msg {
            Msg::Choose(choice, place) => match choice {
                Choice::Rules => self.rules = place,
                Choice::Rounds => self.rounds = place,
                Choice::Crashes => self.crashes = place,
            },
            Msg::Start => self.start(act),
            Msg::Stop => {
                self.thread = None;
                self.end = Some(End::Stopped);
            }
            Msg::Play => {
                if let Some(End::Broken { found, .. }) = &self.end {
                    return found.as_deref().cloned();
                }
            }
            Msg::Heard(answer) => match answer.text("kind").as_str() {
                "progress" => self.progress = Some(answer),
                kind => {
                    self.thread = None;
                    self.end = Some(ended(kind, &answer));
                }
            },
        }
        None
    }

    /// Draws the panel.
    pub(super) fn view(&self, act: &Callback<Msg>, close: &Callback<MouseEvent>) -> Html {
        let is_running = self.thread.is_some();
        let mut rules = self.flaws.clone();
        rules.insert(0, "hardened");
        let (word, msg): (_, fn() -> Msg) = if is_running {
            ("Stop", || Msg::Stop)
        } else {
            ("Check", || Msg::Start)
        };
        html! {
            <section class="check" aria-label="Checker" data-testid="checker" data-running={is_running.to_string()}>
                <div class="check-head">
                    <h2>{ "Check every schedule" }</h2>
                    <button type="button" class="quiet" onclick={close.clone()}>{ "Close" }</button>
                </div>
                <div class="check-form">
                    { choice(act, "Rules", Choice::Rules, &rules, self.rules) }
                    { choice(act, "Rounds", Choice::Rounds, &ROUNDS, self.rounds) }
                    { choice(act, "Crashes", Choice::Crashes, &CRASHES, self.crashes) }
                    <button type="button" class="primary" onclick={{ act.reform(move |_: MouseEvent| msg()) }}
                        data-testid="check-start">{ word }</button>
                </div>
                if let Some(progress) = &self.progress { { counts(progress) } }
                <div role="status" data-testid="check-end">{ for self.end.as_ref().map(|end| told(act, end)) }</div>
            </section>
        }
    }

    fn start(&mut self, act: &Callback<Msg>) {
        let number = |number: usize| JsValue::from(number as u32);
        let flaw = self.rules.checked_sub(1);
        let flaw = flaw.and_then(|place| self.flaws.get(place));
        let flaws: Array = flaw.into_iter().map(|id| JsValue::from(*id)).collect();
        let bounds = object(&[
            ("rounds", &number(self.rounds + 1)),
            ("crashes", &number(self.crashes)),
            ("maxStates", &STATES_MAX.into()),
        ]);
        let order = object(&[
            ("kind", &"check".into()),
            ("scenario", &self.scenario.as_str().into()),
            ("seed", &self.seed.into()),
            ("flaws", &flaws.into()),
            ("bounds", &bounds),
        ]);
        (self.progress, self.end) = (None, None);
        let act = act.clone();
        match Asked::start(&order, move |answer| act.emit(Msg::Heard(answer))) {
            Ok(thread) => self.thread = Some(thread),
            Err(why) => self.end = Some(End::Failed(why)),
        }
    }
}

fn ended(kind: &str, answer: &Answer) -> End {
    let invariant = answer.text("invariant");
    if kind != "ended" {
        End::Failed(failure(answer))
    } else if !invariant.is_empty() {
        let trace: Vec<String> = answer.list("trace").iter().map(Answer::line).collect();
        let found = answer.scenario("scenario").map(|scenario| Counterexample {
            scenario,
            invariant: invariant.clone(),
            steps: trace.len(),
        });
        End::Broken {
            invariant,
            trace,
            found: found.map(Box::new),
        }
    } else if answer.is("complete") {
        End::Complete
    } else {
        End::Limited
    }
}

fn choice(
    act: &Callback<Msg>,
    name: &'static str,
    of: Choice,
    options: &[&str],
    chosen: usize,
) -> Html {
    let choose = act.reform(move |event: Event| {
        let select = event.target_dyn_into::<HtmlSelectElement>();
        let place = select.map_or(0, |select| select.selected_index().max(0));
        Msg::Choose(of, place as usize)
    });
    html! {
        <label>
            <span>{ name }</span>
            <select onchange={choose} data-testid={format!("check-{}", name.to_ascii_lowercase())}>
                { for options.iter().enumerate().map(|(place, option)| html! {
                    <option selected={place == chosen}>{ *option }</option>
                }) }
            </select>
        </label>
    }
}

fn counts(progress: &Answer) -> Html {
    let count = |name: &'static str, number: f64| {
        html! {
            <div><dt>{ name }</dt><dd data-testid={format!("check-{}", name.replace(' ', "-"))}>{ grouped(number) }</dd></div>
        }
    };
    let generated = progress.number("generated");
    let rate = generated / progress.number("seconds").max(1e-3);
    html! {
        <>
            <dl class="counts">
                { count("distinct", progress.number("distinct")) }
                { count("generated", generated) }
                { count("depth", progress.number("depth")) }
                { count("waiting", progress.number("frontier")) }
                { count("per second", rate) }
            </dl>
            <p class="muted" data-testid="check-bounds">{ format!("Bounds: {}.", progress.text("bounds")) }</p>
        </>
    }
}

/// A whole number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = (number as u64).to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn told(act: &Callback<Msg>, end: &End) -> Html {
    match end {
        End::Complete => html! {
            <p class="check-told holds">
                { "Every promise holds in every schedule. The search is complete within these bounds." }
            </p>
        },
        End::Stopped => {
            html! { <p class="check-told">{ "Stopped. Nothing is broken so far; schedules are left out." }</p> }
        }
        End::Limited => html! {
            <p class="check-told">
                { format!("Nothing is broken so far. The limit of {} states left schedules out.", grouped(STATES_MAX)) }
            </p>
        },
        End::Failed(why) => html! { <p class="check-told broken">{ why }</p> },
        End::Broken {
            invariant,
            trace,
            found,
        } => html! {
            <>
                <p class="check-told broken">{ format!("Broken: {invariant}, in {} steps. No way is shorter.", trace.len()) }</p>
                if found.is_some() {
                    <button type="button" class="small" onclick={act.reform(|_: MouseEvent| Msg::Play)}
                        data-testid="check-play">{ "Play the counterexample" }</button>
                }
                <ol class="trace">{ for trace.iter().map(|line| html! { <li>{ line }</li> }) }</ol>
            </>
        },
    }
}
