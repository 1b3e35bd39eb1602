//! The corpora of the fuzz targets `stream` and `sasl` in `/fuzz`, run through the same checks on each test run, whole
//! and cut off or damaged at every byte.
#![allow(missing_docs)]

#[path = "drive/sasl.rs"]
mod sasl;
#[path = "drive/stream.rs"]
mod stream;

use std::path::Path;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is in the tree")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|file| std::fs::read(file).expect("a readable file")).collect()
}

fn run_damaged(target: &str, drive: impl Fn(&[u8])) {
    for whole in corpus(target) {
        drive(&whole);
        for place in 0..whole.len() {
            drive(&whole[..place]);
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            drive(&damaged);
        }
    }
}

#[test]
fn the_stream_corpus_holds() {
    run_damaged("stream", |input| {
        stream::drive(input);
    });
    let sessions = corpus("stream").into_iter().filter(|input| stream::drive(input)).count();
    assert!(sessions >= 8, "the corpus goes all the way: {sessions}");
}

#[test]
fn the_sasl_corpus_holds() {
    run_damaged("sasl", sasl::drive);
}
