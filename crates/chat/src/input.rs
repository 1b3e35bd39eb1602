//! Lines that the user types, from a thread of its own: reading a terminal can't be interrupted.

use std::io::BufRead;
use tokio::sync::mpsc;

/// Lines read ahead of what is handled: then the typing (or piping) program waits.
const LINES_AHEAD: usize = 16;
/// Longest line; the rest of a longer one is dropped.
pub const LINE_BYTES_MAX: usize = 32 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Input(mpsc::Receiver<String>);

impl Input {
    /// Of the process.
    pub fn stdin() -> Self {
        Self::read(std::io::BufReader::new(std::io::stdin()))
    }

    /// Of any reader.
    pub fn read(mut reader: impl BufRead + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel(LINES_AHEAD);
        std::thread::spawn(move || {
            while let Some(line) = read_line(&mut reader) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next line without its end; `None` at the end.
    pub async fn line(&mut self) -> Option<String> {
        self.0.recv().await
    }
}

/// `None` at the end, or if it can't be read.
fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    loop {
        let piece = reader.fill_buf().ok()?;
        if piece.is_empty() {
            return (!line.is_empty()).then(|| text(line));
        }
        let end = piece.iter().position(|&byte| byte == b'\n');
        let taken = end.unwrap_or(piece.len());
        let room = LINE_BYTES_MAX - line.len();
        line.extend_from_slice(&piece[..taken.min(room)]);
        reader.consume(end.map_or(taken, |at| at + 1));
        if end.is_some() {
            return Some(text(line));
        }
    }
}

fn text(mut line: Vec<u8>) -> String {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    // A cut through a character shows as one replacement character.
    String::from_utf8_lossy(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let long = "x".repeat(2 * LINE_BYTES_MAX);
        let text = format!("one\r\n{long}\n\nlast");
        let mut reader = std::io::BufReader::with_capacity(7, text.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut reader) {
            lines.push(line);
        }
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0].as_str(), lines[2].as_str(), lines[3].as_str()), ("one", "", "last"));
        assert_eq!(lines[1].len(), LINE_BYTES_MAX);
    }
}
