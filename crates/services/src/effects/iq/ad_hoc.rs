//! An ad-hoc command (XEP-0050) that a room offers: one form, filled in and sent back.
//!
//! Declared by the room, listed in `owner/dispatch`, and led through its stages by the room of ad-hoc commands.

use crate::account::Account;
use crate::effects::turn::Turn;
use crate::form::Form;
use chaski_xmpp::StanzaCondition;

/// Called once with the outcome of the command: success, or an error with a text for the user.
pub(crate) type Told = Box<dyn FnOnce(&mut Turn<'_>, Result<(), (StanzaCondition, String)>) + Send>;

/// The submitted form is not of this command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoForm;

/// See the module. Every account may use the command, for itself.
#[derive(Debug)]
pub(crate) struct AdHocCommand {
    /// The command's node, which is also the `FORM_TYPE` of its form.
    pub(crate) node: &'static str,
    /// Its name, for people.
    pub(crate) name: &'static str,
    /// The form with the present values, as XML.
    pub(crate) form: fn(&Account) -> Vec<u8>,
    /// Handles the submitted form.
    pub(crate) submit: fn(&mut Turn<'_>, &Form, Told) -> Result<(), NoForm>,
}
