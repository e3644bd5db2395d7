//! Entries that came as JSON, or as part of a TOML file, as TOML text of their own: the core reads TOML, and says what
//! is wrong with it.

use serde_json::{Map, Value};

/// The keys of one entry.
pub(crate) type Entry = Map<String, Value>;

/// One line per key; what is `null` is left out.
pub(crate) fn lines(entry: &Entry) -> String {
    let told = entry.iter().filter(|(_, value)| !value.is_null());
    told.map(|(key, value)| format!("{} = {}\n", Value::from(key.as_str()), inline(value)))
        .collect()
}

/// A value as TOML has it on one line. Numbers, strings and their lists are the same in JSON.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(entry) => {
            let told = entry.iter().filter(|(_, value)| !value.is_null());
            let keys: Vec<String> = told
                .map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), inline(value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(inline).collect();
            format!("[{}]", values.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::scenario;

    #[test]
    fn what_came_as_json_reads_back_as_toml() {
        let text = r#"{ "event": "a\"b\u00e4\n", "amount": 25, "none": null,
                        "supersedes": { "event": "x", "deep": { "list": [[1], [2, 3]] } } }"#;
        let entry: Entry = serde_json::from_str(text).unwrap();
        let mut expected = entry.clone();
        expected.remove("none");
        let back: Entry = scenario::from_toml("entry", &lines(&entry)).unwrap();
        assert_eq!(back, expected);
    }
}
