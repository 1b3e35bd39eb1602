//! PLAIN's one message (RFC 4616 §2): `[authzid] NUL authcid NUL passwd`.

use super::{Failure, Password, prep};

/// Longest of each part. RFC 4616 asks for 255 octets at least; a JID's local part has up to 1023.
const PART_BYTES_MAX: usize = 1023;

/// What a client says with PLAIN, prepared.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Whom to act as; none means the user itself.
    pub authzid: Option<String>,
    /// Who.
    pub username: String,
    /// With which password.
    pub password: Password,
}

/// Reads the message. Text that SASLprep forbids can't be anybody's: not-authorized, as if it were wrong.
pub fn parse(data: &[u8]) -> Result<Message, Failure> {
    let text = std::str::from_utf8(data).map_err(|_| Failure::MalformedRequest)?;
    let mut parts = text.split('\0');
    let (Some(authzid), Some(username), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Failure::MalformedRequest);
    };
    let too_long = [authzid, username, password].iter().any(|part| part.len() > PART_BYTES_MAX);
    if too_long || username.is_empty() || password.is_empty() {
        return Err(Failure::MalformedRequest);
    }
    let prepared = |text| prep::saslprep(text).map(|text| text.into_owned()).ok_or(Failure::NotAuthorized);
    Ok(Message {
        authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
        username: prepared(username)?,
        password: Password(prepared(password)?),
    })
}

/// The client's message.
pub fn write(authzid: Option<&str>, username: &str, password: &str) -> Vec<u8> {
    [authzid.unwrap_or(""), username, password].join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4616_examples() {
        let message = parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!((message.authzid, message.username.as_str()), (None, "tim"));
        assert_eq!(message.password.reveal(), "tanstaaftanstaaf");
        assert_eq!(parse(b"Ursel\0Kurt\0xipj3plmq").unwrap().authzid.as_deref(), Some("Ursel"));
    }

    #[test]
    fn bad_messages_are_refused() {
        for bad in [&b""[..], b"\0", b"\0a", b"\0a\0", b"\0\0b", b"a\0b\0c\0", b"\0\xff\0b", b"a"] {
            assert_eq!(parse(bad), Err(Failure::MalformedRequest), "{bad:?}");
        }
        assert_eq!(parse(format!("\0{}\0b", "a".repeat(1024)).as_bytes()), Err(Failure::MalformedRequest));
        assert_eq!(parse("\0a\0\u{7}".as_bytes()), Err(Failure::NotAuthorized));
    }

    #[test]
    fn passwords_do_not_show() {
        assert!(!format!("{:?}", parse(b"\0tim\0tanstaaf").unwrap()).contains("tanstaaf"));
    }
}
