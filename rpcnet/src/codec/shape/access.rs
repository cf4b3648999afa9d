//! The fields, elements and variants that a visitor is given while a type is traced.

use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::U32Deserializer,
};

use super::{
    graph::{Fields, Graph, Slot},
    trace::{Refused, Tracer, named, slots, unnamed},
};

/// Fields one behind the other.
pub(super) struct Parts<'a> {
    pub(super) tracer: Tracer<'a>,
    pub(super) slots: Vec<Slot>,
    pub(super) next: usize,
    pub(super) length: usize,
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if self.next == self.length {
            return Ok(None);
        }
        // An array has one slot for all.
        let slot = self.slots.get(self.next).or(self.slots.first()).copied().ok_or(Refused)?;
        self.next += 1;
        seed.deserialize(self.tracer.at(slot)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.length - self.next)
    }
}

/// Elements, as long as each of them tells something new.
pub(super) struct Elements<'a> {
    /// At the element, or the key.
    pub(super) tracer: Tracer<'a>,
    pub(super) value: Slot,
    pub(super) least: usize,
    pub(super) more: bool,
    pub(super) known: Option<usize>,
}

impl Elements<'_> {
    fn next(&mut self) -> bool {
        let slot = self.tracer.slot;
        if self.least == 0 {
            let learnt = self.tracer.graph.learnt();
            let told = self.known.replace(learnt) != Some(learnt);
            // Busy are we ourselves, after the first element.
            let open = |graph: &mut Graph, slot| !graph.is_complete(slot);
            if !self.more || !told || !(open(self.tracer.graph, slot) || open(self.tracer.graph, self.value))
            {
                return false;
            }
        } else {
            self.least -= 1;
        }
        self.tracer.graph.enter(slot);
        true
    }
}

impl<'de> SeqAccess<'de> for &mut Elements<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if !self.next() {
            return Ok(None);
        }
        let slot = self.tracer.slot;
        seed.deserialize(self.tracer.at(slot)).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Elements<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        let slot = self.value;
        seed.deserialize(self.tracer.at(slot))
    }
}

/// The variant that was chosen.
pub(super) struct Choice<'a> {
    pub(super) tracer: Tracer<'a>,
    pub(super) definition: usize,
    pub(super) variant: usize,
}

impl Choice<'_> {
    fn fields(&mut self, make: impl FnOnce(&mut Graph) -> Fields) -> Vec<Slot> {
        slots(&self.tracer.graph.variant_fields(self.definition, self.variant, make))
    }
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        let index: U32Deserializer<Refused> = (self.variant as u32).into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Refused;

    fn unit_variant(mut self) -> Result<(), Refused> {
        self.fields(|_| Fields::Unit);
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, Refused> {
        let slots = self.fields(|graph| Fields::Tuple(graph.new_slots(1)));
        let slot = *slots.first().ok_or(Refused)?;
        seed.deserialize(self.tracer.at(slot))
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, length: usize, visitor: V) -> Result<V::Value, Refused> {
        let slots = self.fields(|graph| unnamed(graph, length));
        let length = slots.len();
        visitor.visit_seq(Parts { tracer: self.tracer, slots, next: 0, length })
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let slots = self.fields(|graph| named(graph, names));
        let length = slots.len();
        visitor.visit_seq(Parts { tracer: self.tracer, slots, next: 0, length })
    }
}
