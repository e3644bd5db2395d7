//! What shapes, marks and letters of a picture mean.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::marks::{Paint, escape, glyph, px, shape};
use super::{LETTER_WIDTH, Picture};
use crate::event::EventKind;
use crate::types::{Hash32, InstanceId};
use crate::view::Shape;

/// Values in the legend at most.
const VALUES_MAX: usize = 12;

impl Picture<'_> {
    /// What shapes, marks and letters mean. Tells where the picture ends.
    pub(super) fn legend(&self, body: &mut String) -> i64 {
        let (mut x, mut y) = (240, self.foot() + 80);
        let right = self.width() - 240;
        let mut add = |drawn: &dyn Fn((i64, i64)) -> String, name: &str| {
            let width = 320 + name.chars().count() as i64 * LETTER_WIDTH;
            if x + width > right {
                (x, y) = (240, y + 260);
            }
            body.push_str(&format!(
                "<g class=\"legend\">{}<text class=\"small\" x=\"{}\" y=\"{}\">{}</text></g>\n",
                drawn((x + 60, y)),
                px(x + 180),
                px(y + 40),
                escape(name)
            ));
            x += width;
        };
        for message in self.run.sim.spec().messages {
            add(
                &|at| shape(message.shape, at, &Paint::of(None)),
                message.name,
            );
        }
        for (kind, name) in [
            (EventKind::Locked, "locks"),
            (EventKind::Signed, "signs"),
            (EventKind::Decided, "decided"),
            (EventKind::Abandoned, "abandoned"),
            (EventKind::Evidence, "evidence"),
            (EventKind::Crashed, "fault"),
        ] {
            add(
                &|at| glyph(kind, at, &Paint::of(None)).unwrap_or_default(),
                name,
            );
        }
        for (instance, value, letter) in self.values() {
            let about = match self.instances.len() {
                1 => format!("= {}", value.short()),
                _ => format!("= {} of {}", value.short(), self.run.name(instance)),
            };
            add(
                &|at| shape(Shape::Propose, at, &Paint::of(Some(&letter))),
                &about,
            );
        }
        y + 240
    }

    /// Every value that appears, with its letter.
    fn values(&self) -> Vec<(InstanceId, Hash32, String)> {
        let mut values: Vec<(InstanceId, Hash32, String)> = Vec::new();
        for entry in &self.run.events {
            let pair = entry.event.instance.zip(entry.event.value);
            let is_known = |(id, value): &(InstanceId, Hash32)| {
                values
                    .iter()
                    .any(|known| (known.0, known.1) == (*id, *value))
            };
            if let Some((id, value)) = pair.filter(|pair| !is_known(pair))
                && let Some(letter) = self.run.letter(entry)
                && values.len() < VALUES_MAX
            {
                values.push((id, value, letter));
            }
        }
        values
    }
}
