//! The screen: from a `State` to cells, and nothing else.
//!
//! Words first: every colour stands beside a word that says the same, so that a screen without colour lacks nothing.

use phaselab_core::types::NodeId;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Table};

use super::state::{LinkKey, Mode, Node, State};
use crate::cluster::supervise::Life;
use crate::node::report::InstanceReport;
use crate::terminal::plain;

/// A smaller screen is told what it lacks.
const COLUMNS_MIN: u16 = 60;
const ROWS_MIN: u16 = 18;
/// The column of events' names, and the widest of a node.
const NAME_COLUMNS: u16 = 16;
const NODE_COLUMNS: u16 = 14;
const PEER_COLUMNS: u16 = 6;

/// What a screen can show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inks {
    /// Whether there is colour.
    pub(super) colour: bool,
}

impl Inks {
    fn of(self, colour: Color) -> Style {
        if self.colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    fn good(self) -> Style {
        self.of(Color::Green)
    }

    fn busy(self) -> Style {
        self.of(Color::Cyan)
    }

    /// Stalled, or broken on purpose.
    fn warn(self) -> Style {
        self.of(Color::Yellow)
    }

    /// Broken safety, and nothing else.
    fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }
}

/// Draws the whole screen.
pub(super) fn draw(state: &State, inks: Inks, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let text = format!(
            "{COLUMNS_MIN} columns and {ROWS_MIN} rows are needed; here are {} and {}. q quits",
            area.width, area.height
        );
        return frame.render_widget(Paragraph::new(text), area);
    }
    let nodes = state.nodes.len() as u16;
    let middle = (nodes + 3).clamp(5, area.height / 2 - 2);
    let [title, events, links, log, said, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(3),
        Constraint::Length(middle),
        Constraint::Fill(2),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let peers = (PEER_COLUMNS * (nodes + 1) + 4).clamp(20, area.width / 2);
    let [meters, peers] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(peers)]).areas(links);
    draw_title(state, frame, title);
    draw_events(state, inks, frame, events);
    draw_meters(state, inks, frame, meters);
    draw_peers(state, inks, frame, peers);
    draw_log(state, frame, log);
    frame.render_widget(Paragraph::new(plain(&state.said).into_owned()), said);
    frame.render_widget(help_line(state), help);
}

fn draw_title(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let up = state.nodes.iter().filter(|node| node.life == Life::Ready);
    let text = format!(
        "phaselab cluster  {}  {} of {} nodes up  page {}",
        state.spec.name,
        up.count(),
        state.nodes.len(),
        state.page
    );
    let style = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Paragraph::new(plain(&text).into_owned()).style(style), area);
}

/// Rows are events, columns are nodes.
fn draw_events(state: &State, inks: Inks, frame: &mut Frame<'_>, area: Rect) {
    let events = state.events();
    let nodes = state.nodes.len() as u16;
    let room = area.width.saturating_sub(2 + NAME_COLUMNS) / nodes.max(1);
    let width = room.saturating_sub(1).min(NODE_COLUMNS);
    let mut widths = vec![Constraint::Length(NAME_COLUMNS)];
    widths.extend(state.nodes.iter().map(|_| Constraint::Length(width)));
    let heads = state.nodes.iter().enumerate().map(|(place, node)| {
        let style = life_style(node.life, inks);
        let mark = if place == state.selected { ">" } else { " " };
        let style = if place == state.selected {
            style.add_modifier(Modifier::REVERSED)
        } else {
            style
        };
        Span::styled(
            format!("{mark}{} {}", node.id.0, life_word(node.life)),
            style,
        )
    });
    let header: Vec<Span<'_>> = std::iter::once(Span::raw("event")).chain(heads).collect();
    let rows = events.iter().skip(state.scrolled).map(|event| {
        let is_split = state.is_split(event);
        let name = match is_split {
            true => Span::styled(format!("TWO VALUES {}", plain(event)), inks.bad()),
            false => Span::raw(plain(event).into_owned()),
        };
        let cells = state.nodes.iter().map(|node| match state.at(node, event) {
            Some(known) if is_split => {
                let value = known
                    .value
                    .map_or("-".to_owned(), |value| value.short().to_string());
                Span::styled(format!(" {value}"), inks.bad())
            }
            Some(known) => phase(&known, inks),
            None => Span::raw(" -"),
        });
        Row::new(std::iter::once(name).chain(cells).collect::<Vec<_>>())
    });
    let title = match events.len() {
        0 => " events: none yet, s asks for one ".to_owned(),
        count => format!(" events: {count} "),
    };
    let table = Table::new(rows, widths)
        .header(Row::new(header))
        .column_spacing(1)
        .block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

fn phase(known: &InstanceReport, inks: Inks) -> Span<'static> {
    let style = match (known.open, known.value) {
        (false, Some(_)) => inks.good(),
        (false, None) => inks.warn(),
        (true, _) => inks.busy(),
    };
    let round = match known.round {
        0 => String::new(),
        round => format!(" r{round}"),
    };
    Span::styled(format!(" {}{round}", known.phase), style)
}

