//! Generates stubs for a method with a mistake, so that its implementation and its calls raise no further errors. The
//! mistake itself is reported as an error, so that a stub never runs.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{FnArg, ReturnType, TraitItemFn, Visibility, parse_quote};

use crate::{
    ast::{self, Method},
    crate_path::CratePath,
    expand::client_attributes,
};

/// The method in the trait. An `async fn` in an implementation matches it.
pub(crate) fn declare(method: &Method) -> TraitItemFn {
    let mut item = method.item.clone();
    let output = &method.output;
    if !method.returns_future() {
        item.sig.output =
            ReturnType::Type(parse_quote!(->), parse_quote!(impl ::core::future::Future<Output = #output>));
    }
    item.sig.asyncness = None;
    item.sig.constness = None;
    item.sig.unsafety = None;
    item.sig.abi = None;
    item.sig.variadic = None;
    let mut index = 0;
    for input in &mut item.sig.inputs {
        if let FnArg::Typed(argument) = input {
            // Methods of a trait may not have patterns as arguments.
            let name = quote::format_ident!("argument{index}");
            argument.pat = parse_quote!(#name);
            argument.attrs.clear();
            index += 1;
        }
    }
    if item.default.take().is_some() {
        item.default = Some(parse_quote!({ ::core::future::pending::<#output>() }));
        item.semi_token = None;
    }
    item
}

/// The method of the client, with the types as they are written.
pub(crate) fn call(
    rpcnet: &CratePath,
    method: &Method,
    visibility: &Visibility,
    caller: &Ident,
) -> TokenStream {
    let name = &method.item.sig.ident;
    let attributes = client_attributes(method);
    let generics = &method.item.sig.generics;
    let clause = &generics.where_clause;
    let receiver = method.receiver().map(|receiver| quote!(#receiver,));
    let parameters = method.arguments.iter().map(|argument| {
        let (name, ty) = (&argument.name, &argument.ty);
        quote!(#name: #ty)
    });
    let never = quote!(::core::convert::Infallible);
    let (value, error) = match ast::result_arguments(&method.output) {
        Some(types) => {
            let mut types = types.into_iter().map(ToTokens::to_token_stream);
            (types.next().unwrap_or_else(|| quote!(())), types.next().unwrap_or(never))
        }
        None => (method.output.to_token_stream(), never),
    };
    quote! {
        #(#attributes)*
        #[allow(unused_variables)]
        #visibility fn #name #generics(
            #receiver
            #(#parameters,)*
        ) -> #rpcnet::Call<#caller, #value, #error> #clause {
            ::core::unreachable!()
        }
    }
}
