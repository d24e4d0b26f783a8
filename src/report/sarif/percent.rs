//! Paths as relative URI references.

use std::fmt::Write;

/// A relative path with all but unreserved characters and `/` percent-encoded.
pub(super) fn encode_path(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_a_uri_is_encoded() {
        assert_eq!(encode_path("apps/a b/größe#1?:%.yaml"), "apps/a%20b/gr%C3%B6%C3%9Fe%231%3F%3A%25.yaml");
    }
}
