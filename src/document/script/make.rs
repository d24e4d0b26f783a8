//! Makefiles: variables, and the recipe of each target, every line a script of its own.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::{Job, Part, Step};
use crate::document::extract::Extract;
use crate::document::shell::{Outer, Piece, Value};
use crate::document::template::nothing_sets;

/// Variables in variables.
const DEPTH_LIMIT: usize = 8;
/// How much text variables may add to the recipes of one file.
const FILLED_BYTES: usize = 1024 * 1024;
/// Pieces of one value.
const PIECE_LIMIT: usize = 64;
/// Targets that one needs, those of its needs included.
const NEEDS: usize = 64;
/// Lines of recipes that are read again for what they lead to, in one file.
const LEADING_LINES: usize = 4096;
/// Stands in a recipe for an expression of make that only make can evaluate.
const UNKNOWN: &str = "${make.expression}";

/// A definition as it is written.
struct Definition {
    name: String,
    /// `=`, `:=`, `?=`, `+=` without the `=`.
    operator: char,
    value: Extract,
    conditional: bool,
}

/// A rule's targets, what they need, and recipe lines.
struct Rule {
    name: String,
    /// The targets that are made before, in their order.
    needs: Vec<String>,
    /// Where each line stands.
    lines: Vec<Range<usize>>,
}

pub(super) fn jobs(text: &str) -> Vec<Job> {
    let (definitions, rules) = read(text);
    let mut outer = Outer::default();
    for (name, value) in evaluate(&definitions) {
        outer.set(&name, value);
    }
    let mut budget = FILLED_BYTES;
    let outer = Arc::new(outer);
    let mut names: HashMap<String, usize> = HashMap::new();
    let order = Order::of(&rules);
    let mut leading_lines = LEADING_LINES;
    let mut parts = |rule: &Rule| -> Vec<Part> {
        let script = |line: &Range<usize>| recipe(text.get(line.clone()).unwrap_or_default(), line.start, &outer, &mut budget);
        let scripts: Vec<Extract> = rule.lines.iter().map(script).collect();
        scripts.into_iter().map(|script| Part::Script(Box::new(Step { script, outer: Arc::clone(&outer), fresh: true, ..Step::default() }))).collect()
    };
    let mut jobs = Vec::new();
    for rule in rules.iter().filter(|rule| !rule.lines.is_empty()) {
        let nth = names.entry(rule.name.clone()).or_default();
        *nth += 1;
        let name = if *nth > 1 { format!("{} ({nth})", rule.name) } else { rule.name.clone() };
        let mut leading = Vec::new();
        for before in order.before(&rule.name) {
            if before.lines.len() <= leading_lines {
                leading_lines -= before.lines.len();
                leading.extend(parts(before));
            }
        }
        jobs.push(Job { name: Some(name.into()), automatic: false, leading, parts: parts(rule) });
    }
    jobs
}

/// In which order targets are made.
struct Order<'r> {
    rules: HashMap<&'r str, Vec<&'r Rule>>,
    /// For each target, what other targets that need it need before it.
    earlier: HashMap<&'r str, Vec<&'r str>>,
}

impl<'r> Order<'r> {
    fn of(rules: &'r [Rule]) -> Self {
        let mut order = Self { rules: HashMap::new(), earlier: HashMap::new() };
        for rule in rules {
            order.rules.entry(&rule.name).or_default().push(rule);
            for (at, need) in rule.needs.iter().enumerate().take(NEEDS) {
                let earlier = order.earlier.entry(need).or_default();
                if earlier.len() < NEEDS {
                    earlier.extend(rule.needs.iter().take(at).map(String::as_str));
                }
            }
        }
        order
    }

