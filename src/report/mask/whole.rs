//! Hides what Secrets hold in a whole text, read as lines so that it holds for documents that cannot be parsed.

use super::{from, line};
use std::collections::BTreeSet;

use crate::model::credential::{is_credential, names_credential};

/// Keys of a Secret whose values are shown: they say what it is.
const SHOWN: [&str; 3] = ["apiVersion", "kind", "type"];

/// The text with `*` for each character that nobody may see: all values of a document that is a Secret and of generators of Secrets, and credentials by their keys.
/// Lines and columns hold.
#[must_use]
pub fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for part in parts(text) {
        let mut reader = Reader { secret: Secret::of(part), open: None };
        let named = named(part);
        for (number, whole) in part.split_inclusive('\n').enumerate() {
            let bare = whole.trim_end_matches(['\r', '\n']);
            shown.push_str(&reader.line(bare, named.contains(&number)));
            shown.push_str(whole.get(bare.len()..).unwrap_or_default());
        }
    }
    shown
}

/// Documents of YAML; a text that a shell hands to a command is one of its own.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut here: Option<&str> = None;
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        let ends_here = here.is_some_and(|word| line.trim() == word);
        if ends_here {
            here = None;
        }
        if ends_here || line.starts_with("---") {
            parts.extend(text.get(start..at));
            start = at;
        }
        if let Some(word) = here_document(line) {
            here = Some(word);
            parts.extend(text.get(start..next));
            start = next;
        }
        at = next;
    }
    parts.extend(text.get(start..));
    parts
}

/// The word that ends the text which begins behind this line (`<<EOF`).
fn here_document(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("<<")?;
    let rest = rest.trim_start_matches('-').trim_start().trim_start_matches(['"', '\'', '\\']);
    let word = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|word| !word.is_empty())?;
    (!before.ends_with('<') && !rest.starts_with('<')).then_some(word)
}

/// What a part says about Secrets.
#[derive(Clone, Copy, PartialEq)]
enum Secret {
    /// It is one.
    Is,
    /// It speaks of one, or holds one among other things.
    Mentions,
    Not,
}

impl Secret {
    fn of(part: &str) -> Self {
        let mut found = Self::Not;
        for line in part.lines() {
            for (at, _) in line.match_indices("kind") {
                let (before, rest) = line.split_at_checked(at).unwrap_or_default();
                if !is_value_secret(rest.get(4..).unwrap_or_default()) {
                    continue;
                }
                if before.trim_start_matches('\u{feff}').trim_matches(['"', '\'']).is_empty() {
                    return Self::Is;
                }
                found = Self::Mentions;
            }
        }
        let flow = part.lines().map(|line| line.trim_start_matches("---").trim()).find(|line| !line.is_empty() && !line.starts_with('#'));
        let is_flow = flow.is_some_and(|line| line.trim_start_matches('\u{feff}').starts_with(['{', '[']));
        if found == Self::Mentions && is_flow && part.lines().any(|line| data_of(line).is_some()) { Self::Is } else { found }
    }
}

/// Whether `: Secret` stands behind a key.
fn is_value_secret(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['"', '\'']).trim_start();
    let Some(value) = rest.strip_prefix(':') else { return false };
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    value.strip_prefix("Secret").is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
}

/// Where the value of `data` or `stringData` begins, in characters.
fn data_of(line: &str) -> Option<usize> {
    ["data", "stringData"].iter().filter_map(|key| value_of(line, key)).min()
}

/// Where the value of a key begins that may stand anywhere in a line, in characters.
fn value_of(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).find_map(|(at, _)| {
        let (before, rest) = line.split_at_checked(at)?;
        let rest = rest.get(key.len()..)?;
        let value = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
        let is_word = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        (!is_word).then(|| line.chars().count() - value.chars().count())
    })
}

/// Lines that belong to a key.
#[derive(Clone, Copy, PartialEq)]
struct Open {
    /// Characters before the key.
    depth: usize,
    holds: Holds,
}

#[derive(Clone, Copy, PartialEq)]
enum Holds {
    /// Values of Secrets.
    Secret,
    /// The text of a credential.
    Text,
    /// Whatever a credential's key holds: a text, or a table with keys of its own.
    Unseen,
}

struct Reader {
    secret: Secret,
    open: Option<Open>,
}

impl Reader {
    /// A line as it is shown; `is_named` where the line above or below names its value as a credential.
    fn line(&mut self, bare: &str, is_named: bool) -> String {
        let content = bare.trim();
        if content.is_empty() || content == "---" {
            return bare.to_owned();
        }
        if self.secret == Secret::Is {
            return match key_of(bare) {
                Some((0, key, _)) if SHOWN.contains(&key) && !bare.starts_with(['{', '[']) => line(bare).into_owned(),
                _ => without_values(bare),
            };
        }
        let depth = bare.chars().take_while(|c| c.is_whitespace()).count();
        let is_item = content == "-" || content.starts_with("- ");
        if let Some(open) = self.open {
            let is_inside = depth > open.depth || (is_item && depth == open.depth);
            match open.holds {
                _ if !is_inside => self.open = None,
                Holds::Secret => return without_values(bare),
                Holds::Unseen if key_of(bare).is_some() => self.open = None,
                Holds::Text | Holds::Unseen => {
                    self.open = Some(Open { holds: Holds::Text, ..open });
                    return from(bare, 0);
                }
            }
        }
        let data = if self.secret == Secret::Mentions { data_of(bare) } else { None };
        let key = key_of(bare);
        if let Some(first) = data.into_iter().chain(value_of(bare, "secretGenerator")).min() {
            self.open = Some(Open { depth: key.map_or(depth, |(depth, ..)| depth), holds: Holds::Secret });
            return from(&line(bare), first);
        }
        if let Some((depth, key, rest)) = key
            && (is_credential(key) || is_named)
        {
            let rest = rest.trim();
            let holds = if rest.starts_with(['|', '>']) { Holds::Text } else { Holds::Unseen };
            // A quoted or plain text may go on below.
            self.open = Some(Open { depth, holds });
        }
        if let Some((_, _, value)) = assignment(bare).filter(|_| is_named) {
            return from(bare, bare.chars().count() - value.chars().count());
        }
        line(bare).into_owned()
    }
}

