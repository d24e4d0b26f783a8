//! Credentials that tests plant where people keep theirs, and the search for them in what is told.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;

/// What every planted credential contains.
pub const PLANTED: &str = "planted-hunter2-4d696c767573";

/// Values with credentials at the places where values of Milvus have them: keys of the store, the environment, the user's own configuration.
pub fn values() -> String {
    format!(
        "minio: {{accessKey: {PLANTED}-access, secretKey: {PLANTED}-secret}}\n\
         standalone: {{extraEnv: [{{name: MILVUS_TOKEN, value: {PLANTED}-env}}]}}\n\
         proxy: {{extraEnv: [{{name: MILVUS_TOKEN, value: {PLANTED}-env}}]}}\n\
         extraConfigFiles: {{user.yaml: \"common: {{security: {{defaultRootPassword: {PLANTED}-root}}}}\"}}\n"
    )
}

/// Whether a planted credential is in a text: in clear, in base64 wherever it begins, or in a packed Helm release.
pub fn is_in(text: &str) -> bool {
    is_in_clear(text) || packed(text).any(|inner| is_in_clear(&inner))
}

fn is_in_clear(text: &str) -> bool {
    text.contains(PLANTED) || encoded().iter().any(|part| text.contains(part))
}

/// The middle of the planted text in base64, for each of the three places in a group where it may begin.
fn encoded() -> [String; 3] {
    ["", "x", "xx"].map(|before| {
        let all = STANDARD.encode(format!("{before}{PLANTED}"));
        // The first group holds what stands before, the last one what follows.
        all[4..all.len() - 4].to_owned()
    })
}

/// Whatever in a text is a gzip in base64, once or twice, unpacked.
fn packed(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')));
    words.filter(|word| word.starts_with("H4sI") || word.starts_with("SDRzS")).filter_map(|word| {
        let once = STANDARD.decode(word).ok()?;
        let gzip = if once.starts_with(b"H4sI") { STANDARD.decode(once).ok()? } else { once };
        let mut inner = String::new();
        MultiGzDecoder::new(&*gzip).read_to_string(&mut inner).ok()?;
        Some(inner)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn a_planted_credential_is_found_however_it_is_written() {
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{PLANTED} and more");
            assert!(is_in(&format!("level=info {text}")));
            assert!(is_in(&format!("data: {}", STANDARD.encode(&text))), "{before}");
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(text.as_bytes()).unwrap();
            let release = STANDARD.encode(gzip.finish().unwrap());
            assert!(is_in(&format!("{{\"release\":\"{release}\"}}")) && is_in(&format!("{{\"release\":\"{}\"}}", STANDARD.encode(&release))));
        }
        assert!(!is_in("level=info gate=helm-storage") && !is_in(&STANDARD.encode("planted-hunter3")));
    }
}
