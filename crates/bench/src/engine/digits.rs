//! Numbers as digits, without the formatter: every message has five, and a load's time is the server's too.

/// Appends eight hexadecimal digits.
pub(crate) fn write_hex(out: &mut Vec<u8>, value: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |place: usize| DIGITS[(value >> (28 - 4 * place)) as usize & 15];
    out.extend_from_slice(&std::array::from_fn::<u8, 8, _>(digit));
}

/// Appends decimal digits, at least so many (20 at most).
pub(crate) fn write_decimal(out: &mut Vec<u8>, mut value: u64, digits_min: usize) {
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    while value > 0 {
        begin -= 1;
        digits[begin] += (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[begin.min(digits.len().saturating_sub(digits_min))..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_the_formatter_s() {
        for value in [0, 1, 9, 10, 4_711, 9_999_999, 10_000_000, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, value, 1);
            out.push(b' ');
            write_decimal(&mut out, value, 7);
            out.push(b' ');
            write_hex(&mut out, value as u32);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{value} {value:07} {:08x}", value as u32));
        }
    }
}
