//! `--set` flags of commands: a value in place of another, and new flags behind the chart's version.

use serde_json::Value as Json;

use milvus_guard::model::declaration::SetKind;

/// The argument that sets a path to a value, where the argument that stands there sets this path and nothing else.
pub(super) fn replaced(kind: SetKind, argument: &str, path: &str, value: &Json) -> Option<String> {
    let said = argument.strip_prefix(path)?.strip_prefix('=')?;
    let is_plain = !said.contains([',', '{', '}', '[', ']', '\\', '$', '`', '"', '\'']);
    let fits = match kind {
        SetKind::Set => is_set_plain(value),
        SetKind::SetString | SetKind::SetLiteral => value.is_string() && plain_text(value).is_some(),
        SetKind::SetJson | SetKind::SetFile => false,
    };
    (is_plain && fits).then(|| format!("{path}={}", plain_text(value).unwrap_or_default()))
}

/// ` --set path=value`, where a shell and Helm read it as that value.
pub(super) fn added(path: &str, value: &Json) -> Option<String> {
    let is_plain_path = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let text = plain_text(value).filter(|_| is_plain_path)?;
    Some(if is_set_plain(value) { format!(" --set {path}={text}") } else { format!(" --set-string {path}={text}") })
}

/// A scalar that needs no quotes anywhere.
fn plain_text(value: &Json) -> Option<String> {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Bool(_) | Json::Number(_) => value.to_string(),
        _ => return None,
    };
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@+-".contains(&b))).then_some(text)
}

/// Whether `--set` reads the text of a value as this value.
fn is_set_plain(value: &Json) -> bool {
    plain_text(value).is_some_and(|text| !value.is_string() || (text.parse::<f64>().is_err() && !["true", "false", "null"].contains(&text.as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_argument_that_sets_one_plain_value_is_replaced() {
        let tag = json!("v2.6.15");
        assert_eq!(replaced(SetKind::Set, "image.all.tag=v2.5.10", "image.all.tag", &tag).as_deref(), Some("image.all.tag=v2.6.15"));
        for argument in ["image.all.tag=v2.5.10,a=b", "image.all.tagged=1", "image.all.tag=$TAG", "a=1"] {
            assert_eq!(replaced(SetKind::Set, argument, "image.all.tag", &tag), None, "{argument}");
        }
        assert_eq!(replaced(SetKind::SetString, "a=1", "a", &json!(true)), None);
        assert_eq!(replaced(SetKind::Set, "a=1", "a", &json!("1")), None);
        assert_eq!(replaced(SetKind::SetString, "a=1", "a", &json!("2")).as_deref(), Some("a=2"));
    }

    #[test]
    fn new_flags_keep_the_type_of_a_value() {
        assert_eq!(added("a.b", &json!(true)).as_deref(), Some(" --set a.b=true"));
        assert_eq!(added("a.b", &json!("true")).as_deref(), Some(" --set-string a.b=true"));
        assert_eq!(added("a.b", &json!("two words")), None);
        assert_eq!(added("a b", &json!(1)), None);
    }
}
