//! `ctl account import`: lines of `+number,key` become accounts, as fast as the processors derive SCRAM keys.
//!
//! One thread reads and cuts the file into chunks, one thread per processor derives, and the calling thread sends
//! finished chunks to the server (or writes them itself). All queues are bounded by a few chunks, so that the file may be
//! larger than memory. A bad line is reported with its number and skipped.

use super::Desk;
use super::account::{KEY_BYTES, check_iterations};
use super::backend::{Backend, unexpected};
use crate::cli::AccountImport;
use crate::failure::Failure;
use chaski_server::admin::protocol::{NewKey, Reply, Request};
use chaski_services::account::credentials::Salting;
use chaski_services::account::credentials::{Credentials, Derivation};
use chaski_services::account::name::AccountName;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Accounts of one request and one transaction.
const CHUNK: usize = 1_000;
/// Bad lines that are shown; the rest is counted.
const SHOWN: usize = 20;
/// Longest line; no key is longer than SASL takes.
const LINE_BYTES: u64 = 4_096;

/// Some lines of the file.
struct Lines {
    lines: Vec<(u64, Vec<u8>)>,
    bytes: u64,
}

/// What came of them.
struct Derived {
    accounts: Vec<NewKey>,
    bad: Vec<(u64, String)>,
    bytes: u64,
}

#[derive(Default)]
struct Totals {
    created: usize,
    replaced: usize,
    bad: usize,
}

pub(super) fn run(desk: &Desk, args: &AccountImport) -> Result<ExitCode, Failure> {
    check_iterations(desk, args.iterations)?;
    let shown = args.file.display();
    let (input, size): (Box<dyn BufRead + Send>, u64) = if args.file.as_os_str() == "-" {
        (Box::new(BufReader::new(io::stdin())), 0)
    } else {
        let file = File::open(&args.file)
            .map_err(|error| Failure::new(format_args!("{shown} can't be read: {error}")))?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(BufReader::with_capacity(1 << 20, file)), size)
    };
    let mut backend = desk.any(true)?;
    let bar = progress_bar(size, desk.json);
    let totals = import(input, args.iterations, &mut backend, &bar)?;
    bar.finish_and_clear();
    let Totals { created, replaced, bad } = totals;
    let mut lines =
        vec![format!("imported {} accounts: {created} made, {replaced} with a new key", created + replaced)];
    if bad > 0 {
        lines.push(format!("skipped {bad} bad lines"));
    }
    desk.say(&json!({ "created": created, "replaced": replaced, "bad_lines": bad }), &lines)?;
    Ok(if bad > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn progress_bar(size: u64, json: bool) -> ProgressBar {
    let quiet = json || size == 0 || !io::stderr().is_terminal();
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
    let bar = ProgressBar::with_draw_target(Some(size), target);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}%  {msg} accounts, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn import(
    input: Box<dyn BufRead + Send>,
    iterations: u32,
    backend: &mut Backend,
    bar: &ProgressBar,
) -> Result<Totals, Failure> {
    let salting = backend.salting()?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (lines_in, lines_out) = sync_channel::<Lines>(workers);
    let (derived_in, derived_out) = sync_channel::<Result<Derived, io::Error>>(workers);
    let lines_out = Arc::new(Mutex::new(lines_out));
    std::thread::scope(|scope| {
        let failed = derived_in.clone();
        scope.spawn(move || {
            if let Err(error) = read_lines(input, &lines_in) {
                let _ = failed.send(Err(error));
            }
        });
        for _ in 0..workers {
            let (lines, derived) = (lines_out.clone(), derived_in.clone());
            scope.spawn(move || derive_all(&lines, &derived, iterations, salting));
        }
        // Only the threads may hold these: when one side is gone the other ends.
        drop((lines_out, derived_in));
        send_all(derived_out, backend, bar)
    })
}

fn send_all(
    derived: Receiver<Result<Derived, io::Error>>,
    backend: &mut Backend,
    bar: &ProgressBar,
) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    for chunk in derived {
        let chunk = chunk?;
        for (line, what) in &chunk.bad {
            totals.bad += 1;
            if totals.bad <= SHOWN {
                bar.suspend(|| writeln!(io::stderr(), "chaski: line {line}: {what}"))?;
            }
        }
        if !chunk.accounts.is_empty() {
            match backend.call(Request::AccountImport { accounts: chunk.accounts })? {
                Reply::Imported { created, replaced } => {
                    totals.created += created;
                    totals.replaced += replaced;
                }
                other => return Err(unexpected(&other)),
            }
        }
        bar.inc(chunk.bytes);
        bar.set_message((totals.created + totals.replaced).to_string());
    }
    Ok(totals)
}

