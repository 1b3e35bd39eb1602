//! `kill -9` at random moments: what was committed and not acknowledged is there, in order, once.

use crate::support::hasty;
use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, Options};
use chaski_store::{AccountId, Engine, Seq};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const DIRECTORY: &str = "CHASKI_STORE_CRASH_DIRECTORY";
const FIRST: &str = "CHASKI_STORE_CRASH_FIRST";
const ROUNDS: u64 = 12;

fn account(last: u64) -> AccountId {
    AccountId::phone(15_550_000 + last).unwrap()
}

fn options() -> Options {
    Options { segment_bytes: 4000, mailbox_cache_bytes: 4000, slice_messages: 10, ..hasty() }
}

/// The process that is killed: appends without end to three mailboxes, says what was committed, acknowledges every
/// third. Does nothing when it is run as a test.
#[test]
fn victim() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let first: u128 = std::env::var(FIRST).unwrap().parse().unwrap();
    let engine = embedded::open(Path::new(&directory), options()).unwrap();
    let mut rig = Rig::new(&engine);
    let mut out = std::io::stdout();
    for group in 0.. {
        let ids = first + group * 6..first + group * 6 + 6;
        let appended: Vec<_> =
            ids.clone().map(|id| rig.append(account(id as u64 % 3), id).unwrap()).collect();
        for (id, (appended, ticket)) in ids.zip(appended) {
            rig.committed(ticket);
            writeln!(out, "committed {id}").unwrap();
            if id % 7 == 0
                && let chaski_store::Appended::Queued(seq) = appended
            {
                writeln!(out, "acking {id}").unwrap();
                rig.store.ack(account(id as u64 % 3), &[seq]);
            }
        }
        // Now and then something older, which may be in SQLite.
        if group % 4 == 3 {
            let oldest = rig.read(account(0), Seq(0), chaski_store::ReadLimit { messages: 1, bytes: 0 }).0;
            for entry in oldest {
                writeln!(out, "acking {}", entry.id.0).unwrap();
                rig.store.ack(account(0), &[entry.seq]);
            }
        }
        out.flush().unwrap();
    }
}

#[test]
fn nothing_committed_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut committed: BTreeSet<u128> = BTreeSet::new();
    let mut acked: BTreeSet<u128> = BTreeSet::new();
    for round in 0..ROUNDS {
        let first = u128::from(round) * 1_000_000;
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::victim", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        // A number of lines that differs by round, so that the kill hits different moments.
        let until = 10 + (round * 7919) % 400;
        let mut note = |line: &str| {
            let (what, id) = line.split_once(' ').unwrap_or((line, ""));
            let Ok(id) = id.parse() else { return false };
            match what {
                "committed" => committed.insert(id),
                "acking" => acked.insert(id),
                _ => false,
            }
        };
        let mut seen = 0;
        while seen < until {
            seen += u64::from(note(&lines.next().expect("the victim lives").unwrap()));
        }
        victim.kill().unwrap();
        // What it had said before it died counts too.
        for line in lines.map_while(Result::ok) {
            note(&line);
        }
        victim.wait().unwrap();
        check(dir.path(), &committed, &acked);
    }
}

fn check(dir: &Path, committed: &BTreeSet<u128>, acked: &BTreeSet<u128>) {
    let engine = embedded::open(dir, options()).unwrap();
    let mut rig = Rig::new(&engine);
    for last in 0..3 {
        let ids = rig.ids(account(last));
        assert!(ids.is_sorted_by(|a, b| a < b), "in order, once: {ids:?}");
        let found: BTreeSet<u128> = ids.into_iter().collect();
        let mut expected = committed.difference(acked).filter(|&&id| id as u64 % 3 == last);
        assert!(expected.all(|id| found.contains(id)), "a committed message is gone");
    }
    drop(rig);
    // Every other time the next one starts on a directory that was closed properly.
    engine.close();
}
