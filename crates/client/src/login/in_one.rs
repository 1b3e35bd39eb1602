//! Logging in, resuming or binding in one exchange (XEP-0388, XEP-0386), by a token without waiting for anything (XEP-0484).

use super::{features_of, transport_of};
use crate::device::{Device, Token};
use crate::error::ClientError;
use crate::link::Link;
use crate::target::Target;
use chaski_xmpp::sasl::client::{Credentials, Exchange, choose};
use chaski_xmpp::sasl::token::{self, Claim, TokenMechanism};
use chaski_xmpp::sasl::{ChannelBindings, Nonce};
use chaski_xmpp::stream::client::{
    Authenticate, Features, Offer, Sasl2Reply, write_authenticate, write_response2,
};
use chaski_xmpp::stream::{Admission, TokenUse, Wishes};

/// What our programs are called.
const SOFTWARE: &str = "Chaski";

/// How an attempt ended.
pub(crate) enum Entered {
    /// In. The features of an authenticated stream follow, unless a session was resumed.
    Admitted(Link, Box<Admission>),
    /// The server does not offer it: its features.
    NotOffered(Link, Features),
}

/// Connects and logs in with these wishes. `device.token` is replaced by a new one, and dropped if it is not good.
pub(crate) async fn enter(
    target: &Target,
    credentials: &Credentials,
    device: &mut Device,
    wishes: Wishes,
) -> Result<Entered, ClientError> {
    let mut link = Link::new(transport_of(target).await?);
    let bindings = link.transport().channel_bindings();
    let mut wishes = Wishes { client: Some(device.id), ..wishes };
    let claimed = device.token.clone().filter(|token| token.mechanism.binding(&bindings).is_some());
    let claim = claimed.as_ref().map(|token| write_claim(token, credentials, &bindings, &wishes));
    link.open_with(&target.domain, &claim.unwrap_or_default()).await?;
    let features = features_of(&mut link).await?;
    if let Some(claimed) = claimed {
        match by_token(&mut link, &claimed, &bindings).await? {
            Some(admission) => return Ok(admitted(link, admission, device, Some(claimed.mechanism))),
            None => device.token = None,
        }
    }
    let Some(offer) = features.sasl2.as_ref().filter(|offer| offer.bind.is_some()) else {
        return Ok(Entered::NotOffered(link, features));
    };
    let mut for_tokens = offer.tokens.iter().copied();
    wishes.token = for_tokens.find(|mechanism| mechanism.binding(&bindings).is_some());
    let types = features.channel_bindings.as_deref();
    let admission = by_key(&mut link, offer, types, &bindings, credentials, &wishes).await?;
    Ok(admitted(link, admission, device, wishes.token))
}

fn admitted(
    link: Link,
    admission: Box<Admission>,
    device: &mut Device,
    mechanism: Option<TokenMechanism>,
) -> Entered {
    if let (Some(issued), Some(mechanism)) = (&admission.token, mechanism) {
        device.token = Some(Token { secret: issued.token.clone(), mechanism });
    }
    Entered::Admitted(link, admission)
}

fn write_claim(
    token: &Token,
    credentials: &Credentials,
    bindings: &ChannelBindings,
    wishes: &Wishes,
) -> Vec<u8> {
    let binding = token.mechanism.binding(bindings).unwrap_or_default();
    let claim = Claim::write(&credentials.username, &token.secret, binding);
    let token_use = Some(TokenUse::default());
    let (mechanism, initial, software) = (token.mechanism.name(), claim.as_slice(), Some(SOFTWARE));
    let mut out = Vec::new();
    write_authenticate(&Authenticate { mechanism, initial, software, wishes, token_use }, &mut out);
    out
}

/// The answer to a claim that is on its way. `None`: the token is not good.
async fn by_token(
    link: &mut Link,
    token: &Token,
    bindings: &ChannelBindings,
) -> Result<Option<Box<Admission>>, ClientError> {
    let expected = token::responder(&token.secret, token.mechanism.binding(bindings).unwrap_or_default());
    match reply(link).await? {
        Sasl2Reply::Success(data, admission) if token::is_same(&data, &expected) => Ok(Some(admission)),
        Sasl2Reply::Success(..) => Err(chaski_xmpp::sasl::client::ClientError::ServerNotProved.into()),
        Sasl2Reply::Failure(..) => Ok(None),
        Sasl2Reply::Challenge(_) => Err(ClientError::Protocol("a challenge to a token")),
    }
}

async fn by_key(
    link: &mut Link,
    offer: &Offer,
    types: Option<&[String]>,
    bindings: &ChannelBindings,
    credentials: &Credentials,
    wishes: &Wishes,
) -> Result<Box<Admission>, ClientError> {
    let (mechanism, binding) = choose(&offer.mechanisms, types, bindings, link.transport().is_tls())
        .ok_or(ClientError::NotOffered("a login mechanism that we speak and that is safe here"))?;
    let nonce = Nonce::from_entropy(rand::random());
    let (mut exchange, initial) = Exchange::start(mechanism, credentials, binding, nonce)?;
    let authenticate = Authenticate {
        mechanism: mechanism.name(),
        initial: &initial,
        software: Some(SOFTWARE),
        wishes,
        token_use: None,
    };
    write_authenticate(&authenticate, link.out());
    loop {
        match reply(link).await? {
            Sasl2Reply::Challenge(data) => write_response2(&exchange.challenge(&data)?, link.out()),
            Sasl2Reply::Success(data, admission) => {
                exchange.success(&data)?;
                return Ok(admission);
            }
            Sasl2Reply::Failure(condition, text) => return Err(ClientError::Refused { condition, text }),
        }
    }
}

async fn reply(link: &mut Link) -> Result<Sasl2Reply, ClientError> {
    let element = link.element().await?;
    Sasl2Reply::parse(&element.stanza()).ok_or(ClientError::Protocol("something else than SASL2"))
}
