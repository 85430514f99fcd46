//! Computes the layout of a diagram and draws its stages and arrows.
//!
//! The journey is a column. Stages outside the journey are to its left; moves within it are lanes to its right.

use super::canvas::{Canvas, Point};
use super::lanes::{Anchor, Lane, place_lanes, to_f64};
use super::text_block::TextBlock;
use crate::graph::diagram::{Diagram, Edge, Endpoint};
use crate::graph::language::Phrase;
use crate::lifecycle::model::Direction;

/// Width of a stage on the journey.
const STAGE_WIDTH: f64 = 330.0;
/// Width of a stage outside the journey.
const OUTSIDE_WIDTH: f64 = 236.0;
/// Limit of the width of a label.
const LABEL_WIDTH: f64 = 232.0;
/// Horizontal offset of the stage numbers within a stage.
const RAIL: f64 = 30.0;
/// Gap between the frame of the journey and its stages.
const FRAME: f64 = 18.0;
/// Gap between two parallel lines.
const LANE_GAP: f64 = 16.0;
/// Gap between the edge of a box and its text.
const INSET: f64 = 13.0;

/// A box with its coordinates and text.
#[derive(Debug)]
struct PlacedBox {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    text: TextBlock,
}

impl PlacedBox {
    fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// An arrow between a stage outside the journey and one or more endpoints inside. Its branches share one line at the
/// stage outside.
struct Bus<'a> {
    edge: &'a Edge,
    label: TextBlock,
    /// Index of the stage outside the journey.
    outside: usize,
    /// The ends inside the journey.
    ends: Vec<Endpoint>,
    /// Vertical coordinate at which the arrow touches the stage outside.
    port: f64,
}

/// The body of a diagram, without its title and footer.
pub(super) struct Body {
    /// The drawing, with its upper left corner at 0, 0.
    pub(super) canvas: Canvas,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Lays out and draws the stages and arrows.
pub(super) fn body(diagram: &Diagram) -> Body {
    Layout::new(diagram).draw()
}

struct Layout<'a> {
    diagram: &'a Diagram,
    boxes: Vec<PlacedBox>,
    journey: usize,
    /// The point that represents no stage.
    no_stage: Point,
}

impl<'a> Layout<'a> {
    fn new(diagram: &'a Diagram) -> Self {
        let journey = diagram.stages.iter().filter(|stage| stage.journey_position.is_some()).count();
        let boxes = diagram.stages.iter().map(|stage| {
            let (width, indent) =
                if stage.journey_position.is_some() { (STAGE_WIDTH, 2.0 * RAIL) } else { (OUTSIDE_WIDTH, INSET) };
            let text = TextBlock::stage(stage, width - indent - INSET);
            let height = (text.height() + 2.0 * INSET - 4.0).max(52.0);
            PlacedBox { x: 0.0, y: 0.0, width, height, text }
        });
        Self { diagram, boxes: boxes.collect(), journey, no_stage: (0.0, 8.0) }
    }

    fn draw(mut self) -> Body {
        let (steps, rest): (Vec<&Edge>, Vec<&Edge>) = self.diagram.edges.iter().partition(|edge| self.is_step(edge));
        let steps: Vec<Option<(&Edge, TextBlock)>> = (0..self.journey)
            .map(|node| {
                let step = steps.iter().find(|edge| edge.to == [Endpoint::Stage(node)])?;
                Some((*step, self.label(step, STAGE_WIDTH - RAIL)))
            })
            .collect();
        let has_no_stage_point = self.diagram.touches(Endpoint::NoStage);
        let label_tops = self.place_journey(&steps, has_no_stage_point);
        let (outer, rest): (Vec<&Edge>, Vec<&Edge>) =
            rest.into_iter().partition(|edge| edge.from.iter().chain(&edge.to).all(|end| self.is_outside(*end)));
        let (between, inner): (Vec<&Edge>, Vec<&Edge>) =
            rest.into_iter().partition(|edge| edge.from.iter().chain(&edge.to).any(|end| self.is_outside(*end)));
        let mut buses: Vec<Bus<'_>> = between.into_iter().map(|edge| self.bus(edge)).collect();
        self.place_outside(&mut buses);

        let mut canvas = Canvas::default();
        let mut outer = self.lanes(&outer);
        place_lanes(&mut outer, 22.0);
        let far_left = outer.iter().map(Lane::reach).fold(0.0, f64::max);
        let gutter = buses.iter().map(|bus| bus.label.width()).fold(0.0, f64::max) + 34.0;
        let outside_right = far_left + OUTSIDE_WIDTH;
        let has_outside = self.journey < self.boxes.len();
        let frame_left = if has_outside { outside_right + gutter + LANE_GAP * to_f64(buses.len()) } else { 0.0 };
        let journey_left = if has_outside { frame_left + FRAME } else { 0.0 };
        for (node, placed) in self.boxes.iter_mut().enumerate() {
            placed.x = if node < self.journey { journey_left } else { far_left };
        }
        self.no_stage.0 = journey_left + RAIL;
        let frame = self.frame();
        if has_outside && self.journey > 0 {
            canvas.rectangle("journey", (frame_left, frame.0), STAGE_WIDTH + 2.0 * FRAME, frame.1 - frame.0, 14.0);
        }

        let right = journey_left + STAGE_WIDTH;
        let mut inner = self.lanes(&inner);
        place_lanes(&mut inner, if has_outside { FRAME + 20.0 } else { 24.0 });
        for lane in &inner {
            lane.draw(&mut canvas, right, 1.0, self.no_stage);
        }
        for lane in &outer {
            lane.draw(&mut canvas, far_left, -1.0, self.no_stage);
        }
        self.draw_buses(&mut canvas, &buses, outside_right, frame_left);
        self.draw_boxes(&mut canvas);
        if has_no_stage_point {
            canvas.circle("dot", self.no_stage, 6.0);
        }
        for (node, (step, label_top)) in steps.iter().zip(label_tops).enumerate() {
            let Some((edge, label)) = step else { continue };
            let start = if node == 0 { self.no_stage.1 + 9.0 } else { self.bottom(node - 1) };
            let x = self.no_stage.0;
            canvas.arrow(edge.direction, &[(x, start), (x, self.boxes[node].y)]);
            label.draw(&mut canvas, (x + 14.0, label_top));
        }

        let lanes_right = inner.iter().map(Lane::reach).fold(0.0, f64::max);
        let labels_right = steps.iter().flatten().map(|(_, label)| self.no_stage.0 + 14.0 + label.width());
        let width = labels_right.fold((right + FRAME).max(right + lanes_right), f64::max);
        let bottoms = self.boxes.iter().map(|placed| placed.y + placed.height);
        let bottom = bottoms.chain(inner.iter().chain(&outer).map(Lane::bottom)).fold(frame.1, f64::max);
        Body { canvas, width, height: bottom }
    }

