//! The backends of a server: the first folder, which is always there, and those that the settings name for some kinds of files.
//!
//! A file goes where the first rule says that fits its type and size, and to the first folder if none does. Where it went stands in its
//! row ([`chaski_store::media::Place`]), and that is what is asked afterwards: other rules move nothing. A backend that rows name and the
//! settings don't is an error of the start ([`Stores::missing`]), before anything is deleted for want of it.

use super::Objects;
use super::folder::Folder;
use chaski_store::media::Place;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Which files go to a backend: those of some types, and those of some size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The backend's name.
    pub place: Place,
    /// What their media types begin with, such as `image/`; one of them.
    pub types: Vec<String>,
    /// Those that are as large as this go there whatever they are; 0: the size does not matter.
    pub from_bytes: u64,
}

impl Rule {
    fn fits(&self, media_type: &str, size: u64) -> bool {
        let begins = |prefix: &String| {
            media_type.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
        };
        self.types.iter().any(begins) || (self.from_bytes > 0 && size >= self.from_bytes)
    }
}

/// See the module.
pub struct Stores {
    first: Arc<dyn Objects>,
    named: BTreeMap<Place, Arc<dyn Objects>>,
    rules: Vec<Rule>,
}

impl From<Arc<Folder>> for Stores {
    fn from(first: Arc<Folder>) -> Self {
        Self::new(first)
    }
}

impl Stores {
    /// One backend for everything.
    pub fn new(first: Arc<dyn Objects>) -> Self {
        Self { first, named: BTreeMap::new(), rules: Vec::new() }
    }

    /// And another, for what its rule says and no earlier one does.
    #[must_use]
    pub fn with(mut self, rule: Rule, objects: Arc<dyn Objects>) -> Self {
        self.named.insert(rule.place.clone(), objects);
        self.rules.push(rule);
        self
    }

    /// Where a new file goes.
    pub fn place_for(&self, media_type: &str, size: u64) -> Place {
        let rule = self.rules.iter().find(|rule| rule.fits(media_type, size));
        rule.map(|rule| rule.place.clone()).unwrap_or_default()
    }

    /// The backend of this name.
    pub fn at(&self, place: &str) -> io::Result<&Arc<dyn Objects>> {
        match place {
            "" => Ok(&self.first),
            place => self.named.get(place).ok_or_else(|| {
                io::Error::other(format!("files lie in \"{place}\", which the settings do not name"))
            }),
        }
    }

    /// Those of these places that there are none of.
    pub fn missing(&self, places: &[Place]) -> Vec<Place> {
        places.iter().filter(|place| self.at(place).is_err()).cloned().collect()
    }

    /// All backends, with their names.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Arc<dyn Objects>)> {
        let named = self.named.iter().map(|(place, objects)| (&**place, objects));
        std::iter::once(("", &self.first)).chain(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(dir: &tempfile::TempDir, name: &str) -> Arc<Folder> {
        Arc::new(Folder::open(&dir.path().join(name)).unwrap())
    }

    fn rule(place: &str, types: &[&str], from_bytes: u64) -> Rule {
        let types = types.iter().map(|prefix| (*prefix).to_owned()).collect();
        Rule { place: place.into(), types, from_bytes }
    }

    #[test]
    fn a_file_goes_where_the_first_rule_says_that_fits() {
        let dir = tempfile::tempdir().unwrap();
        let stores = Stores::from(folder(&dir, "first"))
            .with(rule("fast", &["image/"], 0), folder(&dir, "fast"))
            .with(rule("slow", &["audio/", "video/"], 0), folder(&dir, "slow"))
            .with(rule("large", &[], 1_000), folder(&dir, "large"));
        for (media_type, size, place) in [
            ("image/jpeg", 5_000, "fast"),
            ("IMAGE/png", 1, "fast"),
            ("video/mp4", 1, "slow"),
            ("text/plain", 999, ""),
            ("text/plain", 1_000, "large"),
            ("imag", 1, ""),
            ("ä", 1, ""),
        ] {
            assert_eq!(&*stores.place_for(media_type, size), place, "{media_type} {size}");
        }
        assert!(stores.at("gone").is_err());
        assert_eq!(stores.missing(&["".into(), "fast".into(), "gone".into()]), ["gone".into()]);
    }
}
