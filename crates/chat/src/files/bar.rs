//! How far a transfer has got: a bar that is drawn over itself on a terminal, and four lines where lines are read by a program.

use crate::show::Style;
use std::io::{self, Write};

/// Signs of a full bar.
const SIGNS: u64 = 20;
/// Draws over the line: to its beginning, and clears it (ECMA-48 §8.3.41).
const CLEAR: &str = "\r\u{1b}[K";

/// How far one has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Of what.
    pub name: String,
    /// Bytes that have moved.
    pub done: u64,
    /// Of so many.
    pub total: u64,
    /// Bytes that had moved when it was last said.
    pub before: u64,
}

impl Moved {
    /// The line that is shown, if there is something new to be seen.
    pub fn line(&self, style: Style) -> Option<String> {
        let part = |bytes: u64, parts: u64| {
            (u128::from(bytes) * u128::from(parts) / u128::from(self.total.max(1))) as u64
        };
        let is_news = style.redraws || part(self.done, 4) > part(self.before, 4);
        let full = part(self.done, SIGNS).min(SIGNS) as usize;
        let bar = format!("{}{}", "#".repeat(full), "-".repeat(SIGNS as usize - full));
        let (done, total) = (amount(self.done), amount(self.total));
        is_news.then(|| format!("  {} [{bar}] {} %, {done} of {total}", self.name, part(self.done, 100)))
    }

    /// Whether it is at its end.
    pub fn is_whole(&self) -> bool {
        self.done == self.total
    }
}

/// Bytes for people.
pub fn amount(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

/// An output on which a bar gives way to lines.
pub struct Screen<W> {
    out: W,
    has_bar: bool,
}

impl<W: Write> Screen<W> {
    /// Without one.
    pub fn new(out: W) -> Self {
        Self { out, has_bar: false }
    }
}

/// A bar, as [`Screen`] takes it.
pub fn drawn(line: &str) -> String {
    format!("{CLEAR}{line}")
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_bar = bytes.starts_with(CLEAR.as_bytes());
        if self.has_bar && !is_bar {
            self.out.write_all(CLEAR.as_bytes())?;
        }
        self.has_bar = is_bar;
        self.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: Style = Style { colours: false, redraws: false };

    #[test]
    fn a_program_reads_four_lines_and_a_terminal_has_one() {
        let at = |before, done| Moved { name: "a".into(), done, total: 1_000_000, before };
        let shown: Vec<String> =
            (0..100).filter_map(|n| at(n * 10_000, (n + 1) * 10_000).line(LINES)).collect();
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert_eq!(shown[0], "  a [#####---------------] 25 %, 250.0 kB of 1.0 MB");
        let mut screen = Screen::new(Vec::new());
        screen.write_all(drawn("1").as_bytes()).unwrap();
        screen.write_all(drawn("2").as_bytes()).unwrap();
        screen.write_all(b"hello\n").unwrap();
        screen.write_all(b"there\n").unwrap();
        assert_eq!(screen.out, b"\r\x1b[K1\r\x1b[K2\r\x1b[Khello\nthere\n");
    }
}
