//! Many nodes on one canvas: a cell for each, lines from the selected one to whom it asks, and beside it what goes through
//! the cells by keyboard and says what they are.

use std::rc::Rc;

use web_sys::{HtmlCanvasElement, HtmlElement, HtmlInputElement};
use yew::prelude::*;

use super::StageAct;
use super::parts::fixed;
use crate::browser::Listener;
use crate::crowd::Crowd;
use crate::crowd::grid::{Grid, Way};
use crate::picture::snowball::poll::{Stance, sample};
use crate::scene::Scene;

mod paint;

use paint::Painter;

/// What the width is taken for until it is known.
const WIDTH_PX: f64 = 640.0;

/// Draws the grid of a scene.
pub(super) fn grid(scene: &Scene, crowd: &Rc<Crowd>, act: &Callback<StageAct>) -> Html {
    let (crowd, act) = (crowd.clone(), act.clone());
    html! { <CrowdGrid {crowd} selected={scene.selected} sample={sample(scene)} {act} /> }
}

#[derive(PartialEq, Properties)]
pub(super) struct Props {
    pub(super) crowd: Rc<Crowd>,
    pub(super) selected: Option<u16>,
    /// Whom the selected node asks.
    pub(super) sample: Vec<(u16, Stance)>,
    pub(super) act: Callback<StageAct>,
}

pub(super) enum Msg {
    /// The window has another size.
    Resized,
}

/// Draws what it is given, whenever it is given something else.
pub(super) struct CrowdGrid {
    frame: NodeRef,
    canvas: NodeRef,
    width_px: f64,
    painter: Painter,
    _resize: Listener,
}

impl Component for CrowdGrid {
    type Message = Msg;
    type Properties = Props;

    fn create(ctx: &Context<Self>) -> Self {
        let link = ctx.link().clone();
        CrowdGrid {
            frame: NodeRef::default(),
            canvas: NodeRef::default(),
            width_px: WIDTH_PX,
            painter: Painter::default(),
            _resize: Listener::new("resize", move |_| link.send_message(Msg::Resized)),
        }
    }

    fn update(&mut self, _ctx: &Context<Self>, _msg: Msg) -> bool {
        true
    }

    fn view(&self, ctx: &Context<Self>) -> Html {
        let props = ctx.props();
        let crowd = &props.crowd;
        let grid = self.grid(crowd);
        let size = format!(
            "width:{}px;height:{}px",
            fixed(grid.width_px(), 0),
            fixed(grid.height_px(), 0)
        );
        let pick = {
            let (act, selected) = (props.act.clone(), props.selected);
            Callback::from(move |event: MouseEvent| {
                let hit = grid.hit((f64::from(event.offset_x()), f64::from(event.offset_y())));
                if let Some(node) = hit {
                    act.emit(StageAct::Select(Some(node).filter(|_| selected != hit)));
                }
            })
        };
        html! {
            <div class="crowd" data-testid="grid" data-nodes={crowd.cells.len().to_string()}
                data-columns={grid.columns.to_string()} data-cell={fixed(grid.cell_px, 0)}>
                <div class="crowd-frame" ref={self.frame.clone()}>
                    <div class="crowd-cells" style={size} onclick={pick} data-testid="grid-cells">
                        <canvas ref={self.canvas.clone()} aria-hidden="true" data-testid="grid-canvas"></canvas>
                        { over(&grid, props) }
                    </div>
                </div>
                <p class="crowd-told" data-testid="grid-told">{ crowd.told() }</p>
                { chooser(&grid, props) }
            </div>
        }
    }

    fn rendered(&mut self, ctx: &Context<Self>, _first: bool) {
        let crowd = &ctx.props().crowd;
        let frame = self.frame.cast::<HtmlElement>();
        let width = frame.map_or(0.0, |frame| f64::from(frame.client_width()));
        if width > 0.0 && (width - self.width_px).abs() > 0.5 {
            self.width_px = width;
            ctx.link().send_message(Msg::Resized);
            return;
        }
        if let Some(canvas) = self.canvas.cast::<HtmlCanvasElement>() {
            // A browser without a canvas has the words and the slider.
            let _painted = self.painter.paint(&canvas, crowd, self.grid(crowd));
        }
    }
}

