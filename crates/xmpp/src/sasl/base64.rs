//! Base64 as RFC 6120 §6.4 carries SASL data: the standard alphabet, padded, canonical, without white space; `=`
//! stands for data of length zero where no text would stand for no data.

use super::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The data of an element's text. `None` if there is no text at all.
pub fn decode(text: &str) -> Result<Option<Vec<u8>>, Failure> {
    match text {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        text => STANDARD.decode(text).map(Some).map_err(|_| Failure::IncorrectEncoding),
    }
}

/// The text of an element that carries `data`, with `=` for empty data.
pub fn encode(data: &[u8]) -> String {
    if data.is_empty() { "=".to_owned() } else { STANDARD.encode(data) }
}

/// The data of an element of SASL2 (XEP-0388 §2.2), where an empty element stands for empty data. White space around it is
/// not to be there; clients that were written after the specification's own examples have it.
pub(crate) fn decode_element(text: &str) -> Result<Vec<u8>, Failure> {
    STANDARD.decode(text.trim_ascii()).map_err(|_| Failure::IncorrectEncoding)
}

/// The text of an element of SASL2.
pub(crate) fn encode_element(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Plain base64 inside a mechanism's own messages.
pub(crate) fn decode_field(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Plain base64 inside a mechanism's own messages.
pub(crate) fn encode_field(data: &[u8]) -> String {
    STANDARD.encode(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_absent_differ() {
        assert_eq!(decode(""), Ok(None));
        assert_eq!(decode("="), Ok(Some(vec![])));
        assert_eq!(encode(b""), "=");
        assert_eq!(decode("AGE="), Ok(Some(b"\0a".to_vec())));
    }

    #[test]
    fn anything_loose_is_refused() {
        for text in ["AGE", "AG E=", "AGE=\n", "AGF=", "====", "A", "AG-_", "ä"] {
            assert_eq!(decode(text), Err(Failure::IncorrectEncoding), "{text:?}");
        }
    }
}
