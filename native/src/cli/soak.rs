//! `phaselab soak`: a long time in the simulator, with clients that never stop asking and faults that come again and
//! again, and a look at what nodes keep.
//!
//! Nodes may keep one row per event that ended and table: that it ended, and how. Everything else is of events under way,
//! of which there are only so many. So between two looks a table may grow by as many rows as events ended, and what a
//! node keeps per event must not grow at all.

use std::collections::BTreeMap;
use std::time::Instant;

use clap::Args;
use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::event::Level;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{Act, CrashPoint, Link, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::types::{NodeId, Time};
use phaselab_core::view::ViewScope;
use serde::Serialize;

use super::choose::protocol;
use crate::failure::{Failure, Outcome};
use crate::genesis::sample;
use crate::panics;
use crate::terminal::{Ink, Screen, print_json};

/// Options of `soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// Which protocol
    #[arg(long, value_name = "P", value_parser = protocol, default_value = "two-phase")]
    protocol: ProtocolKind,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(3..=64))]
    nodes: u16,
    /// How many hours of virtual time
    #[arg(long, value_name = "H", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    hours: u64,
    /// A client asks for an event so often, in virtual milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..))]
    every_ms: u64,
    /// Something breaks so often, in virtual milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    faults_every_ms: u64,
    /// The seed of every draw
    #[arg(long, value_name = "S", default_value_t = 7)]
    seed: u64,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// The end of the run is quiet, so that everything can end.
const QUIET_MS: u64 = 15 * 60_000;
/// Looks at what nodes keep.
const LOOKS: u64 = 24;
/// Rows beyond one per event that a table may have of events under way.
const UNDER_WAY_ROWS_MAX: usize = 2_000;
/// What nodes keep per event may differ between two looks by so many of a thousand: names have different lengths.
const SPREAD_PERMILLE: u64 = 100;
/// Events on a node before its bytes per event mean something.
const EVENTS_MIN: usize = 100;

