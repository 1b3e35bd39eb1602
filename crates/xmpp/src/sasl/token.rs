//! Tokens as SASL mechanisms: the HT family (draft-schmaus-kitten-sasl-ht-09), by which a client of XEP-0484 comes back
//! in one message.
//!
//! Called by [`crate::stream`], by the owner of an account's tokens (which alone knows them), and by our client.
//! Promises: comparisons take constant time; a proof says nothing about the token.

use super::{ChannelBindings, client, prep};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Length of a proof, either side's.
pub const PROOF_BYTES: usize = 32;

/// A mechanism of the family, all with SHA-256. Ordered: the strongest is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenMechanism {
    /// Bound to nothing.
    Unbound,
    /// Bound to the server's certificate (RFC 5929 §4).
    EndPoint,
    /// Bound to the TLS connection (RFC 9266).
    Exporter,
}

impl TokenMechanism {
    /// All of them, the strongest first, as they are advertised.
    pub const ALL: [Self; 3] = [Self::Exporter, Self::EndPoint, Self::Unbound];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unbound => "HT-SHA-256-NONE",
            Self::EndPoint => "HT-SHA-256-ENDP",
            Self::Exporter => "HT-SHA-256-EXPR",
        }
    }

    /// The mechanism of a name, exactly as written.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// What of a connection's bindings goes into its proofs; `None` if the connection does not have it.
    pub fn binding(self, bindings: &ChannelBindings) -> Option<&[u8]> {
        match self {
            Self::Unbound => Some(&[]),
            Self::EndPoint => bindings.get(client::TLS_SERVER_END_POINT),
            Self::Exporter => bindings.get(client::TLS_EXPORTER),
        }
    }
}

/// The client's only message: `name NUL proof`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who it claims to be, after SASLprep: not yet a normalised local part.
    pub username: String,
    /// That it has the token.
    pub proof: [u8; PROOF_BYTES],
}

impl Claim {
    /// Reads the message. The proof is any bytes, so the name ends at the first NUL.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let end = data.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(&data[..end]).ok().filter(|name| !name.is_empty())?;
        Some(Self { username: prep::saslprep(name)?.into_owned(), proof: data[end + 1..].try_into().ok()? })
    }

    /// Writes the message of a client that has this token.
    pub fn write(username: &str, token: &str, binding: &[u8]) -> Vec<u8> {
        [username.as_bytes(), &[0], &initiator(token, binding)].concat()
    }
}

/// What proves to the server that the client has the token.
pub fn initiator(token: &str, binding: &[u8]) -> [u8; PROOF_BYTES] {
    proof(token, b"Initiator", binding)
}

/// What proves to the client that the server knows the token.
pub fn responder(token: &str, binding: &[u8]) -> [u8; PROOF_BYTES] {
    proof(token, b"Responder", binding)
}

/// Whether two proofs are equal, in constant time.
pub fn is_same(proof: &[u8], expected: &[u8; PROOF_BYTES]) -> bool {
    proof.ct_eq(expected).into()
}

fn proof(token: &str, side: &[u8], binding: &[u8]) -> [u8; PROOF_BYTES] {
    let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update(side).chain_update(binding).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_read_as_it_was_written() {
        let claim = Claim::parse(&Claim::write("+15551230001", "secret", b"cb")).unwrap();
        assert_eq!(claim.username, "+15551230001");
        assert!(is_same(&claim.proof, &initiator("secret", b"cb")));
        assert!(!is_same(&claim.proof, &initiator("secret", b"")), "bound");
        assert!(!is_same(&claim.proof, &responder("secret", b"cb")), "not to be reflected");
        assert!(!is_same(&claim.proof, &initiator("other", b"cb")));
    }

    #[test]
    fn proofs_are_those_of_the_draft() {
        // HMAC-SHA-256 of "Initiator" under "key", by another implementation.
        let expected = "8c227a576b09afe4f967c42bd08de633818ee579ef7dc96010bf82db6b717d78";
        let hex: String = initiator("key", b"").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn anything_else_is_no_claim() {
        let proof = [0; PROOF_BYTES];
        for bad in [
            &b""[..],
            b"name",
            b"name\0",
            &[b"\0", &proof[..]].concat(),
            &[b"name\0", &proof[1..]].concat(),
            &[b"name\0", &proof[..], b"\0"].concat(),
            &[b"\xff\0", &proof[..]].concat(),
        ] {
            assert_eq!(Claim::parse(bad), None, "{bad:?}");
        }
        assert!(Claim::parse(&[b"n\0", &proof[..]].concat()).is_some(), "a proof may hold any bytes");
    }

    #[test]
    fn a_mechanism_needs_its_binding() {
        let bindings = ChannelBindings { tls_exporter: Some([5; 32]), tls_server_end_point: None };
        assert_eq!(TokenMechanism::Exporter.binding(&bindings), Some(&[5; 32][..]));
        assert_eq!(TokenMechanism::EndPoint.binding(&bindings), None);
        assert_eq!(TokenMechanism::Unbound.binding(&ChannelBindings::NONE), Some(&[][..]));
        for mechanism in TokenMechanism::ALL {
            assert_eq!(TokenMechanism::from_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!(TokenMechanism::from_name("HT-SHA-256-UNIQ"), None);
    }
}