    /// The rules whose recipes run before that of a target, where the target, or one that needs it, is made.
    fn before(&self, target: &'r str) -> Vec<&'r Rule> {
        let mut found = Vec::new();
        let mut seen: HashSet<&str> = HashSet::from([target]);
        let own = self.rules.get(target).into_iter().flatten().flat_map(|rule| rule.needs.iter().map(String::as_str));
        let earlier = self.earlier.get(target).into_iter().flatten().copied();
        for need in earlier.chain(own).take(NEEDS) {
            self.add(need, &mut seen, &mut found);
        }
        found
    }

    fn add(&self, target: &'r str, seen: &mut HashSet<&'r str>, found: &mut Vec<&'r Rule>) {
        if seen.len() > NEEDS || !seen.insert(target) {
            return;
        }
        for rule in self.rules.get(target).into_iter().flatten() {
            rule.needs.iter().for_each(|need| self.add(need, seen, found));
            found.push(rule);
        }
    }
}

/// One logical line: the physical lines that backslashes join.
struct Lines<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Lines<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let mut length = 0;
        for line in rest.split_inclusive('\n') {
            length += line.len();
            if !line.trim_end_matches(['\n', '\r']).ends_with('\\') {
                break;
            }
        }
        self.at = start + length;
        Some((start, rest.get(..length).unwrap_or_default()))
    }
}

fn read(text: &str) -> (Vec<Definition>, Vec<Rule>) {
    let mut definitions = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    let mut conditions = 0_usize;
    let mut in_define = false;
    for (at, line) in (Lines { text, at: 0 }) {
        let trimmed = line.trim();
        let first = trimmed.split([' ', '\t', '(']).next().unwrap_or_default();
        if in_define {
            in_define = first != "endef";
            continue;
        }
        match first {
            "ifeq" | "ifneq" | "ifdef" | "ifndef" => conditions += 1,
            "endif" => conditions = conditions.saturating_sub(1),
            "else" => {}
            "define" => in_define = true,
            _ if line.starts_with('\t') => {
                if let Some(rule) = rules.last_mut() {
                    rule.lines.push(at..at + line.len());
                }
            }
            _ if trimmed.is_empty() || trimmed.starts_with('#') => {}
            _ => {
                if let Some(definition) = definition(line, at, conditions > 0) {
                    definitions.push(definition);
                } else if let Some((name, inline)) = rule(line) {
                    let lines = inline.map(|offset| at + offset..at + line.len()).into_iter().collect();
                    rules.push(Rule { name, needs: needs(line), lines });
                }
            }
        }
    }
    (definitions, rules)
}

fn definition(line: &str, at: usize, conditional: bool) -> Option<Definition> {
    let equals = line.find('=')?;
    let before = line.get(..equals)?;
    let (names, operator) = match before.char_indices().next_back() {
        Some((i, c @ (':' | '?' | '+' | '!'))) => (before.get(..i)?.trim_end_matches(':'), c),
        _ => (before, '='),
    };
    let mut name = names.trim();
    for modifier in ["export ", "override ", "private "] {
        name = name.strip_prefix(modifier).map_or(name, str::trim);
    }
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !is_name {
        return None;
    }
    let raw = line.get(equals + 1..)?;
    let leading = raw.len() - raw.trim_start().len();
    let mut value = Extract::default();
    let mut offset = at + equals + 1 + leading;
    let content = raw.get(leading..)?;
    let content = content.get(..comment_start(content))?;
    for (i, piece) in content.split_inclusive('\n').enumerate() {
        let body = piece.trim_end_matches(['\n', '\r']);
        let body = body.strip_suffix('\\').unwrap_or(body).trim_end();
        let kept = if i > 0 { body.trim_start() } else { body };
        if i > 0 && !kept.is_empty() {
            value.push(" ", offset);
        }
        value.push(kept, offset + (body.len() - kept.len()));
        offset += piece.len();
    }
    Some(Definition { name: name.to_owned(), operator, value, conditional })
}

fn comment_start(text: &str) -> usize {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'#', bytes).find(|i| i.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b'\\')).unwrap_or(text.len())
}

