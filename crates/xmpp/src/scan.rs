//! Scanning validated XML. Called by [`crate::element`] only, over text that [`crate::validate`] has accepted, so it
//! looks for structure and checks nothing. It still never panics: what can't be found is taken to be at the end.

use memchr::{memchr, memchr3, memmem};

/// A piece of the document, as offsets. An empty one at 0 stands for "none": nothing of use begins at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn of(self, doc: &str) -> &str {
        doc.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn is_none(self) -> bool {
        self.start == 0
    }

    /// The same piece where the document begins so much later.
    pub(crate) fn less(self, start: usize) -> Self {
        let less = |offset: u32| offset.saturating_sub(start as u32);
        Self { start: less(self.start), end: less(self.end) }
    }
}

/// A start tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tag {
    /// The name with its prefix.
    pub(crate) name: Span,
    /// Behind its `>`.
    pub(crate) end: usize,
    /// Whether it is `<like-this/>`.
    pub(crate) is_empty: bool,
}

/// Reads the start tag whose `<` is at `start`.
pub(crate) fn tag(doc: &str, start: usize) -> Tag {
    let bytes = doc.as_bytes();
    let name_end = name_end(bytes, start + 1);
    let mut pos = name_end;
    while let Some(at) = bytes.get(pos..).and_then(|rest| memchr3(b'>', b'"', b'\'', rest)) {
        let byte = bytes[pos + at];
        pos += at + 1;
        if byte == b'>' {
            let is_empty = bytes[..pos - 1].ends_with(b"/");
            return Tag { name: Span::new(start + 1, name_end), end: pos, is_empty };
        }
        pos = find(bytes, pos, byte) + 1;
    }
    Tag { name: Span::new(start + 1, name_end), end: bytes.len(), is_empty: true }
}

fn name_end(bytes: &[u8], start: usize) -> usize {
    let is_end = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>' | b'=');
    bytes.get(start..).and_then(|rest| rest.iter().position(is_end)).map_or(bytes.len(), |at| start + at)
}

fn find(bytes: &[u8], start: usize, byte: u8) -> usize {
    bytes.get(start..).and_then(|rest| memchr(byte, rest)).map_or(bytes.len(), |at| start + at)
}

/// The attributes of a start tag: (name with prefix, value as it came), as spans.
#[derive(Debug, Clone)]
pub(crate) struct Attrs<'a> {
    bytes: &'a [u8],
    pos: usize,
}

/// The attributes between `start` (behind the tag's name) and the tag's end.
pub(crate) fn attrs(doc: &str, start: usize) -> Attrs<'_> {
    Attrs { bytes: doc.as_bytes(), pos: start }
}

impl Iterator for Attrs<'_> {
    type Item = (Span, Span);

    fn next(&mut self) -> Option<(Span, Span)> {
        while self.bytes.get(self.pos)?.is_ascii_whitespace() {
            self.pos += 1;
        }
        if matches!(self.bytes[self.pos], b'>' | b'/') {
            return None;
        }
        let name = Span::new(self.pos, name_end(self.bytes, self.pos));
        let mut pos = name.end as usize;
        while !matches!(self.bytes.get(pos)?, b'"' | b'\'') {
            pos += 1;
        }
        let end = find(self.bytes, pos + 1, self.bytes[pos]);
        self.pos = end + 1;
        Some((name, Span::new(pos + 1, end)))
    }
}

/// What comes next in an element's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// A start tag begins here.
    Start(usize),
    /// An end tag begins here.
    End(usize),
    /// A CDATA section begins here.
    Cdata(usize),
    /// The document is over.
    Over,
}

/// The next markup at or behind `pos`.
pub(crate) fn next_markup(doc: &str, pos: usize) -> Item {
    let bytes = doc.as_bytes();
    let at = find(bytes, pos, b'<');
    match bytes.get(at + 1) {
        Some(b'/') => Item::End(at),
        Some(b'!') => Item::Cdata(at),
        Some(_) => Item::Start(at),
        None => Item::Over,
    }
}

/// Behind the `>` of the end tag at `start`.
pub(crate) fn end_tag_end(doc: &str, start: usize) -> usize {
    (find(doc.as_bytes(), start, b'>') + 1).min(doc.len())
}

/// The content and the end of the CDATA section at `start`.
pub(crate) fn cdata(doc: &str, start: usize) -> (Span, usize) {
    let content = start + "<![CDATA[".len();
    let rest = doc.as_bytes().get(content..).unwrap_or_default();
    match memmem::find(rest, b"]]>") {
        Some(at) => (Span::new(content, content + at), content + at + 3),
        None => (Span::new(content, doc.len()), doc.len()),
    }
}

/// Where the end tag of an element begins whose content begins at `pos`.
pub(crate) fn content_end(doc: &str, mut pos: usize) -> usize {
    let mut depth = 0usize;
    loop {
        match next_markup(doc, pos) {
            Item::Start(at) => {
                let tag = tag(doc, at);
                depth += usize::from(!tag.is_empty);
                pos = tag.end;
            }
            Item::End(at) if depth == 0 => return at,
            Item::End(at) => {
                depth -= 1;
                pos = end_tag_end(doc, at);
            }
            Item::Cdata(at) => pos = cdata(doc, at).1,
            Item::Over => return doc.len(),
        }
    }
}
