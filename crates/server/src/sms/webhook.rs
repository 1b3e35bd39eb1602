//! The gateway that posts a JSON document to a program of the operator's.
//!
//! `{"phone": "+49…", "text": "…", "code": "123456", "transport": "sms"|"voice", "locale": "de"|null}`; any 2xx is
//! success. The body of an answer is ignored.

use super::client::{Content, HttpClient};
use super::{Gateway, Message, Sending};
use serde::Serialize;

/// See the module.
pub struct Webhook {
    client: HttpClient,
    authorization: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    phone: &'a str,
    text: &'a str,
    code: &'a str,
    transport: chaski_services::rooms::accounts::registration::Transport,
    locale: Option<&'a str>,
}

impl Webhook {
    /// `token`, unless empty, is sent as a bearer token.
    pub fn new(url: &str, token: &str) -> Result<Self, String> {
        let authorization = (!token.is_empty()).then(|| format!("Bearer {token}"));
        Ok(Self { client: HttpClient::new(url)?, authorization })
    }
}

impl Gateway for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn speaks(&self) -> bool {
        true
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        let document = Document {
            phone: &message.phone,
            text: &message.text,
            code: &message.code,
            transport: message.transport,
            locale: message.locale.as_deref(),
        };
        let body = serde_json::to_vec(&document).expect("the document holds only strings");
        Box::pin(self.client.post(Content::Json, body, self.authorization.as_deref()))
    }
}