/// Cuts the input into chunks. Ends early when nobody takes them any more.
fn read_lines(mut input: Box<dyn BufRead + Send>, chunks: &SyncSender<Lines>) -> io::Result<()> {
    let mut number = 0;
    loop {
        let mut chunk = Lines { lines: Vec::with_capacity(CHUNK), bytes: 0 };
        while chunk.lines.len() < CHUNK {
            let mut line = Vec::new();
            let n = io::Read::take(&mut input, LINE_BYTES).read_until(b'\n', &mut line)?;
            if n == 0 {
                let _ = chunks.send(chunk);
                return Ok(());
            }
            number += 1;
            chunk.bytes += n as u64;
            if n as u64 == LINE_BYTES && !line.ends_with(b"\n") {
                chunk.bytes += input.skip_until(b'\n')? as u64;
            }
            chunk.lines.push((number, line));
        }
        if chunks.send(chunk).is_err() {
            return Ok(());
        }
    }
}

fn derive_all(
    lines: &Mutex<Receiver<Lines>>,
    derived: &SyncSender<Result<Derived, io::Error>>,
    iterations: u32,
    salting: Salting,
) {
    let derivation = Derivation { iterations, quick_plain: true };
    loop {
        let next = lines.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = next else { return };
        let mut done =
            Derived { accounts: Vec::with_capacity(chunk.lines.len()), bad: Vec::new(), bytes: chunk.bytes };
        for (number, line) in chunk.lines {
            match parse(&line) {
                Ok(None) => {}
                Ok(Some((name, key))) => {
                    let salt = salting.salt(&name.to_string());
                    let credentials = Credentials::derive(key, 0, derivation, salt);
                    done.accounts.push(NewKey { name, credentials });
                }
                Err(what) => done.bad.push((number, what)),
            }
        }
        if derived.send(Ok(done)).is_err() {
            return;
        }
    }
}

/// A line's name and key; `None` for an empty line or a comment.
fn parse(line: &[u8]) -> Result<Option<(AccountName, &str)>, String> {
    let long = line.len() as u64 >= LINE_BYTES && !line.ends_with(b"\n");
    if long {
        return Err(format!("longer than {LINE_BYTES} bytes"));
    }
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, key) = line.split_once(',').ok_or("not of the form +number,key")?;
    let name = AccountName::parse(name.trim()).map_err(|error| error.to_string())?;
    if key.len() < KEY_BYTES {
        return Err(format!("the key must have at least {KEY_BYTES} bytes"));
    }
    Ok(Some((name, key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let key = "0123456789abcdef";
        let good = format!("+15551230001,{key}\r\n");
        let (name, parsed) = parse(good.as_bytes()).unwrap().unwrap();
        assert_eq!((name.to_string().as_str(), parsed), ("+15551230001", key));
        assert_eq!(parse(b"\n").unwrap(), None);
        assert_eq!(parse(b"# comment\n").unwrap(), None);
        let with_comma = format!("+15551230001,{key},more");
        assert_eq!(parse(with_comma.as_bytes()).unwrap().unwrap().1, "0123456789abcdef,more");
        for bad in ["+15551230001", "+15551230001,short", "+0,0123456789abcdef", "Bot,0123456789abcdef"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse(b"+15551230001,\xff\xff\xff\xff0123456789abcdef").is_err());
    }

    #[test]
    fn long_lines_are_one_bad_line() {
        let text = format!("+1,{}\n+15551230001,0123456789abcdef\n", "x".repeat(10_000));
        let (sender, receiver) = sync_channel(4);
        read_lines(Box::new(io::Cursor::new(text.clone().into_bytes())), &sender).unwrap();
        let chunk = receiver.recv().unwrap();
        assert_eq!((chunk.lines.len(), chunk.bytes as usize), (2, text.len()));
        assert!(
            parse(&chunk.lines[0].1).unwrap_err().contains("longer")
                && parse(&chunk.lines[1].1).unwrap().is_some()
        );
    }
}
