//! `chaski bench …` as clap sees it.

use chaski_bench::hostile::Part;
use chaski_bench::hostile::account::{ACTS, Act};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Answer in JSON, for programs; no progress
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Messages between pairs of sessions: throughput, CPU per message, latency
    Pairs(Pairs),
    /// Sessions that do nothing: memory for each
    Idle(Idle),
    /// Everybody reconnects at once, while others stay and go on
    Login(Login),
    /// A day in a messenger: sessions, logins, messages and typing at stated rates
    Mixed(Mixed),
    /// Status updates, told to everybody's contacts
    Presence(Presence),
    /// Far more messages than the server can do, then rest, then normal traffic
    Overload(Overload),
    /// A hostile account and a hostile address, held to a share of a processor: what neighbours notice of them
    Hostile(Box<Hostile>),
    /// Upload, fetch and fetch parts of files, on a server of its own or with --url on another; what it takes of the server
    Media(Media),
    /// Ask a server of its own in every way who is registered; no answer and no time may tell
    Oracle(Oracle),
    /// The hostile process of `hostile`
    #[command(hide = true)]
    Attack(Attack),
    /// Write the accounts that pairs and idle use, for `chaski ctl account import -` on a server of your own
    Accounts(Accounts),
    /// Kill a server of its own at random moments under load; no accepted message may be lost
    Crash(Crash),
    /// Wear a server of its own out: logins, resumptions, bursts, removals, for long; nothing may break, memory must stay flat
    Soak(Soak),
    /// The least a messaging server can do, to compare servers with: reads, looks the addressee up, writes
    Floor(Floor),
    /// Plots and tables of what --json and bench/compare wrote
    Report(Report),
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Files of results
    #[arg(value_name = "RESULTS", required = true)]
    pub(crate) results: Vec<PathBuf>,
    /// Write a page with everything
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the plots, one file each
    #[arg(long, value_name = "DIR")]
    pub(crate) svg_dir: Option<PathBuf>,
    /// Write tables between the markers <!-- compare:begin --> and <!-- compare:end --> of this page
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Refer to the plots there, as seen from that page
    #[arg(long, value_name = "DIR", requires = "markdown")]
    pub(crate) plots_at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Floor {
    /// Where to listen; loopback only, since it trusts everybody
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5299")]
    pub(crate) listen: std::net::SocketAddr,
    /// How many threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) threads: usize,
    /// Do a relay's half of stream management too: count and answer <r/>, and ask behind messages, at most every 2 seconds
    #[arg(long)]
    pub(crate) acks: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Crash {
    /// An empty directory, or one of an earlier run, for the server and its log
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// How many times to kill
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) kills: u32,
    /// Repeats the random choices of an earlier run
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many clients, each of which sends and receives
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) peers: usize,
    /// Messages per second and client
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) rate: u32,
    /// Longest life of a server that is ready
    #[arg(long, value_name = "MS", default_value_t = 1_500)]
    pub(crate) uptime_ms: u64,
    /// The server's program, if it is not this one
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// An empty directory, or one of an earlier run, for the server and its log
    #[arg(long, value_name = "DIR", default_value = "./chaski-bench")]
    pub(crate) data: PathBuf,
    /// For how long
    #[arg(long, value_name = "S", default_value_t = 1_800)]
    pub(crate) seconds: u64,
    /// Repeats the random choices of an earlier run
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many clients, each of which sends and receives
    #[arg(long, value_name = "N", default_value_t = 48)]
    pub(crate) peers: usize,
    /// Messages per second and client
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) rate: u32,
    /// The server's program, if it is not this one
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}

