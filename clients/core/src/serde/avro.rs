//! JSON documents as Avro's binary encoding and back
//! ([specification](https://avro.apache.org/docs/1.12.0/specification/#binary-encoding)). Bytes are text of the characters 0 to 255, as in Avro's JSON.
//! A value of a union is written as the first branch that takes it.

use std::collections::HashMap;

use apache_avro::{
    Schema,
    schema::{DecimalSchema, InnerDecimalSchema, UuidSchema},
};
use serde_json::{Map, Number, Value, json};

/// Values in values; a schema may contain itself.
const MAX_DEPTH: usize = 64;
/// Parts of one value, beside its bytes: an empty one costs nothing to send, and time all the same.
const STEPS: usize = 1_000_000;

/// A schema, and all that names in it refer to.
#[derive(Debug)]
pub(super) struct Avro {
    schema: Schema,
    named: HashMap<String, Schema>,
}

type Coded<T> = Result<T, String>;

impl Avro {
    pub fn compile(text: &str, references: &[String]) -> Coded<Self> {
        let parsed = if references.is_empty() {
            Schema::parse_str(text).map(|schema| (schema, Vec::new()))
        } else {
            Schema::parse_str_with_list(text, references)
        };
        let (schema, others) = parsed.map_err(|error| error.to_string())?;
        let mut named = HashMap::new();
        others.iter().chain([&schema]).for_each(|schema| collect(schema, None, &mut named));
        Ok(Self { schema, named })
    }

    pub fn encode(&self, document: &Value) -> Coded<Vec<u8>> {
        let mut writer =
            Writer { out: Vec::new(), named: &self.named, path: vec!["$".to_owned()], steps: STEPS };
        writer.value(&self.schema, None, document)?;
        Ok(writer.out)
    }

    pub fn decode(&self, bytes: &[u8]) -> Coded<Value> {
        let steps = STEPS.saturating_add(bytes.len());
        let mut reader = Reader { bytes, named: &self.named, depth: 0, steps };
        let value = reader.value(&self.schema, None)?;
        match reader.bytes.len() {
            0 => Ok(value),
            left => Err(format!("{left} bytes follow the value")),
        }
    }
}

fn collect(schema: &Schema, space: Option<&str>, named: &mut HashMap<String, Schema>) {
    if let Some(name) = schema.name()
        && !matches!(schema, Schema::Ref { .. })
    {
        named.insert(name.fullname(space), schema.clone());
    }
    match schema {
        Schema::Array(array) => collect(&array.items, space, named),
        Schema::Map(map) => collect(&map.types, space, named),
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect(branch, space, named)),
        Schema::Record(record) => {
            let space = record.name.namespace().or(space);
            record.fields.iter().for_each(|field| collect(&field.schema, space, named));
        }
        _ => {}
    }
}

/// How a schema without parts is encoded.
enum Scalar {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
}

fn scalar(schema: &Schema) -> Option<Scalar> {
    Some(match schema {
        Schema::Null => Scalar::Null,
        Schema::Boolean => Scalar::Boolean,
        Schema::Int | Schema::Date | Schema::TimeMillis => Scalar::Int,
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Scalar::Long,
        Schema::Float => Scalar::Float,
        Schema::Double => Scalar::Double,
        Schema::Bytes
        | Schema::BigDecimal
        | Schema::Uuid(UuidSchema::Bytes)
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => Scalar::Bytes,
        Schema::String | Schema::Uuid(UuidSchema::String) => Scalar::Text,
        Schema::Fixed(fixed)
        | Schema::Duration(fixed)
        | Schema::Uuid(UuidSchema::Fixed(fixed))
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
            Scalar::Fixed(fixed.size)
        }
        _ => return None,
    })
}

struct Writer<'a> {
    out: Vec<u8>,
    named: &'a HashMap<String, Schema>,
    path: Vec<String>,
    steps: usize,
}

impl<'a> Writer<'a> {
    fn wrong<T>(&self, why: impl std::fmt::Display) -> Coded<T> {
        Err(format!("{}: {why}", self.path.concat()))
    }

