//! Accounts for runs: numbers reserved for nobody's phone, keys that follow from a seed, so that nothing must be kept.
//!
//! The file is what `chaski ctl account import` reads: lines `+number,key`.

use crate::engine::digits;
use std::fmt;
use std::io::{self, Write};

/// The most accounts there can be: the digits we vary.
pub const ACCOUNTS_MAX: usize = 10_000_000;

/// The number of the account with this index: +1 999 is no area code.
pub fn number(index: usize) -> String {
    Number(index as u32).to_string()
}

/// The same without making a string of it.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub u32);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+1999{:07}", self.0)
    }
}

impl Number {
    /// Appends it.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"+1999");
        digits::write_decimal(out, self.0.into(), 7);
    }

    /// Whether it is written so.
    pub fn is(self, text: &[u8]) -> bool {
        let digits = text.strip_prefix(b"+1999").filter(|digits| (7..=9).contains(&digits.len()));
        let value = digits.and_then(|digits| {
            digits
                .iter()
                .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
        });
        value == Some(self.0)
    }
}

/// Its key. Anybody who knows the seed knows it: for servers on loopback that hold nothing else.
pub fn key(seed: u64, index: usize) -> String {
    let mut state = seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut text = String::with_capacity(36);
    for _ in 0..2 {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        text.push_str(&format!("{:016x}", z ^ (z >> 31)));
    }
    text
}

/// Writes the lines of the first `count` accounts.
pub fn write(seed: u64, count: usize, out: &mut dyn Write) -> io::Result<()> {
    for index in 0..count {
        writeln!(out, "{},{}", number(index), key(seed, index))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_distinct_and_repeatable() {
        let mut file = Vec::new();
        write(7, 100, &mut file).unwrap();
        let text = String::from_utf8(file).unwrap();
        let lines: std::collections::HashSet<&str> = text.lines().collect();
        assert_eq!(lines.len(), 100);
        assert!(lines.iter().all(|line| line.len() == "+19990000000,".len() + 32), "{text}");
        assert_eq!(key(7, 3), key(7, 3));
        assert_ne!(key(7, 3), key(8, 3));
    }

    #[test]
    fn a_number_knows_itself() {
        for index in [0, 7, 9_999_999, 12_345_678] {
            let mut text = Vec::new();
            Number(index).write(&mut text);
            assert_eq!(text, number(index as usize).as_bytes());
            assert!(Number(index).is(&text));
        }
        for other in ["+19990000008", "+1999", "19990000007", "+1999000000x", ""] {
            assert!(!Number(7).is(other.as_bytes()), "{other}");
        }
    }
}
