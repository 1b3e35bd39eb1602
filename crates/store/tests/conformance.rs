//! The suite over both engines. The embedded one runs three times: with its defaults, with everything squeezed so that
//! messages move to SQLite all the time, and with tiny segments.

use chaski_store::conformance::{self, Fixture};
use chaski_store::embedded::{self, Options};
use chaski_store::memory::MemoryEngine;
use chaski_store::{Engine, Shares};

struct Memory(MemoryEngine);

impl Fixture for Memory {
    fn open(&self) -> Box<dyn Engine> {
        Box::new(self.0.clone())
    }

    fn max_messages(&self) -> u64 {
        120
    }

    fn max_bytes(&self) -> u64 {
        50_000
    }
}

fn memory(delay_reads: bool) -> Memory {
    let engine = MemoryEngine::with_mailbox_bounds(120, 50_000, Shares::default());
    engine.delay_reads(delay_reads);
    Memory(engine)
}

#[test]
fn memory_engine() {
    conformance::all(|| memory(false));
}

#[test]
fn memory_engine_with_late_reads() {
    conformance::all(|| memory(true));
}

struct Embedded {
    dir: tempfile::TempDir,
    options: Options,
}

impl Fixture for Embedded {
    fn open(&self) -> Box<dyn Engine> {
        Box::new(embedded::open(self.dir.path(), self.options.clone()).expect("opens"))
    }

    fn max_messages(&self) -> u64 {
        self.options.max_messages.into()
    }

    fn max_bytes(&self) -> u64 {
        self.options.max_bytes.into()
    }
}

fn embedded(change: impl Fn(&mut Options)) {
    let options = || {
        let mut options = Options { max_messages: 120, max_bytes: 50_000, ..Options::default() };
        options.preallocate_bytes = 64 << 10;
        change(&mut options);
        options
    };
    conformance::all(|| Embedded { dir: tempfile::tempdir().expect("a directory"), options: options() });
}

#[test]
fn embedded_engine() {
    embedded(|_| ());
}

#[test]
fn embedded_engine_short_of_memory() {
    embedded(|options| {
        options.mailbox_cache_bytes = 500;
        options.slice_messages = 3;
        options.delete_linger_ms = 1;
        options.tick_ms = 1;
        options.checkpoint_after_ms = 5;
    });
}

#[test]
fn embedded_engine_with_tiny_segments() {
    embedded(|options| {
        options.segment_bytes = 1000;
        options.segment_age_ms = 5;
        options.spill_after_ms = 10;
        options.ack_linger_ms = 1;
        options.delete_linger_ms = 1;
        options.tick_ms = 1;
        options.preallocate_bytes = 512;
    });
}