    fn long(&mut self, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.out.push((rest as u8 & 0x7f) | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.long(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        self.out.extend_from_slice(bytes);
    }

    fn inside(
        &mut self,
        part: String,
        schema: &'a Schema,
        space: Option<&'a str>,
        value: &Value,
    ) -> Coded<()> {
        self.path.push(part);
        self.value(schema, space, value)?;
        self.path.pop();
        Ok(())
    }

    fn value(&mut self, schema: &'a Schema, space: Option<&'a str>, value: &Value) -> Coded<()> {
        if self.path.len() > MAX_DEPTH {
            return self.wrong("it is nested too deeply");
        }
        let Some(left) = self.steps.checked_sub(1) else { return self.wrong("it has too many parts") };
        self.steps = left;
        match (schema, value) {
            (Schema::Ref { name }, _) => match self.named.get(&name.fullname(space)) {
                Some(found) => self.inside(String::new(), found, space, value),
                None => self.wrong(format_args!("the schema does not say what {name:?} is")),
            },
            (Schema::Union(union), _) => {
                let (start, depth) = (self.out.len(), self.path.len());
                let mut why = String::new();
                for (branch, schema) in (0..).zip(union.variants()) {
                    self.long(branch);
                    match self.inside(String::new(), schema, space, value) {
                        Ok(()) => return Ok(()),
                        Err(error) => why = error,
                    }
                    self.out.truncate(start);
                    self.path.truncate(depth);
                }
                if union.variants().len() == 2 && !value.is_null() {
                    Err(why)
                } else {
                    self.wrong("no branch of the union takes it")
                }
            }
            (Schema::Record(record), Value::Object(fields)) => {
                let known = |name: &&String| record.fields.iter().any(|field| field.name == **name);
                if let Some(other) = fields.keys().find(|name| !known(name)) {
                    return self.wrong(format_args!("the schema has no field {other:?}"));
                }
                let space = record.name.namespace().or(space);
                for field in &record.fields {
                    let Some(value) = fields.get(&field.name).or(field.default.as_ref()) else {
                        return self.wrong(format_args!("the field {:?} is missing", field.name));
                    };
                    self.inside(format!(".{}", field.name), &field.schema, space, value)?;
                }
                Ok(())
            }
            (Schema::Array(array), Value::Array(items)) => {
                if !items.is_empty() {
                    self.long(i64::try_from(items.len()).unwrap_or(i64::MAX));
                }
                for (index, item) in items.iter().enumerate() {
                    self.inside(format!("[{index}]"), &array.items, space, item)?;
                }
                self.long(0);
                Ok(())
            }
            (Schema::Map(map), Value::Object(entries)) => {
                if !entries.is_empty() {
                    self.long(i64::try_from(entries.len()).unwrap_or(i64::MAX));
                }
                for (key, value) in entries {
                    self.bytes(key.as_bytes());
                    self.inside(format!("[{key:?}]"), &map.types, space, value)?;
                }
                self.long(0);
                Ok(())
            }
            (Schema::Enum(symbols), Value::String(symbol)) => {
                match (0..).zip(&symbols.symbols).find(|(_, known)| *known == symbol) {
                    Some((number, _)) => self.long(number),
                    None => return self.wrong(format_args!("the enum has no symbol {symbol:?}")),
                }
                Ok(())
            }
            _ => self.scalar(schema, value),
        }
    }

    fn scalar(&mut self, schema: &Schema, value: &Value) -> Coded<()> {
        let wanted = apache_avro::schema::SchemaKind::from(schema);
        let unfit = format!("the schema wants {wanted:?}, not {value:.60}");
        let Some(kind) = scalar(schema) else { return self.wrong(unfit) };
        match (kind, value) {
            (Scalar::Null, Value::Null) => {}
            (Scalar::Boolean, Value::Bool(it)) => self.out.push(u8::from(*it)),
            (Scalar::Int, Value::Number(number)) => {
                match number.as_i64().and_then(|it| i32::try_from(it).ok()) {
                    Some(int) => self.long(int.into()),
                    None => return self.wrong(unfit),
                }
            }
            (Scalar::Long, Value::Number(number)) => match number.as_i64() {
                Some(long) => self.long(long),
                None => return self.wrong(unfit),
            },
            (Scalar::Float, Value::Number(number)) => {
                let float = number.as_f64().unwrap_or(f64::NAN) as f32;
                self.out.extend_from_slice(&float.to_le_bytes());
            }
            (Scalar::Double, Value::Number(number)) => {
                self.out.extend_from_slice(&number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
            }
            (Scalar::Text, Value::String(text)) => self.bytes(text.as_bytes()),
            (Scalar::Bytes, Value::String(text)) => match latin(text) {
                Some(bytes) => self.bytes(&bytes),
                None => return self.wrong("bytes are text of the characters 0 to 255"),
            },
            (Scalar::Fixed(size), Value::String(text)) => {
                match latin(text).filter(|bytes| bytes.len() == size) {
                    Some(bytes) => self.out.extend_from_slice(&bytes),
                    None => {
                        return self.wrong(format_args!(
                            "it wants {size} bytes, as text of the characters 0 to 255"
                        ));
                    }
                }
            }
            _ => return self.wrong(unfit),
        }
        Ok(())
    }
}

fn latin(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

struct Reader<'a> {
    bytes: &'a [u8],
    named: &'a HashMap<String, Schema>,
    depth: usize,
    steps: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Coded<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("the value ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Coded<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or("the value ends too early")?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn long(&mut self) -> Coded<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
            }
        }
        Err("a number has more than ten bytes".to_owned())
    }

    fn sized(&mut self) -> Coded<&'a [u8]> {
        let len = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(len)
    }

