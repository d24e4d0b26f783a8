//! Go templates as helmfile has them, as far as they can be told without running anything: simple expressions and conditions on whole lines.
//! What cannot be told stays a template expression, which is unknown.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use std::sync::Arc;

use super::item::{Expander, Text};
use super::nested::{Said, said};
use crate::document::yaml::{Point, Span};
use crate::model::declaration::Layer;
use crate::model::place::Position;
use crate::model::value::{Value, escape_key};

/// What a template may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'s> {
    /// `.Environment.Name`; unknown where no environment is looked at.
    pub environment: Option<&'s str>,
    /// `.Values`, lowest precedence first.
    pub values: &'s [Layer],
    /// `.Release.Name` and `.Release.Namespace`.
    pub release: Option<(&'s str, Option<&'s str>)>,
}

impl Expander for Scope<'_> {
    fn expand(&self, text: &str) -> Option<String> {
        expand(text, self)
    }

    /// Where the environment says the value of `{{ .Values.a.b }}`.
    fn written_at(&self, text: &str) -> Option<(Arc<Text>, Span)> {
        let inner = text.trim().trim_matches(['"', '\'']).strip_prefix("{{")?.strip_suffix("}}")?.trim_matches('-');
        let path = values_path(words(split(inner, '|').first()?).first()?)?;
        let dotted = path.iter().map(|key| escape_key(key)).collect::<Vec<_>>().join(".");
        let at = self.values.iter().rev().find_map(|layer| match layer {
            Layer::Table { values, .. } => values.lookup(&dotted).found().map(|entry| &entry.node.origin),
            Layer::Set { .. } | Layer::Unseen { .. } => None,
        })?;
        let place = at.place()?;
        let point = |position: Position| Point { byte: 0, line: position.line, column: position.column };
        let source = Text { path: place.file.clone(), text: Arc::from("") };
        Some((Arc::new(source), Span { start: point(place.start), end: point(place.end) }))
    }
}

/// Expressions nest this deep at most.
const MAX_DEPTH: usize = 16;

/// Replaces the expressions of a text; nothing where one of them cannot be told.
#[must_use]
pub fn expand(text: &str, scope: &Scope<'_>) -> Option<String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let action = action(after)?;
        expanded.push_str(if action.trims_before { before.trim_end() } else { before });
        expanded.push_str(&shown(&evaluate(action.expression, scope, 0))?);
        rest = if action.trims_after { action.rest.trim_start() } else { action.rest };
    }
    expanded.push_str(rest);
    // An expression that was kept for later (in backticks) is a template again.
    if expanded.contains("{{") && expanded != text { expand(&expanded, scope) } else { Some(expanded) }
}

/// The path of `.Values` that an expression writes out as YAML: `toYaml .Values.milvus | nindent 4`.
#[must_use]
pub fn written_out(text: &str) -> Option<Vec<&str>> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim_matches('-').trim();
    let stages = split(inner, '|');
    let mut path = None;
    for stage in stages {
        let stage = words(stage);
        match stage.as_slice() {
            ["toYaml", value] => path = values_path(value),
            [value] if path.is_none() && value.starts_with('.') => path = values_path(value),
            ["toYaml"] | ["indent" | "nindent", _] => {}
            _ => return None,
        }
    }
    path.filter(|_| inner.contains("toYaml"))
}

fn values_path(word: &str) -> Option<Vec<&str>> {
    let word = word.trim_start_matches('$');
    let path = word.strip_prefix(".Values.").or_else(|| word.strip_prefix(".StateValues.")).or_else(|| word.strip_prefix(".Environment.Values."))?;
    Some(path.split('.').collect())
}

struct Action<'t> {
    expression: &'t str,
    rest: &'t str,
    trims_before: bool,
    trims_after: bool,
}

/// The action that begins after `{{`.
fn action(after: &str) -> Option<Action<'_>> {
    let trims_before = after.starts_with('-');
    let body = if trims_before { after.get(1..)? } else { after };
    let mut in_quotes = None;
    for (at, c) in body.char_indices() {
        match in_quotes {
            Some(quote) if c == quote => in_quotes = None,
            Some(_) => {}
            None if matches!(c, '"' | '`') => in_quotes = Some(c),
            None if body.get(at..).is_some_and(|rest| rest.starts_with("}}")) => {
                let expression = body.get(..at)?;
                let trims_after = expression.ends_with('-');
                return Some(Action { expression: expression.trim_end_matches('-').trim(), rest: body.get(at + 2..)?, trims_before, trims_after });
            }
            None => {}
        }
    }
    None
}

