//! What changes of records cost the embedded engine: how many become durable in a second, one after the other and many at a time, alone
//! and beside messages; processor time and syncs of each.
//!
//! `cargo run --release -p chaski-store --example changes [-- SECONDS]`. Figures of one machine say little: run two builds by turns.

#![expect(clippy::print_stdout, reason = "a program speaks to its user")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

use chaski_store::conformance::Rig;
use chaski_store::embedded::{self, EmbeddedEngine, Options};
use chaski_store::records::Put;
use chaski_store::{AccountId, Completion, Engine, Table};
use std::time::{Duration, Instant};

/// A roster of this length is written.
const BYTES: usize = 600;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(3);
    println!("| changes | messages | changes/s | CPU per change | syncs per change |");
    println!("|---|---|---|---|---|");
    for (at_once, messages) in [(1, 0), (100, 0), (1, 10), (100, 100)] {
        run(at_once, messages, Duration::from_secs(seconds));
    }
}

/// Changes go `at_once` at a time, beside so many messages, which are acknowledged.
fn run(at_once: u64, messages: u64, time: Duration) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = embedded::open(dir.path(), Options::default()).expect("opens");
    let mut rig = Rig::new(&engine);
    let (begun, cpu, syncs) = (Instant::now(), cpu(), reading(&engine));
    let mut changes = 0;
    while begun.elapsed() < time {
        for n in 0..at_once {
            change(&mut rig, changes + n);
        }
        let appended: Vec<_> = (0..messages)
            .map(|n| rig.append(account(n), u128::from(changes * 1000 + n)).expect("taken").1)
            .collect();
        let mut waiting = at_once;
        while waiting > 0 {
            rig.wait("a save", |completion| matches!(completion, Completion::Saved { .. }).then_some(()));
            waiting -= 1;
        }
        appended.into_iter().for_each(|ticket| rig.committed(ticket));
        for n in 0..messages {
            let seqs: Vec<_> = rig.read_all(account(n), 100).iter().map(|entry| entry.seq).collect();
            rig.store.ack(account(n), &seqs);
        }
        changes += at_once;
    }
    let each = |total: f64| total / changes as f64;
    println!(
        "| {at_once} at a time | {messages} | {:.0} | {:.1} µs | {:.3} |",
        changes as f64 / begun.elapsed().as_secs_f64(),
        each((self::cpu() - cpu) as f64),
        each((reading(&engine) - syncs) as f64),
    );
}

fn change(rig: &mut Rig, number: u64) {
    let account = account(number % 10_000);
    let value = Some(format!("{{\"n\":{number},\"x\":\"{}\"}}", "x".repeat(BYTES)).into_bytes());
    let put = Put { table: Table::new("rosters"), key: account.record_key(), value };
    let ticket = rig.ticket();
    rig.store.put(account, vec![put], ticket);
}

fn account(number: u64) -> AccountId {
    AccountId::phone(15_550_000_000 + number).expect("a number")
}

/// Processor time of this process, in microseconds.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10_000
}

/// Commits of the journal and of SQLite.
fn reading(engine: &EmbeddedEngine) -> i64 {
    let names = ["chaski_journal_syncs_total", "chaski_sqlite_transactions_total"];
    let all = engine.metrics();
    let metrics = all.iter().flat_map(|source| source.metrics());
    metrics.filter(|metric| names.contains(&metric.name)).map(|metric| metric.number()).sum()
}
