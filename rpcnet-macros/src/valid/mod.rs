//! Checks that a trait can become a service. Each mistake is reported at its tokens, with the text to write instead, and
//! restricts the code that is generated for its method.

mod routing;
mod types;

use quote::{ToTokens, quote};
use syn::{LitStr, Pat, PatType, ReturnType, Signature, TraitItem, Type, ext::IdentExt};

use crate::{
    ast::{self, Fate, Method, Service},
    attr,
    error::Errors,
    id, signature,
};

/// serde implements its traits for tuples up to this length. A stream is not in the tuple.
const MOST_ARGUMENTS: usize = 16;

pub(crate) fn check(service: &mut Service, errors: &mut Errors) {
    check_trait(service, errors);
    let associated = service.others.iter().any(|other| matches!(other, TraitItem::Type(_)));
    let generic = service.is_generic();
    for method in &mut service.methods {
        if generic {
            method.restrict(Fate::DeclaredWithoutClient);
        }
        check_name(method, errors);
        check_signature(method, errors);
        check_arguments(method, associated, errors);
        check_streams(method, errors);
        routing::check(method, errors);
        check_output(method, associated, errors);
    }
    check_ids(service, errors);
}

fn check_trait(service: &Service, errors: &mut Errors) {
    let item = &service.item;
    if service.is_generic() {
        errors.add(&item.generics, "a service has no generic parameters: name the types in its methods");
    }
    if let Some(token) = &item.unsafety {
        errors.add(token, "a service is a safe trait: remove `unsafe`");
    }
    if let Some(token) = &item.auto_token {
        errors.add(token, "a service is a trait with methods: remove `auto`");
    }
    for other in &service.others {
        match other {
            TraitItem::Type(ty) => {
                let message = "a service has no associated types: name the type in the methods that use it";
                errors.add(ty, message);
            }
            TraitItem::Const(constant) => {
                errors.add(
                    constant,
                    "a service has no associated constants: write the constant beside the trait",
                );
            }
            other => errors
                .add(other, "a service has methods alone: write `async fn name(&self, ..) -> Result<..>`"),
        }
    }
}

/// Refuses the names of functions that every client has.
fn check_name(method: &mut Method, errors: &mut Errors) {
    let name = &method.item.sig.ident;
    let text = name.unraw().to_string();
    if text == "new" || text == "caller" {
        let message = format!(
            "generated clients have a function `{text}` of their own: give the method another name, \
             and `#[rpc(name = \"{text}\")]` if the wire needs this one"
        );
        errors.add(name, message);
        method.restrict(Fate::DeclaredWithoutClient);
    }
}

fn check_signature(method: &mut Method, errors: &mut Errors) {
    let mut bad = false;
    let mut mistake = |at: &dyn ToTokens, message: &str| {
        errors.add(at, message);
        bad = true;
    };
    let Signature { constness, asyncness, unsafety, abi, fn_token, ident, generics, variadic, .. } =
        &method.item.sig;
    if let Some(token) = constness {
        mistake(token, "methods of a service are not `const`: write `async fn`");
    }
    if let Some(token) = unsafety {
        mistake(token, "methods of a service are safe: remove `unsafe`");
    }
    if let Some(abi) = abi {
        mistake(abi, "methods of a service have no ABI of their own: write `async fn`");
    }
    if let Some(variadic) = variadic {
        mistake(variadic, "methods of a service have no variadic arguments: take a `Vec`");
    }
    if asyncness.is_none() && constness.is_none() {
        mistake(
            &quote!(#fn_token #ident),
            &format!("methods of a service are async: write `async fn {ident}`"),
        );
    }
    if !generics.params.is_empty() {
        mistake(generics, "methods of a service have no generic parameters: name the types that are sent");
    } else if let Some(clause) = &generics.where_clause {
        mistake(clause, "methods of a service have no `where` clause: remove it");
    }
    match method.receiver() {
        None => {
            mistake(ident, &format!("methods of a service take `&self`: write `async fn {ident}(&self, ..)`"))
        }
        Some(receiver) => {
            let is_plain = matches!(receiver.reference, Some((_, None)))
                && receiver.mutability.is_none()
                && receiver.colon_token.is_none();
            if !is_plain {
                let message = "methods of a service take `&self`, for many calls run at once: write `&self`, \
                               and put what changes behind a lock or an atomic";
                mistake(receiver, message);
            }
        }
    }
    if bad {
        method.restrict(Fate::Declared);
    }
}

fn check_arguments(method: &mut Method, associated: bool, errors: &mut Errors) {
    let mut fate = Fate::Served;
    for (index, argument) in ast::typed(&method.item.sig).enumerate() {
        fate = fate
            .max(check_pattern(argument, method.item.default.is_some(), errors))
            .max(check_argument_type(index, argument, associated, errors));
        if attr::is_configured(&argument.attrs) {
            let message = "an argument can't be conditional: write the method twice, each with a `#[cfg(..)]` \
                           of its own";
            errors.add(argument, message);
            fate = Fate::DeclaredWithoutClient;
        }
    }
    if let Some(argument) = method.values().get(MOST_ARGUMENTS) {
        let message = format!("a method takes at most {MOST_ARGUMENTS} arguments: put them into a struct");
        errors.add(&argument.name, message);
        fate = fate.max(Fate::Declared);
    }
    method.restrict(fate);
}

/// Checks that a method has at most one stream argument, and that it is the last: its items follow the other arguments.
fn check_streams(method: &mut Method, errors: &mut Errors) {
    let is_stream = |argument: &&ast::Argument| ast::is_streaming(&argument.ty);
    let mut streams = method.arguments.iter().filter(is_stream);
    let Some(first) = streams.next() else { return };
    let mut bad = false;
    for another in streams {
        let message =
            "a method takes one stream: make an enum of what the two carry, and take a stream of that";
        errors.add(&another.ty, message);
        bad = true;
    }
    if !bad && method.items().is_none() {
        let message = format!(
            "a stream stands last, for its items follow the other arguments: move `{}: {}` behind them",
            first.name,
            signature::shown(&first.ty),
        );
        errors.add(&first.ty, message);
        bad = true;
    }
    if bad {
        method.restrict(Fate::Declared);
    }
}

fn check_pattern(argument: &PatType, has_body: bool, errors: &mut Errors) -> Fate {
    match &*argument.pat {
        // Clients have no such argument, and need no name for it.
        Pat::Wild(_) if ast::is_context(&argument.ty) => return Fate::Served,
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            if pattern.mutability.is_none() || has_body {
                return Fate::Served;
            }
            let message = format!("`mut` belongs to the implementation: write `{}`", pattern.ident);
            errors.add(pattern, message);
        }
        pattern => errors.add(pattern, "an argument is a name and a type, not a pattern: write `name: Type`"),
    }
    Fate::Declared
}

