#![forbid(unsafe_code)]
//! The JSON Schema of forerun.toml, made from the table of its keys. An editor reads it: `#:schema URL` in the first line of
//! the file names it (<https://taplo.tamasfe.dev/configuration/directives.html>).

use serde_json::{Map, Value, json};

use super::key_table::{CHECK, Is, Key, STEP, TOP};

/// The schema (draft 7, which most editors read).
pub fn schema() -> Value {
    let mut schema = table(TOP);
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "forerun.toml".into();
    schema["description"] = "What a server needs, and how forerun starts it".into();
    let mut check = table(CHECK);
    check["required"] = json!(["check"]);
    let mut step = table(STEP);
    step["required"] = json!(["run"]);
    let text = || json!({ "type": "string" });
    schema["definitions"] = json!({ "check": { "anyOf": [text(), check] }, "step": { "anyOf": [text(), step] } });
    schema
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<_, _> = keys.iter().map(|(key, is, about)| ((*key).to_owned(), property(is, about))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(is: &Is, about: &str) -> Value {
    let text = json!({ "type": "string" });
    let mut property = match is {
        Is::Text(..) => text,
        Is::TextOrNumber(..) => json!({ "type": ["string", "integer"] }),
        Is::Number(_, most) => json!({ "type": ["integer", "string"], "minimum": 0, "maximum": most }),
        Is::Flag => json!({ "anyOf": [{ "type": "boolean" }, reference()] }),
        Is::Choice(words) => json!({ "anyOf": [{ "enum": words }, reference()] }),
        Is::Paths => json!({ "anyOf": [text, { "type": "array", "items": text }] }),
        Is::Words => json!({ "anyOf": [text, { "type": "array", "items": text, "minItems": 1 }] }),
        Is::Texts(_) => json!({ "type": "object", "additionalProperties": text }),
        Is::Check => json!({ "allOf": [one("check")] }),
        Is::Checks => one_or_many("check"),
        Is::Steps => one_or_many("step"),
        Is::Table(_, keys) => table(keys),
    };
    property["description"] = about.into();
    if let Is::Text(_, example) | Is::TextOrNumber(_, example) | Is::Number(example, _) = is {
        // The examples are written as in TOML, which here is the same as JSON.
        property["examples"] = json!([serde_json::from_str::<Value>(example).unwrap_or_default()]);
    }
    property
}

/// A text that becomes the value.
fn reference() -> Value {
    json!({ "type": "string", "pattern": "\\$\\{" })
}

fn one(definition: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{definition}") })
}

fn one_or_many(definition: &str) -> Value {
    json!({ "anyOf": [one(definition), { "type": "array", "items": one(definition) }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_one_of_json() {
        for (_, keys) in super::super::key_table::TABLES {
            for (key, is, about) in keys {
                assert!(!about.is_empty() && !about.ends_with('.'), "{key}");
                assert!(property(is, about).get("examples").is_none_or(|all| !all[0].is_null()), "{key}");
            }
        }
    }
}
