//! Paints cells on a canvas: all of them when the grid or its colours are others, and else those that changed.

use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use crate::crowd::grid::Grid;
use crate::crowd::{Cell, Crowd};
use crate::scene::Standing;

/// How high the bar of confidence is.
const BAR_PX: f64 = 3.0;

/// From this edge on, a final cell has room for its letter and a tick beside each other.
const ROOMY_PX: f64 = 20.0;

/// The colours of the page, as it has them now.
#[derive(Clone, Debug, Default, PartialEq)]
struct Inks {
    text: String,
    surface: String,
    edge: String,
    ink: String,
    values: [String; 5],
}

/// What is on the canvas.
#[derive(Default)]
pub(super) struct Painter {
    inks: Inks,
    grid: Grid,
    ratio: f64,
    letters: Vec<String>,
    drawn: Vec<Cell>,
}

impl Painter {
    /// Makes the canvas show the crowd.
    pub(super) fn paint(
        &mut self,
        canvas: &HtmlCanvasElement,
        crowd: &Crowd,
        grid: Grid,
    ) -> Result<(), JsValue> {
        let (Some(window), Some(context)) = (web_sys::window(), canvas.get_context("2d")?) else {
            return Ok(());
        };
        let context: CanvasRenderingContext2d = context.unchecked_into();
        let Some(inks) = Inks::read(&window, canvas)? else {
            return Ok(());
        };
        let ratio = window.device_pixel_ratio();
        let letters: Vec<String> = crowd
            .choices
            .iter()
            .map(|(_, label)| label.letter.clone())
            .collect();
        let (width, height) = (grid.width_px() * ratio, grid.height_px() * ratio);
        let is_other_size = (canvas.width(), canvas.height()) != (width as u32, height as u32);
        // Letters change their places only when one comes that stands before others.
        let is_same = self.inks == inks
            && self.grid == grid
            && self.ratio == ratio
            && self.letters == letters
            && !is_other_size;
        if !is_same {
            canvas.set_width(width as u32);
            canvas.set_height(height as u32);
            (self.inks, self.grid, self.ratio, self.letters) = (inks, grid, ratio, letters);
            self.drawn.clear();
            context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0)?;
            context.set_text_align("center");
            context.set_text_baseline("middle");
        }
        let beta = crowd.polls.parameters.beta.max(1);
        for (place, cell) in crowd.cells.iter().enumerate() {
            if self.drawn.get(place) != Some(cell) {
                self.cell(&context, place, cell, beta)?;
            }
        }
        self.drawn.clear();
        self.drawn.extend_from_slice(&crowd.cells);
        Ok(())
    }

    fn cell(
        &self,
        context: &CanvasRenderingContext2d,
        place: usize,
        cell: &Cell,
        beta: u32,
    ) -> Result<(), JsValue> {
        let inks = &self.inks;
        let edge = self.grid.cell_px;
        let (x, y) = self
            .grid
            .corner(u16::try_from(place + 1).unwrap_or(u16::MAX));
        let (left, top, inner) = (x + 1.0, y + 1.0, edge - 2.0);
        context.clear_rect(x, y, edge, edge);
        let letter = cell
            .choice
            .and_then(|choice| self.letters.get(usize::from(choice)));
        let value = letter.and_then(|letter| inks.value(letter));
        context.set_fill_style_str(value.unwrap_or(&inks.surface));
        context.fill_rect(left, top, inner, inner);
        if letter.is_some() {
            // The bar stands on the surface, so that it is seen on every colour.
            context.set_fill_style_str(&inks.surface);
            context.fill_rect(left, top + inner - BAR_PX, inner, BAR_PX);
            context.set_fill_style_str(&inks.text);
            let share = f64::from(cell.confidence) / f64::from(beta);
            context.fill_rect(left, top + inner - BAR_PX, inner * share.min(1.0), BAR_PX);
        }
        let width = if cell.is_final { 2.0 } else { 1.0 };
        let inset = width / 2.0;
        let is_quiet = letter.is_none() && cell.standing == Standing::Up;
        context.set_stroke_style_str(if is_quiet { &inks.edge } else { &inks.text });
        context.set_line_width(width);
        context.stroke_rect(left + inset, top + inset, inner - width, inner - width);
        match cell.standing {
            Standing::Up => {}
            Standing::Byzantine => {
                context.set_line_width(1.0);
                context.stroke_rect(left + 3.5, top + 3.5, inner - 7.0, inner - 7.0);
            }
            _ => self.cross(context, (left, top), inner),
        }
        let Some(letter) = letter else { return Ok(()) };
        let is_beside = cell.is_final;
        let is_roomy = edge >= ROOMY_PX;
        let size = if is_roomy { edge * 0.5 } else { 9.0 };
        context.set_font(&format!("600 {}px system-ui, sans-serif", size as u32));
        let ink = match letter.as_str() {
            "E" => "#fff",
            _ if value.is_some() => &inks.ink,
            _ => &inks.text,
        };
        context.set_fill_style_str(ink);
        let middle = top + (inner - BAR_PX) / 2.0 + 0.5;
        let shift = if is_beside { inner * 0.18 } else { 0.0 };
        context.fill_text(letter, x + edge / 2.0 - shift, middle)?;
        if is_beside {
            self.tick(context, (x + edge * 0.72, middle), edge * 0.14, ink);
        }
        Ok(())
    }

    /// A tick: it is final.
    fn tick(&self, context: &CanvasRenderingContext2d, (x, y): (f64, f64), half: f64, ink: &str) {
        context.set_stroke_style_str(ink);
        context.set_line_width(1.5);
        context.begin_path();
        context.move_to(x - half, y);
        context.line_to(x - half * 0.2, y + half * 0.9);
        context.line_to(x + half * 1.1, y - half);
        context.stroke();
    }

    /// From corner to corner: it does not run.
    fn cross(&self, context: &CanvasRenderingContext2d, (x, y): (f64, f64), edge: f64) {
        context.set_line_width(1.0);
        context.begin_path();
        context.move_to(x, y);
        context.line_to(x + edge, y + edge);
        context.move_to(x + edge, y);
        context.line_to(x, y + edge);
        context.stroke();
    }
}

impl Inks {
    fn read(window: &web_sys::Window, canvas: &HtmlCanvasElement) -> Result<Option<Inks>, JsValue> {
        let Some(style) = window.get_computed_style(canvas)? else {
            return Ok(None);
        };
        let ink = |name: &str| style.get_property_value(name);
        let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(|of| ink(&["--value-", of].concat()));
        Ok(Some(Inks {
            text: ink("--text")?,
            surface: ink("--surface")?,
            edge: ink("--edge")?,
            ink: ink("--ink")?,
            values: [a?, b?, c?, d?, e?],
        }))
    }

    fn value(&self, letter: &str) -> Option<&str> {
        let place = match letter.as_bytes() {
            [letter @ b'A'..=b'E'] => usize::from(letter - b'A'),
            _ => return None,
        };
        self.values.get(place).map(String::as_str)
    }
}
