//! Checks the options that route calls against the method's arguments. After a mistake, the method is generated without the
//! option.

use syn::ext::IdentExt;

use crate::{
    ast::{self, Method},
    error::Errors,
};

pub(super) fn check(method: &mut Method, errors: &mut Errors) {
    check_key(method, errors);
    let streams = method.arguments.iter().any(|argument| ast::is_streaming(&argument.ty));
    if !streams {
        return;
    }
    if let Some(hedge) = method.options.hedge.take() {
        let message = "`hedge` makes a call a second time, and the items of a stream that goes out are sent once: \
                       leave it out, or take a `Vec`";
        errors.add(&hedge.option, message);
    }
    if let Some(option) = method.options.resumable.take() {
        let message = "`resumable` makes a call again elsewhere, and the items of a stream that goes out are sent \
                       once: leave it out, or take a `Vec`";
        errors.add(&option, message);
    }
}

/// Checks that each argument of a key exists, is named once, and is not a stream.
fn check_key(method: &mut Method, errors: &mut Errors) {
    let mut seen = Vec::new();
    for name in std::mem::take(&mut method.options.key) {
        let plain = name.unraw();
        let argument = method.arguments.iter().find(|argument| argument.name.unraw() == plain);
        let message = match argument {
            None => {
                let what = match method.values() {
                    [] => "it has none".to_owned(),
                    values => {
                        let names: Vec<String> =
                            values.iter().map(|argument| format!("`{}`", argument.name)).collect();
                        format!("it has {}", names.join(", "))
                    }
                };
                format!("`{}` has no argument `{plain}` to be routed by: {what}", method.item.sig.ident)
            }
            Some(argument) if ast::is_streaming(&argument.ty) => {
                format!(
                    "`{plain}` is a stream, and its items come after the call has gone: name another argument"
                )
            }
            Some(_) if seen.contains(&plain) => format!("`{plain}` is named twice: write it once"),
            Some(argument) => {
                seen.push(plain);
                method.options.key.push(argument.name.clone());
                continue;
            }
        };
        errors.add(&name, message);
    }
}
