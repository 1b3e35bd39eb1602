//! The gateway that speaks as Twilio's Messages resource does: a form with `To`, `From` and `Body`, basic
//! authentication by account SID and token, 201 on success. Many other providers accept the same call.

use super::client::{Content, HttpClient};
use super::{Gateway, Message, Sending};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// See the module.
pub struct Twilio {
    client: HttpClient,
    authorization: String,
    from: String,
}

impl Twilio {
    /// `url` is the whole URL of the resource, `…/2010-04-01/Accounts/AC…/Messages.json`; `from` is a number, a name,
    /// or the SID of a messaging service (`MG…`).
    pub fn new(url: &str, account: &str, token: &str, from: &str) -> Result<Self, String> {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{account}:{token}")));
        Ok(Self { client: HttpClient::new(url)?, authorization, from: from.to_owned() })
    }

    fn form(&self, message: &Message) -> String {
        let service = self.from.starts_with("MG") && self.from.len() == 34;
        let sender = if service { "MessagingServiceSid" } else { "From" };
        let mut form = String::from("To=");
        encode(&mut form, &message.phone);
        form.push_str(&format!("&{sender}="));
        encode(&mut form, &self.from);
        form.push_str("&Body=");
        encode(&mut form, &message.text);
        form
    }
}

impl Gateway for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        let body = self.form(message).into_bytes();
        Box::pin(self.client.post(Content::Form, body, Some(&self.authorization)))
    }
}

/// Percent-encodes a form's value; everything but the unreserved characters of RFC 3986 §2.3.
fn encode(form: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                form.push(char::from(byte))
            }
            _ => form.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        let mut form = String::new();
        encode(&mut form, "+49 für&=");
        assert_eq!(form, "%2B49%20f%C3%BCr%26%3D");
    }
}
