//! The path under which generated code finds rpcnet: `::rpcnet`, or the value of the option `crate`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{LitStr, Path, parse_quote};

/// The path of rpcnet in generated code.
pub(crate) struct CratePath(Path);

impl Default for CratePath {
    fn default() -> Self {
        Self(parse_quote!(::rpcnet))
    }
}

impl CratePath {
    /// Parses the value of the option `crate`: names with `::` between them, without generic arguments.
    pub(crate) fn parse(text: &LitStr) -> syn::Result<Self> {
        text.parse_with(Path::parse_mod_style).map(Self)
    }

    /// The path with its errors reported at `span`. Its names are still resolved where the path was written.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let tokens = self.0.to_token_stream().into_iter();
        let moved = tokens.map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        });
        moved.collect()
    }
}

impl ToTokens for CratePath {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        let path = CratePath::parse(&LitStr::new(text, Span::call_site())).ok()?;
        Some(path.to_token_stream().to_string().replace(' ', ""))
    }

    #[test]
    fn paths() {
        for text in ["wire", "::wire", "crate", "crate::inner::wire", "self::wire", "super::super::wire"] {
            assert_eq!(parsed(text).as_deref(), Some(text));
        }
        assert_eq!(CratePath::default().to_token_stream().to_string().replace(' ', ""), "::rpcnet");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "::", "wire::", "my-rpcnet", "wire::<u8>", "wire<u8>", "a b", "<u8>::wire", "1"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
