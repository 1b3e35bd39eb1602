//! How a refusal reads on the wire: RFC 6120's condition, and beside it the one of XEP-0060 §§6-8.

use super::config::BadForm;
use super::state::Refused;
use chaski_store::StoreError;
use chaski_xmpp::{ErrorType, StanzaCondition, StanzaError, ns};

/// What a request is refused with.
pub(crate) type Fault = StanzaError<'static>;

/// A condition with one of XEP-0060's own.
pub(crate) const fn fault(condition: StanzaCondition, own: &'static str) -> Fault {
    StanzaError::new(condition).with_specific(own, ns::PUBSUB_ERRORS)
}

/// Too many wait for this account.
pub(crate) const BUSY: Fault =
    StanzaError::new(StanzaCondition::ResourceConstraint).with_type(ErrorType::Wait);

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        use StanzaCondition as C;
        match refused {
            Refused::NoNode | Refused::NoItem => StanzaError::new(C::ItemNotFound),
            Refused::Exists => StanzaError::new(C::Conflict),
            Refused::Precondition => fault(C::Conflict, "precondition-not-met"),
            Refused::Name => {
                fault(C::NotAcceptable, "invalid-payload").with_text("a name is empty or too long")
            }
            Refused::TooBig => fault(C::NotAcceptable, "payload-too-big"),
            Refused::TooManyNodes => fault(C::PolicyViolation, "max-nodes-exceeded"),
            Refused::TooManySubscribers => fault(C::PolicyViolation, "too-many-subscriptions"),
            Refused::Full => StanzaError::new(C::ResourceConstraint)
                .with_type(ErrorType::Cancel)
                .with_text("the account has published as much as it may"),
            Refused::Form(BadForm::Access) => fault(C::NotAcceptable, "unsupported-access-model"),
            Refused::Form(BadForm::Value) => StanzaError::new(C::NotAcceptable),
        }
    }
}

/// What the store's failure looks like to a client.
pub(crate) fn not_kept(error: &StoreError) -> Fault {
    let condition = match error {
        StoreError::Overloaded | StoreError::Full => StanzaCondition::ResourceConstraint,
        StoreError::MailboxFull | StoreError::Conflict | StoreError::Failed(_) => {
            StanzaCondition::InternalServerError
        }
    };
    StanzaError::new(condition).with_type(ErrorType::Wait)
}
