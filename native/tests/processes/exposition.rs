//! A strict reader of Prometheus' text format 0.0.4, shared by unit tests and tests of processes.
//!
//! Stricter than Prometheus itself: each family has help and type, in that order and before its samples, and stands
//! together; counters end in `_total`; no series appears twice; a histogram's buckets rise to its count.

use std::collections::{BTreeMap, BTreeSet};

/// A metric with its samples.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Family {
    /// The one sample with these labels, `node` aside.
    pub(crate) fn value(&self, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: BTreeMap<_, _> = labels.iter().copied().collect();
        let mut found = self.samples.iter().filter(|sample| {
            let labels = sample.labels.iter();
            let own: BTreeMap<_, _> = labels
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .filter(|(name, _)| *name != "node")
                .collect();
            own == wanted
        });
        found.next().map(|sample| sample.value)
    }
}

/// Reads everything.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current: Option<String> = None;
    let mut helped: Option<(String, String)> = None;
    let mut series = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {what}: {line}", index + 1));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = rest.split_once(' ') else {
                return wrong("help without words");
            };
            if !is_name(name) || families.contains_key(name) || helped.is_some() {
                return wrong("help of no new metric");
            }
            helped = Some((name.to_owned(), help.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (Some((name, kind)), Some((of, help))) = (rest.split_once(' '), helped.take())
            else {
                return wrong("type without help");
            };
            if of != name || !["counter", "gauge", "histogram"].contains(&kind) {
                return wrong("type of another metric, or an unknown one");
            }
            if (kind == "counter") != name.ends_with("_total") {
                return wrong("counters, and they alone, end in _total");
            }
            let family = Family {
                kind: kind.to_owned(),
                help,
                samples: Vec::new(),
            };
            families.insert(name.to_owned(), family);
            current = Some(name.to_owned());
        } else {
            let sample =
                sample(line).map_err(|what| format!("line {}: {what}: {line}", index + 1))?;
            let Some(name) = &current else {
                return wrong("a sample before any type");
            };
            let Some(family) = families.get_mut(name) else {
                return wrong("a sample of no family");
            };
            let ending = sample.name.strip_prefix(name.as_str());
            let is_of = match family.kind.as_str() {
                "histogram" => matches!(ending, Some("_bucket" | "_sum" | "_count")),
                _ => ending == Some(""),
            };
            if !is_of {
                return wrong("a sample outside its family");
            }
            if family.kind == "counter" && (sample.value < 0.0 || sample.value.is_nan()) {
                return wrong("a counter below zero");
            }
            if !series.insert((sample.name.clone(), sample.labels.clone())) {
                return wrong("a series twice");
            }
            family.samples.push(sample);
        }
    }
    if helped.is_some() {
        return Err("help without type at the end".to_owned());
    }
    for (name, family) in &families {
        if family.samples.is_empty() {
            return Err(format!("{name} has no samples"));
        }
        if family.kind == "histogram" {
            check_histogram(name, family)?;
        }
    }
    Ok(families)
}

fn check_histogram(name: &str, family: &Family) -> Result<(), String> {
    let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        let bound = labels.remove("le");
        if bound.is_some() != sample.name.ends_with("_bucket") {
            return Err(format!("{name}: `le` is of buckets alone"));
        }
        let of = buckets.entry(labels).or_default();
        if let Some(bound) = bound {
            let bound = number(&bound).ok_or_else(|| format!("{name}: le=\"{bound}\""))?;
            of.push((bound, sample.value));
        }
    }
    for (labels, buckets) in buckets {
        let rises = buckets
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let one = |ending: &str| {
            let found = family
                .samples
                .iter()
                .find(|sample| sample.name == format!("{name}{ending}") && sample.labels == labels);
            found.map(|sample| sample.value)
        };
        let last = buckets.last().copied();
        let ends = last.is_some_and(|(bound, count)| {
            bound == f64::INFINITY && Some(count) == one("_count") && one("_sum").is_some()
        });
        if !rises || !ends {
            return Err(format!(
                "{name}{labels:?}: buckets do not rise to the count"
            ));
        }
    }
    Ok(())
}

/// `name{label="value",...} 1.5`
fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let name = &line[..end];
    if !is_name(name) {
        return Err("no name".to_owned());
    }
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("no label")?;
            if !is_name(label) || label.contains(':') {
                return Err(format!("bad label {label}"));
            }
            let (value, after) = quoted(after)?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(format!("label {label} twice"));
            }
            rest = after;
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
            } else {
                rest = rest.strip_prefix('}').ok_or("labels do not end")?;
                break;
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: number(value).ok_or("no number, or more than one")?,
    })
}

/// Up to the closing quote, which may be followed by more.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('"' | '\\'))) => c,
                _ => return Err("an escape that there is not".to_owned()),
            }),
            c => value.push(c),
        }
    }
    Err("a label's value does not end".to_owned())
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') => {
            text.parse().ok()
        }
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    text.starts_with(is_start) && text.chars().all(|c| is_start(c) || c.is_ascii_digit())
}

#[test]
fn the_reader_is_strict() {
    let good = "# HELP a_total Words.\n# TYPE a_total counter\na_total{x=\"1\\\"\"} 2\n\
                # HELP h Words.\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let families = parse(good).unwrap();
    assert_eq!(families["a_total"].value(&[("x", "1\"")]), Some(2.0));
    for (from, to) in [
        ("# HELP a_total Words.\n", ""),
        ("# TYPE a_total counter\n", ""),
        ("a_total counter", "a_total gauge"),
        ("a_total{", "b_total{"),
        ("{x=", "{9="),
        ("\\\"\"}", "\\x\"}"),
        ("\"} 2", "\"}  2"),
        ("\"} 2", "\"} two"),
        ("\"} 2", "\"} 2 3 4"),
        ("\"} 2", "\"} -2"),
        ("h_bucket{le=\"+Inf\"} 2", "h_bucket{le=\"+Inf\"} 3"),
        ("h_bucket{le=\"1\"} 1", "h_bucket{le=\"1\"} 9"),
        ("h_sum 3\n", ""),
        ("h_sum 3\n", "h_sum 3\nh_sum 3\n"),
        ("h_count 2\n", "h_count 2"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
