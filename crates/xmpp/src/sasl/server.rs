//! The server's side of an authentication: each pending state is a value of its own that can only be continued in
//! the way the mechanism allows, so an exchange can't be asked out of turn.
//!
//! Called by [`crate::stream::Negotiation`] for either profile, which frame the same bytes differently.

use super::scram::{ClientFinal, ClientFirst, Hash, Nonce, ScramSecret, ServerFirst};
use super::{ChannelBindings, Failure, Mechanism, Password, plain, prep, scram};
use subtle::ConstantTimeEq;

/// What an exchange is about.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Our domain: an authorization identity is `user@domain`.
    pub domain: &'a str,
    /// The bare JID that the stream's opening named, if it has to be the one that is acted as.
    pub from: Option<&'a str>,
    /// What the TLS connection has. If there is anything, a -PLUS mechanism was offered.
    pub bindings: &'a ChannelBindings,
    /// Our part of SCRAM's nonce.
    pub nonce: Nonce,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Send these bytes (possibly none) as a challenge, wait for the response.
    Challenge(Vec<u8>, AwaitingResponse),
    /// Look up the user's secret.
    NeedSecret(NeedSecret),
    /// Check the password.
    VerifyPlain(VerifyPlain),
    /// The client is who it says. `data` goes into the success, if there is any.
    Success {
        /// The user's name, after SASLprep, as given: not yet a normalised local part.
        username: String,
        /// SCRAM's server signature; empty for PLAIN.
        data: Vec<u8>,
    },
    /// It is not.
    Failure(Failure),
}

/// Begins an exchange. `initial` is the initial response if the client sent one.
pub fn start(mechanism: Mechanism, initial: Option<&[u8]>, context: Context<'_>) -> Step {
    if mechanism.is_plus() && context.bindings.is_empty() {
        return Step::Failure(Failure::InvalidMechanism);
    }
    let begin = Begin {
        mechanism,
        domain: context.domain.into(),
        from: context.from.map(Into::into),
        bindings: context.bindings.clone(),
        nonce: context.nonce,
    };
    match initial {
        Some(data) => begin.first(data),
        None => Step::Challenge(Vec::new(), AwaitingResponse(Awaited::First(begin))),
    }
}

/// Waits for the client's response.
#[derive(Debug)]
pub struct AwaitingResponse(Awaited);

#[derive(Debug)]
enum Awaited {
    First(Begin),
    Final(ScramFinal),
}

/// What a proof can lead to. A wrong one is told in the same words whether the secret can be guessed or not, so that nobody
/// learns of which kind it is, or whether there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tries {
    /// It decides.
    #[default]
    Left,
    /// Too many were wrong, of a secret that nobody can guess: a right proof decides, a wrong one is told to come later.
    UsedUp,
    /// Too many were wrong: whatever it is, it is told to come later.
    UsedUpByGuesses,
}

impl AwaitingResponse {
    /// The user's secret, of which the challenge was made without knowing it, from a decoy: what comes next is judged by it. False: it is not a
    /// proof that is awaited, or the challenge was not this secret's, and no proof can be right.
    pub fn learn(&mut self, secret: ScramSecret) -> bool {
        let Awaited::Final(awaiting) = &mut self.0 else { return false };
        let told = &awaiting.secret;
        let is_told =
            (told.hash, &told.salt, told.iterations) == (secret.hash, &secret.salt, secret.iterations);
        if is_told && secret.is_sound() {
            awaiting.secret = secret;
        }
        is_told
    }

    /// Goes on with the response.
    pub fn respond(self, data: &[u8]) -> Step {
        self.respond_within(data, Tries::Left)
    }

    /// Goes on with the response, if that is a proof as far as there are tries.
    pub fn respond_within(self, data: &[u8], tries: Tries) -> Step {
        match self.0 {
            Awaited::First(begin) => begin.first(data),
            Awaited::Final(awaiting) => awaiting.finish(data, tries).unwrap_or_else(Step::Failure),
        }
    }
}

/// Waits for the user's SCRAM secret.
#[derive(Debug)]
pub struct NeedSecret {
    username: String,
    hash: Hash,
    binding: Vec<u8>,
    client_first_bare: String,
    nonce: String,
}

impl NeedSecret {
    /// Whose.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// For which hash.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Goes on with the secret; for a user who does not exist, with [`ScramSecret::decoy`].
    pub fn provide(self, secret: ScramSecret) -> Step {
        if secret.hash != self.hash || !secret.is_sound() {
            return Step::Failure(Failure::TemporaryAuthFailure);
        }
        let server_first = ServerFirst::write(&self.nonce, &secret.salt, secret.iterations);
        let challenge = server_first.clone().into_bytes();
        let auth_message_start = format!("{},{server_first},", self.client_first_bare);
        let awaiting = ScramFinal {
            username: self.username,
            secret,
            binding: self.binding,
            nonce: self.nonce,
            auth_message_start,
        };
        Step::Challenge(challenge, AwaitingResponse(Awaited::Final(awaiting)))
    }
}

