//! Dates and times on the wire (XEP-0082), to and from Unix milliseconds. To be filled in.

/// `2026-11-20T19:02:03.456Z`, or without the fraction if it is zero.
pub fn format(unix_ms: u64) -> String {
    let _ = unix_ms;
    todo!()
}

/// Appends [`format`]'s text.
pub fn write(unix_ms: u64, out: &mut Vec<u8>) {
    let _ = (unix_ms, out);
    todo!()
}

/// Parses a DateTime of XEP-0082 §3.2 (any offset, any fraction). `None` if it is none or before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let _ = text;
    todo!()
}
