//! What uploads are like on a server: where they go, how large, how long, how fast; and the names in the URLs of its files.

use chaski_store::Secrets;
use chaski_store::media::slot::SlotKeys;
use chaski_store::media::{Name, file_name};

/// What uploads are like on this server.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// The address that slots are asked of.
    pub host: Box<str>,
    /// What every URL begins with, without a slash at its end.
    pub base_url: Box<str>,
    /// Largest file.
    pub max_file_bytes: u64,
    /// How long a file for a message stays.
    pub expire_ms: u64,
    /// What one account may have, as [`media::charge`] counts.
    pub quota_bytes: u64,
    /// Slots that an account may ask for at once.
    pub slots_burst: u32,
    /// And per hour for ever.
    pub slots_per_hour: u32,
    /// Bytes that it may announce at once.
    pub burst_bytes: u64,
    /// And per hour for ever.
    pub bytes_per_hour: u64,
    /// What tickets are sealed with.
    pub keys: SlotKeys,
}

impl Uploads {
    /// With this address and URL, and default bounds.
    pub fn new(host: &str, base_url: &str, secrets: impl Into<Secrets>) -> Self {
        Self {
            host: host.into(),
            base_url: base_url.trim_end_matches('/').into(),
            max_file_bytes: 100 << 20,
            expire_ms: 30 * 86_400_000,
            quota_bytes: 4 << 30,
            slots_burst: 100,
            slots_per_hour: 600,
            burst_bytes: 1 << 30,
            bytes_per_hour: 1 << 30,
            keys: SlotKeys::new(secrets),
        }
    }

    pub(crate) fn get_url(&self, name: Name, file_name: &str) -> String {
        format!("{}/{}/{}", self.base_url, name.to_text(), file_name::encoded(file_name))
    }

    /// A URL of ours as it is shown to the operator: without what only clients are to know, the key of an `aesgcm:` URL.
    pub(crate) fn without_key(&self, url: &str) -> Option<String> {
        let name = self.name_in(url)?.to_text();
        let file = url.split(['#', '?']).next()?.split_once(&format!("/{name}/"))?.1;
        let is_plain = file.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        is_plain.then(|| format!("{}/{name}/{file}", self.base_url))
    }

    /// The name in a URL of ours.
    pub(crate) fn name_in(&self, url: &str) -> Option<Name> {
        // What stands behind `#` is for clients: the key of an `aesgcm:` URL.
        let url = url.split('#').next().unwrap_or_default();
        let ours = self.base_url.split_once("://")?.1;
        let path = url.split_once("://")?.1.strip_prefix(ours)?.strip_prefix('/')?;
        Name::parse(path.split('/').next()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_urls_of_ours_only() {
        let uploads = Uploads::new("upload.chaski.example", "https://chaski.example/media/", [7; 16]);
        let url = uploads.get_url(Name(9), "a b.jpg");
        assert_eq!(url, "https://chaski.example/media/00000000000000000000000000000009/a%20b.jpg");
        assert_eq!(uploads.name_in(&url), Some(Name(9)));
        let secret = format!("{}#00ff", url.replace("https:", "aesgcm:"));
        assert_eq!(uploads.name_in(&secret), Some(Name(9)), "as clients pass it on encrypted");
        assert_eq!(uploads.without_key(&secret), Some(url.clone()));
        assert_eq!(uploads.without_key(&format!("{url}?w=64")), Some(url.clone()));
        assert_eq!(uploads.without_key(&url.replace("%20", "\u{1b}")), None);
        for bad in [
            "",
            "https://chaski.example/media/9/a",
            "https://chaski.example.org/media/00000000000000000000000000000009/a",
            "https://chaski.example/mediax/00000000000000000000000000000009/a",
            "/media/00000000000000000000000000000009/a",
        ] {
            assert_eq!((uploads.name_in(bad), uploads.without_key(bad)), (None, None), "{bad}");
        }
    }
}
