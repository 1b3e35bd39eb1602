//! The one way in which settings change: by an errand in the account's ledger, durable before anybody sees it.
//!
//! Called by [`crate::rooms::blocking`] (IQ), [`crate::rooms::privacy`] (form) and [`crate::owner`]'s `commands` (HTTPS). Changes
//! are written one at a time; others wait, and beyond [`crate::effects::turn::errand::ERRANDS_MAX`] they are refused.

use crate::account::Account;
use crate::account::settings::SETTINGS;
use crate::account::settings::{AccountKind, Patch, PatchError, Settings};
use crate::effects::event::Event;
use crate::effects::turn::Turn;
use crate::effects::turn::command::Refusal;
use crate::effects::turn::errand::{Change, Errand, Found};
use chaski_store::records::Put;
use chaski_store::{StoreError, Table, Versioned};
use chaski_xmpp::{ErrorType, StanzaCondition, StanzaError};

/// Why settings are not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What is asked for is not possible.
    #[error("{0}")]
    Bad(String),
    /// A bound would be exceeded.
    #[error("{0}")]
    Full(String),
    /// Too many changes wait.
    #[error("too many changes wait, try again later")]
    Busy,
    /// The store has failed.
    #[error("the settings can't be saved now, try again later")]
    Store,
}

impl Refused {
    /// The error that a client gets.
    pub(crate) fn error(&self) -> StanzaError<'_> {
        match self {
            Self::Bad(text) => StanzaError::new(StanzaCondition::NotAcceptable).with_text(text),
            Self::Full(text) => StanzaError::new(StanzaCondition::PolicyViolation).with_text(text),
            Self::Busy => StanzaError::new(StanzaCondition::ResourceConstraint).with_type(ErrorType::Wait),
            Self::Store => StanzaError::new(StanzaCondition::InternalServerError).with_type(ErrorType::Wait),
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Bad(text) | Refused::Full(text) => Self::NotAcceptable(text),
            Refused::Busy => Self::Overloaded,
            Refused::Store => Self::Unavailable(refused.to_string()),
        }
    }
}

/// An account's settings as they are being changed.
pub(crate) struct Draft {
    /// The settings, to be changed in place.
    pub(crate) settings: Settings,
    /// The other records that were read, in the order in which they were asked for.
    pub(crate) found: Vec<Option<Versioned>>,
    /// Other records to be written in the same transaction as the settings.
    pub(crate) puts: Vec<Put>,
}

/// Changes the settings when their turn comes. `reads`: other records that `edit` wants to see. `told` is called once, when the
/// change is durable and in force, or refused.
pub(crate) fn change(
    turn: &mut Turn<'_>,
    reads: Vec<(Table, String)>,
    edit: impl FnOnce(&mut Draft) -> Result<(), Refused> + Send + 'static,
    told: impl FnOnce(&mut Turn<'_>, &mut Account, Result<(), Refused>) + Send + 'static,
) {
    turn.outbox.errand(Errand::change(reads, |turn, account, found| {
        match draft(account, found).and_then(|mut draft| edit(&mut draft).map(|()| draft)) {
            Ok(draft) => keep(account, draft, told),
            Err(refused) => {
                told(turn, account, Err(refused));
                None
            }
        }
    }));
}

/// Changes rules when their turn comes: see [`Settings::apply`].
pub(crate) fn patch(
    turn: &mut Turn<'_>,
    patch: Patch,
    whole: bool,
    told: impl FnOnce(&mut Turn<'_>, &mut Account, Result<(), Refused>) + Send + 'static,
) {
    let domain = turn.realm.domain.clone();
    let edit = move |draft: &mut Draft| {
        draft.settings.apply(&patch, whole, &domain).map_err(|error| match error {
            PatchError::Contact(_) => Refused::Bad(error.to_string()),
            PatchError::TooMany => Refused::Full(error.to_string()),
        })
    };
    change(turn, Vec::new(), edit, told);
}

fn draft(account: &Account, found: Found) -> Result<Draft, Refused> {
    let found = found.map_err(|error| match error {
        StoreError::Overloaded => Refused::Busy,
        _ => Refused::Store,
    })?;
    let settings = account.settings.as_deref().cloned();
    let settings = settings.unwrap_or_else(|| Settings::of(AccountKind::of(account.id)));
    Ok(Draft { settings, found, puts: Vec::new() })
}

fn keep(
    account: &Account,
    draft: Draft,
    told: impl FnOnce(&mut Turn<'_>, &mut Account, Result<(), Refused>) + Send + 'static,
) -> Option<Change> {
    let Draft { settings, mut puts, .. } = draft;
    let settings = (!settings.is_default()).then(|| Box::new(settings));
    let changed = account.settings != settings;
    if changed {
        let value = settings.as_ref().map(|settings| settings.to_document());
        puts.push(Put { table: SETTINGS, key: account.id.record_key(), value });
    }
    Some(Change::new(puts, move |turn, account, result| {
        if changed && result.is_ok() {
            let before = std::mem::replace(&mut account.settings, settings);
            turn.outbox.event(Event::SettingsChanged(before));
        }
        told(turn, account, result.map_err(|_| Refused::Store));
    }))
}
