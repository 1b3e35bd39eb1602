//! One line that says how far a run is: rewritten on a terminal, else written now and then. Always on stderr.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};

/// Lines without a terminal: about so many per run.
const LINES: u64 = 10;

/// See the module.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    total: u64,
    plain: bool,
    quiet: bool,
    last: u64,
}

impl Progress {
    /// Towards `total`.
    pub fn new(total: u64, quiet: bool) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let hidden = plain || quiet;
        let target =
            if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, total, plain, quiet, last: 0 }
    }

    /// Says where the run is.
    pub fn at(&mut self, done: u64, text: impl FnOnce() -> String) {
        let step = (self.total / LINES).max(1);
        let due = self.plain
            && !self.quiet
            && (done >= self.last + step || (done == self.total && done > self.last));
        if due {
            self.last = done;
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "{done}/{} {}", self.total, text());
        } else if !self.plain && !self.quiet {
            self.bar.set_position(done);
            self.bar.set_message(text());
        }
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
