//! The languages of clients' streams (`xml:lang` in the stream header), which apply to stanzas without `xml:lang` (RFC 6120
//! §8.1.5).
//!
//! Each language is kept once per shard, and a session holds one byte. Used by [`crate::owner`] when a session gets a connection
//! and when it ends, and when a client's stanza is brought into its stored form. Bounded: with too many languages at once,
//! further ones are counted and not remembered, so that the stanzas of those streams stay without `xml:lang`. The sessions of one
//! account speak only a few.

/// The number of a language in the shard's list; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Language(u8);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Languages(Vec<Spoken>);

#[derive(Debug)]
struct Spoken {
    tag: Box<str>,
    /// How many sessions speak this language; 0: its place is free.
    sessions: u32,
}

impl Languages {
    /// A session speaks this language from now on. `None`: too many other languages are spoken.
    pub(crate) fn join(&mut self, tag: &str) -> Option<Language> {
        let known = self.0.iter().position(|spoken| spoken.sessions > 0 && *spoken.tag == *tag);
        let at = match known.or_else(|| self.0.iter().position(|spoken| spoken.sessions == 0)) {
            Some(at) => at,
            None if self.0.len() == usize::from(u8::MAX) => return None,
            None => {
                self.0.push(Spoken { tag: tag.into(), sessions: 0 });
                self.0.len() - 1
            }
        };
        let spoken = &mut self.0[at];
        if spoken.sessions == 0 {
            spoken.tag = tag.into();
        }
        spoken.sessions += 1;
        Some(Language(at as u8 + 1))
    }

    /// A session no longer speaks this language.
    pub(crate) fn leave(&mut self, language: Language) {
        if let Some(spoken) = self.0.get_mut(usize::from(language.0).wrapping_sub(1)) {
            spoken.sessions -= 1;
        }
    }

    /// The language tag.
    pub(crate) fn tag(&self, language: Language) -> Option<&str> {
        self.0.get(usize::from(language.0).wrapping_sub(1)).map(|spoken| &*spoken.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_there_as_long_as_somebody_speaks_it() {
        let mut languages = Languages::default();
        assert_eq!(languages.tag(Language::default()), None);
        let (one, two) = (languages.join("de").unwrap(), languages.join("de").unwrap());
        assert_eq!((one, languages.tag(one)), (two, Some("de")));
        languages.leave(one);
        assert_ne!(languages.join("es"), Some(one), "one still speaks it");
        languages.leave(two);
        let french = languages.join("fr").unwrap();
        assert_eq!((french, languages.tag(french)), (one, Some("fr")), "a place that was free");
        languages.leave(Language::default());
    }

    #[test]
    fn bounded() {
        let mut languages = Languages::default();
        assert!((0..255).all(|n| languages.join(&n.to_string()).is_some()));
        assert_eq!(languages.join("de"), None);
        let last = languages.join("254").unwrap();
        assert_eq!(languages.tag(last), Some("254"));
    }
}
