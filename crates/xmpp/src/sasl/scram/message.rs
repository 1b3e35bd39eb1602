//! The four messages of SCRAM and their grammar (RFC 5802 §7), read without copying.

use super::base64;
use std::borrow::Cow;

/// Longest user name, in the bytes of its message: a JID's local part has at most 1023.
const USERNAME_BYTES_MAX: usize = 1023;
/// Longest nonce of a peer. Real ones have 24 to 64 characters.
const NONCE_BYTES_MAX: usize = 512;

/// The channel-binding flag of a GS2 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindingFlag<'a> {
    /// `n`: the client can't.
    Unsupported,
    /// `y`: the client can, but believes that the server can't.
    NotOffered,
    /// `p=`: bound to this type.
    Type(&'a str),
}

/// `n,,n=user,r=nonce`
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst<'a> {
    pub(crate) flag: BindingFlag<'a>,
    pub(crate) authzid: Option<Cow<'a, str>>,
    /// Everything up to and with the second comma: it comes back, bound, in the final message.
    pub(crate) gs2_header: &'a str,
    /// Everything after the header: part of the authentication message.
    pub(crate) bare: &'a str,
    pub(crate) username: Cow<'a, str>,
    pub(crate) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let (flag, rest) = text.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        let flag = match flag {
            "n" => BindingFlag::Unsupported,
            "y" => BindingFlag::NotOffered,
            _ => BindingFlag::Type(flag.strip_prefix("p=").filter(|name| is_binding_name(name))?),
        };
        let authzid = match authzid {
            "" => None,
            attribute => Some(parse_saslname(attribute.strip_prefix("a=")?)?),
        };
        // A message that begins with the mandatory extension `m=` fails here, as RFC 5802 §5.1 wants.
        let (username, rest) = bare.strip_prefix("n=")?.split_once(',')?;
        let (nonce, extensions) = split_attribute(rest);
        let nonce = nonce.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        extensions_are_legal(extensions).then_some(())?;
        let gs2_header = &text[..text.len() - bare.len()];
        Some(Self { flag, authzid, gs2_header, bare, username: parse_saslname(username)?, nonce })
    }
}

/// `r=nonce,s=salt,i=4096`
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerFirst<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let (nonce, rest) = text.strip_prefix("r=")?.split_once(',')?;
        let (salt, rest) = rest.strip_prefix("s=")?.split_once(',')?;
        let (iterations, extensions) = split_attribute(rest);
        let iterations = iterations.strip_prefix("i=")?;
        let plain = iterations.bytes().all(|byte| byte.is_ascii_digit());
        (plain && is_nonce(nonce) && extensions_are_legal(extensions)).then_some(())?;
        let salt = base64::decode_field(salt).filter(|salt| !salt.is_empty())?;
        let iterations = iterations.parse().ok().filter(|&iterations| iterations > 0)?;
        Some(Self { nonce, salt, iterations })
    }

    pub(crate) fn write(nonce: &str, salt: &[u8], iterations: u32) -> String {
        format!("r={nonce},s={},i={iterations}", base64::encode_field(salt))
    }
}

/// `c=biws,r=nonce,p=proof`
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFinal<'a> {
    pub(crate) binding: Vec<u8>,
    pub(crate) nonce: &'a str,
    pub(crate) proof: Vec<u8>,
    /// Everything before `,p=`: part of the authentication message.
    pub(crate) without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(data).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let (binding, rest) = without_proof.strip_prefix("c=")?.split_once(',')?;
        let (nonce, extensions) = split_attribute(rest);
        let nonce = nonce.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        extensions_are_legal(extensions).then_some(())?;
        let (binding, proof) = (base64::decode_field(binding)?, base64::decode_field(proof)?);
        Some(Self { binding, nonce, proof, without_proof })
    }

    pub(crate) fn write_without_proof(binding: &[u8], nonce: &str) -> String {
        format!("c={},r={nonce}", base64::encode_field(binding))
    }
}

