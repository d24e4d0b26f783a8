//! Milvus's own configuration as the user gives it: the YAML text of `extraConfigFiles."user.yaml"`, read with places as far as they can be kept.

use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::model::entries::Entries;
use crate::model::place::{Origin, Place, Position};
use crate::model::value::{Entry, Lookup, Node, Table, Value};
use crate::model::version::ChartVersion;

const USER_YAML: &str = "extraConfigFiles.user\\.yaml";
/// From here on `user.yaml` is merged into Milvus's configuration.
const USER_YAML_SINCE: ChartVersion = ChartVersion::new(3, 3, 2);
/// From here on a ConfigMap of the user's may replace the whole configuration.
const CUSTOM_SINCE: ChartVersion = ChartVersion::new(4, 1, 35);
/// Deeper than any configuration of Milvus.
const MAX_DEPTH: usize = 32;
/// More than any configuration of Milvus has.
const MAX_NODES: usize = 50_000;

/// The configuration that values give: a table, empty where there is none; unknown where it cannot be seen. `chart` is the chart whose templates are in force, if known.
pub(super) fn resolve(values: &Node, chart: Option<&ChartVersion>) -> Node {
    if chart.is_none_or(|chart| *chart >= CUSTOM_SINCE)
        && let Some(custom) = custom(values)
    {
        return custom;
    }
    if chart.is_some_and(|chart| *chart < USER_YAML_SINCE) {
        return Node::empty_table(Origin::ChartDefault);
    }
    match values.lookup(USER_YAML) {
        Lookup::Absent => Node::empty_table(Origin::ChartDefault),
        Lookup::Unknown(reason) => Node { value: Value::Unknown(Arc::clone(reason)), origin: values.origin.clone() },
        Lookup::Found(entry) => match &entry.node.value {
            Value::Null => Node::empty_table(entry.node.origin.clone()),
            Value::String(text) => read(text, &entry.node.origin),
            _ => unknown("user.yaml is not a text", &entry.node.origin),
        },
    }
}

fn unknown(reason: &str, origin: &Origin) -> Node {
    Node { value: Value::Unknown(reason.into()), origin: origin.clone() }
}

/// A ConfigMap of the user's hides the configuration.
fn custom(values: &Node) -> Option<Node> {
    match values.lookup("customConfigMap") {
        Lookup::Absent => None,
        Lookup::Unknown(reason) => Some(Node { value: Value::Unknown(Arc::clone(reason)), origin: values.origin.clone() }),
        Lookup::Found(entry) => match entry.node.value.truthy() {
            Some(false) => None,
            _ => Some(unknown("the configuration lies in a ConfigMap of the user's own (customConfigMap)", &entry.node.origin)),
        },
    }
}

/// Reads a configuration text. What is not a table of YAML is unknown.
fn read(text: &str, origin: &Origin) -> Node {
    if text.lines().all(|line| line.starts_with('#') || line.bytes().all(|byte| byte == b' ')) {
        return Node::empty_table(origin.clone());
    }
    let places = Places::new(text, origin);
    match build(text, &places) {
        Ok(Some(Value::Table(table))) => Node { value: Value::Table(table), origin: origin.clone() },
        Ok(None | Some(Value::Null)) => Node::empty_table(origin.clone()),
        Ok(Some(_)) => unknown("user.yaml is not a table", origin),
        // What the parser says may repeat what stands there.
        Err(_) if origin.secret().is_some() => unknown("user.yaml cannot be read", origin),
        Err(reason) => unknown(&format!("user.yaml cannot be read: {reason}"), origin),
    }
}

/// Where the lines of a text stand in the file that it is written in.
struct Places<'a> {
    origin: &'a Origin,
    /// The file, the line of the text's first line, and the indent, of a literal block.
    block: Option<(&'a Arc<str>, u32, u32)>,
}

impl<'a> Places<'a> {
    fn new(text: &str, origin: &'a Origin) -> Self {
        let block = origin.place().and_then(|place| {
            // A block's place begins at its first line that is not blank and ends on a later line; a quoted text on several lines or a folded one has other lines than its place.
            let blank = u32::try_from(text.chars().take_while(|c| *c == '\n').count()).ok()?;
            let lines = u32::try_from(text.trim_start_matches('\n').lines().count()).ok()?;
            let height = place.end.line.saturating_sub(place.start.line);
            (lines > 0 && height >= lines && (lines > 1 || height == 1))
                .then(|| (&place.file, place.start.line.saturating_sub(blank), place.start.column.saturating_sub(1)))
        });
        Self { origin, block }
    }

