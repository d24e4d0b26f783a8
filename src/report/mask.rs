//! Hides credentials in lines of sources: what stands beside a finding is shown to everybody who reads the log.

mod whole;

use std::borrow::Cow;

pub use self::whole::text;

use crate::model::credential::{is_credential, names_credential, user_infos};

const MASK: char = '*';

/// The line with `*` for each character of a credential, so that columns hold: values of keys that sound like one, and what stands before the `@` of a URL.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    let chars: Vec<char> = text.chars().collect();
    let mut hidden = vec![false; chars.len()];
    hide_values(&chars, &mut hidden);
    hide_named(&chars, &mut hidden);
    user_infos(&chars).into_iter().for_each(|range| hide(&mut hidden, range.start, range.end));
    hide_arguments(&chars, &mut hidden);
    if !hidden.contains(&true) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(chars.iter().zip(hidden).map(|(c, hidden)| if hidden { MASK } else { *c }).collect())
}

/// The line with `*` for each character from one on, counted from 0; blanks stay, so that columns hold.
#[must_use]
pub fn from(line: &str, first: usize) -> String {
    line.chars().enumerate().map(|(at, c)| if at >= first && !c.is_whitespace() { MASK } else { c }).collect()
}

fn hide(hidden: &mut [bool], from: usize, to: usize) {
    hidden.iter_mut().take(to).skip(from).for_each(|hidden| *hidden = true);
}

/// Values behind `key:` and `key=`.
fn hide_values(chars: &[char], hidden: &mut [bool]) {
    let mut key = String::new();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        at += 1;
        match c {
            ':' | '=' if is_credential(&key) || (*c == '=' && (names_credential(&key) || is_signature(&key))) => {
                let end = end_of_value(chars, at, *c);
                if !is_switch(chars.get(end.0..end.1).unwrap_or_default()) {
                    hide(hidden, end.0, end.1);
                }
                at = end.1;
                key.clear();
            }
            c if c.is_alphanumeric() || matches!(c, '_' | '-') => key.push(*c),
            // Quotes stand around a key, blanks before its colon.
            '"' | '\'' => {}
            ' ' if chars.get(at).is_some_and(|next| matches!(next, ':' | '=')) => {}
            _ => key.clear(),
        }
    }
}

