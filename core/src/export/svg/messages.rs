//! Messages as arrows: from where they left to where they arrived, to where they were lost, or on beyond the picture's end.

use alloc::format;
use alloc::string::String;

use super::super::ms;
use super::Picture;
use super::marks::{Paint, escape, px, shape};
use crate::event::EventKind;
use crate::view::Shape;

impl Picture<'_> {
    pub(super) fn messages(&self, body: &mut String) {
        for (place, entry) in self.run.events.iter().enumerate() {
            if entry.at > self.end {
                break;
            }
            let (kind, class) = match entry.event.kind {
                EventKind::MessageDelivered(kind) => (kind, "delivered"),
                EventKind::MessageDropped(kind) => (kind, "dropped"),
                _ => continue,
            };
            let sent = self.run.sources[place].map(|source| self.run.events[source]);
            let (x2, y2) = (self.axis.x(entry.at), self.line_of(entry.node));
            let peer = entry.event.peer;
            let (from, is_known) = match (sent, peer) {
                (Some(sent), _) => ((self.axis.x(sent.at), self.line_of(sent.node)), true),
                // Of a node that is not recorded only the arrival is known.
                (None, Some(peer)) => {
                    let up = if peer < entry.node { -240 } else { 240 };
                    ((x2 - 240, y2 + up), false)
                }
                (None, None) => continue,
            };
            let to = match class {
                "delivered" => (x2, y2),
                // Lost where it left, or before a node that was down.
                _ => {
                    let along = if from.0 == x2 { 5 } else { 8 };
                    let late = if from.0 == x2 { 300 } else { 0 };
                    (x2 + late, from.1 + (y2 - from.1) * along / 10)
                }
            };
            let letter = self.run.letter(entry);
            let about = format!(
                "{} from node {} to node {}, {}",
                self.run.message(kind),
                peer.map_or(0, |peer| peer.0),
                entry.node.0,
                match (class, sent) {
                    ("dropped", _) => format!("lost at {}", ms(entry.at)),
                    (_, Some(sent)) => format!("{} to {}", ms(sent.at), ms(entry.at)),
                    (_, None) => format!("received at {}", ms(entry.at)),
                }
            );
            let known = if is_known { "" } else { " flying" };
            self.arrow(
                body,
                &format!("{class}{known}"),
                kind,
                (from, to),
                letter,
                &about,
            );
        }
        for flight in self.run.sim.flights() {
            if flight.sent > self.end {
                continue;
            }
            let from = (self.axis.x(flight.sent), self.line_of(flight.from));
            let (x, y) = (self.axis.right() + 100, self.line_of(flight.to));
            // It goes on beyond the picture's end.
            let to = (x.max(from.0 + 100), from.1 + (y - from.1) / 2);
            let letter = flight.info.instance.zip(flight.info.value);
            let letter =
                letter.and_then(|(instance, value)| self.run.sim.log().letter(instance, value));
            let about = format!(
                "{} from node {} to node {}, on its way since {}",
                self.run.message(flight.info.kind),
                flight.from.0,
                flight.to.0,
                ms(flight.sent)
            );
            self.arrow(body, "flying", flight.info.kind, (from, to), letter, &about);
        }
    }

    fn arrow(
        &self,
        body: &mut String,
        class: &str,
        kind: u8,
        ((x1, y1), (x2, y2)): ((i64, i64), (i64, i64)),
        letter: Option<String>,
        about: &str,
    ) {
        let message = self.run.sim.spec().messages.get(usize::from(kind));
        let drawn = message.map_or(Shape::Sync, |message| message.shape);
        let sync = if drawn == Shape::Sync { " sync" } else { "" };
        // Nearer to its sender, so that what is sent to several does not meet in the middle.
        let at = (x1 + (x2 - x1) * 3 / 10, y1 + (y2 - y1) * 3 / 10);
        body.push_str(&format!(
            "<g class=\"message {class}{sync}\"><title>{}</title><line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            escape(about),
            px(x1),
            px(y1),
            px(x2),
            px(y2)
        ));
        let end = if class.starts_with("dropped") {
            format!(
                "<path class=\"lost\" d=\"M{} {}l8 8m0 -8l-8 8\"/>",
                px(x2 - 40),
                px(y2 - 40)
            )
        } else if class.starts_with("delivered") {
            let ink = if drawn == Shape::Sync {
                "#B4BBC6"
            } else {
                "#4A5361"
            };
            let up = if y2 > y1 { -1 } else { 1 };
            format!(
                "<path class=\"head\" d=\"M{} {}l-4 {}h8z\" fill=\"{ink}\"/>",
                px(x2),
                px(y2),
                6 * up
            )
        } else {
            String::new()
        };
        body.push_str(&end);
        body.push_str(&shape(drawn, at, &Paint::of(letter.as_deref())));
        body.push_str("</g>\n");
    }
}
