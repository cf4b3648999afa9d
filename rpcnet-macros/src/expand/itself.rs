//! Names a user's types through the traits that they must implement: `<T as Message>::Itself`. A type without such a trait
//! is then reported once; `rpcnet::__private::Message` has the reasons.
//!
//! The compiler merges errors with the same text and the same span. So the tokens around a type have the spans of the type's
//! first and last token, and each error is at the whole type.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;

use crate::crate_path::CratePath;

/// The type of an argument.
pub(super) fn argument(rpcnet: &CratePath, ty: &Type) -> TokenStream {
    projected(rpcnet, ty, "Message", "Itself")
}

/// The type of an argument that is a stream of items.
pub(super) fn items(rpcnet: &CratePath, ty: &Type) -> TokenStream {
    projected(rpcnet, ty, "ItemsArgument", "Itself")
}

/// The type of a method's result, or a part of it: `Itself`, `Value` or `ClientError`.
pub(super) fn outcome(rpcnet: &CratePath, ty: &Type, part: &str) -> TokenStream {
    projected(rpcnet, ty, "Outcome", part)
}

/// A client's argument, converted to the type as [`argument`] names it.
pub(super) fn given(rpcnet: &CratePath, value: &Ident, ty: &Type) -> TokenStream {
    converted(rpcnet, value, argument(rpcnet, ty))
}

/// A client's stream argument, converted to the type as [`items`] names it.
pub(super) fn given_items(rpcnet: &CratePath, value: &Ident, ty: &Type) -> TokenStream {
    converted(rpcnet, value, items(rpcnet, ty))
}

/// A reference to a client's argument, converted to the type as [`argument`] names it.
pub(super) fn lent(rpcnet: &CratePath, value: &Ident, ty: &Type) -> TokenStream {
    let at_value = Span::call_site().located_at(value.span());
    let (rpcnet, to) = (rpcnet.at(at_value), argument(rpcnet, ty));
    quote_spanned!(at_value=> #rpcnet::__private::same_ref::<_, #to>(&#value))
}

/// A handler's argument, converted to the type as the user names it.
pub(super) fn taken(rpcnet: &CratePath, value: &Ident, ty: &Type) -> TokenStream {
    converted(rpcnet, value, ty.to_token_stream())
}

fn converted(rpcnet: &CratePath, value: &Ident, to: TokenStream) -> TokenStream {
    let at_value = Span::call_site().located_at(value.span());
    let rpcnet = rpcnet.at(at_value);
    quote_spanned!(at_value=> #rpcnet::__private::same::<_, #to>(#value))
}

/// The client's `Call` of a method with this result.
pub(super) fn call(rpcnet: &CratePath, caller: &Ident, output: &Type) -> TokenStream {
    let (start, end) = ends(output);
    let (value, error) = (outcome(rpcnet, output, "Value"), outcome(rpcnet, output, "ClientError"));
    let rpcnet = rpcnet.beginning_at(start);
    let open = quote_spanned!(start=> #rpcnet::Call<);
    let close = quote_spanned!(end=> >);
    quote!(#open #caller, #value, #error #close)
}

fn projected(rpcnet: &CratePath, ty: &Type, of: &str, name: &str) -> TokenStream {
    let (start, end) = ends(ty);
    let (rpcnet, of, name) = (rpcnet.at(end), Ident::new(of, end), Ident::new(name, end));
    let open = quote_spanned!(start=> <);
    let close = quote_spanned!(end=> as #rpcnet::__private::#of>::#name);
    quote!(#open #ty #close)
}

/// The spans of a type's first and last token.
fn ends(ty: &Type) -> (Span, Span) {
    let tokens: Vec<TokenTree> = ty.to_token_stream().into_iter().collect();
    let start = tokens.first().map(|token| match token {
        TokenTree::Group(group) => group.span_open(),
        token => token.span(),
    });
    let end = tokens.last().map(|token| match token {
        TokenTree::Group(group) => group.span_close(),
        token => token.span(),
    });
    (start.unwrap_or_else(Span::call_site), end.unwrap_or_else(Span::call_site))
}
