//! Which plots an input makes.

use super::bars::{self, Bar, Bars, Group};
use super::comparison::{Comparison, Input};
use super::curves::{self, Curve};
use super::measures::{MEASURES, Measure, colour};
use super::series;
use crate::result::Report;

/// One drawing.
pub(super) struct Plot {
    /// For its file.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) svg: String,
}

/// All of an input's.
pub(super) fn of(input: &Input) -> Vec<Plot> {
    match input {
        Input::Comparison(comparison) => of_comparison(comparison),
        Input::Run(name, report) => of_run(name, report),
    }
}

fn of_comparison(comparison: &Comparison) -> Vec<Plot> {
    let mut plots: Vec<Plot> = MEASURES.iter().filter_map(|measure| measured(comparison, measure)).collect();
    for (load, kind) in [("open", "delivery"), ("pairs-4", "delivery"), ("half", "acceptance")] {
        plots.extend(latencies(comparison, load, kind));
    }
    for run in comparison.runs.iter().filter(|run| run.server == "chaski" && run.load == "open") {
        let title = format!("Chaski over time: {}", run.title);
        plots.extend(over_time(format!("time-{}", run.load), title, &run.report));
    }
    plots
}

fn measured(comparison: &Comparison, measure: &Measure) -> Option<Plot> {
    let name = measure.plot?;
    let bars_of = |load: &str| {
        let bar = |server: &super::comparison::Server| {
            let figure = measure.of(comparison, load, &server.name)?;
            Some(Bar {
                title: server.title.clone(),
                colour: colour(&comparison.servers, &server.name),
                figure,
            })
        };
        comparison.servers.iter().filter_map(bar).collect::<Vec<Bar>>()
    };
    let group = |load: &&str| {
        let title = comparison.load_title(load)?.to_owned();
        Some(Group { title, bars: bars_of(load) }).filter(|group| !group.bars.is_empty())
    };
    let groups: Vec<Group> = measure.loads.iter().filter_map(group).collect();
    if groups.is_empty() {
        return None;
    }
    let mut title = measure.title.to_owned();
    title[..1].make_ascii_uppercase();
    let svg = bars::draw(&Bars { title: &title, axis: measure.axis, unit: measure.unit, groups });
    Some(Plot { name: name.into(), title, svg })
}

fn latencies(comparison: &Comparison, load: &str, kind: &str) -> Option<Plot> {
    let curve = |server: &super::comparison::Server| {
        let latency = comparison.report(load, &server.name)?.latencies.get(kind).filter(|it| it.count > 0)?;
        Some(Curve {
            title: server.title.clone(),
            colour: colour(&comparison.servers, &server.name),
            latency,
        })
    };
    let curves: Vec<Curve<'_>> = comparison.servers.iter().filter_map(curve).collect();
    if curves.is_empty() {
        return None;
    }
    let what = if kind == "delivery" { "Delivery" } else { "Durable acceptance" };
    let title = format!("{what} latency: {}", comparison.load_title(load)?);
    let svg = curves::draw(&title, &curves);
    Some(Plot { name: format!("latency-{load}"), title, svg })
}

fn of_run(name: &str, report: &Report) -> Vec<Plot> {
    let label = if report.label.is_empty() { "server" } else { &report.label };
    let title = format!("{label} over time");
    let mut plots: Vec<Plot> = over_time(format!("{name}-time"), title, report).into_iter().collect();
    let known = report.latencies.iter().filter(|(_, latency)| latency.count > 0);
    let curves: Vec<Curve<'_>> = known
        .enumerate()
        .map(|(index, (kind, latency))| Curve { title: kind.replace('_', " "), colour: index + 1, latency })
        .collect();
    if !curves.is_empty() {
        let title = format!("{label}: latencies");
        plots.push(Plot { name: format!("{name}-latency"), svg: curves::draw(&title, &curves), title });
    }
    plots
}

fn over_time(name: String, title: String, report: &Report) -> Option<Plot> {
    let svg = series::draw(&title, report)?;
    Some(Plot { name, title, svg })
}
