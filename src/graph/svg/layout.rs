//! Where everything of a picture stands: the journey as a column, what lies outside to its left, ways back to its right.

use super::block::Block;
use super::canvas::{Canvas, Point};
use super::lanes::{Anchor, Lane, place_lanes};
use crate::graph::picture::{Edge, End, Picture};
use crate::graph::words::Phrase;
use crate::lifecycle::model::Direction;

/// How wide a stage of the journey is.
const STAGE_WIDTH: f64 = 330.0;
/// How wide a stage outside is.
const OUTSIDE_WIDTH: f64 = 236.0;
/// How wide a label may be.
const LABEL_WIDTH: f64 = 232.0;
/// Where the column of numbers stands, from the left of a stage.
const RAIL: f64 = 30.0;
/// How far the frame of the journey stands from its stages.
const FRAME: f64 = 18.0;
/// Between two lines that run side by side.
const LANE_GAP: f64 = 16.0;
/// From the edge of a box to its text.
const INSET: f64 = 13.0;

/// A box and the text in it.
#[derive(Debug)]
struct Placed {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    text: Block,
}

impl Placed {
    fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// An arrow between a stage outside and the journey.
struct Bus<'a> {
    edge: &'a Edge,
    label: Block,
    outside: usize,
    /// The ends on the other side.
    ends: Vec<End>,
    port: f64,
}

/// The body of a picture: everything but its head and its foot.
pub(super) struct Body {
    /// What is drawn, with its upper left corner at 0, 0.
    pub(super) canvas: Canvas,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Draws the stages and the arrows.
pub(super) fn body(picture: &Picture) -> Body {
    Layout::new(picture).draw()
}

struct Layout<'a> {
    picture: &'a Picture,
    boxes: Vec<Placed>,
    journey: usize,
    /// The point that stands for no stage.
    nothing: Point,
}

impl<'a> Layout<'a> {
    fn new(picture: &'a Picture) -> Self {
        let journey = picture.stages.iter().filter(|stage| stage.place.is_some()).count();
        let boxes = picture.stages.iter().map(|stage| {
            let (width, indent) =
                if stage.place.is_some() { (STAGE_WIDTH, 2.0 * RAIL) } else { (OUTSIDE_WIDTH, INSET) };
            let text = Block::stage(stage, width - indent - INSET);
            let height = (text.height() + 2.0 * INSET - 4.0).max(52.0);
            Placed { x: 0.0, y: 0.0, width, height, text }
        });
        Self { picture, boxes: boxes.collect(), journey, nothing: (0.0, 8.0) }
    }

    fn draw(mut self) -> Body {
        let (steps, rest): (Vec<&Edge>, Vec<&Edge>) = self.picture.edges.iter().partition(|edge| self.is_step(edge));
        let steps: Vec<Option<(&Edge, Block)>> = (0..self.journey)
            .map(|place| {
                let step = steps.iter().find(|edge| edge.to == [End::Stage(place)])?;
                Some((*step, self.label(step, STAGE_WIDTH - RAIL)))
            })
            .collect();
        let uses_nothing = self.picture.touches(End::Nothing);
        let label_tops = self.place_journey(&steps, uses_nothing);
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
        let frame_left = if has_outside { outside_right + gutter + LANE_GAP * count(buses.len()) } else { 0.0 };
        let journey_left = if has_outside { frame_left + FRAME } else { 0.0 };
        for (place, placed) in self.boxes.iter_mut().enumerate() {
            placed.x = if place < self.journey { journey_left } else { far_left };
        }
        self.nothing.0 = journey_left + RAIL;
        let frame = self.frame();
        if has_outside && self.journey > 0 {
            canvas.rectangle("journey", (frame_left, frame.0), STAGE_WIDTH + 2.0 * FRAME, frame.1 - frame.0, 14.0);
        }

        let right = journey_left + STAGE_WIDTH;
        let mut inner = self.lanes(&inner);
        place_lanes(&mut inner, if has_outside { FRAME + 20.0 } else { 24.0 });
        for lane in &inner {
            lane.draw(&mut canvas, right, 1.0, self.nothing);
        }
        for lane in &outer {
            lane.draw(&mut canvas, far_left, -1.0, self.nothing);
        }
        self.draw_buses(&mut canvas, &buses, outside_right, frame_left);
        self.draw_boxes(&mut canvas);
        if uses_nothing {
            canvas.disc("dot", self.nothing, 6.0);
        }
        for (place, (step, label_top)) in steps.iter().zip(label_tops).enumerate() {
            let Some((edge, label)) = step else { continue };
            let start = if place == 0 { self.nothing.1 + 9.0 } else { self.bottom(place - 1) };
            let x = self.nothing.0;
            canvas.arrow(edge.direction, &[(x, start), (x, self.boxes[place].y)]);
            label.draw(&mut canvas, (x + 14.0, label_top));
        }

        let lanes_right = inner.iter().map(Lane::reach).fold(0.0, f64::max);
        let labels_right = steps.iter().flatten().map(|(_, label)| self.nothing.0 + 14.0 + label.width());
        let width = labels_right.fold((right + FRAME).max(right + lanes_right), f64::max);
        let bottoms = self.boxes.iter().map(|placed| placed.y + placed.height);
        let bottom = bottoms.chain(inner.iter().chain(&outer).map(Lane::bottom)).fold(frame.1, f64::max);
        Body { canvas, width, height: bottom }
    }