/// `username` with comma and equals sign escaped.
pub(crate) fn write_saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn parse_saslname(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty() && text.len() <= USERNAME_BYTES_MAX && !text.contains('\0')).then_some(())?;
    if !text.contains('=') {
        return Some(Cow::Borrowed(text));
    }
    let mut name = String::with_capacity(text.len());
    let mut pieces = text.split('=');
    name.push_str(pieces.next()?);
    for piece in pieces {
        let (decoded, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        name.push(decoded);
        name.push_str(rest);
    }
    Some(Cow::Owned(name))
}

/// The attribute at the front, and what follows its comma.
fn split_attribute(text: &str) -> (&str, Option<&str>) {
    text.split_once(',').map_or((text, None), |(first, rest)| (first, Some(rest)))
}

/// `attr-val *("," attr-val)` of letters other than the mandatory extension's `m`; values are for others to ignore.
fn extensions_are_legal(extensions: Option<&str>) -> bool {
    extensions.is_none_or(|all| {
        all.split(',').all(|extension| {
            let mut bytes = extension.bytes();
            let letter = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() && byte != b'm');
            letter && bytes.next() == Some(b'=') && bytes.next().is_some() && !extension.contains('\0')
        })
    })
}

/// RFC 5056 §7: letters, digits, dot and hyphen.
fn is_binding_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

pub(super) fn is_nonce(text: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_first_is_read() {
        let message = ClientFirst::parse(b"p=tls-exporter,a=b=2Cc,n=u=3Ds,r=xyz,e=1").unwrap();
        assert_eq!(message.flag, BindingFlag::Type("tls-exporter"));
        assert_eq!(message.authzid.as_deref(), Some("b,c"));
        assert_eq!(message.gs2_header, "p=tls-exporter,a=b=2Cc,");
        assert_eq!(message.bare, "n=u=3Ds,r=xyz,e=1");
        assert_eq!((message.username.as_ref(), message.nonce), ("u=s", "xyz"));
    }

    #[test]
    fn bad_client_firsts_are_refused() {
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=a",
            "n,,n=a,",
            "n,,n=a,r=",
            "n,,n=,r=x",
            "x,,n=a,r=x",
            "p=,,n=a,r=x",
            "p,,n=a,r=x",
            "n,b,n=a,r=x",
            "n,a=,n=a,r=x",
            "n,,m=x,n=a,r=x",
            "n,,n=a=2,r=x",
            "n,,n=a=2c,r=x",
            "n,,n=a,r=x y",
            "n,,n=a,r=x,m=1",
            "n,,n=a,r=x,",
            "n,,n=a,r=x,1=1",
            "n,,r=x,n=a",
            "F,n,,n=a,r=x",
            "n,,n=a\0,r=x",
            "p=a b,,n=a,r=x",
        ] {
            assert_eq!(ClientFirst::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=x"), None);
        assert_eq!(ClientFirst::parse(format!("n,,n=a,r={}", "x".repeat(513)).as_bytes()), None);
    }

    #[test]
    fn bad_finals_are_refused() {
        for bad in [
            "",
            "c=biws,r=x",
            "c=biws,p=AAAA",
            "r=x,c=biws,p=AAAA",
            "c=b!,r=x,p=AAAA",
            "c=biws,r=x,p=A",
            "c=biws,r=,p=AAAA",
        ] {
            assert_eq!(ClientFinal::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert!(ClientFinal::parse(b"c=biws,r=x,e=1,p=AAAA").is_some());
    }

    #[test]
    fn bad_server_firsts_are_refused() {
        for bad in [
            "",
            "r=x,s=AAAA",
            "r=x,s=AAAA,i=0",
            "r=x,s=AAAA,i=-1",
            "r=x,s=,i=1",
            "r=x,s=AAAA,i=99999999999",
            "m=1,r=x,s=AAAA,i=1",
            "e=other-error",
        ] {
            assert_eq!(ServerFirst::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn names_survive_escaping() {
        for name in ["a", "a,b", "=", "=2C", ",,=="] {
            assert_eq!(parse_saslname(&write_saslname(name)).as_deref(), Some(name));
        }
    }
}
