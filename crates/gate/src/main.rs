//! The gate: can NATS JetStream carry the replicated journal?
//!
//! Three servers on loopback, a log for each of three would-be nodes, a publisher and two followers for each log. It measures what that costs
//! ([`rates`]), kills two of three servers under load ([`kills`]), and cuts the power of their disks ([`cuts`]). `bench/gate` installs the servers and
//! runs it; docs/performance.md has its figures.
//!
//! A crate of its own, so that neither the client library of NATS nor FUSE becomes a dependency of `chaski` or of the tests of `chaski-bench`; it
//! knows none of our crates. Promises: what it started it ends, what it mounted it unmounts, and every wait has a bound. It ends with status 0 if
//! every point that was tried passed, with 1 if one did not, with 2 if it could not be tried.

mod api;
mod audit;
mod clock;
mod cluster;
mod cuts;
mod disk;
mod follower;
mod frame;
mod ground;
mod kills;
mod ledger;
mod machine;
mod publisher;
mod rates;
mod report;
mod stage;
mod stats;

use anyhow::{Context, Result, bail};
use clap::Parser;
use cluster::Sync;
use disk::Names;
use ground::Plan;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Whether NATS JetStream can carry Chaski's replicated journal: what it costs, and what kills and power cuts do to it.
#[derive(Debug, Parser)]
#[command(name = "gate")]
struct Arguments {
    /// The server's program, 2.15.1 or newer.
    #[arg(long, value_name = "FILE", default_value = "target/gate/venv/bin/nats-server")]
    nats: PathBuf,
    /// Where the servers' folders are made, and emptied.
    #[arg(long, value_name = "DIR", default_value = "target/gate/run")]
    dir: PathBuf,
    /// How long each rate is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How often each rate is measured; 0: not at all.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// The two rates, messages a second over all logs.
    #[arg(long, value_name = "SLOW,FAST", value_delimiter = ',', num_args = 2, default_value = "4000,8000")]
    rates: Vec<u32>,
    /// Between two frames of a log.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    pace_ms: u64,
    /// How followers read.
    #[arg(long, value_enum, default_value = "republish")]
    reading: stage::Reading,
    /// How often two of three servers are killed; 0: not at all.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// How often the power of the disks is cut; 0: not at all.
    #[arg(long, default_value_t = 20)]
    cuts: u32,
    /// How often, on disks that keep a name only if its folder was synced, which file systems with a journal don't need. Tells, and decides nothing.
    #[arg(long, default_value_t = 4)]
    strict: u32,
    /// How often, with servers that sync every two minutes, where acknowledged frames must be lost.
    #[arg(long, default_value_t = 3)]
    bites: u32,
    /// Messages a second over all logs while servers are killed and disks cut.
    #[arg(long, default_value_t = 6000)]
    rate: u32,
    /// How long a log may take to accept again.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    bound: u64,
    /// How long to wait, in all, until nobody else needs the processors.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    patience: u64,
    /// Decides when servers are killed and what cuts take.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where everything is written as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Progress, for whoever waits.
#[expect(clippy::print_stderr, reason = "a program speaks to its user")]
pub(crate) fn say(words: &str) {
    eprintln!("{words}");
}

#[expect(clippy::print_stdout, reason = "a program speaks to its user")]
fn print(words: &str) {
    println!("{words}");
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match gate(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("gate: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Does what was asked. False: a point did not pass.
fn gate(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            done = run(arguments) => return done,
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        bail!("interrupted; the servers are ended and the disks unmounted")
    })
}

async fn run(arguments: &Arguments) -> Result<bool> {
    let [slow, fast] = arguments.rates[..] else { bail!("--rates wants two, as in 4000,8000") };
    std::fs::create_dir_all(&arguments.dir)
        .with_context(|| format!("can't make {}", arguments.dir.display()))?;
    let plan = Plan {
        binary: arguments.nats.clone(),
        // Absolute, since the servers have their own idea of where they are.
        dir: arguments.dir.canonicalize()?,
        reading: arguments.reading,
        pace: Duration::from_millis(arguments.pace_ms.max(1)),
        rate: arguments.rate,
        bound: Duration::from_secs(arguments.bound),
        seed: arguments.seed,
    };
    let mut report = Report {
        nats: cluster::version(&plan.binary)?,
        processors: std::thread::available_parallelism()?.get(),
        options: format!("{arguments:?}"),
        rates_per_s: [slow.min(fast), slow.max(fast)],
        rates: None,
        kills: None,
        cuts: None,
        bite: None,
        strict: None,
    };
    parts(arguments, &plan, &mut report).await?;
    if let Some(file) = &arguments.json {
        let all = serde_json::json!({ "verdicts": report.verdicts(), "report": report });
        std::fs::write(file, serde_json::to_vec_pretty(&all)?)
            .with_context(|| format!("can't write {}", file.display()))?;
    }
    print(&report.text());
    Ok(report.verdicts().iter().all(|verdict| verdict.passed))
}

async fn parts(arguments: &Arguments, plan: &Plan, report: &mut Report) -> Result<()> {
    if arguments.rounds > 0 {
        say(&format!(
            "What it costs: {} rounds of two rates, {} s each",
            arguments.rounds, arguments.seconds
        ));
        let options = rates::Options {
            rates: report.rates_per_s,
            rounds: arguments.rounds,
            seconds: arguments.seconds,
            patience: Duration::from_secs(arguments.patience),
        };
        report.rates = Some(rates::run(plan, &options).await?);
    }
    if arguments.kills > 0 {
        say(&format!("Two of three servers killed under load, {} times", arguments.kills));
        report.kills = Some(kills::run(plan, arguments.kills).await?);
    }
    if arguments.cuts > 0 {
        say(&format!("Power cuts, {}", arguments.cuts));
        let mut all = cuts::run(plan, Names::Journaled, arguments.cuts.div_ceil(2)).await?;
        if arguments.cuts > 1 && all.passed() {
            all.add(cuts::run(plan, Names::Own, arguments.cuts / 2).await?);
        }
        report.cuts = Some(all);
    }
    if arguments.bites > 0 {
        say(&format!("Power cuts with servers that sync every two minutes, {}", arguments.bites));
        report.bite = Some(cuts::apart(plan, Sync::Default, Names::Journaled, arguments.bites).await?);
    }
    if arguments.strict > 0 {
        say(&format!("Power cuts on strict disks, {}", arguments.strict));
        report.strict = Some(cuts::apart(plan, Sync::Always, Names::Strict, arguments.strict).await?);
    }
    Ok(())
}