    fn is_step(&self, edge: &Edge) -> bool {
        match (edge.from.as_slice(), edge.to.as_slice()) {
            ([End::Nothing], [End::Stage(to)]) => *to == 0 && self.journey > 0,
            ([End::Stage(from)], [End::Stage(to)]) => {
                *to < self.journey && from + 1 == *to && edge.direction == Direction::Forward
            }
            _ => false,
        }
    }

    fn is_outside(&self, end: End) -> bool {
        matches!(end, End::Stage(place) if place >= self.journey)
    }

    fn label(&self, edge: &Edge, width: f64) -> Block {
        Block::label(edge, self.picture.language.say(Phrase::By), width)
    }

    fn bottom(&self, place: usize) -> f64 {
        self.boxes[place].y + self.boxes[place].height
    }

    /// The upper and the lower edge of the journey's frame.
    fn frame(&self) -> (f64, f64) {
        let last = self.journey.saturating_sub(1);
        (
            self.boxes.first().map_or(0.0, |first| first.y) - FRAME,
            self.boxes.get(last).map_or(0.0, |_| self.bottom(last)) + FRAME,
        )
    }

    /// Puts the stages of the journey below each other; returns where the labels between them begin.
    fn place_journey(&mut self, steps: &[Option<(&Edge, Block)>], uses_nothing: bool) -> Vec<f64> {
        let mut y = if uses_nothing { self.nothing.1 + 6.0 } else { FRAME };
        let mut tops = Vec::with_capacity(steps.len());
        for (place, step) in steps.iter().enumerate() {
            let height = step.as_ref().map_or(0.0, |(_, label)| label.height());
            let frame = if place == 0 && uses_nothing { FRAME } else { 0.0 };
            let gap = if place == 0 && !uses_nothing { 0.0 } else { (height + 22.0).max(38.0) };
            tops.push(y + (gap - height) / 2.0 - 1.0);
            y += gap + frame;
            self.boxes[place].y = y;
            y += self.boxes[place].height;
        }
        tops
    }

