//! `phaselab cluster --tui`: a local cluster on the whole screen, with faults as keys.
//!
//! ```text
//! keys, notices of nodes, their reports -> Msg -> State (tui/state.rs) -> Wish -> what is done to the cluster
//!                                                   '-> cells (tui/draw.rs)
//! ```
//!
//! The terminal is put back in order however this ends: by a key, a signal or a panic.

use std::future::Future;
use std::io::IsTerminal;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Method;
use phaselab_core::shards;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::supervise::{Life, Nodes, Notice};
use super::{READY_TIMEOUT, host_chain};
use crate::cli::fault::tell;
use crate::client::NodeClient;
use crate::config::NodeConfig;
use crate::control::{Submit, Submitted};
use crate::failure::{Failure, Outcome, io_words};
use crate::log::LogArgs;
use crate::net::faults::Fault;
use crate::node::{NodeReport, runtime};
use crate::router::{Asker, Router};
use crate::{genesis, serve, signals};

mod draw;
mod state;

use draw::{Inks, draw};
use state::{Key, Msg, State, Wish};

/// How often nodes are looked at, and the screen is drawn if nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest time between two drawings.
const FRAME: Duration = Duration::from_millis(33);
const KEY_POLL: Duration = Duration::from_millis(100);
/// How long a submitted event is waited for.
const SUBMIT_WAIT: Duration = Duration::from_secs(30);
const MESSAGES_MAX: usize = 256;

/// Runs the cluster on the whole screen until it is asked to stop.
pub(super) fn run(configs: &[NodeConfig], log: &LogArgs, page_port: u16) -> Outcome {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::Input(
            "--tui: expected a terminal; without one, leave it out and use `phaselab status`"
                .to_owned(),
        ));
    }
    let (said, outcome) = runtime()?.block_on(run_cluster(configs, log, page_port));
    // After the screen is given back, so that it stays readable.
    for line in said {
        crate::terminal::Screen::stdout().line(&line);
    }
    outcome
}

/// The lines that are told when the screen is gone, and how it went.
async fn run_cluster(
    configs: &[NodeConfig],
    log: &LogArgs,
    page_port: u16,
) -> (Vec<String>, Outcome) {
    let stop = pin!(signals::asked_to_stop());
    let host = match host_chain(configs).await {
        Ok(host) => host,
        Err(failure) => return (Vec::new(), Err(failure)),
    };
    let mut nodes = match Nodes::start(configs, log, true) {
        Ok(nodes) => nodes,
        Err(failure) => return (Vec::new(), Err(failure)),
    };
    let outcome = show(configs, &mut nodes, page_port, stop).await;
    nodes.stop().await;
    if let Some(host) = host {
        host.stop().await;
    }
    (vec![format!("{} nodes stopped", configs.len())], outcome)
}

/// The screen, from here to the drop.
struct Whole(DefaultTerminal);

impl Whole {
    fn take() -> Result<Whole, Failure> {
        // Its panic hook puts the terminal back before a panic is told.
        let terminal = ratatui::try_init();
        terminal
            .map(Whole)
            .map_err(|error| Failure::Failed(format!("--tui: {}", io_words(&error))))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
    }
}