fn life_word(life: Life) -> &'static str {
    match life {
        Life::Starting => "starting",
        Life::Ready => "up",
        Life::Paused => "paused",
        Life::Ended => "ended",
    }
}

fn life_style(life: Life, inks: Inks) -> Style {
    match life {
        Life::Ready => Style::new(),
        Life::Starting => inks.busy(),
        Life::Paused | Life::Ended => inks.warn(),
    }
}

/// How far the newest events are at the selected node: counted, the threshold, and who could still be.
fn draw_meters(state: &State, inks: Inks, frame: &mut Frame<'_>, area: Rect) {
    let node = &state.nodes[state.selected];
    let rows = usize::from(area.height.saturating_sub(2));
    let known = node
        .report
        .iter()
        .flat_map(|report| report.instances.iter().rev());
    let lines: Vec<Line<'_>> = known
        .filter_map(|instance| {
            let meter = instance.meter.as_ref()?;
            let bar = bar(meter.have, meter.need, meter.total);
            let style = if meter.have >= meter.need {
                inks.good()
            } else {
                inks.busy()
            };
            Some(Line::from(vec![
                Span::raw(format!("{:<14.14} ", plain(&instance.instance))),
                Span::styled(bar, style),
                Span::raw(format!(" {} of {} {}", meter.have, meter.need, meter.name)),
            ]))
        })
        .take(rows)
        .collect();
    let title = format!(" meters of node {} ", node.id.0);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(title)),
        area,
    );
}

/// `##|-`: two counted, two needed, three registered. Larger groups are drawn to scale.
fn bar(have: u64, need: u64, total: u64) -> String {
    const CELLS_MAX: u64 = 16;
    let scaled = |number: u64| match total {
        0..=CELLS_MAX => number.min(total),
        _ => number.min(total) * CELLS_MAX / total,
    };
    let (have, need, cells) = (scaled(have), scaled(need), scaled(total));
    let mut bar = String::new();
    for cell in 0..cells {
        if cell == need {
            bar.push('|');
        }
        bar.push(if cell < have { '#' } else { '-' });
    }
    if need == cells {
        bar.push('|');
    }
    bar
}

/// Rows send, columns receive.
fn draw_peers(state: &State, inks: Inks, frame: &mut Frame<'_>, area: Rect) {
    let mut widths = vec![Constraint::Length(PEER_COLUMNS)];
    widths.extend(
        state
            .nodes
            .iter()
            .map(|_| Constraint::Length(PEER_COLUMNS - 1)),
    );
    let mut header = vec![Span::raw("to")];
    header.extend(
        state
            .nodes
            .iter()
            .map(|node| Span::raw(node.id.0.to_string())),
    );
    let rows = state.nodes.iter().map(|from| {
        let mut cells = vec![Span::raw(format!("from {}", from.id.0))];
        cells.extend(state.nodes.iter().map(|to| link(state, inks, from, to.id)));
        Row::new(cells)
    });
    let table = Table::new(rows, widths)
        .header(Row::new(header))
        .column_spacing(1)
        .block(Block::bordered().title(" links "));
    frame.render_widget(table, area);
}

fn link(state: &State, inks: Inks, from: &Node, to: NodeId) -> Span<'static> {
    if from.id == to {
        return Span::raw(".");
    }
    let Some(peer) = state.peer(from.id, to).filter(|_| from.life == Life::Ready) else {
        return Span::raw("?");
    };
    let [_, late] = peer.faults.latency_ms;
    let (word, style) = if state.is_cut(from.id, to) {
        ("cut".to_owned(), inks.warn())
    } else if !peer.connected {
        ("off".to_owned(), inks.warn())
    } else if late > 0 {
        ("slow".to_owned(), inks.warn())
    } else if peer.faults.loss_permille > 0 {
        (
            format!("-{}%", peer.faults.loss_permille.div_ceil(10)),
            inks.warn(),
        )
    } else {
        ("ok".to_owned(), inks.good())
    };
    Span::styled(word, style)
}

