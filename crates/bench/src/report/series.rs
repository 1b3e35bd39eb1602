//! A run over time: sessions, messages, latency, the server's processor time and memory, one under the other.

use super::amount::{Unit, amount};
use super::scale::Scale;
use super::svg::{Anchor, Svg};
use crate::result::{Report, Sample};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 86.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const PANEL: f64 = 74.0;
const PANEL_STEP: f64 = 112.0;
const BOTTOM: f64 = 40.0;
/// A curve has no more points than can be seen.
const POINTS_MAX: usize = 700;

struct Panel {
    title: &'static str,
    unit: Unit,
    figure: fn(&Sample) -> Option<f64>,
}

const PANELS: [Panel; 8] = [
    Panel { title: "live sessions", unit: Unit::Count, figure: |it| Some(it.sessions as f64) },
    Panel { title: "logins per second", unit: Unit::Count, figure: |it| Some(it.logins_per_s) },
    Panel {
        title: "messages delivered per second",
        unit: Unit::Count,
        figure: |it| Some(it.delivered_per_s),
    },
    Panel { title: "delivery latency, median", unit: Unit::Us, figure: |it| it.p50_us.map(|us| us as f64) },
    Panel {
        title: "delivery latency, 99th percentile",
        unit: Unit::Us,
        figure: |it| it.p99_us.map(|us| us as f64),
    },
    Panel {
        title: "server CPU (100 % is one processor)",
        unit: Unit::Percent,
        figure: |it| it.server_cpu_percent,
    },
    Panel {
        title: "server resident memory",
        unit: Unit::Bytes,
        figure: |it| it.server_resident_bytes.map(|bytes| bytes as f64),
    },
    Panel {
        title: "server's files on disk",
        unit: Unit::Bytes,
        figure: |it| it.server_disk_bytes.map(|bytes| bytes as f64),
    },
];

/// Draws it; `None`: there is nothing to draw.
pub(super) fn draw(title: &str, report: &Report) -> Option<String> {
    let (first, last) = (report.series.first()?, report.series.last()?);
    let samples = thinned(&report.series);
    let panels: Vec<(&Panel, Vec<(f64, f64)>)> = PANELS
        .iter()
        .map(|panel| (panel, points(panel, &samples)))
        .filter(|(_, points)| points.iter().any(|(_, figure)| *figure > 0.0))
        .collect();
    if panels.is_empty() || report.series.len() < 2 {
        return None;
    }
    let floor = TOP + PANEL_STEP * panels.len() as f64;
    let mut svg = Svg::new(title, WIDTH, floor + BOTTOM);
    svg.text(16.0, 24.0, Anchor::Start, "title", title);
    let across = Scale::exact(first.at_s, last.at_s, LEFT, WIDTH - RIGHT);
    let mut top = TOP;
    for (index, (panel, points)) in panels.iter().enumerate() {
        draw_panel(&mut svg, panel, points, &across, top, index);
        for (place, mark) in report.marks.iter().enumerate() {
            let x = across.place(mark.at_s);
            svg.line((x, top + 20.0), (x, top + 20.0 + PANEL), "mark");
            if index == 0 {
                // Moments may be close to each other.
                let y = top + 30.0 + (place % 4) as f64 * 15.0;
                let is_left = x < WIDTH - RIGHT - 80.0;
                let (x, anchor) = if is_left { (x + 4.0, Anchor::Start) } else { (x - 4.0, Anchor::End) };
                svg.text(x, y, anchor, "soft", &mark.name.replace('_', " "));
            }
        }
        top += PANEL_STEP;
    }
    for tick in across.ticks() {
        svg.text(across.place(tick), floor, Anchor::Middle, "soft", &amount(tick, Unit::Count));
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    svg.text(middle, floor + 24.0, Anchor::Middle, "soft", "seconds since the first login");
    Some(svg.finish())
}

fn draw_panel(svg: &mut Svg, panel: &Panel, points: &[(f64, f64)], across: &Scale, top: f64, colour: usize) {
    let (head, floor) = (top + 20.0, top + 20.0 + PANEL);
    svg.text(LEFT, top + 12.0, Anchor::Start, "", panel.title);
    let highest = points.iter().map(|(_, figure)| *figure).fold(0.0, f64::max);
    let up = Scale::linear(highest, floor, head);
    let ticks = up.ticks();
    for (index, tick) in ticks.iter().enumerate() {
        let y = up.place(*tick);
        svg.line((LEFT, y), (WIDTH - RIGHT, y), "grid");
        if index % 2 == 0 || ticks.len() < 5 {
            svg.text(LEFT - 8.0, y + 4.0, Anchor::End, "soft", &amount(*tick, panel.unit));
        }
    }
    svg.line((LEFT, floor), (WIDTH - RIGHT, floor), "axis");
    let places: Vec<(f64, f64)> =
        points.iter().map(|&(at, figure)| (across.place(at), up.place(figure))).collect();
    svg.curve(&places, colour + 1);
}

fn points(panel: &Panel, samples: &[&Sample]) -> Vec<(f64, f64)> {
    samples.iter().filter_map(|sample| Some((sample.at_s, (panel.figure)(sample)?))).collect()
}

fn thinned(series: &[Sample]) -> Vec<&Sample> {
    series.iter().step_by(series.len().div_ceil(POINTS_MAX).max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_thinned_and_an_empty_one_not_drawn() {
        let sample =
            |second: u32| Sample { at_s: second.into(), sessions: second.into(), ..Sample::default() };
        let report = Report { series: (0..10_000).map(sample).collect(), ..Report::default() };
        let drawing = draw("long", &report).unwrap();
        assert!(drawing.len() < 40_000, "{}", drawing.len());
        assert!(drawing.contains("live sessions") && !drawing.contains("server CPU"));
        assert_eq!(draw("nothing", &Report::default()), None);
    }
}
