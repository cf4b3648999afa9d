//! Generates the trait, its client, its server, and a table of the methods that both use.
//!
//! A method may have a `#[cfg(..)]`, and a macro can't know its value. So the macro does not count methods. Each method is
//! a variant of an enum, an entry of a table of methods and an entry of a table of variants, all under the same
//! `#[cfg(..)]`, and the compiler numbers the remaining ones. `Service::call` turns the index into the variant.
//!
//! Generated names do not collide with the user's: nested items are called `__Rpcnet…`, type parameters have names that do
//! not occur in the trait, and arguments of handlers are hygienic.

mod itself;
mod table;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    ReturnType, TraitItem, TraitItemFn, ext::IdentExt, parse_quote, parse_quote_spanned, spanned::Spanned,
};

use crate::{
    ast::{Argument, Fate, Method, Service},
    attr::{lint_levels, select},
    crate_path::CratePath,
    stub,
};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let interface = expand_trait(service);
    let names = Names::new(service);
    let client = expand_client(service, &names);
    let server = expand_server(service, &names);
    let table = table::expand(service);
    let (client_type, client_methods) = client;
    let (server_type, server_dispatch) = server;
    quote! {
        #interface
        #client_type
        #server_type
        const _: () = {
            #table
            #client_methods
            #server_dispatch
        };
    }
}

/// Names of generated types and type parameters. They do not occur in the trait.
struct Names {
    client: Ident,
    caller: Ident,
    server: Ident,
    handler: Ident,
}

impl Names {
    fn new(service: &Service) -> Self {
        let name = &service.item.ident;
        let mut used = Vec::new();
        collect_names(service.item.to_token_stream(), &mut used);
        collect_names(service.options.rpcnet.to_token_stream(), &mut used);
        for method in &service.methods {
            collect_names(method.item.sig.to_token_stream(), &mut used);
        }
        Self {
            client: format_ident!("{name}Client"),
            caller: unused("C", &used),
            server: format_ident!("{name}Server"),
            handler: unused("T", &used),
        }
    }
}