fn check_argument_type(index: usize, argument: &PatType, associated: bool, errors: &mut Errors) -> Fate {
    let ty = ast::plain(&argument.ty);
    let message = match ty {
        _ if ast::is_context(ty) => {
            if index == 0 {
                return Fate::Served;
            }
            "`&Context` stands first and once: write it behind `&self`"
        }
        Type::Reference(reference) if ast::names_context(&reference.elem) => {
            "the context is shared: write `cx: &Context`"
        }
        // Somebody's own type may be called so too, and may be sent.
        _ if ast::names_context(ty) && matches!(&*argument.pat, Pat::Ident(name) if name.ident == "cx") => {
            "the context is borrowed: write `cx: &Context`"
        }
        _ => return types::check_argument(ty, associated, errors),
    };
    errors.add(argument, message);
    Fate::DeclaredWithoutClient
}

fn check_output(method: &mut Method, associated: bool, errors: &mut Errors) {
    let written = match &method.item.sig.output {
        // It is what an `async fn` would return: that it is none has been reported.
        ReturnType::Type(_, ty) if method.returns_future() => {
            method.restrict(Fate::DeclaredWithoutClient);
            return;
        }
        ReturnType::Type(_, ty) => Some(&**ty),
        ReturnType::Default => None,
    };
    let fate = match written {
        Some(ty) if ast::result_arguments(ty).is_some() || types::has_inner_stream(ty) => {
            types::check_result(ty, associated, errors)
        }
        Some(ty) => {
            let message = format!(
                "methods of a service return a `Result`, for each call can fail: write `rpcnet::Result<{0}>`, or \
                 `Result<{0}, E>` with an error of your own (an alias is known by a name that ends in `Result`)",
                signature::shown(ty),
            );
            errors.add(ty, message);
            Fate::Declared
        }
        None => {
            let message = "methods of a service return a `Result`, for each call can fail: write \
                           `-> rpcnet::Result<()>`, or `-> Result<(), E>` with an error of your own";
            errors.add(&method.item.sig.ident, message);
            Fate::Declared
        }
    };
    method.restrict(fate);
}

/// Refuses two methods with one id: a server finds a method by the hash of its names.
fn check_ids(service: &mut Service, errors: &mut Errors) {
    let name = service.options.name.as_ref().map(LitStr::value);
    // Only the compiler knows the default name of a service. If two hashes are equal under that name, the server refuses to
    // register the service.
    let key = |method: &Method| match &name {
        Some(service) => Key::Id(id::method_id(service, &method.wire_name())),
        None => Key::Name(method.wire_name()),
    };
    let mut earlier: Vec<&Method> = Vec::new();
    let mut dropped = Vec::new();
    for (index, method) in service.methods.iter().enumerate() {
        let ident = &method.item.sig.ident;
        let same = earlier.iter().find(|first| {
            let alternatives =
                attr::is_configured(&first.item.attrs) && attr::is_configured(&method.item.attrs);
            !alternatives && key(first) == key(method)
        });
        if let Some(first) = same {
            let (first_ident, wire_name) = (&first.item.sig.ident, method.wire_name());
            let how = if first.wire_name() == wire_name {
                format!("is \"{wire_name}\" on the wire too")
            } else {
                format!("has the same hash as \"{wire_name}\"")
            };
            let message = format!(
                "two methods with one id: `{first_ident}` {how}; rename one of them, or give it a name on the wire by \
                 `#[rpc(name = \"..\")]`"
            );
            match &method.options.name {
                Some(name) => errors.add(name, message),
                None => errors.add(ident, message),
            }
            if first_ident == ident {
                dropped.push(index);
            }
        }
        earlier.push(method);
    }
    for index in dropped {
        service.methods[index].restrict(Fate::Dropped);
    }
}

#[derive(PartialEq)]
enum Key {
    Id(u64),
    Name(String),
}
