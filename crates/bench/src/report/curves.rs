//! Latencies by how many messages were quicker: the slow ones, which a mean hides, get as much room as the many.

use super::amount::{Unit, amount};
use super::scale::Scale;
use super::svg::{Anchor, Svg, TEXT};
use crate::result::Latency;

/// One curve.
pub(super) struct Curve<'a> {
    pub(super) title: String,
    pub(super) colour: usize,
    pub(super) latency: &'a Latency,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 60.0;
/// A label and the next.
const LABEL_STEP: f64 = 17.0;

/// Draws it.
pub(super) fn draw(title: &str, curves: &[Curve<'_>]) -> String {
    let mut svg = Svg::new(title, WIDTH, HEIGHT);
    svg.text(16.0, 24.0, Anchor::Start, "title", title);
    let (floor, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let figures = curves.iter().flat_map(|curve| points(curve.latency)).map(|(_, us)| us);
    let up = Scale::log(figures, floor, TOP);
    let nines =
        curves.iter().flat_map(|curve| points(curve.latency)).map(|(nines, _)| nines).fold(3.0, f64::max);
    let across = Scale::exact(0.0, nines, LEFT, end);
    for tick in up.ticks() {
        let y = up.place(tick);
        svg.line((LEFT, y), (end, y), "grid");
        svg.text(LEFT - 8.0, y + 4.0, Anchor::End, "soft", &amount(tick, Unit::Us));
    }
    for (index, name) in
        ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999"].iter().enumerate()
    {
        if index as f64 <= nines {
            let x = across.place(index as f64);
            svg.line((x, TOP), (x, floor), "grid");
            svg.text(x, floor + 18.0, Anchor::Middle, "soft", name);
        }
    }
    let middle = f64::midpoint(LEFT, end);
    svg.text(middle, floor + 40.0, Anchor::Middle, "soft", "percent of the messages that were quicker");
    svg.line((LEFT, floor), (end, floor), "axis");
    let mut labels = Vec::new();
    for curve in curves {
        let places: Vec<(f64, f64)> =
            points(curve.latency).map(|(nines, us)| (across.place(nines), up.place(us))).collect();
        svg.curve(&places, curve.colour);
        places.iter().for_each(|&(x, y)| svg.dot(x, y, curve.colour));
        if let Some(&(_, y)) = places.last() {
            labels.push((y, curve));
        }
    }
    labels.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    let mut lowest = TOP - LABEL_STEP;
    for (y, curve) in labels {
        let y = y.max(lowest + LABEL_STEP);
        lowest = y;
        svg.bar(end + 10.0, y - TEXT / 2.0, 10.0, 10.0, curve.colour);
        svg.text(end + 26.0, y + 4.0, Anchor::Start, "", &curve.title);
    }
    svg.finish()
}

/// (Nines, µs): 1 is 90 %, 2 is 99 %. The slowest stands where one in `count` is.
fn points(latency: &Latency) -> impl Iterator<Item = (f64, f64)> {
    let slowest = (latency.count.max(1) as f64).log10();
    let known = [
        (0.5_f64.recip().log10(), latency.p50_us),
        (1.0, latency.p90_us),
        (2.0, latency.p99_us),
        (3.0, latency.p999_us),
        (slowest, latency.max_us),
    ];
    known.into_iter().filter(move |(nines, _)| *nines <= slowest).map(|(nines, us)| (nines, us.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stands_at_one_in_count() {
        let latency =
            Latency { count: 10_000, p50_us: 5, p90_us: 9, p99_us: 20, p999_us: 30, max_us: 40, mean_us: 6 };
        let all: Vec<(f64, f64)> = points(&latency).collect();
        assert_eq!(all.last(), Some(&(4.0, 40.0)));
        assert_eq!(all.len(), 5);
        let few = Latency { count: 10, ..latency };
        assert_eq!(points(&few).last(), Some((1.0, 40.0)));
        assert!(draw("t", &[]).contains("</svg>"));
    }
}
