//! A validator for the parts of JSON Schema (drafts 7 and 2020-12) that our schemas and SARIF's use. A keyword that it does not know is an
//! error, so that nothing is passed unseen.

use regex_automata::meta::Regex;
use serde_json::Value;

/// All violations, each with its JSON pointer.
pub(crate) fn violations(schema: &Value, instance: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Validator { root: schema }.check(schema, instance, "", &mut found);
    found
}

struct Validator<'s> {
    root: &'s Value,
}

impl Validator<'_> {
    fn check(&self, schema: &Value, instance: &Value, at: &str, found: &mut Vec<String>) {
        if let Some(allowed) = schema.as_bool() {
            if !allowed {
                found.push(format!("{at}: not allowed"));
            }
            return;
        }
        let keywords = schema.as_object().expect("a schema is an object or a switch");
        if let Some(target) = keywords.get("$ref").and_then(Value::as_str) {
            let pointer = target.strip_prefix('#').expect("a reference into the schema itself");
            return self.check(self.root.pointer(pointer).expect("the reference's target"), instance, at, found);
        }
        for (keyword, argument) in keywords {
            if let Some(problem) = self.keyword(keyword, argument, keywords, instance, at, found) {
                found.push(format!("{at}: {problem}"));
            }
        }
    }

    /// The violation of one keyword; those of children go to `found`.
    fn keyword(
        &self,
        keyword: &str,
        argument: &Value,
        schema: &serde_json::Map<String, Value>,
        instance: &Value,
        at: &str,
        found: &mut Vec<String>,
    ) -> Option<String> {
        let problem = match keyword {
            "$schema" | "$id" | "$defs" | "definitions" | "title" | "description" | "default" => false,
            "type" => !one_or_many(argument).iter().any(|name| has_type(instance, name.as_str().unwrap())),
            "enum" => !argument.as_array().unwrap().contains(instance),
            "const" => argument != instance,
            "anyOf" => !argument.as_array().unwrap().iter().any(|option| self.is_valid(option, instance)),
            "oneOf" => argument.as_array().unwrap().iter().filter(|option| self.is_valid(option, instance)).count() != 1,
            "minimum" => instance.as_f64().is_some_and(|number| number < argument.as_f64().unwrap()),
            "maximum" => instance.as_f64().is_some_and(|number| number > argument.as_f64().unwrap()),
            "minLength" => instance.as_str().is_some_and(|text| (text.chars().count() as u64) < argument.as_u64().unwrap()),
            "pattern" => instance.as_str().is_some_and(|text| !Regex::new(argument.as_str().unwrap()).unwrap().is_match(text)),
            "format" => match argument.as_str().unwrap() {
                "uri" => instance.as_str().is_some_and(|text| !is_uri_reference(text) || !text.contains(':')),
                "uri-reference" => instance.as_str().is_some_and(|text| !is_uri_reference(text)),
                "date-time" => panic!("{at}: this validator knows no dates"),
                other => panic!("unknown format {other}"),
            },
            "minProperties" => instance.as_object().is_some_and(|fields| (fields.len() as u64) < argument.as_u64().unwrap()),
            "maxProperties" => instance.as_object().is_some_and(|fields| (fields.len() as u64) > argument.as_u64().unwrap()),
            "minItems" => instance.as_array().is_some_and(|items| (items.len() as u64) < argument.as_u64().unwrap()),
            "uniqueItems" => {
                argument.as_bool().unwrap() && instance.as_array().is_some_and(|items| items.iter().enumerate().any(|(i, item)| items[..i].contains(item)))
            }
            "items" => {
                for (index, item) in instance.as_array().into_iter().flatten().enumerate() {
                    self.check(argument, item, &format!("{at}/{index}"), found);
                }
                false
            }
            "required" => {
                let missing = |name: &&Value| instance.as_object().is_some_and(|object| !object.contains_key(name.as_str().unwrap()));
                return argument.as_array().unwrap().iter().find(missing).map(|name| format!("{name} is missing"));
            }
            "properties" => {
                for (name, value) in instance.as_object().into_iter().flatten() {
                    if let Some(inner) = argument.get(name) {
                        self.check(inner, value, &format!("{at}/{name}"), found);
                    }
                }
                false
            }
            "additionalProperties" => {
                for (name, value) in instance.as_object().into_iter().flatten() {
                    if schema.get("properties").is_none_or(|known| known.get(name).is_none()) {
                        self.check(argument, value, &format!("{at}/{name}"), found);
                    }
                }
                false
            }
            other => panic!("unknown keyword {other}"),
        };
        problem.then(|| format!("{keyword} {argument} does not hold for {instance}"))
    }

    fn is_valid(&self, schema: &Value, instance: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, instance, "", &mut found);
        found.is_empty()
    }
}

fn one_or_many(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn has_type(instance: &Value, name: &str) -> bool {
    match name {
        "null" => instance.is_null(),
        "boolean" => instance.is_boolean(),
        "integer" => instance.is_i64() || instance.is_u64(),
        "number" => instance.is_number(),
        "string" => instance.is_string(),
        "array" => instance.is_array(),
        "object" => instance.is_object(),
        other => panic!("unknown type {other}"),
    }
}

fn is_uri_reference(text: &str) -> bool {
    let escapes_hold = text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    escapes_hold && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b))
}

mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_validator_finds_what_is_wrong() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["id"],
            "properties": {
                "id": {"$ref": "#/$defs/id"}, "uri": {"type": "string", "format": "uri"}, "n": {"type": ["integer", "null"], "minimum": 1},
                "list": {"type": "array", "minItems": 1, "uniqueItems": true, "items": {"enum": ["a", "b"]}},
            },
            "$defs": {"id": {"type": "string", "pattern": "^MV[0-9]{3}$"}},
        });
        let wrong = [
            json!([]),
            json!({}),
            json!({"id": "mv1"}),
            json!({"id": "MV205", "more": 1}),
            json!({"id": "MV205", "n": 0}),
            json!({"id": "MV205", "n": "1"}),
            json!({"id": "MV205", "list": []}),
            json!({"id": "MV205", "list": ["a", "a"]}),
            json!({"id": "MV205", "list": ["c"]}),
            json!({"id": "MV205", "uri": "a b:c"}),
        ];
        assert_eq!(wrong.iter().map(|instance| violations(&schema, instance).len()).collect::<Vec<_>>(), vec![1; wrong.len()]);
        assert_eq!(violations(&schema, &json!({"id": "MV205", "n": null, "uri": "https://a/%20", "list": ["a", "b"]})), Vec::<String>::new());
    }
}