/// Where the load goes: without --server to a server of its own, started for the run.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// An empty directory, or one of an earlier run, for a server of its own
    #[arg(long, value_name = "DIR", default_value = "./chaski-bench")]
    pub(crate) data: PathBuf,
    /// Shards of a server of its own
    #[arg(long, value_name = "N")]
    pub(crate) shards: Option<u32>,
    /// More configuration for a server of its own, without listeners, [http] and [log]
    #[arg(long, value_name = "FILE")]
    pub(crate) server_config: Option<PathBuf>,
    /// A server that runs already and has the accounts of `chaski bench accounts`; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) server: Vec<String>,
    /// That server's domain
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub(crate) domain: String,
    /// That server's process, so that its CPU and memory can be read; may be given several times
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Vec<u32>,
    /// That server's certificate authority
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Leave to load a server on another machine
    #[arg(long)]
    pub(crate) i_own_this_server: bool,
    /// Direct TLS, instead of the listener for a TLS terminator
    #[arg(long)]
    pub(crate) tls: bool,
    /// STARTTLS
    #[arg(long, conflicts_with = "tls")]
    pub(crate) starttls: bool,
    /// Let TLS sessions be resumed by ticket, each account its own
    #[arg(long)]
    pub(crate) tls_resumption: bool,
    /// Without stream management (XEP-0198) even where the server offers it
    #[arg(long)]
    pub(crate) no_sm: bool,
    /// Without presence
    #[arg(long)]
    pub(crate) no_presence: bool,
    /// Log in without waiting for answers that are known (XEP-0305)
    #[arg(long)]
    pub(crate) pipelined: bool,
    /// Log in, bind and switch stream management on in one exchange (XEP-0388, XEP-0386)
    #[arg(long, conflicts_with = "pipelined")]
    pub(crate) sasl2: bool,
    /// Come back by a token in one message (XEP-0484); the first time as with --sasl2
    #[arg(long, conflicts_with_all = ["pipelined", "sasl2"])]
    pub(crate) fast: bool,
    /// Only this login mechanism: plain, scram-sha-1 or scram-sha-256 (default: the strongest offered)
    #[arg(long, value_name = "NAME")]
    pub(crate) sasl: Option<String>,
    /// Generator threads (default: as many as the sessions need)
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<u32>,
    /// Logins under way at once
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) logins_at_once: u32,
    /// Logins per second at most, when everybody logs in (default: as fast as they go)
    #[arg(long, value_name = "N")]
    pub(crate) login_rate: Option<f64>,
    /// Whence the accounts' keys follow
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The server's name in the report
    #[arg(long, value_name = "NAME", default_value = "chaski")]
    pub(crate) label: String,
}

#[derive(Debug, Args)]
pub(crate) struct Pairs {
    #[command(flatten)]
    pub(crate) load: Load,
    /// How many pairs
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) pairs: u32,
    /// Closed loop: messages in flight per pair
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) in_flight: u32,
    /// Open loop instead: messages per second over all pairs; latency counts from the intended time
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    pub(crate) rate: Option<f64>,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Length of each message's text
    #[arg(long, value_name = "BYTES", default_value_t = 40)]
    pub(crate) body: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) load: Load,
    /// How many sessions
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub(crate) sessions: u32,
    /// How long to hold them
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    pub(crate) load: Load,
    /// How many sessions are cut
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub(crate) sessions: u32,
    /// How many stay
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) stay: u32,
    /// Messages per second by those who stay, half of them to sessions that are cut
    #[arg(long, value_name = "N", default_value_t = 500.0)]
    pub(crate) rate: f64,
    /// Logins per second on coming back (default: as fast as they go)
    #[arg(long, value_name = "N")]
    pub(crate) return_rate: Option<f64>,
    /// Those who come back log in anew instead of resuming (XEP-0198)
    #[arg(long)]
    pub(crate) no_resume: bool,
    /// One run after the other for each way to log in: classic, pipelined, sasl2, fast
    #[arg(long, conflicts_with_all = ["pipelined", "sasl2", "fast"])]
    pub(crate) compare: bool,
    /// How long to measure before the cut, and after all are back
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Mixed {
    #[command(flatten)]
    pub(crate) load: Load,
    /// How many sessions
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub(crate) sessions: u32,
    /// Messages per second
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    pub(crate) rate: f64,
    /// Typing notifications per message: with 1.2 there are 2.2 deliveries per message
    #[arg(long, value_name = "N", default_value_t = 1.2)]
    pub(crate) typing: f64,
    /// Logins per second: so many sessions end and come back
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    pub(crate) logins: f64,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Presence {
    #[command(flatten)]
    pub(crate) load: Load,
    /// How many accounts, each with one session
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) accounts: u32,
    /// How many contacts each has; made at the beginning, by asking and agreeing
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) contacts: u32,
    /// How many are asked, and agree, per second
    #[arg(long, value_name = "N", default_value_t = 2_000.0)]
    pub(crate) acquaint_rate: f64,
    /// The contacts have been made by an earlier run on the same server
    #[arg(long, requires = "server")]
    pub(crate) acquainted: bool,
    /// Status updates per second, over all
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    pub(crate) rate: f64,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Overload {
    #[command(flatten)]
    pub(crate) load: Load,
    /// How many pairs
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) pairs: u32,
    /// Messages per second, more than the server can do
    #[arg(long, value_name = "N", default_value_t = 300_000.0)]
    pub(crate) rate: f64,
    /// For how long
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Messages per second of normal traffic, before and after
    #[arg(long, value_name = "N", default_value_t = 1_000.0)]
    pub(crate) normal_rate: f64,
    /// How long normal traffic is measured, each time
    #[arg(long, value_name = "S", default_value_t = 5)]
    pub(crate) normal_seconds: u64,
    /// Rest after the overload
    #[arg(long, value_name = "S", default_value_t = 10)]
    pub(crate) rest: u64,
    /// Length of each message's text
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub(crate) body: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Accounts {
    /// How many
    #[arg(long, value_name = "N")]
    pub(crate) count: usize,
    /// Whence their keys follow
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Hostile {
    #[command(flatten)]
    pub(crate) load: Load,
    /// How many pairs of neighbours
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) pairs: u32,
    /// Messages per second, over all neighbours
    #[arg(long, value_name = "N", default_value_t = 500.0)]
    pub(crate) rate: f64,
    /// Logins per second by others, whose accounts are not in memory
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    pub(crate) visits: f64,
    /// How much of a processor the hostile process has
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    pub(crate) processor_share: f64,
    /// How long each part takes: idle, account, address
    #[arg(long, value_name = "S", default_value_t = 300)]
    pub(crate) seconds: u64,
    /// Whose server, if it is not this program's: to compare two
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// Only this besides idling: account or network
    #[arg(long, value_name = "PART", value_parser = part)]
    pub(crate) only: Option<Part>,
    /// What the hostile account does, if not everything: publish,flip-presence, say
    #[arg(long, value_name = "ACT,...", value_delimiter = ',', value_parser = act)]
    pub(crate) acts: Vec<Act>,
    /// Each of these for itself, one after the other, on all of its sessions: which costs others most?
    #[arg(long)]
    pub(crate) acts_alone: bool,
    /// A page to be written: latency, memory and disk, second by second
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// The hostile address, one of this machine's; budgets by network show only outside of 127.0.0.0/8
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.66.6")]
    pub(crate) from: std::net::Ipv4Addr,
}

