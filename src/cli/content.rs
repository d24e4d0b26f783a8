//! Decides from name and bytes whether a file can matter, before anything is parsed.

use std::sync::{Arc, LazyLock};

use aho_corasick::packed::{Config, MatchKind, Searcher};

use milvus_guard::model::declaration::{NotChecked, NotCheckedKind};
use milvus_guard::source::UTF_16;

/// How much of a file above the limit is looked at, in bytes.
pub(crate) const BEGINNING_BYTES: usize = 1 << 20;

/// What the name of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// A reader could use it, and it is YAML: more than chance if it cannot be read.
    Yaml,
    /// A reader could use it.
    Readable,
    /// No extension: a reader could use it if it is a script.
    Bare,
    /// No reader takes it.
    Other,
}

/// Classifies a file name (the last part of a path).
pub(crate) fn kind_of(name: &str) -> NameKind {
    // A leading dot is part of the stem: `.gitlab-ci.yml` has the extension `yml`, `.profile` has none.
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, extension),
        _ => (name, ""),
    };
    let is = |list: &[&str]| list.iter().any(|e| extension.eq_ignore_ascii_case(e));
    if is(&["yaml", "yml"]) || (extension == "lock" && ["Chart", "requirements", "helmfile"].contains(&stem)) {
        return NameKind::Yaml;
    }
    if is(&["sh", "bash", "zsh", "ksh", "mk", "groovy", "jenkinsfile", "gotmpl", "tmpl", "tpl", "j2", "just", "tf", "tofu", "ps1", "psm1", "bat", "cmd"]) {
        return NameKind::Readable;
    }
    let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let whole_or_dotted = |word: &str| starts(word) && matches!(name.as_bytes().get(word.len()), None | Some(b'.' | b'-' | b'_'));
    if ["makefile", "gnumakefile", "jenkinsfile", "dockerfile", "containerfile", "justfile"].into_iter().any(whole_or_dotted) {
        return NameKind::Readable;
    }
    if extension.is_empty() { NameKind::Bare } else { NameKind::Other }
}

/// What the bytes of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'b> {
    /// Text that mentions Milvus.
    Mentions(&'b str),
    /// Text that does not.
    Silent,
    /// It mentions Milvus and is no text: the reason in words.
    NotText(&'static str),
}

/// Looks at the bytes of a file.
pub(crate) fn examine<'b>(bytes: &'b [u8], kind: NameKind, path: &str) -> Content<'b> {
    // Values of a release that lie in a folder of its name need not say the word.
    let is_of_milvus = |text: &[u8]| mentions_milvus(text) || (kind == NameKind::Yaml && mentions_milvus(path.as_bytes()));
    if let Some(low_bytes) = utf16(bytes) {
        return if is_of_milvus(&low_bytes) { Content::NotText(UTF_16) } else { Content::Silent };
    }
    if !is_of_milvus(bytes) {
        return Content::Silent;
    }
    if memchr::memchr(0, bytes).is_some() {
        // A program or an image that happens to hold the word is nothing that people wrote.
        let is_yaml = kind == NameKind::Yaml;
        return if is_yaml { Content::NotText("it holds NUL bytes, so it is no text; save it as UTF-8 text") } else { Content::Silent };
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Content::Mentions(text),
        Err(_) => Content::NotText("it is not valid UTF-8; save it as UTF-8"),
    }
}

/// Whether it is a text in UTF-16, by its byte order mark, as editors and PowerShell on Windows write it.
pub(crate) const fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..])
}

/// The low bytes of a text in UTF-16, which are enough to look for an ASCII word; `None` for any other.
fn utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    let low_byte = if bytes.first() == Some(&0xFF) { 2 } else { 3 };
    is_utf16(bytes).then(|| bytes.iter().skip(low_byte).step_by(2).copied().collect())
}

