//! Tables for a page of documentation, between two markers that keep the rest of the page as it is.

use super::amount::{Unit, amount, ratio};
use super::comparison::{Comparison, Input, Server};
use super::measures::MEASURES;
use super::plots;
use crate::result::Report;
use std::fmt::Write;

/// Where what is written here begins.
pub(super) const BEGIN: &str = "<!-- compare:begin -->";
/// And ends.
pub(super) const END: &str = "<!-- compare:end -->";

/// Rows of one table: its head first.
pub(super) type Table = Vec<Vec<String>>;

/// Puts text between the markers; at the end of a page that has none.
pub(super) fn put(page: &str, text: &str) -> Result<String, &'static str> {
    let text = text.trim_end();
    match (page.find(BEGIN), page.find(END)) {
        (None, None) => {
            let gap = if page.is_empty() { "" } else { "\n" };
            Ok(format!("{page}{gap}{BEGIN}\n{text}\n{END}\n"))
        }
        (Some(begin), Some(end)) if begin < end => {
            Ok(format!("{}{BEGIN}\n{text}\n{}", &page[..begin], &page[end..]))
        }
        _ => Err("has only one of the two markers, or the end before the beginning"),
    }
}

/// An input's part of the page.
pub(super) fn write(input: &Input, plots_at: Option<&str>) -> String {
    let mut text = match input {
        Input::Comparison(comparison) => {
            let mut text = format!("{}\n\n", provenance(comparison));
            text.push_str(&table_text(&figures(comparison)));
            text.push('\n');
            text.push_str(&table_text(&settings(comparison)));
            for complaint in &comparison.complaints {
                let _ = write!(text, "\n- {complaint}");
            }
            text
        }
        Input::Run(name, report) => format!("{name}:\n\n{}", table_text(&run(report))),
    };
    if let Some(at) = plots_at {
        for plot in plots::of(input) {
            let _ = write!(text, "\n![{}]({at}/{}.svg)\n", plot.title, plot.name);
        }
    }
    text
}

/// Where and when, in a sentence or two.
pub(super) fn provenance(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let memory = amount(machine.memory_bytes as f64, Unit::Bytes);
    let short =
        if comparison.is_short { " This was the short version: its figures are rougher." } else { "" };
    format!(
        "Taken {} in one run on {} ({} processors, {memory}, {}, {}), load generator on the same processors, loopback. \
         CPU is user and system time of the server's process.{short}",
        comparison.taken_at, machine.cpu, machine.cores, machine.system, machine.kernel
    )
}

/// One row for each figure and load, one column for each server, and the ratios.
pub(super) fn figures(comparison: &Comparison) -> Table {
    let shown: Vec<&Server> = comparison
        .servers
        .iter()
        .filter(|server| comparison.runs.iter().any(|run| run.server == server.name))
        .collect();
    let mut head = vec![String::new()];
    head.extend(shown.iter().map(|server| server.title.clone()));
    let floors: Vec<&Server> = shown.iter().copied().filter(|server| is_floor(server)).collect();
    head.extend(floors.iter().map(|floor| format!("Chaski to {}", floor_title(floor))));
    head.extend(
        shown.iter().filter(|server| is_peer(server)).map(|server| format!("{} to Chaski", server.title)),
    );
    let mut table = vec![head];
    for measure in &MEASURES {
        for load in measure.loads {
            let figure = |server: &str| measure.of(comparison, load, server);
            if shown.iter().all(|server| figure(&server.name).is_none()) {
                continue;
            }
            let title = comparison.load_title(load).unwrap_or(load);
            let mut row = vec![format!("{}: {title}", measure.title)];
            row.extend(shown.iter().map(|server| cell(figure(&server.name), |it| amount(it, measure.unit))));
            for floor in &floors {
                row.push(cell(quotient(figure("chaski"), figure(&floor.name)), ratio));
            }
            for peer in shown.iter().filter(|server| is_peer(server)) {
                row.push(cell(quotient(figure(&peer.name), figure("chaski")), ratio));
            }
            table.push(row);
        }
    }
    table
}

fn is_floor(server: &Server) -> bool {
    server.name.starts_with("floor")
}

fn floor_title(floor: &Server) -> &'static str {
    if floor.name == "floor" { "floor" } else { "floor with acks" }
}

fn is_peer(server: &Server) -> bool {
    !is_floor(server) && !server.name.starts_with("chaski")
}

fn quotient(dividend: Option<f64>, divisor: Option<f64>) -> Option<f64> {
    Some(dividend? / divisor.filter(|divisor| *divisor > 0.0)?)
}

fn cell(figure: Option<f64>, text: impl Fn(f64) -> String) -> String {
    figure.map_or_else(|| "–".into(), text)
}

/// Which versions and settings.
pub(super) fn settings(comparison: &Comparison) -> Table {
    let mut table = vec![vec![String::new(), "version".into(), "settings".into()]];
    for server in &comparison.servers {
        table.push(vec![server.title.clone(), server.version.clone(), server.settings.clone()]);
    }
    table
}

/// The figures of one run.
pub(super) fn run(report: &Report) -> Table {
    let figures = &report.figures;
    let mut table = vec![vec![String::new(), String::new()]];
    let mut row = |title: &str, figure: Option<f64>, unit: Unit| {
        if let Some(figure) = figure {
            table.push(vec![title.into(), amount(figure, unit)]);
        }
    };
    row("sessions", Some(figures.sessions as f64), Unit::Count);
    row("messages delivered per second", figures.messages_per_s, Unit::Count);
    row("stanzas delivered per second", figures.deliveries_per_s, Unit::Count);
    row("logins per second", figures.logins_per_s, Unit::Count);
    row("server CPU per message", figures.server_cpu_us_per_message, Unit::Us);
    row("server CPU per login", figures.server_cpu_us_per_login, Unit::Us);
    row("resident memory per session", figures.server_resident_bytes_per_session, Unit::Bytes);
    row("server CPU (100 % is one processor)", report.server.map(|server| server.cpu_percent), Unit::Percent);
    for (kind, latency) in report.latencies.iter().filter(|(_, latency)| latency.count > 0) {
        let kind = kind.replace('_', " ");
        row(&format!("{kind}, median"), Some(latency.p50_us as f64), Unit::Us);
        row(&format!("{kind}, 99th percentile"), Some(latency.p99_us as f64), Unit::Us);
    }
    row("lost", Some(figures.lost as f64), Unit::Count);
    table
}

fn table_text(table: &Table) -> String {
    let mut text = String::new();
    for (index, row) in table.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = format!("# Page\n\n{BEGIN}\nold\n{END}\n\nrest\n");
        let new = put(&page, "new\n\n").unwrap();
        assert_eq!(new, format!("# Page\n\n{BEGIN}\nnew\n{END}\n\nrest\n"));
        assert_eq!(put(&new, "new").unwrap(), new);
        assert_eq!(put("", "new").unwrap(), format!("{BEGIN}\nnew\n{END}\n"));
        assert_eq!(put("# Page\n", "new").unwrap(), format!("# Page\n\n{BEGIN}\nnew\n{END}\n"));
        assert!(put(BEGIN, "new").is_err());
        assert!(put(&format!("{END}{BEGIN}"), "new").is_err());
    }

    #[test]
    fn a_cell_can_not_end_its_table() {
        let table = vec![vec!["a".into(), "b".into()], vec!["x|y".into(), "two\nlines".into()]];
        assert_eq!(table_text(&table), "| a | b |\n|---|---|\n| x\\|y | two lines |\n");
    }
}