    fn bus<'e>(&self, edge: &'e Edge) -> Bus<'e> {
        let (outside, ends): (Vec<End>, Vec<End>) =
            edge.from.iter().chain(&edge.to).partition(|end| self.is_outside(**end));
        let outside = match outside.first() {
            Some(End::Stage(place)) => *place,
            _ => self.journey,
        };
        Bus { edge, label: self.label(edge, LABEL_WIDTH), outside, ends, port: 0.0 }
    }

    /// Where an end stands, about.
    fn height_of(&self, end: End) -> f64 {
        match end {
            End::Stage(place) => self.boxes[place].middle(),
            End::Journey => {
                let (top, bottom) = self.frame();
                f64::midpoint(top, bottom)
            }
            End::Nothing => self.nothing.1,
        }
    }

    /// Puts the stages outside beside those they have to do with, and gives each arrow a port.
    fn place_outside(&mut self, buses: &mut Vec<Bus<'_>>) {
        let mean = |bus: &Bus<'_>| bus.ends.iter().map(|end| self.height_of(*end)).sum::<f64>() / count(bus.ends.len());
        buses.sort_by(|one, other| mean(one).total_cmp(&mean(other)));
        let mut wanted: Vec<(usize, f64)> = (self.journey..self.boxes.len())
            .map(|place| {
                let of: Vec<f64> = buses.iter().filter(|bus| bus.outside == place).map(mean).collect();
                let middle =
                    if of.is_empty() { self.height_of(End::Journey) } else { of.iter().sum::<f64>() / count(of.len()) };
                (place, middle)
            })
            .collect();
        wanted.sort_by(|one, other| one.1.total_cmp(&other.1));
        let mut free = self.frame().0;
        for (place, middle) in wanted {
            let ports: f64 = buses.iter().filter(|bus| bus.outside == place).map(|bus| bus.label.height() + 16.0).sum();
            let height = self.boxes[place].height.max(ports + 10.0);
            let top = (middle - height / 2.0).max(free);
            self.boxes[place].y = top;
            self.boxes[place].height = height;
            free = top + height + 34.0;
            let mut y = top + (height - ports) / 2.0;
            for bus in buses.iter_mut().filter(|bus| bus.outside == place) {
                y += bus.label.height() + 16.0;
                bus.port = y - 6.0;
            }
        }
    }

    fn draw_buses(&self, canvas: &mut Canvas, buses: &[Bus<'_>], left: f64, frame_left: f64) {
        let (frame_top, frame_bottom) = self.frame();
        // Each stage shares its edge among the arrows that touch it.
        let touching = |end: End| buses.iter().filter(|bus| bus.ends.contains(&end)).count();
        let rank = |end: End, index: usize| buses[..index].iter().filter(|bus| bus.ends.contains(&end)).count();
        let tip = |index: usize, end: End| match end {
            End::Stage(place) => {
                let placed = &self.boxes[place];
                let share = count(rank(end, index) + 1) / count(touching(end) + 1);
                (placed.x, placed.y + placed.height * share)
            }
            End::Journey => (frame_left, buses[index].port.clamp(frame_top + 14.0, frame_bottom - 14.0)),
            End::Nothing => (self.nothing.0 - 9.0, self.nothing.1),
        };
        // Those that bend up stand the farther right the lower they begin; those that bend down the other way round.
        let rises = |index: &usize| {
            let bus = &buses[*index];
            bus.ends.iter().map(|end| tip(*index, *end).1).sum::<f64>() / count(bus.ends.len()) < bus.port
        };
        let (up, mut order): (Vec<usize>, Vec<usize>) = (0..buses.len()).partition(rises);
        order.reverse();
        order.splice(0..0, up);
        for (rank, &index) in order.iter().enumerate() {
            let bus = &buses[index];
            let x = frame_left - LANE_GAP * count(order.len() - rank);
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
        for (placed, stage) in self.boxes.iter().zip(&self.picture.stages) {
            let Placed { x, y, width, height, text } = placed;
            let top = y + (height - text.height()) / 2.0 - 1.0;
            canvas.rectangle(if stage.place.is_some() { "stage" } else { "outside" }, (*x, *y), *width, *height, 10.0);
            if let Some(place) = stage.place {
                canvas.number((x + RAIL, y + height / 2.0), place);
                text.draw(canvas, (x + 2.0 * RAIL - 4.0, top));
            } else {
                text.draw(canvas, (x + INSET, top));
            }
        }
    }

    /// The lanes beside a column, for arrows that begin and end there.
    fn lanes(&self, edges: &[&Edge]) -> Vec<Lane> {
        let anchor = |end: &End| match *end {
            End::Stage(place) => Anchor::of(place, self.boxes[place].y, self.boxes[place].height),
            End::Journey => Anchor::of(0, self.boxes[0].y, self.boxes[0].height),
            End::Nothing => Anchor::nothing(self.nothing.1),
        };
        let lane = |edge: &&Edge| {
            let (from, to) = (edge.from.iter().map(anchor).collect(), edge.to.iter().map(anchor).collect());
            Lane::new(edge.direction, self.label(edge, LABEL_WIDTH), from, to)
        };
        edges.iter().map(lane).collect()
    }
}

/// A small number of things, to reckon with.
#[expect(clippy::cast_precision_loss, reason = "a picture has few of anything")]
pub(super) fn count(number: usize) -> f64 {
    number as f64
}
