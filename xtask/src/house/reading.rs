//! What one reads in the sources: which paths stand where, the methods of `Shard`, where a stanza is parsed, how long files and functions are.

use super::sources::Source;
use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Collected over all files.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) named: Vec<Named>,
    pub(super) shard_methods: Vec<Method>,
    pub(super) parses: Vec<String>,
    pub(super) largest_file: Longest,
    pub(super) longest_function: Longest,
}

/// A path that stands in the sources, as it is written there.
pub(super) struct Named {
    /// The modules in which it stands, outermost first.
    pub(super) from: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) place: String,
    /// If it is one of a `use`.
    pub(super) brought: Option<Brought>,
}

/// What a `use` does with a path.
pub(super) struct Brought {
    /// What it is called from here on; `*` for all that is there.
    pub(super) name: String,
    /// Others may have it from here.
    pub(super) shown: bool,
}

/// A method.
pub(super) struct Method {
    pub(super) file: String,
    pub(super) lines: usize,
}

/// The longest of what was seen.
#[derive(Default)]
pub(super) struct Longest {
    pub(super) lines: usize,
    pub(super) place: String,
}

impl Longest {
    fn see(&mut self, lines: usize, place: impl FnOnce() -> String) {
        if lines > self.lines {
            *self = Self { lines, place: place() };
        }
    }
}

impl Reading {
    /// Reads a file.
    pub(super) fn file(&mut self, file: &Source) -> Result<()> {
        let parsed = syn::parse_file(&file.text).with_context(|| format!("cannot parse {}", file.path))?;
        let modules = file.modules.clone();
        let mut reader = Reader { reading: self, file: &file.path, modules, test_lines: 0 };
        reader.visit_file(&parsed);
        let lines = file.text.lines().count().saturating_sub(reader.test_lines);
        self.largest_file.see(lines, || file.path.clone());
        Ok(())
    }
}

struct Reader<'a> {
    reading: &'a mut Reading,
    file: &'a str,
    /// Where we are, inline modules too.
    modules: Vec<String>,
    /// Lines of what only tests use.
    test_lines: usize,
}

impl Reader<'_> {
    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.file)
    }

    /// A path of these names stands here. What begins with a name of its own surroundings leaves its module only from near the root.
    fn names(&mut self, names: Vec<String>, line: usize, brought: Option<Brought>) {
        let leads = names.first().is_some_and(|first| ["crate", "super", "self"].contains(&first.as_str()));
        if leads || self.modules.len() <= 1 {
            let (from, place) = (self.modules.clone(), self.place(line));
            self.reading.named.push(Named { from, names, place, brought });
        }
    }

    fn uses(&mut self, before: &mut Vec<String>, tree: &syn::UseTree, shown: bool) {
        let (name, brought) = match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.uses(before, &path.tree, shown);
                before.pop();
                return;
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.uses(before, item, shown));
                return;
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                (name.ident.to_string(), before.last().cloned())
            }
            syn::UseTree::Name(name) => (name.ident.to_string(), None),
            syn::UseTree::Rename(rename) => (rename.ident.to_string(), Some(rename.rename.to_string())),
            syn::UseTree::Glob(_) => (String::from("*"), None),
        };
        let brought = Brought { name: brought.unwrap_or_else(|| name.clone()), shown };
        let names = before.iter().cloned().chain([name]).collect();
        self.names(names, tree.span().start().line, Some(brought));
    }

    /// Paths in what a macro is given, which is no syntax yet.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(word) => {
                    let names = chain(&tokens[at..]);
                    at += 3 * (names.len() - 1);
                    if is_sure(&names) {
                        self.names(names, word.span().start().line, None);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.span().start().line;
        let lines = body.span().end().line - first + 1;
        let place = format!("{} `{}`", self.place(first), signature.ident);
        self.reading.longest_function.see(lines, || place);
    }

    fn skips(&mut self, what: &impl Spanned) {
        let span = what.span();
        self.test_lines += span.end().line - span.start().line + 1;
    }
}

/// The names of a path that begins here: a name, and each that follows two colons.
fn chain(tokens: &[TokenTree]) -> Vec<String> {
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':');
    let mut names: Vec<String> = tokens.first().map(ToString::to_string).into_iter().collect();
    let mut rest = tokens.get(1..).unwrap_or_default();
    while let [one, two, TokenTree::Ident(name), after @ ..] = rest
        && is_colon(one)
        && is_colon(two)
    {
        names.push(name.to_string());
        rest = after;
    }
    names
}

