//! Reads the values of EDN and JSON that histories are written in.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::HistoryError;

/// The largest file that is read, in bytes.
const BYTES_MAX: usize = 256 << 20;

/// How deep values nest.
const DEPTH_MAX: u32 = 16;

/// A value. Keywords and strings are both words: EDN has `:f`, JSON has `"f"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Nil,
    Number(i64),
    Word(String),
    List(Vec<Value>),
    /// In the order of the text, with the line of each key.
    Map(Vec<(Value, Value)>),
}

impl Value {
    pub(super) fn what(&self) -> &'static str {
        match self {
            Value::Nil => "nothing",
            Value::Number(_) => "a number",
            Value::Word(_) => "a word",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        let Value::Map(fields) = self else {
            return None;
        };
        let is_meant = |key: &Value| matches!(key, Value::Word(word) if word == name);
        fields
            .iter()
            .find(|(key, _)| is_meant(key))
            .map(|(_, value)| value)
    }
}

/// Reads the maps of a history one after another: those of a list, or of lines of their own.
pub(super) struct Reader<'a> {
    rest: &'a str,
    line: usize,
    is_json: bool,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Result<Reader<'a>, HistoryError> {
        if text.len() > BYTES_MAX {
            let what = format!("{} bytes; expected at most {BYTES_MAX}", text.len());
            return Err(HistoryError::at(0, what));
        }
        let is_json = !text.contains(":type");
        let mut reader = Reader {
            rest: text,
            line: 1,
            is_json,
            depth: 0,
        };
        reader.skip_space();
        if reader.rest.starts_with('[') {
            reader.take(1);
        }
        Ok(reader)
    }

    /// The next map, with the line that it begins in; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(usize, Value)>, HistoryError> {
        self.skip_space();
        if self.rest.starts_with(']') {
            self.take(1);
            self.skip_space();
            if !self.rest.is_empty() {
                return Err(self.wrong("expected nothing after the list"));
            }
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        match self.value()? {
            map @ Value::Map(_) => Ok(Some((line, map))),
            other => Err(HistoryError::at(
                line,
                format!("{}; expected a map for each event", other.what()),
            )),
        }
    }

    fn wrong(&self, what: &str) -> HistoryError {
        let found: String = self.rest.chars().take(12).collect();
        let found = if found.is_empty() {
            String::from("the end")
        } else {
            format!("{found:?}")
        };
        HistoryError::at(self.line, format!("{what}, found {found}"))
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count();
        self.rest = rest;
        taken
    }

    /// Skips blanks, commas and comments, and in JSON the colon between key and value.
    fn skip_space(&mut self) {
        loop {
            let is_blank = |c: char| c.is_whitespace() || c == ',' || (self.is_json && c == ':');
            let blank = self.rest.len() - self.rest.trim_start_matches(is_blank).len();
            self.take(blank);
            if self.is_json || !self.rest.starts_with(';') {
                return;
            }
            let comment = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(comment);
        }
    }

    fn value(&mut self) -> Result<Value, HistoryError> {
        self.skip_space();
        let first = self.rest.chars().next();
        match first {
            Some('{') => self.nested(|reader| Ok(Value::Map(reader.fields()?))),
            Some('[' | '(') => self.nested(|reader| Ok(Value::List(reader.list()?))),
            Some('"') => self.string(),
            Some(':') => {
                self.take(1);
                let word = self.bare();
                if word.is_empty() {
                    return Err(self.wrong("expected a keyword"));
                }
                Ok(Value::Word(String::from(word)))
            }
            // A record of Jepsen's: its tag says nothing that its fields do not.
            Some('#') if !self.is_json => {
                let tag = self.rest.find(['{', ' ']).unwrap_or(self.rest.len());
                self.take(tag);
                self.value()
            }
            _ => {
                let line = self.line;
                let word = self.bare();
                match word {
                    "" => Err(self.wrong("expected a value")),
                    "nil" | "null" => Ok(Value::Nil),
                    word if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                        word.parse().map(Value::Number).map_err(|_| {
                            let what = "expected a whole number of 64 bits";
                            HistoryError::at(line, format!("{word}: {what}"))
                        })
                    }
                    word => Ok(Value::Word(String::from(word))),
                }
            }
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, HistoryError>,
    ) -> Result<Value, HistoryError> {
        if self.depth == DEPTH_MAX {
            let what = format!("expected at most {DEPTH_MAX} values within each other");
            return Err(self.wrong(&what));
        }
        self.depth += 1;
        self.take(1);
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn list(&mut self) -> Result<Vec<Value>, HistoryError> {
        let mut values = Vec::new();
        loop {
            self.skip_space();
            if self.rest.starts_with([']', ')']) {
                self.take(1);
                return Ok(values);
            }
            values.push(self.value()?);
        }
    }

    fn fields(&mut self) -> Result<Vec<(Value, Value)>, HistoryError> {
        let mut fields = Vec::new();
        loop {
            self.skip_space();
            if self.rest.starts_with('}') {
                self.take(1);
                return Ok(fields);
            }
            let key = self.value()?;
            fields.push((key, self.value()?));
        }
    }

    /// A word without quotes.
    fn bare(&mut self) -> &'a str {
        let is_end = |c: char| c.is_whitespace() || ",:;\"{}[]()".contains(c);
        let length = self.rest.find(is_end).unwrap_or(self.rest.len());
        self.take(length)
    }

    fn string(&mut self) -> Result<Value, HistoryError> {
        self.take(1);
        let mut word = String::new();
        loop {
            let plain = self.rest.find(['"', '\\']).unwrap_or(self.rest.len());
            word.push_str(self.take(plain));
            let mut next = self.rest.chars();
            match (next.next(), next.next()) {
                (Some('"'), _) => {
                    self.take(1);
                    return Ok(Value::Word(word));
                }
                (Some('\\'), Some(escaped @ ('"' | '\\' | '/'))) => {
                    word.push(escaped);
                    self.take(2);
                }
                (Some('\\'), Some('n')) => {
                    word.push('\n');
                    self.take(2);
                }
                (Some('\\'), _) => return Err(self.wrong("expected \\\" \\\\ \\/ or \\n")),
                _ => return Err(self.wrong("expected the end of a string")),
            }
        }
    }
}
