//! From a TCP connection to an authenticated stream (RFC 6120 §5, §6): TLS, SASL with the strongest mechanism there is.

use crate::error::ClientError;
use crate::link::{Element, Link};
use crate::target::{Security, Target};
use crate::transport::{self, Transport};
use chaski_xmpp::ns;
use chaski_xmpp::sasl::Nonce;
use chaski_xmpp::sasl::client::{Credentials, Exchange, choose};
use chaski_xmpp::stream::client::{Features, SaslReply, write_auth, write_response, write_starttls};

mod in_one;

pub(crate) use in_one::{Entered, enter};

/// Connects and authenticates. The link is at its new stream, whose features are returned.
pub(crate) async fn authenticated(
    target: &Target,
    credentials: &Credentials,
) -> Result<(Link, Features), ClientError> {
    let mut link = Link::new(transport_of(target).await?);
    link.open(&target.domain).await?;
    let features = features_of(&mut link).await?;
    go_on(link, features, target, credentials).await
}

/// Authenticates on a stream with these features, and opens the next.
pub(crate) async fn go_on(
    mut link: Link,
    features: Features,
    target: &Target,
    credentials: &Credentials,
) -> Result<(Link, Features), ClientError> {
    authenticate(&mut link, &features, credentials).await?;
    link.open(&target.domain).await?;
    let features = features_of(&mut link).await?;
    Ok((link, features))
}

/// Connects and, unless the target is a plain one, does TLS.
async fn transport_of(target: &Target) -> Result<Transport, ClientError> {
    let tcp = transport::tcp(&target.host, target.port)
        .await
        .map_err(|source| ClientError::Unreachable { server: target.to_string(), source })?;
    match &target.security {
        Security::Direct(trust) => transport::tls(tcp, target, trust, true).await,
        Security::Plain => {
            transport::must_be_loopback(&tcp, target)?;
            Ok(Transport::Plain(tcp))
        }
        Security::StartTls(trust) => {
            let Transport::Plain(tcp) = before_tls(tcp, target).await?.into_transport()? else {
                return Err(ClientError::Protocol("TLS before it was asked for"));
            };
            transport::tls(tcp, target, trust, false).await
        }
    }
}

/// Asks for TLS, up to `<proceed/>`.
async fn before_tls(tcp: tokio::net::TcpStream, target: &Target) -> Result<Link, ClientError> {
    let mut link = Link::new(Transport::Plain(tcp));
    link.open(&target.domain).await?;
    if !features_of(&mut link).await?.starttls {
        return Err(ClientError::NotOffered("TLS"));
    }
    write_starttls(link.out());
    let answer = link.element().await?;
    if !answer.stanza().is("proceed", ns::TLS) {
        return Err(ClientError::NotOffered("TLS"));
    }
    Ok(link)
}

pub(crate) async fn features_of(link: &mut Link) -> Result<Features, ClientError> {
    let element = link.element().await?;
    Features::parse(&element.stanza()).ok_or(ClientError::Protocol("something else than stream features"))
}

async fn authenticate(
    link: &mut Link,
    features: &Features,
    credentials: &Credentials,
) -> Result<(), ClientError> {
    let bindings = link.transport().channel_bindings();
    let types = features.channel_bindings.as_deref();
    let (mechanism, binding) = choose(&features.mechanisms, types, &bindings, link.transport().is_tls())
        .ok_or(ClientError::NotOffered("a login mechanism that we speak and that is safe here"))?;
    let nonce = Nonce::from_entropy(rand::random());
    let (mut exchange, initial) = Exchange::start(mechanism, credentials, binding, nonce)?;
    write_auth(mechanism, &initial, link.out());
    loop {
        let element = link.element().await?;
        match reply(&element)? {
            SaslReply::Challenge(data) => write_response(&exchange.challenge(&data)?, link.out()),
            SaslReply::Success(data) => return Ok(exchange.success(&data)?),
            SaslReply::Failure(condition, text) => return Err(ClientError::Refused { condition, text }),
        }
    }
}

fn reply(element: &Element) -> Result<SaslReply, ClientError> {
    SaslReply::parse(&element.stanza()).ok_or(ClientError::Protocol("something else than SASL"))
}
