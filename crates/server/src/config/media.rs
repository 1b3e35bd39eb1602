//! `[media]`: files that people send each other. Read with the rest of the configuration, and checked with it (`check.rs`).

use super::optional_address;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Files that people send each other (XEP-0363).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Media {
    /// Whether any may be sent.
    pub enabled: bool,
    /// Where they lie; empty: below the data directory.
    pub folder: PathBuf,
    /// A listener of their own; `None`: that of `[http]`.
    #[serde(deserialize_with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// What their URLs begin with; empty: the listener, under the domain's name.
    pub public_url: String,
    /// Largest file.
    pub max_file_bytes: u64,
    /// Days until a file of a message is dropped.
    pub expire_days: u64,
    /// What one account may have.
    pub quota_bytes: u64,
    /// Uploads that one account may ask for at once.
    pub uploads: u32,
    /// And from then on; 0: as many as it likes.
    pub uploads_per_hour: u32,
    /// Bytes that it may announce at once.
    pub upload_bytes: u64,
    /// And from then on; 0: as many as it likes.
    pub upload_bytes_per_hour: u64,
    /// Transfers at once.
    pub transfers: usize,
    /// The same of one network.
    pub transfers_per_network: usize,
    /// Uploads that one account may have begun and not finished.
    pub unfinished_per_account: usize,
    /// Hours that an upload may take, from its beginning.
    pub unfinished_hours: u64,
    /// What files may take of the bandwidth; 0: all there is.
    pub bytes_per_second: u64,
    /// Room on the disk that uploads leave.
    pub reserve_bytes: u64,
    /// Make small pictures of files when clients ask for them.
    pub thumbnails: bool,
    /// Threads that serve them.
    pub threads: usize,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            enabled: true,
            folder: PathBuf::new(),
            listen: None,
            public_url: String::new(),
            max_file_bytes: 100 << 20,
            expire_days: 30,
            quota_bytes: 4 << 30,
            uploads: 100,
            uploads_per_hour: 600,
            upload_bytes: 1 << 30,
            upload_bytes_per_hour: 1 << 30,
            transfers: 1_024,
            transfers_per_network: 64,
            unfinished_per_account: 32,
            unfinished_hours: 24,
            bytes_per_second: 0,
            reserve_bytes: 1 << 30,
            thumbnails: true,
            threads: 2,
        }
    }
}