fn shown(said: &Said) -> Option<String> {
    match said {
        Said::Value(Value::String(text)) => Some(text.to_string()),
        Said::Value(Value::Int(number)) => Some(number.to_string()),
        Said::Value(Value::Bool(value)) => Some(value.to_string()),
        Said::Value(_) | Said::Unknown | Said::Nothing => None,
    }
}

fn text(value: &str) -> Said {
    Said::Value(Value::String(value.into()))
}

/// The value of an expression.
#[must_use]
pub fn evaluate(expression: &str, scope: &Scope<'_>, depth: usize) -> Said {
    if depth > MAX_DEPTH {
        return Said::Unknown;
    }
    let mut piped = None;
    for stage in split(expression, '|') {
        let words = words(stage);
        piped = Some(call(&words, piped, scope, depth));
    }
    piped.unwrap_or(Said::Unknown)
}

fn call(words: &[&str], piped: Option<Said>, scope: &Scope<'_>, depth: usize) -> Said {
    let Some((function, arguments)) = words.split_first() else {
        return Said::Unknown;
    };
    if arguments.is_empty() && piped.is_none() {
        return operand(function, scope, depth);
    }
    let mut values: Vec<Said> = arguments.iter().map(|word| operand(word, scope, depth)).collect();
    values.extend(piped);
    match (*function, values.as_slice()) {
        ("eq", [first, others @ ..]) if !others.is_empty() => equal(first, others),
        ("ne", [first, second]) => negated(equal(first, std::slice::from_ref(second))),
        ("not", [value]) => truthy(value).map_or(Said::Unknown, |on| Said::Value(Value::Bool(!on))),
        ("and", values) => all(values, true),
        ("or", values) => all(values, false),
        ("default", [fallback, value]) => match value {
            Said::Nothing => fallback.clone(),
            Said::Unknown => Said::Unknown,
            value => match truthy(value) {
                Some(true) => value.clone(),
                Some(false) => fallback.clone(),
                None => Said::Unknown,
            },
        },
        ("quote" | "squote" | "toString" | "trim" | "nospace", [value]) => shown(value).map_or(Said::Unknown, |t| text(t.trim())),
        ("lower", [value]) => shown(value).map_or(Said::Unknown, |t| text(&t.to_lowercase())),
        ("upper", [value]) => shown(value).map_or(Said::Unknown, |t| text(&t.to_uppercase())),
        ("get", _) => get(arguments, scope),
        ("ternary", [yes, no, condition]) => match truthy(condition) {
            Some(true) => yes.clone(),
            Some(false) => no.clone(),
            None => Said::Unknown,
        },
        ("printf", [format, values @ ..]) => printf(format, values),
        _ => Said::Unknown,
    }
}

/// `get "a.b" [default] .Values`, also with `.Values` piped in: only the default and `.Values` itself are understood.
fn get(arguments: &[&str], scope: &Scope<'_>) -> Said {
    let mut words = arguments.iter().copied().filter(|word| *word != ".Values");
    let Some(path) = words.next().and_then(|word| word.strip_prefix('"')).and_then(|word| word.strip_suffix('"')) else {
        return Said::Unknown;
    };
    match (said(scope.values, path), words.next()) {
        (Said::Nothing, Some(fallback)) => operand(fallback, scope, MAX_DEPTH),
        (found, _) => found,
    }
}

fn printf(format: &Said, values: &[Said]) -> Said {
    let Some(format) = shown(format) else {
        return Said::Unknown;
    };
    let mut result = String::new();
    let mut rest = format.as_str();
    let mut values = values.iter();
    while let Some((before, after)) = rest.split_once('%') {
        result.push_str(before);
        let Some(value) = values.next().and_then(shown).filter(|_| after.starts_with(['s', 'v', 'd'])) else {
            return Said::Unknown;
        };
        result.push_str(&value);
        rest = after.get(1..).unwrap_or_default();
    }
    result.push_str(rest);
    text(&result)
}

