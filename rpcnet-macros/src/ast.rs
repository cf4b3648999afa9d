//! The parsed trait: its methods with their arguments and options.

use quote::format_ident;
use syn::{
    FnArg, GenericArgument, Ident, ItemTrait, Pat, PatType, Path, PathArguments, Receiver, ReturnType,
    Signature, TraitItem, TraitItemFn, Type, TypePath, ext::IdentExt, parse_quote,
};

use crate::{
    attr::{MethodOptions, TraitOptions},
    error::Errors,
};

/// A trait with `#[rpc_trait]`.
pub(crate) struct Service {
    /// The trait without its methods.
    pub(crate) item: ItemTrait,
    pub(crate) options: TraitOptions,
    pub(crate) methods: Vec<Method>,
    /// Items that are not methods. Each is a mistake.
    pub(crate) others: Vec<TraitItem>,
}

/// A method of the trait.
pub(crate) struct Method {
    /// As it was written, without `#[rpc(..)]`.
    pub(crate) item: TraitItemFn,
    pub(crate) options: MethodOptions,
    /// The method takes `cx: &Context`.
    pub(crate) context: bool,
    /// The arguments that are sent: all but the receiver and the context.
    pub(crate) arguments: Vec<Argument>,
    pub(crate) output: Type,
    pub(crate) fate: Fate,
}

/// An argument that is sent.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

/// The code that is generated for a method.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Everything: the trait's method, the client's, the server's.
    Served,
    /// Only signatures: the method has a mistake, which is reported. With a signature, code that uses the method raises no
    /// further errors.
    Declared,
    /// Only the signature in the trait: a client can't name the method's types.
    DeclaredWithoutClient,
    /// Nothing: another method has the same name.
    Dropped,
}

impl Service {
    pub(crate) fn new(mut item: ItemTrait, options: TraitOptions, errors: &mut Errors) -> Self {
        let mut methods = Vec::new();
        let mut others = Vec::new();
        for inner in std::mem::take(&mut item.items) {
            match inner {
                TraitItem::Fn(method) => methods.push(Method::new(method, errors)),
                other => others.push(other),
            }
        }
        Self { item, options, methods, others }
    }

    /// Returns `true` if the trait has generic parameters, which is a mistake.
    pub(crate) fn is_generic(&self) -> bool {
        !self.item.generics.params.is_empty()
    }

    /// The trait's name. The default name on the wire ends with it.
    pub(crate) fn name(&self) -> String {
        self.item.ident.unraw().to_string()
    }
}

impl Method {
    fn new(mut item: TraitItemFn, errors: &mut Errors) -> Self {
        let options = MethodOptions::take(&mut item.attrs, errors);
        let mut context = false;
        let mut arguments = Vec::new();
        for (index, argument) in typed(&item.sig).enumerate() {
            if is_context(&argument.ty) {
                context = true;
                continue;
            }
            let name = match &*argument.pat {
                Pat::Ident(pattern) => pattern.ident.clone(),
                _ => format_ident!("argument{index}"),
            };
            arguments.push(Argument { name, ty: (*argument.ty).clone() });
        }
        let output = match &item.sig.output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, ty) => (**ty).clone(),
        };
        Self { item, options, context, arguments, output, fate: Fate::Served }
    }

    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        self.item.sig.receiver()
    }

    /// The stream argument, which is the last one.
    pub(crate) fn items(&self) -> Option<&Argument> {
        self.arguments.last().filter(|argument| is_streaming(&argument.ty))
    }

    /// The arguments that are no stream. They are sent as one tuple.
    pub(crate) fn values(&self) -> &[Argument] {
        &self.arguments[..self.arguments.len() - usize::from(self.items().is_some())]
    }

    /// Returns `true` if a type is written as a stream. An alias of a stream is not recognised.
    pub(crate) fn has_stream(&self) -> bool {
        self.items().is_some() || result_value(&self.output).is_some_and(is_streaming)
    }

    /// The name on the wire.
    pub(crate) fn wire_name(&self) -> String {
        match &self.options.name {
            Some(name) => name.value(),
            None => self.item.sig.ident.unraw().to_string(),
        }
    }

    /// Returns `true` for `fn .. -> impl Future`, the form that the macro itself generates for an `async fn`.
    pub(crate) fn returns_future(&self) -> bool {
        self.item.sig.asyncness.is_none() && matches!(plain(&self.output), Type::ImplTrait(_))
    }

    /// Limits the generated code to at most this.
    pub(crate) fn restrict(&mut self, fate: Fate) {
        self.fate = self.fate.max(fate);
    }
}

/// The arguments after the receiver.
pub(crate) fn typed(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    })
}

/// Returns `true` for `&Context`, with any path before the name.
pub(crate) fn is_context(ty: &Type) -> bool {
    match plain(ty) {
        Type::Reference(reference) => reference.mutability.is_none() && names_context(&reference.elem),
        _ => false,
    }
}

/// Returns `true` for `Context`, with any path before the name.
pub(crate) fn names_context(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|(name, arguments)| name == "Context" && arguments.is_none())
}

/// Returns `true` for `Streaming<..>`, with any path before the name.
pub(crate) fn is_streaming(ty: &Type) -> bool {
    matches!(plain(ty), Type::Path(TypePath { path, .. }) if names_streaming(path))
}

/// Returns `true` if a path ends in `Streaming`. A macro sees only names, so that every type of this name counts as
/// rpcnet's.
pub(crate) fn names_streaming(path: &Path) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident.unraw() == "Streaming")
}

/// `T` of `Result<T, ..>`.
pub(crate) fn result_value(ty: &Type) -> Option<&Type> {
    result_arguments(ty)?.first().copied()
}

/// The type arguments of `Result<..>`, or of any type whose name ends in `Result`.
pub(crate) fn result_arguments(ty: &Type) -> Option<Vec<&Type>> {
    let (name, arguments) = last_segment(ty)?;
    if !name.unraw().to_string().ends_with("Result") {
        return None;
    }
    let PathArguments::AngleBracketed(arguments) = arguments else { return Some(Vec::new()) };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    Some(types.collect())
}

/// The last name of a path, with its arguments.
pub(crate) fn last_segment(ty: &Type) -> Option<(&Ident, &PathArguments)> {
    let Type::Path(TypePath { path, .. }) = plain(ty) else { return None };
    path.segments.last().map(|segment| (&segment.ident, &segment.arguments))
}

/// The type without parentheses and without the invisible groups that `macro_rules!` adds.
pub(crate) fn plain(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => plain(&group.elem),
        Type::Paren(paren) => plain(&paren.elem),
        other => other,
    }
}
