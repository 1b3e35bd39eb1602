//! `chaski bench`: load and faults for a server on this machine, and what came of it.

use crate::cli::bench::{
    Accounts, Attack, Bench, BenchCommand, Crash, Floor, Hostile, Idle, Login, Media, Mixed, Oracle,
    Overload, Pairs, Presence, Report, Soak,
};
use crate::failure::Failure;
use chaski_bench::hostile::account::ACTS;
use chaski_bench::load::Way;
use chaski_bench::{
    accounts, crash, floor, hostile, idle, login, media, mixed, oracle, overload, pairs, presence, report,
    result, soak,
};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

mod lines;
mod load;

pub(super) fn run(args: &Bench) -> Result<ExitCode, Failure> {
    super::serve::raise_open_files();
    if let BenchCommand::Floor(floor) = &args.command {
        return run_floor(floor);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match &args.command {
            BenchCommand::Crash(crash) => run_crash(args, crash).await,
            BenchCommand::Soak(soak) => run_soak(args, soak).await,
            BenchCommand::Pairs(pairs) => run_pairs(args, pairs).await,
            BenchCommand::Idle(idle) => run_idle(args, idle).await,
            BenchCommand::Login(login) => run_login(args, login).await,
            BenchCommand::Mixed(mixed) => run_mixed(args, mixed).await,
            BenchCommand::Presence(presence) => run_presence(args, presence).await,
            BenchCommand::Overload(overload) => run_overload(args, overload).await,
            BenchCommand::Hostile(hostile) => run_hostile(args, hostile).await,
            BenchCommand::Media(media) => run_media(args, media).await,
            BenchCommand::Oracle(oracle) => run_oracle(args, oracle).await,
            BenchCommand::Attack(attack) => run_attack(attack).await,
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
        0 => "Passed: no promise was broken (docs/promises.md).".into(),
        count => format!("FAILED: {count} violations."),
    });
    say(args, &report, &lines)?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_soak(args: &Bench, typed: &Soak) -> Result<ExitCode, Failure> {
    let options = soak::Options {
        binary: binary(typed.binary.as_ref())?,
        dir: typed.data.clone(),
        seconds: typed.seconds.max(1),
        peers: typed.peers,
        rate: typed.rate,
        seed: typed.seed.unwrap_or_else(|| rand::random::<u32>().into()),
        quiet: args.json,
    };
    done(args, &soak::run(&options).await?)
}

async fn run_pairs(args: &Bench, typed: &Pairs) -> Result<ExitCode, Failure> {
    let options = pairs::Options {
        load: load::of(args, &typed.load)?,
        pairs: typed.pairs,
        pace: typed.rate.map_or(pairs::Pace::InFlight(typed.in_flight), pairs::Pace::PerSecond),
        seconds: typed.seconds.max(1),
        body_bytes: typed.body,
    };
    done(args, &pairs::run(&options).await?)
}

async fn run_idle(args: &Bench, typed: &Idle) -> Result<ExitCode, Failure> {
    let options = idle::Options {
        load: load::of(args, &typed.load)?,
        sessions: typed.sessions,
        seconds: typed.seconds,
    };
    done(args, &idle::run(&options).await?)
}

async fn run_login(args: &Bench, typed: &Login) -> Result<ExitCode, Failure> {
    if typed.compare {
        return compare_logins(args, typed).await;
    }
    done(args, &login::run(&login_options(args, typed)?).await?)
}

/// One run for each way, each on a server that has just started.
async fn compare_logins(args: &Bench, typed: &Login) -> Result<ExitCode, Failure> {
    let mut reports = Vec::new();
    let all = Way::ALL.map(|way| (way, typed.load.tls_resumption));
    // With TLS, also a phone that has kept everything.
    let best = (Way::Fast, true);
    let best = (typed.load.tls && !all.contains(&best)).then_some(best);
    for (way, tls_resumption) in all.into_iter().chain(best) {
        let mut options = login_options(args, typed)?;
        options.load.way = way;
        options.load.tls_resumption = tls_resumption;
        reports.push(login::run(&options).await?);
    }
    say(args, &reports, &lines::of_ways(&reports))?;
    let all_passed = reports.iter().all(result::Report::passed);
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn login_options(args: &Bench, typed: &Login) -> Result<login::Options, Failure> {
    Ok(login::Options {
        load: load::of(args, &typed.load)?,
        cut: typed.sessions,
        stay: typed.stay,
        rate: typed.rate,
        return_per_s: typed.return_rate,
        resume: !typed.no_resume,
        seconds: typed.seconds.max(1),
    })
}

async fn run_mixed(args: &Bench, typed: &Mixed) -> Result<ExitCode, Failure> {
    let options = mixed::Options {
        load: load::of(args, &typed.load)?,
        sessions: typed.sessions,
        rate: typed.rate,
        typing: typed.typing,
        logins_per_s: typed.logins,
        seconds: typed.seconds.max(1),
    };
    done(args, &mixed::run(&options).await?)
}

async fn run_presence(args: &Bench, typed: &Presence) -> Result<ExitCode, Failure> {
    let options = presence::Options {
        load: load::of(args, &typed.load)?,
        accounts: typed.accounts,
        contacts: typed.contacts,
        acquaint_rate: typed.acquaint_rate,
        are_acquainted: typed.acquainted,
        rate: typed.rate,
        seconds: typed.seconds.max(1),
    };
    done(args, &presence::run(&options).await?)
}

async fn run_overload(args: &Bench, typed: &Overload) -> Result<ExitCode, Failure> {
    let options = overload::Options {
        load: load::of(args, &typed.load)?,
        pairs: typed.pairs,
        rate: typed.rate,
        seconds: typed.seconds.max(1),
        normal_rate: typed.normal_rate,
        normal_seconds: typed.normal_seconds.max(1),
        rest_seconds: typed.rest,
        body_bytes: typed.body,
    };
    done(args, &overload::run(&options).await?)
}

async fn run_hostile(args: &Bench, typed: &Hostile) -> Result<ExitCode, Failure> {
    let mut load = load::of(args, &typed.load)?;
    let attacker = load.own.binary;
    load.own.binary = typed.binary.clone().unwrap_or_else(|| attacker.clone());
    let options = hostile::Options {
        load,
        attacker,
        pairs: typed.pairs,
        rate: typed.rate,
        visits_per_s: typed.visits,
        processor_share: typed.processor_share,
        seconds: typed.seconds.max(1),
        from: typed.from,
        parts: typed.only.map_or_else(|| hostile::Part::ALL.to_vec(), |only| vec![only]),
        acts: if typed.acts.is_empty() { ACTS.to_vec() } else { typed.acts.clone() },
        acts_alone: typed.acts_alone,
    };
    let measured = hostile::run(&options).await?;
    if let Some(plot) = &typed.plot {
        report::write_page("hostile", &measured, plot)?;
    }
    done(args, &measured)
}

async fn run_media(args: &Bench, typed: &Media) -> Result<ExitCode, Failure> {
    let options = media::Options {
        binary: binary(typed.binary.as_ref())?,
        dir: typed.data.clone(),
        url: typed.url.clone(),
        pids: typed.pid.clone(),
        tls: typed.tls,
        files: typed.files as usize,
        gets: typed.gets as usize,
        connections: typed.connections as usize,
        slow: typed.slow as usize,
        chat_seconds: typed.chat_seconds,
        seed: typed.seed,
    };
    let report = media::run(&options).await?;
    say(args, &report, &report.lines())?;
    Ok(ExitCode::SUCCESS)
}

async fn run_oracle(args: &Bench, typed: &Oracle) -> Result<ExitCode, Failure> {
    let options = oracle::Options {
        binary: binary(typed.binary.as_ref())?,
        dir: typed.data.clone(),
        probes: typed.probes,
        accounts: typed.accounts,
        ways: typed.ways.clone(),
        is_untimed: typed.untimed,
        seed: typed.seed,
        quiet: args.json,
    };
    let report = oracle::run(&options).await?;
    say(args, &report, &report.lines())?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run_attack(typed: &Attack) -> Result<ExitCode, Failure> {
    let &[plain, tls, http] = &typed.ports[..] else {
        return Err(Failure::new("--ports are three"));
    };
    let Attack { part, seed, account, from, .. } = *typed;
    let acts = typed.acts.clone();
    hostile::attack(hostile::Attack { part, ports: (plain, tls, http), seed, account, acts, from }).await?;
    Ok(ExitCode::SUCCESS)
}

/// Says it; a run with complaints fails.
fn done(args: &Bench, report: &result::Report) -> Result<ExitCode, Failure> {
    say(args, report, &lines::of(report))?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_floor(typed: &Floor) -> Result<ExitCode, Failure> {
    let options =
        floor::Options { listen: typed.listen, threads: typed.threads, own_tables: true, acks: typed.acks };
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
