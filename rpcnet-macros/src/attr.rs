//! The options of `#[rpc_trait(..)]`, `#[rpc_impl(..)]` and `#[rpc(..)]`, and the user's other attributes, which generated
//! items partly share.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, Expr, ExprLit, ExprUnary, Ident, Lit, LitStr, Meta, Token, UnOp,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    parse_quote,
    punctuated::Punctuated,
    token,
};

use crate::{crate_path::CratePath, error::Errors, size, timeout};

/// The options of a trait.
#[derive(Default)]
pub(crate) struct TraitOptions {
    /// The name on the wire.
    pub(crate) name: Option<LitStr>,
    /// The option `crate`.
    pub(crate) rpcnet: CratePath,
}

/// The options of a method, without those that have a mistake.
#[derive(Default)]
pub(crate) struct MethodOptions {
    /// The name on the wire.
    pub(crate) name: Option<LitStr>,
    pub(crate) idempotent: bool,
    pub(crate) timeout: Option<Duration>,
    /// With the option's name, where errors are reported.
    pub(crate) item_timeout: Option<(Ident, Duration)>,
    /// In bytes.
    pub(crate) max_message: Option<usize>,
    pub(crate) priority: Option<i8>,
    /// The arguments whose hash routes calls.
    pub(crate) key: Vec<Ident>,
    pub(crate) hedge: Option<Hedge>,
    /// The option's name, where errors are reported.
    pub(crate) resumable: Option<Ident>,
}

/// The option `hedge`: a late call is made a second time, at another server.
pub(crate) struct Hedge {
    /// The option's name, where errors are reported.
    pub(crate) option: Ident,
    /// The time after which a call is late. Without it, the channel decides.
    pub(crate) after: Option<Duration>,
}

const OF_A_METHOD: &str = "`#[rpc(..)]` knows `name`, `idempotent`, `timeout`, `item_timeout`, `max_message`, \
                           `priority`, `key`, `hedge` and `resumable`";

/// The allowed priorities. Calls with the highest go first.
const PRIORITIES: RangeInclusive<i8> = -100..=100;

impl TraitOptions {
    pub(crate) fn parse(arguments: TokenStream, errors: &mut Errors) -> Self {
        let mut this = Self::default();
        for option in parse_options(arguments, errors) {
            match option.name().as_str() {
                "name" => this.name = wire_name(&option, "text.v1.WordCount", errors),
                "crate" => this.rpcnet = option.crate_path(errors).unwrap_or_default(),
                unknown => {
                    let message =
                        format!("unknown option `{unknown}`: `#[rpc_trait(..)]` knows `name` and `crate`");
                    errors.add(&option.path, message);
                }
            }
        }
        this
    }
}

/// Checks the options of `#[rpc_impl(..)]`. Its expansion names no item of rpcnet, so that the path itself is not needed.
pub(crate) fn check_impl_options(arguments: TokenStream, errors: &mut Errors) {
    for option in parse_options(arguments, errors) {
        match option.name().as_str() {
            "crate" => {
                option.crate_path(errors);
            }
            unknown => {
                let message = format!(
                    "unknown option `{unknown}`: `#[rpc_impl(..)]` knows `crate`; options of a service stand at its trait"
                );
                errors.add(&option.path, message);
            }
        }
    }
}

impl MethodOptions {
    /// Removes the `#[rpc(..)]` attributes from a method and parses them.
    pub(crate) fn take(attributes: &mut Vec<Attribute>, errors: &mut Errors) -> Self {
        let mut arguments = TokenStream::new();
        attributes.retain(|attribute| {
            if is_conditional_rpc(attribute) {
                errors.add(
                    attribute,
                    "`#[rpc(..)]` can't be conditional: write the method twice, each with a `#[cfg(..)]` of its own",
                );
                return false;
            }
            if !attribute.path().is_ident("rpc") {
                return true;
            }
            match &attribute.meta {
                Meta::Path(_) => {}
                Meta::List(list) => {
                    // The attributes are joined, so that an option in two of them counts as a duplicate.
                    if !arguments.is_empty() {
                        <Token![,]>::default().to_tokens(&mut arguments);
                    }
                    arguments.extend(without_last_comma(list.tokens.clone()));
                }
                Meta::NameValue(_) => errors.add(attribute, "options stand in parentheses: write `#[rpc(..)]`"),
            }
            false
        });

        let mut this = Self::default();
        let options = parse_options(arguments, errors);
        let twice = options.iter().any(|option| matches!(option.name().as_str(), "idempotent" | "resumable"));
        for option in &options {
            match option.name().as_str() {
                "name" => this.name = wire_name(option, "count", errors),
                "idempotent" => this.idempotent = option.alone(errors),
                "timeout" => this.timeout = option.timeout("2s", errors),
                "item_timeout" => {
                    this.item_timeout =
                        option.timeout("10s", errors).map(|timeout| (option.path.clone(), timeout));
                }
                "max_message" => this.max_message = option.size(errors),
                "priority" => this.priority = option.priority(errors),
                "key" => this.key = option.arguments(errors),
                "hedge" if !twice => {
                    let message = "`hedge` needs `idempotent`, for a hedged call may run twice: write \
                                   `#[rpc(idempotent, hedge)]`, or leave it out";
                    errors.add(&option.path, message);
                }
                "hedge" => this.hedge = option.hedge(errors),
                "resumable" => this.resumable = option.alone(errors).then(|| option.path.clone()),
                unknown => errors.add(&option.path, format!("unknown option `{unknown}`: {OF_A_METHOD}")),
            }
        }
        this
    }
}

