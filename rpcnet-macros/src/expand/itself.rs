//! A user's types by way of the traits that they must implement, so that one that does not is reported once.
//!
//! `rpcnet::__private::Message` has the reasons. Each error is to be at the whole type: there the compiler takes errors of
//! the same words for one. So what stands around the type begins and ends where the type does.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;

/// The type of an argument.
pub(super) fn argument(ty: &Type) -> TokenStream {
    projected(ty, "Message", "Itself")
}

/// The type of an argument that is a stream of items.
pub(super) fn items(ty: &Type) -> TokenStream {
    projected(ty, "ItemsArgument", "Itself")
}

/// A method's result, or a part of it: `Itself`, `Value` or `ClientError`.
pub(super) fn outcome(ty: &Type, part: &str) -> TokenStream {
    projected(ty, "Outcome", part)
}

/// The value of a client's argument, as [`argument`] names its type.
pub(super) fn given(value: &Ident, ty: &Type) -> TokenStream {
    converted(value, argument(ty))
}

/// The value of a client's argument, as [`items`] names its type.
pub(super) fn given_items(value: &Ident, ty: &Type) -> TokenStream {
    converted(value, items(ty))
}

/// The value of a client's argument, borrowed, as [`argument`] names its type.
pub(super) fn lent(value: &Ident, ty: &Type) -> TokenStream {
    let at_value = Span::call_site().located_at(value.span());
    let to = argument(ty);
    quote_spanned!(at_value=> ::rpcnet::__private::same_ref::<_, #to>(&#value))
}

/// The value of a handler's argument, as the user named its type.
pub(super) fn taken(value: &Ident, ty: &Type) -> TokenStream {
    converted(value, ty.to_token_stream())
}

fn converted(value: &Ident, to: TokenStream) -> TokenStream {
    let at_value = Span::call_site().located_at(value.span());
    quote_spanned!(at_value=> ::rpcnet::__private::same::<_, #to>(#value))
}

/// The client's `Call` of a method with this result.
pub(super) fn call(caller: &Ident, output: &Type) -> TokenStream {
    let (start, end) = ends(output);
    let (value, error) = (outcome(output, "Value"), outcome(output, "ClientError"));
    let open = quote_spanned!(start=> ::rpcnet::Call<);
    let close = quote_spanned!(end=> >);
    quote!(#open #caller, #value, #error #close)
}

fn projected(ty: &Type, of: &str, name: &str) -> TokenStream {
    let (start, end) = ends(ty);
    let (of, name) = (Ident::new(of, end), Ident::new(name, end));
    let open = quote_spanned!(start=> <);
    let close = quote_spanned!(end=> as ::rpcnet::__private::#of>::#name);
    quote!(#open #ty #close)
}

/// Where a type begins, and where it ends.
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
