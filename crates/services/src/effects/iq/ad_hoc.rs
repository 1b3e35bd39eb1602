//! An ad-hoc command (XEP-0050) that a room has besides what it does otherwise: one form, filled in and sent back.
//!
//! Declared by the room, listed in `owner/dispatch`, and led through its stages by the room of ad-hoc commands.

use crate::account::Account;
use crate::effects::turn::Turn;
use crate::form::Form;
use chaski_xmpp::StanzaCondition;

/// Called once: it is done, or why not, for a person.
pub(crate) type Told = Box<dyn FnOnce(&mut Turn<'_>, Result<(), (StanzaCondition, String)>) + Send>;

/// What came back is no form of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoForm;

/// See the module. Every account may use it, for itself.
#[derive(Debug)]
pub(crate) struct AdHocCommand {
    /// Its node, which is its form's type, too.
    pub(crate) node: &'static str,
    /// Its name, for people.
    pub(crate) name: &'static str,
    /// The form as things stand, as XML.
    pub(crate) form: fn(&Account) -> Vec<u8>,
    /// The form has come back.
    pub(crate) submit: fn(&mut Turn<'_>, &Form, Told) -> Result<(), NoForm>,
}
