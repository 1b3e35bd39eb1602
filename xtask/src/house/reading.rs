//! What one reads in the sources: which module names which, the methods of `Shard`, where a stanza is parsed.

use super::sources::Source;
use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Collected over all files.
#[derive(Default)]
pub(super) struct Reading {
    /// From an outermost module to a name behind `crate::`: the places.
    pub(super) named: BTreeMap<(String, String), Vec<String>>,
    pub(super) shard_methods: Vec<Method>,
    pub(super) parses: Vec<String>,
}

/// A method.
pub(super) struct Method {
    pub(super) file: String,
    pub(super) lines: usize,
}

impl Reading {
    /// Reads a file.
    pub(super) fn file(&mut self, file: &Source) -> Result<()> {
        let parsed = syn::parse_file(&file.text).with_context(|| format!("cannot parse {}", file.path))?;
        let mut reader = Reader { reading: self, file: &file.path, modules: file.modules.clone() };
        reader.visit_file(&parsed);
        Ok(())
    }

    /// Where a module names another.
    pub(super) fn places(&self, from: &str, to: &str) -> Vec<String> {
        self.named.get(&(from.to_owned(), to.to_owned())).cloned().unwrap_or_default()
    }
}

struct Reader<'a> {
    reading: &'a mut Reading,
    file: &'a str,
    /// Where we are, inline modules too.
    modules: Vec<String>,
}

impl Reader<'_> {
    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.file)
    }

    /// A path of these names stands here: the module behind `crate::` or enough `super::` is noted.
    fn names(&mut self, names: &[String], line: usize) {
        let Some(from) = self.modules.first().cloned() else { return };
        let ups = names.iter().take_while(|name| *name == "super").count();
        let behind = match names.first().map(String::as_str) {
            Some("crate") => names.get(1),
            Some("super") if ups == self.modules.len() => names.get(ups),
            _ => None,
        };
        if let Some(to) = behind
            && *to != from
        {
            let place = self.place(line);
            self.reading.named.entry((from, to.clone())).or_default().push(place);
        }
    }

    fn uses(&mut self, before: &mut Vec<String>, tree: &syn::UseTree) {
        let name = match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.uses(before, &path.tree);
                before.pop();
                return;
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.uses(before, item));
                return;
            }
            syn::UseTree::Name(name) => name.ident.to_string(),
            syn::UseTree::Rename(rename) => rename.ident.to_string(),
            syn::UseTree::Glob(_) => String::from("*"),
        };
        before.push(name);
        self.names(before, tree.span().start().line);
        before.pop();
    }

    /// Paths in what a macro is given, which is no syntax yet.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(word) if word == "crate" => {
                    if let [TokenTree::Punct(_), TokenTree::Punct(_), TokenTree::Ident(to), ..] =
                        &tokens[at + 1..]
                    {
                        self.names(&[word.to_string(), to.to_string()], word.span().start().line);
                    }
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !attributes(item).iter().any(is_test) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.modules.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.modules.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.uses(&mut Vec::new(), &item.tree);
    }

    /// `pub(in …)` gives leave to look in; it uses nobody.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.names(&names, path.span().start().line);
        if names.ends_with(&["Stanza".to_owned(), "parse".to_owned()]) {
            let place = self.place(path.span().start().line);
            self.reading.parses.push(place);
        }
        visit::visit_path(self, path);
    }

    /// What is in stored form is parsed by this method.
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "look_into" {
            let place = self.place(call.method.span().start().line);
            self.reading.parses.push(place);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        if block.trait_.is_none() && is_shard(&block.self_ty) {
            for item in &block.items {
                let syn::ImplItem::Fn(method) = item else { continue };
                if !method.attrs.iter().any(is_test) {
                    let span = method.span();
                    let lines = span.end().line - span.start().line + 1;
                    self.reading.shard_methods.push(Method { file: self.file.to_owned(), lines });
                }
            }
        }
        visit::visit_item_impl(self, block);
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        if !method.attrs.iter().any(is_test) {
            visit::visit_impl_item_fn(self, method);
        }
    }
}

fn is_shard(of: &syn::Type) -> bool {
    matches!(of, syn::Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Shard"))
}

/// `#[test]`, or a `cfg` in which `test` stands.
fn is_test(attribute: &syn::Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    list.path.is_ident("cfg") && has_test(list.tokens.clone())
}

fn has_test(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "test",
        TokenTree::Group(group) => has_test(group.stream()),
        _ => false,
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Reading {
        let modules = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let mut reading = Reading::default();
        reading.file(&Source { path: path.into(), modules, text: text.into() }).unwrap();
        reading
    }

    fn named(path: &str, text: &str) -> Vec<String> {
        read(path, text).named.into_keys().map(|(from, to)| format!("{from} {to}")).collect()
    }

    #[test]
    fn every_way_to_name_another_module_is_an_edge() {
        assert_eq!(named("pep/owner.rs", "use crate::{shard::Shard, wire};"), ["pep shard", "pep wire"]);
        assert_eq!(named("pep/owner.rs", "use super::super::shard::Shard as S;"), ["pep shard"]);
        assert_eq!(
            named("pep.rs", "fn f() { let _: crate::wire::Wire = super::rate::new(); }"),
            ["pep rate", "pep wire"]
        );
        assert_eq!(named("pep.rs", "fn f() { assert!(matches!(x, (crate::wire::A))); }"), ["pep wire"]);
        assert_eq!(named("pep.rs", "mod inner { use super::super::wire::Wire; }"), ["pep wire"]);
    }

    #[test]
    fn what_is_one_s_own_and_what_only_tests_use_is_none() {
        assert!(named("pep/owner.rs", "use super::Node; use crate::pep::Item; use self::x::Y;").is_empty());
        assert!(named("pep.rs", "#[cfg(test)] mod tests { use crate::shard::Shard; }").is_empty());
        assert!(
            named("pep.rs", "#[cfg(any(test, feature = \"testing\"))] use crate::shard::Shard;").is_empty()
        );
        assert!(named("pep.rs", "pub(in crate::shard) fn f() {}").is_empty());
    }

    #[test]
    fn methods_of_the_shard_and_calls_of_the_parser_are_counted() {
        let text = "impl Shard { fn a(&self) {\n Stanza::parse(x); }\n fn b(&self) { y.map(xml::Stanza::parse); w.look_into(); } #[cfg(test)] fn c() { Stanza::parse(z) } }\nimpl Wire for Shard { fn d() {} } impl Other { fn e() {} }";
        let reading = read("shard/turn.rs", text);
        assert_eq!(reading.shard_methods.iter().map(|method| method.lines).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(reading.parses, ["shard/turn.rs:2", "shard/turn.rs:3", "shard/turn.rs:3"]);
    }
}
