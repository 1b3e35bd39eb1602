//! Registering a phone number by HTTPS: ask for a code, prove it, get a key (docs/registration.md).

use crate::http::{Answer, Base};
use crate::trust::Trust;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

pub use crate::http::HttpError;

/// Why there is no registration.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server's problem document (RFC 9457).
    #[error("{detail}")]
    Refused {
        /// The end of its type: stable.
        kind: String,
        /// For a person.
        detail: String,
        /// When to try again.
        retry_after_s: Option<u64>,
    },
}

/// A registration that waits for its code.
#[derive(Debug, Clone, Deserialize)]
pub struct Begun {
    /// What to confirm.
    pub id: String,
    /// Digits of the code.
    pub code_length: usize,
    /// Seconds until it is over.
    pub expires_in: u64,
    /// Whether a message was sent for it. If not, the code of the latest one is right, if there was one lately.
    #[serde(default = "yes")]
    pub sent: bool,
}

/// What servers of before have done always.
fn yes() -> bool {
    true
}

/// How TLS begins at a [`Host`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostTls {
    /// After `<starttls/>`.
    Starttls,
    /// At once.
    Direct,
}

/// What proves that whoever has the code is the one who had the number before.
#[derive(Clone, Copy, Default)]
pub struct Proofs<'a> {
    /// The second PIN, where the account has one.
    pub lock_pin: Option<&'a str>,
    /// The key that the account had until now.
    pub previous_key: Option<&'a str>,
}

/// A place to connect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Host {
    /// Name or address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// How TLS begins.
    pub tls: HostTls,
}

/// An account that is ours.
#[derive(Clone, Deserialize)]
pub struct Registered {
    /// The bare JID.
    pub jid: String,
    /// The secret key.
    pub key: String,
    /// The domain to log in to.
    pub domain: String,
    /// Where, best first.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// What is there of the account that the number had: "everything", "profile" or "nothing".
    #[serde(default)]
    pub kept: String,
}

/// Does not show the key.
impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("jid", &self.jid).finish_non_exhaustive()
    }
}

/// A server's registration.
#[derive(Debug, Clone)]
pub struct Registration(Base);

impl Registration {
    /// At this URL.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, RegistrationError> {
        Ok(Self(Base::new(url, trust)?))
    }

    /// Asks for a code by SMS.
    pub async fn begin(&self, phone: &str) -> Result<Begun, RegistrationError> {
        let body = json!({ "phone": phone, "transport": "sms", "client": "chaski chat" });
        let answer = self.0.call(Method::POST, "/v1/registrations", &body).await?;
        self.read(answer)
    }

    /// Asks for a code again.
    pub async fn send_again(&self, id: &str) -> Result<Begun, RegistrationError> {
        let body = json!({ "transport": "sms" });
        let answer = self.0.call(Method::POST, &format!("/v1/registrations/{id}/code"), &body).await?;
        self.read(answer)
    }

    /// Proves the code, and with it what else there is.
    pub async fn confirm(
        &self,
        id: &str,
        code: &str,
        device_name: &str,
        proofs: Proofs<'_>,
    ) -> Result<Registered, RegistrationError> {
        let mut body = json!({ "code": code, "device_name": device_name });
        for (name, proof) in [("lock_pin", proofs.lock_pin), ("previous_key", proofs.previous_key)] {
            if let Some(proof) = proof {
                body[name] = proof.into();
            }
        }
        let answer = self.0.call(Method::PUT, &format!("/v1/registrations/{id}"), &body).await?;
        self.read(answer)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, answer: Answer) -> Result<T, RegistrationError> {
        if !(200..300).contains(&answer.status) {
            return Err(refused(&answer));
        }
        let read = serde_json::from_value(answer.body);
        Ok(read.map_err(|_| self.0.bad_answer("it is no answer to a registration"))?)
    }
}

fn refused(answer: &Answer) -> RegistrationError {
    let text = |name: &str| answer.body.get(name).and_then(Value::as_str);
    let kind = text("type").and_then(|uri| uri.rsplit(':').next()).unwrap_or("about:blank").to_owned();
    let detail = text("detail").map_or_else(|| format!("HTTP status {}", answer.status), str::to_owned);
    RegistrationError::Refused { kind, detail, retry_after_s: answer.retry_after_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_read() {
        let body = json!({"type": "urn:chaski:problem:too-soon", "detail": "wait a minute"});
        let error = refused(&Answer { status: 429, retry_after_s: Some(60), body });
        let RegistrationError::Refused { kind, detail, retry_after_s } = error else { panic!() };
        assert_eq!((kind.as_str(), detail.as_str(), retry_after_s), ("too-soon", "wait a minute", Some(60)));
        let error = refused(&Answer { status: 502, retry_after_s: None, body: Value::Null });
        assert!(error.to_string().contains("502"));
    }
}
