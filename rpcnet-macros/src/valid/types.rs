//! Checks that types can be sent: they are owned, both sides can name them, and streams are only where they may be.

use std::fmt::Display;

use quote::ToTokens;
use syn::{
    Lifetime, Path, Type, TypeImplTrait, TypeParamBound, TypePath, TypeReference,
    visit::{self, Visit},
};

use crate::{
    ast::{self, Fate},
    error::Errors,
    signature,
};

/// Reports the first part of an argument's type that can't be sent.
pub(super) fn check_argument(ty: &Type, associated: bool, errors: &mut Errors) -> Fate {
    check(ty, Place::Argument, associated, errors)
}

/// Reports the first part of a result's type that can't be sent.
pub(super) fn check_result(ty: &Type, associated: bool, errors: &mut Errors) -> Fate {
    check(ty, Place::Result, associated, errors)
}

/// Returns `true` if the type contains a stream without being one. No such type can be sent.
pub(super) fn has_inner_stream(ty: &Type) -> bool {
    let mut search = Streams(false);
    search.visit_type(ty);
    search.0 && !ast::is_streaming(ty)
}

fn check(ty: &Type, place: Place, associated: bool, errors: &mut Errors) -> Fate {
    let mut search = Search { place, stream: place.stream(ty), associated, found: None, fate: Fate::Served };
    search.visit_type(ty);
    if let Some(error) = search.found {
        errors.merge(error);
    }
    search.fate
}

/// The place of a type in a method.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Argument,
    Result,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Argument => "an argument",
            Self::Result => "a result",
        }
    }

    /// The path of the stream that the argument is, or that is the result's value.
    fn stream(self, ty: &Type) -> Option<&Path> {
        let ty = match self {
            Self::Argument => ty,
            Self::Result => ast::result_value(ty)?,
        };
        match ast::plain(ty) {
            Type::Path(TypePath { path, .. }) if ast::is_streaming(ty) => Some(path),
            _ => None,
        }
    }
}

struct Search<'ast> {
    place: Place,
    /// The stream that is allowed here.
    stream: Option<&'ast Path>,
    /// The trait has associated types, which was reported: then `Self::Item` is not reported again.
    associated: bool,
    found: Option<syn::Error>,
    fate: Fate,
}

impl Search<'_> {
    fn find(&mut self, at: impl ToTokens, fate: Fate, message: impl Display) {
        self.fate = self.fate.max(fate);
        self.found.get_or_insert_with(|| syn::Error::new_spanned(at, message));
    }
}

impl<'ast> Visit<'ast> for Search<'ast> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let message =
            format!("{} is owned, for it is sent: write `{}`", self.place.name(), owned(&reference.elem));
        self.find(reference, Fate::Declared, message);
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let name = self.place.name();
        let message = if is_stream(ty) {
            format!("{name} that is a stream has a type of its own: write `rpcnet::Streaming<..>`")
        } else {
            format!("the type of {name} is known on both sides: name it in place of `impl ..`")
        };
        let fate = match self.place {
            Place::Argument => Fate::Declared,
            // In the client, nothing would decide the type.
            Place::Result => Fate::DeclaredWithoutClient,
        };
        self.find(ty, fate, message);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            let message =
                format!("{} is owned, for it is sent: write a type without `{lifetime}`", self.place.name());
            self.find(lifetime, Fate::Declared, message);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first()
            && first.ident == "Self"
        {
            self.fate = self.fate.max(Fate::DeclaredWithoutClient);
            if !self.associated {
                let message = "`Self` is another type on each side: name the type that is sent";
                self.find(&first.ident, Fate::DeclaredWithoutClient, message);
            }
        }
        let is_allowed = self.stream.is_some_and(|stream| std::ptr::eq(stream, path));
        if ast::names_streaming(path) && !is_allowed {
            let written = signature::shown_path(path);
            let message = match self.place {
                Place::Argument => {
                    format!("a stream is an argument by itself, the last one: write `name: {written}`")
                }
                Place::Result => {
                    format!("a stream is the value of a result by itself: write `Result<{written}, E>`")
                }
            };
            self.find(path, Fate::Declared, message);
        }
        visit::visit_path(self, path);
    }
}

/// Finds out if a stream occurs anywhere in a type.
struct Streams(bool);

impl<'ast> Visit<'ast> for Streams {
    fn visit_path(&mut self, path: &'ast Path) {
        self.0 |= ast::names_streaming(path);
        visit::visit_path(self, path);
    }
}

/// Returns `true` for `impl Stream`.
fn is_stream(ty: &TypeImplTrait) -> bool {
    ty.bounds.iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().is_some_and(|segment| segment.ident == "Stream")
        }
        _ => false,
    })
}

/// The owned type to take in place of a reference.
fn owned(ty: &Type) -> String {
    match ast::plain(ty) {
        Type::Slice(slice) => format!("Vec<{}>", signature::shown(&slice.elem)),
        Type::TraitObject(_) => "a type of your own".into(),
        ty => match ast::last_segment(ty) {
            Some((name, _)) if name == "str" => "String".into(),
            Some((name, _)) if name == "Path" => "PathBuf".into(),
            Some((name, _)) if name == "OsStr" => "OsString".into(),
            Some((name, _)) if name == "CStr" => "CString".into(),
            _ => signature::shown(ty),
        },
    }
}