#[derive(Debug, Args)]
pub(crate) struct Media {
    /// An empty directory, or one of an earlier run, for the server and its log
    #[arg(long, value_name = "DIR", default_value = "./chaski-bench")]
    pub(crate) data: PathBuf,
    /// Another server instead, where files are put and got below this URL without slots (HOST:PORT is the load's only address)
    #[arg(long, value_name = "http[s]://127.0.0.1:PORT/PATH", requires = "pid")]
    pub(crate) url: Option<String>,
    /// Its processes
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    /// Over TLS (of a server of its own)
    #[arg(long)]
    pub(crate) tls: bool,
    /// How many files
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) files: u64,
    /// How often each is fetched
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) gets: u64,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) connections: u64,
    /// Slow downloads at once, of which the memory is measured
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=4_000))]
    pub(crate) slow: u64,
    /// Seconds of messages, first alone and then beside files (of a server of its own, held to one processor)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) chat_seconds: u64,
    /// Decides about everything that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The server's program, if it is not this one
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Oracle {
    /// An empty directory, or one of an earlier run, for the server and its log
    #[arg(long, value_name = "DIR", default_value = "./chaski-bench")]
    pub(crate) data: PathBuf,
    /// How many probes in each way, half of them about numbers that nobody has
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) probes: usize,
    /// How many numbers have an account; as many others are asked about
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) accounts: usize,
    /// Only ways of asking whose name begins so
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) ways: Vec<String>,
    /// Judge bytes and order alone, and only say what time tells
    #[arg(long)]
    pub(crate) untimed: bool,
    /// Decides about everything that is random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The server's program, if it is not this one
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Attack {
    /// idle, account or network
    #[arg(long, value_parser = part)]
    pub(crate) part: Part,
    /// Of the server on 127.0.0.1: without TLS, with TLS, HTTP
    #[arg(long, value_delimiter = ',')]
    pub(crate) ports: Vec<u16>,
    /// Whence keys follow
    #[arg(long)]
    pub(crate) seed: u64,
    /// The hostile account
    #[arg(long)]
    pub(crate) account: u32,
    /// What it does
    #[arg(long, value_delimiter = ',', value_parser = act)]
    pub(crate) acts: Vec<Act>,
    /// Where strangers' connections come from
    #[arg(long)]
    pub(crate) from: std::net::Ipv4Addr,
}

fn part(name: &str) -> Result<Part, String> {
    Part::from_name(name).ok_or_else(|| "it is idle, account or network".into())
}

fn act(name: &str) -> Result<Act, String> {
    let known = || ACTS.map(Act::name).join(", ");
    Act::from_name(name).ok_or_else(|| format!("it is one of {}", known()))
}
