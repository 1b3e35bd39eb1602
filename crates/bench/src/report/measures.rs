//! Which figures of a comparison are shown, and where each is found.

use super::amount::Unit;
use super::comparison::{Comparison, Server};
use crate::result::Report;

/// One figure.
pub(super) struct Measure {
    /// What people read.
    pub(super) title: &'static str,
    /// Under which loads.
    pub(super) loads: &'static [&'static str],
    pub(super) unit: Unit,
    pub(super) figure: fn(&Report) -> Option<f64>,
    /// A word for file names; `None`: no plot.
    pub(super) plot: Option<&'static str>,
    /// What the plot's axis says.
    pub(super) axis: &'static str,
}

const IDLE: &[&str] = &["idle-plain", "idle-tls"];
const PRESENCE: &[&str] = &["presence"];
const MESSAGES: &[&str] = &["pairs-4", "pairs-1", "open"];

/// All of them, in their order.
pub(super) const MEASURES: [Measure; 10] = [
    Measure {
        title: "resident memory per idle session",
        loads: IDLE,
        unit: Unit::Bytes,
        figure: |report| report.figures.server_resident_bytes_per_session,
        plot: Some("memory"),
        axis: "server's resident bytes per session",
    },
    Measure {
        title: "server CPU per login",
        loads: IDLE,
        unit: Unit::Us,
        figure: |report| report.figures.server_cpu_us_per_login,
        plot: Some("login"),
        axis: "server's CPU time, user and system, per login",
    },
    Measure {
        title: "server CPU per message",
        loads: MESSAGES,
        unit: Unit::Us,
        figure: |report| report.figures.server_cpu_us_per_message,
        plot: Some("message"),
        axis: "server's CPU time, user and system, per message delivered",
    },
    Measure {
        title: "messages per second",
        // The open loop's rate is given.
        loads: &["pairs-4", "pairs-1"],
        unit: Unit::Count,
        figure: |report| report.figures.messages_per_s,
        plot: Some("throughput"),
        axis: "messages delivered per second, generator on the same processors",
    },
    Measure {
        title: "server CPU meanwhile (100 % is one processor)",
        loads: &["pairs-4"],
        unit: Unit::Percent,
        figure: |report| Some(report.server?.cpu_percent),
        plot: None,
        axis: "",
    },
    Measure {
        title: "delivery latency, 99th percentile",
        loads: &["open"],
        unit: Unit::Us,
        figure: |report| Some(report.latencies.get("delivery").filter(|it| it.count > 0)?.p99_us as f64),
        plot: None,
        axis: "",
    },
    Measure {
        title: "server CPU per presence update delivered",
        loads: PRESENCE,
        unit: Unit::Us,
        figure: |report| report.figures.server_cpu_us_per_presence,
        plot: Some("presence"),
        axis: "server's CPU time, user and system, per presence update delivered",
    },
    Measure {
        title: "presence updates delivered per second",
        loads: PRESENCE,
        unit: Unit::Count,
        figure: |report| report.figures.presence_per_s,
        plot: None,
        axis: "",
    },
    Measure {
        title: "presence latency, 99th percentile",
        loads: PRESENCE,
        unit: Unit::Us,
        figure: |report| Some(report.latencies.get("presence").filter(|it| it.count > 0)?.p99_us as f64),
        plot: None,
        axis: "",
    },
    Measure {
        title: "durable acceptance, 99th percentile",
        loads: &["half"],
        unit: Unit::Us,
        figure: |report| Some(report.latencies.get("acceptance").filter(|it| it.count > 0)?.p99_us as f64),
        plot: None,
        axis: "",
    },
];

impl Measure {
    /// The figure of a server under a load.
    pub(super) fn of(&self, comparison: &Comparison, load: &str, server: &str) -> Option<f64> {
        comparison.report(load, server).and_then(self.figure).filter(|figure| figure.is_finite())
    }
}

/// A server's colour: its own if it is known, whichever others are there.
pub(super) fn colour(servers: &[Server], name: &str) -> usize {
    const KNOWN: [&str; 6] = ["floor", "chaski", "chaski-no-acks", "ejabberd", "prosody", "floor-acks"];
    let known = KNOWN.iter().position(|known| *known == name);
    known.unwrap_or_else(|| servers.iter().position(|server| server.name == name).unwrap_or(0) + KNOWN.len())
}
