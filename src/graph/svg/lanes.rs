//! Routes arrows that leave a column of boxes and return to it on the same side.
//!
//! Each arrow gets a vertical lane; longer arrows run farther out, so that lanes do not cross.

use super::canvas::{Canvas, Point};
use super::text_block::TextBlock;
use crate::lifecycle::model::Direction;

/// Gap between a lane and its label.
const LABEL_GAP: f64 = 11.0;

/// A point where an arrow touches the column.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Anchor {
    /// Index of the box; `None` for the point that represents no stage.
    node: Option<usize>,
    top: f64,
    height: f64,
    /// Vertical coordinate of the point.
    y: f64,
}

impl Anchor {
    pub(super) fn of(node: usize, top: f64, height: f64) -> Self {
        Self { node: Some(node), top, height, y: top + height / 2.0 }
    }

    pub(super) fn no_stage(y: f64) -> Self {
        Self { node: None, top: y, height: 0.0, y }
    }
}

/// One arrow beside the column.
#[derive(Debug)]
pub(super) struct Lane {
    direction: Direction,
    label: TextBlock,
    from: Vec<Anchor>,
    to: Vec<Anchor>,
    /// Horizontal distance of the lane from the column.
    offset: f64,
    label_top: f64,
}

impl Lane {
    pub(super) fn new(direction: Direction, label: TextBlock, from: Vec<Anchor>, to: Vec<Anchor>) -> Self {
        Self { direction, label, from, to, offset: 0.0, label_top: 0.0 }
    }

    fn anchors(&self) -> impl Iterator<Item = &Anchor> {
        self.from.iter().chain(&self.to)
    }

    fn anchors_top(&self) -> f64 {
        self.anchors().map(|anchor| anchor.y).fold(f64::MAX, f64::min)
    }

    fn anchors_bottom(&self) -> f64 {
        self.anchors().map(|anchor| anchor.y).fold(f64::MIN, f64::max)
    }

    fn span(&self) -> f64 {
        self.anchors_bottom() - self.anchors_top()
    }

    /// Returns the distance from the column to the outer edge of the label.
    pub(super) fn reach(&self) -> f64 {
        self.offset + LABEL_GAP + self.label.width()
    }

    /// Returns the lower end of the lane and its label.
    pub(super) fn bottom(&self) -> f64 {
        self.anchors_bottom().max(self.label_top + self.label.height())
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.anchors_top().min(self.label_top) < other.bottom() + 4.0
            && other.anchors_top().min(other.label_top) < self.bottom() + 4.0
    }

    /// Draws the lane on the right (`side` 1) or left (`side` -1) of the column, whose edge is at `edge`.
    pub(super) fn draw(&self, canvas: &mut Canvas, edge: f64, side: f64, no_stage: Point) {
        let x = edge + side * self.offset;
        let start = |anchor: &Anchor| if anchor.node.is_some() { edge } else { no_stage.0 + side * 9.0 };
        for from in &self.from {
            for to in &self.to {
                canvas.arrow(self.direction, &[(start(from), from.y), (x, from.y), (x, to.y), (start(to), to.y)]);
            }
        }
        let left = if side > 0.0 { x + LABEL_GAP } else { x - LABEL_GAP - self.label.width() };
        self.label.draw(canvas, (left, self.label_top));
    }
}

/// Assigns each lane its distance from the column, starting with the shortest lane at distance `min_offset`.
pub(super) fn place_lanes(lanes: &mut [Lane], min_offset: f64) {
    lanes.sort_by(|one, other| one.span().total_cmp(&other.span()));
    spread_anchors(lanes);
    for index in 0..lanes.len() {
        let (nearer, rest) = lanes.split_at_mut(index);
        let lane = &mut rest[0];
        lane.label_top = f64::midpoint(lane.anchors_top(), lane.anchors_bottom()) - lane.label.height() / 2.0;
        let inner = nearer.iter().filter(|inner| inner.overlaps(lane));
        lane.offset = inner.map(|inner| inner.reach() + 20.0).fold(min_offset, f64::max);
    }
}

/// Distributes the anchors on the edge of each box so that lanes do not cross: from the top, lanes that go up, shortest
/// first, then lanes that go down, longest first.
fn spread_anchors(lanes: &mut [Lane]) {
    let ranges: Vec<(f64, f64)> = lanes.iter().map(|lane| (lane.anchors_top(), lane.anchors_bottom())).collect();
    let mut nodes: Vec<usize> = lanes.iter().flat_map(|lane| lane.anchors().filter_map(|anchor| anchor.node)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    for node in nodes {
        let touches = |lane: &Lane| lane.anchors().find(|anchor| anchor.node == Some(node)).copied();
        let mut touching: Vec<(usize, f64)> = lanes
            .iter()
            .enumerate()
            .filter_map(|(index, lane)| {
                let (anchor, (top, bottom)) = (touches(lane)?, ranges[index]);
                // Lanes that go up come before lanes that go down. The shortest ones are next to the corners of the
                // box.
                let (up, down) = (anchor.y - top, bottom - anchor.y);
                Some((index, if up >= down { -1e6 + up } else { 1e6 - down }))
            })
            .collect();
        touching.sort_by(|one, other| one.1.total_cmp(&other.1));
        for (rank, (index, _)) in touching.iter().enumerate() {
            let share = to_f64(rank + 1) / to_f64(touching.len() + 1);
            let lane = &mut lanes[*index];
            for anchor in lane.from.iter_mut().chain(&mut lane.to).filter(|anchor| anchor.node == Some(node)) {
                anchor.y = anchor.top + anchor.height * share;
            }
        }
    }
}

/// Converts a small number, for computations with coordinates.
#[expect(clippy::cast_precision_loss, reason = "a diagram has few elements")]
pub(super) fn to_f64(number: usize) -> f64 {
    number as f64
}
