//! Registration over a store that is damaged or full.

use super::*;
use crate::rooms::accounts::registration::REGISTRATIONS;

#[test]
fn damaged_records_harm_nobody_else() {
    let mut desk = desk();
    let records = desk.engine.records();
    records.put_if(REGISTRATIONS, "AAAAAAAAAAAAAAAAAAAAAA", b"{", None).unwrap();
    assert_eq!(desk.confirm("AAAAAAAAAAAAAAAAAAAAAA", "123456").err(), Some(RegistrationError::Unknown));
    records.put_if(Table::ACCOUNTS, NUMBER, b"{", None).unwrap();
    let begun = desk.begin(NUMBER).unwrap();
    let failed = desk.confirm(&begun.id, begun.code().digits()).err();
    assert!(matches!(failed, Some(RegistrationError::Unavailable(_))), "{failed:?}");
    desk.register("+15551230002");
    assert_eq!(desk.registrar.purge(desk.now).unwrap(), 1);
}

/// Passes everything on, unless told to fail.
struct Breakable {
    records: Arc<dyn Records>,
    broken: std::sync::atomic::AtomicBool,
}

impl Breakable {
    fn check(&self) -> Result<(), StoreError> {
        let broken = self.broken.load(std::sync::atomic::Ordering::Relaxed);
        if broken { Err(StoreError::Full) } else { Ok(()) }
    }
}

impl Records for Breakable {
    fn get(&self, table: Table, key: &str) -> Result<Option<chaski_store::Versioned>, StoreError> {
        self.records.get(table, key)
    }

    fn put_if(
        &self,
        table: Table,
        key: &str,
        value: &[u8],
        expected: Option<Revision>,
    ) -> Result<Revision, StoreError> {
        self.check()?;
        self.records.put_if(table, key, value, expected)
    }

    fn delete_if(&self, table: Table, key: &str, expected: Revision) -> Result<(), StoreError> {
        self.check()?;
        self.records.delete_if(table, key, expected)
    }

    fn put_all(&self, batch: Vec<chaski_store::records::Put>) -> Result<(), StoreError> {
        self.check()?;
        self.records.put_all(batch)
    }

    fn clear(&self, accounts: &[chaski_store::AccountId]) -> Result<(), StoreError> {
        self.check()?;
        self.records.clear(accounts)
    }

    fn scan(
        &self,
        table: Table,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, chaski_store::Versioned)>, StoreError> {
        self.records.scan(table, after, limit)
    }
}

#[test]
fn a_full_disk_closes_registration_and_gives_no_free_guesses() {
    let mut desk = desk();
    let broken = std::sync::atomic::AtomicBool::new(false);
    let records = Arc::new(Breakable { records: desk.engine.records(), broken });
    let policy = desk.registrar.policy.clone();
    desk.registrar = Registrar::new(records.clone(), SECRET, desk.owner.owners(), policy);
    let begun = desk.begin(NUMBER).unwrap();
    let (right, bad) = (begun.code().digits().to_owned(), wrong(begun.code()));
    records.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    for code in [&right, &bad] {
        let answer = desk.confirm(&begun.id, code).err();
        assert!(matches!(answer, Some(RegistrationError::Unavailable(_))), "{answer:?}");
    }
    assert!(matches!(desk.begin("+15551230002").err(), Some(RegistrationError::Unavailable(_))));
    records.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(desk.confirm(&begun.id, &bad).err(), Some(RegistrationError::WrongCode { guesses_left: 4 }));
    assert!(desk.confirm(&begun.id, &right).is_ok(), "service resumes when there is room");
}
