//! A serializer that writes nothing and counts the structures it is shown: every node of a tree, whatever holds it.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::Census;

/// Counts into a census, and gathers the names of relations where they are asked for.
pub(super) struct Counter<'c> {
    census: &'c mut Census,
    /// (schema, name) of each relation.
    names: Option<&'c mut Vec<(String, String)>>,
    /// The structure whose fields are shown is a relation, the last of `names`.
    in_relation: bool,
}

impl<'c> Counter<'c> {
    pub(super) const fn of(census: &'c mut Census) -> Self {
        Self { census, names: None, in_relation: false }
    }

    pub(super) const fn naming(census: &'c mut Census, names: &'c mut Vec<(String, String)>) -> Self {
        Self { census, names: Some(names), in_relation: false }
    }

    /// The same, for something inside.
    fn inner(&mut self) -> Counter<'_> {
        Counter { census: self.census, names: self.names.as_deref_mut(), in_relation: false }
    }

    /// Takes the name of a relation from its fields.
    fn name<T: Serialize + ?Sized>(&mut self, field: &str, value: &T) -> Result<(), Uncounted> {
        let Some((schema, name)) = self.names.as_deref_mut().and_then(|names| names.last_mut()) else { return Ok(()) };
        let part = match field {
            "schemaname" => schema,
            "relname" => name,
            _ => return Ok(()),
        };
        match serde_json::to_value(value) {
            Ok(serde_json::Value::String(text)) => *part = text,
            _ => return Err(Uncounted),
        }
        Ok(())
    }
}

/// Counting cannot fail; a value that refuses to be shown can.
#[derive(Debug)]
pub(super) struct Uncounted;

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node cannot be counted")
    }
}

impl std::error::Error for Uncounted {}

impl ser::Error for Uncounted {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Scalars hold no nodes.
macro_rules! ignore {
    ($($method:ident: $of:ty),*) => {
        $(fn $method(self, _: $of) -> Result<(), Uncounted> {
            Ok(())
        })*
    };
}

impl<'c> Serializer for Counter<'c> {
    type Error = Uncounted;
    type Ok = ();
    type SerializeMap = Self;
    type SerializeSeq = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;

    ignore!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    );

    fn serialize_none(self) -> Result<(), Uncounted> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Uncounted> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Uncounted> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Uncounted> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Uncounted> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Uncounted> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Uncounted> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Uncounted> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Uncounted> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Uncounted> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Uncounted> {
        Ok(self)
    }

    fn serialize_struct(mut self, name: &'static str, _: usize) -> Result<Self, Uncounted> {
        self.in_relation = name == "RangeVar";
        match name {
            "RangeVar" => {
                self.census.relations += 1;
                self.names.iter_mut().for_each(|names| names.push(Default::default()));
            }
            "FuncCall" => self.census.calls += 1,
            "ColumnRef" => self.census.columns += 1,
            "SelectStmt" => self.census.queries += 1,
            "AExpr" => self.census.operators += 1,
            "TypeCast" => self.census.casts += 1,
            _ => {}
        }
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Uncounted> {
        Ok(self)
    }
}

/// Elements are shown in their turn.
macro_rules! elements {
    ($($of:ident $method:ident),*) => {
        $(impl<'c> ser::$of for Counter<'c> {
            type Error = Uncounted;
            type Ok = ();

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Uncounted> {
                value.serialize(self.inner())
            }

            fn end(self) -> Result<(), Uncounted> {
                Ok(())
            }
        })*
    };
}

elements!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

/// Fields are shown with their names, which say something of relations only.
macro_rules! fields {
    ($($of:ident),*) => {
        $(impl<'c> ser::$of for Counter<'c> {
            type Error = Uncounted;
            type Ok = ();

            fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Result<(), Uncounted> {
                if self.in_relation {
                    self.name(field, value)?;
                }
                value.serialize(self.inner())
            }

            fn end(self) -> Result<(), Uncounted> {
                Ok(())
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Counter<'_> {
    type Error = Uncounted;
    type Ok = ();

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Uncounted> {
        key.serialize(self.inner())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Uncounted> {
        value.serialize(self.inner())
    }

    fn end(self) -> Result<(), Uncounted> {
        Ok(())
    }
}