/// Draws and obeys until a key, a signal or the end of every node.
async fn show(
    configs: &[NodeConfig],
    nodes: &mut Nodes,
    page_port: u16,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Outcome {
    let protocol = configs[0].genesis.protocol;
    let (page, serving) = start_page(page_port).await;
    let mut state = State::new(protocol.spec(), &nodes.ids(), page);
    let (tell_us, mut told) = mpsc::channel(MESSAGES_MAX);
    let looks = nodes
        .clients()
        .into_iter()
        .map(|node| tokio::spawn(look(node, tell_us.clone())));
    let mut tasks: Vec<_> = looks.collect();
    tasks.extend(serving);
    let mut screen = Whole::take()?;
    let _keys = Keys::read(tell_us.clone());
    let inks = Inks {
        colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let asking = Asking {
        sample: genesis::sample(protocol).request,
        router: Router::new(configs).map(Arc::new),
    };
    let begun = tokio::time::Instant::now();
    let mut frame = tokio::time::interval(FRAME);
    frame.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut is_stale = true;
    let ended = loop {
        let msg = tokio::select! {
            () = &mut stop => break Ok(()),
            notice = nodes.next() => match on_notice(notice, begun.elapsed()) {
                Ok(msgs) => msgs,
                Err(failure) => break Err(failure),
            },
            Some(msg) = told.recv() => vec![msg],
            _ = frame.tick() => {
                if std::mem::take(&mut is_stale)
                    && let Err(error) = screen.0.draw(|frame| draw(&state, inks, frame))
                {
                    break Err(Failure::Failed(format!("--tui: {}", io_words(&error))));
                }
                continue;
            }
        };
        is_stale = true;
        let wishes: Vec<Wish> = msg
            .into_iter()
            .filter_map(|msg| state.update(msg))
            .collect();
        if wishes.contains(&Wish::Quit) {
            break Ok(());
        }
        for wish in wishes {
            if let Err(failure) = grant(wish, nodes, &asking, &tell_us) {
                state.update(Msg::Said(failure.to_string()));
            }
        }
        for id in nodes.ids() {
            state.update(Msg::Life(id, nodes.life(id)));
        }
    };
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    ended
}

/// What a notice means on the screen; a node that is refused at the start is the end.
fn on_notice(notice: Notice, elapsed: Duration) -> Result<Vec<Msg>, Failure> {
    Ok(match notice {
        Notice::Ready { node, .. } => vec![Msg::Said(format!("node {} is ready", node.0))],
        Notice::Said { node, line } | Notice::Logged { node, line } => vec![Msg::Log(node, line)],
        Notice::Ended { node, why, refused } if refused && elapsed < READY_TIMEOUT => {
            return Err(Failure::Input(format!(
                "node {} did not start: {why}",
                node.0
            )));
        }
        Notice::Ended { node, why, .. } => {
            let why = format!("node {}: {why}; r starts it again", node.0);
            vec![Msg::Log(node, why.clone()), Msg::Said(why)]
        }
    })
}

/// How clients ask.
struct Asking {
    sample: &'static str,
    /// Whom, where items live in clusters.
    router: Option<Arc<Router>>,
}

/// Does what a key asked for. On the thread that children are started on.
fn grant(
    wish: Wish,
    nodes: &mut Nodes,
    asking: &Asking,
    tell_us: &mpsc::Sender<Msg>,
) -> Result<(), Failure> {
    let (done, id) = match wish {
        Wish::Kill(id) => (nodes.kill(id).then_some("killed"), id),
        Wish::Pause(id) => (nodes.pause(id).then_some("paused"), id),
        Wish::Resume(id) => (nodes.resume(id).then_some("goes on"), id),
        Wish::Restart(id) => (nodes.restart(id)?.then_some("starts again"), id),
        Wish::Break(faults) => {
            let there = nodes.clients().into_iter();
            let there = there.filter(|client| nodes.life(client.id) == Life::Ready);
            tokio::spawn(break_network(there.collect(), faults, tell_us.clone()));
            return Ok(());
        }
        Wish::Submit(event) => {
            if let Some(router) = &asking.router {
                tokio::spawn(transfer(router.clone(), event, tell_us.clone()));
                return Ok(());
            }
            let request = asking.sample.replace("withdraw-1", &event);
            tokio::spawn(submit(nodes.clients(), event, request, tell_us.clone()));
            return Ok(());
        }
        Wish::Quit => return Ok(()),
    };
    if let Some(done) = done {
        let _ = tell_us.try_send(Msg::Said(format!("node {} {done}", id.0)));
    }
    Ok(())
}

async fn break_network(there: Vec<NodeClient>, faults: Vec<Fault>, tell_us: mpsc::Sender<Msg>) {
    for (id, answer) in tell(there, &faults).await {
        if let Err(error) = answer {
            let said = format!("node {} was not told: {error:?}", id.0);
            let _ = tell_us.send(Msg::Said(said)).await;
        }
    }
}

/// Has the next item of the next cluster pay one to the cluster after it, and tells the end.
async fn transfer(router: Arc<Router>, event: String, tell_us: mpsc::Sender<Msg>) {
    let digits = event.trim_start_matches(|c: char| !c.is_ascii_digit());
    let number: u32 = digits.parse().unwrap_or_default();
    let (each, all) = (router.shards().items_each(), *router.shards().items().end());
    let clusters = (all / each.max(1)).max(1);
    let item = |cluster: u32, rank: u32| (cluster % clusters) * each + rank % each + 1;
    let wish = shards::Wish::Transfer {
        sender: item(number, number / clusters),
        receiver: item(number + 1, number / clusters + 1),
        amount: 1,
    };
    let told = match Asker::new() {
        Ok(mut asker) => router.wish(asker.next(), wish, SUBMIT_WAIT).await,
        Err(failure) => Err(failure),
    };
    let said = match told {
        Ok(told) => {
            let reason = told
                .reason
                .map_or_else(String::new, |reason| format!(", {reason},"));
            format!(
                "{}: {}{reason} in {} ms",
                told.request, told.outcome, told.ms
            )
        }
        Err(failure) => failure.to_string(),
    };
    let _ = tell_us.send(Msg::Said(said)).await;
}

/// Asks every node, and tells the first end.
async fn submit(
    nodes: Vec<NodeClient>,
    event: String,
    request: String,
    tell_us: mpsc::Sender<Msg>,
) {
    let _ = tell_us.send(Msg::Said(format!("{event}: asked for"))).await;
    let mut asking = tokio::task::JoinSet::new();
    for node in nodes {
        let body = Submit {
            request: request.clone(),
            wait_ms: u64::try_from(SUBMIT_WAIT.as_millis()).expect("seconds"),
            client: None,
            number: None,
        };
        asking.spawn(async move {
            node.ask::<_, Submitted>(Method::POST, "/v1/submit", Some(&body), SUBMIT_WAIT * 2)
                .await
        });
    }
    while let Some(answer) = asking.join_next().await {
        if let Ok(Ok(answer)) = answer
            && !matches!(
                answer.outcome.as_str(),
                "accepted" | "in-progress" | "no-answer"
            )
        {
            let said = format!("{event}: {} in {} ms", answer.outcome, answer.ms);
            let _ = tell_us.send(Msg::Said(said)).await;
            return;
        }
    }
    let _ = tell_us
        .send(Msg::Said(format!("{event}: no decision yet")))
        .await;
}

async fn look(node: NodeClient, tell_us: mpsc::Sender<Msg>) {
    loop {
        let report = node
            .ask::<(), NodeReport>(Method::GET, "/v1/status", None, LOOK_TIMEOUT)
            .await;
        if let Ok(report) = report
            && tell_us.send(Msg::Report(Box::new(report))).await.is_err()
        {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Serves the page if it is built; where, or why not.
async fn start_page(port: u16) -> (String, Option<tokio::task::JoinHandle<()>>) {
    let dir = Path::new(serve::PAGE_DIR);
    if !serve::is_page(dir) {
        return ("not built: npm start".to_owned(), None);
    }
    match serve::start(port, dir).await {
        Ok((listening, serving)) => (
            format!("http://localhost:{}/", listening.port()),
            Some(tokio::spawn(serving)),
        ),
        Err(_) => (format!("none: port {port} is taken"), None),
    }
}

/// A thread that reads keys until this is dropped.
struct Keys(Arc<AtomicBool>);

impl Keys {
    fn read(tell_us: mpsc::Sender<Msg>) -> Keys {
        let is_over = Arc::new(AtomicBool::new(false));
        let keys = Keys(is_over.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                match event::poll(KEY_POLL) {
                    Ok(false) => {}
                    Ok(true) => match event::read().map(on_event) {
                        Ok(Some(msg)) => {
                            if tell_us.blocking_send(msg).is_err() {
                                return;
                            }
                        }
                        Ok(None) => {}
                        Err(_) => return,
                    },
                    Err(_) => return,
                }
            }
        });
        keys
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn on_event(event: Event) -> Option<Msg> {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        // Drawn anew.
        Event::Resize(..) => return Some(Msg::Key(Key::Char('\0'))),
        _ => return None,
    };
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    let key = match key.code {
        KeyCode::Char('c') if is_control => Key::Char('q'),
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Left | KeyCode::BackTab => Key::Left,
        KeyCode::Right | KeyCode::Tab => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Esc => Key::Escape,
        _ => return None,
    };
    Some(Msg::Key(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::types::NodeId;
    use ratatui::crossterm::event::KeyEvent;

    #[test]
    fn keys_are_read_and_ctrl_c_quits() {
        let read = |code, modifiers| on_event(Event::Key(KeyEvent::new(code, modifiers)));
        let is = |msg: Option<Msg>, key| matches!(msg, Some(Msg::Key(found)) if found == key);
        assert!(is(
            read(KeyCode::Char('k'), KeyModifiers::NONE),
            Key::Char('k')
        ));
        assert!(is(
            read(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Key::Char('q')
        ));
        assert!(is(read(KeyCode::Tab, KeyModifiers::NONE), Key::Right));
        assert!(read(KeyCode::Char('k'), KeyModifiers::CONTROL).is_none());
        assert!(read(KeyCode::F(1), KeyModifiers::NONE).is_none());
    }

    #[test]
    fn only_a_refusal_at_the_start_ends_everything() {
        let ended = |refused| Notice::Ended {
            node: NodeId(2),
            why: "another process has this store open".to_owned(),
            refused,
        };
        let failure = on_notice(ended(true), Duration::ZERO).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "node 2 did not start: another process has this store open"
        );
        assert!(on_notice(ended(true), READY_TIMEOUT).is_ok());
        assert!(on_notice(ended(false), Duration::ZERO).is_ok());
    }
}