fn operand(word: &str, scope: &Scope<'_>, depth: usize) -> Said {
    if let Some(inner) = word.strip_prefix('(').and_then(|w| w.strip_suffix(')')) {
        return evaluate(inner, scope, depth + 1);
    }
    if let Some(inner) = word.strip_prefix('"').and_then(|w| w.strip_suffix('"')).or_else(|| word.strip_prefix('`').and_then(|w| w.strip_suffix('`'))) {
        return text(inner);
    }
    match word {
        "true" => return Said::Value(Value::Bool(true)),
        "false" => return Said::Value(Value::Bool(false)),
        _ => {}
    }
    if let Ok(number) = word.parse::<i64>() {
        return Said::Value(Value::Int(number));
    }
    let word = word.trim_start_matches('$');
    match (word, scope.release) {
        (".Environment.Name", _) => scope.environment.map_or(Said::Unknown, text),
        (".Release.Name", Some((name, _))) => text(name),
        (".Release.Namespace", Some((_, Some(namespace)))) => text(namespace),
        _ => match values_path(word) {
            Some(path) if path.iter().all(|key| !key.is_empty()) => said(scope.values, &path.iter().map(|key| escape_key(key)).collect::<Vec<_>>().join(".")),
            _ => Said::Unknown,
        },
    }
}

/// A value that nothing says may still come from the command line, so it is not known to be off.
fn truthy(said: &Said) -> Option<bool> {
    match said {
        Said::Value(value) => value.truthy(),
        Said::Nothing | Said::Unknown => None,
    }
}

fn equal(first: &Said, others: &[Said]) -> Said {
    let mut unknown = false;
    for other in others {
        match (first, other) {
            (Said::Value(Value::Unknown(_)) | Said::Unknown | Said::Nothing, _) | (_, Said::Value(Value::Unknown(_)) | Said::Unknown | Said::Nothing) => {
                unknown = true
            }
            (a, b) if a == b => return Said::Value(Value::Bool(true)),
            _ => {}
        }
    }
    if unknown { Said::Unknown } else { Said::Value(Value::Bool(false)) }
}

fn negated(said: Said) -> Said {
    match said {
        Said::Value(Value::Bool(on)) => Said::Value(Value::Bool(!on)),
        other => other,
    }
}

/// `and` (all true) or `or` (all false).
fn all(values: &[Said], wanted: bool) -> Said {
    let told: Vec<Option<bool>> = values.iter().map(truthy).collect();
    if told.contains(&Some(!wanted)) {
        Said::Value(Value::Bool(!wanted))
    } else if told.contains(&None) {
        Said::Unknown
    } else {
        Said::Value(Value::Bool(wanted))
    }
}

