//! Which keys hold credentials: what stands behind them is shown to nobody.

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

#[cfg(test)]
mod tests {
    use super::is_credential;

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