/// What nodes keep at one moment.
#[derive(Clone, Debug, Default, Serialize)]
struct Look {
    hour: f64,
    /// Events that ended at the node that knows the fewest.
    ended: usize,
    /// Events under way at the node that has the most.
    open: usize,
    /// Rows of the fullest node by table.
    rows: BTreeMap<&'static str, usize>,
    /// Bytes in all tables of the fullest node.
    bytes: u64,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Summary {
    protocol: &'static str,
    seed: u64,
    hours: u64,
    asked: u64,
    decided: usize,
    delivered: u64,
    elapsed_ms: u64,
    faults: BTreeMap<&'static str, u64>,
    looks: Vec<Look>,
    violations: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &SoakArgs) -> Outcome {
    let (scenario, asked) = scenario(args)?;
    let begun = Instant::now();
    let mut summary = match panics::caught(|| soak(&scenario, args)) {
        Ok(summary) => summary?,
        Err(panic) => return Err(Failure::Failed(panic)),
    };
    summary.asked = asked;
    summary.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if args.json {
        print_json(&summary);
    } else {
        show(&summary);
    }
    if summary.violations.is_empty() {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// The run as data, and how often clients ask in it.
fn scenario(args: &SoakArgs) -> Result<(Scenario, u64), Failure> {
    let mut scenario = Scenario::new(args.protocol, args.nodes);
    scenario.seed = args.seed;
    let until_ms = args.hours * 3_600_000;
    scenario.until = Time::from_ms(until_ms);
    let soaked = sample(args.protocol).soak;
    scenario.config = args.protocol.parse_config("soak", soaked.config)?;
    scenario.environment = args
        .protocol
        .parse_environment("soak", soaked.environment)?;
    let mut draws = Prng::new(args.seed, "soak", 0, 0);
    let loud_ms = until_ms.saturating_sub(QUIET_MS);
    let mut asked = 0;
    for at_ms in (0..loud_ms).step_by(args.every_ms as usize) {
        asked += 1;
        let text = sample(args.protocol).request;
        let text = text.replace("withdraw-1", &format!("withdraw-{asked}"));
        let request = args.protocol.parse_request("soak", &text)?;
        // Some clients know one node only.
        let one = NodeId(1 + draws.below(u64::from(args.nodes)) as u16);
        let to = match draws.below(4) {
            0 => vec![one],
            _ => scenario.ids().collect(),
        };
        scenario.at_ms(at_ms, Act::Submit { to, request });
    }
    let mut at_ms = 0;
    loop {
        at_ms += args.faults_every_ms / 2 + draws.below(args.faults_every_ms);
        if at_ms + 60_000 >= loud_ms {
            break;
        }
        let (fault, mending, for_ms) = fault(&mut draws, &scenario);
        scenario.at_ms(at_ms, fault);
        scenario.at_ms(at_ms + for_ms, mending);
    }
    for node in scenario.ids() {
        scenario.at_ms(loud_ms, Act::Restart { node });
    }
    scenario.at_ms(loud_ms, Act::Heal);
    scenario.check().map_err(Failure::Input)?;
    Ok((scenario, asked))
}

/// Something that breaks, what mends it, and after how many milliseconds.
fn fault(draws: &mut Prng, scenario: &Scenario) -> (Act, Act, u64) {
    let nodes = u64::from(scenario.nodes);
    let node = NodeId(1 + draws.below(nodes) as u16);
    match draws.below(4) {
        0 | 1 => {
            let points = [
                CrashPoint::BetweenSteps,
                CrashPoint::BeforeHandling,
                CrashPoint::AfterPersist,
            ];
            let when = points[draws.below(3) as usize];
            let for_ms = 100 + draws.below(30_000);
            (Act::Crash { node, when }, Act::Restart { node }, for_ms)
        }
        2 => {
            let (alone, others) = scenario.ids().partition(|id| *id == node);
            let groups = vec![alone, others];
            (
                Act::Partition { groups },
                Act::Heal,
                1_000 + draws.below(30_000),
            )
        }
        _ => {
            let link = Link {
                from: Some(node),
                to: None,
                latency_ms: Some([20, 20 + draws.below(500)]),
                loss_permille: Some(draws.below(500) as u16),
            };
            (Act::Link(link), Act::Heal, 1_000 + draws.below(30_000))
        }
    }
}

fn soak(scenario: &Scenario, args: &SoakArgs) -> Result<Summary, Failure> {
    let mut sim = Sim::new(scenario).map_err(|error| Failure::Input(error.to_string()))?;
    sim.set_level(Level::None);
    // Its cost grows with what a node keeps; sweeps and tests of the protocol compare recovery.
    sim.set_check_recovery(false);
    let mut progress = (!args.json).then(Screen::stdout);
    let mut looks: Vec<Look> = Vec::new();
    for number in 1..=LOOKS {
        sim.run_until(Time(scenario.until.0 / LOOKS * number));
        let look = look(&sim, args.protocol);
        if let Some(screen) = &mut progress {
            let text = format!(
                "{:>6.1} h  {} events ended, {} open, {} rows, {} KB",
                look.hour,
                look.ended,
                look.open,
                look.rows.values().sum::<usize>(),
                look.bytes / 1024
            );
            screen.painted(Ink::Dim, &text);
        }
        looks.push(look);
        if !sim.holds() {
            break;
        }
    }
    let verdicts = sim.verdicts().into_iter().chain(sim.liveness());
    let mut violations: Vec<String> = verdicts
        .filter(|verdict| !verdict.holds)
        .map(|verdict| format!("{}: {}", verdict.name, verdict.detail))
        .collect();
    violations.extend(unbounded(&looks));
    Ok(Summary {
        protocol: args.protocol.name(),
        seed: args.seed,
        hours: args.hours,
        asked: 0,
        decided: looks.last().map_or(0, |look| look.ended),
        delivered: sim.delivered(),
        elapsed_ms: 0,
        faults: sim
            .faults()
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect(),
        looks,
        violations,
    })
}

/// What nodes keep now.
fn look(sim: &Sim, protocol: ProtocolKind) -> Look {
    let mut look = Look {
        hour: sim.now().as_ms() as f64 / 3_600_000.0,
        ended: usize::MAX,
        ..Look::default()
    };
    let spec = sim.spec();
    for node in sim.scenario().ids() {
        let instances = sim.view(node, ViewScope::Summary).instances;
        let is_ended = |phase: u8| spec.phases[usize::from(phase)].terminal;
        let ended = instances
            .iter()
            .filter(|known| is_ended(known.phase))
            .count();
        look.ended = look.ended.min(ended);
        look.open = look.open.max(instances.len() - ended);
        let rows = sim.rows(node);
        let mut bytes = 0;
        for table in protocol.tables() {
            let mut count = 0;
            for (key, value) in rows.table(table.id) {
                count += 1;
                bytes += (key.len() + value.len()) as u64;
            }
            let fullest = look.rows.entry(table.name).or_default();
            *fullest = count.max(*fullest);
        }
        look.bytes = look.bytes.max(bytes);
    }
    look
}

/// What grows that must not.
fn unbounded(looks: &[Look]) -> Vec<String> {
    let mut wrong = Vec::new();
    let known = |look: &Look| look.ended + look.open;
    for look in looks {
        for (table, rows) in &look.rows {
            let most = known(look) + UNDER_WAY_ROWS_MAX;
            if *rows > most {
                wrong.push(format!(
                    "{table}: {rows} rows for {} events after {:.1} h; expected at most {most}",
                    known(look),
                    look.hour
                ));
            }
        }
    }
    let per_event = |look: &Look| look.bytes / known(look).max(1) as u64;
    let measured = looks.iter().filter(|look| known(look) >= EVENTS_MIN);
    let measured: Vec<&Look> = measured.collect();
    // Garbage is collected some time after an event ended, so the first looks show more per event, never less.
    if let (Some(middle), Some(last)) = (measured.get(measured.len() / 2), measured.last()) {
        let (before, after) = (per_event(middle), per_event(last));
        if after > before + before * SPREAD_PERMILLE / 1000 {
            wrong.push(format!(
                "a node keeps {after} bytes per event after {:.1} h, and kept {before} after {:.1} h",
                last.hour, middle.hour
            ));
        }
    }
    wrong
}

fn show(summary: &Summary) {
    let mut screen = Screen::stdout();
    let faults: Vec<String> = summary
        .faults
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let seconds = summary.elapsed_ms / 1000;
    let times = summary.hours * 3_600_000 / summary.elapsed_ms.max(1);
    let text = format!(
        "{} h in {seconds} s, {times} times as fast; {} events asked for, {} ended everywhere",
        summary.hours, summary.asked, summary.decided
    );
    screen.entry("ran       ", None, &text);
    screen.entry("faults    ", None, &faults.join(", "));
    if let Some(last) = summary.looks.last() {
        let rows: Vec<String> = last
            .rows
            .iter()
            .map(|(name, rows)| format!("{name} {rows}"))
            .collect();
        screen.entry("rows      ", None, &rows.join(", "));
        let per_event = last.bytes / (last.ended.max(1) as u64);
        screen.entry(
            "keeps     ",
            None,
            &format!("{} KB, {per_event} bytes per event", last.bytes / 1024),
        );
    }
    if summary.violations.is_empty() {
        screen.entry(
            "holds     ",
            Some(Ink::Good),
            "every invariant; nothing grows but what must be kept",
        );
    }
    for what in &summary.violations {
        screen.entry("broken    ", Some(Ink::Bad), what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(hours: u64) -> SoakArgs {
        SoakArgs {
            protocol: ProtocolKind::TwoPhase,
            nodes: 3,
            hours,
            every_ms: 60_000,
            faults_every_ms: 120_000,
            seed: 7,
            json: true,
        }
    }

    #[test]
    fn an_hour_passes_with_faults_and_everything_ends() {
        let (scenario, asked) = scenario(&args(1)).unwrap();
        let summary = soak(&scenario, &args(1)).unwrap();
        assert_eq!(summary.violations, [""; 0]);
        assert_eq!(asked, 45, "one a minute, until it is quiet");
        assert_eq!(summary.decided as u64, asked);
        assert!(summary.faults.values().sum::<u64>() > 0);
    }

    #[test]
    fn what_grows_without_end_is_seen() {
        let look = |ended: usize, votes: usize, bytes: u64| Look {
            hour: 1.0,
            ended,
            open: 0,
            rows: BTreeMap::from([("votes", votes)]),
            bytes,
        };
        let steady = [
            look(1_000, 1_500, 500_000),
            look(2_000, 2_500, 1_000_000),
            look(4_000, 4_100, 2_000_000),
        ];
        assert_eq!(unbounded(&steady), [""; 0]);
        let votes = [look(1_000, 4_000, 500_000), look(2_000, 8_000, 1_000_000)];
        assert!(unbounded(&votes)[0].starts_with("votes: 4000 rows for 1000 events"));
        let bytes = [
            look(1_000, 0, 500_000),
            look(2_000, 0, 1_000_000),
            look(4_000, 0, 4_000_000),
        ];
        assert_eq!(
            unbounded(&bytes),
            ["a node keeps 1000 bytes per event after 1.0 h, and kept 500 after 1.0 h"]
        );
    }
}