/// The targets of a rule's line, and where a recipe on the same line begins.
fn rule(line: &str) -> Option<(String, Option<usize>)> {
    let colon = line.find(':')?;
    let name = line.get(..colon)?.trim();
    if name.is_empty() || name.starts_with('.') && name.bytes().all(|b| b == b'.' || b.is_ascii_uppercase() || b == b'_') {
        return None;
    }
    let inline = line.get(colon..)?.find(';').map(|i| colon + i + 1);
    Some((name.to_owned(), inline))
}

/// The targets that a rule's line names behind its colon; conditions on the order (`|`) are needs, too.
fn needs(line: &str) -> Vec<String> {
    let behind = line.split_once(':').map_or("", |(_, behind)| behind.trim_start_matches(':'));
    let behind = behind.split([';', '#']).next().unwrap_or_default();
    behind.split_whitespace().filter(|word| !matches!(*word, "|" | "\\")).take(NEEDS).map(str::to_owned).collect()
}

/// A recipe line as shell text: make's prefixes are gone, its variables replaced as make does before a shell sees the line.
fn recipe(line: &str, at: usize, outer: &Outer, budget: &mut usize) -> Extract {
    let body = line.trim_start_matches(['\t', ' ', '@', '-', '+']);
    let mut script = Extract::default();
    let mut offset = at + line.len() - body.len();
    let mut rest = body;
    while let Some(dollar) = rest.find('$') {
        script.push(rest.get(..dollar).unwrap_or_default(), offset);
        let here = offset + dollar;
        let after = rest.get(dollar + 1..).unwrap_or_default();
        let taken = match reference(after) {
            Reference::Escaped => {
                script.push("$", here);
                1
            }
            Reference::Variable(name, taken) => {
                match outer.variable(name) {
                    Some(value) if *budget > 0 => fill_in(value, &mut script, budget),
                    // As the shell writes it, at the same place: it may come from outside.
                    _ => {
                        script.push("${", here);
                        script.push(name, here + 2);
                        script.push("}", here + taken);
                    }
                }
                taken
            }
            Reference::Expression(taken) => {
                script.push(UNKNOWN, here);
                taken
            }
            Reference::None => {
                script.push("$", here);
                0
            }
        };
        let next = dollar + 1 + taken;
        offset += next;
        rest = rest.get(next..).unwrap_or_default();
    }
    script.push(rest, offset);
    script
}

fn fill_in(value: &Value, script: &mut Extract, budget: &mut usize) {
    for piece in &value.pieces {
        match piece {
            Piece::Text { text, bytes } => {
                *budget = budget.saturating_sub(text.len());
                script.push(text, bytes.start);
            }
            Piece::Unknown { bytes, .. } => script.push(UNKNOWN, bytes.start),
        }
    }
}

/// What follows a `$` in a Makefile, with the number of bytes after the `$`.
enum Reference<'t> {
    Escaped,
    Variable(&'t str, usize),
    Expression(usize),
    None,
}

fn reference(after: &str) -> Reference<'_> {
    match after.as_bytes().first() {
        Some(b'$') => Reference::Escaped,
        Some(open @ (b'(' | b'{')) => {
            let close = if *open == b'(' { b')' } else { b'}' };
            let mut depth = 0_usize;
            for (i, b) in after.bytes().enumerate().take(4096) {
                if b == *open {
                    depth += 1;
                } else if b == close {
                    depth -= 1;
                    if depth == 0 {
                        let name = after.get(1..i).unwrap_or_default();
                        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                        return if plain { Reference::Variable(name, i + 1) } else { Reference::Expression(i + 1) };
                    }
                }
            }
            Reference::None
        }
        Some(b) if b.is_ascii_alphabetic() => Reference::Variable(after.get(..1).unwrap_or_default(), 1),
        Some(b'@' | b'<' | b'^' | b'*' | b'?' | b'%' | b'+') => Reference::Expression(1),
        _ => Reference::None,
    }
}

