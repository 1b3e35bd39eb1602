//! What a run of the load generator says in the end: one [`Report`] whatever the scenario.
//!
//! Made by the scenarios, printed as one JSON object by `chaski bench … --json`, read again by whoever draws plots. Fields are only
//! ever added, and all have defaults, so that reports of other versions can be read. A figure that a scenario does not
//! measure is absent (`None`), never 0. Times in a name's unit, units last.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which load it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Sessions that do nothing.
    #[default]
    Idle,
    /// Messages between pairs of sessions.
    Pairs,
    /// Everybody reconnects.
    Login,
    /// A day in a messenger, in small.
    Mixed,
    /// More than the server can do.
    Overload,
    /// Presence, told to contacts.
    Presence,
    /// Everything that wears a server out, for long.
    Soak,
    /// A hostile account and a hostile address among neighbours.
    Hostile,
}

/// A whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Which load.
    pub scenario: Scenario,
    /// Which server, as named by `--label`; else `chaski`.
    pub label: String,
    /// What was asked for.
    pub options: Options,
    /// Over the measured time.
    pub figures: Figures,
    /// By what was timed: `login`, `delivery`, `acceptance`, `recovery` (cut to live again), `login_back` (of those who come
    /// back, from their connection on), and per phase of a scenario
    /// `delivery_before`, `delivery_during`, `delivery_after` (to sessions that stay), `delivery_to_cut` (to those that
    /// were cut, the time away included); `presence` for status updates; per part of `hostile` `delivery_idle`, `visit_idle` and so on.
    pub latencies: BTreeMap<String, Latency>,
    /// The server's processes, over the measured time; absent if they are not known.
    pub server: Option<ProcessUse>,
    /// The load generator's process, over the measured time.
    pub generator: ProcessUse,
    /// One a second from the first login to the end.
    pub series: Vec<Sample>,
    /// Names for moments in [`Report::series`]: `logged_in`, `measured`, `cut`, `back`, `stopped`.
    pub marks: Vec<Mark>,
    /// Verdict: what is wrong, in words; empty if all is well (nothing lost, nobody refused who should not be).
    pub complaints: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Sessions in all.
    pub sessions: u64,
    /// How: `plain`, `starttls` or `tls`.
    pub transport: String,
    /// Whether stream management was asked for.
    pub stream_management: bool,
    /// How sessions logged in: `classic`, `pipelined` (XEP-0305), `sasl2` (XEP-0388), `fast` (XEP-0484); empty is classic.
    pub way: String,
    /// Whether TLS sessions were resumed by ticket.
    pub tls_resumption: bool,
    /// The login mechanism that was used, e.g. `SCRAM-SHA-256`.
    pub mechanism: String,
    /// Generator threads.
    pub threads: u64,
    /// The server's shards, of a server of our own and if it was said.
    pub shards: Option<u64>,
    /// Seconds to measure.
    pub seconds: u64,
    /// Closed loop: messages in flight per pair.
    pub in_flight: Option<u64>,
    /// Open loop: messages per second, over all.
    pub rate_per_s: Option<f64>,
    /// Logins per second allowed; absent: as fast as they go.
    pub logins_per_s: Option<f64>,
    /// Sessions that were cut (`login`).
    pub cut_sessions: Option<u64>,
    /// Whether cut sessions resume (XEP-0198).
    pub resume: Option<bool>,
    /// Bytes of a message's text; absent: distributed as in a messenger.
    pub body_bytes: Option<u64>,
    /// Contacts of each account (`presence`).
    pub contacts: Option<u64>,
    /// The model of the traffic, in words (`mixed`).
    pub model: Option<String>,
}

