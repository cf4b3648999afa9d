//! Parses sizes: `"512B"`, `"64KiB"`, `"16MiB"`.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The largest message that rpcnet's codec accepts, in bytes: `LARGEST` in `rpcnet/src/codec`.
const LARGEST: u64 = 256 * MIB;

/// Returns the size in bytes, or a message that says how to write one.
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit);
    let unit = match unit {
        "B" => 1,
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => GIB,
        _ => return Err(no_size(text)),
    };
    if digits.is_empty() {
        return Err(no_size(text));
    }
    bounded(digits, unit)
}

/// Parses decimal digits as a number of bytes.
pub(crate) fn of_digits(digits: &str) -> Result<usize, String> {
    bounded(digits, 1)
}

fn bounded(digits: &str, unit: u64) -> Result<usize, String> {
    // A number that does not fit into a `u64` is too large in every unit.
    let bytes = digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit);
    match bytes {
        0 => Err("a size of zero lets no message through: write a larger one, for example \"64KiB\"".into()),
        1..=LARGEST => Ok(usize::try_from(bytes).expect("256 MiB fit into 32 bits")),
        _ => Err("a message has at most 256 MiB: write a smaller size, for example \"16MiB\"".into()),
    }
}

fn no_size(text: &str) -> String {
    format!(
        "`{text}` is not a size: write a whole number and `B`, `KiB`, `MiB` or `GiB`, for example \"16MiB\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_units() {
        for (text, bytes) in [
            ("1B", 1),
            ("65536B", 65_536),
            ("064KiB", 65_536),
            ("1MiB", 1_048_576),
            ("256MiB", 268_435_456),
            ("268435456B", 268_435_456),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        assert_eq!(of_digits("65536"), Ok(65_536));
    }

    #[test]
    fn what_is_refused() {
        for text in ["", "B", "16", "16 MiB", "16MB", "16mib", "1.5MiB", "-1B", "+1B", "1_000B", "２B"] {
            assert!(parse(text).is_err_and(|message| message.contains("is not a size")), "{text}");
        }
        for text in ["268435457B", "257MiB", "1GiB", "99999999999999999999GiB"] {
            assert!(parse(text).is_err_and(|message| message.contains("at most 256 MiB")), "{text}");
        }
        for text in ["0B", "0GiB"] {
            assert!(parse(text).is_err_and(|message| message.contains("zero")), "{text}");
        }
        assert!(of_digits("0").is_err() && of_digits("268435457").is_err());
    }
}
