//! The table of the methods: the service's descriptor, and the enum that numbers the methods.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use super::{itself, served};
use crate::{
    ast::{Method, Service},
    attr::select,
    crate_path::CratePath,
    signature,
};

/// The error for `item_timeout` without a stream. An alias may hide a stream, so that only the compiler knows; it reports
/// this text.
const NO_STREAM: &str = "`item_timeout` bounds the time between the items of a stream, and this method has none: \
                         write `timeout`, or leave it out";

/// The error for `resumable` without a stream in the result.
const NO_STREAM_TO_RESUME: &str = "`resumable` lets a stream of answers go on elsewhere, and this method has none: leave \
                                   it out, or return `Result<Streaming<T>, ..>`";

/// The descriptor, the table of methods, and the enum with its table of variants.
pub(super) fn expand(service: &Service) -> TokenStream {
    let rpcnet = &service.options.rpcnet;
    let service_name = match &service.options.name {
        Some(name) => name.to_token_stream(),
        None => {
            let name = service.name();
            quote!(::core::concat!(::core::env!("CARGO_PKG_NAME"), ".", #name))
        }
    };
    let entries = served(service).map(|method| {
        let configured = select(&method.item.attrs, &["cfg"]);
        let name = method.wire_name();
        let signature = signature::of(method.arguments.iter().map(|argument| &argument.ty), &method.output);
        let options = options(rpcnet, method);
        quote! {
            #(#configured)*
            #rpcnet::Method::new(__RPCNET_NAME, #name, #signature) #options
        }
    });
    let variants: Vec<TokenStream> = served(service)
        .map(|method| {
            let configured = select(&method.item.attrs, &["cfg"]);
            let name = &method.item.sig.ident;
            quote!(#(#configured)* #name)
        })
        .collect();
    let paths = served(service).map(|method| {
        let configured = select(&method.item.attrs, &["cfg"]);
        let name = &method.item.sig.ident;
        quote!(#(#configured)* __RpcnetMethod::#name)
    });
    quote! {
        #[allow(non_camel_case_types)]
        #[derive(::core::clone::Clone, ::core::marker::Copy)]
        enum __RpcnetMethod {
            #(#variants,)*
        }

        const __RPCNET_NAME: &::core::primitive::str = #service_name;

        static __RPCNET_METHODS: &[#rpcnet::Method] = &[#(#entries,)*];

        static __RPCNET_VARIANTS: &[__RpcnetMethod] = &[#(#paths,)*];

        static __RPCNET_SERVICE: #rpcnet::ServiceDescriptor =
            #rpcnet::ServiceDescriptor { name: __RPCNET_NAME, methods: __RPCNET_METHODS };
    }
}

/// The calls of `Method`'s setters for a method's types, streams and options.
fn options(rpcnet: &CratePath, method: &Method) -> TokenStream {
    let output = &method.output;
    let takes_stream = method.items().is_some();
    // An alias may hide a stream, so that the type decides, not its name.
    let itself = itself::outcome(rpcnet, output, "Itself");
    let at_output = Span::call_site().located_at(output.span());
    let root = rpcnet.at(at_output);
    let returns_stream = quote_spanned! {at_output=>
        #root::__private::streams::<#itself>()
    };
    let options = &method.options;
    let idempotent = options.idempotent.then(|| quote!(.with_idempotent()));
    let timeout = options.timeout.map(|timeout| {
        let timeout = duration(timeout);
        quote!(.with_timeout(#timeout))
    });
    let item_timeout = options.item_timeout.as_ref().map(|(option, timeout)| {
        let timeout = duration(*timeout);
        let checked = (!method.has_stream()).then(|| {
            quote_spanned! {Span::call_site().located_at(option.span())=>
                ::core::assert!(#returns_stream, #NO_STREAM);
            }
        });
        quote!(.with_item_timeout({ #checked #timeout }))
    });
    let max_message = options.max_message.map(|bytes| quote!(.with_max_message(#bytes)));
    let priority = options.priority.map(|priority| quote!(.with_priority(#priority)));
    let key = (!options.key.is_empty()).then(|| quote!(.with_key()));
    let hedge = options.hedge.as_ref().map(|hedge| match hedge.after {
        None => quote!(.with_hedge(#rpcnet::Hedge::Automatic)),
        Some(after) => {
            let after = duration(after);
            quote!(.with_hedge(#rpcnet::Hedge::After(#after)))
        }
    });
    let resumable = options.resumable.is_some().then(|| quote!(.with_resumable()));
    let checked = options.resumable.as_ref().map(|option| {
        quote_spanned! {Span::call_site().located_at(option.span())=>
            ::core::assert!(#returns_stream, #NO_STREAM_TO_RESUME);
        }
    });
    let types = types(rpcnet, method);
    quote! {
        .with_types(#types)
        .with_streams(#takes_stream, { #checked #returns_stream })
        #idempotent #timeout #item_timeout #max_message #priority #key #hedge #resumable
    }
}

/// The method's types, from which the program computes their shapes and fingerprint.
fn types(rpcnet: &CratePath, method: &Method) -> TokenStream {
    let arguments = method.values().iter().map(|argument| itself::argument(rpcnet, &argument.ty));
    let span = Span::call_site().located_at(method.output.span());
    let output = itself::outcome(rpcnet, &method.output, "Itself");
    let root = rpcnet.at(span);
    match method.items() {
        None => quote_spanned!(span=> #root::__private::types::<(#(#arguments,)*), #output>()),
        Some(items) => {
            let items = itself::items(rpcnet, &items.ty);
            quote_spanned!(span=> #root::__private::types_items::<(#(#arguments,)*), #items, #output>())
        }
    }
}

fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanos))
}
