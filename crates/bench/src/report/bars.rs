//! Bars: one figure of several servers, for several loads.

use super::amount::{Unit, amount};
use super::scale::Scale;
use super::svg::{Anchor, Svg};

/// One plot.
pub(super) struct Bars<'a> {
    pub(super) title: &'a str,
    /// What the axis says: figure and unit.
    pub(super) axis: &'a str,
    pub(super) unit: Unit,
    pub(super) groups: Vec<Group>,
}

/// One load.
pub(super) struct Group {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

/// One server.
pub(super) struct Bar {
    pub(super) title: String,
    pub(super) colour: usize,
    pub(super) figure: f64,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 80.0;
const TOP: f64 = 40.0;
const BAR: f64 = 18.0;
const BAR_STEP: f64 = 24.0;
const GROUP_TITLE: f64 = 26.0;
const BOTTOM: f64 = 52.0;
/// From there on, the small ones could not be seen on a linear scale.
const LOG_FROM: f64 = 12.0;

/// The lowest figure of a logarithmic scale is so many times what the scale begins with, or more.
const SHORTEST: f64 = 1.5;

/// Draws it.
pub(super) fn draw(bars: &Bars<'_>) -> String {
    let rows: f64 = bars.groups.iter().map(|group| GROUP_TITLE + group.bars.len() as f64 * BAR_STEP).sum();
    let mut svg = Svg::new(bars.title, WIDTH, TOP + rows + BOTTOM);
    svg.text(16.0, 24.0, Anchor::Start, "title", bars.title);
    let (scale, is_log) = scale(bars);
    let floor = TOP + rows + 6.0;
    for tick in scale.ticks() {
        svg.text(scale.place(tick), floor + 16.0, Anchor::Middle, "soft", &amount(tick, bars.unit));
    }
    let note = if is_log { ", logarithmic" } else { "" };
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    svg.text(middle, floor + 36.0, Anchor::Middle, "soft", &format!("{}{note}", bars.axis));
    let mut y = TOP;
    for group in &bars.groups {
        svg.text(16.0, y + 18.0, Anchor::Start, "soft", &group.title);
        y += GROUP_TITLE;
        let end = y + group.bars.len() as f64 * BAR_STEP;
        for tick in scale.ticks() {
            let x = scale.place(tick);
            svg.line((x, y), (x, end), if x > LEFT { "grid" } else { "axis" });
        }
        for bar in &group.bars {
            let end = scale.place(bar.figure);
            svg.text(LEFT - 8.0, y + 13.5, Anchor::End, "", &bar.title);
            svg.bar(LEFT, y, (end - LEFT).max(1.0), BAR, bar.colour);
            svg.text(end + 6.0, y + 13.5, Anchor::Start, "", &amount(bar.figure, bars.unit));
            y += BAR_STEP;
        }
    }
    svg.finish()
}

fn scale(bars: &Bars<'_>) -> (Scale, bool) {
    let figures = || bars.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.figure);
    let highest = figures().fold(0.0, f64::max);
    let lowest = figures().filter(|figure| *figure > 0.0).fold(f64::INFINITY, f64::min);
    let is_log = highest > lowest * LOG_FROM;
    let (from, to) = (LEFT, WIDTH - RIGHT);
    // Lower than the lowest, so that its bar has a length too.
    if is_log {
        (Scale::log(figures().chain([lowest / SHORTEST]), from, to), true)
    } else {
        (Scale::linear(highest, from, to), false)
    }
}
