//! What has happened at a node of an account.

use crate::account::nodes::Config;

/// What has happened at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Published { item: Box<str>, payload: Option<Box<str>> },
    Retracted { items: Vec<Box<str>> },
    Purged,
    Deleted,
    Configured,
}

impl News {
    /// Whether the node's owner wants it told.
    pub(crate) fn is_wanted(&self, config: &Config) -> bool {
        config.deliver_notifications
            && match self {
                Self::Published { .. } => true,
                Self::Retracted { .. } | Self::Purged => config.notify_retract,
                Self::Deleted => config.notify_delete,
                Self::Configured => config.notify_config,
            }
    }
}
