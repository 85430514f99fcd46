//! Arrows that leave a column of boxes and come back to it on the same side: the longer, the farther out.

use super::block::Block;
use super::canvas::{Canvas, Point};
use super::layout::count;
use crate::lifecycle::model::Direction;

/// Between a lane and its label.
const LABEL_GAP: f64 = 11.0;

/// Where an arrow touches the column.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Anchor {
    /// Which box; none for the point that stands for no stage.
    place: Option<usize>,
    top: f64,
    height: f64,
    /// The height at which it touches.
    y: f64,
}

impl Anchor {
    pub(super) fn of(place: usize, top: f64, height: f64) -> Self {
        Self { place: Some(place), top, height, y: top + height / 2.0 }
    }

    pub(super) fn nothing(y: f64) -> Self {
        Self { place: None, top: y, height: 0.0, y }
    }
}

/// One arrow beside the column.
#[derive(Debug)]
pub(super) struct Lane {
    direction: Direction,
    label: Block,
    from: Vec<Anchor>,
    to: Vec<Anchor>,
    /// How far out it runs.
    offset: f64,
    label_top: f64,
}

impl Lane {
    pub(super) fn new(direction: Direction, label: Block, from: Vec<Anchor>, to: Vec<Anchor>) -> Self {
        Self { direction, label, from, to, offset: 0.0, label_top: 0.0 }
    }

    fn anchors(&self) -> impl Iterator<Item = &Anchor> {
        self.from.iter().chain(&self.to)
    }

    fn top(&self) -> f64 {
        self.anchors().map(|anchor| anchor.y).fold(f64::MAX, f64::min)
    }

    fn low(&self) -> f64 {
        self.anchors().map(|anchor| anchor.y).fold(f64::MIN, f64::max)
    }

    fn span(&self) -> f64 {
        self.low() - self.top()
    }

    /// How far out the lane and its label reach.
    pub(super) fn reach(&self) -> f64 {
        self.offset + LABEL_GAP + self.label.width()
    }

    /// The lower end of the lane and its label.
    pub(super) fn bottom(&self) -> f64 {
        self.low().max(self.label_top + self.label.height())
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.top().min(self.label_top) < other.bottom() + 4.0 && other.top().min(other.label_top) < self.bottom() + 4.0
    }

    /// Draws the lane on the right (`side` 1) or on the left (-1) of the column whose edge is at `edge`.
    pub(super) fn draw(&self, canvas: &mut Canvas, edge: f64, side: f64, nothing: Point) {
        let x = edge + side * self.offset;
        let start = |anchor: &Anchor| if anchor.place.is_some() { edge } else { nothing.0 + side * 9.0 };
        for from in &self.from {
            for to in &self.to {
                canvas.arrow(self.direction, &[(start(from), from.y), (x, from.y), (x, to.y), (start(to), to.y)]);
            }
        }
        let left = if side > 0.0 { x + LABEL_GAP } else { x - LABEL_GAP - self.label.width() };
        self.label.draw(canvas, (left, self.label_top));
    }
}

/// Gives each lane its place: nearest to the column, `least` away from it, stand the shortest.
pub(super) fn place_lanes(lanes: &mut [Lane], least: f64) {
    lanes.sort_by(|one, other| one.span().total_cmp(&other.span()));
    spread_anchors(lanes);
    for index in 0..lanes.len() {
        let (nearer, rest) = lanes.split_at_mut(index);
        let lane = &mut rest[0];
        lane.label_top = f64::midpoint(lane.top(), lane.low()) - lane.label.height() / 2.0;
        let inner = nearer.iter().filter(|inner| inner.overlaps(lane));
        lane.offset = inner.map(|inner| inner.reach() + 20.0).fold(least, f64::max);
    }
}

/// Shares the edge of each box among the lanes that touch it, so that they do not cross: from the top those that go up, the
/// shortest first, then those that go down, the longest first.
fn spread_anchors(lanes: &mut [Lane]) {
    let ranges: Vec<(f64, f64)> = lanes.iter().map(|lane| (lane.top(), lane.low())).collect();
    let mut places: Vec<usize> =
        lanes.iter().flat_map(|lane| lane.anchors().filter_map(|anchor| anchor.place)).collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        let touches = |lane: &Lane| lane.anchors().find(|anchor| anchor.place == Some(place)).copied();
        let mut touching: Vec<(usize, f64)> = lanes
            .iter()
            .enumerate()
            .filter_map(|(index, lane)| {
                let (anchor, (top, low)) = (touches(lane)?, ranges[index]);
                // By how far the lane reaches up less how far it reaches down; short lanes stay nearer to the corner.
                let (up, down) = (anchor.y - top, low - anchor.y);
                Some((index, if up >= down { -1e6 + up } else { 1e6 - down }))
            })
            .collect();
        touching.sort_by(|one, other| one.1.total_cmp(&other.1));
        for (rank, (index, _)) in touching.iter().enumerate() {
            let share = count(rank + 1) / count(touching.len() + 1);
            let lane = &mut lanes[*index];
            for anchor in lane.from.iter_mut().chain(&mut lane.to).filter(|anchor| anchor.place == Some(place)) {
                anchor.y = anchor.top + anchor.height * share;
            }
        }
    }
}