    fn of(&self, span: &Span) -> Origin {
        let Some((file, first_line, indent)) = self.block else { return self.origin.clone() };
        let position = |marker: &granit_parser::Marker| Position {
            line: first_line.saturating_add(u32::try_from(marker.line()).unwrap_or(u32::MAX)).saturating_sub(1),
            column: indent.saturating_add(u32::try_from(marker.col()).unwrap_or(u32::MAX)).saturating_add(1),
        };
        self.origin.part_at(Place { file: Arc::clone(file), start: position(&span.start), end: position(&span.end) })
    }
}

/// A collection that is not complete yet.
enum Open {
    List(Vec<Node>, Origin),
    Table { entries: Entries, key: Option<(Arc<str>, Origin)>, origin: Origin },
}

/// Reads the first document. Anchors are not followed: what an alias stands for is unknown.
fn build(text: &str, places: &Places<'_>) -> Result<Option<Value>, String> {
    let mut open: Vec<Open> = Vec::new();
    for (nodes, next) in Parser::new_from_str_with_options(text, granit_parser::options! { emit_comments: false }).enumerate() {
        let (event, span) = next.map_err(|error| error.info().to_owned())?;
        if nodes > MAX_NODES || open.len() > MAX_DEPTH {
            return Err("it is too large or too deep".into());
        }
        let origin = places.of(&span);
        let done = match event {
            Event::Scalar(text, style, _, tag) => Node { value: scalar(&text, style == ScalarStyle::Plain && tag.is_none()), origin },
            Event::Alias(_) => unknown("an alias", &origin),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new(), origin));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Table { entries: Entries::new(), key: None, origin });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items, origin)) => Node { value: Value::List(Arc::new(items)), origin },
                Some(Open::Table { entries, origin, .. }) => Node { value: Value::Table(Arc::new(Table { entries, rest_unknown: None })), origin },
                None => return Err("its structure is broken".into()),
            },
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(Some(done.value)),
            Some(Open::List(items, _)) => items.push(done),
            Some(Open::Table { entries, key, .. }) => match key.take() {
                None => {
                    let name = super::scalar_text(&done.value).unwrap_or_else(|| "".into());
                    *key = Some((name, done.origin));
                }
                Some((name, key_origin)) => {
                    entries.insert(name, Entry { key: key_origin, node: done });
                }
            },
        }
    }
    Ok(None)
}

/// A scalar as YAML types it; only plain ones are anything but text.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::String(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(int), _) => Value::Int(int),
            (Err(_), Ok(float)) if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => Value::Float(float),
            _ => Value::String(text.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    fn block(start: Position, end: Position) -> Origin {
        Origin::At(Place { file: "values.yaml".into(), start, end })
    }

    #[test]
    fn a_literal_block_keeps_the_places_of_its_settings() {
        let config = read("# mine\nmq:\n  type: kafka\ndataCoord:\n  n: 10\n", &block(at(3, 5), at(8, 1)));
        let Lookup::Found(entry) = config.lookup("mq.type") else { panic!("{config:?}") };
        let place = entry.node.origin.place().unwrap();
        assert_eq!((entry.node.value.as_str(), place.start, place.end), (Some("kafka"), at(5, 13), at(5, 18)));
        assert_eq!(entry.key.place().unwrap().start, at(5, 7));
        assert_eq!(config.lookup("dataCoord.n").found().unwrap().node.value, Value::Int(10));
    }

    #[test]
    fn a_quoted_text_points_at_itself() {
        let origin = block(at(2, 6), at(2, 30));
        let config = read("mq:\n  type: pulsar\n", &origin);
        assert_eq!(config.lookup("mq.type").found().unwrap().node.origin, origin);
    }

    #[test]
    fn comments_are_an_empty_configuration_and_broken_text_an_unknown_one() {
        assert_eq!(read("# nothing\n", &Origin::ChartDefault), Node::empty_table(Origin::ChartDefault));
        for bad in ["[1]", "a: [", "just words", &format!("a: {}", "[".repeat(5000))] {
            assert!(matches!(read(bad, &Origin::ChartDefault).value, Value::Unknown(_)), "{bad}");
        }
        assert!(matches!(read("a: &x 1\nb: *x\n", &Origin::ChartDefault).lookup("b"), Lookup::Unknown(_)));
    }
}