/// A single word in small letters may be a variable as well.
fn is_sure(names: &[String]) -> bool {
    names.len() > 1 || names.iter().any(|name| name.starts_with(char::is_uppercase))
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if attributes(item).iter().any(is_test) {
            self.skips(item);
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.modules.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.modules.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let shown = !matches!(item.vis, syn::Visibility::Inherited);
        self.uses(&mut Vec::new(), &item.tree, shown);
    }

    /// `pub(in …)` gives leave to look in; it uses nobody.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = path.span().start().line;
        if names.ends_with(&["Stanza".to_owned(), "parse".to_owned()]) {
            let place = self.place(line);
            self.reading.parses.push(place);
        }
        if is_sure(&names) {
            self.names(names, line, None);
        }
        visit::visit_path(self, path);
    }

    /// A single word that is called is a function, even if it is in small letters.
    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func
            && let Some(name) = path.path.get_ident().map(ToString::to_string)
            && !is_sure(std::slice::from_ref(&name))
        {
            self.names(vec![name], call.span().start().line, None);
        }
        visit::visit_expr_call(self, call);
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
        if method.attrs.iter().any(is_test) {
            self.skips(method);
        } else {
            self.function(&method.sig, &method.block);
            visit::visit_impl_item_fn(self, method);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, method: &'ast syn::TraitItemFn) {
        if let Some(body) = &method.default {
            self.function(&method.sig, body);
        }
        visit::visit_trait_item_fn(self, method);
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
        let mut reading = Reading::default();
        reading.file(&Source::new(path, text.to_owned())).unwrap();
        reading
    }

    fn named(path: &str, text: &str) -> Vec<String> {
        read(path, text).named.iter().map(|named| named.names.join("::")).collect()
    }

    #[test]
    fn every_way_to_write_a_path_is_seen() {
        assert_eq!(
            named("pep.rs", "use crate::{shard::Shard, wire};"),
            ["crate::shard::Shard", "crate::wire"]
        );
        assert_eq!(named("pep/x.rs", "use super::super::shard::Shard as S;"), ["super::super::shard::Shard"]);
        assert_eq!(
            named("pep.rs", "fn f() { let a: crate::wire::Wire = b(c); }"),
            ["crate::wire::Wire", "b"],
            "a call, but no variable"
        );
        assert_eq!(
            named("pep.rs", "fn f() { assert!(a, (crate::wire::A { b: super::c::d() }, e)); }"),
            ["crate::wire::A", "super::c::d"]
        );
        assert!(named("pep/x.rs", "fn f() { here::g() }").is_empty(), "does not leave pep");
    }

    #[test]
    fn a_use_says_what_it_brings_and_whether_others_see_it() {
        let reading = read("pep.rs", "pub(crate) use a::{self, B as C, d::*}; use e::F;");
        let brought = reading.named.iter().filter_map(|named| named.brought.as_ref());
        let brought: Vec<_> = brought.map(|brought| (&*brought.name, brought.shown)).collect();
        assert_eq!(brought, [("a", true), ("C", true), ("*", true), ("F", false)]);
    }

    #[test]
    fn what_only_tests_use_is_not_seen() {
        assert!(named("pep.rs", "#[cfg(test)] mod tests { use crate::shard::Shard; }").is_empty());
        assert!(
            named("pep.rs", "#[cfg(any(test, feature = \"testing\"))] use crate::shard::Shard;").is_empty()
        );
        assert!(named("pep.rs", "pub(in crate::shard) fn f() {}").is_empty());
    }

    #[test]
    fn files_and_functions_have_a_length_without_tests() {
        let text = "/// Says.\nfn a() {\n}\nimpl X {\n    fn b(\n    ) {\n    }\n}\n\n#[cfg(test)]\nmod tests {\n    fn c() {\n\n\n\n    }\n}\n";
        let reading = read("pep.rs", text);
        let longest = reading.longest_function;
        assert_eq!((longest.lines, &*longest.place), (3, "pep.rs:5 `b`"));
        assert_eq!((reading.largest_file.lines, &*reading.largest_file.place), (9, "pep.rs"));
    }

    #[test]
    fn methods_of_the_shard_and_calls_of_the_parser_are_counted() {
        let text = "impl Shard { fn a(&self) {\n Stanza::parse(x); }\n fn b(&self) { y.map(xml::Stanza::parse); w.look_into(); } #[cfg(test)] fn c() { Stanza::parse(z) } }\nimpl Wire for Shard { fn d() {} } impl Other { fn e() {} }";
        let reading = read("shard/turn.rs", text);
        assert_eq!(reading.shard_methods.iter().map(|method| method.lines).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(reading.parses, ["shard/turn.rs:2", "shard/turn.rs:3", "shard/turn.rs:3"]);
    }
}
