//! What an image tag says about the Milvus version.

use std::fmt;
use std::sync::Arc;

use super::{MilvusVersion, read_number};

/// A tag of the Milvus image, as written, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTag {
    /// As written.
    pub text: Arc<str>,
    /// What it means.
    pub meaning: TagMeaning,
}

/// What a tag means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagMeaning {
    /// A version that can be compared.
    Version {
        /// The version.
        version: MilvusVersion,
        /// The `v` is missing, which all images since 2.0 have: comparable, but `milvusdb/milvus` has no such image.
        v_missing: bool,
        /// What stands behind the version and does not change it: `gpu`, `secure`, `20211104-d1f4106`.
        flavour: Option<Arc<str>>,
    },
    /// Names another image tomorrow, or none by version: `latest`, `master-...`, `2.4-latest`, a dated build, a digest alone. The reason in words.
    Mutable(&'static str),
    /// Shaped like a version, but no version: `2.4`, `v2.5.16.1`. The reason in words.
    Malformed(&'static str),
    /// A name of the user's own: `zc-2`.
    Custom,
}

impl ImageTag {
    /// Reads a tag. A digest behind a tag (`v2.5.16@sha256:...`) says nothing more.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        let tag = trimmed.split_once('@').map_or(trimmed, |(tag, _)| tag);
        Self {
            text: text.into(),
            meaning: if trimmed.starts_with("sha256:") { TagMeaning::Mutable("a digest alone does not tell its version") } else { meaning(tag) },
        }
    }

    /// The version, where it can be compared.
    #[must_use]
    pub fn version(&self) -> Option<MilvusVersion> {
        match self.meaning {
            TagMeaning::Version { version, .. } => Some(version),
            TagMeaning::Mutable(_) | TagMeaning::Malformed(_) | TagMeaning::Custom => None,
        }
    }

    /// Why the version cannot be known, in words that follow "the Milvus version is not known:".
    #[must_use]
    pub fn unknown_because(&self) -> Option<Arc<str>> {
        let reason = match &self.meaning {
            TagMeaning::Version { .. } => return None,
            TagMeaning::Mutable(reason) | TagMeaning::Malformed(reason) => reason,
            TagMeaning::Custom => "it is not named after a Milvus version",
        };
        Some(format!("image tag `{}`: {reason}", self.text).into())
    }
}

impl fmt::Display for ImageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn meaning(tag: &str) -> TagMeaning {
    let lower = tag.to_ascii_lowercase();
    if tag.is_empty() {
        return TagMeaning::Mutable("a digest alone does not tell its version");
    }
    if lower == "latest" || lower.ends_with("-latest") {
        return TagMeaning::Mutable("it names another image after each release");
    }
    if ["master", "main", "dev", "nightly"].iter().any(|branch| lower.strip_prefix(branch).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))) {
        return TagMeaning::Mutable("a build of a development branch has no version");
    }
    let bare = tag.strip_prefix('v').unwrap_or(tag);
    let mut words = bare.split('-');
    let numbers: Option<Vec<u32>> = words.next().unwrap_or_default().split('.').map(read_number).collect();
    let Some(numbers) = numbers else {
        let versionlike = bare.starts_with(|c: char| c.is_ascii_digit()) && bare.contains('.');
        return if versionlike { TagMeaning::Malformed("it looks like a version but is none") } else { TagMeaning::Custom };
    };
    let words: Vec<&str> = words.collect();
    match numbers.as_slice() {
        [_] if words.is_empty() && !tag.starts_with('v') && bare.len() >= 8 => TagMeaning::Mutable("a date is not a version"),
        [_] => TagMeaning::Custom,
        [_, _] if words.iter().any(|word| is_date(word)) => TagMeaning::Mutable("a dated build of a release branch has no version"),
        // The one release that was announced with two numbers.
        [major, minor] if words.iter().any(|word| word.eq_ignore_ascii_case("beta")) => versioned(MilvusVersion::new(*major, *minor, 0), &words, tag),
        [_, _] => TagMeaning::Malformed("a Milvus version has three numbers"),
        [major, minor, patch] => versioned(MilvusVersion::new(*major, *minor, *patch), &words, tag),
        _ => TagMeaning::Malformed("a Milvus version has three numbers"),
    }
}

fn versioned(base: MilvusVersion, words: &[&str], tag: &str) -> TagMeaning {
    if words.iter().any(|word| word.is_empty()) {
        return TagMeaning::Malformed("it looks like a version but is none");
    }
    let (version, rest) = base.at_stage(words.iter().copied());
    if !version.is_pre_release() && base.major() >= 2 && rest.iter().any(|word| is_date(word)) {
        return TagMeaning::Mutable("a dated build of a release branch has no version");
    }
    let flavour = (!rest.is_empty()).then(|| rest.join("-").into());
    TagMeaning::Version { version, v_missing: base.major() >= 2 && !tag.starts_with('v'), flavour }
}

/// `20211104`
fn is_date(word: &str) -> bool {
    word.len() == 8 && word.starts_with("20") && word.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_name_a_version_are_comparable() {
        let table = [
            ("v2.5.16", "2.5.16", false, None),
            ("2.5.16", "2.5.16", true, None),
            ("v2.4.0-secure", "2.4.0", false, Some("secure")),
            ("v2.4.5-gpu-amd64", "2.4.5", false, Some("gpu-amd64")),
            ("v2.4.13-hotfix", "2.4.13-hotfix", false, None),
            ("v2.4.13-hotfix-gpu", "2.4.13-hotfix", false, Some("gpu")),
            ("v2.0.0-rc8-20211104-d1f4106", "2.0.0-rc8", false, Some("20211104-d1f4106")),
            ("v2.0.0-rc5-hotfix1-20210901-9e0b2cc", "2.0.0-rc5-hotfix1", false, Some("20210901-9e0b2cc")),
            ("v2.0.0-pre-ga", "2.0.0-pre-ga", false, None),
            ("v2.6.0-rc1", "2.6.0-rc1", false, None),
            ("v3.0-beta", "3.0.0-beta", false, None),
            ("1.1.1-cpu-d061621-330cc6", "1.1.1", false, Some("cpu-d061621-330cc6")),
            ("v2.5.16@sha256:0123", "2.5.16", false, None),
        ];
        for (text, version, v_missing, flavour) in table {
            let expected = TagMeaning::Version { version: version.parse().unwrap(), v_missing, flavour: flavour.map(Arc::from) };
            assert_eq!(ImageTag::parse(text).meaning, expected, "{text}");
        }
    }

    #[test]
    fn tags_that_name_none_are_unknown_with_a_reason() {
        for text in [
            "latest",
            "2.4-latest",
            "master-20240501-abcdef1",
            "master",
            "2.4-20240819-abcdef1",
            "2.2.0-20230206-f3bbf8d",
            "20240101",
            "sha256:0123",
            "@sha256:0123",
        ] {
            let tag = ImageTag::parse(text);
            assert!(matches!(tag.meaning, TagMeaning::Mutable(_)), "{text}: {:?}", tag.meaning);
            assert!(tag.unknown_because().is_some());
        }
        for text in ["2.2", "v2.4", "v2.5.16.1", "v2.5.x", "v2.5.16-", "2.5."] {
            assert!(matches!(ImageTag::parse(text).meaning, TagMeaning::Malformed(_)), "{text}");
        }
        for text in ["zc-2", "v", "v2", "feature-x", "é"] {
            assert_eq!(ImageTag::parse(text).meaning, TagMeaning::Custom, "{text}");
        }
    }
}
