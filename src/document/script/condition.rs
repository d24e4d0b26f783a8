//! Conditions of pipeline steps (`if:`), as far as they tell that two steps never run in one run.

/// A part of a condition that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is looked at, as written: `inputs.action`.
    subject: String,
    /// What it is compared with; `true` where it stands alone.
    value: String,
    /// Whether it must equal that, or must not.
    equals: bool,
}

impl Condition {
    /// A condition that is `subject` itself, or that it does not hold.
    #[must_use]
    pub fn on(subject: &str, holds: bool) -> Self {
        Self { subject: subject.trim().to_owned(), value: "true".to_owned(), equals: holds }
    }

    fn excludes(&self, other: &Self) -> bool {
        let is_same_value = self.value == other.value;
        self.subject == other.subject && if self.equals == other.equals { self.equals && !is_same_value } else { is_same_value }
    }
}

/// Whether of two lists of conditions never all hold.
#[must_use]
pub fn exclude(a: &[Condition], b: &[Condition]) -> bool {
    a.iter().any(|a| b.iter().any(|b| a.excludes(b)))
}

/// The parts of an `if:` that must all hold; nothing where it offers alternatives.
#[must_use]
pub fn parse(text: &str) -> Vec<Condition> {
    let text = text.trim();
    // Of a quoted text with an expression the quotes are a part of what is written.
    let bare = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).filter(|bare| bare.starts_with("${{"));
    let text = bare.unwrap_or(text);
    let text = text.strip_prefix("${{").and_then(|text| text.strip_suffix("}}")).unwrap_or(text);
    if text.contains("||") || text.contains("${{") {
        return Vec::new();
    }
    text.split("&&").filter_map(clause).collect()
}

fn clause(text: &str) -> Option<Condition> {
    let text = text.trim();
    for (operator, equals) in [("==", true), ("!=", false)] {
        if let Some((left, right)) = text.split_once(operator) {
            let is_literal = |text: &str| text.starts_with('\'') || matches!(text, "true" | "false" | "null") || text.starts_with(|c: char| c.is_ascii_digit());
            let (left, right) = (left.trim(), right.trim());
            let (subject, value) = if is_literal(right) { (left, right) } else { (right, left) };
            return is_literal(value).then(|| Condition { subject: subject.to_owned(), value: value.trim_matches('\'').to_owned(), equals });
        }
    }
    let (subject, holds) = text.strip_prefix('!').map_or((text, true), |subject| (subject, false));
    (!subject.is_empty() && !subject.contains(['<', '>', '!', '('])).then(|| Condition::on(subject, holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_never_run_together_are_told_from_those_that_may() {
        for (a, b, expected) in [
            ("inputs.action == 'purge'", "inputs.action == 'up'", true),
            ("${{ inputs.action == 'purge' }}", "always() && 'up' == inputs.action", true),
            ("inputs.action == 'purge'", "inputs.action != 'purge'", true),
            ("inputs.purge", "!inputs.purge", true),
            ("inputs.purge == true", "inputs.purge == false", true),
            ("inputs.action == 'purge'", "inputs.action == 'purge'", false),
            ("inputs.action != 'up'", "inputs.action != 'down'", false),
            ("inputs.action != 'up'", "inputs.action == 'down'", false),
            ("inputs.action == 'purge' || inputs.force", "inputs.action == 'up'", false),
            ("inputs.action == 'purge'", "inputs.other == 'up'", false),
            ("inputs.action == 'purge'", "inputs.action == env.ACTION", false),
            ("startsWith(github.ref, 'refs/tags')", "!startsWith(github.ref, 'refs/tags')", false),
            ("", "", false),
        ] {
            assert_eq!(exclude(&parse(a), &parse(b)), expected, "{a} | {b}");
        }
    }
}