    fn is_step(&self, edge: &Edge) -> bool {
        match (edge.from.as_slice(), edge.to.as_slice()) {
            ([Endpoint::NoStage], [Endpoint::Stage(to)]) => *to == 0 && self.journey > 0,
            ([Endpoint::Stage(from)], [Endpoint::Stage(to)]) => {
                *to < self.journey && from + 1 == *to && edge.direction == Direction::Forward
            }
            _ => false,
        }
    }

    fn is_outside(&self, end: Endpoint) -> bool {
        matches!(end, Endpoint::Stage(node) if node >= self.journey)
    }

    fn label(&self, edge: &Edge, width: f64) -> TextBlock {
        TextBlock::label(edge, self.diagram.language.translate(Phrase::By), width)
    }

    fn bottom(&self, node: usize) -> f64 {
        self.boxes[node].y + self.boxes[node].height
    }

    /// Returns the upper and lower edge of the journey's frame.
    fn frame(&self) -> (f64, f64) {
        let last = self.journey.saturating_sub(1);
        (
            self.boxes.first().map_or(0.0, |first| first.y) - FRAME,
            self.boxes.get(last).map_or(0.0, |_| self.bottom(last)) + FRAME,
        )
    }

    /// Stacks the stages of the journey; returns the tops of the labels between them.
    fn place_journey(&mut self, steps: &[Option<(&Edge, TextBlock)>], has_no_stage_point: bool) -> Vec<f64> {
        let mut y = if has_no_stage_point { self.no_stage.1 + 6.0 } else { FRAME };
        let mut tops = Vec::with_capacity(steps.len());
        for (node, step) in steps.iter().enumerate() {
            let height = step.as_ref().map_or(0.0, |(_, label)| label.height());
            let frame = if node == 0 && has_no_stage_point { FRAME } else { 0.0 };
            let gap = if node == 0 && !has_no_stage_point { 0.0 } else { (height + 22.0).max(38.0) };
            tops.push(y + (gap - height) / 2.0 - 1.0);
            y += gap + frame;
            self.boxes[node].y = y;
            y += self.boxes[node].height;
        }
        tops
    }

