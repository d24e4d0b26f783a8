//! What a YAML scalar means to Helm: YAML 1.1 as `sigs.k8s.io/yaml` resolves it (go-yaml v2, then JSON).
//!
//! The rules are those of `resolve.go` and `decode.go` in go.yaml.in/yaml/v2 v2.4.4, and of `convertToJSONableObject` in sigs.k8s.io/yaml v1.6.0.

use std::sync::Arc;

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};

use super::yaml::{Kind, Style};

/// A scalar with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'t> {
    /// `null`, `~`, nothing.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// A whole number: decimal, octal (`0644`, `0o644`), hexadecimal or binary.
    Int(i64),
    /// A whole number beyond `i64`.
    Uint(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Anything else.
    Text(&'t str),
    /// The decoded bytes of a `!!binary` scalar, what is not UTF-8 replaced.
    Decoded(String),
}

/// Types a scalar. `tag` is the core-schema suffix of an explicit tag, or the tag as written, as [`super::yaml::Kind::Scalar`] has it.
///
/// # Errors
/// In words, where Helm refuses the whole file: a tag that does not fit, `.nan` and `.inf`, broken base64.
pub fn resolve<'t>(text: &'t str, style: Style, tag: Option<&str>) -> Result<Scalar<'t>, String> {
    match typed(text, style, tag)? {
        Scalar::Float(value) if !value.is_finite() => Err("numbers that are infinite or NaN cannot be written as JSON".into()),
        scalar => Ok(scalar),
    }
}

/// Whether a scalar cannot be what its tag says.
#[must_use]
pub fn is_misfit(text: &str, style: Style, tag: Option<&str>) -> bool {
    typed(text, style, tag).is_err()
}

fn typed<'t>(text: &'t str, style: Style, tag: Option<&str>) -> Result<Scalar<'t>, String> {
    match tag {
        None if style == Style::Plain => Ok(plain(text)),
        None | Some("str" | "!") => Ok(Scalar::Text(text)),
        Some("!!binary") => binary(text),
        Some("!!timestamp") if looks_like_a_date(text) => Ok(Scalar::Text(text)),
        Some(tag @ ("bool" | "int" | "float" | "null" | "!!timestamp")) => tagged(text, tag),
        Some(_) => Ok(Scalar::Text(text)),
    }
}

/// What a node is as the key of a table. A key that is templated is its source text.
///
/// # Errors
/// In words, where Helm refuses the whole file: a key that is null, a collection, or a number beyond `i64`.
pub fn key_of(key: &Kind) -> Result<Arc<str>, String> {
    match key {
        Kind::Scalar { text, templated: true, .. } => Ok(Arc::clone(text)),
        Kind::Scalar { text, style, tag, .. } => match typed(text, *style, tag.as_deref())? {
            Scalar::Text(_) => Ok(Arc::clone(text)),
            other => key_text(other).map(Into::into),
        },
        Kind::Sequence(_) | Kind::Mapping(_) => Err("a key is a collection".into()),
    }
}

fn key_text(scalar: Scalar<'_>) -> Result<String, String> {
    match scalar {
        Scalar::Text(text) => Ok(text.to_owned()),
        Scalar::Decoded(text) => Ok(text),
        Scalar::Bool(value) => Ok(value.to_string()),
        Scalar::Int(value) => Ok(value.to_string()),
        Scalar::Float(value) => Ok(short_float(value)),
        Scalar::Null => Err("a key is null".into()),
        Scalar::Uint(_) => Err("a key is a number that is too large".into()),
    }
}

fn tagged<'t>(text: &'t str, tag: &str) -> Result<Scalar<'t>, String> {
    let scalar = plain(text);
    match (tag, &scalar) {
        ("bool", Scalar::Bool(_)) | ("int", Scalar::Int(_) | Scalar::Uint(_)) | ("float", Scalar::Float(_)) | ("null", Scalar::Null) => Ok(scalar),
        #[expect(clippy::cast_precision_loss, reason = "as Helm does")]
        ("float", Scalar::Int(value)) => Ok(Scalar::Float(*value as f64)),
        _ => Err(format!("the text is not a YAML {}", tag.trim_start_matches('!'))),
    }
}

/// The type of a plain scalar without a tag.
fn plain(text: &str) -> Scalar<'_> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Scalar::Bool(false),
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => point_float(text),
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")),
        _ => None,
    };
    number.unwrap_or(Scalar::Text(text))
}

fn number(text: &str) -> Option<Scalar<'static>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(magnitude) = whole(digits) {
        if negative {
            if magnitude <= i64::MIN.unsigned_abs() {
                return Some(Scalar::Int(0_i64.wrapping_sub_unsigned(magnitude)));
            }
        } else if let Ok(value) = i64::try_from(magnitude) {
            return Some(Scalar::Int(value));
        } else if !text.starts_with('+') {
            return Some(Scalar::Uint(magnitude));
        }
    }
    decimal_float(text)
}

