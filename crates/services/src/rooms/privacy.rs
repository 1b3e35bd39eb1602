//! Privacy settings as clients change them: by an ad-hoc command whose form any client can show (XEP-0050).
//!
//! The settings, and the one rule that all rooms ask, belong to the account ([`crate::account::settings`]).
//! [`crate::changes::settings`] makes a change durable and tells other rooms of it.

mod form;

use crate::account::Account;
use crate::account::shows::view;
use crate::changes::settings::patch;
use crate::effects::iq::{AdHocCommand, NoForm, Told};
use crate::effects::turn::Turn;
use crate::form::Form;

/// The command.
pub(crate) const COMMAND: AdHocCommand =
    AdHocCommand { node: form::NODE, name: form::NAME, form: as_it_stands, submit: submitted };

fn as_it_stands(account: &Account) -> Vec<u8> {
    form::write(&view(account))
}

fn submitted(turn: &mut Turn<'_>, submitted: &Form, told: Told) -> Result<(), NoForm> {
    let changes = form::read(submitted).ok_or(NoForm)?;
    patch(turn, changes, false, move |turn, _, result| {
        told(turn, result.map_err(|refused| (refused.error().condition, refused.to_string())));
    });
    Ok(())
}
