//! The schema of a method: its types as they are written, in a form that formatting does not change.
//!
//! For example `(String,u64)->Result<Counts,CountError>`. Client and server compare its hash, so that the form is part of
//! the protocol. It depends only on the order of tokens, not on a compiler's way to print them.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    AngleBracketedGenericArguments, Path, Type, TypePath, TypeTuple,
    ext::IdentExt,
    visit_mut::{self, VisitMut},
};

/// The schema of a method with these arguments and this result.
pub(crate) fn of<'a>(arguments: impl Iterator<Item = &'a Type>, output: &Type) -> String {
    let arguments: Vec<String> = arguments.map(written).collect();
    format!("({})->{}", arguments.join(","), written(output))
}

/// The type as it is written, for error messages.
pub(crate) fn shown(ty: &Type) -> String {
    written(ty).replace(',', ", ")
}

/// The path as it is written, for error messages.
pub(crate) fn shown_path(path: &Path) -> String {
    shown(&Type::Path(TypePath { qself: None, path: path.clone() }))
}

fn written(ty: &Type) -> String {
    let mut ty = ty.clone();
    Plain.visit_type_mut(&mut ty);
    let mut text = String::new();
    write(ty.into_token_stream(), &mut text);
    text
}

/// Removes trailing commas, which rustfmt may add or remove, and parentheses without effect.
struct Plain;

impl VisitMut for Plain {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        while let Type::Group(syn::TypeGroup { elem, .. }) | Type::Paren(syn::TypeParen { elem, .. }) = ty {
            *ty = (**elem).clone();
        }
        visit_mut::visit_type_mut(self, ty);
    }

    fn visit_type_tuple_mut(&mut self, tuple: &mut TypeTuple) {
        visit_mut::visit_type_tuple_mut(self, tuple);
        if tuple.elems.len() > 1 {
            tuple.elems.pop_punct();
        }
    }

    fn visit_angle_bracketed_generic_arguments_mut(
        &mut self,
        arguments: &mut AngleBracketedGenericArguments,
    ) {
        visit_mut::visit_angle_bracketed_generic_arguments_mut(self, arguments);
        arguments.args.pop_punct();
    }
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Ident(ident) => word(&ident.unraw().to_string(), text),
            TokenTree::Literal(literal) => word(&literal.to_string(), text),
            TokenTree::Punct(punct) => text.push(punct.as_char()),
        }
    }
}

/// Appends a word, with a space before it if it would otherwise join the word before.
fn word(word: &str, text: &mut String) {
    if text.ends_with(|last: char| last.is_alphanumeric() || last == '_') {
        text.push(' ');
    }
    text.push_str(word);
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn signature(arguments: &[Type], output: Type) -> String {
        of(arguments.iter(), &output)
    }

    #[test]
    fn is_what_was_written() {
        let output: Type = parse_quote!(Result<Counts, CountError>);
        assert_eq!(signature(&[], output.clone()), "()->Result<Counts,CountError>");
        assert_eq!(signature(&[parse_quote!(String)], output.clone()), "(String)->Result<Counts,CountError>");
        let arguments =
            [parse_quote!(Vec<Option<(u8, u16)>>), parse_quote!([u8; 4]), parse_quote!(crate::r#type::X)];
        assert_eq!(
            signature(&arguments, parse_quote!(rpcnet::Result<()>)),
            "(Vec<Option<(u8,u16)>>,[u8;4],crate::type::X)->rpcnet::Result<()>"
        );
        let arguments = [parse_quote!(Cow<'static, str>), parse_quote!(Box<dyn Shape>)];
        assert_eq!(
            signature(&arguments, output),
            "(Cow<'static,str>,Box<dyn Shape>)->Result<Counts,CountError>"
        );
    }

    #[test]
    fn formatting_does_not_change_it() {
        let plain = signature(&[parse_quote!((A, B)), parse_quote!((A,))], parse_quote!(Result<T, E>));
        let formatted =
            signature(&[parse_quote!(((A, (B),))), parse_quote!((A,))], parse_quote!(Result<T, E,>));
        assert_eq!(plain, "((A,B),(A,))->Result<T,E>");
        assert_eq!(formatted, plain);
    }
}
