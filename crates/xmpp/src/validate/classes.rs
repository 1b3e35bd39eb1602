//! Classes of bytes and characters (XML 1.0 §2.2, §2.3). Called by [`super::Validator`] for every byte of a tag.

pub(super) const NAME_START: u8 = 1;
pub(super) const NAME: u8 = 2;
pub(super) const SPACE: u8 = 4;
/// Ends a run of plain characters in an attribute value.
pub(super) const VALUE_STOP: u8 = 8;

pub(super) static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        table[b] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => NAME_START | NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            b'\r' => SPACE | VALUE_STOP,
            b' ' | b'\t' | b'\n' => SPACE,
            b'<' | b'&' | b'\'' | b'"' => VALUE_STOP,
            _ => 0,
        };
        b += 1;
    }
    table
}

/// Characters beyond ASCII that may begin a name: those that the fourth *and* the fifth edition of XML 1.0 allow (§2.3,
/// appendix B), in the living scripts. Expat, under many clients, knows the fourth edition only; a name that it refuses
/// would end its stream each time the message is delivered again.
pub(super) fn is_name_start(c: char) -> bool {
    matches!(c, '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{131}' | '\u{134}'..='\u{13E}'
        | '\u{141}'..='\u{148}' | '\u{14A}'..='\u{17E}' | '\u{38E}'..='\u{3A1}' | '\u{3A3}'..='\u{3CE}'
        | '\u{401}'..='\u{40C}' | '\u{40E}'..='\u{44F}' | '\u{451}'..='\u{45C}' | '\u{45E}'..='\u{481}'
        | '\u{5D0}'..='\u{5EA}' | '\u{621}'..='\u{63A}' | '\u{641}'..='\u{64A}' | '\u{3041}'..='\u{3094}'
        | '\u{30A1}'..='\u{30FA}' | '\u{4E00}'..='\u{9FA5}' | '\u{AC00}'..='\u{D7A3}')
}

/// The same for the rest of a name.
pub(super) fn is_name(c: char) -> bool {
    is_name_start(c) || c == '\u{B7}'
}
