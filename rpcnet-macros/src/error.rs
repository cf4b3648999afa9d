//! Collects mistakes, so that all of them are reported together.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::Item;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds a mistake at these tokens.
    pub(crate) fn add(&mut self, at: impl ToTokens, message: impl Display) {
        self.merge(syn::Error::new_spanned(at, message));
    }

    /// Adds a mistake at a span.
    pub(crate) fn add_at(&mut self, at: Span, message: impl Display) {
        self.merge(syn::Error::new(at, message));
    }

    /// Adds a mistake that the parser found.
    pub(crate) fn merge(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// Returns one `compile_error!` for each mistake.
    pub(crate) fn to_compile_error(&self) -> TokenStream {
        self.0.as_ref().map(syn::Error::to_compile_error).unwrap_or_default()
    }
}

/// The span of an item's name. An error there is shorter than one at all lines of the item.
pub(crate) fn head(item: &Item) -> Option<Span> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Impl(item) => return Some(item.impl_token.span),
        _ => return None,
    };
    Some(name.span())
}
