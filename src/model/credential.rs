//! Which keys hold credentials, and where addresses hold them: what stands there is shown to nobody.

use std::borrow::Cow;
use std::ops::Range;

/// A key that holds one of these holds a credential, whatever else is in its name. Without `_` and `-`.
const WORDS: &[&str] = &["password", "passwd", "passphrase", "secret", "token", "accesskey", "authparams", "authorization", "credential", "apikey", "private"];
/// Keys that name an object which holds a credential, or say whether there is one.
const NAMES: &[&str] =
    &["existingsecret", "secretname", "secretref", "secretkeyref", "imagepullsecret", "imagepullsecrets", "secretgenerator", "enabled", "kind"];

/// Whether the value of a key is a credential, by the key's name.
#[must_use]
pub fn is_credential(key: &str) -> bool {
    let key: String = key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect();
    !NAMES.contains(&key.as_str()) && WORDS.iter().any(|word| key.contains(word))
}

/// Whether a name, of a variable or of a value (`AWS_SECRET_ACCESS_KEY`, `minio.secretKey`), is that of a credential.
#[must_use]
pub fn names_credential(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    is_credential(last) || ["_KEY", "_PASS", "_PW", "_PWD"].iter().any(|end| last.ends_with(end))
}

/// Where user and password stand in addresses (`https://u:p@host`, `https://token@host`, `u:p@host:9092`), in characters. A digest (`image:v1@sha256:..`) is none.
#[must_use]
pub fn user_infos(chars: &[char]) -> Vec<Range<usize>> {
    let ends = |c: &char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`' | ',' | '?' | '=' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '|');
    let mut found = Vec::new();
    let mut start = 0;
    while start < chars.len() {
        // Behind `://` a password may hold what parts words elsewhere.
        let is_url = start >= 3 && chars.get(start - 3..start) == Some(&[':', '/', '/']);
        let ends_here = |c: &char| if is_url { c.is_whitespace() || matches!(c, '/' | '"' | '\'' | ',' | '?') } else { ends(c) };
        let word = chars.get(start..).unwrap_or_default();
        let length = word.iter().position(ends_here).unwrap_or(word.len());
        let word = word.get(..length).unwrap_or_default();
        if let Some(at) = word.iter().rposition(|c| *c == '@').filter(|at| *at > 0)
            && (is_url || is_user_and_password(word, at))
        {
            found.push(start..start + at);
        }
        start += length + 1;
    }
    found
}

fn is_user_and_password(word: &[char], at: usize) -> bool {
    let host: String = word.iter().skip(at + 1).take(7).collect();
    let has_password = word.iter().position(|c| *c == ':').is_some_and(|colon| colon > 0 && colon + 1 < at);
    has_password && host.starts_with(|c: char| c.is_alphanumeric()) && !["sha256:", "sha512:"].contains(&host.as_str())
}

/// The text with `***` for what stands before the host in addresses.
#[must_use]
pub fn without_user_info(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let chars: Vec<char> = text.chars().collect();
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for range in user_infos(&chars) {
        shown.extend(chars.get(from..range.start).unwrap_or_default());
        shown.push_str("***");
        from = range.end;
    }
    shown.extend(chars.get(from..).unwrap_or_default());
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::{is_credential, names_credential, without_user_info};

    #[test]
    fn what_stands_before_a_host_is_taken_out_of_addresses() {
        for (text, shown) in [
            ("https://u:p@s3.io/x and oci://token@h/milvus", "https://***@s3.io/x and oci://***@h/milvus"),
            ("from `https://u:a(b=@c@h/` to `none`", "from `https://***@h/` to `none`"),
            ("u:p@k1:9092,v:q@k2:9092", "***@k1:9092,***@k2:9092"),
            ("reg/milvus:v2.6.15@sha256:ab", "reg/milvus:v2.6.15@sha256:ab"),
            ("actions/checkout@v4 git@github.com:a/b me@x.org key: @x", "actions/checkout@v4 git@github.com:a/b me@x.org key: @x"),
        ] {
            assert_eq!(without_user_info(text), shown);
        }
    }

    #[test]
    fn names_of_variables_and_values_tell_credentials() {
        for (name, is) in [("AWS_SECRET_ACCESS_KEY", true), ("minio.secretKey", true), ("DB_PASS", true), ("minio.existingSecret", false), ("LOG_LEVEL", false)]
        {
            assert_eq!(names_credential(name), is, "{name}");
        }
    }

    #[test]
    fn keys_are_told_by_their_names_in_any_spelling() {
        for key in ["secretKey", "ACCESS_KEY", "access-key", "rootPassword", "authParams", "token", "apiKey"] {
            assert!(is_credential(key), "{key}");
        }
        for key in ["existingSecret", "imagePullSecrets", "bucketName", "enabled", "key", "secret_key_ref"] {
            assert!(!is_credential(key), "{key}");
        }
    }
}
