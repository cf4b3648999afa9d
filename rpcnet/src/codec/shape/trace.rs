//! A deserializer of nothing: it notes what it is asked for, and answers with values that it makes up.

use std::{any::type_name, fmt};

use serde::de::{Deserializer, Error, Visitor};

use super::{
    access::{Choice, Elements, Parts},
    flaw::ANY,
    graph::{Content, Fields, Graph, ShapeNode, Slot, Variant},
};
use crate::codec::limited::{DEPTH, levels};

/// A tuple of more elements is an array: all have one slot.
const LONGEST_TUPLE: usize = 64;
/// Fields that have no names: nobody writes more.
const MOST_FIELDS: usize = 1024;

/// Numbers that are tried, in this order and from the beginning again. Not zero first, for some numbers must not be.
const INTEGERS: [u8; 5] = [1, 0, 2, 16, 100];
/// Texts from which many types can be read that travel as texts.
const TEXTS: [&str; 11] = [
    "",
    "a",
    "0",
    "1970-01-01T00:00:00Z",
    "1970-01-01",
    "00:00:00",
    "00000000-0000-0000-0000-000000000000",
    "127.0.0.1",
    "http://a/",
    "0.0.0",
    "a@a.a",
];
static BYTES: [u8; 64] = [0; 64];
const BYTE_LENGTHS: [usize; 9] = [0, 16, 32, 4, 8, 12, 20, 24, 64];
const ELEMENTS: [usize; 6] = [0, 1, 2, 4, 8, 16];

fn pick<T: Copy>(choices: &[T], attempt: usize) -> T {
    choices[attempt % choices.len()]
}

/// A value was refused, or a limit is reached. Why does not matter.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Traces what stands in a slot.
pub(super) struct Tracer<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) slot: Slot,
    levels: u32,
}

impl<'a> Tracer<'a> {
    pub(super) fn new(graph: &'a mut Graph) -> Self {
        Self { graph, slot: Graph::ROOT, levels: DEPTH }
    }

    pub(super) fn at(&mut self, slot: Slot) -> Tracer<'_> {
        Tracer { graph: self.graph, slot, levels: self.levels }
    }

    /// Notes a primitive and says which value is to be tried.
    fn leaf(self, name: &'static str) -> Result<usize, Refused> {
        if !self.graph.step() {
            return Err(Refused);
        }
        self.graph.set(self.slot, ShapeNode::Primitive(name));
        Ok(self.graph.attempt(self.slot))
    }

    /// Goes down to read something that contains others.
    fn down<T>(&mut self) -> Result<(), Refused> {
        self.levels = self.levels.checked_sub(levels::<T>()).ok_or(Refused)?;
        if self.graph.step() { Ok(()) } else { Err(Refused) }
    }

    fn structure<'de, V: Visitor<'de>>(
        &mut self,
        name: &'static str,
        names: &'static [&'static str],
        fields: impl FnOnce(&mut Graph) -> Fields,
    ) -> Result<Vec<Slot>, Refused> {
        self.down::<V::Value>()?;
        let key = (name, type_name::<V::Value>(), names);
        let index = self.graph.define(key, |graph| Content::Struct(fields(graph)));
        self.graph.set(self.slot, ShapeNode::Definition(index));
        match &self.graph.definition(index).content {
            Content::Struct(fields) => Ok(slots(fields)),
            Content::Enum(_) => Err(Refused),
        }
    }

    /// Returns the elements that a collection gets: none if all is known, unless it refuses that.
    fn elements(&mut self, inner: Slot) -> Elements<'_> {
        let few = pick(&ELEMENTS, self.graph.attempt(self.slot));
        let least = if self.graph.is_busy(inner) { 0 } else { few };
        let more = self.graph.wants(inner);
        Elements { tracer: self.at(inner), value: inner, least, more, known: None }
    }
}

pub(super) fn slots(fields: &Fields) -> Vec<Slot> {
    match fields {
        Fields::Unknown | Fields::Unit => Vec::new(),
        Fields::Tuple(slots) => slots.clone(),
        Fields::Named(fields) => fields.iter().map(|(_, slot)| *slot).collect(),
    }
}