/// `name` or `name = value`.
struct RpcOption {
    path: Ident,
    value: Option<Expr>,
}

impl Parse for RpcOption {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(Ident::peek_any) {
            return Err(input.error("an option is a word, or a word and its value: write `name = \"..\"`"));
        }
        let path = input.call(Ident::parse_any)?;
        if input.peek(token::Paren) {
            return Err(syn::Error::new(
                path.span(),
                format!("an option has no parentheses: write `{path} = ..`"),
            ));
        }
        let value =
            if input.parse::<Option<Token![=]>>()?.is_some() { Some(plain(input.parse()?)) } else { None };
        Ok(Self { path, value })
    }
}

impl RpcOption {
    fn name(&self) -> String {
        self.path.to_string()
    }

    /// Returns the value if it is a string, and reports a mistake otherwise.
    fn string(&self, example: impl Display, errors: &mut Errors) -> Option<LitStr> {
        let name = &self.path;
        match &self.value {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(string), .. })) => return Some(string.clone()),
            Some(value) => errors.add(value, format!("`{name}` is a string: write `{name} = \"{example}\"`")),
            None => errors.add(name, format!("`{name}` needs a value: write `{name} = \"{example}\"`")),
        }
        None
    }

    /// Returns `true` if the option has no value, and reports a mistake otherwise.
    fn alone(&self, errors: &mut Errors) -> bool {
        let Some(value) = &self.value else { return true };
        let message = format!("`{}` has no value: write it alone, or leave it out", self.path);
        errors.add(value, message);
        false
    }

    /// The path of rpcnet.
    fn crate_path(&self, errors: &mut Errors) -> Option<CratePath> {
        let text = self.string("wire", errors)?;
        let path = CratePath::parse(&text);
        if path.is_err() {
            let message = format!(
                "`{}` is not a path: write the name of the dependency on rpcnet, as in `crate = \"wire\"`, or the path of \
                 a re-export, as in `crate = \"crate::wire\"`",
                text.value(),
            );
            errors.add(&text, message);
        }
        path.ok()
    }

    fn timeout(&self, example: &str, errors: &mut Errors) -> Option<Duration> {
        let text = self.string(example, errors)?;
        timeout::parse(&text.value()).map_err(|message| errors.add(&text, message)).ok()
    }

    /// Parses a string with a unit, or a number of bytes.
    fn size(&self, errors: &mut Errors) -> Option<usize> {
        let name = &self.path;
        let size = match &self.value {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => size::parse(&text.value()),
            Some(Expr::Lit(ExprLit { lit: Lit::Int(bytes), .. })) if bytes.suffix().is_empty() => {
                size::of_digits(bytes.base10_digits())
            }
            Some(_) => Err(format!("`{name}` is a size: write `{name} = \"16MiB\"`, or a number of bytes")),
            None => Err(format!("`{name}` needs a value: write `{name} = \"16MiB\"`, or a number of bytes")),
        };
        size.map_err(|message| self.refuse(message, errors)).ok()
    }

    fn priority(&self, errors: &mut Errors) -> Option<i8> {
        let integer = |expression: &Expr| match expression {
            Expr::Lit(ExprLit { lit: Lit::Int(integer), .. }) if integer.suffix().is_empty() => {
                integer.base10_parse::<i8>().ok()
            }
            _ => None,
        };
        let priority = match &self.value {
            Some(Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. })) => integer(expr).map(|value| -value),
            Some(value) => integer(value),
            None => None,
        };
        let priority = priority.filter(|priority| PRIORITIES.contains(priority));
        if priority.is_none() {
            let (name, lowest, highest) = (&self.path, PRIORITIES.start(), PRIORITIES.end());
            let message =
                format!("`{name}` is a whole number from {lowest} to {highest}: write `{name} = 5`");
            self.refuse(message, errors);
        }
        priority
    }

    /// Parses an optional time.
    fn hedge(&self, errors: &mut Errors) -> Option<Hedge> {
        let after = match &self.value {
            None => None,
            Some(_) => Some(self.timeout("20ms", errors)?),
        };
        Some(Hedge { option: self.path.clone(), after })
    }

    /// Parses one name, or several in parentheses.
    fn arguments(&self, errors: &mut Errors) -> Vec<Ident> {
        let names: Option<Vec<Ident>> = match &self.value {
            Some(Expr::Tuple(tuple)) if !tuple.elems.is_empty() => tuple.elems.iter().map(name_of).collect(),
            Some(value) => name_of(value).map(|name| vec![name]),
            None => None,
        };
        names.unwrap_or_else(|| {
            let message = "`key` names arguments: write `key = user`, or `key = (tenant, user)`";
            self.refuse(message.into(), errors);
            Vec::new()
        })
    }

    /// Reports a mistake at the value, or at the name if there is no value.
    fn refuse(&self, message: String, errors: &mut Errors) {
        match &self.value {
            Some(value) => errors.add(value, message),
            None => errors.add(&self.path, message),
        }
    }
}

