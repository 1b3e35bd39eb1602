//! Reading inside a validated element without building a tree. To be filled in.

use std::borrow::Cow;
use std::ops::Range;

/// An element inside a validated stanza. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ElementRef<'a> {
    doc: &'a str,
}

impl<'a> ElementRef<'a> {
    /// Its local name.
    pub fn name(&self) -> &'a str {
        todo!()
    }

    /// Its namespace; empty if it is in none.
    pub fn ns(&self) -> Cow<'a, str> {
        todo!()
    }

    /// Whether it has this name and namespace. The fast way to ask.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        let _ = (name, ns);
        todo!()
    }

    /// The value of an attribute without prefix.
    pub fn attr(&self, name: &str) -> Option<Cow<'a, str>> {
        let _ = name;
        todo!()
    }

    /// Its own `xml:lang`.
    pub fn lang(&self) -> Option<Cow<'a, str>> {
        todo!()
    }

    /// Its child elements, in order.
    pub fn children(&self) -> Children<'a> {
        todo!()
    }

    /// The first child element with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<ElementRef<'a>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The text directly inside (not that of child elements), references and CDATA resolved.
    pub fn text(&self) -> Cow<'a, str> {
        todo!()
    }

    /// Its bytes from `<` to `>`, as they came. Prefixes may be declared further out.
    pub fn bytes(&self) -> &'a [u8] {
        self.doc.as_bytes()
    }

    /// What is between its tags, as it came.
    pub fn inner_bytes(&self) -> &'a [u8] {
        todo!()
    }

    /// Where its bytes are in the stanza's bytes: for [`crate::rewrite::Rewrite::skip`].
    pub fn range(&self) -> Range<usize> {
        todo!()
    }

    /// Writes it so that it can stand alone or elsewhere: as it came, with the namespace declarations that it
    /// inherits from further out added to its start tag.
    pub fn write_standalone(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }
}

/// The child elements of an element.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    parent: ElementRef<'a>,
}

impl<'a> Iterator for Children<'a> {
    type Item = ElementRef<'a>;

    fn next(&mut self) -> Option<ElementRef<'a>> {
        let _ = &self.parent;
        todo!()
    }
}
