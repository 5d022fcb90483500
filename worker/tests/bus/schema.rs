//! As much of JSON Schema as our contracts use. A word it does not know fails the test: nothing is left unchecked.

use serde_json::{Map, Value};

pub(crate) struct Contract {
    root: Value,
}

impl Contract {
    pub(crate) fn new(text: &str) -> Self {
        Self { root: serde_json::from_str(text).unwrap() }
    }

    /// What is wrong with the value; fields the contract does not name are wrong too.
    pub(crate) fn problems(&self, value: &Value) -> Vec<String> {
        self.check(&self.root, value, "")
    }

    fn check(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Value::Object(words) = schema else { panic!("{schema} is no schema") };
        words.iter().flat_map(|(word, of)| self.word(word, of, words, value, at)).collect()
    }

    fn word(
        &self,
        word: &str,
        of: &Value,
        words: &Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Vec<String> {
        let wrong =
            |is: bool| if is { vec![format!("{at}: {value} is not {word} {of}")] } else { Vec::new() };
        let all = |of: &Value| of.as_array().unwrap().clone();
        match word {
            "$schema" | "title" | "description" | "$defs" | "format" => Vec::new(),
            "$ref" => {
                let name = of.as_str().unwrap().strip_prefix("#").unwrap();
                self.check(self.root.pointer(name).unwrap(), value, at)
            }
            "type" => {
                let types = if of.is_array() { all(of) } else { vec![of.clone()] };
                wrong(!types.iter().any(|of| is(of.as_str().unwrap(), value)))
            }
            "const" => wrong(value != of),
            "enum" => wrong(!all(of).contains(value)),
            "minimum" => wrong(value.as_f64().is_some_and(|number| number < of.as_f64().unwrap())),
            "maximum" => wrong(value.as_f64().is_some_and(|number| number > of.as_f64().unwrap())),
            "oneOf" => {
                let fit = all(of).iter().filter(|one| self.check(one, value, at).is_empty()).count();
                wrong(fit != 1)
            }
            "anyOf" => wrong(!all(of).iter().any(|one| self.check(one, value, at).is_empty())),
            "required" => wrong(
                value.is_object() && all(of).iter().any(|name| value.get(name.as_str().unwrap()).is_none()),
            ),
            "items" => {
                let items = value.as_array().into_iter().flatten();
                items.flat_map(|item| self.check(of, item, at)).collect()
            }
            "properties" => {
                let (known, closed) = (of.as_object().unwrap(), !words.contains_key("additionalProperties"));
                let fields = value.as_object().into_iter().flatten();
                let field = |(name, value): (&String, &Value)| match known.get(name) {
                    Some(schema) => self.check(schema, value, &format!("{at}/{name}")),
                    None if closed => vec![format!("{at}/{name} is in no contract")],
                    None => Vec::new(),
                };
                fields.flat_map(field).collect()
            }
            "additionalProperties" => {
                let known = words.get("properties").and_then(Value::as_object);
                let rest = value.as_object().into_iter().flatten();
                let rest = rest.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                match of {
                    Value::Bool(free) => wrong(!free && rest.count() > 0),
                    schema => rest
                        .flat_map(|(name, value)| self.check(schema, value, &format!("{at}/{name}")))
                        .collect(),
                }
            }
            other => panic!("the word {other} of a contract is not checked"),
        }
    }
}

fn is(of: &str, value: &Value) -> bool {
    match of {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is none"),
    }
}