/// Returns the name if the expression is a single one.
fn name_of(expression: &Expr) -> Option<Ident> {
    match expression {
        Expr::Path(path) if path.attrs.is_empty() => path.path.get_ident().cloned(),
        Expr::Paren(inner) => name_of(&inner.expr),
        Expr::Group(inner) => name_of(&inner.expr),
        _ => None,
    }
}

/// The expression without the invisible groups that `macro_rules!` adds.
fn plain(expression: Expr) -> Expr {
    match expression {
        Expr::Group(group) => plain(*group.expr),
        Expr::Unary(unary) => Expr::Unary(ExprUnary { expr: Box::new(plain(*unary.expr)), ..unary }),
        other => other,
    }
}

/// Parses a list of options. Duplicates are reported and left out.
fn parse_options(arguments: TokenStream, errors: &mut Errors) -> Vec<RpcOption> {
    let options = match Punctuated::<RpcOption, Token![,]>::parse_terminated.parse2(arguments) {
        Ok(options) => options,
        Err(error) => {
            errors.merge(error);
            return Vec::new();
        }
    };
    let mut unique: Vec<RpcOption> = Vec::new();
    for option in options {
        if unique.iter().any(|earlier| earlier.path == option.path) {
            errors.add(&option.path, format!("duplicate option `{}`: write it once", option.path));
        } else {
            unique.push(option);
        }
    }
    unique
}

/// Parses a name on the wire. Ids are hashes of `"service/method"`: with a slash inside a name, two different pairs could
/// have one id.
fn wire_name(option: &RpcOption, example: &str, errors: &mut Errors) -> Option<LitStr> {
    let name = option.string(example, errors)?;
    let text = name.value();
    if text.is_empty() || text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        let message =
            format!("a name on the wire has no slashes or spaces and is not empty: write \"{example}\"");
        errors.add(&name, message);
        return None;
    }
    Some(name)
}

/// Removes `#[rpc(..)]` attributes from an implementation, where they don't belong, and reports them.
pub(crate) fn refuse_options(attributes: &mut Vec<Attribute>, errors: &mut Errors) {
    attributes.retain(|attribute| {
        let is_options = attribute.path().is_ident("rpc") || is_conditional_rpc(attribute);
        if is_options {
            errors.add(
                attribute,
                "options belong to the service, not to one implementation: write them in the trait",
            );
        }
        !is_options
    });
}

fn without_last_comma(tokens: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = tokens.into_iter().collect();
    if matches!(tokens.last(), Some(TokenTree::Punct(last)) if last.as_char() == ',') {
        tokens.pop();
    }
    tokens.into_iter().collect()
}

fn is_conditional_rpc(attribute: &Attribute) -> bool {
    conditional(attribute).is_some_and(|(_, metas)| metas.iter().any(|meta| meta.path().is_ident("rpc")))
}

/// The condition and the attributes of a `#[cfg_attr(..)]`.
fn conditional(attribute: &Attribute) -> Option<(Meta, Vec<Meta>)> {
    if !attribute.path().is_ident("cfg_attr") {
        return None;
    }
    let list = attribute.meta.require_list().ok()?;
    let metas = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let mut metas = metas.into_iter();
    Some((metas.next()?, metas.collect()))
}

/// Returns `true` if the compiler may leave out an item with these attributes.
pub(crate) fn is_configured(attributes: &[Attribute]) -> bool {
    !select(attributes, &["cfg"]).is_empty()
}

/// The attributes of these names, including those inside a `#[cfg_attr(..)]`.
pub(crate) fn select(attributes: &[Attribute], names: &[&str]) -> Vec<Attribute> {
    let wanted = |meta: &Meta| names.iter().any(|name| meta.path().is_ident(name));
    let mut selected = Vec::new();
    for attribute in attributes {
        if wanted(&attribute.meta) {
            selected.push(attribute.clone());
        } else if let Some((condition, metas)) = conditional(attribute) {
            let metas: Vec<Meta> = metas.into_iter().filter(wanted).collect();
            if !metas.is_empty() {
                selected.push(parse_quote!(#[cfg_attr(#condition, #(#metas),*)]));
            }
        }
    }
    selected
}

/// The lints that the user allows. A lint that the user *expects* may not occur in generated code, so that it is allowed
/// there.
pub(crate) fn lint_levels(attributes: &[Attribute]) -> Vec<Attribute> {
    let mut allowed = select(attributes, &["allow"]);
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("expect")) {
        if let Meta::List(list) = &attribute.meta {
            let lints = &list.tokens;
            allowed.push(parse_quote!(#[allow(#lints)]));
        }
    }
    allowed
}