    fn bus<'e>(&self, edge: &'e Edge) -> Bus<'e> {
        let (outside, ends): (Vec<Endpoint>, Vec<Endpoint>) =
            edge.from.iter().chain(&edge.to).partition(|end| self.is_outside(**end));
        let outside = match outside.first() {
            Some(Endpoint::Stage(node)) => *node,
            _ => self.journey,
        };
        Bus { edge, label: self.label(edge, LABEL_WIDTH), outside, ends, port: 0.0 }
    }

    /// Returns the approximate vertical coordinate of an endpoint.
    fn height_of(&self, end: Endpoint) -> f64 {
        match end {
            Endpoint::Stage(node) => self.boxes[node].middle(),
            Endpoint::Journey => {
                let (top, bottom) = self.frame();
                f64::midpoint(top, bottom)
            }
            Endpoint::NoStage => self.no_stage.1,
        }
    }

    /// Places each stage outside the journey at the mean height of its arrows, and assigns each arrow a port.
    fn place_outside(&mut self, buses: &mut Vec<Bus<'_>>) {
        let mean =
            |bus: &Bus<'_>| bus.ends.iter().map(|end| self.height_of(*end)).sum::<f64>() / to_f64(bus.ends.len());
        buses.sort_by(|one, other| mean(one).total_cmp(&mean(other)));
        let mut wanted: Vec<(usize, f64)> = (self.journey..self.boxes.len())
            .map(|node| {
                let means: Vec<f64> = buses.iter().filter(|bus| bus.outside == node).map(mean).collect();
                let middle = if means.is_empty() {
                    self.height_of(Endpoint::Journey)
                } else {
                    means.iter().sum::<f64>() / to_f64(means.len())
                };
                (node, middle)
            })
            .collect();
        wanted.sort_by(|one, other| one.1.total_cmp(&other.1));
        let mut free = self.frame().0;
        for (node, middle) in wanted {
            let ports: f64 = buses.iter().filter(|bus| bus.outside == node).map(|bus| bus.label.height() + 16.0).sum();
            let height = self.boxes[node].height.max(ports + 10.0);
            let top = (middle - height / 2.0).max(free);
            self.boxes[node].y = top;
            self.boxes[node].height = height;
            free = top + height + 34.0;
            let mut y = top + (height - ports) / 2.0;
            for bus in buses.iter_mut().filter(|bus| bus.outside == node) {
                y += bus.label.height() + 16.0;
                bus.port = y - 6.0;
            }
        }
    }

    fn draw_buses(&self, canvas: &mut Canvas, buses: &[Bus<'_>], left: f64, frame_left: f64) {
        let (frame_top, frame_bottom) = self.frame();
        // Distributes the arrows that touch a stage along its edge.
        let touching = |end: Endpoint| buses.iter().filter(|bus| bus.ends.contains(&end)).count();
        let rank = |end: Endpoint, index: usize| buses[..index].iter().filter(|bus| bus.ends.contains(&end)).count();
        let tip = |index: usize, end: Endpoint| match end {
            Endpoint::Stage(node) => {
                let placed = &self.boxes[node];
                let share = to_f64(rank(end, index) + 1) / to_f64(touching(end) + 1);
                (placed.x, placed.y + placed.height * share)
            }
            Endpoint::Journey => (frame_left, buses[index].port.clamp(frame_top + 14.0, frame_bottom - 14.0)),
            Endpoint::NoStage => (self.no_stage.0 - 9.0, self.no_stage.1),
        };
        // Orders the vertical segments so that they do not cross: from left to right, arrows that bend up by increasing
        // port, then arrows that bend down by decreasing port.
        let rises = |index: &usize| {
            let bus = &buses[*index];
            bus.ends.iter().map(|end| tip(*index, *end).1).sum::<f64>() / to_f64(bus.ends.len()) < bus.port
        };
        let (up, mut order): (Vec<usize>, Vec<usize>) = (0..buses.len()).partition(rises);
        order.reverse();
        order.splice(0..0, up);
        for (rank, &index) in order.iter().enumerate() {
            let bus = &buses[index];
            let x = frame_left - LANE_GAP * to_f64(order.len() - rank);
            let leaves = bus.edge.from.iter().any(|end| self.is_outside(*end));
            for &end in &bus.ends {
                let tip = tip(index, end);
                let mut points = if (tip.1 - bus.port).abs() < 2.0 {
                    vec![(left, bus.port), (tip.0, bus.port)]
                } else {
                    vec![(left, bus.port), (x, bus.port), (x, tip.1), tip]
                };
                if !leaves {
                    points.reverse();
                }
                canvas.arrow(bus.edge.direction, &points);
            }
            bus.label.draw(canvas, (left + 16.0, bus.port - bus.label.height() - 4.0));
        }
    }

    fn draw_boxes(&self, canvas: &mut Canvas) {
        for (placed, stage) in self.boxes.iter().zip(&self.diagram.stages) {
            let PlacedBox { x, y, width, height, text } = placed;
            let top = y + (height - text.height()) / 2.0 - 1.0;
            canvas.rectangle(
                if stage.journey_position.is_some() { "stage" } else { "outside" },
                (*x, *y),
                *width,
                *height,
                10.0,
            );
            if let Some(position) = stage.journey_position {
                canvas.number((x + RAIL, y + height / 2.0), position);
                text.draw(canvas, (x + 2.0 * RAIL - 4.0, top));
            } else {
                text.draw(canvas, (x + INSET, top));
            }
        }
    }

    /// Creates the lanes for arrows that start and end at the same column.
    fn lanes(&self, edges: &[&Edge]) -> Vec<Lane> {
        let anchor = |end: &Endpoint| match *end {
            Endpoint::Stage(node) => Anchor::of(node, self.boxes[node].y, self.boxes[node].height),
            Endpoint::Journey => Anchor::of(0, self.boxes[0].y, self.boxes[0].height),
            Endpoint::NoStage => Anchor::no_stage(self.no_stage.1),
        };
        let lane = |edge: &&Edge| {
            let (from, to) = (edge.from.iter().map(anchor).collect(), edge.to.iter().map(anchor).collect());
            Lane::new(edge.direction, self.label(edge, LABEL_WIDTH), from, to)
        };
        edges.iter().map(lane).collect()
    }
}