pub(super) fn named(graph: &mut Graph, names: &[&'static str]) -> Fields {
    let slots = graph.new_slots(names.len());
    Fields::Named(names.iter().copied().zip(slots).collect())
}

pub(super) fn unnamed(graph: &mut Graph, length: usize) -> Fields {
    Fields::Tuple(graph.new_slots(length.min(MOST_FIELDS)))
}

macro_rules! integers {
    ($($deserialize:ident $visit:ident $kind:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            visitor.$visit(pick(&INTEGERS, self.leaf(stringify!($kind))?) as $kind)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refused;

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_i128 visit_i128 i128
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_u128 visit_u128 u128
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(pick(&[true, false], self.leaf("bool")?))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_f32(pick(&[1.0, 0.0, -1.0, 0.5], self.leaf("f32")?))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_f64(pick(&[1.0, 0.0, -1.0, 0.5], self.leaf("f64")?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_char(pick(&['a', '0', 'A', ' '], self.leaf("char")?))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_str(pick(&TEXTS, self.leaf("string")?))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let length = pick(&BYTE_LENGTHS, self.leaf("bytes")?);
        visitor.visit_borrowed_bytes(&BYTES[..length])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.leaf("()")?;
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.down::<V::Value>()?;
        let inner = match *self.graph.node(self.slot) {
            ShapeNode::Option(inner) => inner,
            _ => self.graph.new_slots(1)[0],
        };
        self.graph.set(self.slot, ShapeNode::Option(inner));
        // None was refused, or there is more to see.
        let insisted = self.graph.attempt(self.slot) % 2 == 1 && !self.graph.is_busy(inner);
        if !insisted && !self.graph.wants(inner) {
            return visitor.visit_none();
        }
        self.graph.enter(inner);
        let value = visitor.visit_some(self.at(inner));
        self.graph.leave(inner, value.is_ok());
        value
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.down::<V::Value>()?;
        let inner = match *self.graph.node(self.slot) {
            ShapeNode::Sequence(inner) => inner,
            _ => self.graph.new_slots(1)[0],
        };
        self.graph.set(self.slot, ShapeNode::Sequence(inner));
        let entered = !self.graph.is_busy(inner);
        let mut elements = self.elements(inner);
        let value = visitor.visit_seq(&mut elements);
        if entered {
            self.graph.leave(inner, value.is_ok());
        }
        value
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.down::<V::Value>()?;
        let (key, item) = match *self.graph.node(self.slot) {
            ShapeNode::Map(key, item) => (key, item),
            _ => {
                let slots = self.graph.new_slots(2);
                (slots[0], slots[1])
            }
        };
        self.graph.set(self.slot, ShapeNode::Map(key, item));
        let entered = !self.graph.is_busy(key);
        let more = entered && (self.graph.wants(key) || self.graph.wants(item));
        let mut elements = Elements { value: item, more, ..self.elements(key) };
        let value = visitor.visit_map(&mut elements);
        if entered {
            self.graph.leave(key, value.is_ok());
        }
        value
    }

    fn deserialize_tuple<V: Visitor<'de>>(mut self, length: usize, visitor: V) -> Result<V::Value, Refused> {
        self.down::<V::Value>()?;
        let slots = match self.graph.node(self.slot) {
            ShapeNode::Tuple(slots) if slots.len() == length => slots.clone(),
            ShapeNode::Array(slot, known) if *known == length => vec![*slot],
            _ => self.graph.new_slots(if length > LONGEST_TUPLE { 1 } else { length }),
        };
        let node = if length > LONGEST_TUPLE {
            ShapeNode::Array(slots[0], length)
        } else {
            ShapeNode::Tuple(slots.clone())
        };
        self.graph.set(self.slot, node);
        visitor.visit_seq(Parts { tracer: self, slots, next: 0, length })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.structure::<V>(name, &[], |_| Fields::Unit)?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let slots = self.structure::<V>(name, &[], |graph| Fields::Tuple(graph.new_slots(1)))?;
        let slot = *slots.first().ok_or(Refused)?;
        visitor.visit_newtype_struct(Tracer { slot, ..self })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let slots = self.structure::<V>(name, &[], |graph| unnamed(graph, length))?;
        let length = slots.len();
        visitor.visit_seq(Parts { tracer: self, slots, next: 0, length })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let slots = self.structure::<V>(name, names, |graph| named(graph, names))?;
        let length = slots.len();
        visitor.visit_seq(Parts { tracer: self, slots, next: 0, length })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.down::<V::Value>()?;
        let key = (name, type_name::<V::Value>(), names);
        let definition =
            self.graph.define(key, |_| Content::Enum(names.iter().copied().map(Variant::new).collect()));
        self.graph.set(self.slot, ShapeNode::Definition(definition));
        let (variant, before) = self.graph.begin_variant(definition).ok_or(Refused)?;
        let start = self.graph.steps();
        let value = visitor.visit_enum(Choice { tracer: self.at(self.slot), definition, variant });
        let cost = self.graph.steps() - start;
        self.graph.end_variant(definition, variant, before, cost, value.is_ok());
        value
    }

    // The encoding does not describe itself, so that these can't be decoded either.

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        self.leaf(ANY)?;
        Err(Refused)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
