//! What a client asks for together with its authentication, and what came of it: resumption (XEP-0198 §9), binding
//! with features (XEP-0386), a token (XEP-0484).
//!
//! Read by [`super::sasl2`]; carried out by the account's owner, all of it in one turn; written back into `<success/>`.

use crate::element::ElementRef;
use crate::ns;
use crate::sasl::Failure;
use crate::sasl::token::{PROOF_BYTES, TokenMechanism};
use crate::sm::Nonza;

/// An installation of a client, as it names itself: the UUID of `<user-agent/>` (XEP-0388 §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(pub [u8; 16]);

impl ClientId {
    /// Reads a UUID in its usual form. Of which version it is makes no difference to us.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let dashes_stand_right = text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text[*at] == b'-');
        if !dashes_stand_right {
            return None;
        }
        let mut digits = text.iter().enumerate().filter(|(at, _)| ![8, 13, 18, 23].contains(at));
        let mut digit = || char::from(*digits.next()?.1).to_digit(16);
        let mut id = [0; 16];
        for byte in &mut id {
            *byte = (digit()? << 4 | digit()?) as u8;
        }
        Some(Self(id))
    }

    /// The usual form again.
    pub fn to_uuid(self) -> String {
        let mut text = String::with_capacity(36);
        for (at, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&at) {
                text.push('-');
            }
            text.extend(
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])),
            );
        }
        text
    }
}

/// It is told to nobody (XEP-0386 §3.2.1), so logs don't show it either.
impl std::fmt::Debug for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientId(…)")
    }
}

/// Everything that one `<authenticate/>` asks for besides being let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Which installation asks.
    pub client: Option<ClientId>,
    /// The session to be resumed, before anything else.
    pub resume: Option<InlineResume>,
    /// The session to be made if none is resumed.
    pub bind: Option<InlineBind>,
    /// A token for this mechanism.
    pub token: Option<TokenMechanism>,
    /// The client came by a token of this mechanism and keeps it: it gets a new one when that is nearly over.
    pub came_by: Option<TokenMechanism>,
}

/// `<resume/>` (XEP-0198 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineResume {
    /// Which session.
    pub previd: String,
    /// Stanzas handled.
    pub h: u32,
}

/// `<bind/>` (XEP-0386 §3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InlineBind {
    /// The client's part of the resource, as it came.
    pub tag: Option<String>,
    /// Stream management (XEP-0198).
    pub enable: Option<InlineEnable>,
    /// Carbons (XEP-0280).
    pub carbons: bool,
    /// The session begins with nobody looking at it (XEP-0352).
    pub inactive: bool,
}

/// `<enable/>` (XEP-0198 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InlineEnable {
    /// Whether the session is to be resumable.
    pub resume: bool,
    /// For how many seconds, if the client has a wish.
    pub max_s: Option<u32>,
}

/// How a client uses its token (`<fast/>`, XEP-0484 §3.4 and §3.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenUse {
    /// How often it has tried with this token.
    pub count: Option<u32>,
    /// The token is to be good for this once.
    pub invalidate: bool,
}

/// What the owner of an account's tokens is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenProof {
    /// Whose token.
    pub client: ClientId,
    /// By which mechanism. A token is good for one.
    pub mechanism: TokenMechanism,
    /// What the proof is bound to on this connection.
    pub binding: Box<[u8]>,
    /// The client's proof.
    pub proof: [u8; PROOF_BYTES],
    /// How the token is used.
    pub token_use: TokenUse,
}

/// The binding is a secret of the connection.
impl std::fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mechanism, token_use, .. } = self;
        write!(f, "TokenProof({mechanism:?}, {token_use:?})")
    }
}

/// What came of [`Wishes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Who the client is: a full JID if there is a session, else a bare one.
    pub jid: String,
    /// The session.
    pub access: Access,
    /// The session to be resumed is gone; what was handled of it, if that is still known.
    pub lost: Option<Option<u32>>,
    /// A new token.
    pub token: Option<IssuedToken>,
}

/// Whether a client has a session, and how it got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// None: it did not ask for one, or there can be none now. It may bind or resume by the classic way.
    Authenticated,
    /// A new one.
    Bound {
        /// Stream management, if it was asked for.
        enabled: Option<InlineEnabled>,
        /// Whether carbons were asked for and are on.
        carbons: bool,
    },
    /// The one of before.
    Resumed {
        /// The id that the client gave.
        previd: String,
        /// Our count of stanzas handled.
        h: u32,
    },
}

/// `<enabled/>` (XEP-0198 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineEnabled {
    /// For resumption, if that was asked for.
    pub id: Option<String>,
    /// For how many seconds it can be resumed.
    pub max_s: u32,
}

/// `<token/>` (XEP-0484 §3.3).
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The secret.
    pub token: String,
    /// Until when it is good.
    pub expires_unix_ms: u64,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedToken(…, {})", self.expires_unix_ms)
    }
}

impl Wishes {
    /// Reads what stands in an `<authenticate/>`. Elements that we don't know are somebody else's and left out.
    pub(super) fn parse(authenticate: &ElementRef<'_>) -> Result<Self, Failure> {
        let mut wishes = Self::default();
        for child in authenticate.children() {
            if child.is("user-agent", ns::SASL2) {
                wishes.client = child.attr("id").and_then(|id| ClientId::parse(&id));
            } else if child.is("bind", ns::BIND2) {
                wishes.bind = Some(InlineBind::parse(&child)?);
            } else if child.is("request-token", ns::FAST) {
                let mechanism = child.attr("mechanism").ok_or(Failure::MalformedRequest)?;
                // One that we don't have is not refused: the client gets in, without a token.
                wishes.token = TokenMechanism::from_name(&mechanism);
            } else if let Some(nonza) = Nonza::parse(&child) {
                let Ok(Nonza::Resume { previd, h }) = nonza else { return Err(Failure::MalformedRequest) };
                wishes.resume = Some(InlineResume { previd: previd.into_owned(), h });
            }
        }
        Ok(wishes)
    }
}

impl InlineBind {
    fn parse(bind: &ElementRef<'_>) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        for child in bind.children() {
            if child.is("tag", ns::BIND2) {
                wanted.tag = Some(child.text().into_owned()).filter(|tag| !tag.is_empty());
            } else if child.is("enable", ns::CARBONS) {
                wanted.carbons = true;
            } else if child.is("inactive", ns::CSI) || child.is("active", ns::CSI) {
                wanted.inactive = child.name() == "inactive";
            } else if let Some(nonza) = Nonza::parse(&child) {
                let Ok(Nonza::Enable { resume, max }) = nonza else { return Err(Failure::MalformedRequest) };
                wanted.enable = Some(InlineEnable { resume, max_s: max });
            }
        }
        Ok(wanted)
    }
}

impl TokenUse {
    /// Reads the `<fast/>` in an `<authenticate/>`; `None` if there is none.
    pub(super) fn parse(authenticate: &ElementRef<'_>) -> Option<Result<Self, Failure>> {
        let fast = authenticate.child("fast", ns::FAST)?;
        let count = fast.attr("count").map(|count| {
            let digits = count.bytes().all(|byte| byte.is_ascii_digit());
            count.parse().ok().filter(|_| digits).ok_or(Failure::MalformedRequest)
        });
        let invalidate = match fast.attr("invalidate").as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(Failure::MalformedRequest),
        };
        Some(count.transpose().and_then(|count| Ok(Self { count, invalidate: invalidate? })))
    }
}
