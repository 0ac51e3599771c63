//! Avro's binary encoding ([specification](https://avro.apache.org/docs/1.12.0/specification/#binary-encoding)), read without keeping
//! anything of it.

use std::collections::HashMap;
use std::fmt::Write as _;

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, RecordSchema, UuidSchema};

use crate::MAX_DEPTH;

/// Values that take no bytes cost time all the same.
const STEPS: usize = 1_000_000;

struct Walk<'a> {
    bytes: &'a [u8],
    named: &'a HashMap<String, Schema>,
    path: String,
    depth: usize,
    steps: usize,
}

type Step = Result<(), String>;

/// Why the bytes are no value of the schema, if they are none.
pub(super) fn check(schema: &Schema, named: &HashMap<String, Schema>, bytes: &[u8]) -> Option<String> {
    let steps = STEPS.saturating_add(bytes.len());
    let mut walk = Walk { bytes, named, path: String::new(), depth: 0, steps };
    let end = walk.value(schema, None).err();
    let left = walk.bytes.len();
    end.or_else(|| (left > 0).then(|| format!("{left} bytes follow the value")))
}

impl<'a> Walk<'a> {
    fn wrong(&self, why: &str) -> String {
        let at = if self.path.is_empty() { "the value" } else { &self.path };
        format!("{at}: {why}")
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.bytes.split_at_checked(count).ok_or_else(|| self.wrong("the value ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
            }
        }
        Err(self.wrong("a number has more than ten bytes"))
    }

    fn int(&mut self) -> Step {
        let number = self.long()?;
        i32::try_from(number).map(drop).map_err(|_| self.wrong("the number does not fit an int"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let len = self.long()?;
        let len = usize::try_from(len).map_err(|_| self.wrong("a length is negative"))?;
        self.take(len)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong("a string is not UTF-8"))
    }

    fn value(&mut self, schema: &Schema, space: Option<&str>) -> Step {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| self.wrong("it has too many parts"))?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("it is nested too deeply"));
        }
        match schema {
            Schema::Array(array) => {
                self.blocks(|walk, number| walk.inside(&format!("[{number}]"), &array.items, space))
            }
            Schema::Map(map) => self.blocks(|walk, _| {
                let key = walk.text()?;
                walk.inside(&format!("[{key:?}]"), &map.types, space)
            }),
            Schema::Union(union) => {
                let branch = self.long()?;
                let found = usize::try_from(branch).ok().and_then(|branch| union.variants().get(branch));
                let found = found.ok_or_else(|| self.wrong(&format!("the union has no branch {branch}")))?;
                self.value(found, space)
            }
            Schema::Record(record) => self.record(record, space),
            Schema::Ref { name } => {
                let name = name.fullname(space);
                let found =
                    self.named.get(&name).ok_or_else(|| self.wrong(&format!("{name} is not known")))?;
                self.value(found, space)
            }
            scalar => self.scalar(scalar),
        }?;
        self.depth -= 1;
        Ok(())
    }

    fn scalar(&mut self, schema: &Schema) -> Step {
        match schema {
            Schema::Boolean => match self.take(1)?[0] {
                0 | 1 => Ok(()),
                other => Err(self.wrong(&format!("{other} is no boolean"))),
            },
            Schema::Int | Schema::Date | Schema::TimeMillis => self.int(),
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => self.long().map(drop),
            Schema::Float => self.take(4).map(drop),
            Schema::Double => self.take(8).map(drop),
            Schema::Bytes
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::Bytes)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => {
                self.bytes().map(drop)
            }
            Schema::String | Schema::Uuid(UuidSchema::String) => self.text().map(drop),
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
                self.take(fixed.size).map(drop)
            }
            Schema::Enum(symbols) => {
                let symbol = self.long()?;
                let known = usize::try_from(symbol).is_ok_and(|symbol| symbol < symbols.symbols.len());
                if known { Ok(()) } else { Err(self.wrong(&format!("the enum has no symbol {symbol}"))) }
            }
            // The others have other values inside, or nothing.
            _ => Ok(()),
        }
    }

    fn record(&mut self, record: &RecordSchema, space: Option<&str>) -> Step {
        let space = record.name.namespace().or(space);
        for field in &record.fields {
            let dot = if self.path.is_empty() { "" } else { "." };
            self.inside(&format!("{dot}{}", field.name), &field.schema, space)?;
        }
        Ok(())
    }

    fn inside(&mut self, name: &str, schema: &Schema, space: Option<&str>) -> Step {
        let outer = self.path.len();
        // Names of map keys come from the value.
        let _never_fails = write!(self.path, "{name:.100}");
        self.value(schema, space)?;
        self.path.truncate(outer);
        Ok(())
    }

    /// The blocks of an array or a map: a count, with its size in bytes where it is negative; 0 is the end.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self, usize) -> Step) -> Step {
        let mut number = 0_usize;
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
                count = count.checked_neg().ok_or_else(|| self.wrong("a count has no opposite"))?;
            }
            for _ in 0..count {
                item(self, number)?;
                number += 1;
            }
        }
    }
}