fn draw_log(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let rows = usize::from(area.height.saturating_sub(2));
    let shown = state.log.iter().skip(state.log.len().saturating_sub(rows));
    let lines: Vec<Line<'_>> = shown
        .map(|(node, line)| Line::raw(format!("{} {}", node.0, plain(line))))
        .collect();
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" log ")),
        area,
    );
}

fn help_line(state: &State) -> Paragraph<'static> {
    let keys = match state.mode {
        Mode::Command => {
            "1-9 <> node  k kill  p pause  r restart  c cut  l slow  h heal  s submit  q quit"
                .to_owned()
        }
        Mode::Peer(what) => {
            let what = match what {
                LinkKey::Cut => "cut off from, or join again",
                LinkKey::Slow => "slow the link to, or speed up again",
            };
            let id = state.nodes[state.selected].id.0;
            format!("node {id}: {what}: which peer? its number, a all, Esc none")
        }
    };
    Paragraph::new(keys).style(Style::new().add_modifier(Modifier::REVERSED))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cluster::tui::state::{Key, Msg, tests::state};

    fn drawn(state: &State, columns: u16, rows: u16, colour: bool) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal
            .draw(|frame| draw(state, Inks { colour }, frame))
            .unwrap();
        terminal
    }

    fn text(terminal: &Terminal<TestBackend>) -> String {
        let buffer = terminal.backend().buffer();
        let rows = buffer.content.chunks(usize::from(buffer.area.width));
        let line = |row: &[ratatui::buffer::Cell]| -> String {
            let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
            line.trim_end().to_owned()
        };
        rows.map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn everything_stands_on_a_screen_of_80_by_24() {
        let mut state = state();
        state.update(Msg::Life(NodeId(3), Life::Paused));
        let expected = "\
phaselab cluster  two-phase  2 of 3 nodes up  page http://localhost:4700/
┌ events: 1 ───────────────────────────────────────────────────────────────────┐
│event            >1 up           2 up           3 paused                      │
│withdraw-1        completed r2   proposing r2   -                             │
│                                                                              │
│                                                                              │
│                                                                              │
│                                                                              │
│                                                                              │
└──────────────────────────────────────────────────────────────────────────────┘
┌ meters of node 1 ────────────────────────────────┐┌ links ───────────────────┐
│withdraw-1     ##|# 3 of 2 locks                  ││to     1     2     3      │
│                                                  ││from 1 .     cut   ok     │
│                                                  ││from 2 cut   .     slow   │
│                                                  ││from 3 ?     ?     .      │
└──────────────────────────────────────────────────┘└──────────────────────────┘
┌ log ─────────────────────────────────────────────────────────────────────────┐
│2 17:04:05 INFO locks A                                                       │
│                                                                              │
│                                                                              │
│                                                                              │
└──────────────────────────────────────────────────────────────────────────────┘

1-9 <> node  k kill  p pause  r restart  c cut  l slow  h heal  s submit  q quit";
        let found = text(&drawn(&state, 80, 24, true));
        assert_eq!(found, expected, "\n{found}");
        // The same without colour: nothing is said by colour alone.
        let plain = drawn(&state, 80, 24, false);
        assert_eq!(text(&plain), expected);
        let cells = &plain.backend().buffer().content;
        assert!(
            cells
                .iter()
                .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
        );
    }

    #[test]
    fn other_sizes_and_questions_are_drawn_and_a_tiny_screen_says_what_it_lacks() {
        let mut state = state();
        state.update(Msg::Key(Key::Char('c')));
        let wide = text(&drawn(&state, 120, 40, true));
        assert!(
            wide.contains("node 1: cut off from, or join again: which peer?"),
            "{wide}"
        );
        let small = text(&drawn(&state, 40, 10, true));
        assert!(
            small.starts_with("60 columns and 18 rows are needed"),
            "{small}"
        );
        for (columns, rows) in [(60, 18), (61, 19), (300, 100), (1, 1)] {
            drawn(&state, columns, rows, true);
        }
        let ids: Vec<NodeId> = (1..=64).map(NodeId).collect();
        drawn(&State::new(state.spec, &ids, String::new()), 60, 18, true);
    }

    #[test]
    fn a_meter_marks_its_threshold() {
        assert_eq!(bar(1, 3, 4), "#--|-");
        assert_eq!(bar(2, 2, 2), "##|");
        assert_eq!(bar(0, 0, 0), "|");
        assert_eq!(bar(50, 51, 100), "########|--------");
    }
}
