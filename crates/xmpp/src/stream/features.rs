//! What we advertise in each phase (RFC 6120 §4.3.2), ready to be put between `<stream:features>` and its end.

use super::Settings;
use super::state::Phase;
use crate::ns;
use crate::sasl::token::TokenMechanism;
use crate::sasl::{ChannelBindings, Mechanism};
use crate::write::Writer;

/// RFC 6120 §5.3.1: mandatory, so alone.
const BEFORE_TLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";

/// RFC 6120 §7.4; XEP-0198 §2; the session of RFC 3921 as the optional thing that old clients still look for.
const AFTER_AUTHENTICATION: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
    <sm xmlns='urn:xmpp:sm:3'/>";

/// Behind a bind that came with the authentication: what is still of use.
const BOUND: &str = "<sm xmlns='urn:xmpp:sm:3'/>";

/// RFC 6121 §2.6.1, for [`Settings::session_features`].
pub const ROSTER_VERSIONING: &str = "<ver xmlns='urn:xmpp:features:rosterver'/>";
/// RFC 6121 §3.4, for [`Settings::session_features`].
pub const PRE_APPROVAL: &str = "<sub xmlns='urn:xmpp:features:pre-approval'/>";
/// XEP-0352 §4.1, for [`Settings::session_features`].
pub const CLIENT_STATES: &str = "<csi xmlns='urn:xmpp:csi:0'/>";

/// Which of the configured mechanisms make sense on this connection.
pub(super) fn offered<'a>(
    settings: &'a Settings,
    bindings: &'a ChannelBindings,
) -> impl Iterator<Item = Mechanism> + 'a {
    settings.mechanisms.iter().copied().filter(|mechanism| !mechanism.is_plus() || !bindings.is_empty())
}

pub(super) fn of(phase: Phase, settings: &Settings, bindings: &ChannelBindings) -> String {
    match phase {
        Phase::Open => BEFORE_TLS.to_owned(),
        Phase::Secured => mechanisms(settings, bindings),
        Phase::Authenticated => [AFTER_AUTHENTICATION, &settings.session_features].concat(),
        Phase::Bound => [BOUND, &settings.session_features].concat(),
    }
}

/// RFC 6120 §6.4.1, XEP-0388 §2.1, and XEP-0440.
fn mechanisms(settings: &Settings, bindings: &ChannelBindings) -> String {
    let mut out = Vec::with_capacity(512);
    let mut writer = Writer::new(&mut out);
    writer.open_ns("mechanisms", ns::SASL);
    for mechanism in offered(settings, bindings) {
        writer.leaf("mechanism", mechanism.name());
    }
    writer.close();
    authentication(&mut writer, settings, bindings);
    if !bindings.is_empty() {
        writer.open_ns("sasl-channel-binding", ns::CHANNEL_BINDING);
        for name in bindings.types() {
            writer.open("channel-binding").attr("type", name).close();
        }
        writer.close();
    }
    drop(writer);
    String::from_utf8(out).expect("a writer writes UTF-8")
}

/// XEP-0388 §2.1 with what can be asked for at once: XEP-0386 §3.1, XEP-0198 §9, XEP-0484 §3.1.
fn authentication(writer: &mut Writer<'_>, settings: &Settings, bindings: &ChannelBindings) {
    if settings.mechanisms.is_empty() {
        return;
    }
    writer.open_ns("authentication", ns::SASL2);
    for mechanism in offered(settings, bindings) {
        writer.leaf("mechanism", mechanism.name());
    }
    writer.open("inline").open_ns("bind", ns::BIND2).open("inline");
    for feature in &settings.bind_features {
        writer.open("feature").attr("var", feature).close();
    }
    writer.close().close().open_ns("sm", ns::SM).close().open_ns("fast", ns::FAST);
    for mechanism in TokenMechanism::ALL {
        if mechanism.binding(bindings).is_some() {
            writer.leaf("mechanism", mechanism.name());
        }
    }
    writer.close().close().close();
}