/// Splits at a character outside of quotes and parentheses.
fn split(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut in_quotes) = (0, 0_u32, None);
    for (i, c) in text.char_indices() {
        match in_quotes {
            Some(quote) => {
                if c == quote {
                    in_quotes = None;
                }
            }
            None => match c {
                '"' | '`' => in_quotes = Some(c),
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                c if c == at && depth == 0 => {
                    parts.extend(text.get(start..i));
                    start = i + c.len_utf8();
                }
                _ => {}
            },
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn words(text: &str) -> Vec<&str> {
    split(text, ' ').into_iter().map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// A text whose conditions on whole lines were decided.
#[derive(Debug)]
pub struct Resolved<'t> {
    /// The text, its lines where they were: those of branches not taken are blank, those that differ between branches that cannot be told apart are
    /// template expressions.
    pub text: Cow<'t, str>,
    /// 1-based lines on which nothing but an expression stands that writes something out (`{{ toYaml .Values.x }}`).
    pub written_out: Vec<u32>,
}

/// Decides `if`, `else` and `end` that stand alone on their lines.
#[must_use]
pub fn resolve<'t>(source: &'t str, scope: &Scope<'_>) -> Resolved<'t> {
    if !source.contains("{{") {
        return Resolved { text: Cow::Borrowed(source), written_out: Vec::new() };
    }
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    let mut walker = Walker { lines: &lines, scope, at: 0, replaced: vec![None; lines.len()], written_out: Vec::new() };
    while walker.at < lines.len() {
        walker.block(0);
        walker.at += 1;
    }
    let (replaced, mut written_out) = (walker.replaced, walker.written_out);
    written_out.retain(|line| replaced.get(*line as usize - 1).is_some_and(Option::is_none));
    if replaced.iter().all(Option::is_none) {
        return Resolved { text: Cow::Borrowed(source), written_out };
    }
    let mut text = String::with_capacity(source.len());
    for (line, replaced) in lines.iter().zip(replaced) {
        match replaced {
            Some(other) => {
                text.push_str(&other);
                text.push_str(if line.ends_with('\n') { "\n" } else { "" });
            }
            None => text.push_str(line),
        }
    }
    Resolved { text: Cow::Owned(text), written_out }
}

struct Walker<'w, 't> {
    lines: &'w [&'t str],
    scope: &'w Scope<'w>,
    at: usize,
    replaced: Vec<Option<String>>,
    written_out: Vec<u32>,
}

/// Blocks nest this deep at most; what is deeper is not decided.
const MAX_BLOCKS: usize = 16;

impl Walker<'_, '_> {
    /// Goes on to the line that ends the block around (an `else` or `end`), or to the end.
    fn block(&mut self, depth: usize) {
        while let Some(line) = self.lines.get(self.at) {
            match alone(line) {
                Some(action) if depth > 0 && (is(action, "end") || is(action, "else")) => return,
                Some(action) if is(action, "end") || is(action, "else") => {}
                Some(action) if is(action, "if") && depth < MAX_BLOCKS => self.condition(depth),
                Some(action) if (is(action, "range") || is(action, "with") || is(action, "define") || is(action, "block")) && depth < MAX_BLOCKS => {
                    self.at += 1;
                    self.block(depth + 1);
                    if self.lines.get(self.at).and_then(|l| alone(l)).is_some_and(|a| is(a, "else")) {
                        self.at += 1;
                        self.block(depth + 1);
                    }
                }
                Some(action) if !action.starts_with("/*") && !action.contains(":=") && !action.contains(" = ") => {
                    self.written_out.push(u32::try_from(self.at + 1).unwrap_or(u32::MAX));
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Decides the condition on the current line; ends at its `end`.
    fn condition(&mut self, depth: usize) {
        let mut branches: Vec<(Option<bool>, Range<usize>)> = Vec::new();
        while let Some(action) = self.lines.get(self.at).and_then(|line| alone(line)) {
            if is(action, "end") {
                break;
            }
            let condition = action.strip_prefix("else").map_or(action, str::trim_start);
            let taken = match condition.strip_prefix("if") {
                Some(condition) => truthy(&evaluate(condition.trim(), self.scope, 0)),
                None => Some(true),
            };
            self.at += 1;
            let start = self.at;
            self.block(depth + 1);
            branches.push((taken, start..self.at));
        }
        let mut candidates: Vec<Range<usize>> = Vec::new();
        let mut certain = false;
        for (taken, lines) in branches {
            if certain || taken == Some(false) {
                self.blank(lines);
            } else {
                candidates.push(lines);
                certain = taken == Some(true);
            }
        }
        self.choose(candidates);
    }

    fn blank(&mut self, lines: Range<usize>) {
        for line in lines {
            if let Some(slot) = self.replaced.get_mut(line) {
                *slot = Some(String::new());
            }
        }
    }

    /// Of several branches that may be taken the longest stays, with everything that the others do not say as well made unknown.
    fn choose(&mut self, candidates: Vec<Range<usize>>) {
        let Some(kept) = candidates.iter().max_by_key(|lines| lines.len()).cloned().filter(|_| candidates.len() > 1) else {
            return;
        };
        let said = |lines: &Range<usize>| -> HashSet<&str> { self.lines.get(lines.clone()).unwrap_or_default().iter().map(|l| l.trim()).collect() };
        let others: Vec<HashSet<&str>> = candidates.iter().filter(|lines| **lines != kept).map(said).collect();
        let mut changed = Vec::new();
        for line in kept.clone() {
            let Some(text) = self.lines.get(line) else { continue };
            if !others.iter().all(|other| other.contains(&text.trim()))
                && let Some(unknown) = made_unknown(text)
            {
                changed.push((line, unknown));
            }
        }
        for lines in candidates {
            if lines != kept {
                self.blank(lines);
            }
        }
        for (line, unknown) in changed {
            if let Some(slot) = self.replaced.get_mut(line).filter(|slot| slot.is_none()) {
                *slot = Some(unknown);
            }
        }
    }
}

/// A line `key: value` or `- value` with an expression for its value.
fn made_unknown(line: &str) -> Option<String> {
    let line = line.trim_end();
    let start = line.len() - line.trim_start().len();
    if let Some(at) = line.find(": ")
        && !line.get(start..)?.starts_with(['#', '{', '"', '\''])
        && !matches!(line.get(at + 2..)?.trim(), "" | "|" | ">" | "|-" | ">-")
    {
        return Some(format!("{}: {{{{ it depends }}}}", line.get(..at)?));
    }
    let item = line.trim_start().strip_prefix("- ")?;
    (!item.contains(':')).then(|| format!("{}- {{{{ it depends }}}}", line.get(..start).unwrap_or_default()))
}

/// The action of a line that holds nothing else.
fn alone(line: &str) -> Option<&str> {
    let inner = line.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner).trim();
    (!inner.contains("}}")).then_some(inner)
}

fn is(action: &str, keyword: &str) -> bool {
    action.strip_prefix(keyword).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::yaml::{Limits, parse_stream};
    use crate::source::convert::to_value;

    fn layers(text: &str) -> Vec<Layer> {
        let document = parse_stream(text, &Limits::default()).remove(0).unwrap();
        vec![Layer::Table { values: to_value(&"env.yaml".into(), &document.root), what: "env.yaml".into() }]
    }

    #[test]
    fn simple_expressions_are_expanded_and_others_are_not() {
        let values = layers("milvus: {version: 4.2.58, on: true, empty: ''}\n");
        let scope = Scope { environment: Some("prod"), values: &values, release: Some(("vectors", None)) };
        for (text, expected) in [
            ("{{ .Environment.Name }}", Some("prod")),
            ("values/{{.Environment.Name}}.yaml", Some("values/prod.yaml")),
            ("{{ .Values.milvus.version }}", Some("4.2.58")),
            ("{{ .Values.milvus.version | quote }}", Some("4.2.58")),
            ("{{ .StateValues.milvus.version }}", Some("4.2.58")),
            ("{{ .Values.milvus.tag | default \"v2.5.10\" }}", Some("v2.5.10")),
            ("{{ .Values | get \"milvus.tag\" \"v2.5.16\" }}", Some("v2.5.16")),
            ("{{`{{ .Release.Name }}`}}-values.yaml", Some("vectors-values.yaml")),
            ("{{ printf \"%s-%s\" .Environment.Name .Release.Name }}", Some("prod-vectors")),
            ("{{ .Values.milvus.tag }}", None),
            ("{{ requiredEnv \"TAG\" }}", None),
            ("{{ env \"TAG\" | default \"v2\" }}", None),
            ("plain", Some("plain")),
        ] {
            assert_eq!(expand(text, &scope).as_deref(), expected, "{text}");
        }
        assert_eq!(written_out("{{ toYaml .Values.milvus | nindent 6 }}"), Some(vec!["milvus"]));
        assert_eq!(written_out("{{- .Values.a.b | toYaml }}"), Some(vec!["a", "b"]));
        assert_eq!(written_out("{{ .Values.a }}"), None);
    }

    #[test]
    fn conditions_on_lines_are_decided_where_they_can_be() {
        let source = "a: 1\n{{- if eq .Environment.Name \"prod\" }}\nb: 2\n{{- else }}\nb: 3\n{{- end }}\nc: 4\n";
        let at = |environment| resolve(source, &Scope { environment, values: &[], release: None }).text.into_owned();
        assert_eq!(at(Some("prod")), "a: 1\n{{- if eq .Environment.Name \"prod\" }}\nb: 2\n{{- else }}\n\n{{- end }}\nc: 4\n");
        assert_eq!(at(Some("dev")), "a: 1\n{{- if eq .Environment.Name \"prod\" }}\n\n{{- else }}\nb: 3\n{{- end }}\nc: 4\n");
        assert_eq!(at(None), "a: 1\n{{- if eq .Environment.Name \"prod\" }}\n\n{{- else }}\nb: {{ it depends }}\n{{- end }}\nc: 4\n");
    }

    #[test]
    fn nested_blocks_and_a_lone_condition_keep_their_lines() {
        let source = "{{ if .Values.x }}\n{{ range .Values.y }}\na: {{ . }}\n{{ end }}\nb: 1\n{{ end }}\n{{ toYaml .Values.z }}\n";
        let values = layers("x: false\n");
        let resolved = resolve(source, &Scope { environment: None, values: &[], release: None });
        assert_eq!((resolved.text.as_ref(), resolved.written_out.as_slice()), (source, &[7][..]));
        let off = resolve(source, &Scope { environment: None, values: &values, release: None });
        assert_eq!(off.text.lines().filter(|l| l.is_empty()).count(), 4);
    }

    #[test]
    fn blocks_that_never_end_or_begin_are_survived() {
        for source in ["{{ if", "{{ if .a }}\nb: 1\n", "{{ end }}\n{{ else }}\na: 1\n", "{{ range }}\n{{ else }}\n{{ else }}\n"] {
            let _ = resolve(source, &Scope { environment: None, values: &[], release: None });
        }
        let deep = "{{ if .a }}\n".repeat(10_000);
        let _ = resolve(&deep, &Scope { environment: None, values: &[], release: None });
    }
}