/// The values of all variables as a recipe sees them: at the end of the file.
fn evaluate(definitions: &[Definition]) -> Vec<(String, Value)> {
    let mut parts: HashMap<&str, (Vec<&Definition>, bool)> = HashMap::new();
    let mut order: Vec<&str> = Vec::new();
    for definition in definitions {
        let entry = parts.entry(definition.name.as_str()).or_insert_with(|| {
            order.push(definition.name.as_str());
            (Vec::new(), false)
        });
        match definition.operator {
            '+' => entry.0.push(definition),
            '?' if !entry.0.is_empty() => {}
            _ => {
                let differs = entry.0.first().is_some_and(|first| first.value.text() != definition.value.text());
                entry.1 |= differs && (definition.conditional || entry.0.iter().any(|d| d.conditional));
                entry.0 = vec![definition];
            }
        }
        entry.1 |= definition.operator == '+' && definition.conditional;
    }
    order.iter().map(|name| ((*name).to_owned(), value_of(name, &parts, 0))).collect()
}

fn value_of(name: &str, parts: &HashMap<&str, (Vec<&Definition>, bool)>, depth: usize) -> Value {
    let Some((definitions, uncertain)) = parts.get(name) else {
        return Value { unset: true, ..Value::unknown(&nothing_sets(&format!("$({name})")), 0..0) };
    };
    let start = definitions.first().map_or(0..0, |d| d.value.source_bytes(&(0..d.value.text().len())));
    if *uncertain {
        return Value::unknown("it is set in several ways", start);
    }
    if depth > DEPTH_LIMIT {
        return Value::unknown("its value refers to too many others", start);
    }
    let mut pieces = Vec::new();
    for (i, definition) in definitions.iter().enumerate() {
        if i > 0 {
            pieces.push(Piece::Text { text: " ".into(), bytes: start.clone() });
        }
        append(&definition.value, parts, depth, &mut pieces);
        if pieces.len() > PIECE_LIMIT {
            return Value::unknown("it is put together from too many parts", start);
        }
    }
    Value { pieces, unset: false }
}

fn append(value: &Extract, parts: &HashMap<&str, (Vec<&Definition>, bool)>, depth: usize, pieces: &mut Vec<Piece>) {
    let text = value.text();
    let mut at = 0;
    let push = |pieces: &mut Vec<Piece>, from: usize, to: usize| {
        if from < to {
            pieces.push(Piece::Text { text: text.get(from..to).unwrap_or_default().into(), bytes: value.source_bytes(&(from..to)) });
        }
    };
    while let Some(offset) = text.get(at..).and_then(|rest| rest.find('$')) {
        if pieces.len() > PIECE_LIMIT {
            return;
        }
        let dollar = at + offset;
        push(pieces, at, dollar);
        at = match reference(text.get(dollar + 1..).unwrap_or_default()) {
            Reference::Escaped => {
                pieces.push(Piece::Text { text: "$".into(), bytes: value.source_bytes(&(dollar..dollar + 2)) });
                dollar + 2
            }
            Reference::Variable(name, taken) => {
                let mut inner = value_of(name, parts, depth + 1);
                if inner.unset {
                    inner = Value::unknown(&nothing_sets(&format!("$({name})")), value.source_bytes(&(dollar..dollar + 1 + taken)));
                }
                pieces.extend(inner.pieces);
                dollar + 1 + taken
            }
            Reference::Expression(taken) => {
                let bytes = value.source_bytes(&(dollar..dollar + 1 + taken));
                pieces.push(Piece::Unknown { reason: "make evaluates it".into(), bytes });
                dollar + 1 + taken
            }
            Reference::None => {
                push(pieces, dollar, dollar + 1);
                dollar + 1
            }
        };
    }
    push(pieces, at, text.len());
}