impl CrowdGrid {
    fn grid(&self, crowd: &Crowd) -> Grid {
        Grid::of(crowd.cells.len(), self.width_px)
    }
}

/// The selected cell, and a line to each that it asks.
fn over(grid: &Grid, props: &Props) -> Html {
    let Some(selected) = props.selected else {
        return html! {};
    };
    let (x, y) = grid.middle(selected);
    let (left, top) = grid.corner(selected);
    let (edge, inner) = (fixed(grid.cell_px, 0), fixed(grid.cell_px - 2.0, 0));
    let lines = props.sample.iter().map(|(node, stance)| {
        let (to_x, to_y) = grid.middle(*node);
        html! {
            <line class={classes!("ask", stance.word())} data-node={node.to_string()} x1={fixed(x, 1)} y1={fixed(y, 1)}
                x2={fixed(to_x, 1)} y2={fixed(to_y, 1)} />
        }
    });
    let ends = props.sample.iter().map(|(node, stance)| {
        let (x, y) = grid.corner(*node);
        html! {
            <rect class={classes!("asked", stance.word())} x={fixed(x + 1.0, 0)} y={fixed(y + 1.0, 0)} width={inner.clone()}
                height={inner.clone()} rx="2" />
        }
    });
    html! {
        <svg class="crowd-over" width={fixed(grid.width_px(), 0)} height={fixed(grid.height_px(), 0)} aria-hidden="true"
            focusable="false" data-testid="grid-lines">
            { for lines }
            { for ends }
            <rect class="crowd-selected" x={fixed(left, 0)} y={fixed(top, 0)} width={edge.clone()} height={edge} rx="3" />
        </svg>
    }
}

/// Goes through the cells one by one, by key and by number.
fn chooser(grid: &Grid, props: &Props) -> Html {
    let (crowd, last) = (&props.crowd, props.crowd.cells.len());
    let at = props.selected.unwrap_or(1);
    let told = match props.selected {
        Some(node) => crowd.words(node),
        None => "No node is selected".to_owned(),
    };
    let choose = props.act.reform(move |event: InputEvent| {
        let input = event.target_dyn_into::<HtmlInputElement>();
        let number = input.map_or(f64::NAN, |input| input.value_as_number());
        let is_node = (1.0..=last as f64).contains(&number);
        StageAct::Select(is_node.then_some(number as u16))
    });
    let go = {
        let (act, grid, selected) = (props.act.clone(), *grid, props.selected);
        Callback::from(move |event: KeyboardEvent| {
            let way = match event.key().as_str() {
                "ArrowLeft" => Way::Left,
                "ArrowRight" => Way::Right,
                "ArrowUp" => Way::Up,
                "ArrowDown" => Way::Down,
                "Home" => Way::First,
                "End" => Way::Last,
                _ => return,
            };
            event.prevent_default();
            let to = match (selected, way) {
                (None, Way::Last) => grid.go(1, way),
                (None, _) => 1,
                (Some(node), way) => grid.go(node, way),
            };
            act.emit(StageAct::Select(Some(to)));
        })
    };
    html! {
        <div class="crowd-chooser">
            <label><span>{ "Node" }</span>
                <input type="number" min="1" max={last.to_string()} step="1" value={props.selected.map(|node| node.to_string()).unwrap_or_default()}
                    oninput={choose.clone()} data-testid="grid-number" /></label>
            <input type="range" min="1" max={last.to_string()} step="1" value={at.to_string()} oninput={choose} onkeydown={go}
                aria-label="Through the grid, by arrow keys" aria-valuetext={told.clone()} data-testid="grid-choose" />
            <span class="crowd-node" data-testid="grid-node" data-node={props.selected.map(|node| node.to_string())}>{ told }</span>
        </div>
    }
}
