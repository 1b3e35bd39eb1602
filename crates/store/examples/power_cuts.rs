//! Cuts the power of a simulated disk under the real engine, as often as it is told, and says what was broken.
//!
//! `cargo xtask power-cuts --cuts 10000 [--seed N]` runs it. Each seed is one data directory and [`CUTS_PER_SEED`] cuts; a
//! broken promise prints its seed, and `--seed N --cuts 1` repeats that one.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use chaski_store::embedded::simulation::campaign::{self, Tally};
use std::process::ExitCode;

const CUTS_PER_SEED: u64 = 20;
const EVENTS_SHOWN: usize = 12;

fn main() -> ExitCode {
    let (mut cuts, mut seed) = (1_000, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--cuts", Some(value)) => cuts = value,
            ("--seed", Some(value)) => seed = value,
            _ => {
                eprintln!("usage: power_cuts [--cuts N] [--seed FIRST]");
                return ExitCode::from(2);
            }
        }
    }
    let (mut tally, mut broken, first) = (Tally::default(), 0, seed);
    while tally.cuts < cuts {
        match campaign::run(seed, CUTS_PER_SEED) {
            Ok((lived, _)) => tally.add(&lived),
            Err(found) => {
                broken += 1;
                tally.add(&found.tally);
                tally.cuts += 1;
                println!("\nBROKEN {found}");
                for event in found.events.iter().rev().take(EVENTS_SHOWN).rev() {
                    println!("    {event:?}");
                }
                println!("    repeat: cargo xtask power-cuts --cuts 1 --seed {seed}");
            }
        }
        seed += 1;
        if (seed - first).is_multiple_of(25) {
            eprint!("\r{} of {cuts} cuts, {broken} broken", tally.cuts);
        }
    }
    eprintln!();
    println!(
        "{} power cuts ({} while opening, {} while closing, {} while segments waited to be \
         removed, {} with one cut off in part), {} openings looked through, {} messages committed, {} came back \
         once, {} full disks, {} quiet minutes: {broken} promises broken (seeds {first} to {})",
        tally.cuts,
        tally.cuts_in_opening,
        tally.cuts_in_closing,
        tally.cuts_in_removal,
        tally.cuts_in_shrinking,
        tally.openings,
        tally.committed,
        tally.returned,
        tally.full,
        tally.minutes,
        seed - 1,
    );
    ExitCode::from(u8::from(broken > 0))
}
