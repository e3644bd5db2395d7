//! The space-time picture on a canvas, where there is more of it than elements of a page should be.

use std::rc::Rc;

use wasm_bindgen::{JsCast, JsValue};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, Path2d};
use yew::prelude::*;

use super::parts::outline;
use crate::spacetime::{Spacetime, What};

#[derive(PartialEq, Properties)]
pub(super) struct Props {
    pub(super) picture: Rc<Spacetime>,
    pub(super) chosen: Option<usize>,
    pub(super) rows: usize,
}

/// Draws what it is given, whenever it is given something else.
pub(super) struct Canvas {
    canvas: NodeRef,
}

impl Component for Canvas {
    type Message = ();
    type Properties = Props;

    fn create(_ctx: &Context<Self>) -> Self {
        Canvas {
            canvas: NodeRef::default(),
        }
    }

    fn view(&self, _ctx: &Context<Self>) -> Html {
        html! { <canvas class="st-drawn" ref={self.canvas.clone()} aria-hidden="true" data-testid="spacetime-canvas"></canvas> }
    }

    fn rendered(&mut self, ctx: &Context<Self>, _first: bool) {
        if let Some(canvas) = self.canvas.cast::<HtmlCanvasElement>() {
            // A browser without a canvas shows the slider and the list of events.
            let _drawn = draw(&canvas, ctx.props());
        }
    }
}

fn draw(canvas: &HtmlCanvasElement, props: &Props) -> Result<(), JsValue> {
    let (Some(window), Some(context)) = (web_sys::window(), canvas.get_context("2d")?) else {
        return Ok(());
    };
    let context: CanvasRenderingContext2d = context.unchecked_into();
    let Some(style) = window.get_computed_style(canvas)? else {
        return Ok(());
    };
    let ink = |name: &str| style.get_property_value(name);
    let ratio = window.device_pixel_ratio();
    let (width, height) = (
        f64::from(canvas.client_width()),
        f64::from(canvas.client_height()),
    );
    canvas.set_width((width * ratio) as u32);
    canvas.set_height((height * ratio) as u32);
    let (text, edge, line) = (ink("--text")?, ink("--edge")?, ink("--line")?);
    let (accent, stalled) = (ink("--accent")?, ink("--stalled")?);
    let values = ["a", "b", "c", "d", "e"].map(|letter| ink(&["--value-", letter].concat()));
    let stroke = |(x1, y1): (f64, f64), (x2, y2): (f64, f64)| {
        context.begin_path();
        context.move_to(x1 / 100.0 * width, y1);
        context.line_to(x2 / 100.0 * width, y2);
        context.stroke();
    };
    let normal = || context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    normal()?;
    context.set_font("600 11px system-ui, sans-serif");
    context.set_text_align("center");
    context.set_stroke_style_str(&edge);
    for row in 0..props.rows {
        let y = (row as f64 + 0.5) * props.picture.row_px;
        stroke((0.0, y), (100.0, y));
    }
    for item in &props.picture.items {
        let Some(start) = item.start else { continue };
        let is_chosen = item
            .event
            .is_some_and(|(place, _)| Some(place) == props.chosen);
        let colour = match item.what {
            _ if is_chosen => &accent,
            What::Lost => &stalled,
            _ if item.is_dim => &line,
            _ => &text,
        };
        context.set_line_width(if is_chosen { 3.0 } else { 1.0 });
        context.set_stroke_style_str(colour);
        stroke(start, item.end);
    }
    context.set_line_width(2.0);
    context.set_stroke_style_str(&text);
    for item in &props.picture.items {
        let (x, y) = (item.end.0 / 100.0 * width, item.end.1);
        match item.what {
            What::Message(_) if item.is_dim => {}
            What::Message(shape) => {
                let letter = item.value.as_ref().map(|label| label.class());
                let place = letter.and_then(|class| class.bytes().next_back());
                let place = place.map(|letter| usize::from(letter.wrapping_sub(b'a')));
                let fill = place.and_then(|place| values.get(place)?.as_deref().ok());
                context.set_fill_style_str(fill.unwrap_or(&edge));
                context.set_transform(
                    ratio / 2.0,
                    0.0,
                    0.0,
                    ratio / 2.0,
                    (x - 6.0) * ratio,
                    (y - 6.0) * ratio,
                )?;
                let path = Path2d::new_with_path_string(outline(shape))?;
                context.fill_with_path_2d(&path);
                context.stroke_with_path(&path);
                normal()?;
            }
            What::Lost | What::Mark(_) => {
                let (symbol, lift) = match item.what {
                    What::Mark(glyph) => (glyph.symbol(), 8.0),
                    _ => ("×", -5.0),
                };
                context.set_fill_style_str(if item.is_dim { &edge } else { &text });
                context.fill_text(symbol, x, y - lift)?;
            }
        }
    }
    Ok(())
}
