//! Letters from a link, as bytes: the fuzzer's corpus, damaged in many ways. Reading takes no memory for what is only claimed.
//!
//! `CHASKI_FUZZ_CASES=100000000 cargo test -p chaski-services --test letters` goes on for so many inputs, without a nightly compiler.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "drive/letters.rs"]
mod drive;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// How many bytes a letter may take in memory for each of its own, and at least. Most is taken by an account's record, which is JSON.
const TIMES: usize = 128;
const LEAST_BYTES: usize = 4_096;

/// Counts the bytes that this thread has at most.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let now = NOW.get() + bytes;
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What this takes of memory at most.
fn taken<T>(by: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let made = by();
    (made, (MOST.get() - before) as usize)
}

/// Reads the input, bounded. Whether it is a letter.
fn read(input: &[u8]) -> bool {
    let (is_letter, taken) = taken(|| drive::drive(input));
    assert!(taken <= LEAST_BYTES + TIMES * input.len(), "{taken} bytes for {}: {input:02x?}", input.len());
    is_letter
}

#[test]
fn what_is_only_claimed_takes_no_memory() {
    const BYTES: usize = 100_000;
    let letters = corpus();
    let settled = letters.iter().find(|letter| letter[13] == 2).expect("there is a letter of settlements");
    for claimed in [BYTES, u32::MAX as usize] {
        let mut input = settled[..14].to_vec();
        input.extend((claimed as u32).to_le_bytes());
        input.resize(input.len() + BYTES, 0);
        let (is_letter, taken) = taken(|| drive::drive(&input));
        assert!(!is_letter && taken < 8 * BYTES, "{taken} bytes");
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/letters");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn the_corpus_is_read() {
    let letters = corpus().iter().filter(|input| read(input)).count();
    assert!(letters >= 20, "they are of the present version: {letters}");
}

/// One to eight changes of a letter: bytes, counts, parts left out, put in twice or taken from another.
fn damaged(letters: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = letters[random.random_range(0..letters.len())].clone();
    for _ in 0..random.random_range(1..=8) {
        let at = random.random_range(0..=input.len());
        let end = random.random_range(at..=input.len());
        match random.random_range(0..6) {
            0 if at < input.len() => input[at] = random.random(),
            1 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            2 if at + 4 <= input.len() => {
                let counts = [0u32, 1, 0xffff, u32::MAX, input.len() as u32];
                input[at..at + 4]
                    .copy_from_slice(&counts[random.random_range(0..counts.len())].to_le_bytes());
            }
            3 => drop(input.drain(at..end)),
            4 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            _ => {
                let other = &letters[random.random_range(0..letters.len())];
                let from = random.random_range(0..=other.len());
                input.splice(at..end, other[from..].iter().copied());
            }
        }
    }
    input
}

#[test]
fn whatever_is_made_of_letters_is_read_or_refused() {
    let cases =
        std::env::var("CHASKI_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(50_000);
    let (letters, mut random) = (corpus(), StdRng::seed_from_u64(7));
    let read = (0..cases).filter(|_| read(&damaged(&letters, &mut random))).count();
    println!("{read} of {cases} were letters");
    assert!(read > 0 && read < cases, "{read} of {cases}");
}