/// A whole number in Go's base 0: `0x`, `0o`, `0b`, a leading zero for octal.
fn whole(digits: &str) -> Option<u64> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'b' | b'B', _, ..] => (2, digits.get(2..)?),
        [b'0', b'o' | b'O', _, ..] => (8, digits.get(2..)?),
        [b'0', b'x' | b'X', _, ..] => (16, digits.get(2..)?),
        [b'0'] => return Some(0),
        [b'0', ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, within the range of a double.
fn decimal_float(text: &str) -> Option<Scalar<'static>> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = split_exponent(unsigned);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let mantissa_fits = if whole.is_empty() { is_digits(fraction) } else { is_digits(whole) && (fraction.is_empty() || is_digits(fraction)) };
    (mantissa_fits && exponent.is_none_or(is_exponent)).then(|| parse_float(text)).flatten()
}

/// A float that begins with a point; Go allows `_` between its digits.
fn point_float(text: &str) -> Option<Scalar<'static>> {
    let (mantissa, exponent) = split_exponent(text);
    let digits = |part: &str| part.split('_').all(is_digits);
    let fits = mantissa.strip_prefix('.').is_some_and(digits) && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    fits.then(|| parse_float(&text.replace('_', ""))).flatten()
}

fn split_exponent(text: &str) -> (&str, Option<&str>) {
    text.split_once(['e', 'E']).map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)))
}

fn is_exponent(text: &str) -> bool {
    is_digits(text.strip_prefix(['+', '-']).unwrap_or(text))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What is out of a double's range is no number to Helm but a text.
fn parse_float(text: &str) -> Option<Scalar<'static>> {
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Scalar::Float)
}

/// Go's `FormatFloat(value, 'g', -1, 32)`, which is how a float becomes a key.
fn short_float(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "as Helm does")]
    let single = value as f32;
    if !single.is_finite() {
        return if single.is_nan() {
            ".nan"
        } else if single > 0.0 {
            ".inf"
        } else {
            "-.inf"
        }
        .into();
    }
    let scientific = format!("{single:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{single}"),
    }
}

/// As Go decodes it: line ends are passed over, padding is required, bits behind the last byte are not looked at.
fn binary(text: &str) -> Result<Scalar<'static>, String> {
    const AS_GO: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let bytes = AS_GO.decode(digits).map_err(|_| "a !!binary scalar is not base64".to_owned())?;
    Ok(Scalar::Decoded(String::from_utf8_lossy(&bytes).into_owned()))
}

/// `2006-1-2`, with or without a time: enough to tell an explicit `!!timestamp` from nonsense.
fn looks_like_a_date(text: &str) -> bool {
    let mut parts = text.get(..10).unwrap_or(text).splitn(3, '-');
    let mut is_number = |most: usize| parts.next().is_some_and(|p| !p.is_empty() && p.len() <= most && p.bytes().next().is_some_and(|b| b.is_ascii_digit()));
    is_number(4) && is_number(2) && is_number(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_read_as_yaml_1_1() {
        let typed = |text| resolve(text, Style::Plain, None).unwrap();
        for text in ["on", "y", "Yes", "TRUE"] {
            assert_eq!(typed(text), Scalar::Bool(true), "{text}");
        }
        for (text, number) in [("0644", 420), ("0o644", 420), ("0x1F", 31), ("-0b11", -3), ("1_000", 1000), ("+7", 7), ("0", 0), ("00", 0)] {
            assert_eq!(typed(text), Scalar::Int(number), "{text}");
        }
        assert_eq!(typed("18446744073709551615"), Scalar::Uint(u64::MAX));
        for (text, number) in [("1.", 1.0), (".5", 0.5), (".1_5", 0.15), ("089", 89.0), ("1e3", 1000.0), ("18446744073709551616", 18_446_744_073_709_551_616.0)]
        {
            assert_eq!(typed(text), Scalar::Float(number), "{text}");
        }
        for text in ["1:30", "yEs", "0x", "1e400", "2001-01-01", "._5", "v2.5", "nO", "1 2", "-", "+"] {
            assert_eq!(typed(text), Scalar::Text(text), "{text}");
        }
        assert!(resolve(".inf", Style::Plain, None).is_err());
    }

    #[test]
    fn quotes_and_tags_decide() {
        assert_eq!(resolve("yes", Style::Quoted, None), Ok(Scalar::Text("yes")));
        assert_eq!(resolve("1", Style::Plain, Some("str")), Ok(Scalar::Text("1")));
        assert_eq!(resolve("3", Style::Quoted, Some("int")), Ok(Scalar::Int(3)));
        assert_eq!(resolve("3", Style::Plain, Some("float")), Ok(Scalar::Float(3.0)));
        assert!(resolve("x", Style::Plain, Some("int")).is_err());
        assert_eq!(resolve("aGk=", Style::Plain, Some("!!binary")), Ok(Scalar::Decoded("hi".into())));
        assert!(resolve("aGk", Style::Plain, Some("!!binary")).is_err());
    }

    #[test]
    fn floats_as_keys_are_written_as_go_writes_them() {
        for (value, text) in [(1.5, "1.5"), (123_456_789.0, "1.2345679e+08"), (1e-7, "1e-07"), (0.1, "0.1"), (1e20, "1e+20"), (100_000.0, "100000")] {
            assert_eq!(short_float(value), text);
        }
    }
}
