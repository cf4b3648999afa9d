//! Mistakes, collected: all of them are reported together.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::Item;

/// What is wrong with the input. Starts empty.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds one that underlines these tokens.
    pub(crate) fn add(&mut self, at: impl ToTokens, message: impl Display) {
        self.merge(syn::Error::new_spanned(at, message));
    }

    /// Adds one at this place.
    pub(crate) fn add_at(&mut self, at: Span, message: impl Display) {
        self.merge(syn::Error::new(at, message));
    }

    /// Adds one that the parser found.
    pub(crate) fn merge(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// One `compile_error!` for each; nothing if there are none.
    pub(crate) fn to_compile_error(&self) -> TokenStream {
        self.0.as_ref().map(syn::Error::to_compile_error).unwrap_or_default()
    }
}

/// The name of an item, to underline in place of all its lines.
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
