//! An upload slot for an operator, who may do whatever an account may: for `chaski doctor --url`.

use super::{Desk, DeskError, Reply};
use chaski_services::account::name::AccountName;
use chaski_services::account::record::AccountRecord;
use chaski_services::effects::turn::command::Refusal;
use chaski_store::Table;
use chaski_store::media::slot::Slot;
use chaski_store::media::{Name, Purpose, file_name};

/// How long it is good for.
const SLOT_MS: u64 = 10 * 60_000;

impl Desk {
    pub(super) fn slot(
        &self,
        name: &AccountName,
        size: u64,
        (media_type, file): (String, String),
    ) -> Result<Reply, DeskError> {
        let keys = self.slot_keys.as_ref().ok_or(DeskError::NoServer)?;
        let owner = name.account();
        let found = self.records.get(Table::ACCOUNTS, &owner.record_key())?;
        let record = AccountRecord::from_json(&found.ok_or(Refusal::NoSuchAccount)?.value)?;
        let file = file_name::sanitised(&file);
        let slot = Slot {
            name: Name(rand::random()),
            owner,
            registered_unix_ms: record.registered_unix_ms,
            size,
            media_type: media_type.into(),
            file_name: file.as_str().into(),
            purpose: Purpose::Message,
            until_unix_ms: self.time.unix_ms().saturating_add(SLOT_MS),
            sha256: None,
        };
        let path = format!("{}/{}", slot.name.to_text(), file_name::encoded(&file));
        Ok(Reply::Slot { path, ticket: keys.seal(&slot) })
    }
}
