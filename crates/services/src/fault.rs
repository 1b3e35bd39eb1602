//! How a refusal reads on the wire: RFC 6120's condition, and beside it the one of XEP-0060 §§6-8.

use chaski_store::StoreError;
use chaski_xmpp::{ErrorType, StanzaCondition, StanzaError, ns};

/// What a request is refused with.
pub(crate) type Fault = StanzaError<'static>;

/// A condition with one of XEP-0060's own.
pub(crate) const fn fault(condition: StanzaCondition, own: &'static str) -> Fault {
    StanzaError::new(condition).with_specific(own, ns::PUBSUB_ERRORS)
}

/// Too many requests wait for this account.
pub(crate) const BUSY: Fault =
    StanzaError::new(StanzaCondition::ResourceConstraint).with_type(ErrorType::Wait);

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