/// The lines, counted from 0, of a `value` that the `name` beside it tells to be a credential, in YAML (`- name: A_TOKEN`) and HCL (`name = "minio.secretKey"`).
fn named(part: &str) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    // Of the table that is read: the depth of its keys, whether it names a credential, and the line of its value.
    let mut table: (usize, bool, Option<usize>) = (0, false, None);
    for (number, line) in part.lines().enumerate() {
        let Some(depth) = line.find(|c: char| !c.is_whitespace() && c != '-') else { continue };
        if depth < table.0 || line.trim_start().starts_with("- ") {
            table = (depth, false, None);
        }
        let Some((depth, key, value)) = assignment(line).filter(|(_, key, _)| matches!(*key, "name" | "value")) else { continue };
        if depth != table.0 {
            table = (depth, false, None);
        }
        match key {
            "name" => table.1 = names_credential(value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\''])),
            _ => table.2 = Some(number),
        }
        if table.1 {
            found.extend(table.2);
        }
    }
    found
}

/// A line `key: value` or `key = value`: characters before the key, the key, and the value.
fn assignment(line: &str) -> Option<(usize, &str, &str)> {
    let content = line.trim_start_matches(|c: char| c.is_whitespace() || c == '-');
    let (key, value) = content.split_once([':', '='])?;
    Some((line.chars().count() - content.chars().count(), key.trim_end().trim_matches(['"', '\'']), value))
}

/// The key of a line of a block mapping: characters before it, the key, and what follows its colon.
fn key_of(line: &str) -> Option<(usize, &str, &str)> {
    let content = line.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let mut content = content;
    while let Some(item) = content.strip_prefix("- ") {
        content = item.trim_start();
    }
    let depth = line.chars().count() - content.chars().count();
    let (key, rest) = content.split_once(':')?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'));
    (is_key && (rest.is_empty() || rest.starts_with(char::is_whitespace))).then_some((depth, key, rest))
}

/// The line with its key alone.
fn without_values(line: &str) -> String {
    let first = key_of(line).map_or(0, |(.., rest)| line.chars().count() - rest.chars().count());
    from(line, first)
}

#[cfg(test)]
mod tests {
    use super::text;

    /// Texts in which all that holds this word is not to be seen.
    const PLANTED: &str = "hunter";

    #[test]
    fn what_secrets_hold_is_hidden_whether_or_not_the_document_can_be_read() {
        for source in [
            "apiVersion: v1\nkind: Secret\nstringData:\n  a: @hunter\n # hunter\nhunter\n",
            "data:\n  a: hunter\nkind: \"Secret\" # x\n",
            "kind: Secret\nstringData:\n  values.yaml: |\n    minio: {bucketName: hunter}\n   hunter\n  b: %hunter\n",
            "kind: Secret\nstringData:\n  a: \"hunter\n  hunter: 1\n",
            "kind: List\nitems:\n- stringData:\n    a: hunter\n  kind: Secret\n- data: {a: hunter,\n     b: hunter}\n  kind: Secret\n",
            "{\"kind\": \"Secret\",\n\"data\": {\"a\": \"hunter\",\n\"b\": \"hunter\"}}\n",
            "--- {kind: Secret, stringData: {a: hunter}}\n",
            "secretGenerator:\n- name: x\n  literals: [key=hunter]\n- literals:\n  - a=hunter\n",
            "{secretGenerator: [{literals: [a=hunter]}]}\n",
            "kubectl apply -f - <<'EOF'\nkind: Secret\nstringData:\n  a: hunter\nEOF\n",
            "extraEnv:\n- name: A_TOKEN # x\n  value: hunter\n- value: 'hunter\n    hunter'\n  name: \"B_PASSWORD\"\n",
            "set {\n  name  = \"minio.secretKey\"\n  value = \"hunter\"\n}\n",
            "a:\n  rootPassword:\n    hunter\n  accessKey: |\n    hunter: 1\n  token: 'x\n    hunter'\n  secretKeys:\n  - hunter\n",
        ] {
            let shown = text(source);
            assert!(!shown.contains(PLANTED) || shown.contains("hunter: *"), "{source}\n{shown}");
            let lengths = |text: &str| text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
            assert_eq!(lengths(source), lengths(&shown));
        }
    }

    #[test]
    fn what_only_names_a_secret_and_what_stands_beside_one_is_shown() {
        for source in [
            "spec:\n  valuesFrom:\n  - kind: Secret\n    name: mv\n  values: {image: {all: {tag: v2.5.16}}}\n",
            "kind: SecretStore\ndata: {a: b}\n",
            "a: b\r\n---\r\nc: {existingSecret: x}\r\n",
            "secret:\n  secretName: x\n  items: 1\nimage: x\n",
            "env:\n- name: A_TOKEN\n  valueFrom: x\n- name: B\n  value: c\n- name: A_TOKEN\n- value: c\n",
            "name: my-token\na:\n  value: c\n",
            "x: <<EOF\nkind: Secret\nEOF\nhelm upgrade a b\n",
            "no line end",
        ] {
            assert_eq!(text(source), source);
        }
    }
}
