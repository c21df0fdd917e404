//! How what the platform has differs from what fits the tables.

use serde_json::Value;

use super::Provisioning;

/// Where an export has secrets: what is downloaded never holds them.
const SECRETS: &str = "authentication";

/// Compares a file with what fits the tables; returns a line a difference.
///
/// The file is an export, or what was downloaded: a list of trunks, or a page
/// of one (`{"entities": [...]}`). Whatever the platform adds to a body, such
/// as its `id`, is no difference, and credentials are not compared. Fails if
/// the text is nothing of this.
pub fn compare(ours: &Provisioning, text: &str) -> Result<Vec<String>, String> {
    let theirs: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (ours, is_partial) = (ours.value(), ours.is_partial);
    if let Some(list) = theirs.as_array().or_else(|| theirs["entities"].as_array()) {
        return Ok(compare_list("trunk", &ours["trunks"], list, is_partial));
    }
    let parts = [
        ("trunks", "trunk"),
        ("trunkGroups", "trunk group"),
        ("routingPolicies", "routing policy"),
    ];
    if !parts.iter().any(|(part, _)| theirs[part].is_array()) {
        return Err("it is neither an export nor a list of trunks".to_owned());
    }
    let lines = parts.into_iter().flat_map(|(part, kind)| match theirs[part].as_array() {
        Some(list) => compare_list(kind, &ours[part], list, is_partial),
        None => vec![format!("there are no {part}")],
    });
    Ok(lines.collect())
}

fn compare_list(kind: &str, ours: &Value, theirs: &[Value], is_partial: bool) -> Vec<String> {
    let ours = ours.as_array().map_or(&[][..], Vec::as_slice);
    let find = |list: &[Value], name: &Value| {
        list.iter().find(|other| other["name"] == *name).cloned().unwrap_or(Value::Null)
    };
    let mut lines = Vec::new();
    for own in ours {
        let name = own["name"].as_str().unwrap_or_default();
        match find(theirs, &own["name"]) {
            Value::Null => lines.push(format!("{kind} {name} is missing")),
            other => compare_values(&format!("{kind} {name}: "), "", own, &other, &mut lines),
        }
    }
    let others = theirs.iter().filter(|other| find(ours, &other["name"]).is_null());
    for other in others.filter(|_| !is_partial) {
        let name = other["name"].as_str().unwrap_or("without a name");
        lines.push(format!("{kind} {name} is not in the tables"));
    }
    lines
}

/// Compares what we say with what they say of the same.
fn compare_values(head: &str, path: &str, ours: &Value, theirs: &Value, lines: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(fields), Value::Object(_)) => {
            for (key, value) in fields.iter().filter(|(key, _)| *key != SECRETS) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare_values(head, &path, value, &theirs[key], lines);
            }
        }
        (Value::Array(own), Value::Array(other)) if own.len() == other.len() => {
            for (at, (own, other)) in own.iter().zip(other).enumerate() {
                compare_values(head, &format!("{path}[{at}]"), own, other, lines);
            }
        }
        (ours, theirs) if ours == theirs => {}
        (ours, theirs) => {
            lines.push(format!("{head}{path} is {}, not {}", shown(theirs), shown(ours)));
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        value => value.to_string(),
    }
}