fn collect_names(tokens: TokenStream, names: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect_names(group.stream(), names),
            TokenTree::Ident(name) => names.push(name.to_string()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn unused(name: &str, used: &[String]) -> Ident {
    let mut name = name.to_owned();
    while used.contains(&name) {
        name.push('_');
    }
    Ident::new(&name, Span::call_site())
}

fn expand_trait(service: &Service) -> TokenStream {
    let mut item = service.item.clone();
    item.colon_token.get_or_insert_default();
    for bound in
        [parse_quote!(::core::marker::Send), parse_quote!(::core::marker::Sync), parse_quote!('static)]
    {
        item.supertraits.push(bound);
    }
    item.items = service.others.clone();
    item.items.extend(service.methods.iter().filter_map(|method| match method.fate {
        Fate::Served => Some(TraitItem::Fn(declare(method))),
        Fate::Declared | Fate::DeclaredWithoutClient => Some(TraitItem::Fn(stub::declare(method))),
        Fate::Dropped => None,
    }));
    item.into_token_stream()
}

/// Rewrites `async fn`, which promises no `Send`, to a function that returns `impl Future + Send`.
fn declare(method: &Method) -> TraitItemFn {
    let mut item = method.item.clone();
    let output = &method.output;
    // Located at the result, so that errors about the future are reported there. Resolved at the call site, so that lints do
    // not take the tokens for the user's code.
    let span = Span::call_site().located_at(output.span());
    item.sig.asyncness = None;
    item.sig.output = ReturnType::Type(
        parse_quote!(->),
        parse_quote_spanned!(span=>
            impl ::core::future::Future<Output = #output> + ::core::marker::Send
        ),
    );
    if let Some(body) = item.default.take() {
        item.default = Some(parse_quote!({ async move #body }));
        item.semi_token = None;
    }
    item
}

/// The types of the client, and its methods.
fn expand_client(service: &Service, names: &Names) -> (TokenStream, TokenStream) {
    let Names { client, caller, .. } = names;
    let rpcnet = &service.options.rpcnet;
    let item = &service.item;
    let visibility = &item.vis;
    let trait_name = item.ident.unraw();
    let attributes = select(&item.attrs, &["doc", "deprecated"]);
    let levels = lint_levels(&item.attrs);
    let summary = format!(" A client of [`{trait_name}`], on a `Channel` or another `Caller`.");
    let new = format!(" Returns a client of [`{trait_name}`] that makes its calls on `caller`.");
    let client_type = quote! {
        #[doc = #summary]
        ///
        #(#attributes)*
        #(#levels)*
        #[allow(dead_code, unreachable_pub)]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client<#caller: #rpcnet::Caller = #rpcnet::Channel> {
            caller: #caller,
        }
    };
    let methods = service.methods.iter().filter_map(|method| match method.fate {
        Fate::Served => Some(expand_call(rpcnet, method, visibility, caller)),
        Fate::Declared => Some(stub::call(rpcnet, method, visibility, caller)),
        Fate::DeclaredWithoutClient | Fate::Dropped => None,
    });
    let client_methods = quote! {
        #(#levels)*
        #[allow(
            dead_code,
            deprecated,
            unreachable_pub,
            clippy::too_many_arguments,
            clippy::type_complexity
        )]
        impl<#caller: #rpcnet::Caller> #client<#caller> {
            #[doc = #new]
            #visibility fn new(caller: #caller) -> Self {
                Self { caller }
            }

            /// The channel, or other caller, on which the calls are made.
            #visibility fn caller(&self) -> &#caller {
                &self.caller
            }

            #(#methods)*
        }
    };
    (client_type, client_methods)
}

/// A method of the client: encodes the arguments and starts the call.
fn expand_call(
    rpcnet: &CratePath,
    method: &Method,
    visibility: &syn::Visibility,
    caller: &Ident,
) -> TokenStream {
    let name = &method.item.sig.ident;
    let attributes = client_attributes(method);
    let output = &method.output;
    let values = method.values().iter().map(|argument| itself::given(rpcnet, &argument.name, &argument.ty));
    let parameters = method.arguments.iter().map(|argument| {
        let (name, ty) = (&argument.name, &argument.ty);
        quote!(#name: #ty)
    });
    let call = itself::call(rpcnet, caller, output);
    let output = itself::outcome(rpcnet, output, "Itself");
    let at_name = Span::call_site().located_at(name.span());
    let root = rpcnet.at(at_name);
    let entry = quote_spanned! {at_name=>
        &__RPCNET_METHODS[__RpcnetMethod::#name as ::core::primitive::usize]
    };
    let start = match method.items() {
        None => quote_spanned! {at_name=>
            #root::__private::start_call::<#caller, _, #output>(
                &self.caller,
                #entry,
                &(#(#values,)*),
            )
        },
        Some(Argument { name: items, ty }) => {
            let items = itself::given_items(rpcnet, items, ty);
            let ty = itself::items(rpcnet, ty);
            quote_spanned! {at_name=>
                #root::__private::start_items::<#caller, _, #ty, #output>(
                    &self.caller,
                    #entry,
                    &(#(#values,)*),
                    #items,
                )
            }
        }
    };
    // The call takes the arguments, so that the key is computed before.
    let (hashed, routed) = match &*method.options.key {
        [] => (quote!(), quote!()),
        key => {
            let by = Ident::new("by", Span::mixed_site());
            let key = key.iter().map(|name| {
                let argument = method.values().iter().find(|argument| argument.name == *name);
                argument.map_or_else(|| quote!(&#name), |argument| itself::lent(rpcnet, name, &argument.ty))
            });
            let hashed = quote_spanned! {at_name=>
                let #by = #root::__private::Key::of(&(#(#key,)*));
            };
            (hashed, quote!(.routed(#by)))
        }
    };
    quote! {
        #(#attributes)*
        #visibility fn #name(&self, #(#parameters,)*) -> #call {
            #hashed
            #start #routed
        }
    }
}

/// The user's attributes that the client's method shares, and a doc if the user wrote none.
pub(crate) fn client_attributes(method: &Method) -> Vec<syn::Attribute> {
    let mut attributes = select(&method.item.attrs, &["doc", "cfg", "deprecated"]);
    if select(&attributes, &["doc"]).is_empty() {
        let doc = format!(" Calls `{}`.", method.wire_name());
        attributes.push(parse_quote!(#[doc = #doc]));
    }
    attributes.extend(lint_levels(&method.item.attrs));
    attributes
}

/// The type of the server, and its dispatch.
fn expand_server(service: &Service, names: &Names) -> (TokenStream, TokenStream) {
    let Names { server, handler, .. } = names;
    let rpcnet = &service.options.rpcnet;
    let item = &service.item;
    let visibility = &item.vis;
    let interface = &item.ident;
    let trait_name = interface.unraw();
    let server_name = server.to_string();
    let attributes = select(&item.attrs, &["deprecated"]);
    let levels = lint_levels(&item.attrs);
    let summary = format!(" A server of [`{trait_name}`]: passes incoming calls to an implementation.");
    let new = format!(" Returns a server of this implementation of [`{trait_name}`].");
    let server_type = quote! {
        #[doc = #summary]
        #(#attributes)*
        #(#levels)*
        #[allow(dead_code, unreachable_pub)]
        #visibility struct #server<#handler> {
            service: #rpcnet::__private::Arc<#handler>,
        }
    };
    let bound = if service.is_generic() {
        quote!(::core::marker::Send + ::core::marker::Sync + 'static)
    } else {
        interface.to_token_stream()
    };
    let arms = served(service).map(|method| expand_handler(rpcnet, method, interface, handler));
    let missing = format!("{trait_name} has no such method");
    let server_dispatch = quote! {
        #[allow(dead_code, deprecated, unreachable_pub)]
        impl<#handler> #server<#handler> {
            #[doc = #new]
            #visibility fn new(service: #handler) -> Self {
                Self::from_arc(#rpcnet::__private::Arc::new(service))
            }

            /// Returns a server of an implementation that other code shares.
            #visibility fn from_arc(service: #rpcnet::__private::Arc<#handler>) -> Self {
                Self { service }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl<#handler> ::core::clone::Clone for #server<#handler> {
            fn clone(&self) -> Self {
                Self { service: ::core::clone::Clone::clone(&self.service) }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl<#handler> ::core::fmt::Debug for #server<#handler> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#server_name).finish_non_exhaustive()
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl<#handler: #bound> #rpcnet::Service for #server<#handler> {
            fn descriptor(&self) -> &'static #rpcnet::ServiceDescriptor {
                &__RPCNET_SERVICE
            }

            fn call(
                &self,
                method: ::core::primitive::usize,
                inbound: #rpcnet::__private::Inbound,
            ) -> #rpcnet::__private::HandlerFuture {
                match __RPCNET_VARIANTS.get(method).copied() {
                    #(#arms)*
                    ::core::option::Option::None => {
                        // Unreachable: the index comes from the table of methods.
                        let missing = |_, _, ()| ::core::future::ready(::core::result::Result::Err(
                            #rpcnet::Status::unimplemented(#missing),
                        ));
                        #rpcnet::__private::handle::<(), ::core::result::Result<(), #rpcnet::Status>, _, _, _>(
                            (),
                            inbound,
                            missing,
                            missing,
                        )
                    }
                }
            }
        }
    };
    (server_type, server_dispatch)
}

/// The match arm of a method: decodes the arguments and runs the handler.
fn expand_handler(rpcnet: &CratePath, method: &Method, interface: &Ident, handler: &Ident) -> TokenStream {
    let name = &method.item.sig.ident;
    let configured = select(&method.item.attrs, &["cfg"]);
    let types = method.values().iter().map(|argument| itself::argument(rpcnet, &argument.ty));
    let output = itself::outcome(rpcnet, &method.output, "Itself");
    let values: Vec<Ident> = (0..method.values().len())
        .map(|index| Ident::new(&format!("argument{index}"), Span::mixed_site()))
        .collect();
    let passed: Vec<TokenStream> = method
        .values()
        .iter()
        .zip(&values)
        .map(|(argument, value)| itself::taken(rpcnet, value, &argument.ty))
        .collect();
    let (context, pass_context) =
        if method.context { (quote!(cx), quote!(&cx,)) } else { (quote!(_), quote!()) };
    let at_name = Span::call_site().located_at(name.span());
    let root = rpcnet.at(at_name);
    // Two closures run the handler; the size of its future decides which. A large future is moved to the heap at once,
    // because an unoptimised build copies a future on the stack with each move.
    let handle = match method.items() {
        None => quote_spanned! {at_name=>
            #root::__private::handle::<(#(#types,)*), #output, _, _, _>(
                ::core::clone::Clone::clone(&self.service),
                inbound,
                |service, #context, (#(#values,)*)| async move {
                    <#handler as #interface>::#name(&service, #pass_context #(#passed,)*).await
                },
                |service, #context, (#(#values,)*)| async move {
                    #root::__private::boxed(
                        || <#handler as #interface>::#name(&service, #pass_context #(#passed,)*)
                    ).await
                },
            )
        },
        Some(Argument { ty, .. }) => {
            let items = Ident::new("items", Span::mixed_site());
            let passed_items = itself::taken(rpcnet, &items, ty);
            let ty = itself::items(rpcnet, ty);
            quote_spanned! {at_name=>
                #root::__private::handle_items::<(#(#types,)*), #ty, #output, _, _, _>(
                    ::core::clone::Clone::clone(&self.service),
                    inbound,
                    |service, #context, (#(#values,)*), #items| async move {
                        <#handler as #interface>::#name(&service, #pass_context #(#passed,)* #passed_items).await
                    },
                    |service, #context, (#(#values,)*), #items| async move {
                        #root::__private::boxed(
                            || <#handler as #interface>::#name(&service, #pass_context #(#passed,)* #passed_items)
                        ).await
                    },
                )
            }
        }
    };
    quote! {
        #(#configured)*
        ::core::option::Option::Some(__RpcnetMethod::#name) => {
            #handle
        }
    }
}

fn served(service: &Service) -> impl Iterator<Item = &Method> {
    service.methods.iter().filter(|method| method.fate == Fate::Served)
}

#[cfg(test)]
mod tests;
