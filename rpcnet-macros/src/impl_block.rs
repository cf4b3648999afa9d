//! `#[rpc_impl]`: checks an implementation, and emits it as it is. An `async fn` may implement a method that returns
//! `impl Future + Send`, and the compiler reports a future that is not `Send` at that `async fn`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{ImplItem, ImplItemFn, Item, Type, spanned::Spanned};

use crate::{
    ast, attr,
    error::{self, Errors},
};

pub(crate) fn expand(arguments: TokenStream, item: Item, errors: &mut Errors) -> TokenStream {
    attr::check_impl_options(arguments, errors);
    let mut item = match item {
        Item::Impl(item) => item,
        other => {
            let at = error::head(&other).unwrap_or_else(|| other.span());
            errors
                .add_at(at, "`#[rpc_impl]` stands at the implementation of a service: write it on an `impl`");
            return other.into_token_stream();
        }
    };
    if item.trait_.is_none() {
        let (token, ty) = (&item.impl_token, &item.self_ty);
        let message = format!(
            "`#[rpc_impl]` stands at the implementation of a service: write `impl YourService for {}`",
            crate::signature::shown(ty),
        );
        errors.add(quote!(#token #ty), message);
        return item.into_token_stream();
    }
    for inner in &mut item.items {
        if let ImplItem::Fn(method) = inner {
            check_method(method, errors);
        }
    }
    item.into_token_stream()
}

/// Reports mistakes, and mends them in the output, so that the compiler adds no errors of its own.
fn check_method(method: &mut ImplItemFn, errors: &mut Errors) {
    attr::refuse_options(&mut method.attrs, errors);
    if method.sig.asyncness.is_some() {
        return;
    }
    let (token, name) = (&method.sig.fn_token, &method.sig.ident);
    errors.add(quote!(#token #name), format!("methods of a service are async: write `async fn {name}`"));
    let returns_future = match &method.sig.output {
        syn::ReturnType::Type(_, ty) => matches!(ast::plain(ty), Type::ImplTrait(_)),
        syn::ReturnType::Default => false,
    };
    if !returns_future {
        method.sig.asyncness = Some(Default::default());
    }
}
