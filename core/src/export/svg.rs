//! A run as a picture: one lane for each node, its phases as ribbons, and messages as arrows from where they left to where
//! they arrived. Self-contained, on a light ground, and readable without colour: kinds have shapes, values have letters.
//!
//! Time runs to the right. Long waits are cut, with a mark; the picture ends with the last thing that is more than
//! synchronisation. Numbers inside are tenths of a pixel.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Run, Span, ms};
use crate::engine::RuleSet;
use crate::event::EventKind;
use crate::narrate;
use crate::ordered::Map;
use crate::sim::log::Logged;
use crate::types::{InstanceId, NodeId, Time};
use crate::view::Shape;

mod axis;
mod legend;
mod marks;
mod messages;

use axis::Axis;
use marks::{Paint, escape, glyph, px};

/// Where lanes begin, after their names.
const LEFT: i64 = 1_240;
const RIGHT: i64 = 1_200;
/// Where the first lane begins, below the title and the axis.
const TOP: i64 = 1_240;
const RIBBON: i64 = 180;
const RIBBON_GAP: i64 = 40;
/// From the ribbons to the line at which messages end.
const LINE: i64 = 180;
/// From a lane's line to the next lane.
const LANE_GAP: i64 = 960;
const WIDTH_MIN: i64 = 9_600;
/// Of more instances only the first have ribbons.
const RIBBONS_MAX: usize = 4;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#15181D}.title{font-size:20px;font-weight:600}\
.small{font-size:11px;fill:#4A5361}.mono{font:11px ui-monospace,monospace;fill:#4A5361}.node{font-weight:600}\
.lane{stroke:#767F8C;stroke-width:1.5}.down{stroke-dasharray:3 4}.tick{stroke:#DDE1E7;stroke-width:1}\
.ribbon{stroke:#767F8C;stroke-width:1}.phase{font-size:11px}.message line{stroke:#4A5361;stroke-width:1.2}\
.sync line{stroke:#B4BBC6;stroke-width:1}.flying line{stroke-dasharray:4 3}.lost{stroke:#B3261E;stroke-width:2;fill:none}\
.mark{stroke:#15181D;stroke-width:1.5}.letter{font-size:9px;font-weight:700;text-anchor:middle}";

pub(super) fn text(run: &Run<'_>) -> String {
    let picture = Picture::new(run);
    let mut body = String::new();
    picture.axis(&mut body);
    picture.lanes(&mut body);
    picture.messages(&mut body);
    picture.marks(&mut body);
    let foot = picture.legend(&mut body);
    let (width, height) = (px(picture.width()), px(foot));
    let (title, facts) = (picture.title(), picture.facts());
    let desc = picture.description();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">{title}</title>\n<desc id=\"desc\">{desc}</desc>\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n\
         <text class=\"title\" x=\"24\" y=\"36\">{title}</text>\n<text class=\"small\" x=\"24\" y=\"58\">{facts}</text>\n\
         <text class=\"mono\" x=\"24\" y=\"76\">trace {}</text>\n{body}</svg>\n",
        run.sim.trace_hash()
    )
}

struct Picture<'a> {
    run: &'a Run<'a>,
    axis: Axis,
    /// Nothing later is drawn.
    end: Time,
    instances: Vec<InstanceId>,
    spans: Vec<Span>,
}

impl<'a> Picture<'a> {
    fn new(run: &'a Run<'a>) -> Picture<'a> {
        let last = run.events.iter().rev().find(|entry| is_worth(run, entry));
        let end = last.map_or(run.sim.now(), |entry| entry.at);
        let drawn = run.events.iter().take_while(|entry| entry.at <= end);
        let instances = run.instances();
        Picture {
            run,
            axis: Axis::new(LEFT, drawn.map(|entry| entry.at)),
            end,
            spans: run.spans(),
            instances,
        }
    }

    fn width(&self) -> i64 {
        (self.axis.right() + RIGHT).max(WIDTH_MIN)
    }

    fn ribbons(&self) -> usize {
        self.instances.len().min(RIBBONS_MAX)
    }

    /// Where a node's lane begins.
    fn top_of(&self, node: NodeId) -> i64 {
        let ribbons = self.ribbons() as i64 * (RIBBON + RIBBON_GAP);
        TOP + (i64::from(node.0) - 1) * (ribbons + LINE + LANE_GAP)
    }

    /// Where its messages begin and end.
    fn line_of(&self, node: NodeId) -> i64 {
        self.top_of(node) + self.ribbons() as i64 * (RIBBON + RIBBON_GAP) + LINE
    }

    fn foot(&self) -> i64 {
        self.line_of(NodeId(self.run.sim.scenario().nodes)) + 700
    }

    fn title(&self) -> String {
        let scenario = self.run.sim.scenario();
        escape(&match scenario.title.as_str() {
            "" => scenario.name.clone(),
            title => format!("{}: {title}", scenario.name),
        })
    }

    fn facts(&self) -> String {
        let (sim, scenario) = (self.run.sim, self.run.sim.scenario());
        let flaws = match (scenario.rules, scenario.flaws.as_slice()) {
            (RuleSet::AsWritten, _) => String::from(" (unsafe)"),
            (_, []) => String::new(),
            (_, flaws) => format!(" with {} (unsafe)", flaws.join(", ")),
        };
        let origin = match sim.is_live() {
            true => String::from("live, recorded"),
            false => format!("seed {} · simulated", scenario.seed),
        };
        escape(&format!(
            "{} {}{flaws} · {} nodes · {} · {origin} · {} steps",
            scenario.protocol.name(),
            scenario.rules.name(),
            scenario.nodes,
            scenario.crypto.name(),
            sim.steps()
        ))
    }

    fn description(&self) -> String {
        let told = self.run.events.iter().filter(|entry| {
            narrate::is_told(entry.event.kind)
                && !matches!(entry.event.kind, EventKind::MessageDropped(_))
        });
        let told: Vec<String> = told
            .take(TOLD_MAX)
            .map(|entry| format!("{}: {}", ms(entry.at), self.run.sentence(entry)))
            .collect();
        escape(&told.join(" "))
    }

    fn axis(&self, body: &mut String) {
        let foot = self.foot() - 240;
        for (x, at) in self.axis.ticks() {
            let (x, y) = (px(*x), px(TOP - 180));
            body.push_str(&format!(
                "<line class=\"tick\" x1=\"{x}\" y1=\"{y}\" x2=\"{x}\" y2=\"{}\"/>\
                 <text class=\"small\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{} ms</text>\n",
                px(foot),
                px(TOP - 220),
                at.as_ms()
            ));
        }
        for x in self.axis.breaks() {
            let (x, y) = (*x, TOP - 250);
            let line = format!("M{} {}l4 -5l4 10l4 -10l4 5", px(x - 80), px(y));
            body.push_str(&format!(
                "<path class=\"break\" d=\"{line}\" fill=\"none\" stroke=\"#767F8C\"><title>A wait is cut here.</title></path>\n"
            ));
        }
        if self.end < self.run.sim.now() {
            let rest = format!(
                "then only synchronisation, to {} ms",
                self.run.sim.now().as_ms()
            );
            body.push_str(&format!(
                "<text class=\"small\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{rest}</text>\n",
                px(self.width() - 240),
                px(TOP - 420)
            ));
        }
    }

    fn lanes(&self, body: &mut String) {
        let right = self.axis.right() + RIGHT - 240;
        for node in self.run.sim.scenario().ids() {
            let y = self.line_of(node);
            body.push_str(&format!(
                "<g class=\"of-node\" data-node=\"{}\"><text class=\"node\" x=\"24\" y=\"{}\">Node {}</text>\n",
                node.0,
                px(y + 40),
                node.0
            ));
            for (from, to, is_up) in self.lives(node) {
                let down = if is_up { "" } else { " down" };
                let to = to.map_or(right, |to| self.axis.x(to));
                body.push_str(&format!(
                    "<line class=\"lane{down}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n",
                    px(self.axis.x(from)),
                    px(y),
                    px(to),
                    px(y)
                ));
            }
            body.push_str("</g>\n");
        }
        for span in &self.spans {
            self.ribbon(body, span, right);
        }
        if self.instances.len() > RIBBONS_MAX {
            body.push_str(&format!(
                "<text class=\"small\" x=\"24\" y=\"98\">Phases of the first {RIBBONS_MAX} of {} instances are shown.</text>\n",
                self.instances.len()
            ));
        }
    }

    /// When a node is up, and when it is down.
    fn lives(&self, node: NodeId) -> Vec<(Time, Option<Time>, bool)> {
        let mut lives = Vec::new();
        let mut turns = self.run.events.iter().filter(|entry| entry.node == node);
        let turn = turns
            .find(|entry| matches!(entry.event.kind, EventKind::Crashed | EventKind::Restarted));
        // A node that comes back first was down from the start.
        let was_up = turn.is_none_or(|turn| turn.event.kind == EventKind::Crashed);
        let (mut from, mut is_up) = (Time::ZERO, was_up);
        for entry in self.run.events.iter().filter(|entry| entry.node == node) {
            let is_up_now = match entry.event.kind {
                EventKind::Crashed => false,
                EventKind::Restarted => true,
                _ => continue,
            };
            if is_up_now != is_up && entry.at <= self.end {
                lives.push((from, Some(entry.at), is_up));
                (from, is_up) = (entry.at, is_up_now);
            }
        }
        lives.push((from, None, is_up));
        lives
    }

    fn ribbon(&self, body: &mut String, span: &Span, right: i64) {
        let row = self.instances.iter().position(|id| *id == span.instance);
        let Some(row) = row.filter(|row| *row < RIBBONS_MAX && span.from <= self.end) else {
            return;
        };
        let y = self.top_of(span.node) + row as i64 * (RIBBON + RIBBON_GAP);
        let from = self.axis.x(span.from);
        let to = span.to.filter(|to| *to <= self.end);
        let to = to.map_or(right, |to| self.axis.x(to)).max(from + 10);
        let name = self.run.phase(span.phase);
        let phase = self.run.sim.spec().phases.get(usize::from(span.phase));
        let fill = match phase.is_some_and(|phase| phase.terminal) {
            true => "#E1F3EC",
            false if span.phase.is_multiple_of(2) => "#EEF1F5",
            false => "#FFFFFF",
        };
        let round = match span.round.0 {
            0 => String::new(),
            round => format!(" r{round}"),
        };
        let about = self.run.name(span.instance);
        let (name, about) = (escape(name), escape(&about));
        body.push_str(&format!(
            "<g class=\"span\" data-node=\"{}\" data-phase=\"{name}\"><title>{about}: {name}{round}, from {}</title>\
             <rect class=\"ribbon\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\"/>",
            span.node.0,
            ms(span.from),
            px(from),
            px(y),
            px(to - from),
            px(RIBBON)
        ));
        let label = format!("{name}{round}");
        if to - from > label.chars().count() as i64 * LETTER_WIDTH + 60 {
            body.push_str(&format!(
                "<text class=\"phase\" x=\"{}\" y=\"{}\">{label}</text>",
                px(from + 40),
                px(y + 130)
            ));
        }
        body.push_str("</g>\n");
        if self.instances.len() > 1 && span.phase == self.first_phase(span) {
            body.push_str(&format!(
                "<text class=\"small\" x=\"24\" y=\"{}\">{about}</text>\n",
                px(y + 130)
            ));
        }
    }

    /// The phase with which an instance begins at a node: there its name stands.
    fn first_phase(&self, span: &Span) -> u8 {
        let mut same = self
            .spans
            .iter()
            .filter(|other| (other.node, other.instance) == (span.node, span.instance));
        same.next().map_or(span.phase, |first| first.phase)
    }

    /// Locks, signatures, ends and faults, on the lines where they happened.
    fn marks(&self, body: &mut String) {
        // Marks of one moment stand below one another.
        let mut last: Map<NodeId, (i64, i64)> = Map::new();
        for entry in self.run.events.iter().filter(|entry| entry.at <= self.end) {
            let x = self.axis.x(entry.at);
            let y = match (entry.node.0, last.get(&entry.node)) {
                (0, _) => TOP - 330,
                (_, Some((before, below))) if x - before < MARK => below + MARK,
                _ => self.line_of(entry.node),
            };
            let letter = self.run.letter(entry);
            let drawn = glyph(entry.event.kind, (x, y), &Paint::of(letter.as_deref()));
            if let Some(drawn) = drawn {
                last.insert(entry.node, (x, y));
                body.push_str(&format!(
                    "<g class=\"event {}\"><title>{}: {}</title>{drawn}</g>\n",
                    narrate::event_name(entry.event.kind),
                    ms(entry.at),
                    escape(&self.run.sentence(entry))
                ));
            }
        }
    }
}

/// The height and width of a mark.
const MARK: i64 = 180;

/// Sentences in the picture's description at most.
const TOLD_MAX: usize = 40;

/// The width of a letter at the size of ribbons and legend.
const LETTER_WIDTH: i64 = 68;

/// Whether it is more than synchronisation.
fn is_worth(run: &Run<'_>, entry: &Logged) -> bool {
    let is_of_note = |kind: u8| {
        let message = run.sim.spec().messages.get(usize::from(kind));
        message.is_some_and(|message| message.shape != Shape::Sync)
    };
    match entry.event.kind {
        EventKind::MessageSent(kind)
        | EventKind::MessageDelivered(kind)
        | EventKind::MessageDropped(kind) => is_of_note(kind),
        EventKind::TimerFired => false,
        _ => true,
    }
}