/// Whether the bytes hold `milvus` in any case.
pub(crate) fn mentions_milvus(bytes: &[u8]) -> bool {
    // `lvu` is rare in any other word, so the vector search for its eight spellings hardly ever stops in vain.
    static MIDDLE: LazyLock<Option<Searcher>> = LazyLock::new(|| {
        let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
        for bits in 0..8_u8 {
            let flip = |byte: u8, bit: u8| if bits & bit == 0 { byte } else { byte.to_ascii_uppercase() };
            builder.add([flip(b'l', 1), flip(b'v', 2), flip(b'u', 4)]);
        }
        builder.build()
    });
    let found_at = |at: usize| at.checked_sub(2).and_then(|start| bytes.get(start..start + 6)).is_some_and(|word| word.eq_ignore_ascii_case(b"milvus"));
    match MIDDLE.as_ref() {
        Some(searcher) => searcher.find_iter(bytes).any(|found| found_at(found.start())),
        None => memchr::memchr2_iter(b'v', b'V', bytes).any(|at| at.checked_sub(1).is_some_and(found_at)),
    }
}

/// A gap for a whole file.
pub(crate) fn gap(file: &Arc<str>, kind: NotCheckedKind, reason: String) -> NotChecked {
    NotChecked { file: Arc::clone(file), place: None, reason: reason.into(), kind, mentions_milvus: true }
}

/// A gap for a file above the limit.
pub(crate) fn too_large(file: &Arc<str>, bytes: u64, limit_bytes: u64) -> NotChecked {
    gap(
        file,
        NotCheckedKind::LimitsExceeded,
        format!("the file has {bytes} bytes, more than the limit of {limit_bytes}; split it, or raise the limit with --max-file-size"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_reader_could_use() {
        for name in ["a.yaml", ".gitlab-ci.yml", "values.YAML", "Chart.lock", "requirements.lock"] {
            assert_eq!(kind_of(name), NameKind::Yaml, "{name}");
        }
        for name in
            ["a.sh", "Makefile", "makefile.inc", "common.mk", "Jenkinsfile", "Jenkinsfile.prod", "helmfile.yaml.gotmpl", "x.yaml.j2", "Dockerfile", "up.ps1"]
        {
            assert_eq!(kind_of(name), NameKind::Readable, "{name}");
        }
        for name in ["deploy", ".profile", "makefiles"] {
            assert_eq!(kind_of(name), NameKind::Bare, "{name}");
        }
        for name in ["a.rs", "package-lock.json", "Cargo.lock", "milvus-4.1.2.tgz", "é.txt"] {
            assert_eq!(kind_of(name), NameKind::Other, "{name}");
        }
    }

    #[test]
    fn milvus_is_found_in_any_case_and_anywhere() {
        for text in ["milvus", "MILVUS", "a: zilliztech/Milvus\n", "lvumilvus", "mIlVuS"] {
            assert!(mentions_milvus(text.as_bytes()), "{text}");
            assert!(mentions_milvus(format!("{}{text}{}", "x".repeat(1000), "y".repeat(77)).as_bytes()), "{text}");
        }
        for text in ["", "lvu", "milvu", "ilvus", "mil vus", "involvus"] {
            assert!(!mentions_milvus(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told_only_where_they_matter() {
        assert_eq!(examine(b"a: milvus", NameKind::Yaml, "a.yaml"), Content::Mentions("a: milvus"));
        assert_eq!(examine(b"a: b", NameKind::Yaml, "a.yaml"), Content::Silent);
        assert_eq!(examine(b"a: b", NameKind::Yaml, "milvus/a.yaml"), Content::Mentions("a: b"));
        assert_eq!(examine(b"a b", NameKind::Readable, "milvus/a.sh"), Content::Silent);
        assert!(matches!(examine(b"milvus \xff", NameKind::Readable, "a.yaml"), Content::NotText(_)));
        assert_eq!(examine(b"\xff", NameKind::Yaml, "a.yaml"), Content::Silent);
        assert!(matches!(examine(b"milvus\0", NameKind::Yaml, "a.yaml"), Content::NotText(_)));
        assert_eq!(examine(b"milvus\0", NameKind::Readable, "a.yaml"), Content::Silent);
        let wide = |text: &str| -> Vec<u8> { [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect() };
        assert!(matches!(examine(&wide("name: milvus"), NameKind::Yaml, "a.yaml"), Content::NotText(_)));
        assert!(matches!(examine(&wide("a: b"), NameKind::Yaml, "milvus/a.yaml"), Content::NotText(_)));
        assert_eq!(examine(&wide("a: b"), NameKind::Yaml, "a.yaml"), Content::Silent);
    }
}
