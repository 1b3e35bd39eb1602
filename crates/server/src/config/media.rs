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
    /// Another folder, for what is large and less asked for; empty: none.
    pub slow_folder: PathBuf,
    /// What the types of files begin with that go there.
    pub slow_types: Vec<String>,
    /// And all that have so many bytes; 0: the size does not matter.
    pub slow_from_bytes: u64,
    /// A bucket that speaks S3's protocol, for what the slow folder does not take; empty: none.
    pub s3_bucket: String,
    /// Where it is.
    pub s3_endpoint: String,
    /// Its region.
    pub s3_region: String,
    /// What its keys begin with.
    pub s3_prefix: String,
    /// Who asks it.
    pub s3_access_key: String,
    /// And proves it.
    pub s3_secret_key: String,
    /// What the types of files begin with that go there.
    pub s3_types: Vec<String>,
    /// And all that have so many bytes; 0: the size does not matter.
    pub s3_from_bytes: u64,
    /// What is kept here of what people have asked for.
    pub s3_cache_bytes: u64,
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
            slow_folder: PathBuf::new(),
            slow_types: vec!["audio/".into(), "video/".into()],
            slow_from_bytes: 8 << 20,
            s3_bucket: String::new(),
            s3_endpoint: String::new(),
            s3_region: "us-east-1".into(),
            s3_prefix: "media".into(),
            s3_access_key: String::new(),
            s3_secret_key: String::new(),
            s3_types: vec![String::new()],
            s3_from_bytes: 0,
            s3_cache_bytes: 10 << 30,
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