    fn text(&mut self) -> Coded<String> {
        let text = std::str::from_utf8(self.sized()?).map_err(|_| "a string is not UTF-8")?;
        Ok(text.to_owned())
    }

    fn value(&mut self, schema: &'a Schema, space: Option<&'a str>) -> Coded<Value> {
        self.steps = self.steps.checked_sub(1).ok_or("it has too many parts")?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let value = match schema {
            Schema::Ref { name } => {
                let found =
                    self.named.get(&name.fullname(space)).ok_or("the schema names one that is not there")?;
                self.value(found, space)?
            }
            Schema::Union(union) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|at| union.variants().get(at));
                self.value(branch.ok_or("the union has no such branch")?, space)?
            }
            Schema::Record(record) => {
                let space = record.name.namespace().or(space);
                let mut fields = Map::new();
                for field in &record.fields {
                    fields.insert(field.name.clone(), self.value(&field.schema, space)?);
                }
                Value::Object(fields)
            }
            Schema::Array(array) => {
                let mut items = Vec::new();
                self.blocks(|reader| {
                    items.push(reader.value(&array.items, space)?);
                    Ok(())
                })?;
                Value::Array(items)
            }
            Schema::Map(map) => {
                let mut entries = Map::new();
                self.blocks(|reader| {
                    let key = reader.text()?;
                    entries.insert(key, reader.value(&map.types, space)?);
                    Ok(())
                })?;
                Value::Object(entries)
            }
            Schema::Enum(symbols) => {
                let symbol = usize::try_from(self.long()?).ok().and_then(|at| symbols.symbols.get(at));
                json!(symbol.ok_or("the enum has no such symbol")?)
            }
            other => self.scalar(other)?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn scalar(&mut self, schema: &Schema) -> Coded<Value> {
        let text = |bytes: &[u8]| Value::String(bytes.iter().copied().map(char::from).collect());
        let number = |double: f64| Number::from_f64(double).map_or(Value::Null, Value::Number);
        Ok(match scalar(schema).ok_or("the schema has a type that is not known")? {
            Scalar::Null => Value::Null,
            Scalar::Boolean => json!(self.take(1)?[0] != 0),
            Scalar::Int | Scalar::Long => json!(self.long()?),
            Scalar::Float => number(f32::from_le_bytes(self.array()?).into()),
            Scalar::Double => number(f64::from_le_bytes(self.array()?)),
            Scalar::Text => Value::String(self.text()?),
            Scalar::Bytes => text(self.sized()?),
            Scalar::Fixed(size) => text(self.take(size)?),
        })
    }

    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Coded<()>) -> Coded<()> {
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
                count = count.checked_neg().ok_or("a count has no opposite")?;
            }
            for _ in 0..count {
                item(self)?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