/// Where a value begins and ends: at its closing quote, at a comma or bracket; a YAML scalar at the end of the line, an argument at a blank.
fn end_of_value(chars: &[char], from: usize, separator: char) -> (usize, usize) {
    let start = (from..chars.len()).find(|at| chars.get(*at) != Some(&' ')).unwrap_or(chars.len());
    let quote = chars.get(start).copied().filter(|c| matches!(c, '"' | '\''));
    let mut is_escaped = false;
    let start = start + usize::from(quote.is_some());
    for at in start..chars.len() {
        let Some(c) = chars.get(at).copied() else { break };
        let ends = match quote {
            Some(quote) => c == quote && !is_escaped,
            None if is_escaped => false,
            None => matches!(c, ',' | '}' | ']' | '"' | '\'') || (c == '#' && chars.get(at - 1) == Some(&' ')) || (separator == '=' && c.is_whitespace()),
        };
        if ends {
            return (start, at);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    (start, chars.len())
}

/// A parameter of a URL that lets in who has it.
fn is_signature(key: &str) -> bool {
    key == "sig" || key.to_ascii_lowercase().ends_with("signature")
}

/// Whether a value only switches something on or off.
fn is_switch(value: &[char]) -> bool {
    matches!(value.iter().collect::<String>().trim(), "true" | "false")
}

/// What flags of commands hand over: `-u user:password`, `--from-literal=key=value`, `--docker-password value`.
fn hide_arguments(chars: &[char], hidden: &mut [bool]) {
    let mut flag = String::new();
    let mut at = 0;
    while at < chars.len() {
        let Some(start) = (at..chars.len()).find(|at| chars.get(*at).is_some_and(|c| !c.is_whitespace())) else { break };
        let end = end_of_argument(chars, start);
        let word: String = chars.get(start..end).unwrap_or_default().iter().collect();
        let is_value = !word.starts_with('-');
        let name = flag.trim_start_matches('-');
        match (flag.as_str(), word.split_once('=')) {
            ("-u" | "-U" | "--user", _) if is_value && word.contains(':') => hide(hidden, start, end),
            ("--from-literal", _) if is_value => hide(hidden, start, end),
            _ if is_value && name.len() < flag.len() && is_credential(name) => hide(hidden, start, end),
            (_, Some((flag @ ("--from-literal" | "--user"), _))) => hide(hidden, start + flag.len() + 1, end),
            _ => {}
        }
        flag = word;
        at = end;
    }
}

/// The first blank behind an argument that stands in no quotes.
fn end_of_argument(chars: &[char], start: usize) -> usize {
    let mut quote = None;
    for (at, c) in chars.iter().enumerate().skip(start) {
        match quote {
            Some(open) if *c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(*c),
            None if c.is_whitespace() => return at,
            None => {}
        }
    }
    chars.len()
}

/// The values of tables that name what they hold: `{name: minio.secretKey, value: ..}`.
fn hide_named(chars: &[char], hidden: &mut [bool]) {
    #[derive(Default)]
    struct Named {
        is_credential: bool,
        value: Option<(usize, usize)>,
    }
    let mut tables = vec![Named::default()];
    let mut key = String::new();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        at += 1;
        match c {
            '{' => tables.push(Named::default()),
            '}' => {
                if let Some((from, to)) = tables.pop().filter(|table| table.is_credential).and_then(|table| table.value) {
                    hide(hidden, from, to);
                }
            }
            ':' | '=' if matches!(key.as_str(), "name" | "value") => {
                let start = (at..chars.len()).find(|at| chars.get(*at) != Some(&' ')).unwrap_or(chars.len());
                if matches!(chars.get(start), Some('{' | '[')) {
                    at = start;
                } else if let Some(table) = tables.last_mut() {
                    let (from, to) = end_of_value(chars, start, ':');
                    if key == "name" {
                        let text: String = chars.get(from..to).unwrap_or_default().iter().collect();
                        table.is_credential = names_credential(text.trim());
                    } else {
                        table.value = Some((from, to));
                    }
                    at = to;
                }
            }
            _ => {}
        }
        match c {
            c if c.is_alphanumeric() || matches!(c, '_' | '-') => key.push(*c),
            '"' | '\'' => {}
            ' ' if chars.get(at).is_some_and(|next| matches!(next, ':' | '=' | ' ')) => {}
            _ => key.clear(),
        }
    }
    for (from, to) in tables.into_iter().filter(|table| table.is_credential).filter_map(|table| table.value) {
        hide(hidden, from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn values_of_keys_that_sound_like_credentials_are_hidden_in_every_form() {
        for (text, shown) in [
            ("secretKey: hunter2", "secretKey: *******"),
            (r#"  "secretKey": "hun,ter", bucketName: b"#, r#"  "secretKey": "*******", bucketName: b"#),
            ("{accessKey: a b, bucketName: b}", "{accessKey: ***, bucketName: b}"),
            (r"--set minio.secretKey=hun\,ter,externalS3.bucketName=b --wait", r"--set minio.secretKey=********,externalS3.bucketName=b --wait"),
            ("--set 'a.password=x' -f v", "--set 'a.password=*' -f v"),
            (r#"authParams: "token:HUNTER", topic: t"#, r#"authParams: "************", topic: t"#),
            ("token : x # why", "token : **# why"),
            ("TOKEN=é next", "TOKEN=* next"),
            ("host: h, iam: 'https://x/?sig=HUNTER'", "host: h, iam: 'https://x/?sig=******'"),
            ("extraEnv: [{name: A_TOKEN, value: HUNTER}, {name: B, value: c}]", "extraEnv: [{name: A_TOKEN, value: ******}, {name: B, value: c}]"),
            (r#"set: [{"value":"HUNTER","name":"minio.secretKey"}]"#, r#"set: [{"value":"******","name":"minio.secretKey"}]"#),
            (r#"set { name = "minio.secretKey" , value = "HUNTER" }"#, r#"set { name = "minio.secretKey" , value = "******" }"#),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn what_stands_before_the_host_of_a_url_is_hidden() {
        assert_eq!(line("url: https://u:p@s3.io/x, b: http://h"), "url: https://***@s3.io/x, b: http://h");
        assert_eq!(line("endpoints: [http://root:x@etcd:2379]"), "endpoints: [http://******@etcd:2379]");
        assert_eq!(line("brokerList: \"u:p@k:9092\""), "brokerList: \"***@k:9092\"");
    }

    #[test]
    fn what_flags_and_variables_hand_over_is_hidden() {
        for (text, shown) in [
            ("curl -u a:b --user 'c:d e' x", "curl -u *** --user ******* x"),
            (
                "kubectl create secret generic s --from-literal=k=v --from-literal 'k=v w'",
                "kubectl create secret generic s --from-literal=*** --from-literal *******",
            ),
            ("x --docker-password abc -n db", "x --docker-password *** -n db"),
            ("export AWS_KEY=abc DB_PASS=x", "export AWS_KEY=*** DB_PASS=*"),
        ] {
            assert_eq!(line(text), shown);
        }
    }

    #[test]
    fn other_values_and_names_of_secrets_stay() {
        for text in [
            "version: 5.0.19",
            "existingSecret: minio",
            "kind: Secret",
            "secretKeyRef: {name: a}",
            "a: b@c",
            "secret:",
            "key = token",
            "authorizationEnabled: true",
            "image: milvusdb/milvus:v2.6.15@sha256:abc",
            "env: [{name: A_TOKEN, valueFrom: {secretKeyRef: {name: x, key: y}}}]",
            "helm upgrade -u x --wait --set a=b",
        ] {
            assert_eq!(line(text), text);
        }
    }
}
