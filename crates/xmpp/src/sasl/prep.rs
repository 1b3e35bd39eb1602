//! SASLprep (RFC 4013) of user names and passwords, with a fast path for the ASCII that phone numbers and our own
//! keys consist of.

use std::borrow::Cow;

/// The prepared form, or `None` if the text holds something forbidden or comes out empty.
pub fn saslprep(text: &str) -> Option<Cow<'_, str>> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return (!text.is_empty()).then_some(Cow::Borrowed(text));
    }
    stringprep::saslprep(text).ok().filter(|prepared| !prepared.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4013_examples() {
        assert_eq!(saslprep("I\u{AD}X").as_deref(), Some("IX"));
        assert_eq!(saslprep("user").as_deref(), Some("user"));
        assert_eq!(saslprep("USER").as_deref(), Some("USER"));
        assert_eq!(saslprep("\u{AA}").as_deref(), Some("a"));
        assert_eq!(saslprep("\u{2168}").as_deref(), Some("IX"));
        assert_eq!(saslprep("\u{7}"), None);
        assert_eq!(saslprep("\u{627}1"), None);
        assert_eq!(saslprep("\u{AD}"), None);
        assert_eq!(saslprep(""), None);
    }
}
