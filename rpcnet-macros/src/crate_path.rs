//! The path under which generated code finds rpcnet: `::rpcnet`, or the value of the option `crate`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{LitStr, Path, parse_quote};

/// The path of rpcnet in generated code.
pub(crate) enum CratePath {
    /// `::rpcnet`.
    Default(Path),
    /// The value of the option `crate`.
    Given(Path),
}

impl Default for CratePath {
    fn default() -> Self {
        Self::Default(parse_quote!(::rpcnet))
    }
}

impl CratePath {
    /// Parses the value of the option `crate`: names with `::` between them, without generic arguments.
    pub(crate) fn parse(text: &LitStr) -> syn::Result<Self> {
        text.parse_with(Path::parse_mod_style).map(Self::Given)
    }

    /// The path in code with this span, so that the compiler reports an error of that code at `span`.
    ///
    /// A path that the user gave keeps its own span: if it does not exist, the compiler merges the errors of all places.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        match self {
            Self::Default(path) => respanned(path, |_| span),
            Self::Given(path) => path.to_token_stream(),
        }
    }

    /// The path as the beginning of a type that the compiler reports as a whole: its errors are at `span` in any case.
    pub(crate) fn beginning_at(&self, span: Span) -> TokenStream {
        match self {
            Self::Default(path) => respanned(path, |_| span),
            Self::Given(path) => respanned(path, |own| own.located_at(span)),
        }
    }
}

fn respanned(path: &Path, span: impl Fn(Span) -> Span) -> TokenStream {
    let tokens = path.to_token_stream().into_iter();
    let respanned = tokens.map(|mut token| {
        token.set_span(span(token.span()));
        token
    });
    respanned.collect()
}

impl ToTokens for CratePath {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let (Self::Default(path) | Self::Given(path)) = self;
        path.to_tokens(tokens);
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