/// The figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// How long was measured.
    pub measured_s: f64,
    /// Sessions that were live when measuring began.
    pub sessions: u64,
    /// Logins done in the whole run, the first ones included.
    pub logins: u64,
    /// Logins that failed.
    pub login_failures: u64,
    /// Sessions that the server or the system cut without being asked.
    pub sessions_lost: u64,
    /// Logins per second: of the first logins (`idle`, `pairs`), of the return (`login`), while measuring (`mixed`).
    pub logins_per_s: Option<f64>,
    /// Server CPU per login, µs; from times when there is nothing but logins.
    pub server_cpu_us_per_login: Option<f64>,
    /// Server CPU per login of those who came back (`login`), µs; what those who stay cost in that time is in it.
    pub server_cpu_us_per_return: Option<f64>,
    /// Messages sent (all message counts: in the measured time, without typing notifications).
    pub sent: u64,
    /// Open loop: messages that were intended and that no session could send, because the server does not read or accept.
    pub unsent: u64,
    /// Messages that the server accepted (XEP-0198 acknowledgement); absent: no stream management.
    pub accepted: Option<u64>,
    /// Messages that came back as errors.
    pub refused: u64,
    /// Messages delivered, each counted once.
    pub delivered: u64,
    /// Deliveries of a message that was delivered already.
    pub duplicates: u64,
    /// Accepted, not refused, and not delivered when the run ended, grace included.
    pub lost: u64,
    /// Sent, and neither accepted nor refused when the run ended, grace included; absent: no stream management.
    pub not_accepted: Option<u64>,
    /// Stanzas of any kind that the server delivered: messages, typing, receipts, presence.
    pub deliveries: u64,
    /// Messages delivered per second.
    pub messages_per_s: Option<f64>,
    /// Stanzas of any kind delivered per second.
    pub deliveries_per_s: Option<f64>,
    /// Server CPU per message delivered, µs.
    pub server_cpu_us_per_message: Option<f64>,
    /// Server memory per session: growth of resident bytes from none to all sessions.
    pub server_resident_bytes_per_session: Option<f64>,
    /// Generator memory per session, likewise.
    pub generator_resident_bytes_per_session: Option<f64>,
    /// `presence`: status updates sent.
    pub presence_sent: Option<u64>,
    /// `presence`: deliveries of them, the senders' own included.
    pub presence_delivered: Option<u64>,
    /// The same per second.
    pub presence_per_s: Option<f64>,
    /// Server CPU per presence update delivered, µs.
    pub server_cpu_us_per_presence: Option<f64>,
    /// `login`: from the cut until all were back.
    pub recovery_s: Option<f64>,
    /// `login`: sessions that came back by resumption.
    pub resumed: Option<u64>,
    /// `login`: those of which the TLS session was resumed, by a ticket.
    pub tls_resumed: Option<u64>,
}

/// Latencies of one kind. Microseconds. Open loop: counted from the intended time, so that a stalled server's
/// latencies are not left out (coordinated omission).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half are quicker.
    pub p50_us: u64,
    /// One in ten is slower.
    pub p90_us: u64,
    /// One in a hundred is slower.
    pub p99_us: u64,
    /// One in a thousand is slower.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// The mean.
    pub mean_us: u64,
}

/// A process's (or several processes') use of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessUse {
    /// CPU time, user and system, in the measured time.
    pub cpu_s: f64,
    /// Of one processor: 200 is two of them.
    pub cpu_percent: f64,
    /// Resident memory before the first session.
    pub resident_bytes_start: u64,
    /// With all sessions, before measuring.
    pub resident_bytes_loaded: u64,
    /// When measuring ended.
    pub resident_bytes_end: u64,
    /// The most that a sample saw.
    pub resident_bytes_max: u64,
}

/// One second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Seconds since the run's first login.
    pub at_s: f64,
    /// Live sessions.
    pub sessions: u64,
    /// Logins per second since the last sample. So are the other rates.
    pub logins_per_s: f64,
    /// Messages sent to the server.
    pub sent_per_s: f64,
    /// Messages accepted.
    pub accepted_per_s: f64,
    /// Messages refused.
    pub refused_per_s: f64,
    /// Messages delivered by the server.
    pub delivered_per_s: f64,
    /// Stanzas of any kind delivered by the server.
    pub deliveries_per_s: f64,
    /// Delivery latency since the last sample; absent if there was no delivery.
    pub p50_us: Option<u64>,
    /// Likewise.
    pub p99_us: Option<u64>,
    /// Server's CPU, of one processor.
    pub server_cpu_percent: Option<f64>,
    /// Server's resident memory.
    pub server_resident_bytes: Option<u64>,
    /// What the files of a server of our own take on disk.
    pub server_disk_bytes: Option<u64>,
    /// Generator's CPU, of one processor.
    pub generator_cpu_percent: f64,
    /// Generator's resident memory.
    pub generator_resident_bytes: u64,
}

/// A moment with a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// As [`Sample::at_s`].
    pub at_s: f64,
    /// See [`Report::marks`].
    pub name: String,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
    }
}

impl Latency {
    /// Of a histogram of microseconds.
    pub fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
            mean_us: histogram.mean() as u64,
        }
    }
}
