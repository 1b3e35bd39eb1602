//! `chaski bench`: load and faults for a server on this machine, and what came of it.

use crate::cli::bench::{Accounts, Bench, BenchCommand, Crash, Floor, Idle, Load, Pairs, Report};
use crate::failure::Failure;
use chaski_bench::{accounts, crash, floor, idle, load, pairs, report};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) fn run(args: &Bench) -> Result<ExitCode, Failure> {
    super::serve::raise_open_files();
    if let BenchCommand::Floor(floor) = &args.command {
        return run_floor(floor);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match &args.command {
            BenchCommand::Crash(crash) => run_crash(args, crash).await,
            BenchCommand::Pairs(pairs) => run_pairs(args, pairs).await,
            BenchCommand::Idle(idle) => run_idle(args, idle).await,
            BenchCommand::Accounts(accounts) => write_accounts(accounts),
            BenchCommand::Floor(floor) => run_floor(floor),
            BenchCommand::Report(report) => run_report(report),
        }
    })
}

async fn run_crash(args: &Bench, crash: &Crash) -> Result<ExitCode, Failure> {
    let seed = crash.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let options = crash::Options {
        binary: binary(crash.binary.as_ref())?,
        dir: crash.data.clone(),
        kills: crash.kills,
        seed,
        peers: crash.peers,
        rate: crash.rate,
        uptime_ms_max: crash.uptime_ms,
        quiet: args.json,
    };
    if !args.json {
        writeln!(
            std::io::stderr(),
            "seed {seed}; the server's log is {}",
            crash.data.join("server.log").display()
        )?;
    }
    let report = crash::run(&options).await?;
    let mut lines = vec![format!("{} kills, seed {}: {}", report.kills, report.seed, report.totals)];
    lines.extend(report.violations.iter().map(|violation| format!("VIOLATION  {violation}")));
    lines.push(match report.violations_total {
        0 => "Passed: everything that was accepted was delivered, once in order; duplicates only with an equal stanza-id.".into(),
        count => format!("FAILED: {count} violations."),
    });
    say(args, &report, &lines)?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_pairs(args: &Bench, typed: &Pairs) -> Result<ExitCode, Failure> {
    let options = pairs::Options {
        load: load_of(args, &typed.load)?,
        pairs: typed.pairs,
        in_flight: typed.in_flight,
        seconds: typed.seconds.max(1),
        body_bytes: typed.body,
    };
    let report = pairs::run(&options).await?;
    let latency = |what: &str, it: &pairs::Latency| {
        let ms = |us: u64| us as f64 / 1000.0;
        let (p50, p99, p999, max) = (ms(it.p50_us), ms(it.p99_us), ms(it.p999_us), ms(it.max_us));
        format!("{what:<12} p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, slowest {max:.2} ms")
    };
    let tls = if report.tls { "TLS" } else { "plain" };
    let mut lines = vec![
        format!(
            "{} pairs, {} in flight each, {tls}, {:.1} s",
            report.pairs, report.in_flight, report.seconds
        ),
        format!("throughput   {:.0} messages/s ({} delivered)", report.messages_per_s, report.delivered),
    ];
    lines.extend(report.server_cpu_us_per_message.map(|us| format!("server CPU   {us:.1} µs per message")));
    lines.push(latency("delivery", &report.delivery));
    lines.push(latency("acceptance", &report.acceptance));
    say(args, &report, &lines)?;
    Ok(ExitCode::SUCCESS)
}

async fn run_idle(args: &Bench, typed: &Idle) -> Result<ExitCode, Failure> {
    let options = idle::Options { load: load_of(args, &typed.load)?, sessions: typed.sessions };
    let report = idle::run(&options).await?;
    let tls = if report.tls { "TLS" } else { "plain" };
    let lines = [
        format!("{} sessions, {tls}", report.sessions),
        format!("memory       {:.0} resident bytes per session", report.resident_bytes_per_session),
        format!(
            "logins       {:.0} per second, {:.0} µs of server CPU each",
            report.logins_per_s, report.server_cpu_us_per_login
        ),
    ];
    say(args, &report, &lines)?;
    Ok(ExitCode::SUCCESS)
}

fn run_floor(typed: &Floor) -> Result<ExitCode, Failure> {
    let options = floor::Options { listen: typed.listen, threads: typed.threads, own_tables: true };
    let floor = floor::Floor::start(&options)?;
    writeln!(std::io::stdout(), "Ready. The floor listens on {}.", floor.address())?;
    floor.join();
    Ok(ExitCode::SUCCESS)
}

fn run_report(typed: &Report) -> Result<ExitCode, Failure> {
    let written = report::run(&report::Options {
        inputs: typed.results.clone(),
        html: typed.html.clone(),
        svg_dir: typed.svg_dir.clone(),
        markdown: typed.markdown.clone(),
        plots_at: typed.plots_at.clone(),
    })?;
    let mut out = std::io::stdout().lock();
    written.iter().try_for_each(|path| writeln!(out, "{}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write_accounts(typed: &Accounts) -> Result<ExitCode, Failure> {
    if typed.count > accounts::ACCOUNTS_MAX {
        return Err(Failure::new(format_args!("there are at most {} accounts", accounts::ACCOUNTS_MAX)));
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    accounts::write(typed.seed, typed.count, &mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn load_of(args: &Bench, typed: &Load) -> Result<load::Load, Failure> {
    let running = typed.server.as_deref().map(|server| {
        let (host, port) = load::host_and_port(server)?;
        Ok::<_, chaski_bench::BenchError>(load::RunningServer {
            host,
            port,
            domain: typed.domain.clone(),
            pid: typed.pid,
            ca: typed.ca.clone(),
            is_own: typed.i_own_this_server,
        })
    });
    Ok(load::Load {
        binary: binary(None)?,
        dir: typed.data.clone(),
        running: running.transpose()?,
        tls: typed.tls,
        seed: typed.seed,
        quiet: args.json,
    })
}

/// The server's program: this one, unless another is named.
fn binary(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match named {
        Some(path) => Ok(path.clone()),
        None => Ok(std::env::current_exe()?),
    }
}

fn say(args: &Bench, report: &impl Serialize, lines: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
    } else {
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(())
}
