use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::parse_quote;

use crate::{ast, attr::TraitOptions, error::Errors, valid};

/// The expansion of a trait with methods of every kind, also of those with a mistake.
fn expanded(options: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = TraitOptions::parse(options, &mut errors);
    let item = parse_quote! {
        trait Every {
            #[rpc(idempotent, hedge = "20ms", key = text, timeout = "2s", max_message = "1MiB", priority = 1)]
            async fn count(&self, text: String) -> Result<u64, Refused>;
            #[rpc(idempotent, hedge)]
            async fn whoami(&self, cx: &Context) -> Result<String, Refused>;
            #[rpc(resumable, item_timeout = "1s")]
            async fn tail(&self) -> LinesResult;
            #[rpc(key = book)]
            async fn load(&self, book: u64, lines: Streaming<String>) -> Result<Streaming<u64>, Refused>;
            fn not_async(&self) -> Result<u64, Refused>;
            async fn borrowed(&self, text: &str) -> Result<u64, Refused>;
        }
    };
    let mut service = ast::Service::new(item, options, &mut errors);
    valid::check(&mut service, &mut errors);
    super::expand(&service)
}

/// The occurrences of the names `rpcnet` and `elsewhere`.
fn counted(tokens: TokenStream) -> (usize, usize) {
    let (mut absolute, mut elsewhere) = (0, 0);
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let inner = counted(group.stream());
                absolute += inner.0;
                elsewhere += inner.1;
            }
            TokenTree::Ident(name) if name == "rpcnet" => absolute += 1,
            TokenTree::Ident(name) if name == "elsewhere" => elsewhere += 1,
            _ => {}
        }
    }
    (absolute, elsewhere)
}

#[test]
fn the_option_crate_is_followed_everywhere() {
    let (absolute, none) = counted(expanded(quote!()));
    assert!(absolute > 50 && none == 0, "{absolute}, {none}");
    let (none, elsewhere) = counted(expanded(quote!(crate = "self::elsewhere")));
    assert_eq!((none, elsewhere), (0, absolute));
}
