//! Why a data directory can't be opened, in one line each that says what is wrong and how to mend it.

use std::path::PathBuf;

/// A data directory could not be opened or salvaged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error("the data directory {} is in use by another server; stop that one or choose another directory", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The directory or a file in it can't be made or written.
    #[error("cannot write {}: {source}; give the server's user write permission there or choose another data directory", path.display())]
    NotWritable {
        /// What could not be written.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}; check the disk and the file's permissions", path.display())]
    NotReadable {
        /// What could not be read.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The journal is damaged in the middle: valid frames stand behind the damage, so it is no torn last write.
    #[error("the journal is damaged: {} at byte {offset}: {damage}; nothing was changed; run `chaski ctl salvage` to recover every intact message, then start again", file.display())]
    CorruptJournal {
        /// The segment.
        file: PathBuf,
        /// Where the first unreadable frame begins.
        offset: u64,
        /// What is wrong there.
        damage: &'static str,
    },
    /// Segments that the roll names are not there.
    #[error("the journal in {} is not whole: {missing} is missing, and with it messages that were accepted shortly before the last stop; nothing was changed; put the file back if you have it, or run `chaski ctl salvage` to go on without it, then start again", journal.display())]
    MissingSegments {
        /// The journal's directory.
        journal: PathBuf,
        /// The files' names.
        missing: String,
    },
    /// Nobody knows which segments there must be.
    #[error("the roll of the journal's segments {} is {state}, so that nobody can tell whether messages are missing; nothing was changed; put the file back if you have it, or run `chaski ctl salvage` to go on with the segments that are there, then start again", file.display())]
    NoRoll {
        /// The roll.
        file: PathBuf,
        /// Missing or damaged.
        state: &'static str,
    },
    /// The journal was written by a newer version.
    #[error("the journal {} has format {found}, newer than this program's {known}; start with the newer chaski", file.display())]
    NewerJournal {
        /// The segment.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// The database was written by a newer version.
    #[error("the database {} has schema {found}, newer than this program's {known}; start with the newer chaski", file.display())]
    NewerSchema {
        /// The database.
        file: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest that this program reads.
        known: i64,
    },
    /// What is to be given back to an older program has a journal that it might not read.
    #[error("the journal in {} is not empty, and an older chaski might not read it; start and stop this one once, with room on the disk, then try again", journal.display())]
    JournalLeft {
        /// The journal's directory.
        journal: PathBuf,
    },
    /// The realm's secret has been replaced lately, and there can be one former secret.
    #[error(
        "the secret before this one is good for {days} more days, since clients hold what was made with it; replace this one after that, or at once with --forget if somebody knows it"
    )]
    SecretStillGood {
        /// How long, rounded up.
        days: u64,
    },
    /// SQLite refuses.
    #[error("the database {} cannot be used: {source}; check the disk, or restore the file from a backup", file.display())]
    Sqlite {
        /// The database.
        file: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {source}; raise the limit on processes")]
    Thread {
        /// The system's reason.
        source: std::io::Error,
    },
}