/// Waits for a password to be checked.
#[derive(Debug)]
pub struct VerifyPlain {
    username: String,
    password: Password,
}

impl VerifyPlain {
    /// Whose.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Which.
    pub fn password(&self) -> &Password {
        &self.password
    }

    /// Goes on with the answer.
    pub fn verified(self, right: bool) -> Step {
        match right {
            true => Step::Success { username: self.username, data: Vec::new() },
            false => Step::Failure(Failure::NotAuthorized),
        }
    }
}

#[derive(Debug)]
struct Begin {
    mechanism: Mechanism,
    domain: Box<str>,
    from: Option<Box<str>>,
    bindings: ChannelBindings,
    nonce: Nonce,
}

impl Begin {
    fn first(self, data: &[u8]) -> Step {
        let step = match self.mechanism.hash() {
            None => self.plain(data),
            Some(hash) => self.scram(hash, data),
        };
        step.unwrap_or_else(Step::Failure)
    }

    fn plain(self, data: &[u8]) -> Result<Step, Failure> {
        let plain::Message { authzid, username, password } = plain::parse(data)?;
        self.check_authzid(authzid.as_deref(), &username)?;
        Ok(Step::VerifyPlain(VerifyPlain { username, password }))
    }

    fn scram(self, hash: Hash, data: &[u8]) -> Result<Step, Failure> {
        let first = ClientFirst::parse(data).ok_or(Failure::MalformedRequest)?;
        let mut binding = first.gs2_header.as_bytes().to_vec();
        binding.extend_from_slice(self.bound_data(first.flag)?);
        let username = prep::saslprep(&first.username).ok_or(Failure::NotAuthorized)?.into_owned();
        self.check_authzid(first.authzid.as_deref(), &username)?;
        Ok(Step::NeedSecret(NeedSecret {
            username,
            hash,
            binding,
            client_first_bare: first.bare.to_owned(),
            nonce: format!("{}{}", first.nonce, self.nonce.as_str()),
        }))
    }

    /// RFC 5802 §6. `y` while we do offer channel binding means that somebody has removed the -PLUS mechanisms from
    /// what the client saw. (With a -PLUS mechanism only `p` makes sense, without one `p` does not.)
    fn bound_data(&self, flag: scram::BindingFlag<'_>) -> Result<&[u8], Failure> {
        use scram::BindingFlag::{NotOffered, Type, Unsupported};
        match (flag, self.mechanism.is_plus()) {
            (Type(name), true) => self.bindings.get(name).ok_or(Failure::MalformedRequest),
            (Unsupported, false) => Ok(&[]),
            (NotOffered, false) if self.bindings.is_empty() => Ok(&[]),
            _ => Err(Failure::MalformedRequest),
        }
    }

    /// RFC 6120 §6.3.8: the authorization identity is a bare JID. Nobody may act for somebody else.
    fn check_authzid(&self, authzid: Option<&str>, username: &str) -> Result<(), Failure> {
        let Some(authzid) = authzid else { return Ok(()) };
        let own = authzid
            .rsplit_once('@')
            .is_some_and(|(local, domain)| local == username && domain.eq_ignore_ascii_case(&self.domain));
        let opened = self
            .from
            .as_deref()
            .is_none_or(|from| from.split_once('@').is_some_and(|(local, _)| local == username));
        if opened && (own || authzid == username) { Ok(()) } else { Err(Failure::InvalidAuthzid) }
    }
}

#[derive(Debug)]
struct ScramFinal {
    username: String,
    secret: ScramSecret,
    binding: Vec<u8>,
    nonce: String,
    auth_message_start: String,
}

impl ScramFinal {
    fn finish(self, data: &[u8], tries: Tries) -> Result<Step, Failure> {
        let message = ClientFinal::parse(data).ok_or(Failure::MalformedRequest)?;
        let auth_message = self.auth_message_start + message.without_proof;
        // All three are computed, whatever the first says, so that time tells nothing.
        let nonce_is_ours = message.nonce.as_bytes().ct_eq(self.nonce.as_bytes());
        let binding_is_ours = message.binding.ct_eq(&self.binding);
        let proved = self.secret.verify_proof(auth_message.as_bytes(), &message.proof);
        let is_right = bool::from(nonce_is_ours & binding_is_ours) && proved;
        if !is_right || tries == Tries::UsedUpByGuesses {
            return Err(if tries == Tries::Left {
                Failure::NotAuthorized
            } else {
                Failure::TemporaryAuthFailure
            });
        }
        let mut data = b"v=".to_vec();
        let signature = self.secret.server_signature(auth_message.as_bytes());
        data.extend_from_slice(super::base64::encode_field(&signature).as_bytes());
        Ok(Step::Success { username: self.username, data })
    }
}
